#include "tenure/runtime/element_types.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/host_span.h"

namespace tenure {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// A format as its definition says it: exact values in double, by the formula. The other way round
// than the codec, so that they don't share mistakes.
struct Format {
  int exponent_bits, mantissa_bits, bias;
  double Value(uint32_t code) const {
    const uint32_t exponent = code >> mantissa_bits;
    const double mantissa = code & ((1u << mantissa_bits) - 1);
    const double unit = std::ldexp(1.0, -mantissa_bits);
    if (exponent == 0) return std::ldexp(mantissa * unit, 1 - bias);
    return std::ldexp(1 + mantissa * unit, static_cast<int>(exponent) - bias);
  }
};

// Values of the finite codes 0..largest, of which `overflow` stands for those that round past the
// end, tried at every value, every midpoint and their neighbours.
template <typename T>
void CheckRounding(const Format& format, uint32_t largest, float overflow, bool negatives) {
  auto expect = [&](float in, uint32_t code) {
    const float want = code > largest ? overflow : static_cast<float>(format.Value(code));
    const float got = T(in);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << in << " gave " << got;
    } else {
      EXPECT_EQ(got, want) << in;
    }
    if (!negatives) return;
    const float minus = T(-in);
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(minus)) << -in;
    } else {
      EXPECT_EQ(minus, -want) << -in;
    }
  };
  for (uint32_t code = 0; code <= largest; ++code) {
    const double here = format.Value(code), next = format.Value(code + 1);
    expect(static_cast<float>(here), code);
    const double midpoint = here + (next - here) / 2;
    const float middle = static_cast<float>(midpoint);
    if (static_cast<double>(middle) != midpoint) continue;  // needs more than float: not reachable
    expect(middle, code % 2 == 0 ? code : code + 1);
    expect(std::nextafter(middle, 0.0f), code);
    expect(std::nextafter(middle, kInf), code + 1);
  }
}

TEST(NarrowFloat, RoundsToNearestEven) {
  CheckRounding<Float16>({5, 10, 15}, 0x7bff, kInf, true);
  CheckRounding<Float8E5M2>({5, 2, 15}, 0x7b, kInf, true);
  CheckRounding<Float8E4M3FN>({4, 3, 7}, 0x7e, kNaN, true);
  CheckRounding<Float8E5M2FNUZ>({5, 2, 16}, 0x7f, kNaN, true);
  CheckRounding<Float8E4M3FNUZ>({4, 3, 8}, 0x7f, kNaN, true);
  CheckRounding<Float4E2M1FN>({2, 1, 1}, 7, 6.0f, true);
}

TEST(NarrowFloat, BFloat16RoundsToNearestEven) {
  // Its subnormals are subnormal floats, so the neighbours are found in the bits.
  for (uint32_t code = 0; code <= 0x7f7f; ++code) {
    auto value = [](uint32_t bits) { return std::bit_cast<float>(bits); };
    const uint32_t even = code % 2 == 0 ? code : code + 1;
    ASSERT_EQ(BFloat16(value(code << 16)).bits(), code);
    ASSERT_EQ(BFloat16(value(code << 16 | 0x7fff)).bits(), code);
    ASSERT_EQ(BFloat16(value(code << 16 | 0x8000)).bits(), even);
    ASSERT_EQ(BFloat16(value(code << 16 | 0x8001)).bits(), code + 1);
    ASSERT_EQ(BFloat16(-value(code << 16 | 0x8001)).bits(), 0x8000 | (code + 1));
    ASSERT_EQ(static_cast<float>(BFloat16::FromBits(static_cast<uint16_t>(code))),
              value(code << 16));
  }
}

TEST(NarrowFloat, ScalesArePowersOfTwo) {
  for (int code = 0; code < 255; ++code) {
    const float value = Float8E8M0FNU::FromBits(static_cast<uint8_t>(code));
    EXPECT_EQ(value, static_cast<float>(std::ldexp(1.0, code - 127)));
    EXPECT_EQ(Float8E8M0FNU(value).bits(), code);
    const float middle = 1.5f * value;
    if (std::isfinite(middle)) {
      EXPECT_EQ(Float8E8M0FNU(std::nextafter(middle, 0.0f)).bits(), code);
      EXPECT_EQ(Float8E8M0FNU(middle).bits(), code % 2 == 0 ? code : code + 1);
      EXPECT_EQ(Float8E8M0FNU(std::nextafter(middle, kInf)).bits(), code + 1);
    }
  }
  EXPECT_EQ(Float8E8M0FNU(0.0f).bits(), 0);
  EXPECT_EQ(Float8E8M0FNU(-0.0f).bits(), 0);
  EXPECT_EQ(Float8E8M0FNU(std::numeric_limits<float>::denorm_min()).bits(), 0);
  for (float none : {-1.0f, -kInf, kInf, kNaN, std::numeric_limits<float>::max()}) {
    EXPECT_EQ(Float8E8M0FNU(none).bits(), 0xff) << none;
  }
  EXPECT_TRUE(std::isnan(Float8E8M0FNU::FromBits(0xff)));
}

TEST(NarrowFloat, EveryValueSurvivesTheWayThroughFloat) {
  auto check = [](auto zero, uint32_t codes) {
    using T = decltype(zero);
    for (uint32_t code = 0; code < codes; ++code) {
      const T value = T::FromBits(static_cast<decltype(zero.bits())>(code));
      const float wide = value;
      const T back(wide);
      if (std::isnan(wide)) {
        EXPECT_TRUE(std::isnan(static_cast<float>(back))) << code;
      } else {
        EXPECT_EQ(back.bits(), value.bits()) << wide;
        const bool is_signed = !std::is_same_v<T, Float8E8M0FNU>;
        EXPECT_EQ(std::signbit(wide), is_signed && code >= codes / 2);
      }
    }
  };
  check(Float16(), 0x10000);
  check(BFloat16(), 0x10000);
  check(Float8E5M2(), 256);
  check(Float8E4M3FN(), 256);
  check(Float8E5M2FNUZ(), 256);
  check(Float8E4M3FNUZ(), 256);
  check(Float8E8M0FNU(), 256);
  check(Float4E2M1FN(), 16);
}

TEST(NarrowFloat, EndsOfTheRange) {
  EXPECT_EQ(Float16(65504.0f).bits(), 0x7bff);
  EXPECT_EQ(Float16(65519.99f).bits(), 0x7bff);
  EXPECT_EQ(Float16(65520.0f).bits(), 0x7c00);
  EXPECT_EQ(Float16(-kInf).bits(), 0xfc00);
  EXPECT_EQ(Float16(std::ldexp(1.0f, -24)).bits(), 1);
  EXPECT_EQ(Float16(std::ldexp(1.0f, -25)).bits(), 0);
  EXPECT_EQ(Float16(-std::ldexp(1.0f, -26)).bits(), 0x8000);
  EXPECT_EQ(Float16(1.0f).bits(), 0x3c00);
  EXPECT_EQ(BFloat16(std::numeric_limits<float>::max()).bits(), 0x7f80);
  EXPECT_EQ(Float8E4M3FN(448.0f).bits(), 0x7e);
  EXPECT_EQ(Float8E4M3FN(464.0f).bits(), 0x7e);
  EXPECT_EQ(Float8E4M3FN(465.0f).bits(), 0x7f);
  EXPECT_EQ(Float8E4M3FN(-kInf).bits(), 0xff);
  EXPECT_EQ(Float8E5M2(57344.0f).bits(), 0x7b);
  EXPECT_EQ(Float8E5M2(61440.0f).bits(), 0x7c);
  EXPECT_EQ(Float8E4M3FNUZ(240.0f).bits(), 0x7f);
  EXPECT_EQ(Float8E4M3FNUZ(kInf).bits(), 0x80);
  EXPECT_EQ(Float8E4M3FNUZ(-0.0f).bits(), 0);
  EXPECT_EQ(Float8E4M3FNUZ(-1e-9f).bits(), 0);
  EXPECT_EQ(Float8E5M2FNUZ(57344.0f).bits(), 0x7f);
  EXPECT_EQ(Float4E2M1FN(-kInf).bits(), 0xf);
  EXPECT_EQ(Float4E2M1FN(kNaN).bits(), 7);
  for (float nan : {kNaN, -kNaN}) {
    EXPECT_TRUE(std::isnan(Float16(nan)));
    EXPECT_TRUE(std::isnan(BFloat16(nan)));
    EXPECT_TRUE(std::isnan(Float8E5M2(nan)));
    EXPECT_TRUE(std::isnan(Float8E4M3FN(nan)));
    EXPECT_TRUE(std::isnan(Float8E5M2FNUZ(nan)));
    EXPECT_TRUE(std::isnan(Float8E4M3FNUZ(nan)));
  }
  // A NaN whose payload is all in the bits that are cut off stays one.
  EXPECT_TRUE(std::isnan(BFloat16(std::bit_cast<float>(0x7f800001u))));
  EXPECT_TRUE(std::isnan(Float16(std::bit_cast<float>(0xff800001u))));
}

TEST(NarrowInt, KeepsTheLowBits) {
  for (int i = -8; i < 8; ++i) EXPECT_EQ(Int4(i), i);
  for (int i = -2; i < 2; ++i) EXPECT_EQ(Int2(i), i);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(UInt4(i), i);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(UInt2(i), i);
  EXPECT_EQ(Int4(8), -8);
  EXPECT_EQ(UInt4(-1), 15);
  EXPECT_EQ(Int2::FromBits(0xfe), -2);
  EXPECT_EQ(Int4::kMin, -8);
  EXPECT_EQ(UInt2::kMax, 3);
}

TEST(DTypeOf, NamesEveryElementType) {
  static_assert(kDTypeOf<long> == DType::kInt64 && kDTypeOf<long long> == DType::kInt64);
  static_assert(kDTypeOf<unsigned long> == DType::kUInt64 && kDTypeOf<int8_t> == DType::kInt8);
  static_assert(kDTypeOf<const float> == DType::kFloat32 && kDTypeOf<bool> == DType::kBool);
  static_assert(kDTypeOf<std::complex<double>> == DType::kComplex128);
  static_assert(!Element<char> && !Element<void*> && !Element<std::byte>);
  static_assert(ByteSizedElement<Float8E5M2> && !ByteSizedElement<Float4E2M1FN>);
  auto size_fits = [](auto... value) {
    return ((!ByteSizedElement<decltype(value)> ||
             sizeof(value) == ItemSize(kDTypeOf<decltype(value)>)) &&
            ...);
  };
  EXPECT_TRUE(size_fits(double(), float(), Float16(), BFloat16(), Float8E4M3FN(), Float8E5M2(),
                        Float8E4M3FNUZ(), Float8E5M2FNUZ(), Float8E8M0FNU(), Float4E2M1FN(),
                        int64_t(), int32_t(), int16_t(), int8_t(), Int4(), Int2(), uint64_t(),
                        uint32_t(), uint16_t(), uint8_t(), UInt4(), UInt2(), bool(),
                        std::complex<float>(), std::complex<double>()));
}

TEST(NdSpan, IndexesRowMajor) {
  std::vector<int> values(24);
  for (int i = 0; i < 24; ++i) values[static_cast<size_t>(i)] = i;
  const NdSpan<int> span(values.data(), *Shape::Of({2, 3, 4}));
  EXPECT_EQ(span.rank(), 3);
  EXPECT_EQ(span(0, 0, 0), 0);
  EXPECT_EQ(span(1, 2, 3), 23);
  EXPECT_EQ(span(1, 0, 2), 14);
  span(1, 0, 2) = -1;
  EXPECT_EQ(values[14], -1);
  EXPECT_EQ(span.flat().size(), 24u);
  EXPECT_EQ(span.strides(), absl::MakeConstSpan({int64_t{12}, int64_t{4}, int64_t{1}}));
  const NdSpan<const int> read = span;
  EXPECT_EQ(read(0, 1, 1), 5);
  absl::StatusOr<int*> at = span.At({0, 2, 3});
  ASSERT_TRUE(at.ok());
  EXPECT_EQ(**at, 11);
  EXPECT_EQ(span.At({0, 3, 0}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(span.At({0, -1, 0}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(span.At({0, 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(NdSpan, EveryRankAndEmptyOnes) {
  std::vector<float> values(1 << 8, 1.5f);
  for (int rank = 0; rank <= Shape::kMaxRank; ++rank) {
    const std::vector<int64_t> dims(static_cast<size_t>(rank), 2);
    const std::vector<int64_t> last(static_cast<size_t>(rank), 1);
    const NdSpan<float> span(values.data(), *Shape::Of(dims));
    EXPECT_EQ(span.size(), size_t{1} << rank);
    ASSERT_TRUE(span.At(last).ok());
    EXPECT_EQ(*span.At(last) - values.data(), (1 << rank) - 1);
  }
  const NdSpan<float> scalar(values.data(), Shape());
  EXPECT_EQ(scalar(), 1.5f);
  EXPECT_EQ(
      NdSpan<float>(values.data(), *Shape::Of({2, 2, 2, 2, 2, 2, 2, 2}))(1, 1, 1, 1, 1, 1, 1, 0),
      1.5f);
  constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
  const NdSpan<float> empty(nullptr, *Shape::Of({kHuge, 0, kHuge}));
  EXPECT_TRUE(empty.empty());
  EXPECT_EQ(empty.At({0, 0, 0}).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(NdSpan<int>().empty());
}

TEST(ElementTypes, DoublesAreRoundedOnce) {
  // A little above halfway between 1 and the next Float16: as a float it is halfway, and so would
  // go to the even neighbour, 1.
  EXPECT_EQ(Float16(1 + 0x1p-11 + 0x1p-30).bits(), 0x3c01);
  EXPECT_EQ(Float16(1 + 0x1p-11).bits(), 0x3c00);
  EXPECT_EQ(Float16(1 + 0x1p-11 - 0x1p-30).bits(), 0x3c00);
  EXPECT_EQ(Float16(-1 - 0x1p-11 - 0x1p-30).bits(), 0xbc01);
  EXPECT_EQ(BFloat16(1 + 0x1p-8 + 0x1p-40).bits(), 0x3f81);
  EXPECT_EQ(Float8E4M3FN(1 + 0x1p-4 + 0x1p-50).bits(), 0x39);
  EXPECT_EQ(Float16(1e300).bits(), 0x7c00);
  EXPECT_EQ(Float16(-1e-300).bits(), 0x8000);
  // Half of the smallest value, and a little more.
  EXPECT_EQ(Float16(0x1p-25).bits(), 0);
  EXPECT_EQ(Float16(0x1p-25 + 0x1p-60).bits(), 1);
}

}  // namespace
}  // namespace tenure
