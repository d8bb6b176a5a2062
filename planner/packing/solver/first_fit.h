// The general construction: it places groups one by one, each at the lowest offset where it fits
// among all groups that were placed before.
//
// Why: with fixed offsets, gaps, groups, several arenas or a partial order, there are holes that a
// skyline does not see. First fit sees all of them. In exchange it has to look at every placed
// rectangle that lives at the same time.
//
//   for each conflict of a rectangle p with a placed rectangle q, the offsets between
//   q.begin - p.end and q.end - p.begin are forbidden; sorted, the first gap
//   between them is where the group goes.
//
// Of several arenas, it chooses the one that grows least.
//
// Cost: O(sqrt n + k log k) for a group with k rectangles that live at the same time; with a
// partial order, k counts all placed rectangles. Thread safety: single-threaded. Ownership: borrows
// problem and groups. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_FIRST_FIT_H_
#define TENURE_PLANNER_PACKING_SOLVER_FIRST_FIT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/options.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver/rigid_groups.h"

namespace tenure::packing {

// A k-d tree that finds placed rectangles by the sections they live in and, if likely addresses are
// given, by address.
class OverlapIndex {
 public:
  // `addresses` are guesses of the rectangles' addresses, and may be empty. They make CollectWithin
  // fast where they are right.
  OverlapIndex(const std::vector<SectionRange>& ranges, const std::vector<uint64_t>& addresses);
  void Clear();
  // Inserts a rectangle with the addresses that it holds.
  void Insert(uint32_t rectangle, uint64_t begin, uint64_t end);
  void Erase(uint32_t rectangle);
  // Appends the inserted rectangles that share a section with the range.
  void Collect(SectionRange range, std::vector<uint32_t>& found) const;
  // Appends the inserted rectangles that share both a section and an address.
  void CollectWithin(SectionRange range, uint64_t begin, uint64_t end,
                     std::vector<uint32_t>& found) const;

 private:
  struct Bounds {
    uint32_t min_begin = ~uint32_t{0}, max_end = 0;
    uint64_t low = kUnlimited, high = 0;  // addresses
  };
  struct Point {
    SectionRange range;
    uint32_t rectangle = 0;
    bool inserted = false;
    uint64_t begin = 0, end = 0;
  };
  void Split(uint32_t node, uint32_t begin, uint32_t end, int key);
  void Refresh(uint32_t point);

  uint32_t leaves_ = 1;
  std::vector<Point> points_;
  std::vector<uint32_t> leaf_start_, point_of_;
  std::vector<Bounds> nodes_;
  int keys_ = 2;
};

struct PartialPacking {
  std::vector<uint64_t> offsets;  // of groups; kNoOffset where not placed
  std::vector<uint32_t> arenas;   // of groups
  std::vector<uint64_t> heights;  // of arenas
  uint64_t height = 0;            // their sum
};

// Returns how many steps of a budget first fit is worth, with hints or without. Small problems are
// repaired many times, large ones once or twice.
uint64_t FirstFitSteps(const RigidGroups& groups, Effort effort);

// Returns how many steps it takes to place all groups once: one for every two pairs that may live
// at once, and some for each group.
uint64_t StepsOfOneFit(const RigidGroups& groups);

class FirstFit {
 public:
  // `guesses` are likely offsets of the groups, and may be empty. They make FitsAt fast where they
  // are right.
  FirstFit(const Problem& problem, const RigidGroups& groups, std::vector<uint64_t> guesses = {});

  // Starts again, with no group placed.
  void Clear();

  // Returns whether the group fits at this offset, beside all placed groups and within the arena's
  // limit.
  bool FitsAt(uint32_t group, uint32_t arena, uint64_t offset);
  void Place(uint32_t group, uint32_t arena, uint64_t offset);
  void Remove(uint32_t group);  // heights are not lowered

  // Places the group at its best place, with the sum of heights at or below `capacity`. Returns
  // false if there is no such place.
  bool PlaceLowest(uint32_t group, uint64_t capacity);

  // Places the fixed groups, then those of `order` (fixed ones in it are skipped). Returns false if
  // a group fits nowhere or the budget ended; partial() then holds the groups that had been placed.
  bool Run(const std::vector<uint32_t>& order, uint64_t capacity, Budget& budget);

  // Places the fixed groups. Returns false if one does not fit, if they exceed the capacity, or if
  // the budget ended.
  bool PlaceFixed(uint64_t capacity, Budget& budget);

  // Places the missing groups in this order, each at the lowest offset above all groups that this
  // call placed before it. A group that would overlap a group placed before the call waits until
  // the others are placed, and then goes higher. Of several arenas, the first where the group fits
  // is taken. Takes O(n log n), and looks at the groups that were placed before the call for at
  // most `careful` steps; after that no group goes beneath one of those. False if a group fits
  // nowhere or the budget ended.
  bool PlaceBottomLeft(const std::vector<uint32_t>& order, uint64_t capacity, uint64_t careful,
                       Budget& budget);

  // Stacks the missing groups on top of the others, without looking for holes. Returns false if a
  // limit forbids it.
  bool StackOnTop(const std::vector<uint32_t>& order, uint64_t capacity);

  // The fallback when time is short: packs all groups from nothing in O(n log n), in order of
  // lifetime. The result is lower than a stack of them. Only for several arenas, or for a partial
  // order without a precedence table, groups are stacked. False if the result does not fit, or if
  // fixed groups make this unsafe.
  bool RunQuickly(uint64_t capacity);

  const PartialPacking& partial() const { return partial_; }
  // The cost of the last group, in steps of a budget.
  uint64_t cost() const { return 8 + (looked_at_ + forbidden_.size()) / 4; }
  // After PlaceLowest or Run failed because no room was left: the group that fitted nowhere.
  // Otherwise ~0.
  uint32_t stuck() const { return stuck_; }

 private:
  struct Forbidden {
    uint32_t arena;
    uint64_t low, high;  // offsets from low to high, both included
  };
  void FindForbidden(uint32_t group);
  bool Conflict(uint32_t p, uint32_t q);
  OverlapIndex& Index();
  uint64_t LowestIn(uint32_t group, uint32_t arena, size_t& at, uint64_t from = 0) const;
  void SortForbidden();
  void SetPlace(uint32_t group, uint32_t arena, uint64_t offset);
  uint64_t Limit(uint32_t arena) const {
    return problem_.arenas.empty() ? kUnlimited : problem_.arenas[arena].limit;
  }

  const Problem& problem_;
  const RigidGroups& groups_;
  std::optional<OverlapIndex> index_;  // made when it is first needed
  PartialPacking partial_;
  std::vector<uint64_t> guesses_;
  // Only with a partial order: a row of bits for each rectangle, made when first asked for.
  std::vector<std::vector<uint64_t>> conflict_rows_;
  std::vector<uint32_t> found_;
  size_t looked_at_ = 0;
  std::vector<Forbidden> forbidden_;
  uint32_t stuck_ = ~uint32_t{0};
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_FIRST_FIT_H_
