// Any problem in the form that the general construction works on: rigid bodies of pieces.
//
// Why: gaps, adjacency and fixed offsets all say the same thing, that some rectangles of addresses
// and time keep their distance from each other. A body is a set of such pieces with one unknown,
// its offset:
//
//     an item with a gap           an adjacency group of a and b
//     +---+     +----+               +-----------+
//     | 0 |     | 2  |               |     b     |
//     |   +-----+    |             +-+--------+--+
//     |   |  1  |    |             |     a    |
//     +---+-----+----+             +----------+
//
// The offset is a multiple of `modulus` plus `residue`.
//
// Cost: linear; n log n in gaps. Thread safety: thread-compatible. Ownership: borrows the problem.
// Errors: a contradiction that no packing can satisfy is a reason, not a failure.

#ifndef TENURE_PLANNER_PACKING_BODIES_H_
#define TENURE_PLANNER_PACKING_BODIES_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/precedence.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing {

inline constexpr uint32_t kAnyArena = ~uint32_t{0};
// Up to so many bodies a first fit costs nothing to speak of, and may be repeated often.
inline constexpr size_t kFewBodies = 1000;

struct BodyPiece {
  SectionRange range;
  uint64_t begin = 0, end = 0;  // addresses relative to the body
  uint32_t item = 0;
  uint32_t body = 0;
};

struct Body {
  uint32_t first_piece = 0, end_piece = 0;
  uint32_t first_member = 0, end_member = 0;
  uint64_t height = 0;
  uint64_t modulus = 1, residue = 0;  // of its offset
  uint64_t fixed = kNoOffset;
  uint64_t hint = kNoOffset;
  uint32_t arena = kAnyArena;
  SectionRange hull;
};

struct Member {
  uint32_t item = 0;
  uint64_t begin = 0;  // relative to the body
};

struct Bodies {
  std::vector<Body> bodies;
  std::vector<BodyPiece> pieces;  // grouped by body
  std::vector<Member> members;    // items grouped by body; every item is a member of one body
  uint32_t section_count = 0;
  // With a partial order only: the ranges above are those of one legal order, so that what lives at
  // once conflicts; what is apart in these does not.
  std::unique_ptr<const Precedence> precedence;
  std::vector<SectionRange> apart;  // of pieces
  uint32_t apart_count = 0;
  std::string contradiction;  // not empty: no packing exists, and this is why

  // During which the piece may be said to hold its bytes.
  SectionRange Apart(uint32_t piece) const {
    return apart.empty() ? pieces[piece].range : apart[piece];
  }
};

// What MakeBodies takes about, with an index over them, precedence apart: it cannot be cut short.
absl::Duration ReadyTime(const Problem& problem);

enum class Detail {
  kFull,
  // For want of time: gaps are ignored, and with a partial order all pieces live at once. What is
  // packed by these is right; that something does not fit says nothing.
  kRough,
};

// With a partial order the precedence takes the most time to make. Where the budget (may be null)
// ends before it is there, the bodies are rough.
Bodies MakeBodies(const Problem& problem, Detail detail = Detail::kFull, Budget* budget = nullptr);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_BODIES_H_
