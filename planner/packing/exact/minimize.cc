// Finds the least height: a search for the smallest sufficient capacity.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/search.h"
#include "tenure/planner/packing/exact/tree.h"

namespace tenure::packing::exact {
namespace {

// The work at the bound is kShareOfBound times that at any other height. The work at a height is
// kWindowsInShare times that for one window of time: there are up to about thirty windows, and they
// can only give a proof.
constexpr uint64_t kShareOfBound = 8;
constexpr uint64_t kWindowsInShare = 8;

class Minimizer {
 public:
  Minimizer(const Model& model, const MinimizeOptions& options)
      : model_(model), options_(options), left_(options.search.node_limit) {
    best_.bound = model.bound;
    if (options.start.size() == model.items() && model.items() > 0) {
      best_.offsets = options.start;
      best_.height = Height(model, best_.offsets);
    }
    // The largest height that would still be an improvement.
    top_ = std::min(options.capacity, best_.height - 1);
  }

  MinimizeResult Run() && {
    if (model_.items() == 0) {
      best_.height = best_.bound;
      return std::move(best_);
    }
    uint64_t budget = 4 * (model_.items() + 256);
    while (best_.bound <= top_ && !Over()) {
      // No packing was found up to here within this budget, so the next probe is above.
      Units floor = best_.bound;
      bool first = true;
      while (floor <= top_ && !Over()) {
        const Units top = Top();
        const Units probe = first ? floor : floor + (top - floor) / 2;
        const Verdict verdict =
            first ? ProbeBound(budget) : Probe(model_, probe, budget, &experience_above_);
        first = false;
        switch (verdict) {
          case Verdict::kFound:
            break;
          case Verdict::kInfeasible:
            best_.bound = std::max(best_.bound, probe + 1);
            floor = std::max(floor, probe + 1);
            break;
          default:
            floor = probe + 1;
        }
      }
      if (best_.bound <= top_ && !Over()) RaiseBound(budget / kWindowsInShare);
      if (budget < UINT64_MAX / 64) budget *= 4;
    }
    return std::move(best_);
  }

 private:
  bool Over() const { return best_.stopped || left_ == 0; }

  // If there is no packing yet, the sum of all sizes is high enough for one.
  Units Top() const {
    if (top_ < kNoUnits - 1) return top_;
    Units sum = best_.bound;
    for (size_t i = 0; i < model_.items(); ++i) sum += model_.size[i] + model_.alignment[i];
    return sum;
  }

  // Most of the work goes to the bound, because a success there ends the search. The sequence of
  // runs continues where it ended the last time.
  Verdict ProbeBound(uint64_t budget) {
    if (bound_of_runs_ != best_.bound) {
      bound_of_runs_ = best_.bound;
      experience_at_bound_.clear();
      first_run_ = 0;
    }
    const uint64_t before = best_.runs;
    const Verdict verdict =
        Probe(model_, best_.bound, kShareOfBound * budget, &experience_at_bound_, first_run_);
    // The last run was cut short, so it does not count.
    first_run_ += std::max<uint64_t>(best_.runs - before, 1) - 1;
    return verdict;
  }

  Verdict Probe(const Model& model, Units capacity, uint64_t budget, Experience* experience,
                uint64_t first_run = 0) {
    SearchOptions search = options_.search;
    search.first_run = first_run;
    search.experience = experience;
    search.node_limit = std::min(left_, budget);
    SearchResult result = Search(model, capacity, search);
    best_.nodes += result.nodes;
    best_.backtracks += result.backtracks;
    best_.runs += result.runs;
    if (left_ != UINT64_MAX) left_ -= std::min(left_, std::max<uint64_t>(1, result.nodes));
    if (result.verdict == Verdict::kStopped) best_.stopped = true;
    if (result.verdict == Verdict::kFound && &model == &model_) {
      best_.height = Height(model_, result.offsets);
      best_.offsets = std::move(result.offsets);
      top_ = std::min(top_, best_.height - 1);
      if (options_.progress) options_.progress(best_.height, best_.bound);
    }
    return result.verdict;
  }

  // Small proofs are easier, so this tries windows around the fullest sections, from narrow to
  // wide.
  void RaiseBound(uint64_t budget) {
    std::vector<uint32_t> centres;
    for (uint32_t t = 0; t < model_.sections; ++t) centres.push_back(t);
    std::stable_sort(centres.begin(), centres.end(),
                     [&](uint32_t a, uint32_t b) { return model_.total[a] > model_.total[b]; });
    if (centres.size() > 4) centres.resize(4);
    for (uint32_t reach = 2; reach < model_.sections; reach *= 2) {
      for (uint32_t centre : centres) {
        const uint32_t first = centre > reach ? centre - reach : 0;
        const uint32_t last = std::min(model_.sections - 1, centre + reach);
        const Model window = Window(model_, first, last);
        while (best_.bound <= top_ && !Over()) {
          if (Probe(window, best_.bound, budget, nullptr) != Verdict::kInfeasible) break;
          ++best_.bound;
        }
        if (best_.bound > top_ || Over()) return;
      }
    }
  }

  const Model& model_;
  const MinimizeOptions& options_;
  uint64_t left_;
  Units top_ = 0;
  Units bound_of_runs_ = -1;  // the bound that the next run searches at
  uint64_t first_run_ = 0;
  Experience experience_at_bound_, experience_above_;
  MinimizeResult best_;
};

}  // namespace

MinimizeResult Minimize(const Model& model, const MinimizeOptions& options) {
  return Minimizer(model, options).Run();
}

}  // namespace tenure::packing::exact
