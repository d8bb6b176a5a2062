#include "tenure/planner/packing/solver.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/strategy.h"
#include "tenure/planner/packing/validator.h"

namespace tenure::packing {
namespace {

uint64_t SaturatingAdd(uint64_t a, uint64_t b) { return a > kUnlimited - b ? kUnlimited : a + b; }

// No packing exists for a reason that can be seen at once.
bool PlainlyInfeasible(const Problem& problem, uint64_t lower_bound, uint64_t capacity) {
  if (lower_bound > capacity) return true;
  if (problem.arenas.empty()) return false;
  uint64_t sum = 0, largest = 0;
  for (const Arena& arena : problem.arenas) {
    sum = SaturatingAdd(sum, arena.limit);
    largest = std::max(largest, arena.limit);
  }
  if (lower_bound > sum) return true;
  for (const Item& item : problem.items) {
    if (item.size > largest) return true;
  }
  for (const Binding& binding : problem.bindings) {
    if (problem.items[binding.item].size > problem.arenas[binding.arena].limit) return true;
  }
  return false;
}

// A plain problem in one arena whose limit can be taken for a capacity.
bool PlainInOneArena(const Problem& problem) { return IsPlain(problem); }

}  // namespace

std::string_view EffortName(Effort effort) {
  switch (effort) {
    case Effort::kFast:
      return "fast";
    case Effort::kBalanced:
      return "balanced";
    case Effort::kOptimal:
      return "optimal";
  }
  return "unknown";
}

std::optional<Effort> ParseEffort(std::string_view name) {
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    if (name == EffortName(effort)) return effort;
  }
  return std::nullopt;
}

absl::StatusOr<Packing> Solve(const Problem& problem, const SolveOptions& options) {
  Budget budget(options.deadline, options.cancel);
  if (options.max_threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_threads is ", options.max_threads, "; the calling thread is one"));
  }
  if (absl::Status s = CheckProblem(problem); !s.ok()) return s;

  Packing packing;
  uint64_t capacity = std::min(problem.capacity, options.capacity);
  packing.lower_bound = LowerBound(problem);
  if (PlainlyInfeasible(problem, packing.lower_bound, capacity)) {
    packing.outcome = Outcome::kInfeasible;
    return packing;
  }
  const bool plain = PlainInOneArena(problem);
  if (plain && !problem.arenas.empty()) capacity = std::min(capacity, problem.arenas[0].limit);
  Task task{problem, options, capacity, packing.lower_bound, budget};
  if (plain) {
    SolvePlain(task, packing);
  } else {
    SolveGeneral(task, packing);
  }
  packing.deadline_hit = budget.Interrupted();
  if (packing.outcome == Outcome::kInfeasible) return packing;
  if (!packing.offsets.empty() || problem.items.empty()) {
    UpdateHeights(problem, packing);
    if (packing.height <= capacity) {
      packing.outcome =
          packing.height == packing.lower_bound ? Outcome::kOptimal : Outcome::kFeasible;
      if (absl::Status s = Validate(problem, packing); !s.ok()) return s;
      return packing;
    }
  }
  packing.offsets.clear();
  packing.arena_of.clear();
  packing.heights.clear();
  packing.height = 0;
  packing.outcome = Outcome::kNone;
  return packing;
}

}  // namespace tenure::packing
