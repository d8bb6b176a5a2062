// Arithmetic on sizes and offsets from outside. Nothing here can wrap: results that do not fit are
// reported.
//
// Example:
//   uint64_t end;
//   if (!CheckedAdd(offset_bytes, size_bytes, &end)) {
//     return absl::OutOfRangeError("the window ends beyond 2^64");
//   }
//
// Cost: an add or multiply and a flag test. Thread safety: pure functions.

#ifndef TENURE_BASE_CHECKED_H_
#define TENURE_BASE_CHECKED_H_

#include <cstdint>

namespace tenure {

// *sum = a + b. False (and *sum unspecified) if that needs more than 64 bits.
[[nodiscard]] inline bool CheckedAdd(uint64_t a, uint64_t b, uint64_t* sum) {
  return !__builtin_add_overflow(a, b, sum);
}

// *product = a * b. False if that needs more than 64 bits.
[[nodiscard]] inline bool CheckedMul(uint64_t a, uint64_t b, uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

// Whether [offset, offset + size) lies in [0, total).
[[nodiscard]] inline bool WindowFits(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

[[nodiscard]] inline bool IsPowerOfTwo(uint64_t x) { return x != 0 && (x & (x - 1)) == 0; }

// *rounded = the smallest multiple of `alignment` (a power of two) that is >= size.
[[nodiscard]] inline bool CheckedRoundUp(uint64_t size, uint64_t alignment, uint64_t* rounded) {
  uint64_t sum;
  if (!CheckedAdd(size, alignment - 1, &sum)) return false;
  *rounded = sum & ~(alignment - 1);
  return true;
}

}  // namespace tenure

#endif  // TENURE_BASE_CHECKED_H_
