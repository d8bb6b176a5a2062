// Element types: C++ values for the dtypes that C++ has no type for, and kDTypeOf, which names the
// dtype of a C++ type.
//
// Why: kernels, tests and host programs can write As<BFloat16>() and Item<Float8E4M3FN>() as
// plainly as As<float>().
//
// Example:
//   Float16 half(0.1f);               // rounded to nearest, ties to even
//   float back = half;                // exact
//   BFloat16 raw = BFloat16::FromBits(0x3f80);
//   static_assert(kDTypeOf<Float16> == DType::kFloat16);
//
// The formats:
//
//   type            bits  exponent bias  largest      overflow and inf   NaN     zeros
//   Float16          16       5      15  65504        inf                quiet   +0 -0
//   BFloat16         16       8     127  3.39e38      inf                quiet   +0 -0
//   Float8E5M2        8       5      15  57344        inf                quiet   +0 -0
//   Float8E4M3FN      8       4       7  448          NaN                0x7f    +0 -0
//   Float8E5M2FNUZ    8       5      16  57344        NaN                0x80    +0
//   Float8E4M3FNUZ    8       4       8  240          NaN                0x80    +0
//   Float8E8M0FNU     8       8     127  2^127        NaN                0xff    none: 2^-127
//   Float4E2M1FN      4       2       1  6            6                  none: 6 +0 -0
//
// Float8E8M0FNU holds powers of two only: zero becomes its smallest value, and negative values
// become NaN. Float4E2M1FN, Int4, UInt4, Int2 and UInt2 take a byte each as C++ values and are
// packed in tensors. So they can be used with Get, Set, Item and FillWith, but not with As.
//
// Cost: widening is a few integer operations, rounding some ten. Every function is constexpr.
// Thread safety: values and pure functions. Errors: none.

#ifndef TENURE_RUNTIME_ELEMENT_TYPES_H_
#define TENURE_RUNTIME_ELEMENT_TYPES_H_

#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tenure/runtime/dtype.h"
#include "tenure/runtime/float_codec.h"

namespace tenure {
namespace internal {

// A floating-point value of `Bits`, which converts to float and, explicitly, from it.
template <typename Bits, typename Codec, DType kType>
class NarrowFloat {
 public:
  static constexpr DType kDType = kType;

  constexpr NarrowFloat() = default;
  constexpr explicit NarrowFloat(float value) : bits_(static_cast<Bits>(Codec::Encode(value))) {}
  // Rounded once, and not to a float first. A template, so that other numbers go by float.
  template <std::same_as<double> D>
  constexpr explicit NarrowFloat(D value) : NarrowFloat(RoundToOdd(value)) {}
  static constexpr NarrowFloat FromBits(Bits bits) {
    NarrowFloat value;
    value.bits_ = bits;
    return value;
  }
  constexpr Bits bits() const { return bits_; }
  constexpr operator float() const { return Codec::Decode(bits_); }  // NOLINT: exact

 private:
  Bits bits_ = 0;
};

// An integer of `kBits` bits; values outside keep their low bits.
template <int kBits, bool kSigned, DType kType>
class NarrowInt {
 public:
  static constexpr DType kDType = kType;
  static constexpr int kMin = kSigned ? -(1 << (kBits - 1)) : 0;
  static constexpr int kMax = (1 << (kSigned ? kBits - 1 : kBits)) - 1;

  constexpr NarrowInt() = default;
  constexpr explicit NarrowInt(int value)
      : bits_(static_cast<uint8_t>(static_cast<unsigned>(value) & ((1u << kBits) - 1))) {}
  static constexpr NarrowInt FromBits(uint8_t bits) { return NarrowInt(static_cast<int>(bits)); }
  constexpr uint8_t bits() const { return bits_; }
  constexpr operator int() const {  // NOLINT: exact
    return bits_ > kMax ? static_cast<int>(bits_) - (1 << kBits) : static_cast<int>(bits_);
  }

 private:
  uint8_t bits_ = 0;
};

}  // namespace internal

using Float16 =
    internal::NarrowFloat<uint16_t, internal::FloatCodec<5, 10, 15, internal::FloatFlavor::kIeee>,
                          DType::kFloat16>;
using BFloat16 = internal::NarrowFloat<uint16_t, internal::BFloat16Codec, DType::kBFloat16>;
using Float8E4M3FN =
    internal::NarrowFloat<uint8_t, internal::FloatCodec<4, 3, 7, internal::FloatFlavor::kFn>,
                          DType::kFloat8E4M3FN>;
using Float8E5M2 =
    internal::NarrowFloat<uint8_t, internal::FloatCodec<5, 2, 15, internal::FloatFlavor::kIeee>,
                          DType::kFloat8E5M2>;
using Float8E4M3FNUZ =
    internal::NarrowFloat<uint8_t, internal::FloatCodec<4, 3, 8, internal::FloatFlavor::kFnuz>,
                          DType::kFloat8E4M3FNUZ>;
using Float8E5M2FNUZ =
    internal::NarrowFloat<uint8_t, internal::FloatCodec<5, 2, 16, internal::FloatFlavor::kFnuz>,
                          DType::kFloat8E5M2FNUZ>;
using Float8E8M0FNU = internal::NarrowFloat<uint8_t, internal::E8M0Codec, DType::kFloat8E8M0FNU>;
using Float4E2M1FN =
    internal::NarrowFloat<uint8_t, internal::FloatCodec<2, 1, 1, internal::FloatFlavor::kFinite>,
                          DType::kFloat4E2M1FN>;

using Int4 = internal::NarrowInt<4, true, DType::kInt4>;
using Int2 = internal::NarrowInt<2, true, DType::kInt2>;
using UInt4 = internal::NarrowInt<4, false, DType::kUInt4>;
using UInt2 = internal::NarrowInt<2, false, DType::kUInt2>;

namespace internal {

template <typename T>
struct DTypeOf {};  // T is no tensor element
template <typename T>
requires std::same_as<const DType, decltype(T::kDType)>
struct DTypeOf<T> : std::integral_constant<DType, T::kDType> {
};

template <DType kType>
using DTypeConstant = std::integral_constant<DType, kType>;
template <typename T>
struct IntegerDType
    : DTypeConstant<sizeof(T) == 8   ? (std::is_signed_v<T> ? DType::kInt64 : DType::kUInt64)
                    : sizeof(T) == 4 ? (std::is_signed_v<T> ? DType::kInt32 : DType::kUInt32)
                    : sizeof(T) == 2 ? (std::is_signed_v<T> ? DType::kInt16 : DType::kUInt16)
                                     : (std::is_signed_v<T> ? DType::kInt8 : DType::kUInt8)> {};
// Listed by name: `char` and the character types are no numbers and stay out, and both `long` and
// `long long` are in.
template <>
struct DTypeOf<signed char> : IntegerDType<signed char> {};
template <>
struct DTypeOf<short> : IntegerDType<short> {};
template <>
struct DTypeOf<int> : IntegerDType<int> {};
template <>
struct DTypeOf<long> : IntegerDType<long> {};
template <>
struct DTypeOf<long long> : IntegerDType<long long> {};
template <>
struct DTypeOf<unsigned char> : IntegerDType<unsigned char> {};
template <>
struct DTypeOf<unsigned short> : IntegerDType<unsigned short> {};
template <>
struct DTypeOf<unsigned int> : IntegerDType<unsigned int> {};
template <>
struct DTypeOf<unsigned long> : IntegerDType<unsigned long> {};
template <>
struct DTypeOf<unsigned long long> : IntegerDType<unsigned long long> {};
template <>
struct DTypeOf<bool> : DTypeConstant<DType::kBool> {};
template <>
struct DTypeOf<float> : DTypeConstant<DType::kFloat32> {};
template <>
struct DTypeOf<double> : DTypeConstant<DType::kFloat64> {};
template <>
struct DTypeOf<std::complex<float>> : DTypeConstant<DType::kComplex64> {};
template <>
struct DTypeOf<std::complex<double>> : DTypeConstant<DType::kComplex128> {};

}  // namespace internal

// Whether T is the C++ type of a dtype.
template <typename T>
concept Element = requires {
  internal::DTypeOf<std::remove_cv_t<T>>::value;
};

template <Element T>
inline constexpr DType kDTypeOf = internal::DTypeOf<std::remove_cv_t<T>>::value;

// Whether the elements of a tensor can be seen as an array of T. Packed ones can't.
template <typename T>
concept ByteSizedElement = Element<T> && IsByteSized(kDTypeOf<T>);

namespace internal {

// One element as a tensor holds it; a packed one in the low bits of a byte.
template <Element T>
struct ElementBytes {
  ElementBytes() = default;
  explicit ElementBytes(T value) {
    if constexpr (std::same_as<T, bool>) {
      bytes[0] = value ? std::byte{1} : std::byte{0};
    } else {
      std::memcpy(bytes, &value, sizeof(T));
    }
  }
  T ToValue() const {
    if constexpr (std::same_as<T, bool>) {
      return bytes[0] != std::byte{0};  // no C++ bool holds anything but 0 and 1
    } else {
      T value;
      std::memcpy(&value, bytes, sizeof(T));
      return value;
    }
  }

  std::byte bytes[sizeof(T)] = {};
};

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_ELEMENT_TYPES_H_
