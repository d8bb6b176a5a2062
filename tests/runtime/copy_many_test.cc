#include "tenure/runtime/copy_many.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// A timeline that gets on by one whenever somebody has waited for it for `step`.
class SlowTimeline final : public Timeline {
 public:
  explicit SlowTimeline(absl::Duration step) : step_(step) {}
  uint64_t Reached() const override { return reached_; }
  absl::Status Wait(uint64_t value, absl::Time deadline) override {
    while (reached_ < value) {
      if (absl::Now() + step_ > deadline) {
        return absl::DeadlineExceededError("the next step of a slow timeline comes too late");
      }
      absl::SleepFor(step_);
      ++reached_;
    }
    return absl::OkStatus();
  }
  absl::Status Failure() const override { return absl::OkStatus(); }

 private:
  absl::Duration step_;
  uint64_t reached_ = 0;
};

TEST(CopyMany, OneTimeoutForAllParts) {
  CpuAllocator cpu;
  auto device = std::make_shared<SlowTimeline>(absl::Milliseconds(40));
  std::vector<Buffer> buffers;
  std::vector<uint8_t> host(8);
  std::vector<CopyInPart> in;
  std::vector<CopyOutPart> out;
  for (uint64_t i = 1; i <= 10; ++i) {
    const Buffer x =
        *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(8), {.zeroed = true, .immediate = true});
    ASSERT_OK(x.RecordUse(Access::kWrite, Fence(device, i)));
    in.push_back({x, host.data(), 8});
    out.push_back({host.data(), x, 8});
  }
  // Ten parts of 40 ms each, none of which takes 60 ms alone.
  EXPECT_CODE(DeadlineExceeded, CopyInMany(in, {.timeout = absl::Milliseconds(60)}));
  EXPECT_CODE(DeadlineExceeded, CopyOutMany(out, {.timeout = absl::Milliseconds(60)}));
  EXPECT_OK(CopyInMany(in));
  EXPECT_OK(CopyOutMany(out, {.timeout = absl::ZeroDuration()}));
}

TEST(CopyMany, ErrorsNameThePart) {
  CpuAllocator cpu;
  const Buffer x = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(8));
  uint8_t host[8] = {1, 2};
  const absl::Status status = CopyInMany({{x, host, 8}, {x, host, 7}});
  EXPECT_CODE(InvalidArgument, status);
  EXPECT_EQ(status.message().substr(0, 6), "part 1");
  EXPECT_EQ(*x.Get<uint8_t>({1}), 2);
}

}  // namespace
}  // namespace tenure
