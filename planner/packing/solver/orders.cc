#include "tenure/planner/packing/solver/orders.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tenure::packing {

Orders::Orders(const RigidGroups& groups, Budget& budget) : groups_(groups), budget_(budget) {
  for (uint32_t b = 0; b < groups.groups.size(); ++b) {
    const RigidGroup& group = groups.groups[b];
    if (group.first_rectangle == group.end_rectangle) {
      empty_.push_back(b);
      continue;
    }
    ids_.push_back(b);
    rectangles_.push_back({group.height, 1, group.bounding_box});
  }
  std::vector<uint64_t> totals(groups.section_count + 1);
  for (const Rectangle& rectangle : rectangles_) {
    totals[rectangle.range.begin] += rectangle.size;
    totals[rectangle.range.end] -= rectangle.size;
  }
  for (size_t s = 1; s < totals.size(); ++s) totals[s] += totals[s - 1];
  most_.resize(rectangles_.size());
  for (size_t b = 0; b < rectangles_.size(); ++b) {
    const SectionRange range = rectangles_[b].range;
    // For long lives, only some of the sections are read, since the order is a guess anyway.
    const uint32_t stride = 1 + (range.end - range.begin) / 64;
    for (uint32_t s = range.begin; s < range.end; s += stride) {
      most_[b] = std::max(most_[b], totals[s]);
    }
  }
}

Order Orders::Make(int which) {
  static constexpr std::array<const char*, 4> kKeys = {"TWS", "AWS", "SWT", "WST"};
  const bool skyline = which < 2;
  const char* keys = kKeys[static_cast<size_t>(skyline ? which : which - 2)];
  std::vector<uint32_t> ranked(rectangles_.size());
  std::iota(ranked.begin(), ranked.end(), 0u);
  std::sort(ranked.begin(), ranked.end(), [&](uint32_t a, uint32_t b) {
    for (const char* k = keys; *k != 0; ++k) {
      const double x = Key(*k, a), y = Key(*k, b);
      if (x != y) return x > y;
    }
    return a < b;
  });
  Order order;
  order.name = absl::StrCat("first-fit:", skyline ? "skyline-" : "", keys);
  if (skyline && !rectangles_.empty()) {
    SkylineGreedy greedy(rectangles_, groups_.section_count);
    std::vector<uint64_t> offsets;
    if (greedy.Run(ranked, kUnlimited, budget_, offsets)) ranked = greedy.placed();
  }
  for (uint32_t b : ranked) order.groups.push_back(ids_[b]);
  order.groups.insert(order.groups.end(), empty_.begin(), empty_.end());
  return order;
}

double Orders::Key(char letter, uint32_t b) const {
  const Rectangle& rectangle = rectangles_[b];
  const double width = rectangle.range.end - rectangle.range.begin;
  switch (letter) {
    case 'T':
      return static_cast<double>(most_[b]);
    case 'W':
      return width;
    case 'S':
      return static_cast<double>(rectangle.size);
    default:
      return width * static_cast<double>(rectangle.size);
  }
}

}  // namespace tenure::packing
