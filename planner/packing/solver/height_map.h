// The current height of each section: it can be raised over a range, and gives the maximum over a
// range.
//
// Why: a rectangle that goes on top of everything before it needs no look at the rectangles
// beneath.
//
// Cost: O(log sections) a call; 16 bytes a section. Thread safety: single-threaded. Ownership: by
// value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_HEIGHT_MAP_H_
#define TENURE_PLANNER_PACKING_SOLVER_HEIGHT_MAP_H_

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "tenure/planner/packing/sections.h"

namespace tenure::packing {

class HeightMap {
 public:
  explicit HeightMap(uint32_t sections)
      : leaves_(std::bit_ceil(std::max(sections, 1u))), nodes_(2 * size_t{leaves_}) {}

  uint64_t Top(SectionRange range) const {
    uint64_t top = 0;
    uint32_t l = range.begin + leaves_, r = range.end - 1 + leaves_;
    // A height that was raised over a whole node applies to all sections beneath it.
    for (uint32_t i = l; i > 0; i /= 2) top = std::max(top, nodes_[i].whole);
    for (uint32_t i = r; i > 0; i /= 2) top = std::max(top, nodes_[i].whole);
    for (++r; l < r; l /= 2, r /= 2) {
      if ((l & 1) != 0) top = std::max(top, nodes_[l++].top);
      if ((r & 1) != 0) top = std::max(top, nodes_[--r].top);
    }
    return top;
  }

  // Raises the sections of the range to `top`. Higher sections stay as they are.
  void Raise(SectionRange range, uint64_t top) {
    const uint32_t first = range.begin + leaves_, last = range.end - 1 + leaves_;
    for (uint32_t l = first, r = last + 1; l < r; l /= 2, r /= 2) {
      if ((l & 1) != 0) RaiseNode(l++, top);
      if ((r & 1) != 0) RaiseNode(--r, top);
    }
    for (uint32_t i = first / 2; i > 0; i /= 2) nodes_[i].top = std::max(nodes_[i].top, top);
    for (uint32_t i = last / 2; i > 0; i /= 2) nodes_[i].top = std::max(nodes_[i].top, top);
  }

 private:
  struct Node {
    uint64_t whole = 0;  // every section beneath is at least this high
    uint64_t top = 0;    // the highest of them
  };
  void RaiseNode(uint32_t i, uint64_t top) {
    nodes_[i].whole = std::max(nodes_[i].whole, top);
    nodes_[i].top = std::max(nodes_[i].top, top);
  }

  uint32_t leaves_;
  std::vector<Node> nodes_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_HEIGHT_MAP_H_
