// Exact search: finds a packing within a capacity or proves that there is none; and finds the least
// height.
//
// Why: greedy packings of tight problems are 5 to 30 percent too high, and the memory of a device
// is fixed. Exact search finds a packing that fits wherever one exists.
//
//   SearchOptions options{.stop = {.deadline = std::chrono::steady_clock::now() + 1s}};
//   std::optional<Model> model = BuildModel(problem, ModelLimits{});
//   SearchResult result = Search(*model, 1048576 / model->unit, options);
//   if (result.verdict == Verdict::kFound) Use(result.offsets);
//
// Runs of many orders of branching race, in rounds with growing node limits (branching.h, tree.h).
// The result is that of the first run in the sequence that ends with an answer, not of the run that
// finished first, so it is the same with any number of threads. Node limits are counted over the
// same sequence. A run learns from the runs that come kLearningLag or more before it in the
// sequence, and waits for them.
//
// Cost: exponential in the worst case; the documentation says how long some instances take. Memory:
// that of the model for each thread. Thread safety: safe to call from any thread. Up to max_threads
// - 1 threads are started and joined within the call; fewer if there are fewer processors or if no
// more threads can be started. Ownership: borrows the model, the flags of `stop` and the
// experience. Errors: none; kLimit and kStopped prove nothing.

#ifndef TENURE_PLANNER_PACKING_EXACT_SEARCH_H_
#define TENURE_PLANNER_PACKING_EXACT_SEARCH_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/tree.h"
#include "tenure/planner/packing/search_rules.h"

namespace tenure::packing::exact {

struct SearchOptions {
  Rules rules;
  uint64_t node_limit = UINT64_MAX;
  uint64_t first_run = 0;  // in the sequence; earlier runs have been made already
  int max_threads = 1;
  Stop stop;
  // What earlier searches of the same model have learned, at this capacity or one close to it; this
  // search adds to it. May be null: then nothing is known, and nothing is kept.
  Experience* experience = nullptr;
};

struct SearchResult {
  Verdict verdict = Verdict::kLimit;
  std::vector<Units> offsets;  // of each item of the model, if found
  uint64_t nodes = 0;          // of the runs up to the deciding one
  uint64_t backtracks = 0;
  uint64_t runs = 0;
};

SearchResult Search(const Model& model, Units capacity, const SearchOptions& options);

// Returns the largest offset + size.
Units Height(const Model& model, const std::vector<Units>& offsets);

struct MinimizeOptions {
  SearchOptions search;
  // A known packing, as offsets of the model's items; empty if there is none.
  std::vector<Units> start;
  // Packings above this height are of no use.
  Units capacity = kNoUnits;
  // Called at every improvement, on the calling thread. May be empty.
  std::function<void(Units height, Units bound)> progress;
};

struct MinimizeResult {
  Units height = kNoUnits;     // of the best packing
  Units bound = 0;             // proven
  std::vector<Units> offsets;  // of the best packing; empty if there is none
  bool stopped = false;        // by the deadline or the cancel flag
  uint64_t nodes = 0;
  uint64_t backtracks = 0;
  uint64_t runs = 0;

  bool optimal() const { return !offsets.empty() && height == bound; }
  // With a capacity: bound > capacity proves that nothing fits.
};

// Searches for the lowest packing. It tries the lower bound first and then heights in between, with
// node budgets that grow until the best packing meets the bound. If a window of time can't be
// packed at a height, that raises the bound.
MinimizeResult Minimize(const Model& model, const MinimizeOptions& options);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_SEARCH_H_
