// Exact search: a packing within a capacity, or the proof that there is none; and the least height.
//
// Why: greedy packings of tight problems are 5 to 30 percent too high, and a device has the memory
// it has. Exact search finds what fits where anything fits.
//
//   SearchOptions options{.stop = {.deadline = std::chrono::steady_clock::now() + 1s}};
//   std::optional<Model> model = BuildModel(problem, ModelLimits{});
//   SearchResult result = Search(*model, 1048576 / model->unit, options);
//   if (result.verdict == Verdict::kFound) Use(result.offsets);
//
// Runs of many orders of branching race, in rounds with growing node limits (branching.h, tree.h).
// The result is that of the first run in the sequence that ends with an answer, never of the one
// that was done first: it is the same for every number of threads. A node limit is counted over
// that sequence, too. A run learns from those that come kLearningLag and more before it in the
// sequence, and waits for them.
//
// Cost: exponential in the worst case; see docs for what instances need. Memory: that of the model
// for each thread. Thread safety: safe to call from any thread; up to max_threads - 1 threads are
// started and joined within the call, fewer where there are fewer processors or no more threads to
// be had. Ownership: borrows the model, the flags of `stop` and what was learned. Errors: none;
// kLimit and kStopped prove nothing.

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
  uint64_t first_run = 0;  // of the sequence; those before it were made already
  int max_threads = 1;
  Stop stop;
  // What earlier searches of the same model have learned, at this capacity or one close to it; this
  // one adds to it. May be null: nothing is known, and what is learned is lost.
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

// The largest offset + size.
Units Height(const Model& model, const std::vector<Units>& offsets);

struct MinimizeOptions {
  SearchOptions search;
  // A packing that is known already, offsets of the model's items; empty if none.
  std::vector<Units> start;
  // No packing above this is wanted.
  Units capacity = kNoUnits;
  // Told of every improvement, from the calling thread. May be empty.
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

// The lowest packing: at the lower bound first, then in between, with budgets of nodes that grow
// until the best packing meets the bound. Windows of time that cannot be packed raise the bound.
MinimizeResult Minimize(const Model& model, const MinimizeOptions& options);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_SEARCH_H_
