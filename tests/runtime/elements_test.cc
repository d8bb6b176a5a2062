#include <cstddef>
#include <cstdint>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// Whether FillWith takes a T.
template <typename T>
concept Fillable = requires(const Buffer& buffer, T value) {
  buffer.FillWith(value);
};

class ElementsTest : public ::testing::Test {
 protected:
  Buffer Make(DType dtype, std::initializer_list<int64_t> dims) {
    return *Buffer::Create(cpu_, dtype, *Shape::Of(dims), {.zeroed = true});
  }

  CpuAllocator cpu_;
  FarAllocator far_;
};

TEST_F(ElementsTest, FillWithChecksTheDType) {
  const Buffer floats = Make(DType::kFloat32, {4});
  EXPECT_CODE(InvalidArgument, floats.FillWith(1.0));
  EXPECT_CODE(InvalidArgument, floats.FillWith(1));
  EXPECT_FALSE(floats.is_allocated()) << "what is refused allocates nothing";
  ASSERT_OK(floats.FillWith(1.0f));
  for (float x : std::vector<float>{(*floats.As<float>())[0], (*floats.As<float>())[3]}) {
    EXPECT_EQ(x, 1.0f);
  }
  EXPECT_TRUE(Fillable<float>);
  EXPECT_TRUE(Fillable<Int4>);
  EXPECT_FALSE(Fillable<const char*>);
  EXPECT_FALSE(Fillable<std::nullptr_t>);
}

TEST_F(ElementsTest, FillWithRepeatsPackedElements) {
  const Buffer nibbles = Make(DType::kInt4, {5});
  ASSERT_OK(nibbles.FillWith(Int4(3)));
  const Buffer pairs = Make(DType::kUInt2, {7});
  ASSERT_OK(pairs.FillWith(UInt2(2)));
  for (int64_t i = 0; i < 5; ++i) EXPECT_EQ(*nibbles.Get<Int4>({i}), 3) << i;
  for (int64_t i = 0; i < 7; ++i) EXPECT_EQ(*pairs.Get<UInt2>({i}), 2) << i;
  EXPECT_CODE(InvalidArgument, nibbles.FillWith(UInt4(3)));
}

TEST_F(ElementsTest, PackedSlicesEndWhereAByteEnds) {
  const Buffer m = Make(DType::kInt4, {2, 3});
  ASSERT_OK(m.Set<Int4>({1, 0}, Int4(5)));
  // Row 0 ends within a byte, whose other half is m[1,0]: a write of the row would change it.
  EXPECT_CODE(InvalidArgument, m.Slice(0, 1));
  EXPECT_CODE(InvalidArgument, m.Slice(1, 2));
  EXPECT_OK(m.Slice(0, 2));
  EXPECT_OK(m.Slice(0, 0));
  EXPECT_CODE(InvalidArgument, m.View(0, DType::kInt4, *Shape::Of({3})));
  EXPECT_CODE(InvalidArgument, m.Reinterpret(DType::kInt4, *Shape::Of({5})));
  EXPECT_CODE(InvalidArgument, m.View(0, DType::kUInt2, *Shape::Of({3})));
  EXPECT_EQ(*m.Get<Int4>({1, 0}), 5);
  // What is left over of the last byte belongs to nobody else.
  const Buffer odd = Make(DType::kInt4, {3, 3});
  EXPECT_OK(odd.Slice(2, 3));
  EXPECT_OK(odd.Slice(0, 3));
  EXPECT_OK(odd.Slice(0, 2));
  // Nor does it where the bytes were whole elements of another type.
  EXPECT_OK(Make(DType::kUInt8, {4}).View(0, DType::kInt4, *Shape::Of({3})));
}

TEST_F(ElementsTest, PaddingIsNoElementOfAView) {
  const Buffer x = Make(DType::kInt4, {3});
  EXPECT_EQ(x.View(0, 2)->shape(), *Shape::Of({3}));
  EXPECT_EQ(x.View(1, 1)->shape(), *Shape::Of({1}));
  EXPECT_EQ(x.View(0, 1)->shape(), *Shape::Of({2}));
  EXPECT_EQ(x.View(2, 0)->shape(), *Shape::Of({0}));
  EXPECT_EQ(x.View(0, 2)->View(1, 1)->shape(), *Shape::Of({1}));
  EXPECT_EQ(Make(DType::kInt4, {4}).View(0, 2)->shape(), *Shape::Of({4}));
  EXPECT_EQ(Make(DType::kUInt2, {5}).View(1, 1)->shape(), *Shape::Of({1}));
}

TEST_F(ElementsTest, TypedCopiesCheckTheDTypeAndTheSize) {
  const std::vector<float> values = {1, 2, 3};
  std::vector<float> back(3);
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    const Buffer x = *Buffer::Create(*allocator, DType::kFloat32, *Shape::Of({3}));
    EXPECT_CODE(InvalidArgument, x.CopyIn<double>({1.0, 2.0, 3.0}));
    EXPECT_CODE(InvalidArgument, x.CopyIn<int32_t>({1, 2, 3}));
    EXPECT_CODE(InvalidArgument, x.CopyIn<float>({1.0f, 2.0f}));
    EXPECT_FALSE(x.is_allocated()) << "what is refused allocates nothing";
    ASSERT_OK(x.CopyIn<float>(values));
    ASSERT_OK(x.CopyIn(absl::MakeConstSpan(values)));
    EXPECT_CODE(InvalidArgument, x.CopyOut(absl::MakeSpan(back).subspan(1)));
    ASSERT_OK(x.CopyOut(absl::MakeSpan(back)));
    EXPECT_EQ(back, values);
  }
  EXPECT_CODE(FailedPrecondition, Buffer().CopyIn<uint8_t>({}));
  // A byte of a tensor may be 2, and a C++ bool may not.
  const Buffer bits = Make(DType::kUInt8, {2});
  ASSERT_OK(bits.CopyIn<uint8_t>({0, 2}));
  bool flags[2] = {true, false};
  ASSERT_OK(bits.Reinterpret(DType::kBool, *Shape::Of({2}))->CopyOut(absl::MakeSpan(flags)));
  EXPECT_FALSE(flags[0]);
  EXPECT_TRUE(flags[1]);
}

// Whether As<T> may be called on a B.
template <typename B, typename T>
concept Spannable = requires(B buffer) {
  static_cast<B&&>(buffer).template As<T>();
};

TEST_F(ElementsTest, SpansOfTemporariesAreRefused) {
  EXPECT_TRUE((Spannable<const Buffer&, float>));
  EXPECT_FALSE((Spannable<Buffer&&, float>));
  EXPECT_FALSE((Spannable<const Buffer&&, float>));
}

}  // namespace
}  // namespace tenure
