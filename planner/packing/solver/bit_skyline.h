// The skyline greedy for small problems, with sets of rectangles as bits.
//
// Why: the same construction as skyline.h, ten times as fast where a set of all rectangles is a few
// machine words, so that repair (see constructions.h) can afford hundreds of constructions in a
// millisecond. The best-ranked rectangle within the valley [l, r) is the first bit of
//
//     unplaced  &  begins at or after l  &  ends at or before r
//
// (bits stand in the order of rank), and two tables over sections give the last two sets. There are
// two rules of choice:
//
//   by rank      the best-ranked rectangle within the valley
//
//   by pressure  the best-ranked rectangle over that section of the valley where most is still to
//   be
//                placed, a weight for each section included
//
// Cost: about 20 ns a placement by rank and 60 ns by pressure; memory of rectangles times sections,
// in bits, twice. Thread safety: single-threaded. Ownership: borrows the rectangles. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_
#define TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/skyline.h"

namespace tenure::packing {

class BitSkyline {
 public:
  // Whether the tables stay small enough to be worth it.
  static bool Suits(size_t rectangles, size_t sections) {
    return rectangles * sections <= (size_t{1} << 22);
  }

  // `rectangles` is borrowed and must outlive this object; `totals` are the section totals.
  BitSkyline(const std::vector<Rectangle>& rectangles, const std::vector<uint64_t>& totals);

  // order[k] is the rectangle of rank k, the best first.
  void SetOrder(const std::vector<uint32_t>& order);

  // Both give up, returning false, when a top would reach `limit` or the budget ends. `offsets` is
  // resized.
  bool RunByRank(uint64_t limit, Budget& budget, std::vector<uint64_t>& offsets);
  bool RunByPressure(const std::vector<uint64_t>& weights, uint64_t limit, Budget& budget,
                     std::vector<uint64_t>& offsets);

 private:
  struct Segment {
    uint64_t height;
    uint32_t end;
    uint32_t previous;
  };

  template <typename Choose>
  bool Run(uint64_t limit, Budget& budget, std::vector<uint64_t>& offsets, const Choose& choose);
  void PutSegment(uint32_t begin, uint32_t end, uint32_t previous, uint64_t height) {
    segments_[begin] = {height, end, previous};
    if (end < section_count_) segments_[end].previous = begin;
  }

  const std::vector<Rectangle>& rectangles_;
  const std::vector<uint64_t>& totals_;
  uint32_t section_count_;
  size_t words_;
  std::vector<uint32_t> order_;
  std::vector<uint64_t>
      begins_from_;                // section l: the ranks of rectangles that begin at or after l
  std::vector<uint64_t> ends_by_;  // section r: the ranks of rectangles that end at or before r
  std::vector<uint64_t> unplaced_;
  std::vector<uint64_t> pressure_;  // of each section: what is still to be placed, and its weight
  std::vector<uint32_t> open_;      // sections of a valley that may still lead to a rectangle
  std::vector<Segment> segments_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_
