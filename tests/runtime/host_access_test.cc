#include <complex>
#include <cstdint>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

class HostAccessTest : public ::testing::Test {
 protected:
  Buffer Make(DType dtype, std::initializer_list<int64_t> dims, BufferOptions options = {}) {
    absl::StatusOr<Buffer> made = Buffer::Create(cpu_, dtype, *Shape::Of(dims), options);
    EXPECT_OK(made);
    return *made;
  }

  CpuAllocator cpu_;
  FarAllocator far_;
  NullAllocator null_;
};

TEST_F(HostAccessTest, TypedSpans) {
  const Buffer x = Make(DType::kFloat32, {2, 3});
  absl::StatusOr<absl::Span<float>> xs = x.AsMutable<float>();
  ASSERT_OK(xs);
  ASSERT_EQ(xs->size(), 6u);
  for (size_t i = 0; i < 6; ++i) (*xs)[i] = static_cast<float>(i);
  absl::StatusOr<NdSpan<const float>> m = x.AsShaped<float>();
  ASSERT_OK(m);
  EXPECT_EQ((*m)(1, 2), 5.0f);
  absl::StatusOr<NdSpan<float>> writable = x.AsShapedMutable<float>();
  ASSERT_OK(writable);
  (*writable)(0, 1) = 9;
  EXPECT_EQ((*x.As<float>())[1], 9.0f);
  // A view sees its part.
  EXPECT_EQ((*x.Slice(1, 2)->As<float>())[0], 3.0f);
  EXPECT_EQ(x.Bytes()->size(), 24u);
  EXPECT_EQ(static_cast<const void*>(x.Bytes()->data()), xs->data());
}

TEST_F(HostAccessTest, EveryTypeMatchesItsDTypeAlone) {
  const Buffer bytes = Make(DType::kUInt8, {64}, {.zeroed = true});
  auto check = [&]<typename T>(T) {
    for (int d = 0; d < kDTypeCount; ++d) {
      const auto dtype = static_cast<DType>(d);
      const auto count = static_cast<int64_t>(64 * 8 / BitWidth(dtype));
      absl::StatusOr<Buffer> typed = bytes.Reinterpret(dtype, *Shape::Of({count}));
      ASSERT_OK(typed);
      if (dtype == kDTypeOf<T>) {
        EXPECT_OK(typed->As<T>());
        EXPECT_OK(typed->AsMutable<T>());
        EXPECT_EQ(typed->AsShaped<T>()->size(), static_cast<size_t>(count));
        EXPECT_OK(typed->Get<T>({0}));
      } else {
        EXPECT_CODE(InvalidArgument, typed->As<T>());
        EXPECT_CODE(InvalidArgument, typed->AsMutable<T>());
        EXPECT_CODE(InvalidArgument, typed->AsShaped<T>());
        EXPECT_CODE(InvalidArgument, typed->AsShapedMutable<T>());
        EXPECT_CODE(InvalidArgument, typed->Get<T>({0}));
        EXPECT_CODE(InvalidArgument, typed->Set<T>({0}, T()));
        EXPECT_CODE(InvalidArgument, typed->Item<T>());
      }
    }
  };
  auto check_all = [&](auto... value) { (check(value), ...); };
  check_all(double(), float(), Float16(), BFloat16(), Float8E4M3FN(), Float8E5M2(),
            Float8E4M3FNUZ(), Float8E5M2FNUZ(), Float8E8M0FNU(), int64_t(), int32_t(), int16_t(),
            int8_t(), uint64_t(), uint32_t(), uint16_t(), uint8_t(), bool(), std::complex<float>(),
            std::complex<double>());
}

TEST_F(HostAccessTest, MisalignedWindows) {
  const Buffer bytes = Make(DType::kUInt8, {33}, {.zeroed = true});
  const absl::StatusOr<Buffer> odd = bytes.View(1, DType::kFloat32, *Shape::Of({8}));
  ASSERT_OK(odd);
  EXPECT_CODE(InvalidArgument, odd->As<float>());
  EXPECT_CODE(InvalidArgument, odd->AsMutable<float>());
  EXPECT_OK(odd->Bytes());
  // What copies needs no alignment.
  EXPECT_OK(odd->Set<float>({7}, 2.5f));
  EXPECT_EQ(*odd->Get<float>({7}), 2.5f);
  EXPECT_EQ(*bytes.Get<uint8_t>({32}), 0x40);
}

TEST_F(HostAccessTest, SpacesWithoutHostAccess) {
  const Buffer far = *Buffer::Create(far_, DType::kFloat32, *Shape::Of({4}));
  EXPECT_CODE(Unimplemented, far.As<float>());
  EXPECT_CODE(Unimplemented, far.AsMutable<float>());
  EXPECT_CODE(Unimplemented, far.AsShaped<float>());
  EXPECT_CODE(Unimplemented, far.Bytes());
  EXPECT_CODE(Unimplemented, far.MutableBytes());
  EXPECT_OK(far.Set<float>({2}, 7.0f));
  EXPECT_EQ(*far.Get<float>({2}), 7.0f);
  const Buffer none = *Buffer::Create(null_, DType::kFloat32, *Shape::Of({4}));
  EXPECT_CODE(Unimplemented, none.As<float>());
  EXPECT_FALSE(none.Get<float>({2}).ok());
}

TEST_F(HostAccessTest, NullBuffers) {
  const Buffer null;
  EXPECT_CODE(FailedPrecondition, null.As<float>());
  EXPECT_CODE(FailedPrecondition, null.As<uint8_t>());
  EXPECT_CODE(FailedPrecondition, null.AsMutable<uint8_t>());
  EXPECT_CODE(FailedPrecondition, null.Bytes());
  EXPECT_CODE(FailedPrecondition, null.MutableBytes());
  EXPECT_CODE(FailedPrecondition, null.Item<uint8_t>());
  EXPECT_CODE(FailedPrecondition, null.Get<uint8_t>({}));
  EXPECT_CODE(FailedPrecondition, null.Set<uint8_t>({}, uint8_t{1}));
}

TEST_F(HostAccessTest, SealedAndReadOnly) {
  const Buffer x = Make(DType::kInt32, {4}, {.zeroed = true});
  EXPECT_OK(x.Seal());
  EXPECT_CODE(FailedPrecondition, x.AsMutable<int32_t>());
  EXPECT_CODE(FailedPrecondition, x.MutableBytes());
  EXPECT_CODE(FailedPrecondition, x.Set<int32_t>({0}, 1));
  EXPECT_CODE(FailedPrecondition, x.View(0, 4)->AsMutable<int32_t>());
  EXPECT_FALSE(x.is_allocated()) << "a refused write allocates nothing";
  EXPECT_EQ(*x.Get<int32_t>({3}), 0);

  const std::vector<int32_t> constants = {1, 2, 3, 4};
  ForeignMemory memory;
  memory.data = const_cast<int32_t*>(constants.data());
  memory.read_only = true;
  const absl::StatusOr<Buffer> wrapped =
      Buffer::Wrap(cpu_, DType::kInt32, *Shape::Of({4}), memory, 16);
  ASSERT_OK(wrapped);
  EXPECT_EQ((*wrapped->As<int32_t>())[2], 3);
  EXPECT_EQ(wrapped->As<int32_t>()->data(), constants.data());
  EXPECT_CODE(FailedPrecondition, wrapped->AsMutable<int32_t>());
  EXPECT_CODE(FailedPrecondition, wrapped->Set<int32_t>({0}, 7));
}

TEST_F(HostAccessTest, EmptyTensorsNeedNoMemory) {
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_),
                               static_cast<Allocator*>(&null_)}) {
    const Buffer empty = *Buffer::Create(*allocator, DType::kFloat32, *Shape::Of({kHuge, 0, 3}));
    absl::StatusOr<absl::Span<const float>> none = empty.As<float>();
    ASSERT_OK(none);
    EXPECT_TRUE(none->empty());
    EXPECT_OK(empty.AsMutable<float>());
    EXPECT_TRUE(empty.AsShapedMutable<float>()->empty());
    EXPECT_TRUE(empty.Bytes()->empty());
    EXPECT_CODE(InvalidArgument, empty.Item<float>());
    EXPECT_CODE(OutOfRange, empty.Get<float>({0, 0, 0}));
    EXPECT_FALSE(empty.is_allocated());
  }
}

TEST_F(HostAccessTest, ElementsOfEveryRank) {
  for (int rank = 0; rank <= Shape::kMaxRank; ++rank) {
    const std::vector<int64_t> dims(static_cast<size_t>(rank), 3);
    const Buffer x =
        *Buffer::Create(cpu_, DType::kUInt16, *Shape::Of(dims), BufferOptions{.zeroed = true});
    const std::vector<int64_t> last(static_cast<size_t>(rank), 2);
    EXPECT_OK(x.Set<uint16_t>(last, 777));
    EXPECT_EQ(*x.Get<uint16_t>(last), 777);
    EXPECT_EQ(x.As<uint16_t>()->back(), 777);
    if (rank == 0) {
      EXPECT_EQ(*x.Item<uint16_t>(), 777);
      continue;
    }
    EXPECT_CODE(InvalidArgument, x.Item<uint16_t>());
    std::vector<int64_t> outside = last;
    outside.back() = 3;
    EXPECT_CODE(OutOfRange, x.Get<uint16_t>(outside));
    outside.back() = -1;
    EXPECT_CODE(OutOfRange, x.Set<uint16_t>(outside, uint16_t{1}));
    outside.pop_back();
    EXPECT_CODE(InvalidArgument, x.Get<uint16_t>(outside));
  }
  EXPECT_EQ(*Make(DType::kFloat64, {1, 1, 1}, {.zeroed = true}).Item<double>(), 0.0);
}

// Every element written, the last first, and read again against a plain array.
template <typename T>
void CheckPacked(Allocator& allocator, int values) {
  constexpr int kCount = 13;
  const Buffer x =
      *Buffer::Create(allocator, kDTypeOf<T>, *Shape::Of({kCount}), BufferOptions{.zeroed = true});
  std::vector<T> model(kCount);
  for (int i = kCount - 1; i >= 0; --i) {
    const T value = T::FromBits(static_cast<uint8_t>((i * 5 + 3) % values));
    model[static_cast<size_t>(i)] = value;
    ASSERT_OK(x.Set<T>({i}, value));
    for (int j = 0; j < kCount; ++j) {
      ASSERT_EQ(x.Get<T>({j})->bits(), model[static_cast<size_t>(j)].bits()) << i << " " << j;
    }
  }
  EXPECT_CODE(OutOfRange, x.Get<T>({kCount}));
}

TEST_F(HostAccessTest, PackedElements) {
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    CheckPacked<Int4>(*allocator, 16);
    CheckPacked<UInt4>(*allocator, 16);
    CheckPacked<Int2>(*allocator, 4);
    CheckPacked<UInt2>(*allocator, 4);
    CheckPacked<Float4E2M1FN>(*allocator, 16);
  }
  // Low bits first.
  const Buffer x = Make(DType::kInt4, {3}, {.zeroed = true});
  EXPECT_EQ(x.size(), 2u);
  EXPECT_OK(x.Set<Int4>({0}, Int4(1)));
  EXPECT_OK(x.Set<Int4>({1}, Int4(-2)));
  EXPECT_OK(x.Set<Int4>({2}, Int4(7)));
  EXPECT_EQ((*x.Bytes())[0], std::byte{0xe1});
  EXPECT_EQ((*x.Bytes())[1], std::byte{0x07});
  EXPECT_EQ(*x.Get<Int4>({1}), -2);
  EXPECT_OK(x.Seal());
  EXPECT_CODE(FailedPrecondition, x.Set<Int4>({0}, Int4(1)));
}

TEST_F(HostAccessTest, BooleansAreTrueForAnyByteButZero) {
  const Buffer x = Make(DType::kBool, {2}, {.zeroed = true});
  (*x.MutableBytes())[1] = std::byte{2};
  EXPECT_EQ(*x.Get<bool>({0}), false);
  EXPECT_EQ(*x.Get<bool>({1}), true);
  EXPECT_OK(x.Set<bool>({0}, true));
  EXPECT_EQ((*x.Bytes())[0], std::byte{1});
}

TEST_F(HostAccessTest, WaitsForTheUsesInConflictAndNoOthers) {
  const Buffer x = Make(DType::kUInt8, {64}, {.zeroed = true, .immediate = true});
  const Buffer front = *x.View(0, 32), back = *x.View(32, 32);
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(front.RecordUse(Access::kWrite, Fence(timeline, 1)));
  ASSERT_OK(back.RecordUse(Access::kRead, Fence(timeline, 2)));
  EXPECT_CODE(DeadlineExceeded, front.Bytes(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, front.MutableBytes(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, x.Bytes(absl::ZeroDuration()));
  EXPECT_CODE(DeadlineExceeded, front.As<uint8_t>(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, front.AsShaped<uint8_t>(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, back.AsMutable<uint8_t>(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, back.AsShapedMutable<uint8_t>(absl::ZeroDuration()));
  EXPECT_OK(back.Bytes());
  EXPECT_OK(back.As<uint8_t>());
  EXPECT_CODE(DeadlineExceeded, back.MutableBytes(absl::Milliseconds(1)));
  std::thread kernel([&] { timeline->Signal(1); });
  EXPECT_OK(front.AsMutable<uint8_t>());
  kernel.join();
  EXPECT_CODE(DeadlineExceeded, back.MutableBytes(-absl::InfiniteDuration()));
  timeline->Signal(2);
  EXPECT_OK(x.MutableBytes(absl::ZeroDuration()));
}

TEST_F(HostAccessTest, ManyThreadsThatNeedItAllocateOnce) {
  for (int round = 0; round < 20; ++round) {
    const Buffer x = Make(DType::kInt32, {64}, {.zeroed = true});
    const uint64_t before = cpu_.Stats().allocation_count;
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < 64; ++i) {
      threads.emplace_back([&x, i] {
        switch (i % 4) {
          case 0:
            (*x.AsMutable<int32_t>())[static_cast<size_t>(i)] = 1;
            break;
          case 1:
            EXPECT_OK(x.Set<int32_t>({i}, 1));
            break;
          case 2: {
            const int32_t one = 1;
            EXPECT_OK(x.CopyInAt(static_cast<uint64_t>(i) * 4, &one, 4));
            break;
          }
          default:
            EXPECT_OK(x.Slice(i, i + 1)->FillWith<int32_t>(1));
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(cpu_.Stats().allocation_count, before + 1);
    const absl::Span<const int32_t> values = *x.As<int32_t>();
    for (int32_t value : values) EXPECT_EQ(value, 1);
  }
}

}  // namespace
}  // namespace tenure
