// Rounding to multiples of an alignment.
//
// Why not the operator alone: alignments are powers of two nearly always, and a division of 64 bits
// takes up to 90 cycles where the mask of a power of two takes one; problems of many items divide
// several times for each.
//
// Thread safety: pure functions. Ownership: none. Errors: none; sums must not wrap, which holds for
// all that CheckProblem lets pass.

#ifndef TENURE_PLANNER_PACKING_ALIGNMENT_H_
#define TENURE_PLANNER_PACKING_ALIGNMENT_H_

#include <cstdint>

namespace tenure::packing {

// value modulo alignment, which is not 0.
inline uint64_t Excess(uint64_t value, uint64_t alignment) {
  const uint64_t mask = alignment - 1;
  return (alignment & mask) == 0 ? value & mask : value % alignment;
}

// The first multiple of the alignment from the value on.
inline uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  const uint64_t excess = Excess(value, alignment);
  return excess == 0 ? value : value + (alignment - excess);
}

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_ALIGNMENT_H_
