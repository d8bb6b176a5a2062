// Chooses the section to branch on next.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/tree.h"

namespace tenure::packing::exact {

Tree::Spot Tree::Choose(uint32_t first, uint32_t last) {
  ++step_;
  Spot best;
  if (strategy_.choice == Choice::kItem || strategy_.choice == Choice::kFirst) {
    Units level = kNoUnits;
    for (uint32_t t = first; t <= last; ++t) level = std::min(level, floor_[t]);
    uint32_t item = 0;
    while (key(item) != level || first_section_[item] < first || first_section_[item] > last) {
      ++item;
    }
    best.item = item;
    best.section = first_section_[item];
    best.floor = level;
    best.nothing = true;
    if (strategy_.choice == Choice::kItem) {
      best.nothing = fixed_[item] < 0;
      return best;
    }
    double value = 0;
    Spot spot;
    if (Look(best.section, spot, value)) best = spot;
    return best;
  }
  bool any = false;
  double best_value = 0;
  for (uint32_t t = first; t <= last; ++t) {
    if (total_[t] == 0) continue;
    // The floor alone shows for most sections that they can't be the best.
    const Units room = capacity_ - total_[t];
    const Lowest& lowest = lowest_[t];
    const bool fills = lowest.next > room || lowest.floor >= room;
    const uint32_t ways = lowest.ways == 1 && !fills ? 2 : lowest.ways;
    if (any && Value(t, ways) >= best_value) continue;
    if (Halted(open_count_[t]) && any) break;
    Spot spot;
    double value = 0;
    if (!Look(t, spot, value)) continue;
    if (!any || value < best_value) {
      any = true;
      best = spot;
      best_value = value;
    }
  }
  return best;
}

// Returns the range of sections that the lowest open items of a section are in.
SectionRange Tree::LowestBoundingBox(uint32_t section) const {
  const Units floor = floor_[section];
  SectionRange box{section, section + 1};
  const auto add = [&](uint32_t item) {
    box.begin = std::min(box.begin, first_section_[item]);
    box.end = std::max(box.end, last_section_[item] + 1);
  };
  if (narrow_) {
    const uint32_t begin = members_.begin[section], end = begin + open_count_[section];
    for (uint32_t at = begin; at < end; ++at) {
      if (member_key_[at] == static_cast<int32_t>(floor)) add(members_.values[at]);
    }
    return box;
  }
  for (const uint32_t* i = OpenBegin(section); i != OpenEnd(section); ++i) {
    if (key(*i) == floor) add(*i);
  }
  return box;
}

// Returns false unless the items that fit on the floor of the section could be placed now: no other
// item may come below them later, anywhere in their lives.
bool Tree::Look(uint32_t section, Spot& spot, double& value) {
  const Lowest& lowest = lowest_[section];
  const Units floor = lowest.floor;
  if (whole_) {
    // The walls of a valley are mostly close to each other.
    const SectionRange box = LowestBoundingBox(section);
    for (uint32_t t = section; t > box.begin; --t) {
      if (floor_[t - 1] < floor) return false;
    }
    for (uint32_t t = section; t + 1 < box.end; ++t) {
      if (floor_[t + 1] < floor) return false;
    }
  } else {
    for (const uint32_t* i = OpenBegin(section); i != OpenEnd(section); ++i) {
      if (key(*i) != floor) continue;
      for (const uint32_t* t = spans_.first(*i); t != spans_.last(*i); ++t) {
        if (floor_[*t] < floor) return false;
      }
    }
  }
  spot.section = section;
  spot.floor = floor;
  spot.nothing = MayStayEmpty(section);
  value = Value(section, lowest.ways + (spot.nothing ? 1 : 0));
  return true;
}

// A lower value is better. The value never falls when the number of ways grows.
double Tree::Value(uint32_t section, uint32_t ways) const {
  const Units floor = floor_[section];
  const Units slack = capacity_ - floor - total_[section];
  const auto s = static_cast<double>(slack);
  const auto f = static_cast<double>(floor);
  const auto scale = static_cast<double>(capacity_) + 1;
  const auto w = static_cast<double>(ways);
  double value = 0;
  switch (strategy_.choice) {
    case Choice::kFewest:
      value = f + (w + std::min(1.0, s / scale)) / (scale + 1) * 0.5;
      break;
    case Choice::kTight:
      value = f + s / 10 + w * 1e-5;
      break;
    case Choice::kFullest:
      value = f - static_cast<double>(total_[section]) / (2 * scale);
      break;
    case Choice::kHardest:
      value = (ways <= 1 ? 0 : w + s * 51.2 / scale) / std::sqrt(weight_[section]);
      break;
    default:
      break;
  }
  const bool forces = strategy_.choice == Choice::kFewest || strategy_.choice == Choice::kTight;
  if (forces && rules_.forced_first && ways > 1) value += 4 * scale;
  return value;
}

bool Tree::MayStayEmpty(uint32_t section) {
  const Units room = capacity_ - total_[section];
  if (!rules_.section_floors) return true;
  const Lowest& lowest = lowest_[section];
  if (lowest.floor + 1 > room) return false;
  for (const uint32_t* i = OpenBegin(section); any_fixed_ && i != OpenEnd(section); ++i) {
    if (key(*i) == lowest.floor && fixed_[*i] >= 0) return false;
  }
  if (lowest.next <= room) return true;
  for (const uint32_t* i = OpenBegin(section); i != OpenEnd(section); ++i) {
    if (key(*i) != lowest.floor) continue;
    if (support_node_[*i] != step_) {
      support_node_[*i] = step_;
      work_ += Neighbours(*i);
      support_[*i] = LowestSupport(*i);
    }
    if (support_[*i] <= room) return true;
  }
  return false;
}

}  // namespace tenure::packing::exact
