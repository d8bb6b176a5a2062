// The general construction: bodies are placed one by one, each at the lowest offset where it fits
// among all that was placed before.
//
// Why: with fixed offsets, gaps, groups, several arenas or a partial order there are holes beneath
// that a skyline does not see. First fit sees all of them, at the price of looking at every placed
// piece that lives at the time.
//
//   for each conflict of a piece p with a placed piece q, the offsets between
//   q.begin - p.end and q.end - p.begin are forbidden; sorted, the first gap
//   between them is where the body goes.
//
// Among several arenas the one is taken that grows least.
//
// Cost: per body O(sqrt n + k log k) for k pieces that live at the same time; with a partial order
// all placed pieces count. Thread safety: single-threaded. Ownership: borrows problem and bodies.
// Errors: none.

#ifndef TENURE_PLANNER_PACKING_FIRST_FIT_H_
#define TENURE_PLANNER_PACKING_FIRST_FIT_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "tenure/planner/packing/bodies.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {

// Placed pieces by the sections they live in and, if it is told where they will lie, by address: a
// k-d tree.
class OverlapIndex {
 public:
  // `addresses`, of pieces, may be empty; they are guesses, and make CollectWithin fast where
  // they are right.
  OverlapIndex(const std::vector<SectionRange>& ranges, const std::vector<uint64_t>& addresses);
  void Clear();
  // With the addresses that it holds.
  void Insert(uint32_t piece, uint64_t begin, uint64_t end);
  void Erase(uint32_t piece);
  // Appends the inserted pieces that share a section with the range.
  void Collect(SectionRange range, std::vector<uint32_t>& found) const;
  // Appends those that share addresses as well.
  void CollectWithin(SectionRange range, uint64_t begin, uint64_t end,
                     std::vector<uint32_t>& found) const;

 private:
  struct Bounds {
    uint32_t min_begin = ~uint32_t{0}, max_end = 0;
    uint64_t low = kUnlimited, high = 0;  // addresses
  };
  struct Point {
    SectionRange range;
    uint32_t piece = 0;
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

struct Placement {
  std::vector<uint64_t> offsets;  // of bodies; kNoOffset where not placed
  std::vector<uint32_t> arenas;   // of bodies
  std::vector<uint64_t> heights;  // of arenas
  uint64_t height = 0;            // their sum
};

// Steps of a budget that first fit is worth, with hints or without: small problems are repaired
// many times over, large ones once or twice.
uint64_t FirstFitSteps(const Bodies& bodies, Effort effort);

// Steps that placing all bodies once takes: one for every two pairs that may live at once, and some
// for each body.
uint64_t StepsOfOneFit(const Bodies& bodies);

class FirstFit {
 public:
  // `guesses`: where bodies will mostly lie, for FitsAt to be fast there; may be empty.
  FirstFit(const Problem& problem, const Bodies& bodies, std::vector<uint64_t> guesses = {});

  // Starts anew, without a body placed.
  void Clear();

  // True if the body can lie at this offset beside what has been placed, within the arena's limit.
  bool FitsAt(uint32_t body, uint32_t arena, uint64_t offset);
  void Place(uint32_t body, uint32_t arena, uint64_t offset);
  void Remove(uint32_t body);  // heights are not lowered

  // The best place for the body, so that the sum of heights stays at or below `capacity`; false if
  // there is none.
  bool PlaceLowest(uint32_t body, uint64_t capacity);

  // Fixed bodies, then `order` (fixed ones in it are skipped). False if a body fits nowhere or the
  // budget ended; `placement()` then holds what had been placed.
  bool Run(const std::vector<uint32_t>& order, uint64_t capacity, Budget& budget);

  // Fixed bodies. False if one does not fit, or they exceed the capacity, or the budget ended.
  bool PlaceFixed(uint64_t capacity, Budget& budget);

  // What is missing is dropped in this order: each body comes to lie on all that was dropped before
  // it, or higher where it would hit what had been placed; those wait until the others lie. With
  // several arenas, the first where it fits is taken. n log n, but for what had been placed: that
  // is looked at while `careful` steps last, and then nothing comes to lie beneath it.
  bool Drop(const std::vector<uint32_t>& order, uint64_t capacity, uint64_t careful,
            Budget& budget);

  // Puts what is missing on top of the rest, without looking for holes. False if a limit forbids
  // it.
  bool PileUp(const std::vector<uint32_t>& order, uint64_t capacity);

  // For want of time: from nothing to a packing of all bodies in n log n, by the order of their
  // lives, lower than a pile. Bodies of several arenas, or of a partial order without precedence,
  // are piled up. False if that does not fit, or if fixed bodies ask for more care.
  bool RunQuickly(uint64_t capacity);

  const Placement& placement() const { return placement_; }
  // What the last body cost, in steps of a budget.
  uint64_t cost() const { return 8 + (looked_at_ + forbidden_.size()) / 4; }
  // After PlaceLowest or Run failed for want of room: the body that fitted nowhere; else ~0.
  uint32_t stuck() const { return stuck_; }

 private:
  struct Forbidden {
    uint32_t arena;
    uint64_t low, high;  // offsets from low to high, both included
  };
  void FindForbidden(uint32_t body);
  bool Conflict(uint32_t p, uint32_t q);
  OverlapIndex& Index();
  uint64_t LowestIn(uint32_t body, uint32_t arena, size_t& at, uint64_t from = 0) const;
  void SortForbidden();
  void SetPlace(uint32_t body, uint32_t arena, uint64_t offset);
  uint64_t Limit(uint32_t arena) const {
    return problem_.arenas.empty() ? kUnlimited : problem_.arenas[arena].limit;
  }

  const Problem& problem_;
  const Bodies& bodies_;
  std::optional<OverlapIndex> index_;  // made when it is first needed
  Placement placement_;
  std::vector<uint64_t> guesses_;
  // With a partial order only: of pieces, bits; made when first asked for.
  std::vector<std::vector<uint64_t>> conflict_rows_;
  std::vector<uint32_t> found_;
  size_t looked_at_ = 0;
  std::vector<Forbidden> forbidden_;
  uint32_t stuck_ = ~uint32_t{0};
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_FIRST_FIT_H_
