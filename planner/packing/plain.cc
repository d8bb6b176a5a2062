#include "tenure/planner/packing/plain.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {

PlainInstance MakePlain(const Problem& problem) {
  PlainInstance plain;
  const size_t n = problem.items.size();
  uint64_t grain = 0;
  for (const Item& item : problem.items) {
    if (item.size > 0 && item.alignment != grain) grain = std::gcd(grain, item.alignment);
  }
  plain.grain = std::max<uint64_t>(grain, 1);
  std::vector<Life> lives;
  lives.reserve(n);
  plain.rectangles.reserve(n);
  plain.item_of.reserve(n);
  plain.width.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const Item& item = problem.items[i];
    if (item.size == 0 || item.fixed != kNoOffset) continue;
    const uint64_t size = AlignUp(item.size, plain.grain);
    const uint64_t alignment = item.alignment == plain.grain ? 1 : item.alignment;
    plain.mixed_alignment |= alignment != 1;
    plain.rounded |= size != item.size;
    plain.rectangles.push_back({size, alignment, {}});
    plain.item_of.push_back(static_cast<uint32_t>(i));
    plain.width.push_back(static_cast<uint64_t>(item.last) - static_cast<uint64_t>(item.first));
    lives.push_back({item.first, item.last});
  }
  const Sections sections = FindSections(lives);
  // The differences may wrap around; the prefix sums are correct again.
  plain.totals.assign(sections.count + 1, 0);
  for (size_t b = 0; b < plain.rectangles.size(); ++b) {
    plain.rectangles[b].range = sections.ranges[b];
    plain.totals[sections.ranges[b].begin] += plain.rectangles[b].size;
    plain.totals[sections.ranges[b].end] -= plain.rectangles[b].size;
  }
  for (size_t s = 1; s < plain.totals.size(); ++s) plain.totals[s] += plain.totals[s - 1];
  plain.totals.pop_back();
  for (uint64_t total : plain.totals) plain.peak = std::max(plain.peak, total);
  return plain;
}

uint64_t TopOf(const std::vector<Rectangle>& rectangles, const std::vector<uint64_t>& offsets) {
  uint64_t top = 0;
  for (size_t b = 0; b < rectangles.size(); ++b)
    top = std::max(top, offsets[b] + rectangles[b].size);
  return top;
}

}  // namespace tenure::packing
