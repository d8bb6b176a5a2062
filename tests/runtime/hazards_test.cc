#include "tenure/runtime/hazards.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

class HazardsTest : public ::testing::Test {
 protected:
  Buffer Make(uint64_t size) {
    return *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(size), {.immediate = true});
  }

  CpuAllocator cpu_;
  std::shared_ptr<HostTimeline> device_ = std::make_shared<HostTimeline>();
};

TEST_F(HazardsTest, AWholeStepIsRecordedAtOnce) {
  const Buffer arena = Make(256), other = Make(64);
  const Buffer x = *arena.View(0, 64), y = *arena.View(64, 64), free = *arena.View(128, 64);
  const std::vector<Use> step = {
      {&x, Access::kRead}, {&other, Access::kWrite}, {&y, Access::kWrite}};
  ASSERT_OK(RecordUses(step, Fence(device_, 3)));
  EXPECT_TRUE(x.PendingUses(Access::kRead).empty());
  EXPECT_EQ(x.PendingUses(Access::kWrite).size(), 1u);
  EXPECT_EQ(y.PendingUses(Access::kRead).size(), 1u);
  EXPECT_EQ(other.PendingUses(Access::kRead).size(), 1u);
  EXPECT_TRUE(free.PendingUses(Access::kWrite).empty());
  // A later step waits once for each timeline, at its latest fence.
  ASSERT_OK(x.RecordUse(Access::kRead, Fence(device_, 5)));
  auto second = std::make_shared<HostTimeline>();
  ASSERT_OK(free.RecordUse(Access::kWrite, Fence(second, 1)));
  const std::vector<Use> next = {
      {&y, Access::kRead}, {&x, Access::kWrite}, {&free, Access::kRead}, {&other, Access::kRead}};
  const std::vector<Fence> fences = PendingUses(next);
  ASSERT_EQ(fences.size(), 2u);
  EXPECT_EQ(fences[0].timeline(), device_);
  EXPECT_EQ(fences[0].value(), 5u);
  EXPECT_EQ(fences[1].timeline(), second);
  device_->Signal(5);
  second->Signal(1);
  EXPECT_TRUE(PendingUses(next).empty());
}

TEST_F(HazardsTest, UsesAreRecordedAllOrNone) {
  const Buffer x = Make(64), null;
  const Buffer lazy = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(64));
  const std::vector<Use> with_null = {{&x, Access::kWrite}, {&null, Access::kRead}};
  const std::vector<Use> with_lazy = {{&x, Access::kWrite}, {&lazy, Access::kRead}};
  const absl::Status status = RecordUses(with_null, Fence(device_, 1));
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_EQ(status.message().substr(0, 5), "use 1");
  EXPECT_CODE(FailedPrecondition, RecordUses(with_lazy, Fence(device_, 1)));
  EXPECT_CODE(FailedPrecondition, RecordUses({{nullptr, Access::kRead}}, Fence(device_, 1)));
  EXPECT_TRUE(x.PendingUses(Access::kWrite).empty());
  EXPECT_TRUE(PendingUses(with_null).empty());
  EXPECT_OK(RecordUses({}, Fence(device_, 1)));
}

TEST_F(HazardsTest, AnEmptyWindowHasNoUses) {
  const Buffer x = Make(64);
  ASSERT_OK(x.RecordUse(Access::kWrite, Fence(device_, 1)));
  EXPECT_TRUE(x.View(32, 0)->PendingUses(Access::kWrite).empty());
  ASSERT_OK(x.View(32, 0)->RecordUse(Access::kWrite, Fence(device_, 2)));
  EXPECT_EQ(x.PendingUses(Access::kWrite).size(), 1u);
}

TEST_F(HazardsTest, HazardsBetweenOverlappingWindows) {
  const Buffer x = Make(64);
  const Buffer low = *x.View(0, 32), high = *x.View(32, 32);
  EXPECT_TRUE(Overlaps(x, high));
  EXPECT_FALSE(Overlaps(low, high));
  EXPECT_EQ(HazardBetween(x, Access::kWrite, low, Access::kRead), Hazard::kReadAfterWrite);
  EXPECT_EQ(HazardBetween(low, Access::kWrite, high, Access::kWrite), Hazard::kNone);
}

}  // namespace
}  // namespace tenure
