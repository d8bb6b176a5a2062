#include "tenure/planner/packing/orders.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tenure::packing {

Orders::Orders(const Bodies& bodies, Budget& budget) : bodies_(bodies), budget_(budget) {
  for (uint32_t b = 0; b < bodies.bodies.size(); ++b) {
    const Body& body = bodies.bodies[b];
    if (body.first_piece == body.end_piece) {
      empty_.push_back(b);
      continue;
    }
    ids_.push_back(b);
    blocks_.push_back({body.height, 1, body.hull});
  }
  std::vector<uint64_t> totals(bodies.section_count + 1);
  for (const Block& block : blocks_) {
    totals[block.range.begin] += block.size;
    totals[block.range.end] -= block.size;
  }
  for (size_t s = 1; s < totals.size(); ++s) totals[s] += totals[s - 1];
  most_.resize(blocks_.size());
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const SectionRange range = blocks_[b].range;
    // Long lives look at some of their sections: the order is a guess anyhow.
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
  std::vector<uint32_t> ranked(blocks_.size());
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
  if (skyline && !blocks_.empty()) {
    SkylineGreedy greedy(blocks_, bodies_.section_count);
    std::vector<uint64_t> offsets;
    if (greedy.Run(ranked, kUnlimited, budget_, offsets)) ranked = greedy.placed();
  }
  for (uint32_t b : ranked) order.bodies.push_back(ids_[b]);
  order.bodies.insert(order.bodies.end(), empty_.begin(), empty_.end());
  return order;
}

double Orders::Key(char letter, uint32_t b) const {
  const Block& block = blocks_[b];
  const double width = block.range.end - block.range.begin;
  switch (letter) {
    case 'T':
      return static_cast<double>(most_[b]);
    case 'W':
      return width;
    case 'S':
      return static_cast<double>(block.size);
    default:
      return width * static_cast<double>(block.size);
  }
}

}  // namespace tenure::packing
