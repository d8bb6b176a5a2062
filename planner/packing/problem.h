// The packing problem, as a pure value: which bytes are needed when, and what a packing must
// respect.
//
// Why a value: a compiler's memory planner, a command line and a fuzzer all ask the same question
// ("these buffers live then, where do they go?"), and a question that is only numbers can be
// stored, compared and checked. Nothing in this directory knows about tensors, devices or files.
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
// Cost: 48 bytes an item. Everything beyond plain items (gaps, arenas, bindings, adjacency, partial
// order) stands in side tables that are empty unless used, so that a million plain items stay
// light.
//
// Thread safety: thread-compatible. Ownership: everything is owned by value. Units: bytes, and
// abstract time. Errors: CheckProblem says what is wrong with a problem, naming the item or table
// entry.

#ifndef TENURE_PLANNER_PACKING_PROBLEM_H_
#define TENURE_PLANNER_PACKING_PROBLEM_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace tenure::packing {

// Moments of the schedule; half-open intervals [first, last) of them. Any int64 values with first <
// last.
using Time = int64_t;

// No offset: a free item of a problem, or an item that a packing did not place.
inline constexpr uint64_t kNoOffset = ~uint64_t{0};

// No limit, said aloud: the default of every capacity and limit here. 0 is a limit of no bytes at
// all.
inline constexpr uint64_t kUnlimited = ~uint64_t{0};

// One buffer to place. Items are named by their index in Problem::items.
struct Item {
  Time first = 0;              // first moment of its life
  Time last = 0;               // first moment after its life; > first
  uint64_t size = 0;           // bytes; 0 is allowed and occupies nothing
  uint64_t alignment = 1;      // of its offset; a power of two is usual, any value >= 1 is allowed
  uint64_t fixed = kNoOffset;  // must be placed exactly here (in its arena)
  uint64_t hint = kNoOffset;   // would like to be placed here; see SolveOptions::hints

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

// One range of addresses to pack into. Every arena starts at offset 0.
struct Arena {
  uint64_t limit = kUnlimited;  // bytes, for example the largest allocation of a device

  friend bool operator==(const Arena&, const Arena&) = default;
};

// An item that may lie in one arena only.
struct Binding {
  uint32_t item = 0;
  uint32_t arena = 0;

  friend bool operator==(const Binding&, const Binding&) = default;
};

// Items that lie in one arena, next to each other in this order without a byte between them, so
// that their concatenation needs no copy. An item is in one group at most.
struct AdjacencyGroup {
  std::vector<uint32_t> items;

  friend bool operator==(const AdjacencyGroup&, const AdjacencyGroup&) = default;
};

// Conflicts by a partial order of execution instead of by intervals: steps that are not ordered may
// run at the same time. Two items may share bytes only if every step that uses one of them precedes
// every step that uses the other. When given (steps > 0), Item::first and Item::last are not looked
// at, and gaps are not allowed.
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
  // The steps that read or write each item; an item without any conflicts with all.
  std::vector<Use> uses;

  friend bool operator==(const PartialOrder&, const PartialOrder&) = default;
};

struct Problem {
  std::vector<Item> items;

  // Side tables; empty in a plain problem.
  std::vector<Gap> gaps;          // in any order
  std::vector<Arena> arenas;      // empty: one arena without a limit
  std::vector<Binding> bindings;  // items without one may lie in any arena
  std::vector<AdjacencyGroup> adjacent;
  PartialOrder order;

  // The sum of the arenas' heights must not exceed this: the budget to stay under.
  uint64_t capacity = kUnlimited;

  friend bool operator==(const Problem&, const Problem&) = default;
};

inline uint32_t ArenaCount(const Problem& problem) {
  return problem.arenas.empty() ? 1 : static_cast<uint32_t>(problem.arenas.size());
}

// No side table is used and no item is fixed: only lifetimes, sizes and alignments count.
bool IsPlain(const Problem& problem);

// InvalidArgument, naming the entry and the cause, unless the problem makes sense: first < last,
// alignment >= 1, indices in range, fixed offsets aligned, gaps inside lives and apart, groups
// disjoint, edges acyclic; and the sum of all sizes, each rounded up to its alignment, stays below
// 2^62, so that no sum of offsets can wrap. At most 2^31 - 1 items and 2^24 steps. Linear time; n
// log n in the side tables.
absl::Status CheckProblem(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PROBLEM_H_
