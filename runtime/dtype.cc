#include "tenure/runtime/dtype.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

constexpr std::string_view kNames[kDTypeCount] = {"float64",
                                                  "float32",
                                                  "float16",
                                                  "bfloat16",
                                                  "float8_e4m3fn",
                                                  "float8_e5m2",
                                                  "float8_e4m3fnuz",
                                                  "float8_e5m2fnuz",
                                                  "float8_e8m0fnu",
                                                  "float4_e2m1fn",
                                                  "int64",
                                                  "int32",
                                                  "int16",
                                                  "int8",
                                                  "int4",
                                                  "int2",
                                                  "uint64",
                                                  "uint32",
                                                  "uint16",
                                                  "uint8",
                                                  "uint4",
                                                  "uint2",
                                                  "bool",
                                                  "complex64",
                                                  "complex128"};

const absl::flat_hash_map<std::string_view, DType>& Table() {
  static const auto* table = [] {
    auto* t = new absl::flat_hash_map<std::string_view, DType>;
    for (int i = 0; i < kDTypeCount; ++i) t->emplace(kNames[i], static_cast<DType>(i));
    for (auto [name, dtype] : std::initializer_list<std::pair<std::string_view, DType>>{
             {"f64", DType::kFloat64},
             {"double", DType::kFloat64},
             {"f32", DType::kFloat32},
             {"float", DType::kFloat32},
             {"f16", DType::kFloat16},
             {"half", DType::kFloat16},
             {"bf16", DType::kBFloat16},
             {"f8e4m3fn", DType::kFloat8E4M3FN},
             {"f8e5m2", DType::kFloat8E5M2},
             {"f8e4m3fnuz", DType::kFloat8E4M3FNUZ},
             {"f8e5m2fnuz", DType::kFloat8E5M2FNUZ},
             {"f8e8m0fnu", DType::kFloat8E8M0FNU},
             {"f4e2m1fn", DType::kFloat4E2M1FN},
             {"i64", DType::kInt64},
             {"s64", DType::kInt64},
             {"long", DType::kInt64},
             {"i32", DType::kInt32},
             {"s32", DType::kInt32},
             {"int", DType::kInt32},
             {"i16", DType::kInt16},
             {"s16", DType::kInt16},
             {"short", DType::kInt16},
             {"i8", DType::kInt8},
             {"s8", DType::kInt8},
             {"i4", DType::kInt4},
             {"s4", DType::kInt4},
             {"i2", DType::kInt2},
             {"s2", DType::kInt2},
             {"u64", DType::kUInt64},
             {"u32", DType::kUInt32},
             {"u16", DType::kUInt16},
             {"u8", DType::kUInt8},
             {"byte", DType::kUInt8},
             {"u4", DType::kUInt4},
             {"u2", DType::kUInt2},
             {"pred", DType::kBool},
             {"i1", DType::kBool},
             {"c64", DType::kComplex64},
             {"c128", DType::kComplex128}}) {
      t->emplace(name, dtype);
    }
    return t;
  }();
  return *table;
}

}  // namespace

bool IsFloatingPoint(DType dtype) { return dtype <= DType::kFloat4E2M1FN; }
bool IsInteger(DType dtype) { return dtype >= DType::kInt64 && dtype <= DType::kUInt2; }
bool IsComplex(DType dtype) { return dtype == DType::kComplex64 || dtype == DType::kComplex128; }

std::string_view Name(DType dtype) { return kNames[static_cast<uint8_t>(dtype)]; }

absl::StatusOr<DType> ParseDType(std::string_view name) {
  const auto& table = Table();
  // torch and numpy use the same names behind a prefix.
  std::string_view bare = name;
  for (std::string_view prefix : {"torch.", "numpy.", "np."}) {
    if (bare.substr(0, prefix.size()) == prefix) bare.remove_prefix(prefix.size());
  }
  if (auto it = table.find(bare); it != table.end()) return it->second;
  if (auto it = table.find(absl::AsciiStrToLower(bare)); it != table.end()) return it->second;
  return absl::InvalidArgumentError(
      absl::StrCat("unknown dtype '", name,
                   "'; known are float64/32/16, bfloat16, float8_e4m3fn, float8_e5m2, "
                   "float8_e4m3fnuz, float8_e5m2fnuz, float8_e8m0fnu, float4_e2m1fn, "
                   "int64/32/16/8/4/2, uint64/32/16/8/4/2, bool, complex64, complex128"));
}

absl::StatusOr<uint64_t> ByteSize(DType dtype, uint64_t elements) {
  uint64_t bytes;
  if (IsByteSized(dtype)) {
    if (CheckedMul(elements, ItemSize(dtype), &bytes)) return bytes;
  } else {
    const uint64_t per_byte = 8 / BitWidth(dtype);
    return elements / per_byte + (elements % per_byte != 0 ? 1 : 0);
  }
  return absl::OutOfRangeError(
      absl::StrCat(elements, " elements of ", Name(dtype), " take more than 2^64 bytes"));
}

absl::StatusOr<uint64_t> ByteSize(DType dtype, absl::Span<const int64_t> shape) {
  uint64_t elements = 1;
  bool empty = false, wraps = false;
  for (int64_t dim : shape) {
    if (dim < 0) {
      return absl::InvalidArgumentError(absl::StrCat("a dimension is negative: ", dim));
    }
    empty = empty || dim == 0;
    wraps = !CheckedMul(elements, static_cast<uint64_t>(dim), &elements) || wraps;
  }
  if (empty) return uint64_t{0};
  if (wraps) {
    return absl::OutOfRangeError(
        absl::StrCat("a shape of ", shape.size(), " dimensions has more than 2^64 elements"));
  }
  return ByteSize(dtype, elements);
}

}  // namespace tenure
