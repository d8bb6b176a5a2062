// The greedy portfolio for plain problems: skyline constructions under several rankings; the lowest
// one wins.
//
// Why: each ranking is nearly always good and sometimes bad, and one construction is cheap. Parts
// of the problem that share no moment are packed apart, so that each gets the ranking that suits
// it. The portfolio ends as soon as the peak is met.
//
// Cost: one construction and one sort for each ranking tried. Thread safety: single-threaded.
// Ownership: borrows the instance for the call. Errors: none; when the budget ends early there
// still is a packing (see TLSF in baselines.h, which finishes a construction that was cut short).

#ifndef TENURE_PLANNER_PACKING_PORTFOLIO_H_
#define TENURE_PLANNER_PACKING_PORTFOLIO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/plain.h"

namespace tenure::packing {

struct PortfolioResult {
  std::vector<uint64_t> offsets;  // of blocks
  uint64_t top = kUnlimited;      // of the (rounded) blocks
  uint64_t constructions = 0;
  uint64_t improvements = 0;
  std::string winner;
};

// Stops early once the top is at most `target` (the peak, or a capacity that is enough).
PortfolioResult RunPortfolio(const PlainInstance& plain, uint64_t target, Budget& budget);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PORTFOLIO_H_
