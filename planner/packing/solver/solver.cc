#include "tenure/planner/packing/solver.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver/hints.h"
#include "tenure/planner/packing/solver/stages.h"
#include "tenure/planner/packing/validator.h"

namespace tenure::packing {
namespace {

// Up to this many items, exact search comes before long repair.
constexpr size_t kSmall = 2000;

uint64_t SaturatingAdd(uint64_t a, uint64_t b) { return a > kUnlimited - b ? kUnlimited : a + b; }

// Returns true if it is obvious that no packing exists.
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

// Returns the time that must be left for checking the answer (and for completing it if the work was
// cut short), so that the deadline is met.
absl::Duration Reserve(const Problem& problem, const SolveOptions& options) {
  const auto rectangles = static_cast<double>(problem.items.size() + 2 * problem.gaps.size());
  const auto edges = static_cast<double>(problem.order.steps + problem.order.edges.size() +
                                         problem.order.uses.size());
  // Bytes that are shared under a partial order take longer to check.
  const double each = problem.order.steps > 0 ? 350 : 220;
  const absl::Duration reserve = absl::Microseconds(150) + absl::Nanoseconds(each) * rectangles +
                                 absl::Nanoseconds(50) * edges;
  return std::min(reserve, (options.deadline - absl::Now()) * 0.6);
}

// If every item is bound, the arenas are independent, and each is a problem of its own.
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

// Returns the highest useful height.
uint64_t LimitOf(const Problem& problem, uint64_t capacity) {
  return problem.arenas.size() == 1 ? std::min(capacity, problem.arenas[0].limit) : capacity;
}

// Decides the outcome. Offsets above the capacity are removed.
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

// Runs the stages from the cheapest to the most expensive, until a packing is good enough. `plain`
// has a value if the problem is plain.
void RunStages(Task& task, const std::optional<PlainInstance>& plain, Packing& packing) {
  const Effort effort = task.options.effort;
  const bool optimal = effort == Effort::kOptimal;
  // With a deadline, all that balanced effort would do comes first. What effort optimal adds could
  // use up the time otherwise, and the result would be worse than that of balanced effort.
  const bool in_order = optimal && task.budget.has_deadline();
  if (!plain.has_value()) {
    SolveGeneral(task, packing);
    if (effort == Effort::kFast) return;
    if (in_order && !Done(task, packing)) SolveExact(task, /*limited=*/true, packing);
    if (!Done(task, packing)) SolveExact(task, !optimal, packing);
    return;
  }
  if (task.problem.items.size() > kSmall || effort == Effort::kFast) {
    SolvePlain(task, *plain,
               in_order  ? Effort::kBalanced
               : optimal ? Effort::kFast
                         : effort,
               packing);
    if (effort == Effort::kFast) return;
    if (in_order) {
      if (!Done(task, packing)) SolveExact(task, /*limited=*/true, packing);
      if (!Done(task, packing)) SolveCore(task, packing);
      if (!Done(task, packing)) SolveExact(task, /*limited=*/false, packing);
      return;
    }
    if (optimal && !Done(task, packing)) SolveCore(task, packing);
    if (optimal && !Done(task, packing)) SolvePlain(task, *plain, Effort::kBalanced, packing);
    if (!Done(task, packing)) SolveExact(task, !optimal, packing);
    return;
  }
  // A short exact search solves most small problems, so it comes before long repair.
  SolvePlain(task, *plain, Effort::kFast, packing);
  if (Done(task, packing)) return;
  if (!optimal || task.capacity == kUnlimited || in_order) {
    const uint64_t before = packing.statistics.improvements;
    SolveExact(task, /*limited=*/true, packing);
    // Repair seldom improves a packing that search found.
    const bool found = packing.statistics.improvements > before;
    if (!found && !Done(task, packing)) SolvePlain(task, *plain, Effort::kBalanced, packing);
  }
  if (optimal && !Done(task, packing)) SolveExact(task, /*limited=*/false, packing);
}

void SolveOne(const Problem& problem, const SolveOptions& options, uint64_t capacity,
              Budget& budget, Packing& packing) {
  std::optional<PlainInstance> plain;
  if (IsPlain(problem)) plain = MakePlain(problem);
  // The lower bound is the peak of the rectangles. If rounding made them larger, LowerBound is more
  // exact.
  packing.lower_bound = plain.has_value() && !plain->rounded ? plain->peak : LowerBound(problem);
  if (PlainlyInfeasible(problem, packing.lower_bound, capacity)) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  const uint64_t limit = LimitOf(problem, capacity);
  Task task{problem, options, capacity, limit, packing.lower_bound, budget};
  const bool hints = options.hints != HintPolicy::kIgnore && HasHints(problem);
  if (hints && options.hints == HintPolicy::kKeep) KeepHints(task, packing);
  if (packing.offsets.empty()) RunStages(task, plain, packing);
  packing.deadline_hit = budget.Interrupted();
  Conclude(problem, limit, packing);
  if (hints && packing.has_offsets() && !packing.deadline_hit) {
    PreferHints(task, packing);
    packing.deadline_hit = budget.Interrupted();
    Conclude(problem, limit, packing);
  }
}

// Solves arenas that are independent except for a common capacity.
class ApartSolver {
 public:
  ApartSolver(const Problem& problem, const SolveOptions& options, uint64_t capacity,
              Budget& budget)
      : problem_(problem),
        options_(options),
        capacity_(capacity),
        budget_(budget),
        parts_(Split(problem, arena_of_, index_of_)),
        packings_(parts_.size()) {
    for (size_t a = 0; a < parts_.size(); ++a) packings_[a].lower_bound = LowerBound(parts_[a]);
  }

  void Run(Packing& packing) && {
    if (Sum(&Packing::lower_bound) > capacity_) {
      packing.lower_bound = Sum(&Packing::lower_bound);
      packing.outcome = Outcome::kInfeasible;
      return;
    }
    if (capacity_ == kUnlimited) {
      for (size_t a = 0; a < parts_.size(); ++a) Improve(a, options_.effort, kUnlimited);
    } else {
      Fit();
    }
    Join(packing);
  }

 private:
  uint64_t Sum(uint64_t Packing::*of) const {
    uint64_t sum = 0;
    for (const Packing& part : packings_) sum = SaturatingAdd(sum, part.*of);
    return sum;
  }

  bool Complete() const {
    return std::all_of(packings_.begin(), packings_.end(),
                       [](const Packing& part) { return part.has_offsets(); });
  }

  bool Infeasible() const {
    return std::any_of(packings_.begin(), packings_.end(),
                       [](const Packing& part) { return part.outcome == Outcome::kInfeasible; });
  }

  // Packs all arenas quickly. Then it packs each one as low as the others require, until the sum is
  // low enough: fitting one arena into a given height is easier than finding its least height. If
  // that is not enough, several arenas have to become lower, and each one is packed as low as
  // possible.
  void Fit() {
    for (size_t a = 0; a < parts_.size(); ++a) Improve(a, Effort::kFast, kUnlimited);
    if (options_.effort == Effort::kFast) return;
    for (const bool lowest : {false, true}) {
      for (size_t a = 0; a < parts_.size() && !Settled(); ++a) {
        if (packings_[a].outcome == Outcome::kOptimal) continue;
        const uint64_t others = Sum(&Packing::height) - packings_[a].height;
        const bool enough = !lowest && Complete() && others <= capacity_ &&
                            capacity_ - others >= packings_[a].lower_bound;
        Improve(a, options_.effort, enough ? capacity_ - others : kUnlimited);
      }
    }
  }

  // Returns whether more work can't change the answer.
  bool Settled() {
    return Infeasible() || budget_.Interrupted() || Sum(&Packing::lower_bound) > capacity_ ||
           (Complete() && Sum(&Packing::height) <= capacity_);
  }

  // Keeps the old packing unless a lower one is found. If there is no packing within `capacity`,
  // that raises the bound.
  void Improve(size_t a, Effort effort, uint64_t capacity) {
    SolveOptions options = options_;
    options.effort = effort;
    Packing found;
    SolveOne(parts_[a], options, capacity, budget_, found);
    Packing& best = packings_[a];
    const PackingStatistics before = best.statistics;
    found.lower_bound = std::max(found.lower_bound, best.lower_bound);
    if (found.outcome == Outcome::kInfeasible && capacity != kUnlimited) {
      found.outcome = Outcome::kNone;
      found.lower_bound = std::max(found.lower_bound, capacity + 1);
    }
    if (found.has_offsets() ? !best.has_offsets() || found.height < best.height
                            : !best.has_offsets()) {
      std::swap(best, found);
    } else {
      best.lower_bound = found.lower_bound;
      best.deadline_hit |= found.deadline_hit;
      best.search_limit = std::move(found.search_limit);
      best.statistics = found.statistics;
    }
    if (best.has_offsets() && best.height == best.lower_bound) best.outcome = Outcome::kOptimal;
    best.statistics.Add(before);
  }

  void Join(Packing& packing) {
    packing.lower_bound = Sum(&Packing::lower_bound);
    packing.statistics.winner = "arenas-apart";
    for (const Packing& part : packings_) {
      packing.deadline_hit |= part.deadline_hit;
      if (packing.search_limit.empty()) packing.search_limit = part.search_limit;
      packing.statistics.Add(part.statistics);
    }
    if (Infeasible()) {
      packing.outcome = Outcome::kInfeasible;
      return;
    }
    if (Complete()) {
      packing.offsets.resize(problem_.items.size());
      packing.arena_of = arena_of_;
      for (size_t i = 0; i < problem_.items.size(); ++i) {
        packing.offsets[i] = packings_[arena_of_[i]].offsets[index_of_[i]];
      }
    }
    Conclude(problem_, capacity_, packing);
  }

  const Problem& problem_;
  const SolveOptions& options_;
  const uint64_t capacity_;
  Budget& budget_;
  std::vector<uint32_t> arena_of_, index_of_;
  std::vector<Problem> parts_;
  std::vector<Packing> packings_;
};

// Entries of the side tables that have no effect but would keep the problem from the solvers for
// plain problems: bindings to the only arena, groups of one item, and gaps that free no byte.
bool IsIdle(const AdjacencyGroup& group) { return group.items.size() < 2; }
bool IsIdle(const Problem& problem, const Gap& gap) {
  return gap.window_begin == 0 && gap.window_end == problem.items[gap.item].size;
}
std::optional<Problem> WithoutIdle(const Problem& problem) {
  const bool bindings = ArenaCount(problem) == 1 && !problem.bindings.empty();
  const auto idle_group = [](const AdjacencyGroup& group) { return IsIdle(group); };
  const auto idle_gap = [&problem](const Gap& gap) { return IsIdle(problem, gap); };
  if (!bindings && std::none_of(problem.adjacent.begin(), problem.adjacent.end(), idle_group) &&
      std::none_of(problem.gaps.begin(), problem.gaps.end(), idle_gap)) {
    return std::nullopt;
  }
  Problem rest = problem;
  if (bindings) rest.bindings.clear();
  std::erase_if(rest.adjacent, idle_group);
  std::erase_if(rest.gaps, idle_gap);
  return rest;
}

// Returns whether the packing answers the question that was asked.
bool IsSettled(const Packing& packing, uint64_t capacity) {
  if (packing.outcome == Outcome::kOptimal || packing.outcome == Outcome::kInfeasible) return true;
  return packing.has_offsets() && capacity != kUnlimited;
}

}  // namespace

absl::StatusOr<Packing> Solve(const Problem& problem, const SolveOptions& options) {
  absl::Time end = options.deadline;
  if (end != absl::InfiniteFuture()) end -= Reserve(problem, options);
  Budget budget(end, options.cancel, &options.stop);
  if (options.max_threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_threads is ", options.max_threads, "; it must be at least 1, for the calling thread"));
  }
  TENURE_RETURN_IF_ERROR(CheckProblem(problem));
  Packing packing;
  const uint64_t capacity = std::min(problem.capacity, options.capacity);
  const std::optional<Problem> simpler = WithoutIdle(problem);
  const Problem& stated = simpler.has_value() ? *simpler : problem;
  if (EveryItemIsBound(stated)) {
    ApartSolver(stated, options, capacity, budget).Run(packing);
  } else {
    SolveOne(stated, options, capacity, budget, packing);
  }
  if (IsSettled(packing, capacity)) packing.search_limit.clear();
  TENURE_RETURN_IF_ERROR(Validate(problem, packing));
  if (options.progress) options.progress(packing.height, packing.lower_bound);
  return packing;
}

}  // namespace tenure::packing
