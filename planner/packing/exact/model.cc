#include "tenure/planner/packing/exact/model.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing::exact {
namespace {

// An uninterrupted part of an item's life.
struct LifePart {
  uint32_t item;
  Life life;
};

// Returns the feature of the problem that a model can't express, or null if there is none.
const char* Unsupported(const Problem& problem) {
  if (problem.arenas.size() > 1) return "a choice of arenas";
  if (!problem.adjacent.empty()) return "items next to each other";
  if (problem.order.steps > 0) return "a partial order of steps";
  for (const Gap& gap : problem.gaps) {
    if (gap.window_begin != gap.window_end) return "gaps that keep some bytes";
  }
  return nullptr;
}

// Returns no model, for the reason `text`.
std::optional<Model> None(std::string* why, std::string text) {
  if (why != nullptr) *why = std::move(text);
  return std::nullopt;
}

std::string TooManyEntries(const ModelLimits& limits) {
  return absl::StrCat("exact search takes at most ", limits.entries,
                      " pairs of items that live at once; this problem has more");
}

// Returns the parts in the order of (item, time).
std::vector<LifePart> CutAtGaps(const Problem& problem, const std::vector<uint32_t>& item_of) {
  std::vector<Gap> gaps = problem.gaps;
  std::sort(gaps.begin(), gaps.end(), [](const Gap& a, const Gap& b) {
    return std::pair(a.item, a.first) < std::pair(b.item, b.first);
  });
  std::vector<LifePart> parts;
  parts.reserve(item_of.size() + gaps.size());
  size_t g = 0;
  for (uint32_t i = 0; i < item_of.size(); ++i) {
    const Item& item = problem.items[item_of[i]];
    Time from = item.first;
    while (g < gaps.size() && gaps[g].item < item_of[i]) ++g;
    for (; g < gaps.size() && gaps[g].item == item_of[i]; ++g) {
      if (from < gaps[g].first) parts.push_back({i, {from, gaps[g].first}});
      from = gaps[g].last;
    }
    if (from < item.last) parts.push_back({i, {from, item.last}});
  }
  return parts;
}

// Returns the largest number that divides all sizes and fixed offsets and, for each alignment,
// either divides it or is divided by it.
uint64_t FindUnit(const Problem& problem, const std::vector<uint32_t>& item_of) {
  uint64_t unit = 0;
  for (uint32_t i : item_of) {
    unit = std::gcd(unit, problem.items[i].size);
    if (problem.items[i].fixed != kNoOffset) unit = std::gcd(unit, problem.items[i].fixed);
  }
  if (unit == 0) return 1;
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t i : item_of) {
      const uint64_t alignment = problem.items[i].alignment;
      const uint64_t common = std::gcd(unit, alignment);
      if (common != unit && common != alignment) {
        unit = common;
        changed = true;
      }
    }
  }
  return unit;
}

// Returns a bound that no offset or height exceeds. CheckProblem guarantees that nothing wraps.
uint64_t Highest(const Problem& problem, const std::vector<uint32_t>& item_of) {
  uint64_t sum = 0, highest_end = 0;
  for (uint32_t i : item_of) {
    const Item& item = problem.items[i];
    sum += item.size + (item.alignment - 1);
    if (item.fixed != kNoOffset) highest_end = std::max(highest_end, item.fixed + item.size);
    // The sum of alignments has no bound, so this returns early.
    if (sum >= static_cast<uint64_t>(kNoUnits)) return sum;
  }
  return sum + highest_end;
}

using Traits = std::tuple<uint32_t, uint32_t, uint32_t, Units, Units, Units>;

// The properties of an item, except for the places of its gaps. With `backwards`, they are those in
// reversed time.
Traits TraitsOf(const Model& model, uint32_t i, bool backwards) {
  const uint32_t first = *model.spans.first(i);
  const uint32_t last = *(model.spans.last(i) - 1);
  const uint32_t end = model.sections - 1;
  return {backwards ? end - last : first,
          backwards ? end - first : last,
          model.width(i),
          -model.size[i],
          model.alignment[i],
          model.fixed[i]};
}

// Returns whether time should be reversed: if the reversed totals, or else the reversed items, come
// first in lexicographic order.
bool Reversed(const Model& model) {
  std::vector<Units> total(model.sections, 0);
  for (size_t i = 0; i < model.items(); ++i) {
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      total[*t] += model.size[i];
    }
  }
  const std::vector<Units> backwards(total.rbegin(), total.rend());
  if (total != backwards) return total < backwards;
  std::vector<Traits> traits[2];
  for (const bool way : {false, true}) {
    for (uint32_t i = 0; i < model.items(); ++i) traits[way].push_back(TraitsOf(model, i, way));
    std::sort(traits[way].begin(), traits[way].end());
  }
  return traits[1] < traits[0];
}

// Chooses the direction of time and sorts the items by their properties, so that two problems that
// are only written differently are searched in the same way.
void Normalize(Model& model) {
  if (Reversed(model)) {
    for (size_t i = 0; i < model.items(); ++i) {
      const auto row = model.spans.values.begin() + model.spans.begin[i];
      const auto end = model.spans.values.begin() + model.spans.begin[i + 1];
      std::reverse(row, end);
      for (auto t = row; t != end; ++t) *t = model.sections - 1 - *t;
    }
  }
  std::vector<uint32_t> order(model.items());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    const Traits traits_a = TraitsOf(model, a, false);
    const Traits traits_b = TraitsOf(model, b, false);
    if (traits_a != traits_b) return traits_a < traits_b;
    return std::lexicographical_compare(model.spans.first(a), model.spans.last(a),
                                        model.spans.first(b), model.spans.last(b));
  });
  Rows spans;
  spans.begin.assign(1, 0);
  spans.values.reserve(model.spans.values.size());
  for (uint32_t i : order) {
    spans.values.insert(spans.values.end(), model.spans.first(i), model.spans.last(i));
    spans.begin.push_back(static_cast<uint32_t>(spans.values.size()));
  }
  model.spans = std::move(spans);
  auto permute = [&order](auto& values) {
    auto old = values;
    for (size_t k = 0; k < order.size(); ++k) values[k] = old[order[k]];
  };
  permute(model.problem_item);
  permute(model.size);
  permute(model.alignment);
  permute(model.fixed);
}

enum class Finished { kYes, kTooLarge, kInterrupted };

// Fills members, conflicts, totals and the bound from spans, sizes and fixed offsets.
Finished Finish(Model& model, const ModelLimits& limits) {
  const size_t n = model.items();
  model.first_section.resize(n);
  model.last_section.resize(n);
  model.total.assign(model.sections, 0);
  model.members.begin.assign(size_t{model.sections} + 1, 0);
  uint64_t work = 0;
  auto interrupted = [&limits, &work](uint64_t entries) {
    work += entries;
    if (work < 50000) return false;
    work = 0;
    return limits.interrupted && limits.interrupted();
  };
  for (size_t i = 0; i < n; ++i) {
    if (interrupted(model.spans.begin[i + 1] - model.spans.begin[i])) {
      return Finished::kInterrupted;
    }
    model.first_section[i] = *model.spans.first(i);
    model.last_section[i] = *(model.spans.last(i) - 1);
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      ++model.members.begin[*t + 1];
      model.total[*t] += model.size[i];
    }
    if (model.fixed[i] >= 0) model.bound = std::max(model.bound, model.fixed[i] + model.size[i]);
  }
  for (Units total : model.total) model.bound = std::max(model.bound, total);
  for (size_t t = 0; t < model.sections; ++t) {
    model.members.begin[t + 1] += model.members.begin[t];
  }
  model.members.values.resize(model.members.begin.back());
  std::vector<uint32_t> end(model.members.begin.begin(), model.members.begin.end() - 1);
  for (uint32_t i = 0; i < n; ++i) {
    if (interrupted(model.spans.begin[i + 1] - model.spans.begin[i])) {
      return Finished::kInterrupted;
    }
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      model.members.values[end[*t]++] = i;
    }
  }
  // The items that are in a section but not in the previous one. A run of sections adds only these.
  Rows starters;
  starters.begin.assign(1, 0);
  for (uint32_t t = 0; t < model.sections; ++t) {
    if (interrupted(8 * (model.members.begin[t + 1] - model.members.begin[t]))) {
      return Finished::kInterrupted;
    }
    for (const uint32_t* j = model.members.first(t); j != model.members.last(t); ++j) {
      const uint32_t* at = std::lower_bound(model.spans.first(*j), model.spans.last(*j), t);
      if (at == model.spans.first(*j) || *(at - 1) + 1 != t) starters.values.push_back(*j);
    }
    starters.begin.push_back(static_cast<uint32_t>(starters.values.size()));
  }
  model.conflicts.begin.assign(1, 0);
  std::vector<uint32_t> seen(n, 0);
  for (uint32_t i = 0; i < n; ++i) {
    if (i > 0 && interrupted(16 * (model.conflicts.begin[i] - model.conflicts.begin[i - 1]))) {
      return Finished::kInterrupted;
    }
    const size_t row = model.conflicts.values.size();
    seen[i] = i + 1;
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      const bool follows = t != model.spans.first(i) && *(t - 1) + 1 == *t;
      const Rows& rows = follows ? starters : model.members;
      for (const uint32_t* j = rows.first(*t); j != rows.last(*t); ++j) {
        if (seen[*j] == i + 1) continue;
        seen[*j] = i + 1;
        model.conflicts.values.push_back(*j);
      }
    }
    if (model.conflicts.values.size() > limits.entries) return Finished::kTooLarge;
    std::sort(model.conflicts.values.begin() + static_cast<ptrdiff_t>(row),
              model.conflicts.values.end());
    model.conflicts.begin.push_back(static_cast<uint32_t>(model.conflicts.values.size()));
  }
  return Finished::kYes;
}

}  // namespace

std::optional<Model> BuildModel(const Problem& problem, const ModelLimits& limits,
                                std::string* why) {
  if (const char* feature = Unsupported(problem); feature != nullptr) {
    return None(why, absl::StrCat("exact search does not support ", feature));
  }
  Model model;
  std::vector<uint32_t> sized;
  for (uint32_t i = 0; i < problem.items.size(); ++i) {
    if (problem.items[i].size > 0) sized.push_back(i);
  }
  if (Highest(problem, sized) >= static_cast<uint64_t>(kNoUnits)) {
    return None(why,
                "exact search takes heights below 2^61 bytes; these sizes and alignments "
                "could make a higher packing");
  }
  model.unit = FindUnit(problem, sized);
  model.problem_item = sized;
  std::vector<LifePart> parts = CutAtGaps(problem, model.problem_item);
  // An item that is a gap throughout holds no bytes, but it still counts for the height.
  std::vector<uint32_t> holding;
  for (size_t p = 0; p < parts.size(); ++p) {
    const uint32_t original = model.problem_item[parts[p].item];
    if (holding.empty() || holding.back() != original) holding.push_back(original);
    parts[p].item = static_cast<uint32_t>(holding.size() - 1);
  }
  model.problem_item = std::move(holding);

  std::vector<Life> lives(parts.size());
  for (size_t p = 0; p < parts.size(); ++p) lives[p] = parts[p].life;
  const Sections sections = FindSections(lives);
  model.sections = sections.count;
  uint64_t entries = 0;
  for (const SectionRange& range : sections.ranges) entries += range.end - range.begin;
  if (entries > limits.entries) return None(why, TooManyEntries(limits));

  size_t h = 0;
  for (uint32_t i : sized) {
    if (h < model.problem_item.size() && model.problem_item[h] == i) {
      ++h;
      continue;
    }
    const Item& item = problem.items[i];
    const uint64_t end = item.size + (item.fixed == kNoOffset ? 0 : item.fixed);
    model.bound = std::max(model.bound, static_cast<Units>(end / model.unit));
  }
  model.idle_height = model.bound;
  model.spans.begin.assign(1, 0);
  size_t p = 0;
  for (uint32_t i = 0; i < model.problem_item.size(); ++i) {
    const Item& item = problem.items[model.problem_item[i]];
    model.size.push_back(static_cast<Units>(item.size / model.unit));
    model.alignment.push_back(std::max<Units>(1, static_cast<Units>(item.alignment / model.unit)));
    model.fixed.push_back(item.fixed == kNoOffset ? Units{-1}
                                                  : static_cast<Units>(item.fixed / model.unit));
    if (i % 256 == 0 && limits.interrupted && limits.interrupted()) return std::nullopt;
    for (; p < parts.size() && parts[p].item == i; ++p) {
      for (uint32_t t = sections.ranges[p].begin; t < sections.ranges[p].end; ++t) {
        // Parts that touch may share a section.
        if (model.spans.values.size() > model.spans.begin.back() &&
            model.spans.values.back() >= t) {
          continue;
        }
        model.spans.values.push_back(t);
      }
    }
    model.spans.begin.push_back(static_cast<uint32_t>(model.spans.values.size()));
  }
  if (limits.interrupted && limits.interrupted()) return std::nullopt;
  Normalize(model);
  const Finished finished = Finish(model, limits);
  if (finished == Finished::kTooLarge) return None(why, TooManyEntries(limits));
  if (finished == Finished::kInterrupted) return std::nullopt;
  return model;
}

Model Window(const Model& model, uint32_t first, uint32_t last) {
  Model part;
  part.unit = model.unit;
  part.sections = last - first + 1;
  part.spans.begin.assign(1, 0);
  for (uint32_t i = 0; i < model.items(); ++i) {
    const size_t row = part.spans.values.size();
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      if (*t >= first && *t <= last) part.spans.values.push_back(*t - first);
    }
    if (part.spans.values.size() == row) continue;
    part.spans.begin.push_back(static_cast<uint32_t>(part.spans.values.size()));
    part.problem_item.push_back(model.problem_item[i]);
    part.size.push_back(model.size[i]);
    part.alignment.push_back(model.alignment[i]);
    part.fixed.push_back(model.fixed[i]);
  }
  Finish(part, ModelLimits{});
  return part;
}

}  // namespace tenure::packing::exact
