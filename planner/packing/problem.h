// The packing problem, as a pure value: which bytes are needed when, and what constraints a packing
// must meet.
//
// Why a value: a compiler's memory planner, a command line and a fuzzer all ask the same question:
// "these buffers live at these times; where do they go?" A question that consists of numbers only
// can be stored, compared and checked. Nothing in this directory knows about tensors, devices or
// files.
//
//   address
//     ^        +-------+
//     |        |   b   |  +-----+      items a, b, c; an item occupies the bytes
//     |  +-----+-------+  |  c  |      [offset, offset + size) during [first, last);
//     |  |       a     |  |     |      the height of this packing is a.size + b.size
//     +--+-------------+--+-----+--> time
//
//   Problem problem;
//   problem.items.push_back({.first = 0, .last = 4, .size = 4096, .alignment = 64});
//   problem.items.push_back({.first = 1, .last = 3, .size = 1000, .alignment = 64});
//   absl::StatusOr<Packing> packing = Solve(problem);   // "tenure/planner/packing/solver.h"
//
// Cost: 48 bytes an item. All other features (gaps, arenas, bindings, adjacency, partial order)
// have side tables that are empty unless used, so that a problem of a million plain items stays
// small.
//
// Thread safety: thread-compatible. Ownership: everything is owned by value. Units: bytes, and
// abstract time. Errors: CheckProblem describes the fault of a problem and names the item or table
// entry.

#ifndef TENURE_PLANNER_PACKING_PROBLEM_H_
#define TENURE_PLANNER_PACKING_PROBLEM_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace tenure::packing {

// A moment of the schedule. Lives are half-open intervals [first, last) of moments; any int64
// values with first < last are allowed.
using Time = int64_t;

// The offset of an item that has none: it is not fixed in the problem, or the packing didn't place
// it.
inline constexpr uint64_t kNoOffset = ~uint64_t{0};

// The explicit value for "no limit", and the default of every capacity and limit here. A limit of 0
// allows no bytes at all.
inline constexpr uint64_t kUnlimited = ~uint64_t{0};

// One buffer to place. Items are named by their index in Problem::items.
struct Item {
  Time first = 0;              // first moment of its life
  Time last = 0;               // first moment after its life; > first
  uint64_t size = 0;           // bytes; 0 is allowed and occupies nothing
  uint64_t alignment = 1;      // of its offset; a power of two is usual, any value >= 1 is allowed
  uint64_t fixed = kNoOffset;  // the offset that it must have in its arena
  uint64_t hint = kNoOffset;   // a preferred offset; see SolveOptions::hints

  friend bool operator==(const Item&, const Item&) = default;
};

// A time within an item's life during which it does not need all of its bytes.
//
//   size +-------+       +-------+
//        |       |       |       |    the item keeps [window_begin, window_end) of its bytes
//        |       +-------+       |    meanwhile; an empty window (the default) frees all of
//        |       |       |       |    them
//      0 +-------+       +-------+
//              first    last
struct Gap {
  uint32_t item = 0;
  Time first = 0;  // within the item's life; gaps of one item do not overlap
  Time last = 0;
  uint64_t window_begin = 0;  // relative to the item's offset
  uint64_t window_end = 0;

  friend bool operator==(const Gap&, const Gap&) = default;
};

// A range of addresses to pack into. Every arena starts at offset 0.
struct Arena {
  uint64_t limit = kUnlimited;  // bytes, for example the largest allocation of a device

  friend bool operator==(const Arena&, const Arena&) = default;
};

// Binds an item to an arena: it may be placed in no other.
struct Binding {
  uint32_t item = 0;
  uint32_t arena = 0;

  friend bool operator==(const Binding&, const Binding&) = default;
};

// Items that are placed in one arena, next to each other in this order and without a byte between
// them, so that their concatenation needs no copy. An item may be in at most one group.
struct AdjacencyGroup {
  std::vector<uint32_t> items;

  friend bool operator==(const AdjacencyGroup&, const AdjacencyGroup&) = default;
};

// A partial order of execution, which replaces intervals: steps that are not ordered may run at the
// same time. Two items may share bytes only if every step that uses one of them precedes every step
// that uses the other. If it is given (steps > 0), Item::first and Item::last are ignored and gaps
// are not allowed.
struct PartialOrder {
  struct Edge {
    uint32_t before = 0;
    uint32_t after = 0;
    friend bool operator==(const Edge&, const Edge&) = default;
  };
  struct Use {
    uint32_t item = 0;
    uint32_t step = 0;
    friend bool operator==(const Use&, const Use&) = default;
  };

  uint32_t steps = 0;
  std::vector<Edge> edges;  // acyclic; direct dependencies are enough, their closure is implied
  // The steps that read or write each item. An item without any use conflicts with all items.
  std::vector<Use> uses;

  friend bool operator==(const PartialOrder&, const PartialOrder&) = default;
};

struct Problem {
  std::vector<Item> items;

  // Side tables; empty in a plain problem.
  std::vector<Gap> gaps;          // in any order
  std::vector<Arena> arenas;      // empty: one arena without a limit
  std::vector<Binding> bindings;  // an item without one may be placed in any arena
  std::vector<AdjacencyGroup> adjacent;
  PartialOrder order;

  // A budget: the sum of the arenas' heights must not exceed it.
  uint64_t capacity = kUnlimited;

  friend bool operator==(const Problem&, const Problem&) = default;
};

inline uint32_t ArenaCount(const Problem& problem) {
  return problem.arenas.empty() ? 1 : static_cast<uint32_t>(problem.arenas.size());
}

// Returns whether the problem uses no side table and fixes no item, so that only lifetimes, sizes
// and alignments count.
bool IsPlain(const Problem& problem);

// Returns InvalidArgument, with the entry and the cause, unless the problem is well formed: first <
// last; alignment >= 1; indices are in range; fixed offsets are aligned; gaps are inside lives and
// don't overlap; groups are disjoint; and edges are acyclic. The sum of all sizes, each rounded up
// to its alignment, must stay below 2^62, so that no sum of offsets can wrap. There may be at most
// 2^31 - 1 items and 2^24 steps. Takes linear time, and n log n in the side tables.
absl::Status CheckProblem(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PROBLEM_H_
