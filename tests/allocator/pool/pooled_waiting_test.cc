// Requests of a pool that find no memory, while freed bytes wait for fences.

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/tests/allocator/pool/host_slabs.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

class PooledWaiting : public testing::Test {
 protected:
  static constexpr uint64_t kUnit = 64 * 1024;  // HostSlabs' granularity

  PooledWaiting() { Open(absl::Minutes(1)); }

  // A pool with a budget of four units.
  void Open(absl::Duration max_wait) {
    pool_ = std::make_unique<HostPool>(
        control_, PooledAllocator::Options{
                      .small_bytes = 1000, .max_reserved_bytes = 4 * kUnit, .max_wait = max_wait});
  }
  Allocation Make(uint64_t size, std::string_view name = "") {
    absl::StatusOr<Allocation> made = pool_->Allocate({.size_bytes = size, .name = name});
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? *made : Allocation();
  }
  // Freed, and in use until the timeline comes to `value`.
  void FreeUntil(uint64_t value, const Allocation& allocation) {
    const Fence users[] = {Fence(timeline_, value)};
    pool_->Deallocate(allocation, users);
  }
  // Runs `then` a while later, when the next call of this thread has very likely begun to wait. The
  // tests succeed with any order of the two.
  template <typename Then>
  static std::thread Later(Then then) {
    return std::thread([then] {
      absl::SleepFor(absl::Milliseconds(30));
      then();
    });
  }

  std::shared_ptr<HostTimeline> timeline_ = std::make_shared<HostTimeline>();
  std::shared_ptr<HostSlabs::Control> control_ = std::make_shared<HostSlabs::Control>();
  std::unique_ptr<HostPool> pool_;
};

TEST_F(PooledWaiting, WaitsUntilFreedBytesAreNoLongerInUse) {
  FreeUntil(1, Make(2 * kUnit));
  FreeUntil(2, Make(2 * kUnit));
  std::thread device = Later([&] {
    timeline_->Signal(1);
    absl::SleepFor(absl::Milliseconds(5));
    timeline_->Signal(2);
  });
  const Allocation half = Make(2 * kUnit);
  const Allocation other = Make(2 * kUnit);
  device.join();
  pool_->Deallocate(half);
  pool_->Deallocate(other);
  // One that needs both.
  FreeUntil(3, Make(2 * kUnit));
  FreeUntil(4, Make(2 * kUnit));
  device = Later([&] {
    timeline_->Signal(3);
    absl::SleepFor(absl::Milliseconds(5));
    timeline_->Signal(4);
  });
  pool_->Deallocate(Make(4 * kUnit));
  device.join();
}

TEST_F(PooledWaiting, DedicatedSlabsWaitToo) {
  pool_->own_slabs = true;
  FreeUntil(1, Make(4 * kUnit));
  std::thread device = Later([&] { timeline_->Signal(1); });
  pool_->Deallocate(Make(3 * kUnit, "own"));
  device.join();
}

TEST_F(PooledWaiting, HoldsUpNobodyElse) {
  FreeUntil(1, Make(2 * kUnit));
  Allocation kept = Make(kUnit);
  std::atomic<bool> served{false};
  std::thread waiting([&] {
    pool_->Deallocate(Make(3 * kUnit));
    served = true;
  });
  absl::SleepFor(absl::Milliseconds(30));
  // Cached bytes come and go while the other one waits.
  for (int i = 0; i < 100; ++i) pool_->Deallocate(Make(kUnit / 2));
  FreeUntil(2, kept);
  EXPECT_FALSE(served);
  timeline_->Signal(2);
  waiting.join();
}

TEST_F(PooledWaiting, TakesWhatOthersFreeMeanwhile) {
  FreeUntil(1, Make(2 * kUnit));
  const Allocation plain = Make(2 * kUnit);
  std::thread other = Later([&] { pool_->Deallocate(plain); });
  pool_->Deallocate(Make(2 * kUnit));
  other.join();
  EXPECT_EQ(pool_->Stats().deferred_bytes, 2 * kUnit);
  timeline_->Signal(1);
}

TEST_F(PooledWaiting, FailsAfterTheTimeoutAndSaysWhatIsInUse) {
  pool_->SetMaxWait(absl::Milliseconds(5));
  FreeUntil(1, Make(2 * kUnit));
  FreeUntil(2, Make(kUnit));
  const std::string message(pool_->Allocate({.size_bytes = 4 * kUnit}).status().message());
  EXPECT_NE(message.find("for freed bytes"), std::string::npos) << message;
  EXPECT_NE(message.find("not yet free: 196608 bytes in 2 freed allocations, behind a timeline "
                         "that the program signals (196608 bytes in 2)"),
            std::string::npos)
      << message;
  timeline_->Signal(2);
}

TEST_F(PooledWaiting, WaitsOnlyWhereItHelps) {
  FreeUntil(1, Make(2 * kUnit));
  const Allocation plain = Make(2 * kUnit);
  // The limit is a minute. These come back at once, and do not say that they have waited.
  for (const AllocationRequest& request :
       {AllocationRequest{.size_bytes = 3 * kUnit}, AllocationRequest{.size_bytes = 5 * kUnit},
        AllocationRequest{.size_bytes = kUnit, .may_wait = false}}) {
    const absl::Status refused = pool_->Allocate(request).status();
    EXPECT_CODE(ResourceExhausted, refused);
    EXPECT_EQ(refused.message().find("for freed bytes"), std::string_view::npos) << refused;
  }
  pool_->Deallocate(plain);
  timeline_->Signal(1);
}

TEST_F(PooledWaiting, EndsWhenTheWorkHasFailed) {
  FreeUntil(1, Make(4 * kUnit));
  std::thread device = Later([&] { timeline_->Fail(absl::InternalError("the device is lost")); });
  EXPECT_FALSE(pool_->Allocate({.size_bytes = kUnit}).ok());
  device.join();
  EXPECT_EQ(pool_->Stats().quarantined_bytes, 4 * kUnit);
}

TEST_F(PooledWaiting, TheDestructorWaits) {
  FreeUntil(1, Make(2 * kUnit));
  std::thread device = Later([&] { timeline_->Signal(1); });
  testing::internal::CaptureStderr();
  pool_.reset();
  device.join();
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(control_->taken_bytes, 0u);
  // With a bound.
  Open(absl::Milliseconds(1));
  FreeUntil(2, Make(2 * kUnit));
  testing::internal::CaptureStderr();
  pool_.reset();
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("wait for fences (131072 bytes in 1"), std::string::npos) << said;
}

}  // namespace
}  // namespace tenure
