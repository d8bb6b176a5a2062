// The skyline greedy: place the item whose lowest feasible offset is lowest; ties go to the item of
// best rank.
//
// Why: of all greedy rules tried it packs best, and it needs no look beneath what is placed: an
// item that fits into a hole would have been placed there before the hole was closed. The state is
// a skyline over sections:
//
//     ####                   The lowest valley (here the middle) is filled by the best-ranked
//     ####......#####        item whose sections lie within it. If there is none, no remaining
//   ######......########     item can use the valley's floor, and it is raised to its lower
//                            neighbour.
//
// Any valley may be filled before any other: the result is the same, so the walk stays local and
// needs no heap. The best-ranked unplaced item within [l, r) is found in a k-d tree over (begin,
// end), whose nodes keep their best item and the tightest bounds of what is left.
//
// Cost: per placement O(log n) for schedules, O(sqrt n) at worst; 40 bytes an item, shared by all
// runs. Thread safety: single-threaded. Ownership: borrows what it is made from. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SKYLINE_H_
#define TENURE_PLANNER_PACKING_SKYLINE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing {

// A plain item as the greedy sees it.
struct Rectangle {
  uint64_t size = 0;       // > 0
  uint64_t alignment = 1;  // of its offset
  SectionRange range;
};

class SkylineGreedy {
 public:
  // `rectangles` is borrowed and must outlive this object.
  SkylineGreedy(const std::vector<Rectangle>& rectangles, uint32_t section_count);

  // Places all rectangles; order[k] is the rectangle of rank k, the best first. Gives up, returning
  // false, when a top would reach `limit` (pass kUnlimited for none) or the budget ends. `offsets`
  // is resized.
  bool Run(const std::vector<uint32_t>& order, uint64_t limit, Budget& budget,
           std::vector<uint64_t>& offsets);

  // The number of rectangles that the last run placed, in the order in which it did.
  const std::vector<uint32_t>& placed() const { return placed_; }

 private:
  struct Node {
    uint32_t best;                // the lowest rank beneath, kNone if nothing is left
    uint32_t max_begin, min_end;  // over what is left beneath

    friend bool operator==(const Node&, const Node&) = default;
  };
  struct Point {
    uint32_t rank, begin, end, rectangle;
    uint64_t size;
  };
  // A maximal run of sections of one height, at the index of its first section.
  struct Segment {
    uint64_t height;
    uint32_t end;
    uint32_t previous;  // first section of the segment to the left
  };

  void Split(uint32_t node, uint32_t begin, uint32_t end, bool by_begin);
  void Rebuild();
  Node LeafNode(uint32_t leaf) const;
  static Node Join(const Node& a, const Node& b);
  // The best-ranked point within [l, r), kNone if there is none; and its leaf.
  struct Found {
    uint32_t point, leaf;
  };
  Found Best(uint32_t l, uint32_t r) const;
  void Remove(Found found);
  void PutSegment(uint32_t begin, uint32_t end, uint32_t previous, uint64_t height);

  const std::vector<Rectangle>& rectangles_;
  uint32_t section_count_;
  bool aligned_ = false;              // some rectangle asks for more than the grain
  uint32_t leaves_ = 1;               // a power of two
  std::vector<Point> points_;         // grouped by leaf
  std::vector<uint32_t> leaf_start_;  // leaves_ + 1
  std::vector<uint32_t> point_of_;    // of each rectangle
  std::vector<Node> nodes_;           // a heap: children of i are 2 i and 2 i + 1; leaves last
  std::vector<Segment> segments_;
  std::vector<uint32_t> placed_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SKYLINE_H_
