// The greedy portfolio for plain problems: constructions under several rankings, then repair,
// within a fixed budget of placed rectangles. The lowest packing wins.
//
// Why: no ranking is best everywhere, and the first ranking solves most problems to their bound.
// Parts of the problem that share no moment are packed separately, so that each gets the ranking
// that suits it. The portfolio ends as soon as the target is met.
//
// Cost: the budget. It counts placed rectangles, so the result does not depend on the machine.
// Thread safety: single-threaded. Ownership: borrows the instance for the call. Errors: none. If
// the deadline ends the work early, there is still a packing (TLSF in baselines.h finishes a
// construction that was cut short).

#ifndef TENURE_PLANNER_PACKING_SOLVER_PORTFOLIO_H_
#define TENURE_PLANNER_PACKING_SOLVER_PORTFOLIO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/options.h"
#include "tenure/planner/packing/plain.h"

namespace tenure::packing {

struct PortfolioResult {
  std::vector<uint64_t> offsets;  // of rectangles
  uint64_t top = kUnlimited;      // of the (rounded) rectangles
  uint64_t constructions = 0;
  uint64_t improvements = 0;
  std::string winner;
};

// Stops early once the top is at most `target` (the peak, or a capacity that is sufficient).
PortfolioResult RunPortfolio(const PlainInstance& plain, uint64_t target, Effort effort,
                             Budget& budget);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_PORTFOLIO_H_
