// Sorting numbers by unsigned keys, in linear time.
//
// Why: most of what large problems cost is sorting by times and by offsets, and comparisons whose
// outcome no processor can foresee are the dear part of it.
//
//   std::vector<Keyed> keyed;
//   for (uint32_t i = 0; i < n; ++i) keyed.push_back({offsets[i], i});
//   SortByKey(keyed);   // by key; equal keys stay in the order in which they were
//
// How: least significant digit first; digits in which no two keys differ are passed over, so what
// counts is the entropy of the keys and not their width. Few keys are sorted by comparisons.
//
// Cost: a pass over the entries for every 11 bits in which keys differ; as much memory again.
// Thread safety: thread-compatible. Ownership: none. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SORT_BY_KEY_H_
#define TENURE_PLANNER_PACKING_SORT_BY_KEY_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

struct Keyed {
  uint64_t key;
  uint32_t index;
};

void SortByKey(std::vector<Keyed>& keyed);

// A key that orders as the times do.
inline uint64_t KeyOf(Time t) { return static_cast<uint64_t>(t) ^ (uint64_t{1} << 63); }
inline Time TimeOf(uint64_t key) { return static_cast<Time>(key ^ (uint64_t{1} << 63)); }

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SORT_BY_KEY_H_
