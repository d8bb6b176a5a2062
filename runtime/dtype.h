// DType: the element types of tensors, how many bits they take, and their names.
//
// Example:
//   Name(DType::kBFloat16);             // "bfloat16"
//   ParseDType("bf16").value();         // DType::kBFloat16, as of "bfloat16"
//   ByteSize(DType::kInt4, 5).value();  // 3
//
// Elements narrower than a byte are packed, low bits first, and a tensor takes whole bytes.
//
// Thread safety: pure functions. Errors: InvalidArgument (unknown name), OutOfRange (a size of more
// than 64 bits).

#ifndef TENURE_RUNTIME_DTYPE_H_
#define TENURE_RUNTIME_DTYPE_H_

#include <cstdint>
#include <ostream>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace tenure {

enum class DType : uint8_t {
  kFloat64,
  kFloat32,
  kFloat16,
  kBFloat16,
  kFloat8E4M3FN,
  kFloat8E5M2,
  kFloat8E4M3FNUZ,
  kFloat8E5M2FNUZ,
  kFloat8E8M0FNU,
  kFloat4E2M1FN,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kInt4,
  kInt2,
  kUInt64,
  kUInt32,
  kUInt16,
  kUInt8,
  kUInt4,
  kUInt2,
  kBool,
  kComplex64,
  kComplex128,
};
inline constexpr int kDTypeCount = 25;

namespace internal {
inline constexpr uint8_t kDTypeBits[kDTypeCount] = {64, 32, 16, 16, 8,  8,  8, 8, 8, 4, 64, 32, 16,
                                                    8,  4,  2,  64, 32, 16, 8, 4, 2, 8, 64, 128};
}  // namespace internal

// Bits of one element: 2 to 128.
constexpr uint64_t BitWidth(DType dtype) {
  return internal::kDTypeBits[static_cast<uint8_t>(dtype)];
}
// Whether an element takes whole bytes.
constexpr bool IsByteSized(DType dtype) { return BitWidth(dtype) % 8 == 0; }
// Bytes of one element; 0 for those narrower than a byte.
constexpr uint64_t ItemSize(DType dtype) { return BitWidth(dtype) / 8; }

bool IsFloatingPoint(DType dtype);
bool IsInteger(DType dtype);  // signed or not; bool is not
bool IsComplex(DType dtype);

// "float32", "bfloat16", "float8_e4m3fn", "int4", "bool", "complex64", ...
std::string_view Name(DType dtype);
// Takes the names above and the usual short ones: f32, bf16, f8e4m3fn, i64, u8, s8, c64, half,
// double, ...
absl::StatusOr<DType> ParseDType(std::string_view name);

// Bytes that `elements` elements take together.
absl::StatusOr<uint64_t> ByteSize(DType dtype, uint64_t elements);
// Bytes of a dense tensor; dimensions must not be negative.
absl::StatusOr<uint64_t> ByteSize(DType dtype, absl::Span<const int64_t> shape);

inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << Name(dtype); }

}  // namespace tenure

#endif  // TENURE_RUNTIME_DTYPE_H_
