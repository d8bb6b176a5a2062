// Scans many keys, four at a time: finds the smallest key, the next one, and the sizes above a
// line.
//
// Why: search needs these values of a section whenever an item in it has moved. It spent half of
// its time when keys were compared one by one.
//
// How: with the vector extension of GCC and Clang. Every x86-64 and AArch64 processor has
// instructions for these vectors; on other processors they become loops.
//
// Thread safety: pure functions. Ownership: none. Errors: none.

#ifndef TENURE_PLANNER_PACKING_EXACT_KEY_SCAN_H_
#define TENURE_PLANNER_PACKING_EXACT_KEY_SCAN_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tenure::packing::exact {

// All keys are non-negative and below this value. So are sizes, and the sum of the sizes in one
// scan.
inline constexpr int32_t kNoKey = INT32_MAX;

namespace key_scan {

using Lanes = int32_t __attribute__((vector_size(16)));
inline constexpr int32_t kLanes = 4;

inline Lanes Load(const int32_t* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline Lanes All(int32_t value) { return Lanes{value, value, value, value}; }
inline Lanes Least(Lanes a, Lanes b) { return a < b ? a : b; }
inline int32_t Least(Lanes a) { return std::min(std::min(a[0], a[1]), std::min(a[2], a[3])); }

}  // namespace key_scan

struct KeyScan {
  int32_t least = kNoKey;
  int32_t above = 0;  // the sum of the sizes whose keys are at least `line`
};

inline KeyScan ScanKeys(const int32_t* keys, const int32_t* sizes, size_t n, int32_t line) {
  using key_scan::All, key_scan::kLanes, key_scan::Lanes, key_scan::Least, key_scan::Load;
  Lanes least = All(kNoKey), above = All(0);
  size_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    const Lanes key = Load(keys + k);
    least = Least(least, key);
    above += Load(sizes + k) & (key >= All(line));
  }
  KeyScan scan{Least(least), above[0] + above[1] + above[2] + above[3]};
  for (; k < n; ++k) {
    scan.least = std::min(scan.least, keys[k]);
    scan.above += keys[k] >= line ? sizes[k] : 0;
  }
  return scan;
}

struct LeastKeys {
  int32_t next = kNoKey;  // the least key that differs from `least`
  int32_t ways = 0;       // how many keys are `least`
  int32_t at = 0;         // the index of one of them
};

inline LeastKeys FindLeast(const int32_t* keys, size_t n, int32_t least) {
  using key_scan::All, key_scan::kLanes, key_scan::Lanes, key_scan::Least, key_scan::Load;
  Lanes next = All(kNoKey), ways = All(0), at = All(-1), here = {0, 1, 2, 3};
  size_t k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    const Lanes key = Load(keys + k);
    const Lanes equal = key == All(least);
    next = Least(next, key | (equal & All(kNoKey)));
    ways -= equal;
    at = equal ? here : at;
    here += All(kLanes);
  }
  LeastKeys found{Least(next), ways[0] + ways[1] + ways[2] + ways[3],
                  std::max(std::max(at[0], at[1]), std::max(at[2], at[3]))};
  for (; k < n; ++k) {
    if (keys[k] == least) {
      ++found.ways;
      found.at = static_cast<int32_t>(k);
    } else {
      found.next = std::min(found.next, keys[k]);
    }
  }
  return found;
}

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_KEY_SCAN_H_
