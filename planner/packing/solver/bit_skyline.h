// The skyline greedy for small problems, with sets of rectangles as bits.
//
// Why: it makes the same construction as skyline.h, ten times as fast where a set of all rectangles
// is a few machine words. Repair (see constructions.h) can then afford hundreds of constructions in
// a millisecond. The best-ranked rectangle within the valley [l, r) is the first bit of
//
//     unplaced  &  begins at or after l  &  ends at or before r
//
// Bits are in the order of rank, and two tables over sections hold the last two sets. There are two
// rules of choice:
//
//   by rank      takes the best-ranked rectangle within the valley
//
//   by pressure  takes the best-ranked rectangle over the section of the valley that has the most
//                bytes still to place; each section's weight is added to its bytes
//
// Cost: about 20 ns to place a rectangle by rank and 60 ns by pressure; two tables of rectangles
// times sections bits. Thread safety: single-threaded. Ownership: borrows the rectangles. Errors:
// none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_
#define TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/skyline.h"

namespace tenure::packing {

class BitSkyline {
 public:
  // Returns whether the tables are small enough for this class to be faster.
  static bool Suits(size_t rectangles, size_t sections) {
    return rectangles * sections <= (size_t{1} << 22);
  }

  // `rectangles` is borrowed and must outlive this object. `totals` are the section totals.
  BitSkyline(const std::vector<Rectangle>& rectangles, const std::vector<uint64_t>& totals);

  // order[k] is the rectangle of rank k; rank 0 is the best.
  void SetOrder(const std::vector<uint32_t>& order);

  // Both give up and return false when a top would reach `limit` or the budget ends. `offsets` is
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
  std::vector<uint64_t> pressure_;  // of each section: bytes still to be placed, plus its weight
  std::vector<uint32_t> open_;      // sections of a valley that may still lead to a rectangle
  std::vector<Segment> segments_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_BIT_SKYLINE_H_
