// The packing problem and its solution, as pure values.
//
// Why values: a compiler's memory planner, a command line and a fuzzer all ask the same question
// ("these buffers live then, where do they go?"), and an answer that is only numbers can be stored,
// compared and checked. Nothing in this directory knows about tensors, devices or files.
//
//   address
//     ^      +--------+
//     |      |   b    |  +-----+          items a, b, c; the height of this packing is a.size +
//     b.size |  +---+--------+--+  c  | |  |       a       |-----+
//     +--+---------------+-------> time   an item occupies [offset, offset + size) during [first,
//     last)
//
// Thread safety: thread-compatible. Ownership: everything is owned by value. Units: bytes, and
// abstract time.

#ifndef TENURE_PLANNER_PACKING_PROBLEM_H_
#define TENURE_PLANNER_PACKING_PROBLEM_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace tenure::packing {

// Moments of the schedule; half-open intervals [first, last) of them. Any int64 values with first <
// last.
using Time = int64_t;

// No offset: a free item of a problem, or an item that a packing did not place.
inline constexpr uint64_t kNoOffset = ~uint64_t{0};

// One buffer to place. Items are named by their index in Problem::items.
struct Item {
  Time first = 0;              // first moment of its life
  Time last = 0;               // first moment after its life; > first
  uint64_t size = 0;           // bytes; 0 is allowed and occupies nothing
  uint64_t alignment = 1;      // of its offset; a power of two is usual, any value >= 1 is allowed
  uint64_t fixed = kNoOffset;  // must be placed exactly here
  uint64_t hint = kNoOffset;   // would like to be placed here; never at the cost of height
};

// A time within an item's life during which it does not need all of its bytes.
struct Gap {
  uint32_t item = 0;
  Time first = 0;
  Time last = 0;
  // The bytes still needed meanwhile, relative to the item's offset; empty (the default): none.
  uint64_t window_begin = 0;
  uint64_t window_end = 0;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PROBLEM_H_
