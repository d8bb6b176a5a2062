// Derives the consequences of placing an item, and finds dead branches.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/exact/key_scan.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/tree.h"

namespace tenure::packing::exact {
namespace {

Units AlignUp(Units offset, Units alignment) {
  return static_cast<Units>(
      packing::AlignUp(static_cast<uint64_t>(offset), static_cast<uint64_t>(alignment)));
}

}  // namespace

void Tree::ClearTouched() {
  for (uint32_t t : touched_) touched_flag_[t] = 0;
  touched_.clear();
}

void Tree::TakeOut(uint32_t section, uint32_t span) {
  const uint32_t at = member_at_[span];
  const uint32_t last = members_.begin[section] + --open_count_[section];
  std::swap(members_.values[at], members_.values[last]);
  std::swap(member_span_[at], member_span_[last]);
  if (narrow_) {
    std::swap(member_key_[at], member_key_[last]);
    std::swap(member_size_[at], member_size_[last]);
  }
  member_at_[member_span_[at]] = at;
  member_at_[span] = last;
}

void Tree::TellSections(uint32_t item) {
  if (!narrow_) return;
  const auto key = static_cast<int32_t>(cell_[item].key);
  int32_t* const keys = member_key_.data();
  const uint32_t* const end = member_at_.data() + spans_.begin[item + 1];
  for (const uint32_t* at = member_at_.data() + spans_.begin[item]; at != end; ++at) {
    keys[*at] = key;
  }
}

// Returns the lowest offset, from this one up, where the item is aligned and overlaps no fixed
// item. An item that lies on a fixed item is supported. So in packings where no item can be moved
// down, it lies here or on an item that is placed later.
Units Tree::Fit(uint32_t item, Units offset) const {
  offset = AlignUp(offset, alignment_[item]);
  if (!any_fixed_) return offset;
  for (uint32_t k = taken_begin_[item]; k < taken_begin_[item + 1]; ++k) {
    if (offset <= taken_[k].first) break;
    if (offset < taken_[k].second) offset = AlignUp(taken_[k].second, alignment_[item]);
  }
  return offset;
}

void Tree::Blame(uint32_t section) {
  weight_[section] += 1;
  const double share = 1.0 / static_cast<double>(open_count_[section]);
  for (const uint32_t* i = OpenBegin(section); i != OpenEnd(section); ++i) failures_[*i] += share;
}

Tree::Branch Tree::Place(uint32_t item) {
  ++step_;
  if (Halted(8 * (spans_.begin[item + 1] - spans_.begin[item]) + Neighbours(item))) {
    return Branch::kStopped;
  }
  const Units top = low_[item] + size(item);
  trail_.push_back({Change::kPlaced, item, 0});
  cell_[item].key = kNoUnits;
  open_area_ -= Area(item);
  least_area_ = std::min(least_area_, open_area_);
  for (uint32_t s = spans_.begin[item]; s < spans_.begin[item + 1]; ++s) {
    const uint32_t t = spans_.values[s];
    total_[t] -= size(item);
    TakeOut(t, s);
    Touch(t);
  }
  for (uint32_t t = first_section_[item] + 1; t <= last_section_[item]; ++t) --crossing_[t];
  bool alive = true;
  probe_ = top;
  for (const uint32_t* j = conflicts_.first(item); j != conflicts_.last(item) && alive; ++j) {
    // The keys of placed items are never lower than this.
    if (!IsOpen(*j) || geometric_[*j] >= top) continue;
    // If both numbers go up together, one entry covers both.
    if (low_[*j] == geometric_[*j]) {
      alive = Raise(*j, top, Change::kAll);
      continue;
    }
    trail_.push_back({Change::kGeometric, *j, geometric_[*j]});
    geometric_[*j] = Fit(*j, top);
    if (low_[*j] < top) alive = Raise(*j, top);
  }
  const Branch branch = alive ? CheckTouched() : Branch::kDead;
  ClearTouched();
  return branch;
}

bool Tree::Raise(uint32_t item, Units offset, Change change) {
  for (;;) {
    offset = Fit(item, offset);
    const Units old = low_[item];
    if (offset <= old) return true;
    if (fixed_[item] >= 0 || offset + size(item) > capacity_) {
      failures_[item] += 1;
      for (const uint32_t* t = spans_.first(item); t != spans_.last(item); ++t) {
        weight_[*t] += 0.1;
      }
      return false;
    }
    trail_.push_back({change, item, old});
    low_[item] = cell_[item].key = offset;
    if (change == Change::kAll) geometric_[item] = offset;
    work_ += spans_.begin[item + 1] - spans_.begin[item];
    TellSections(item);
    const Units* const next_keys = next_.data();
    const uint32_t* const end = spans_.last(item);
    for (const uint32_t* t = spans_.first(item); t != end; ++t) {
      if (old <= next_keys[*t]) Touch(*t);
    }
    // The next of several equal items lies above this one.
    const uint32_t next = next_sibling_[item];
    if (next == order_.size() || !IsOpen(next)) return true;
    offset += size(item);
    item = next;
    change = Change::kLow;
  }
}

bool Tree::Exclude(uint32_t item) {
  if (fixed_[item] >= 0) return false;
  if (rules_.dominance && LowestOther(item) >= geometric_[item] + size(item)) return false;
  const Units offset = LowestSupport(item);
  probe_ = offset;
  return offset != kNoUnits && Raise(item, offset);
}

Tree::Branch Tree::CheckTouched() {
  // Sections are only read here, so the list does not grow.
  for (uint32_t t : touched_) {
    if (Halted(static_cast<uint64_t>(open_count_[t]))) return Branch::kStopped;
    if (!CheckSection(t)) {
      Blame(t);
      return Branch::kDead;
    }
  }
  return Branch::kAlive;
}

bool Tree::CheckSection(uint32_t section) {
  return narrow_ ? CheckNarrow(section) : CheckWide(section);
}

bool Tree::RoomLeft(uint32_t section, Units floor, Units above) const {
  const Units total = total_[section];
  if (total == 0) return true;
  if (rules_.section_floors && floor + total > capacity_) return false;
  return !rules_.stacks || probe_ + above <= capacity_;
}

void Tree::UpdateLowest(uint32_t section, const Lowest& lowest) {
  if (lowest == lowest_[section]) return;
  trail_.push_back({Change::kLowest, section, 0});
  old_lowest_.push_back(lowest_[section]);
  SetLowest(section, lowest);
}

bool Tree::CheckNarrow(uint32_t section) {
  const uint32_t begin = members_.begin[section];
  const uint32_t n = open_count_[section];
  if (n == 0) {
    UpdateLowest(section, {kNoUnits, kNoUnits, 0, 0});
    return true;
  }
  const int32_t* const keys = member_key_.data() + begin;
  const auto probe = static_cast<int32_t>(std::min<Units>(probe_, kNoKey));
  const KeyScan scan = ScanKeys(keys, member_size_.data() + begin, n, probe);
  if (!RoomLeft(section, scan.least, scan.above)) return false;
  const LeastKeys least = FindLeast(keys, n, scan.least);
  const auto ways = static_cast<uint32_t>(least.ways);
  UpdateLowest(section, {scan.least, least.next == kNoKey ? kNoUnits : least.next, ways,
                         ways > 1 ? 0 : members_.values[begin + static_cast<uint32_t>(least.at)]});
  return true;
}

bool Tree::CheckWide(uint32_t section) {
  Lowest lowest{.floor = kNoUnits, .next = kNoUnits};
  Units above = 0;
  for (const uint32_t* i = OpenBegin(section); i != OpenEnd(section); ++i) {
    const Cell& cell = cell_[*i];
    above += cell.key >= probe_ ? cell.size : 0;
    if (cell.key > lowest.floor) {
      lowest.next = std::min(lowest.next, cell.key);
    } else if (cell.key == lowest.floor) {
      ++lowest.ways;
      lowest.item = 0;
    } else {
      lowest = {cell.key, lowest.floor, 1, *i};
    }
  }
  if (!RoomLeft(section, lowest.floor, above)) return false;
  UpdateLowest(section, lowest);
  return true;
}

Units Tree::LowestOther(uint32_t item) const {
  Units lowest = kNoUnits;
  for (const uint32_t* t = spans_.first(item); t != spans_.last(item); ++t) {
    lowest = std::min(lowest, key(item) == floor_[*t] ? second_[*t] : floor_[*t]);
  }
  return lowest;
}

// Returns the lowest offset of an item that is not placed at its lowest possible offset: it must
// lie on an open item.
Units Tree::LowestSupport(uint32_t item) {
  if (!rules_.support) return AlignUp(low_[item] + 1, alignment_[item]);
  Units lowest = kNoUnits;
  for (const uint32_t* j = conflicts_.first(item); j != conflicts_.last(item); ++j) {
    if (IsOpen(*j)) lowest = std::min(lowest, key(*j) + size(*j));
  }
  return lowest == kNoUnits ? lowest : AlignUp(lowest, alignment_[item]);
}

// If two items of equal life lie on each other out of order, exchanging them gives another packing
// of the same height in which the sum of (size / rank) * offset is smaller. Moving an item down
// makes the same sum smaller. So the packing with the smallest sum satisfies all rules.
bool Tree::OutOfOrder(uint32_t item, Units offset) const {
  if (!rules_.stack_order || fixed_[item] >= 0) return false;
  const uint32_t group = group_[item];
  for (const uint32_t* j = groups_.first(group); j != groups_.last(group); ++j) {
    if (*j <= item || IsOpen(*j) || low_[*j] + size(*j) != offset) continue;
    if (fixed_[*j] >= 0 || alignment_[*j] != alignment_[item]) continue;
    if (size(*j) % alignment_[item] == 0 && size(item) % alignment_[item] == 0) return true;
  }
  return false;
}

Tree::Branch Tree::PlaceDominating(uint32_t first, uint32_t last) {
  auto below_others = [this](uint32_t i, Units needed) {
    for (const uint32_t* t = spans_.first(i); t != spans_.last(i); ++t) {
      if ((key(i) == floor_[*t] ? second_[*t] : floor_[*t]) < needed) return false;
    }
    return true;
  };
  for (bool again = true; again;) {
    again = false;
    // An item that is below all others is so in its first section too.
    for (uint32_t t = first; t <= last; ++t) {
      const uint32_t i = lowest_[t].item;
      if (lowest_[t].ways != 1 || first_section_[i] != t || low_[i] > geometric_[i]) continue;
      if (!below_others(i, fixed_[i] >= 0 ? low_[i] : geometric_[i] + size(i))) continue;
      if (OutOfOrder(i, low_[i])) return Branch::kDead;
      const Branch branch = Place(i);
      if (branch != Branch::kAlive) return branch;
      again = true;
    }
    if (again) continue;
    const auto n = static_cast<uint32_t>(order_.size());
    for (uint32_t i = 0; i < n; ++i) {
      if (low_[i] <= geometric_[i] || !IsOpen(i) || fixed_[i] >= 0) continue;
      if (first_section_[i] < first || first_section_[i] > last) continue;
      // It was raised above an equal item that is still open. That does not exclude its lowest
      // offset.
      if (previous_sibling_[i] != n && IsOpen(previous_sibling_[i])) continue;
      if (!below_others(i, geometric_[i] + size(i))) continue;
      for (const uint32_t* t = spans_.first(i); t != spans_.last(i); ++t) weight_[*t] += 0.1;
      return Branch::kDead;
    }
  }
  return Branch::kAlive;
}

}  // namespace tenure::packing::exact
