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
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/hints.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/strategy.h"
#include "tenure/planner/packing/validator.h"

namespace tenure::packing {
namespace {

// Up to here exact search has the first word.
constexpr size_t kSmall = 2000;

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

// Time that must be left for checking the answer (and, if the work was cut short, for completing
// it), so that the deadline holds.
absl::Duration Reserve(const Problem& problem, const SolveOptions& options) {
  const auto pieces = static_cast<double>(problem.items.size() + 2 * problem.gaps.size());
  const auto edges = static_cast<double>(problem.order.steps + problem.order.edges.size() +
                                         problem.order.uses.size());
  // Bytes that are shared by a partial order take longer to check.
  const double each = problem.order.steps > 0 ? 350 : 220;
  const absl::Duration reserve =
      absl::Microseconds(150) + absl::Nanoseconds(each) * pieces + absl::Nanoseconds(50) * edges;
  return std::min(reserve, (options.deadline - absl::Now()) * 0.6);
}

// If every item is bound, arenas have nothing to do with each other: one problem for each.
bool EveryItemIsBound(const Problem& problem) {
  if (problem.arenas.size() < 2 || problem.order.steps > 0) return false;
  std::vector<bool> bound(problem.items.size());
  for (const Binding& b : problem.bindings) bound[b.item] = true;
  return std::find(bound.begin(), bound.end(), false) == bound.end();
}

std::vector<Problem> Split(const Problem& problem, std::vector<uint32_t>& arena_of,
                           std::vector<uint32_t>& index_of) {
  std::vector<Problem> parts(problem.arenas.size());
  arena_of.resize(problem.items.size());
  index_of.resize(problem.items.size());
  for (const Binding& b : problem.bindings) arena_of[b.item] = b.arena;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    std::vector<Item>& items = parts[arena_of[i]].items;
    index_of[i] = static_cast<uint32_t>(items.size());
    items.push_back(problem.items[i]);
  }
  for (Gap gap : problem.gaps) {
    std::vector<Gap>& gaps = parts[arena_of[gap.item]].gaps;
    gap.item = index_of[gap.item];
    gaps.push_back(gap);
  }
  for (const AdjacencyGroup& group : problem.adjacent) {
    if (group.items.empty()) continue;
    AdjacencyGroup mine;
    for (uint32_t item : group.items) mine.items.push_back(index_of[item]);
    parts[arena_of[group.items[0]]].adjacent.push_back(std::move(mine));
  }
  for (size_t a = 0; a < parts.size(); ++a) parts[a].arenas = {problem.arenas[a]};
  return parts;
}

// Below this the height of a problem in one arena must stay.
uint64_t CapacityOf(const Problem& problem, uint64_t capacity) {
  return problem.arenas.size() == 1 ? std::min(capacity, problem.arenas[0].limit) : capacity;
}

// Offsets that are no better than the capacity are dropped.
void Conclude(const Problem& problem, uint64_t capacity, Packing& packing) {
  if (packing.lower_bound > capacity) packing.outcome = Outcome::kInfeasible;
  const bool infeasible = packing.outcome == Outcome::kInfeasible;
  if (!infeasible && (!packing.offsets.empty() || problem.items.empty())) {
    UpdateHeights(problem, packing);
    if (packing.height <= capacity) {
      packing.outcome =
          packing.height == packing.lower_bound ? Outcome::kOptimal : Outcome::kFeasible;
      return;
    }
  }
  packing.offsets.clear();
  packing.arena_of.clear();
  packing.heights.clear();
  packing.height = 0;
  packing.outcome = infeasible ? Outcome::kInfeasible : Outcome::kNone;
}

bool Done(const Task& task, Packing& packing) {
  if (packing.outcome == Outcome::kInfeasible || task.budget.Interrupted()) return true;
  if (packing.offsets.size() < task.problem.items.size()) return false;
  UpdateHeights(task.problem, packing);
  return packing.height <= std::max(packing.lower_bound, task.Target());
}

// From the cheap to the dear, until one is good enough.
void RunStages(Task& task, Packing& packing) {
  const Effort effort = task.options.effort;
  const bool optimal = effort == Effort::kOptimal;
  if (!IsPlain(task.problem)) {
    SolveGeneral(task, packing);
    if (effort != Effort::kFast && !Done(task, packing)) SolveExact(task, !optimal, packing);
    return;
  }
  if (task.problem.items.size() > kSmall || effort == Effort::kFast) {
    SolvePlain(task, optimal ? Effort::kFast : effort, packing);
    if (effort == Effort::kFast) return;
    if (optimal && !Done(task, packing)) SolveCore(task, packing);
    if (optimal && !Done(task, packing)) SolvePlain(task, Effort::kBalanced, packing);
    if (!Done(task, packing)) SolveExact(task, !optimal, packing);
    return;
  }
  // What is small is mostly solved by a short exact search: it comes before long repair.
  SolvePlain(task, Effort::kFast, packing);
  if (Done(task, packing)) return;
  if (!optimal || task.capacity == kUnlimited) {
    const uint64_t before = packing.statistics.improvements;
    SolveExact(task, /*limited=*/true, packing);
    // What search finds is seldom improved by repair.
    const bool found = packing.statistics.improvements > before;
    if (!found && !Done(task, packing)) SolvePlain(task, Effort::kBalanced, packing);
  }
  if (optimal && !Done(task, packing)) SolveExact(task, /*limited=*/false, packing);
}

void SolveOne(const Problem& problem, const SolveOptions& options, uint64_t capacity,
              Budget& budget, Packing& packing) {
  packing.lower_bound = LowerBound(problem);
  if (PlainlyInfeasible(problem, packing.lower_bound, capacity)) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  capacity = CapacityOf(problem, capacity);
  Task task{problem, options, capacity, packing.lower_bound, budget};
  const bool hints = options.hints != HintPolicy::kIgnore && HasHints(problem);
  if (hints && options.hints == HintPolicy::kKeep) KeepHints(task, packing);
  if (packing.offsets.empty()) RunStages(task, packing);
  packing.deadline_hit = budget.Interrupted();
  Conclude(problem, capacity, packing);
  if (hints && packing.has_offsets() && !packing.deadline_hit) {
    PreferHints(task, packing);
    Conclude(problem, capacity, packing);
  }
}

// Arenas apart. Their capacity is common: what one leaves, the next may take.
void SolveApart(const Problem& problem, const SolveOptions& options, uint64_t capacity,
                Budget& budget, Packing& packing) {
  std::vector<uint32_t> arena_of, index_of;
  std::vector<Problem> parts = Split(problem, arena_of, index_of);
  std::vector<Packing> packings(parts.size());
  uint64_t bound = 0;
  for (const Problem& part : parts) bound = SaturatingAdd(bound, LowerBound(part));
  packing.lower_bound = bound;
  if (bound > capacity) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  bool complete = true;
  for (size_t a = 0; a < parts.size(); ++a) {
    SolveOne(parts[a], options, kUnlimited, budget, packings[a]);
    packing.deadline_hit |= packings[a].deadline_hit;
    packing.statistics.constructions += packings[a].statistics.constructions;
    packing.statistics.improvements += packings[a].statistics.improvements;
    packing.statistics.nodes += packings[a].statistics.nodes;
    packing.statistics.backtracks += packings[a].statistics.backtracks;
    packing.statistics.rounds += packings[a].statistics.rounds;
    if (packings[a].outcome == Outcome::kInfeasible) packing.outcome = Outcome::kInfeasible;
    complete = complete && packings[a].has_offsets();
  }
  if (packing.outcome == Outcome::kInfeasible) return;
  packing.lower_bound = 0;
  for (const Packing& part : packings) packing.lower_bound += part.lower_bound;
  packing.statistics.winner = "arenas-apart";
  if (complete) {
    packing.offsets.resize(problem.items.size());
    packing.arena_of = arena_of;
    for (size_t i = 0; i < problem.items.size(); ++i) {
      packing.offsets[i] = packings[arena_of[i]].offsets[index_of[i]];
    }
  }
  if (packing.lower_bound > capacity) {
    packing.outcome = Outcome::kInfeasible;
    packing.offsets.clear();
    packing.arena_of.clear();
    return;
  }
  Conclude(problem, capacity, packing);
}

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
  absl::Time end = options.deadline;
  if (end != absl::InfiniteFuture()) end -= Reserve(problem, options);
  Budget budget(end, options.cancel);
  if (options.max_threads < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_threads is ", options.max_threads, "; the calling thread is one"));
  }
  if (absl::Status s = CheckProblem(problem); !s.ok()) return s;
  Packing packing;
  const uint64_t capacity = std::min(problem.capacity, options.capacity);
  if (EveryItemIsBound(problem)) {
    SolveApart(problem, options, capacity, budget, packing);
  } else {
    SolveOne(problem, options, capacity, budget, packing);
  }
  if (absl::Status s = Validate(problem, packing); !s.ok()) return s;
  if (options.progress) options.progress(packing.height, packing.lower_bound);
  return packing;
}

}  // namespace tenure::packing
