#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/exact/core.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/search.h"
#include "tenure/planner/packing/solver/stages.h"

namespace tenure::packing {
namespace {

// The limits of balanced effort: kBalancedWork bounds the nodes of search times the sections and
// conflicts of an item, and kBalancedEntries bounds the size of the model.
constexpr uint64_t kBalancedWork = 88000;
// The second height that balanced effort tries is the bound plus this part (1/16) of it.
constexpr exact::Units kRelaxed = 16;
constexpr uint64_t kBalancedEntries = 400000;
// Instances of this size or more are packed around their core before the whole is searched.
constexpr size_t kLargeItems = 2000;
// How many nodes for each item the first attempt at a core may take.
constexpr uint64_t kCoreNodes = 8;

// Returns a limit that lets a few orders of branching get to the end without much backtracking, and
// 0 if it is not enough for one.
uint64_t BalancedNodes(const exact::Model& model) {
  const uint64_t items = std::max<uint64_t>(model.items(), 1);
  const uint64_t entries = model.spans.values.size() + model.conflicts.values.size();
  const uint64_t nodes = kBalancedWork * items / std::max<uint64_t>(entries, 1);
  return nodes < items ? 0 : std::min(nodes, 6 * items + 200);
}

exact::Stop StopOf(const Budget& budget) {
  exact::Stop stop;
  stop.cancel = budget.cancel();
  stop.asked = budget.stop();
  if (budget.has_deadline()) {
    stop.deadline = std::chrono::steady_clock::now() +
                    absl::ToChronoNanoseconds(budget.deadline() - absl::Now());
  }
  return stop;
}

// Returns the known packing as offsets of the model's items. Returns an empty list if there is none
// or if its offsets are not whole units.
std::vector<exact::Units> StartOf(const exact::Model& model, const Packing& packing) {
  std::vector<exact::Units> start;
  if (packing.offsets.empty()) return start;
  for (uint32_t item : model.problem_item) {
    if (packing.offsets[item] % model.unit != 0) return {};
    start.push_back(static_cast<exact::Units>(packing.offsets[item] / model.unit));
  }
  return start;
}

// Searches at the capacity or, without one, at the lower bound. Returns true if that settled the
// question.
bool SolveAroundCore(Task& task, const exact::SearchOptions& options, Packing& packing) {
  const uint64_t target = task.capacity != kUnlimited ? task.limit : task.lower_bound;
  exact::CoreResult result = exact::PackAroundCore(task.problem, target, options);
  packing.statistics.nodes += result.nodes;
  packing.statistics.rounds += result.rounds;
  if (result.verdict == exact::Verdict::kFound) {
    packing.offsets = std::move(result.offsets);
    packing.statistics.winner = "exact:core";
    ++packing.statistics.improvements;
    return true;
  }
  if (result.verdict == exact::Verdict::kInfeasible) {
    if (task.capacity != kUnlimited) {
      packing.outcome = Outcome::kInfeasible;
      return true;
    }
    packing.lower_bound = std::max(packing.lower_bound, target + 1);
  }
  if (result.verdict == exact::Verdict::kStopped) task.budget.Stop();
  return task.budget.Interrupted();
}

}  // namespace

void SolveCore(Task& task, Packing& packing) {
  if (task.budget.Interrupted()) return;
  exact::SearchOptions options;
  options.rules = task.options.rules;
  options.node_limit = std::min(kCoreNodes * task.problem.items.size(), task.options.max_nodes);
  options.max_threads = task.options.max_threads;
  options.stop = StopOf(task.budget);
  SolveAroundCore(task, options, packing);
}

void SolveExact(Task& task, bool limited, Packing& packing) {
  if (task.budget.Interrupted()) return;
  exact::MinimizeOptions options;
  options.search.rules = task.options.rules;
  options.search.node_limit = task.options.max_nodes;
  options.search.max_threads = task.options.max_threads;
  options.search.stop = StopOf(task.budget);
  if (!limited && task.problem.items.size() >= kLargeItems &&
      SolveAroundCore(task, options.search, packing)) {
    return;
  }
  exact::ModelLimits limits;
  if (limited) limits.entries = kBalancedEntries;
  limits.interrupted = [&task] { return task.budget.Interrupted(); };
  std::string unsuited;
  const std::optional<exact::Model> model = exact::BuildModel(task.problem, limits, &unsuited);
  if (!model.has_value()) {
    if (!limited && packing.search_limit.empty()) packing.search_limit = unsuited;
    return;
  }
  options.search.stop = options.search.stop.Before(model->SetUpTime());
  const uint64_t unit = model->unit;
  if (limited) {
    options.search.node_limit = std::min(BalancedNodes(*model), task.options.max_nodes);
    if (options.search.node_limit == 0) return;
  }

  // Every height in the model is below kNoUnits, so a larger limit makes no difference.
  const exact::Units limit = static_cast<exact::Units>(
      std::min<uint64_t>(task.limit / unit, static_cast<uint64_t>(exact::kNoUnits - 1)));

  auto write = [&](const std::vector<exact::Units>& offsets) {
    packing.offsets.assign(task.problem.items.size(), 0);
    for (size_t i = 0; i < task.problem.items.size(); ++i) {
      // The model leaves out items that never hold a byte, but these may be fixed.
      const Item& item = task.problem.items[i];
      if (item.fixed != kNoOffset) packing.offsets[i] = item.fixed;
    }
    for (size_t k = 0; k < offsets.size(); ++k) {
      packing.offsets[model->problem_item[k]] = static_cast<uint64_t>(offsets[k]) * unit;
    }
    packing.statistics.winner = "exact";
    ++packing.statistics.improvements;
  };

  const auto note_limit = [&] {
    packing.search_limit =
        absl::StrCat("max_nodes, ", task.options.max_nodes, ", ended the exact search");
  };

  auto count = [&](const auto& result) {
    packing.statistics.nodes += result.nodes;
    packing.statistics.backtracks += result.backtracks;
    packing.statistics.rounds += result.runs;
  };

  if (task.capacity != kUnlimited) {
    // Whether the items fit is a single question, and easier than finding the lowest packing.
    const exact::SearchResult result = exact::Search(*model, limit, options.search);
    count(result);
    if (result.verdict == exact::Verdict::kFound) write(result.offsets);
    if (result.verdict == exact::Verdict::kInfeasible) packing.outcome = Outcome::kInfeasible;
    if (result.verdict == exact::Verdict::kStopped) task.budget.Stop();
    if (result.verdict == exact::Verdict::kLimit && !limited) note_limit();
    return;
  }
  if (limited) {
    // The first probe is at the bound, where most problems are either solved or hopeless. The
    // second is a little above it.
    const exact::Units bound = model->bound;
    for (const exact::Units probe : {bound, std::min(bound + bound / kRelaxed, limit)}) {
      if (probe > limit) return;
      if (!packing.offsets.empty()) {
        UpdateHeights(task.problem, packing);
        if (static_cast<uint64_t>(probe) >= packing.height / unit) return;
      }
      const exact::SearchResult result = exact::Search(*model, probe, options.search);
      count(result);
      if (result.verdict == exact::Verdict::kFound) return write(result.offsets);
      if (result.verdict == exact::Verdict::kInfeasible) {
        packing.lower_bound =
            std::max(packing.lower_bound, static_cast<uint64_t>(probe + 1) * unit);
      }
      if (result.verdict == exact::Verdict::kStopped) return task.budget.Stop();
    }
    return;
  }
  options.capacity = limit;
  options.start = StartOf(*model, packing);
  if (!packing.offsets.empty() && options.start.empty()) {
    // The known packing is not in whole units, so only a strictly lower one is of use.
    UpdateHeights(task.problem, packing);
    options.capacity = std::min(limit, static_cast<exact::Units>((packing.height - 1) / unit));
  }
  if (task.options.progress) {
    options.progress = [&task, unit](exact::Units height, exact::Units bound) {
      task.options.progress(static_cast<uint64_t>(height) * unit,
                            static_cast<uint64_t>(bound) * unit);
    };
  }
  const exact::MinimizeResult result = exact::Minimize(*model, options);
  count(result);
  if (!result.offsets.empty() && result.offsets != options.start) write(result.offsets);
  packing.lower_bound = std::max(packing.lower_bound, static_cast<uint64_t>(result.bound) * unit);
  if (result.stopped) {
    task.budget.Stop();
  } else if (task.options.max_nodes != kUnlimited) {
    note_limit();  // Solve removes it if the search has settled the question
  }
}

}  // namespace tenure::packing
