// Packing of large instances: exactly where it is tight, by best fit elsewhere.
//
// Why: of tens of thousands of buffers only those that live at the fullest moments decide whether
// the rest can fit, and exact search is too slow for all of them. So the core, the items alive
// where the total is near the capacity, is packed exactly; everything else goes into the smallest
// hole that takes it. What then sticks out shows which moment was missing: it joins the core, and
// the packing is made again.
//
//   total  ^        __                    capacity ------------------------
//          |   __  |  |__                 hot      ::::::::
//          |__|  |_|     |____            core     all items alive at a hot moment
//          +---------------------> time
//
//   CoreResult result = PackAroundCore(problem, capacity, options);
//   if (result.verdict == Verdict::kFound) Use(result.offsets);
//
// Cost: a search of the core for each round, and for the rest n log n in the items alive together
// with each. Memory: the model of the core, and each item once for every 64 sections of its life.
// Thread safety: as Search. Ownership: borrows the problem and the flags of `stop`. Errors: none;
// kLimit also for what a model does not take (model.h) and for cores beyond its limits.
// kInfeasible is proven: not even the core fits.

#ifndef TENURE_PLANNER_PACKING_EXACT_CORE_H_
#define TENURE_PLANNER_PACKING_EXACT_CORE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/exact/search.h"
#include "tenure/planner/packing/exact/tree.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing::exact {

struct CoreResult {
  Verdict verdict = Verdict::kLimit;
  std::vector<uint64_t> offsets;  // bytes, of each item of the problem, if found
  uint64_t nodes = 0;
  uint64_t rounds = 0;
  uint64_t core_items = 0;  // of the last round
};

// Within `capacity` bytes. The problem must have passed CheckProblem.
CoreResult PackAroundCore(const Problem& problem, uint64_t capacity, const SearchOptions& options);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_CORE_H_
