#include "tenure/planner/packing/problem.h"

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {
namespace {

// With this limit, offsets stay below 2^63, and sums of two of them do not wrap in any solver.
constexpr uint64_t kMostBytes = uint64_t{1} << 62;
constexpr size_t kMostItems = (size_t{1} << 31) - 1;
// Memory is allocated for every step, so a short text must not be able to ask for any number of
// them.
constexpr uint32_t kMostSteps = uint32_t{1} << 24;

absl::Status CheckItems(const Problem& problem) {
  uint64_t sum = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    if (item.first >= item.last) {
      return absl::InvalidArgumentError(absl::StrCat("item ", i, ": its life [", item.first, ", ",
                                                     item.last,
                                                     ") is empty; first must be below last"));
    }
    if (item.alignment == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("item ", i, ": alignment is 0; use 1 for none"));
    }
    if (item.size > kMostBytes || (item.size > 0 && item.alignment > kMostBytes)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "item ", i, ": size ", item.size, " or alignment ", item.alignment, " is above 2^62"));
    }
    if (item.size > 0) {
      const uint64_t rounded = AlignUp(item.size, item.alignment);
      if (rounded > kMostBytes - sum) {
        return absl::InvalidArgumentError(
            absl::StrCat("item ", i,
                         ": the sizes of the items up to this one, rounded up to their alignment, "
                         "exceed 2^62 bytes"));
      }
      sum += rounded;
    }
    if (item.fixed != kNoOffset) {
      if (Excess(item.fixed, item.alignment) != 0) {
        return absl::InvalidArgumentError(absl::StrCat("item ", i, ": fixed offset ", item.fixed,
                                                       " is not a multiple of its alignment ",
                                                       item.alignment));
      }
      if (item.fixed > kMostBytes - item.size) {
        return absl::InvalidArgumentError(
            absl::StrCat("item ", i, ": fixed offset ", item.fixed, " is above 2^62"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckGaps(const Problem& problem) {
  for (size_t g = 0; g < problem.gaps.size(); ++g) {
    const Gap& gap = problem.gaps[g];
    if (gap.item >= problem.items.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("gap ", g, ": no item ", gap.item, "; there are ", problem.items.size()));
    }
    const Item& item = problem.items[gap.item];
    if (gap.first >= gap.last || gap.first < item.first || gap.last > item.last) {
      return absl::InvalidArgumentError(absl::StrCat(
          "gap ", g, ": [", gap.first, ", ", gap.last, ") is empty or not within the life [",
          item.first, ", ", item.last, ") of item ", gap.item));
    }
    if (gap.window_begin > gap.window_end || gap.window_end > item.size) {
      return absl::InvalidArgumentError(
          absl::StrCat("gap ", g, ": window [", gap.window_begin, ", ", gap.window_end,
                       ") is reversed or beyond the size ", item.size, " of item ", gap.item));
    }
  }
  std::vector<uint32_t> order(problem.gaps.size());
  for (size_t g = 0; g < order.size(); ++g) order[g] = static_cast<uint32_t>(g);
  auto before = [&](uint32_t a, uint32_t b) {
    const Gap &x = problem.gaps[a], &y = problem.gaps[b];
    return std::tie(x.item, x.first, a) < std::tie(y.item, y.first, b);
  };
  if (!std::is_sorted(order.begin(), order.end(), before)) {
    std::sort(order.begin(), order.end(), before);
  }
  for (size_t k = 1; k < order.size(); ++k) {
    const Gap &x = problem.gaps[order[k - 1]], &y = problem.gaps[order[k]];
    if (x.item == y.item && x.last > y.first) {
      return absl::InvalidArgumentError(absl::StrCat("gaps ", order[k - 1], " and ", order[k],
                                                     " of item ", x.item, " overlap in time"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckArenas(const Problem& problem) {
  const uint32_t arenas = ArenaCount(problem);
  std::vector<uint32_t> bound;  // item -> arena + 1
  if (!problem.bindings.empty()) bound.assign(problem.items.size(), 0);
  for (size_t b = 0; b < problem.bindings.size(); ++b) {
    const Binding& binding = problem.bindings[b];
    if (binding.item >= problem.items.size() || binding.arena >= arenas) {
      return absl::InvalidArgumentError(absl::StrCat("binding ", b, ": no item ", binding.item,
                                                     " or no arena ", binding.arena, "; there are ",
                                                     problem.items.size(), " and ", arenas));
    }
    uint32_t& to = bound[binding.item];
    if (to != 0 && to != binding.arena + 1) {
      return absl::InvalidArgumentError(absl::StrCat("binding ", b, ": item ", binding.item,
                                                     " is bound to arenas ", to - 1, " and ",
                                                     binding.arena));
    }
    to = binding.arena + 1;
  }
  std::vector<bool> grouped(problem.adjacent.empty() ? 0 : problem.items.size());
  for (size_t g = 0; g < problem.adjacent.size(); ++g) {
    uint32_t arena = 0;
    for (uint32_t item : problem.adjacent[g].items) {
      if (item >= problem.items.size()) {
        return absl::InvalidArgumentError(absl::StrCat("adjacency group ", g, ": no item ", item,
                                                       "; there are ", problem.items.size()));
      }
      if (grouped[item]) {
        return absl::InvalidArgumentError(
            absl::StrCat("adjacency group ", g, ": item ", item,
                         " is named twice; an item is in one group at most"));
      }
      grouped[item] = true;
      if (bound.empty() || bound[item] == 0) continue;
      if (arena != 0 && arena != bound[item]) {
        return absl::InvalidArgumentError(absl::StrCat("adjacency group ", g,
                                                       ": its items are bound to arenas ",
                                                       arena - 1, " and ", bound[item] - 1));
      }
      arena = bound[item];
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOrder(const Problem& problem) {
  const PartialOrder& order = problem.order;
  if (order.steps == 0) {
    if (order.edges.empty() && order.uses.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("partial order: edges or uses are given but steps is 0");
  }
  if (order.steps > kMostSteps) {
    return absl::InvalidArgumentError(
        absl::StrCat("partial order: ", order.steps, " steps; there can be at most ", kMostSteps));
  }
  if (!problem.gaps.empty()) {
    return absl::InvalidArgumentError(
        "partial order: gaps are intervals of time and have no meaning with it; remove one of "
        "them");
  }
  for (size_t u = 0; u < order.uses.size(); ++u) {
    if (order.uses[u].item >= problem.items.size() || order.uses[u].step >= order.steps) {
      return absl::InvalidArgumentError(absl::StrCat(
          "partial order: use ", u, " names item ", order.uses[u].item, " and step ",
          order.uses[u].step, "; there are ", problem.items.size(), " and ", order.steps));
    }
  }
  // Kahn's algorithm: a step that is never released is on a cycle or behind one.
  std::vector<uint32_t> incoming(order.steps), start(size_t{order.steps} + 1),
      to(order.edges.size());
  for (size_t e = 0; e < order.edges.size(); ++e) {
    const PartialOrder::Edge& edge = order.edges[e];
    if (edge.before >= order.steps || edge.after >= order.steps) {
      return absl::InvalidArgumentError(absl::StrCat("partial order: edge ", e, " (", edge.before,
                                                     " -> ", edge.after, ") is beyond the ",
                                                     order.steps, " steps"));
    }
    ++incoming[edge.after];
    ++start[edge.before + 1];
  }
  for (uint32_t s = 0; s < order.steps; ++s) start[s + 1] += start[s];
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  for (const PartialOrder::Edge& edge : order.edges) to[next[edge.before]++] = edge.after;
  std::vector<uint32_t> ready;
  for (uint32_t s = 0; s < order.steps; ++s) {
    if (incoming[s] == 0) ready.push_back(s);
  }
  for (size_t k = 0; k < ready.size(); ++k) {
    for (uint32_t e = start[ready[k]]; e < start[ready[k] + 1]; ++e) {
      if (--incoming[to[e]] == 0) ready.push_back(to[e]);
    }
  }
  if (ready.size() == order.steps) return absl::OkStatus();
  for (uint32_t s = 0; s < order.steps; ++s) {
    if (incoming[s] != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("partial order: its edges form a cycle on or before step ", s));
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsPlain(const Problem& problem) {
  if (!problem.gaps.empty() || problem.arenas.size() > 1 || !problem.adjacent.empty() ||
      problem.order.steps > 0) {
    return false;
  }
  for (const Item& item : problem.items) {
    if (item.fixed != kNoOffset) return false;
  }
  return true;
}

absl::Status CheckProblem(const Problem& problem) {
  if (problem.items.size() > kMostItems) {
    return absl::InvalidArgumentError(
        absl::StrCat(problem.items.size(), " items; at most 2^31 - 1 can be packed at once"));
  }
  if (problem.arenas.size() > kMostItems) {
    return absl::InvalidArgumentError("more than 2^31 - 1 arenas");
  }
  TENURE_RETURN_IF_ERROR(CheckItems(problem));
  TENURE_RETURN_IF_ERROR(CheckGaps(problem));
  TENURE_RETURN_IF_ERROR(CheckArenas(problem));
  return CheckOrder(problem);
}

}  // namespace tenure::packing
