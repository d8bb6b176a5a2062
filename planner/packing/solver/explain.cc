#include "tenure/planner/packing/explain.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <iterator>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {
namespace {

// The number of lines after which a list is cut.
constexpr size_t kLines = 20;
constexpr uint32_t kGone = ~uint32_t{0};

enum class Answer { kInfeasible, kPacked, kUnknown };

class Filter {
 public:
  Filter(const Problem& problem, const SolveOptions& options)
      : problem_(problem), options_(options) {
    options_.progress = nullptr;
    options_.hints = HintPolicy::kIgnore;
  }

  Answer Ask(const std::vector<uint32_t>& items) {
    if (Stopped()) return Answer::kUnknown;
    const absl::StatusOr<Packing> packing = Solve(Restrict(problem_, items), options_);
    if (!packing.ok()) return Answer::kUnknown;
    if (packing->outcome == Outcome::kInfeasible) return Answer::kInfeasible;
    return packing->has_offsets() ? Answer::kPacked : Answer::kUnknown;
  }

  // Removes items, in chunks whose size halves, as long as the rest is infeasible. Returns true if
  // the result is irreducible.
  bool Reduce(std::vector<uint32_t>& items) {
    bool sure = true;
    for (size_t chunk = std::max<size_t>(items.size() / 2, 1);; chunk /= 2) {
      sure = true;
      for (size_t at = 0; at < items.size();) {
        if (Stopped()) return false;
        const size_t end = std::min(at + chunk, items.size());
        std::vector<uint32_t> rest(items.begin(), items.begin() + static_cast<ptrdiff_t>(at));
        rest.insert(rest.end(), items.begin() + static_cast<ptrdiff_t>(end), items.end());
        const Answer answer = Ask(rest);
        if (answer == Answer::kInfeasible) {
          items = std::move(rest);
          continue;
        }
        sure = sure && answer == Answer::kPacked;
        at = end;
      }
      if (chunk == 1) return sure;
    }
  }

 private:
  bool Stopped() const {
    return Budget(options_.deadline, options_.cancel, &options_.stop).Interrupted();
  }

  const Problem& problem_;
  SolveOptions options_;
};

// If the sizes at the peak alone are too large, returns the largest of them, as few as it takes. If
// all have one alignment, the rest fits as soon as any one of them is removed, since none needs
// less than the last. Returns an empty list if the peak proves nothing.
std::vector<uint32_t> FromPeak(const Problem& problem, const Explanation& why, bool& irreducible) {
  irreducible = false;
  if (problem.arenas.size() > 1 || !problem.gaps.empty() || !problem.adjacent.empty()) return {};
  uint64_t grain = 0;
  for (uint32_t i : why.peak_items) grain = std::gcd(grain, problem.items[i].alignment);
  if (grain == 0) return {};
  // The padding of rounding up to the grain counts everywhere except at the top.
  auto slack = [&](uint32_t i) {
    const uint64_t excess = Excess(problem.items[i].size, grain);
    return excess == 0 ? 0 : grain - excess;
  };
  std::vector<uint32_t> items = why.peak_items;
  std::sort(items.begin(), items.end(), [&](uint32_t a, uint32_t b) {
    const uint64_t x = problem.items[a].size, y = problem.items[b].size;
    return x != y ? x > y : a < b;
  });
  uint64_t sum = 0, most = 0;
  irreducible = true;
  for (size_t k = 0; k < items.size(); ++k) {
    const Item& item = problem.items[items[k]];
    sum += item.size + slack(items[k]);
    most = std::max(most, slack(items[k]));
    irreducible = irreducible && item.alignment == grain && item.fixed == kNoOffset;
    if (sum - most <= why.capacity) continue;
    items.resize(k + 1);
    return items;
  }
  return {};
}

// Puts the items that live furthest from the peak first: they are the least likely to matter.
void FarFromPeakFirst(const Problem& problem, const Peak& peak, std::vector<uint32_t>& items) {
  if (problem.order.steps > 0) return;
  auto distance = [&](uint32_t i) -> uint64_t {
    const Item& item = problem.items[i];
    if (item.last <= peak.first) {
      return static_cast<uint64_t>(peak.first) - static_cast<uint64_t>(item.last) + 1;
    }
    if (item.first <= peak.first) return 0;
    return static_cast<uint64_t>(item.first) - static_cast<uint64_t>(peak.first);
  };
  std::sort(items.begin(), items.end(), [&](uint32_t a, uint32_t b) {
    const uint64_t x = distance(a), y = distance(b);
    return x != y ? x > y : a < b;
  });
}

}  // namespace

Problem Restrict(const Problem& problem, const std::vector<uint32_t>& items) {
  Problem part;
  std::vector<uint32_t> index(problem.items.size(), kGone);
  for (uint32_t i : items) {
    index[i] = static_cast<uint32_t>(part.items.size());
    part.items.push_back(problem.items[i]);
  }
  for (Gap gap : problem.gaps) {
    gap.item = index[gap.item];
    if (gap.item != kGone) part.gaps.push_back(gap);
  }
  part.arenas = problem.arenas;
  for (Binding binding : problem.bindings) {
    binding.item = index[binding.item];
    if (binding.item != kGone) part.bindings.push_back(binding);
  }
  for (const AdjacencyGroup& group : problem.adjacent) {
    // Two items stay neighbours only if no item between them was removed.
    AdjacencyGroup run;
    for (uint32_t item : group.items) {
      if (index[item] != kGone) {
        run.items.push_back(index[item]);
        continue;
      }
      if (run.items.size() > 1) part.adjacent.push_back(run);
      run.items.clear();
    }
    if (run.items.size() > 1) part.adjacent.push_back(run);
  }
  part.order = problem.order;
  part.order.uses.clear();
  for (PartialOrder::Use use : problem.order.uses) {
    use.item = index[use.item];
    if (use.item != kGone) part.order.uses.push_back(use);
  }
  part.capacity = problem.capacity;
  return part;
}

Explanation ExplainPeak(const Problem& problem, const SolveOptions& options) {
  Explanation why;
  why.capacity = std::min(problem.capacity, options.capacity);
  if (problem.arenas.size() == 1) why.capacity = std::min(why.capacity, problem.arenas[0].limit);
  why.lower_bound = LowerBound(problem);
  why.peak = FindPeak(problem);
  why.peak_items = ItemsAt(problem, why.peak);
  return why;
}

absl::StatusOr<Explanation> Explain(const Problem& problem, const SolveOptions& options,
                                    bool proven) {
  TENURE_RETURN_IF_ERROR(CheckProblem(problem));
  Explanation why = ExplainPeak(problem, options);
  why.conflict = FromPeak(problem, why, why.irreducible);
  if (!why.conflict.empty() && why.irreducible) {
    std::sort(why.conflict.begin(), why.conflict.end());
    return why;
  }
  Filter filter(problem, options);
  if (why.conflict.empty()) {
    // If the items at the peak are infeasible by themselves, the search is short.
    std::vector<uint32_t> at_peak = why.peak_items;
    std::sort(at_peak.begin(), at_peak.end());
    at_peak.erase(std::unique(at_peak.begin(), at_peak.end()), at_peak.end());
    why.conflict.resize(problem.items.size());
    std::iota(why.conflict.begin(), why.conflict.end(), 0u);
    if (filter.Ask(at_peak) == Answer::kInfeasible) {
      why.conflict = std::move(at_peak);
    } else if (!proven && filter.Ask(why.conflict) != Answer::kInfeasible) {
      return absl::FailedPreconditionError(
          "the problem is not proven infeasible within these options; there is nothing to explain");
    }
  }
  FarFromPeakFirst(problem, why.peak, why.conflict);
  why.irreducible = filter.Reduce(why.conflict);
  std::sort(why.conflict.begin(), why.conflict.end());
  return why;
}

std::string ExplanationText(const Problem& problem, const Explanation& why,
                            const ExplanationNames& names) {
  std::string text;
  auto moments = [&names](Time first, Time last) {
    return names.moments ? names.moments(first, last) : absl::StrCat("[", first, ", ", last, ")");
  };
  auto list = [&](const std::vector<uint32_t>& items) {
    for (size_t k = 0; k < items.size(); ++k) {
      if (k == kLines && items.size() > kLines + 1) {
        absl::StrAppend(&text, "  and ", items.size() - k, " more\n");
        break;
      }
      const Item& item = problem.items[items[k]];
      absl::StrAppend(&text, "  ",
                      names.item ? names.item(items[k]) : absl::StrCat("item ", items[k]), ": ",
                      item.size, " bytes");
      if (problem.order.steps == 0) {
        absl::StrAppend(&text, ", lives ", moments(item.first, item.last));
      }
      if (item.alignment != 1) absl::StrAppend(&text, ", aligned to ", item.alignment);
      if (item.fixed != kNoOffset) absl::StrAppend(&text, ", fixed at ", item.fixed);
      text += '\n';
    }
  };
  absl::StrAppend(&text, problem.items.size(), " items need at least ", why.lower_bound, " bytes");
  if (why.capacity != kUnlimited && why.lower_bound > why.capacity) {
    absl::StrAppend(&text, ", ", why.lower_bound - why.capacity, " more than the capacity ",
                    why.capacity);
  } else if (why.capacity != kUnlimited) {
    absl::StrAppend(&text,
                    why.conflict.empty() ? " and were not packed into the capacity "
                                         : " and cannot be packed into the capacity ",
                    why.capacity);
  } else if (problem.arenas.size() > 1) {
    absl::StrAppend(&text, "; the limits of the ", problem.arenas.size(),
                    " arenas do not hold them");
  }
  absl::StrAppend(&text, ".\nPeak of ", why.peak.bytes, " bytes at ",
                  moments(why.peak.first, why.peak.last), ", ", why.peak_items.size(),
                  " items live:\n");
  list(why.peak_items);
  if (why.conflict.empty()) return text;
  const bool one = why.conflict.size() == 1;
  absl::StrAppend(&text, one ? "This one" : absl::StrCat("These ", why.conflict.size()),
                  " cannot be packed", one ? " at all" : " together",
                  one               ? ""
                  : why.irreducible ? "; without any one of them the others can"
                                    : " (perhaps fewer of them suffice)",
                  ":\n");
  list(why.conflict);
  return text;
}

}  // namespace tenure::packing
