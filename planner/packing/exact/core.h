// Packs large instances: exactly where they are tight, and by best fit elsewhere.
//
// Why: of tens of thousands of buffers, only those that live at the fullest moments decide whether
// the rest can fit, and exact search is too slow for all of them. So the core is packed exactly:
// the items alive at moments where the total is near the capacity. Every other item goes into the
// smallest hole that takes it. An item that exceeds the capacity shows which moment was missing
// from the core: the moment joins the core, and the packing is made again.
//
//   total  ^        __                    capacity ------------------------
//          |   __  |  |__                 hot      ::::::::
//          |__|  |_|     |____            core     all items alive at a hot moment
//          +---------------------> time
//
//   CoreResult result = PackAroundCore(problem, capacity, options);
//   if (result.verdict == Verdict::kFound) Use(result.offsets);
//
// Cost: each round takes a search of the core, and for every other item n log n in the number of
// items that are alive with it. Memory: the model of the core, and one entry of each item for every
// 64 sections of its life. Thread safety: as Search. Ownership: borrows the problem and the flags
// of `stop`. Errors: none. kLimit is also returned for problems that a model doesn't support
// (model.h) and for cores beyond its limits. kInfeasible is proven: not even the core fits.

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

// Packs the problem within `capacity` bytes. It must have passed CheckProblem.
CoreResult PackAroundCore(const Problem& problem, uint64_t capacity, const SearchOptions& options);

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_CORE_H_
