// Any problem in the form that the general construction works on: rigid groups of rectangles.
//
// Why: gaps, adjacency and fixed offsets all mean the same: some rectangles of addresses and time
// keep their distance from each other. A group is a set of such rectangles with one unknown, its
// offset:
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
// Errors: if the constraints contradict each other, so that no packing exists, `contradiction` says
// why.

#ifndef TENURE_PLANNER_PACKING_SOLVER_RIGID_GROUPS_H_
#define TENURE_PLANNER_PACKING_SOLVER_RIGID_GROUPS_H_

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
// With up to so many groups, a first fit costs very little and may be repeated often.
inline constexpr size_t kFewGroups = 1000;

struct GroupRectangle {
  SectionRange range;
  uint64_t begin = 0, end = 0;  // addresses relative to the group
  uint32_t item = 0;
  uint32_t group = 0;
};

struct RigidGroup {
  uint32_t first_rectangle = 0, end_rectangle = 0;
  uint32_t first_member = 0, end_member = 0;
  uint64_t height = 0;
  uint64_t modulus = 1, residue = 0;  // of its offset
  uint64_t fixed = kNoOffset;
  uint64_t hint = kNoOffset;
  uint32_t arena = kAnyArena;
  SectionRange bounding_box;
};

struct Member {
  uint32_t item = 0;
  uint64_t begin = 0;  // relative to the group
};

struct RigidGroups {
  std::vector<RigidGroup> groups;
  std::vector<GroupRectangle> rectangles;  // grouped by group
  std::vector<Member> members;  // items grouped by group; every item is a member of one group
  uint32_t section_count = 0;
  // Only with a partial order: the ranges of the rectangles are those of one legal order. Items
  // whose ranges overlap conflict. Items whose `apart` ranges are disjoint don't conflict.
  std::unique_ptr<const Precedence> precedence;
  std::vector<SectionRange> apart;  // of rectangles
  uint32_t apart_count = 0;
  std::string contradiction;  // if not empty, no packing exists, for this reason

  // Returns the sections in which the rectangle may be said to hold its bytes.
  SectionRange Apart(uint32_t rectangle) const {
    return apart.empty() ? rectangles[rectangle].range : apart[rectangle];
  }
};

// Returns about how long MakeRigidGroups takes, with an index over the groups, but without the
// precedence. It can't be cut short.
absl::Duration ReadyTime(const Problem& problem);

enum class Detail {
  kFull,
  // For when time is short: gaps are ignored, and with a partial order all rectangles live at once.
  // A packing of these groups is valid. A failure to pack them proves nothing.
  kRough,
};

// With a partial order, most of the time goes into the precedence table. If the budget (may be
// null) ends before the table is complete, the groups are rough.
RigidGroups MakeRigidGroups(const Problem& problem, Detail detail = Detail::kFull,
                            Budget* budget = nullptr);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_RIGID_GROUPS_H_
