#include "tenure/planner/packing/sort_by_key.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace tenure::packing {
namespace {

constexpr size_t kFew = 1024;
constexpr int kBits = 11;
constexpr uint64_t kMask = (1 << kBits) - 1;

}  // namespace

void SortByKey(std::vector<Keyed>& keyed) {
  if (keyed.size() < kFew) {
    std::stable_sort(keyed.begin(), keyed.end(),
                     [](const Keyed& a, const Keyed& b) { return a.key < b.key; });
    return;
  }
  uint64_t differ = 0;
  for (const Keyed& k : keyed) differ |= k.key ^ keyed[0].key;
  std::vector<Keyed> other(keyed.size());
  for (int shift = 0; shift < 64; shift += kBits) {
    // A digit begins at a bit that differs, because the low bits of aligned offsets are all zero.
    while (shift < 64 && ((differ >> shift) & 1) == 0) ++shift;
    if (shift == 64) break;
    std::array<uint32_t, kMask + 1> next{};
    for (const Keyed& k : keyed) ++next[(k.key >> shift) & kMask];
    uint32_t sum = 0;
    for (uint32_t& n : next) {
      const uint32_t count = n;
      n = sum;
      sum += count;
    }
    for (const Keyed& k : keyed) other[next[(k.key >> shift) & kMask]++] = k;
    keyed.swap(other);
  }
}

}  // namespace tenure::packing
