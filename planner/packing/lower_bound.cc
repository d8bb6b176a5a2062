#include "tenure/planner/packing/lower_bound.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/precedence.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing {
namespace {

// The bytes that items hold during each part of their lives. Parts without bytes are left out.
struct Demand {
  std::vector<Life> lives;
  std::vector<uint64_t> sizes;   // rounded up to the grain
  std::vector<uint64_t> slacks;  // the bytes that rounding added
  std::vector<uint32_t> items;
};

// All offsets are multiples of the greatest common divisor of the alignments. So every item but the
// topmost takes its size rounded up to that.
uint64_t Grain(const Problem& problem) {
  if (!problem.gaps.empty() || !problem.adjacent.empty()) return 1;
  uint64_t grain = 0;
  for (const Item& item : problem.items) {
    if (item.size > 0 && item.alignment != grain) grain = std::gcd(grain, item.alignment);
    if (grain == 1) break;
  }
  return grain == 0 ? 1 : grain;
}

Demand FindDemand(const Problem& problem) {
  const size_t n = problem.items.size();
  const uint64_t grain = Grain(problem);
  Demand demand;
  demand.lives.reserve(n);
  demand.sizes.reserve(n);
  demand.items.reserve(n);
  std::vector<Life> by_order;
  if (problem.order.steps > 0) by_order = LivesInOneOrder(problem);
  auto add = [&](size_t i, Life life, uint64_t bytes) {
    if (bytes == 0) return;
    const uint64_t excess = Excess(bytes, grain);
    const uint64_t slack = excess == 0 ? 0 : grain - excess;
    if (slack > 0 && demand.slacks.empty()) demand.slacks.resize(demand.sizes.size());
    if (slack > 0 || !demand.slacks.empty()) demand.slacks.push_back(slack);
    demand.lives.push_back(life);
    demand.sizes.push_back(bytes + slack);
    demand.items.push_back(static_cast<uint32_t>(i));
  };
  if (problem.gaps.empty()) {
    for (size_t i = 0; i < n; ++i) {
      const Item& item = problem.items[i];
      add(i, by_order.empty() ? Life{item.first, item.last} : by_order[i], item.size);
    }
    return demand;
  }
  std::vector<uint32_t> order(problem.gaps.size());
  std::iota(order.begin(), order.end(), 0u);
  auto before = [&](uint32_t a, uint32_t b) {
    const Gap &x = problem.gaps[a], &y = problem.gaps[b];
    return x.item != y.item ? x.item < y.item : x.first < y.first;
  };
  if (!std::is_sorted(order.begin(), order.end(), before)) {
    std::sort(order.begin(), order.end(), before);
  }
  size_t k = 0;
  for (size_t i = 0; i < n; ++i) {
    const Item& item = problem.items[i];
    Time t = item.first;
    for (; k < order.size() && problem.gaps[order[k]].item == i; ++k) {
      const Gap& gap = problem.gaps[order[k]];
      if (t < gap.first) add(i, {t, gap.first}, item.size);
      add(i, {gap.first, gap.last}, gap.window_end - gap.window_begin);
      t = gap.last;
    }
    if (t < item.last) add(i, {t, item.last}, item.size);
  }
  return demand;
}

// Returns the largest slack in each section. The topmost item of a section need not add its slack.
std::vector<uint64_t> SectionSlacks(const Sections& sections, const std::vector<uint64_t>& slacks) {
  const uint32_t m = sections.count;
  std::vector<uint64_t> tree(2 * m);
  for (size_t i = 0; i < slacks.size(); ++i) {
    for (uint32_t l = sections.ranges[i].begin + m, r = sections.ranges[i].end + m; l < r;
         l /= 2, r /= 2) {
      if ((l & 1) != 0) tree[l] = std::max(tree[l], slacks[i]), ++l;
      if ((r & 1) != 0) --r, tree[r] = std::max(tree[r], slacks[i]);
    }
  }
  for (uint32_t i = 2; i < 2 * m; ++i) tree[i] = std::max(tree[i], tree[i / 2]);
  return {tree.begin() + m, tree.end()};
}

}  // namespace

Peak FindPeak(const Problem& problem) {
  const Demand demand = FindDemand(problem);
  Peak peak;
  if (demand.lives.empty()) return peak;
  const Sections sections = FindSections(demand.lives);
  std::vector<uint64_t> totals = SectionTotals(sections, demand.sizes);
  // Each arena has a topmost item of its own. Subtracting the largest slack once for each arena is
  // more than enough.
  if (!demand.slacks.empty()) {
    const std::vector<uint64_t> slacks = SectionSlacks(sections, demand.slacks);
    for (uint32_t s = 0; s < sections.count; ++s) {
      const uint64_t tops = std::min<uint64_t>(ArenaCount(problem), totals[s]);
      totals[s] -= slacks[s] > totals[s] / tops ? totals[s] : slacks[s] * tops;
    }
  }
  const auto at = std::max_element(totals.begin(), totals.end());
  peak.bytes = *at;
  peak.first = sections.moment[static_cast<size_t>(at - totals.begin())];
  // The section lasts from the last start in it to the first end.
  peak.last = INT64_MAX;
  for (const Life& life : demand.lives) {
    if (life.first <= peak.first && life.last > peak.first) {
      peak.last = std::min(peak.last, life.last);
    }
  }
  return peak;
}

std::vector<uint32_t> ItemsAt(const Problem& problem, const Peak& peak) {
  const Demand demand = FindDemand(problem);
  std::vector<uint32_t> parts;
  for (size_t p = 0; p < demand.lives.size(); ++p) {
    if (demand.lives[p].first <= peak.first && demand.lives[p].last > peak.first) {
      parts.push_back(static_cast<uint32_t>(p));
    }
  }
  std::sort(parts.begin(), parts.end(), [&](uint32_t a, uint32_t b) {
    return demand.sizes[a] != demand.sizes[b] ? demand.sizes[a] > demand.sizes[b] : a < b;
  });
  for (uint32_t& p : parts) p = demand.items[p];
  return parts;
}

uint64_t LowerBound(const Problem& problem) {
  uint64_t bound = FindPeak(problem).bytes;
  for (const Item& item : problem.items) {
    // An item lies in its arena as a whole, with gaps or without.
    bound = std::max(bound, item.size);
    if (item.fixed != kNoOffset && item.size > 0) bound = std::max(bound, item.fixed + item.size);
  }
  return bound;
}

}  // namespace tenure::packing
