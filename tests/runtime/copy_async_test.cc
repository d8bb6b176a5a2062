#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

#if defined(__SANITIZE_THREAD__)
#define TENURE_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_TEST_TSAN 1
#endif
#endif

namespace tenure {
namespace {

class CopyAsyncTest : public ::testing::Test {
 protected:
  Buffer Make(Allocator& allocator, uint64_t size) {
    return *Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size),
                           BufferOptions{.zeroed = true, .immediate = true});
  }
  Fence Kernel(uint64_t value) { return Fence(device_, value); }

  CpuAllocator cpu_;
  FarAllocator far_;
  std::shared_ptr<HostTimeline> device_ = std::make_shared<HostTimeline>();
};

TEST_F(CopyAsyncTest, NothingToWaitForIsDoneAtOnce) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8), far = Make(far_, 8);
  uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
  EXPECT_TRUE(x.CopyInAsync(host, 8)->IsReached());
  EXPECT_TRUE(y.CopyFromAsync(x)->IsReached());
  EXPECT_TRUE(far.CopyFromAsync(y)->IsReached());
  EXPECT_TRUE(far.CopyOutAsync(out, 8)->IsReached());
  EXPECT_EQ(std::memcmp(out, host, 8), 0);
  EXPECT_TRUE(x.FillAsync(std::vector<std::byte>(1))->IsReached());
  EXPECT_EQ(*x.Get<uint8_t>({7}), 0);
  EXPECT_TRUE(x.PendingUses(Access::kWrite).empty());
  EXPECT_CODE(InvalidArgument, x.CopyInAsync(host, 7));
  EXPECT_CODE(InvalidArgument, x.CopyOutAsync(nullptr, 8));
  EXPECT_CODE(InvalidArgument, x.CopyFromAsync(*y.View(0, 4)));
  EXPECT_CODE(InvalidArgument, x.CopyFromAsync(y, {.max_threads = -1}));
}

TEST_F(CopyAsyncTest, WaitsForTheUsesInConflict) {
  const Buffer x = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kRead, Kernel(1)));
  uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
  // Readers do not wait for readers.
  EXPECT_TRUE(x.CopyOutAsync(out, 8)->IsReached());
  absl::StatusOr<Fence> in = x.CopyInAsync(host, 8);
  ASSERT_OK(in);
  EXPECT_FALSE(in->IsReached());
  // What comes later waits for the copy in turn, and so does host access.
  absl::StatusOr<Fence> later = x.CopyOutAsync(out, 8);
  ASSERT_OK(later);
  EXPECT_FALSE(later->IsReached());
  EXPECT_CODE(DeadlineExceeded, x.Bytes(absl::Milliseconds(2)));
  EXPECT_CODE(DeadlineExceeded, in->Wait(absl::Milliseconds(2)));
  EXPECT_EQ(out[0], 0);
  device_->Signal(1);
  EXPECT_OK(in->Wait());
  EXPECT_OK(later->Wait());
  EXPECT_EQ(std::memcmp(out, host, 8), 0);
  EXPECT_OK(x.Bytes(absl::ZeroDuration()));
}

TEST_F(CopyAsyncTest, ChainsKeepTheirOrder) {
  const Buffer x = Make(cpu_, 64), y = Make(cpu_, 64), far = Make(far_, 64);
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  std::vector<uint8_t> out(64);
  absl::StatusOr<Fence> last;
  for (uint8_t i = 1; i <= 50; ++i) {
    const std::byte value[1] = {std::byte{i}};
    ASSERT_OK(x.FillAsync(value));
    ASSERT_OK(y.CopyFromAsync(x));
    ASSERT_OK(far.CopyFromAsync(y));
    last = far.CopyOutAsync(out.data(), 64);
    ASSERT_OK(last);
  }
  EXPECT_FALSE(last->IsReached());
  device_->Signal(1);
  ASSERT_OK(last->Wait());
  EXPECT_EQ(out, std::vector<uint8_t>(64, 50));
  EXPECT_OK(x.Synchronize());
}

TEST_F(CopyAsyncTest, OneThatWaitsHoldsUpNobodyElse) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
  auto other = std::make_shared<HostTimeline>();
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  ASSERT_OK(y.RecordUse(Access::kWrite, Fence(other, 1)));
  uint8_t a[8], b[8];
  absl::StatusOr<Fence> first = x.CopyOutAsync(a, 8), second = y.CopyOutAsync(b, 8);
  ASSERT_OK(first);
  ASSERT_OK(second);
  other->Signal(1);
  EXPECT_OK(second->Wait());
  EXPECT_FALSE(first->IsReached());
  device_->Signal(1);
  EXPECT_OK(first->Wait());
}

TEST_F(CopyAsyncTest, TimeoutsEndTheCopyAndNotTheQueue) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  absl::StatusOr<Fence> copy = y.CopyFromAsync(x, {.timeout = absl::Milliseconds(3)});
  ASSERT_OK(copy);
  EXPECT_CODE(DeadlineExceeded, copy->Wait());
  EXPECT_TRUE(copy->IsReached());
  // The wait has told it, so nobody else is told.
  EXPECT_OK(y.Bytes());
  copy = y.CopyFromAsync(x, {.timeout = absl::Milliseconds(3)});
  ASSERT_OK(copy);
  while (!copy->IsReached()) absl::SleepFor(absl::Milliseconds(1));
  // Nobody has waited: the next access to the bytes that were not written tells it, once.
  EXPECT_CODE(DeadlineExceeded, y.Bytes());
  EXPECT_OK(y.Bytes());
  device_->Signal(1);
  copy = y.CopyFromAsync(x);
  ASSERT_OK(copy);
  EXPECT_OK(copy->Wait());
}

TEST_F(CopyAsyncTest, FailuresOfWhatItWaitsForAreItsOwn) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  absl::StatusOr<Fence> copy = y.CopyFromAsync(x);
  ASSERT_OK(copy);
  device_->Fail(absl::DataLossError("the device fell off the bus, says its test"));
  // Told by the access that waits for the copy, and by the copy's fence, however often.
  EXPECT_CODE(DataLoss, y.MutableBytes());
  EXPECT_CODE(DataLoss, copy->Wait());
  EXPECT_CODE(DataLoss, copy->Wait());
  EXPECT_EQ(*y.Get<uint8_t>({0}), 0);
}

TEST_F(CopyAsyncTest, ACopyQueuedAfterAFailedOneTellsItsError) {
  const Buffer x = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
  absl::StatusOr<Fence> in = x.CopyInAsync(host, 8, {.timeout = absl::Milliseconds(3)});
  ASSERT_OK(in);
  while (!in->IsReached()) absl::SleepFor(absl::Milliseconds(1));
  // The kernel is still under way, and the copy in was given up: its bytes will not be there.
  EXPECT_CODE(DeadlineExceeded, x.CopyOutAsync(out, 8));
  absl::StatusOr<Fence> again = x.CopyOutAsync(out, 8);
  ASSERT_OK(again);  // an error is told once
  device_->Signal(1);
  EXPECT_OK(again->Wait());
}

TEST_F(CopyAsyncTest, KeepsWhatItNeedsAlive) {
  uint8_t out[8] = {9};
  absl::StatusOr<Fence> copy;
  {
    Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
    ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
    ASSERT_OK(y.CopyFromAsync(x));
    copy = y.CopyOutAsync(out, 8);
    ASSERT_OK(copy);
    // Nobody but the copies holds them from here on.
    EXPECT_EQ(x.storage()->handle_count(), 1u);
  }
  EXPECT_EQ(cpu_.Stats().in_use_count, 2u);
  EXPECT_EQ(out[0], 9);
  device_->Signal(1);
  ASSERT_OK(copy->Wait());
  EXPECT_EQ(out[0], 0);
  // Given back before the fence was reached, so that the allocator may go right after it.
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(CopyAsyncTest, SealingWaitsForQueuedWrites) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
  ASSERT_OK(y.RecordUse(Access::kRead, Kernel(1)));
  absl::StatusOr<Fence> copy = y.CopyFromAsync(x);
  ASSERT_OK(copy);
  EXPECT_CODE(FailedPrecondition, y.Seal());
  EXPECT_TRUE(absl::StrContains(y.Seal().message(), "wait for the fences of such copies"));
  EXPECT_OK(x.Seal());
  device_->Signal(1);
  ASSERT_OK(copy->Wait());
  EXPECT_OK(y.Seal());
}

TEST_F(CopyAsyncTest, DevicesWorkIsRecorded) {
  const Buffer far = Make(far_, 8), x = Make(cpu_, 8);
  uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_OK(x.CopyIn(host, 8));
  far_.Hold();
  absl::StatusOr<Fence> in = far.CopyFromAsync(x);
  ASSERT_OK(in);
  EXPECT_FALSE(in->IsReached());
  EXPECT_EQ(far.PendingUses(Access::kRead).size(), 1u);
  EXPECT_EQ(x.PendingUses(Access::kWrite).size(), 1u);
  EXPECT_TRUE(x.PendingUses(Access::kRead).empty());
  EXPECT_CODE(DeadlineExceeded, x.MutableBytes(absl::Milliseconds(1)));
  EXPECT_OK(x.Bytes(absl::Milliseconds(1)));
  uint8_t out[8] = {};
  absl::StatusOr<Fence> back = far.CopyOutAsync(out, 8);
  ASSERT_OK(back);
  far_.Go();
  EXPECT_OK(in->Wait());
  EXPECT_OK(back->Wait());
  EXPECT_EQ(std::memcmp(out, host, 8), 0);
  // A copy that does not return before its end.
  far_.Hold();
  std::atomic<bool> done{false};
  std::thread copier([&] {
    EXPECT_OK(far.CopyIn(host, 8));
    done = true;
  });
  absl::SleepFor(absl::Milliseconds(2));
  EXPECT_FALSE(done);
  while (!done) far_.Go();
  copier.join();
}

TEST_F(CopyAsyncTest, FromManyThreads) {
  const Buffer gate = Make(cpu_, 1);
  std::vector<std::thread> threads;
  std::vector<Buffer> buffers;
  for (int i = 0; i < 64; ++i) {
    buffers.push_back(Make(i % 2 == 0 ? static_cast<Allocator&>(cpu_) : far_, 128));
    ASSERT_OK(buffers.back().RecordUse(Access::kWrite, Kernel(1)));
  }
  std::vector<std::vector<uint8_t>> seen(64, std::vector<uint8_t>(128));
  for (size_t i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      const std::vector<uint8_t> mine(128, static_cast<uint8_t>(i + 1));
      absl::StatusOr<Fence> in = buffers[i].CopyInAsync(mine.data(), 128);
      ASSERT_OK(in);
      absl::StatusOr<Fence> out = buffers[i].CopyOutAsync(seen[i].data(), 128);
      ASSERT_OK(out);
      if (i == 63) device_->Signal(1);
      EXPECT_OK(in->Wait());
      EXPECT_OK(out->Wait());
      EXPECT_EQ(seen[i], mine);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(HostWorker, ErrorsOfTheWorkAreTheFences) {
  auto gate = std::make_shared<HostTimeline>();
  auto held = std::make_shared<int>(1);
  absl::StatusOr<Fence> done = HostWorker::Default().Submit(
      {Fence(gate, 1)}, absl::InfiniteFuture(),
      [held] { return absl::DataLossError("what the work says, in a test"); });
  ASSERT_OK(done);
  EXPECT_FALSE(done->IsReached());
  gate->Signal(1);
  EXPECT_CODE(DataLoss, done->Wait());
  EXPECT_EQ(held.use_count(), 1);
}

TEST(HostWorker, NotDoneWhenWhatItFollowsFailed) {
  auto before = std::make_shared<Completion>();
  std::atomic<bool> ran{false};
  absl::StatusOr<Fence> done =
      HostWorker::Default().Submit({Fence(before, 1)}, absl::InfiniteFuture(), [&ran] {
        ran = true;
        return absl::OkStatus();
      });
  ASSERT_OK(done);
  before->Finish(absl::AbortedError("the work before it was given up"));
  EXPECT_CODE(Aborted, done->Wait());
  EXPECT_FALSE(ran);
}

// ThreadSanitizer does not support threads made after a fork of a process with several.
#if !defined(TENURE_TEST_TSAN)
TEST(HostWorker, WorksInAForkedChild) {
  auto work = [] {
    absl::StatusOr<Fence> done =
        HostWorker::Default().Submit({}, absl::InfiniteFuture(), [] { return absl::OkStatus(); });
    return done.ok() && done->Wait().ok();
  };
  EXPECT_TRUE(work());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(work() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(CopyAsyncTest, AForkedChildLearnsThatItsParentsCopiesNeverEnd) {
  const Buffer x = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kRead, Kernel(1)));
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  absl::StatusOr<Fence> copy = x.CopyInAsync(host, 8);
  ASSERT_OK(copy);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // ends a child that waits for ever
    const bool told = absl::IsFailedPrecondition(copy->Wait()) && copy->IsFailed() &&
                      absl::IsFailedPrecondition(x.Bytes().status());
    _exit(told ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  device_->Signal(1);
  EXPECT_OK(copy->Wait());
}
#endif

// Host memory whose transfers wait until they are let go.
class GatedTransfers final : public Decorator {
 public:
  GatedTransfers() : Decorator(std::make_unique<CpuAllocator>()) {}
  void Go() { go_.Notify(); }

 protected:
  absl::Status BeforeTransfer(TransferKind, const SubRegion&) override {
    // The timeout is for a call that holds its caller, who could then never let it go.
    go_.WaitForNotificationWithTimeout(absl::Seconds(10));
    return absl::OkStatus();
  }

 private:
  absl::Notification go_;
};

TEST_F(CopyAsyncTest, LargeCopiesOfHostMemoryDoNotHoldTheirCaller) {
  constexpr uint64_t kBytes = uint64_t{8} << 20;
  GatedTransfers gated;
  const Buffer x = Make(gated, kBytes), y = Make(cpu_, kBytes), far = Make(far_, kBytes);
  std::vector<uint8_t> host(kBytes, 3), out(kBytes);
  const std::byte value[1] = {std::byte{3}};
  absl::StatusOr<Fence> fences[] = {x.CopyInAsync(host.data(), kBytes), y.CopyFromAsync(x),
                                    far.CopyFromAsync(y), x.FillAsync(value),
                                    x.CopyOutAsync(out.data(), kBytes)};
  for (const absl::StatusOr<Fence>& fence : fences) {
    ASSERT_OK(fence);
    EXPECT_FALSE(fence->IsReached());
  }
  EXPECT_CODE(FailedPrecondition, x.Seal());
  gated.Go();
  for (const absl::StatusOr<Fence>& fence : fences) EXPECT_OK(fence->Wait());
  EXPECT_EQ(out, host);
  std::vector<uint8_t> far_out(kBytes);
  ASSERT_OK(far.CopyOut(far_out.data(), kBytes));
  EXPECT_EQ(far_out, host);
}

TEST_F(CopyAsyncTest, LargeCopiesHoldUpNoOthers) {
  constexpr uint64_t kBytes = uint64_t{1} << 20;
  GatedTransfers gated;
  const Buffer large = Make(gated, kBytes), x = Make(cpu_, 8);
  const std::vector<uint8_t> host(kBytes, 3);
  absl::StatusOr<Fence> slow = large.CopyInAsync(host.data(), kBytes);
  ASSERT_OK(slow);
  ASSERT_OK(x.RecordUse(Access::kRead, Kernel(1)));
  absl::StatusOr<Fence> quick = x.CopyInAsync(host.data(), 8);
  ASSERT_OK(quick);
  device_->Signal(1);
  EXPECT_OK(quick->Wait());
  EXPECT_FALSE(slow->IsReached());
  gated.Go();
  EXPECT_OK(slow->Wait());
}

TEST_F(CopyAsyncTest, AnErrorIsToldOnceForBothEndsOfACopy) {
  const Buffer x = Make(cpu_, 8), y = Make(cpu_, 8);
  ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
  absl::StatusOr<Fence> copy = y.CopyFromAsync(x, {.timeout = absl::Milliseconds(3)});
  ASSERT_OK(copy);
  while (!copy->IsReached()) absl::SleepFor(absl::Milliseconds(1));
  device_->Signal(1);
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_CODE(DeadlineExceeded, y.CopyInAsync(host, 8));
  EXPECT_OK(x.CopyIn(host, 8));
}

TEST_F(CopyAsyncTest, KeepsTheArenaWhenThePlanIsTakenBack) {
  uint8_t out[8] = {9};
  const Buffer x = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(8));
  absl::StatusOr<Fence> copy;
  {
    const Buffer arena = Make(cpu_, 64);
    ASSERT_OK(x.storage()->Place(*arena.storage(), 8, true));
    ASSERT_OK(x.RecordUse(Access::kWrite, Kernel(1)));
    copy = x.CopyOutAsync(out, 8);
    ASSERT_OK(copy);
    ASSERT_OK(x.storage()->Unplace());
  }
  // The copy alone holds the arena, which is not even given back yet.
  EXPECT_EQ(cpu_.Stats().deferred_bytes, 0u);
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  device_->Signal(1);
  ASSERT_OK(copy->Wait());
  EXPECT_EQ(out[0], 0);
  cpu_.Poll();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

// A timeline that has failed, and counts how often it is asked why.
class Failed final : public Timeline {
 public:
  uint64_t Reached() const override { return 0; }
  absl::Status Wait(uint64_t, absl::Time) override {
    ++waits_;
    return Failure();
  }
  absl::Status Failure() const override { return absl::DataLossError("failed from the start"); }
  int waits() const { return waits_; }

 private:
  std::atomic<int> waits_{0};
};

TEST_F(CopyAsyncTest, TheHostsQueueSleepsThoughOneOfTheFencesHasFailed) {
  auto failed = std::make_shared<Failed>();
  absl::StatusOr<Fence> done = HostWorker::Default().Submit(
      {Fence(failed, 1), Kernel(1)}, absl::InfiniteFuture(), [] { return absl::OkStatus(); });
  ASSERT_OK(done);
  absl::SleepFor(absl::Milliseconds(20));
  device_->Signal(1);
  EXPECT_CODE(DataLoss, done->Wait());
  EXPECT_EQ(failed->waits(), 1);
}

}  // namespace
}  // namespace tenure
