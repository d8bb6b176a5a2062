// Rounds numbers up to multiples of an alignment.
//
// Why not the operator % alone: nearly all alignments are powers of two. A 64-bit division takes up
// to 90 cycles, and the mask of a power of two takes one. Problems with many items divide several
// times for each item.
//
// Thread safety: pure functions. Ownership: none. Errors: none. Sums must not wrap; they don't in
// any problem that passes CheckProblem.

#ifndef TENURE_PLANNER_PACKING_ALIGNMENT_H_
#define TENURE_PLANNER_PACKING_ALIGNMENT_H_

#include <cstdint>

namespace tenure::packing {

// Returns value modulo alignment. `alignment` must not be 0.
inline uint64_t Excess(uint64_t value, uint64_t alignment) {
  const uint64_t mask = alignment - 1;
  return (alignment & mask) == 0 ? value & mask : value % alignment;
}

// Returns the smallest multiple of the alignment that is at least `value`.
inline uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  const uint64_t excess = Excess(value, alignment);
  return excess == 0 ? value : value + (alignment - excess);
}

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_ALIGNMENT_H_
