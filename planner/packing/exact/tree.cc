#include "tenure/planner/packing/exact/tree.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/key_scan.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/search_rules.h"

namespace tenure::packing::exact {

Tree::Tree(const Model& model, const Strategy& strategy, const Rules& rules, Units capacity,
           const Stop& stop, const Lead& lead, const std::vector<double>& weights)
    : rules_(rules), strategy_(strategy), capacity_(capacity), stop_(stop) {
  order_ = StaticOrder(model, strategy, lead);
  Renumber(model);
  if (halted_) return;
  LinkSiblings();
  if (any_fixed_) FindTaken();
  const size_t n = order_.size();
  geometric_.assign(n, 0);
  low_.assign(n, 0);
  total_ = model.total;
  const auto most = std::max_element(total_.begin(), total_.end());
  narrow_ = capacity < kNoKey && (most == total_.end() || *most < kNoKey);
  floor_.assign(model.sections, 0);
  second_.assign(model.sections, 0);
  next_.assign(model.sections, 0);
  lowest_.assign(model.sections, {});
  crossing_.assign(size_t{model.sections} + 1, 0);
  for (size_t i = 0; i < n; ++i) {
    for (uint32_t t = first_section_[i] + 1; t <= last_section_[i]; ++t) ++crossing_[t];
  }
  weight_.assign(model.sections, 1.0);
  for (size_t t = 0; t < weights.size(); ++t) weight_[t] += weights[t];
  old_weight_ = weight_;
  for (uint32_t i = 0; i < n; ++i) open_area_ += Area(i);
  least_area_ = all_area_ = open_area_;
  failures_.assign(n, 0);
  touched_flag_.assign(model.sections, 0);
  support_.assign(n, 0);
  support_node_.assign(n, 0);
}

void Tree::Renumber(const Model& model) {
  const size_t n = order_.size();
  std::vector<uint32_t> rank(n);
  for (uint32_t i = 0; i < n; ++i) rank[order_[i]] = i;
  cell_.resize(n);
  alignment_.resize(n);
  fixed_.resize(n);
  first_section_.resize(n);
  last_section_.resize(n);
  spans_.begin.assign(1, 0);
  conflicts_.begin.assign(1, 0);
  spans_.values.reserve(model.spans.values.size());
  conflicts_.values.reserve(model.conflicts.values.size());
  for (size_t i = 0; i < n; ++i) {
    const uint32_t from = order_[i];
    if (Halted(model.spans.begin[from + 1] - model.spans.begin[from] +
               model.conflicts.begin[from + 1] - model.conflicts.begin[from])) {
      return;
    }
    cell_[i] = {0, model.size[from]};
    alignment_[i] = model.alignment[from];
    fixed_[i] = model.fixed[from];
    if (fixed_[i] >= 0) any_fixed_ = true;
    first_section_[i] = model.first_section[from];
    last_section_[i] = model.last_section[from];
    spans_.values.insert(spans_.values.end(), model.spans.first(from), model.spans.last(from));
    spans_.begin.push_back(static_cast<uint32_t>(spans_.values.size()));
    if (spans_.begin[i + 1] - spans_.begin[i] != last_section_[i] - first_section_[i] + 1) {
      whole_ = false;
    }
    for (const uint32_t* j = model.conflicts.first(from); j != model.conflicts.last(from); ++j) {
      conflicts_.values.push_back(rank[*j]);
    }
    conflicts_.begin.push_back(static_cast<uint32_t>(conflicts_.values.size()));
  }
  members_.begin = model.members.begin;
  members_.values.resize(model.members.values.size());
  member_span_.resize(members_.values.size());
  member_at_.resize(members_.values.size());
  std::vector<uint32_t> end(members_.begin.begin(), members_.begin.end() - 1);
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t s = spans_.begin[i]; s < spans_.begin[i + 1]; ++s) {
      const uint32_t at = end[spans_.values[s]]++;
      members_.values[at] = i;
      member_span_[at] = s;
      member_at_[s] = at;
    }
  }
  open_count_.resize(model.sections);
  for (size_t t = 0; t < model.sections; ++t) {
    open_count_[t] = members_.begin[t + 1] - members_.begin[t];
  }
}

void Tree::FindTaken() {
  const auto n = static_cast<uint32_t>(order_.size());
  taken_begin_.assign(1, 0);
  std::vector<std::pair<Units, Units>> found;
  for (uint32_t i = 0; i < n; ++i) {
    found.clear();
    for (const uint32_t* j = conflicts_.first(i); fixed_[i] < 0 && j != conflicts_.last(i); ++j) {
      if (fixed_[*j] >= 0) found.emplace_back(fixed_[*j] - size(i), fixed_[*j] + size(*j));
    }
    std::sort(found.begin(), found.end());
    for (const auto& range : found) {
      if (taken_.size() > taken_begin_.back() && range.first < taken_.back().second) {
        taken_.back().second = std::max(taken_.back().second, range.second);
      } else {
        taken_.push_back(range);
      }
    }
    taken_begin_.push_back(static_cast<uint32_t>(taken_.size()));
  }
}

void Tree::LinkSiblings() {
  const auto n = static_cast<uint32_t>(order_.size());
  next_sibling_.assign(n, n);
  previous_sibling_.assign(n, n);
  group_.resize(n);
  // Items with gaps may have equal bounding boxes and different spans, so the whole spans are
  // compared.
  auto before = [&](uint32_t a, uint32_t b) {
    const auto box_a = std::tuple(first_section_[a], last_section_[a]);
    const auto box_b = std::tuple(first_section_[b], last_section_[b]);
    if (box_a != box_b) return box_a < box_b;
    return std::lexicographical_compare(spans_.first(a), spans_.last(a), spans_.first(b),
                                        spans_.last(b));
  };
  std::vector<uint32_t> sorted(n);
  for (uint32_t i = 0; i < n; ++i) sorted[i] = i;
  std::stable_sort(sorted.begin(), sorted.end(), before);
  groups_.begin.assign(1, 0);
  std::map<std::pair<Units, Units>, uint32_t> last;
  for (uint32_t k = 0; k < n; ++k) {
    const uint32_t i = sorted[k];
    if (k > 0 && before(sorted[k - 1], i)) {
      groups_.begin.push_back(static_cast<uint32_t>(groups_.values.size()));
      last.clear();
    }
    group_[i] = static_cast<uint32_t>(groups_.begin.size() - 1);
    groups_.values.push_back(i);
    if (!rules_.siblings || fixed_[i] >= 0) continue;
    auto [at, fresh] = last.try_emplace({size(i), alignment_[i]}, i);
    if (!fresh) {
      next_sibling_[at->second] = i;
      previous_sibling_[i] = at->second;
      at->second = i;
    }
  }
  groups_.begin.push_back(static_cast<uint32_t>(groups_.values.size()));
}

void Tree::UndoTo(size_t mark) {
  while (trail_.size() > mark) {
    const Undo undo = trail_.back();
    const uint32_t i = undo.index;
    trail_.pop_back();
    switch (undo.change) {
      case Change::kPlaced:
        cell_[i].key = low_[i];
        open_area_ += Area(i);
        for (const uint32_t* t = spans_.first(i); t != spans_.last(i); ++t) {
          total_[*t] += size(i);
          ++open_count_[*t];
        }
        for (uint32_t t = first_section_[i] + 1; t <= last_section_[i]; ++t) ++crossing_[t];
        break;
      case Change::kAll:
        low_[i] = cell_[i].key = geometric_[i] = undo.old;
        TellSections(i);
        break;
      case Change::kLow:
        low_[i] = cell_[i].key = undo.old;
        TellSections(i);
        break;
      case Change::kGeometric:
        geometric_[i] = undo.old;
        break;
      case Change::kLowest:
        SetLowest(i, old_lowest_.back());
        old_lowest_.pop_back();
        break;
    }
  }
}

Verdict Tree::Run(uint64_t node_limit, const std::atomic<uint64_t>* race, uint64_t run) {
  if (halted_ || stop_.Now()) return Verdict::kStopped;
  node_limit_ = node_limit;
  race_ = race;
  run_ = run;
  if (order_.empty()) return Verdict::kFound;
  // Applies the rules that hold before any item is placed.
  for (uint32_t i = 0; i < order_.size(); ++i) {
    if (size(i) > capacity_) return Verdict::kInfeasible;
    if (fixed_[i] >= 0) {
      if (fixed_[i] + size(i) > capacity_) return Verdict::kInfeasible;
      low_[i] = cell_[i].key = geometric_[i] = fixed_[i];
    }
  }
  for (uint32_t t = 0; t < total_.size(); ++t) Touch(t);
  for (uint32_t i = 0; i < order_.size() && any_fixed_; ++i) {
    if (fixed_[i] >= 0) continue;
    low_[i] = cell_[i].key = geometric_[i] = Fit(i, 0);
    if (low_[i] + size(i) > capacity_) return Verdict::kInfeasible;
  }
  FillNarrow();
  for (uint32_t i = 0; i < order_.size(); ++i) {
    if (next_sibling_[i] == order_.size()) continue;
    if (!Raise(next_sibling_[i], low_[i] + size(i))) return Verdict::kInfeasible;
  }
  const Branch root = CheckTouched();
  if (root == Branch::kStopped) return Verdict::kStopped;
  if (root == Branch::kDead) return Verdict::kInfeasible;
  trail_.clear();
  old_lowest_.clear();

  Step step = Enter(0, static_cast<uint32_t>(total_.size() - 1));
  for (;;) {
    if (halted_) return Verdict::kStopped;
    switch (step) {
      case Step::kEnter:
        step = Enter(enter_first_, enter_last_);
        break;
      case Step::kSolved:
        if (frames_.empty()) return Verdict::kFound;
        step = Solved();
        break;
      case Step::kFailed:
        if (frames_.empty()) return Verdict::kInfeasible;
        ++backtracks_;
        step = Advance();
        break;
      case Step::kLimit:
        return Verdict::kLimit;
      case Step::kStopped:
        return Verdict::kStopped;
    }
  }
}

void Tree::FillNarrow() {
  if (!narrow_) return;
  member_key_.resize(members_.values.size());
  member_size_.resize(members_.values.size());
  for (size_t at = 0; at < members_.values.size(); ++at) {
    const Cell& cell = cell_[members_.values[at]];
    member_key_[at] = static_cast<int32_t>(cell.key);
    member_size_[at] = static_cast<int32_t>(cell.size);
  }
}

bool Tree::Split(uint32_t first, uint32_t last) {
  const auto list = static_cast<uint32_t>(lists_.size());
  uint32_t from = first;
  bool open = false;
  for (uint32_t t = first; t <= last + 1; ++t) {
    if (t > first && (t > last || crossing_[t] == 0)) {
      if (open) {
        lists_.push_back(from);
        lists_.push_back(t - 1);
      }
      from = t;
      open = false;
    }
    if (t <= last && total_[t] > 0) open = true;
  }
  parts_ = (lists_.size() - list) / 2;
  if (parts_ <= 1 || !rules_.decomposition) {
    if (parts_ == 1) {
      part_first_ = lists_[list];
      part_last_ = lists_[list + 1];
    } else {
      part_first_ = first;
      part_last_ = last;
    }
    lists_.resize(list);
    return false;
  }
  // The part that failed most goes first: if it fails again, the others need not be searched.
  auto heaviest = [&](uint32_t k) {
    double most = 0;
    for (uint32_t t = lists_[list + 2 * k]; t <= lists_[list + 2 * k + 1]; ++t) {
      most = std::max(most, weight_[t]);
    }
    return most;
  };
  uint32_t best = 0;
  for (uint32_t k = 1; k < parts_; ++k) {
    if (heaviest(k) > heaviest(best)) best = k;
  }
  std::swap(lists_[list], lists_[list + 2 * best]);
  std::swap(lists_[list + 1], lists_[list + 2 * best + 1]);
  frames_.push_back({true, false, first, last, list, list, trail_.size()});
  return true;
}

Tree::Step Tree::Enter(uint32_t first, uint32_t last) {
  for (;;) {
    if (Split(first, last)) return Solved();
    if (parts_ == 0) return Step::kSolved;
    first = part_first_;
    last = part_last_;
    if (rules_.dominance) {
      const size_t before = trail_.size();
      const Branch branch = PlaceDominating(first, last);
      if (branch != Branch::kAlive) return StepAfter(branch);
      if (trail_.size() != before) continue;
    }
    if (++nodes_ > node_limit_) return Step::kLimit;
    if (Halted(order_.size())) return Step::kStopped;
    if (race_ != nullptr && race_->load(std::memory_order_relaxed) < run_) return Step::kStopped;

    const Spot spot = Choose(first, last);
    const auto list = static_cast<uint32_t>(lists_.size());
    if (strategy_.choice == Choice::kItem) {
      if (!OutOfOrder(spot.item, spot.floor)) lists_.push_back(spot.item);
    } else {
      for (const uint32_t* i = OpenBegin(spot.section); i != OpenEnd(spot.section); ++i) {
        if (key(*i) == spot.floor) lists_.push_back(*i);
      }
      std::sort(lists_.begin() + list, lists_.end());
    }
    const size_t ways = lists_.size() - list;
    if (ways == 1 && !spot.nothing) {
      const uint32_t item = lists_[list];
      lists_.resize(list);
      if (OutOfOrder(item, spot.floor)) return Step::kFailed;
      const Branch branch = Place(item);
      if (branch != Branch::kAlive) return StepAfter(branch);
      continue;
    }
    if (strategy_.choice == Choice::kItem && ways == 0) {
      const Branch branch = Exclude(spot.item) ? CheckTouched() : Branch::kDead;
      if (branch != Branch::kAlive) {
        ClearTouched();
        return StepAfter(branch);
      }
      continue;
    }
    frames_.push_back({false, spot.nothing, first, last, list, list, trail_.size()});
    return Advance();
  }
}

Tree::Step Tree::Solved() {
  while (!frames_.empty()) {
    Frame& frame = frames_.back();
    if (frame.split && frame.next < lists_.size()) {
      enter_first_ = lists_[frame.next];
      enter_last_ = lists_[frame.next + 1];
      frame.next += 2;
      return Step::kEnter;
    }
    lists_.resize(frame.list);
    frames_.pop_back();
  }
  return Step::kSolved;
}

Tree::Step Tree::Advance() {
  while (!frames_.empty()) {
    Frame& frame = frames_.back();
    UndoTo(frame.trail);
    const uint32_t first = frame.first;
    const uint32_t last = frame.last;
    if (!frame.split) {
      while (frame.next < lists_.size()) {
        const uint32_t item = lists_[frame.next++];
        if (Halted(32)) return Step::kStopped;
        if (OutOfOrder(item, low_[item])) continue;
        const Branch branch = Place(item);
        if (branch == Branch::kStopped) return Step::kStopped;
        if (branch == Branch::kAlive) {
          enter_first_ = first;
          enter_last_ = last;
          return Step::kEnter;
        }
        UndoTo(frame.trail);
      }
    }
    const bool nothing = !frame.split && frame.nothing;
    bool alive = nothing;
    if (nothing) {
      ++step_;
      for (size_t k = frame.list; k < lists_.size() && alive; ++k) {
        if (Halted(Neighbours(lists_[k]))) return Step::kStopped;
        alive = Exclude(lists_[k]);
      }
      const Branch branch = alive ? CheckTouched() : Branch::kDead;
      ClearTouched();
      if (branch == Branch::kStopped) return Step::kStopped;
      alive = branch == Branch::kAlive;
    }
    lists_.resize(frame.list);
    if (alive) {
      // The exclusion is undone together with the frame below.
      frames_.pop_back();
      enter_first_ = first;
      enter_last_ = last;
      return Step::kEnter;
    }
    UndoTo(frame.trail);
    frames_.pop_back();
  }
  return Step::kFailed;
}

Failures Tree::FailuresSoFar() const {
  Failures failures;
  failures.items.resize(order_.size());
  for (size_t i = 0; i < failures_.size(); ++i) failures.items[order_[i]] = failures_[i];
  failures.sections.resize(weight_.size());
  for (size_t t = 0; t < weight_.size(); ++t) failures.sections[t] = weight_[t] - old_weight_[t];
  if (all_area_ > 0) failures.furthest = 1 - least_area_ / all_area_;
  return failures;
}

std::vector<Units> Tree::Offsets() const {
  std::vector<Units> offsets(order_.size());
  for (size_t i = 0; i < order_.size(); ++i) offsets[order_[i]] = low_[i];
  return offsets;
}

}  // namespace tenure::packing::exact
