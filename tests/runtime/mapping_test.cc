#include "tenure/runtime/mapping.h"

#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

static_assert(!std::is_copy_constructible_v<Mapping> &&
              std::is_nothrow_move_constructible_v<Mapping>);

class MappingTest : public ::testing::Test {
 protected:
  CpuAllocator cpu_;
  FarAllocator far_;
  Buffer x_ = *Buffer::Create(cpu_, DType::kFloat32, *Shape::Of({2, 2}), {.zeroed = true});
};

TEST_F(MappingTest, WritesAndReads) {
  {
    absl::StatusOr<Mapping> region = x_.Map(Access::kWrite);
    ASSERT_OK(region);
    EXPECT_TRUE(region->is_mapped());
    EXPECT_EQ(region->access(), Access::kWrite);
    (*region->AsMutable<float>())[1] = 2;
    (*region->AsShapedMutable<float>())(1, 1) = 3;
    EXPECT_EQ(region->bytes().size(), 16u);
    EXPECT_EQ(region->MutableBytes()->data(), region->bytes().data());
  }
  absl::StatusOr<Mapping> region = x_.Map(Access::kRead);
  ASSERT_OK(region);
  EXPECT_EQ((*region->As<float>())[1], 2.0f);
  EXPECT_EQ((*region->AsShaped<float>())(1, 1), 3.0f);
  EXPECT_CODE(FailedPrecondition, region->AsMutable<float>());
  EXPECT_CODE(FailedPrecondition, region->MutableBytes());
  EXPECT_CODE(InvalidArgument, region->As<int>());
}

TEST_F(MappingTest, SealingWaitsForWritableOnesAlone) {
  std::optional<Mapping> read = *x_.Map(Access::kRead);
  std::optional<Mapping> write = *x_.View(4, 4)->Map(Access::kWrite);
  std::optional<Mapping> second = *x_.Map(Access::kWrite);
  EXPECT_CODE(FailedPrecondition, x_.Seal());
  write.reset();
  EXPECT_CODE(FailedPrecondition, x_.Seal());
  second->Unmap();
  second->Unmap();
  EXPECT_OK(x_.Seal());
  EXPECT_CODE(FailedPrecondition, x_.Map(Access::kWrite));
  EXPECT_OK(x_.Map(Access::kRead));
  EXPECT_OK(read->As<float>());
}

TEST_F(MappingTest, MovesTakeTheCountAlong) {
  Mapping a = *x_.Map(Access::kWrite);
  Mapping b = std::move(a);
  EXPECT_FALSE(a.is_mapped());  // NOLINT: what a moved-from mapping says is tested
  EXPECT_TRUE(a.bytes().empty());
  EXPECT_CODE(FailedPrecondition, a.AsMutable<float>());
  EXPECT_CODE(FailedPrecondition, a.As<float>());
  EXPECT_CODE(FailedPrecondition, x_.Seal());
  Mapping c = *x_.Map(Access::kWrite);
  c = std::move(b);
  EXPECT_CODE(FailedPrecondition, x_.Seal());
  auto& self = c;
  c = std::move(self);
  EXPECT_TRUE(c.is_mapped());
  c = Mapping();
  EXPECT_OK(x_.Seal());
}

TEST_F(MappingTest, KeepsTheBytesAlive) {
  Mapping region = *x_.Map(Access::kWrite);
  x_ = Buffer();
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  (*region.AsMutable<float>())[3] = 1;
  region.Unmap();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(MappingTest, KeepsTheArenaWhenThePlanIsTakenBack) {
  const Buffer x = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(8));
  Mapping region;
  {
    const Buffer arena = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(64),
                                         {.zeroed = true, .immediate = true});
    ASSERT_OK(x.storage()->Place(*arena.storage(), 8, true));
    ASSERT_OK(x.FillWith<uint8_t>(7));
    region = *x.Map(Access::kRead);
    ASSERT_OK(x.storage()->Unplace());
  }
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  EXPECT_EQ(region.bytes()[7], std::byte{7});
  region.Unmap();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(MappingTest, FailuresCountNothing) {
  const Buffer far = *Buffer::Create(far_, DType::kFloat32, *Shape::Of({2}));
  EXPECT_CODE(Unimplemented, far.Map(Access::kWrite));
  EXPECT_CODE(Unimplemented, far.Map(Access::kRead));
  EXPECT_OK(far.Seal());
  EXPECT_CODE(FailedPrecondition, Buffer().Map(Access::kRead));
  ASSERT_OK(x_.EnsureAllocated());
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(x_.RecordUse(Access::kRead, Fence(timeline, 1)));
  EXPECT_CODE(DeadlineExceeded, x_.Map(Access::kWrite, absl::Milliseconds(1)));
  EXPECT_OK(x_.Map(Access::kRead));
  EXPECT_OK(x_.Seal());
}

TEST_F(MappingTest, OddAndEmptyWindows) {
  const Buffer bytes = *Buffer::Create(cpu_, DType::kUInt8, *Shape::Of({9}));
  absl::StatusOr<Mapping> odd =
      bytes.View(1, DType::kFloat32, *Shape::Of({2}))->Map(Access::kWrite);
  ASSERT_OK(odd);
  EXPECT_CODE(InvalidArgument, odd->As<float>());
  EXPECT_CODE(InvalidArgument, odd->AsMutable<float>());
  EXPECT_EQ(odd->MutableBytes()->size(), 8u);
  const Buffer empty = *Buffer::Create(far_, DType::kFloat32, *Shape::Of({0, 5}));
  absl::StatusOr<Mapping> none = empty.Map(Access::kWrite);
  ASSERT_OK(none);
  EXPECT_TRUE(none->is_mapped());
  EXPECT_TRUE(none->As<float>()->empty());
}

TEST_F(MappingTest, SealsAndMappingsRace) {
  for (int round = 0; round < 200; ++round) {
    const Buffer x = *Buffer::Create(cpu_, DType::kInt32, *Shape::Of({1}), {.zeroed = true});
    ASSERT_OK(x.EnsureAllocated());
    bool written = false, sealed = false;
    std::thread writer([&] {
      absl::StatusOr<Mapping> region = x.Map(Access::kWrite);
      written = region.ok();
      if (written) (*region->AsMutable<int32_t>())[0] = 1;
    });
    std::thread sealer([&] { sealed = x.Seal().ok(); });
    writer.join();
    sealer.join();
    EXPECT_TRUE(written || sealed);
    EXPECT_EQ(x.is_sealed(), sealed);
    EXPECT_EQ(*x.Item<int32_t>(), written ? 1 : 0);
  }
}

}  // namespace
}  // namespace tenure
