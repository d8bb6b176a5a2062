// The skyline greedy: it places the item whose lowest feasible offset is lowest. Ties go to the
// item of best rank.
//
// Why: of all greedy rules that were tried, it packs best. It also never needs to look beneath
// placed items: an item that fits into a hole would have been placed there before the hole was
// closed. The state is a skyline over sections:
//
//     ####                   The lowest valley (here the middle) is filled by the best-ranked
//     ####......#####        item whose sections lie within it. If there is none, no remaining
//   ######......########     item can use the valley's floor, and it is raised to its lower
//                            neighbour.
//
// Valleys may be filled in any order with the same result, so the walk stays local and needs no
// heap. The best-ranked unplaced item within [l, r) is found in a k-d tree over (begin, end). Each
// node keeps the best item and the tightest bounds of the items that are left beneath it.
//
// Cost: O(log n) for each placement in problems made from schedules, O(sqrt n) at worst. Memory: 40
// bytes an item, shared by all runs. Thread safety: single-threaded. Ownership: borrows the
// rectangles. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SKYLINE_H_
#define TENURE_PLANNER_PACKING_SKYLINE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing {

// A plain item in the form that the greedy works on.
struct Rectangle {
  uint64_t size = 0;       // > 0
  uint64_t alignment = 1;  // of its offset
  SectionRange range;
};

class SkylineGreedy {
 public:
  // `rectangles` is borrowed and must outlive this object.
  SkylineGreedy(const std::vector<Rectangle>& rectangles, uint32_t section_count);

  // Places all rectangles. order[k] is the rectangle of rank k; rank 0 is the best. Gives up and
  // returns false when a top would reach `limit` (kUnlimited for none) or the budget ends.
  // `offsets` is resized.
  bool Run(const std::vector<uint32_t>& order, uint64_t limit, Budget& budget,
           std::vector<uint64_t>& offsets);

  // The rectangles that the last run placed, in the order of placement.
  const std::vector<uint32_t>& placed() const { return placed_; }

 private:
  struct Node {
    uint32_t best;                // the lowest rank beneath this node, kNone if nothing is left
    uint32_t max_begin, min_end;  // over the points that are left beneath

    friend bool operator==(const Node&, const Node&) = default;
  };
  struct Point {
    uint32_t rank, begin, end, rectangle;
    uint64_t size;
  };
  // A maximal run of sections of equal height, stored at the index of its first section.
  struct Segment {
    uint64_t height;
    uint32_t end;
    uint32_t previous;  // first section of the segment to the left
  };

  void Split(uint32_t node, uint32_t begin, uint32_t end, bool by_begin);
  void Rebuild();
  Node LeafNode(uint32_t leaf) const;
  static Node Join(const Node& a, const Node& b);
  // The best-ranked point within [l, r) and its leaf; kNone if there is none.
  struct Found {
    uint32_t point, leaf;
  };
  Found Best(uint32_t l, uint32_t r) const;
  void Remove(Found found);
  void PutSegment(uint32_t begin, uint32_t end, uint32_t previous, uint64_t height);

  const std::vector<Rectangle>& rectangles_;
  uint32_t section_count_;
  bool aligned_ = false;              // some rectangle has an alignment above the grain
  uint32_t leaves_ = 1;               // a power of two
  std::vector<Point> points_;         // grouped by leaf
  std::vector<uint32_t> leaf_start_;  // leaves_ + 1
  std::vector<uint32_t> point_of_;    // of each rectangle
  std::vector<Node> nodes_;           // as in a heap: node i has children 2 i and 2 i + 1
  std::vector<Segment> segments_;
  std::vector<uint32_t> placed_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SKYLINE_H_
