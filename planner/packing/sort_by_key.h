// Sorts indices by unsigned keys, in linear time.
//
// Why: large problems spend most of their time sorting by times and by offsets, and mispredicted
// comparisons are the expensive part of that.
//
//   std::vector<Keyed> keyed;
//   for (uint32_t i = 0; i < n; ++i) keyed.push_back({offsets[i], i});
//   SortByKey(keyed);   // by key; equal keys stay in the order in which they were
//
// How: a radix sort, least significant digit first. Digits in which no two keys differ are skipped,
// so the cost depends on the entropy of the keys and not on their width. A few keys are sorted by
// comparisons.
//
// Cost: a pass over the entries for every 11 bits in which keys differ, and as much memory again.
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

// A key that sorts in the order of the times.
inline uint64_t KeyOf(Time t) { return static_cast<uint64_t>(t) ^ (uint64_t{1} << 63); }
inline Time TimeOf(uint64_t key) { return static_cast<Time>(key ^ (uint64_t{1} << 63)); }

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SORT_BY_KEY_H_
