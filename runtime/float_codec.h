// Codecs: how the narrow floating-point formats of element_types.h are encoded.
//
// One template serves all formats with a sign, an exponent and a mantissa. They differ only in
// widths, in the bias, and in the codes at the ends of their range.
//
// Example:
//   using Half = internal::FloatCodec<5, 10, 15, internal::FloatFlavor::kIeee>;
//   Half::Encode(1.0f);  // 0x3c00
//
// Cost: decoding is a few integer operations, encoding some ten.
// Thread safety: pure functions. Errors: none.

#ifndef TENURE_RUNTIME_FLOAT_CODEC_H_
#define TENURE_RUNTIME_FLOAT_CODEC_H_

#include <bit>
#include <cstdint>
#include <limits>

namespace tenure {
namespace internal {

enum class FloatFlavor : uint8_t {
  kIeee,    // the largest exponent is inf and NaN
  kFn,      // finite: all ones is NaN, no inf
  kFnuz,    // finite, unsigned zero: what would be -0 is NaN, no inf
  kFinite,  // neither inf nor NaN
};

template <int kExponentBits, int kMantissaBits, int kBias, FloatFlavor kFlavor>
struct FloatCodec {
  static constexpr uint32_t kSign = uint32_t{1} << (kExponentBits + kMantissaBits);
  static constexpr uint32_t kAllOnes = kSign - 1;
  static constexpr uint32_t kInf = kAllOnes >> kMantissaBits << kMantissaBits;
  static constexpr uint32_t kLargest = kFlavor == FloatFlavor::kIeee ? kInf - 1
                                       : kFlavor == FloatFlavor::kFn ? kAllOnes - 1
                                                                     : kAllOnes;

  static constexpr uint32_t NaN(uint32_t sign) {
    switch (kFlavor) {
      case FloatFlavor::kIeee:
        return sign | kInf | (uint32_t{1} << (kMantissaBits - 1));
      case FloatFlavor::kFn:
        return sign | kAllOnes;
      case FloatFlavor::kFnuz:
        return kSign;
      default:
        return kLargest;
    }
  }
  static constexpr uint32_t Overflow(uint32_t sign) {
    if constexpr (kFlavor == FloatFlavor::kIeee) return sign | kInf;
    if constexpr (kFlavor == FloatFlavor::kFinite) return sign | kLargest;
    return NaN(sign);
  }

  static constexpr uint32_t Encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t magnitude = bits & 0x7fffffffu;
    const uint32_t sign = (bits >> 31) != 0 ? kSign : 0;
    const uint32_t zero = kFlavor == FloatFlavor::kFnuz ? 0 : sign;
    if (magnitude > 0x7f800000u) return NaN(sign);
    if (magnitude == 0x7f800000u) return Overflow(sign);
    if (magnitude == 0) return zero;
    // value = significand * 2^(exponent - 23), with bit 23 of the significand set.
    int exponent = static_cast<int>(magnitude >> 23) - 127;
    uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    if (exponent == -127) {
      significand = magnitude;
      exponent = -126;
      while ((significand & 0x800000u) == 0) {
        significand <<= 1;
        --exponent;
      }
    }
    const int biased = exponent + kBias;
    const int shift = 23 - kMantissaBits + (biased < 1 ? 1 - biased : 0);
    if (shift > 24) return zero;  // below half of the smallest value
    const uint32_t half = uint32_t{1} << (shift - 1);
    uint32_t code = significand >> shift;
    const uint32_t rest = significand & (2 * half - 1);
    if (rest > half || (rest == half && (code & 1) != 0)) ++code;
    // The leading bit and a carry out of the rounding add to the exponent.
    if (biased > 1) code += static_cast<uint32_t>(biased - 1) << kMantissaBits;
    if (code > kLargest) return Overflow(sign);
    return code == 0 ? zero : sign | code;
  }

  static constexpr float Decode(uint32_t bits) {
    const uint32_t code = bits & kAllOnes;
    const uint32_t sign = (bits & kSign) != 0 ? 0x80000000u : 0;
    if constexpr (kFlavor == FloatFlavor::kFnuz) {
      if (bits == kSign) return std::bit_cast<float>(0x7fc00000u);
    }
    if constexpr (kFlavor == FloatFlavor::kFn) {
      if (code == kAllOnes) return std::bit_cast<float>(sign | 0x7fc00000u);
    }
    if constexpr (kFlavor == FloatFlavor::kIeee) {
      // Inf, or a NaN with its payload.
      if (code >= kInf) {
        return std::bit_cast<float>(sign | 0x7f800000u | (code - kInf) << (23 - kMantissaBits));
      }
    }
    const uint32_t exponent = code >> kMantissaBits;
    if (exponent == 0) {  // subnormal here, but a normal float
      constexpr float kUnit =
          std::bit_cast<float>(static_cast<uint32_t>(127 + 1 - kBias - kMantissaBits) << 23);
      const float magnitude = static_cast<float>(code) * kUnit;
      return sign != 0 ? -magnitude : magnitude;
    }
    const uint32_t widened = code + (static_cast<uint32_t>(127 - kBias) << kMantissaBits);
    return std::bit_cast<float>(sign | widened << (23 - kMantissaBits));
  }
};

// The float that equals the double. If there is none: the next one towards zero, with its last bit
// set, which tells a narrower format that the double lies above it. Rounding to the nearest float
// instead could make a tie out of a value just above one, and the format would round it down.
constexpr float RoundToOdd(double value) {
  constexpr double kLargest = 0x1.fffffep127;
  if (value > kLargest) return std::numeric_limits<float>::infinity();
  if (value < -kLargest) return -std::numeric_limits<float>::infinity();
  const auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) == value || value != value) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  // Towards zero first.
  const bool away =
      value > 0 ? static_cast<double>(nearest) > value : static_cast<double>(nearest) < value;
  if (away) --bits;
  return std::bit_cast<float>(bits | 1u);
}

struct BFloat16Codec {
  static constexpr uint32_t Encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bits >> 16) | 0x40u;  // NaN, made quiet
    return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  }
  static constexpr float Decode(uint32_t bits) { return std::bit_cast<float>(bits << 16); }
};

struct E8M0Codec {
  static constexpr uint32_t Encode(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (bits >= 0x7f800000u) return bits == 0x80000000u ? 0 : 0xff;  // inf, NaN, negative; -0 is 0
    const uint32_t code = bits >> 23;
    const uint32_t rest = bits & 0x7fffffu;
    // Halfway between 2^k and 2^(k+1) is 1.5 * 2^k; subnormal floats lie below 2^-126, and halfway
    // to it is 0.75 of it.
    if (code == 0) return rest > 0x600000u ? 1 : 0;
    return code + (rest > 0x400000u || (rest == 0x400000u && (code & 1) != 0) ? 1 : 0);
  }
  static constexpr float Decode(uint32_t bits) {
    if (bits == 0xff) return std::bit_cast<float>(0x7fc00000u);
    return std::bit_cast<float>(bits == 0 ? 0x400000u : bits << 23);
  }
};

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_FLOAT_CODEC_H_
