// A plain problem in the form that the algorithms work on: rectangles over sections.
//
// Why: items without bytes are left out, sizes are rounded up to a multiple of the grain that all
// offsets share, and times are reduced to sections. Every algorithm for plain problems starts from
// this form and gives offsets of rectangles. Only one function turns these into a Packing.
//
// Cost: linear time; about 60 bytes an item. Thread safety: thread-compatible. Ownership: by value.
// Errors: none.

#ifndef TENURE_PLANNER_PACKING_PLAIN_H_
#define TENURE_PLANNER_PACKING_PLAIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"
#include "tenure/planner/packing/skyline.h"

namespace tenure::packing {

struct PlainInstance {
  // Alignment 1 means the grain: every offset is a multiple of it.
  std::vector<Rectangle> rectangles;
  std::vector<uint32_t> item_of;  // of each rectangle
  std::vector<uint64_t> width;    // length of each rectangle's life, in the problem's time
  std::vector<uint64_t> totals;   // of each section
  uint64_t grain = 1;
  uint64_t peak = 0;  // the largest total: no packing of the (rounded) rectangles is lower
  bool mixed_alignment = false;
  bool rounded = false;  // some sizes were not multiples of the grain
};

// Makes the instance of a problem for which IsPlain holds. Of other problems it takes only the
// plain part: it ignores gaps, groups, orders and arenas, and leaves out fixed items.
PlainInstance MakePlain(const Problem& problem);

// Returns the largest offset + size.
uint64_t TopOf(const std::vector<Rectangle>& rectangles, const std::vector<uint64_t>& offsets);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PLAIN_H_
