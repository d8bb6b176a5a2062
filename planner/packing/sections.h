// Time reduced to sections: the only moments that matter for packing.
//
// Why: most moments add no conflict that another moment doesn't have. A section is a moment at
// which the set of live items is maximal. Two items share a section exactly if they overlap in
// time.
//
//   time      0   1   2   3   4   5
//   a         [-------------------)          a: sections [0, 2)
//   b             [-------)                  b: section  [0, 1)
//   c                         [---)          c: section  [1, 2)
//   section           0         1
//
// At moments 0 and 3 only a lives, but every set of live items is part of section 0 or section 1.
//
// An item becomes a half-open range of sections. The largest sum of live sizes is the largest
// section total, and two ranges overlap exactly if the lives do. There are at most as many sections
// as items.
//
// Cost: linear when times are dense (their span is a small multiple of the number of items);
// otherwise one radix sort. Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SECTIONS_H_
#define TENURE_PLANNER_PACKING_SECTIONS_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// A life that is mapped to sections.
struct Life {
  Time first = 0;
  Time last = 0;
};

// A half-open range of sections. It is never empty.
struct SectionRange {
  uint32_t begin = 0;
  uint32_t end = 0;
};

struct Sections {
  uint32_t count = 0;
  std::vector<SectionRange> ranges;  // of each life
  std::vector<Time> moment;          // of each section: a moment within it
};

Sections FindSections(const std::vector<Life>& lives);

// Returns the sum of sizes in each section.
std::vector<uint64_t> SectionTotals(const Sections& sections, const std::vector<uint64_t>& sizes);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SECTIONS_H_
