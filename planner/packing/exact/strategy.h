// Orders of branching for exact search, and the sequence in which they race.
//
// Why many: search times are heavy-tailed. Nearly every instance is solved without backtracking by
// some order and is hopeless for another, and none is best for all; short runs of several, with
// limits that grow from round to round, are much faster than any one of them.
//
// Runs of one order learn from each other: an item that had no room left where earlier runs ended
// goes some places ahead in the next one (squeaky wheel optimisation, Joslin and Clements 1999).
//
// Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_EXACT_STRATEGY_H_
#define TENURE_PLANNER_PACKING_EXACT_STRATEGY_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/exact/model.h"

namespace tenure::packing::exact {

// Which place of the skyline is filled next. All but kHardest look only at sections whose floor is
// the lowest.
enum class Choice : uint8_t {
  kFewest,   // a section with fewest ways to go on
  kTight,    // low floor and little slack together
  kFullest,  // a section with most bytes still to come
  kHardest,  // fewest ways and most failures so far, at any local minimum of the skyline
  kFirst,    // the place of the first item in the order
  kItem,     // the first item in the order, there or not: two ways
};

// Which item is tried first at a place; largest first by each key in turn.
enum class Key : uint8_t { kTotal, kWidth, kArea, kSize };

struct Strategy {
  Choice choice = Choice::kFewest;
  Key keys[3] = {Key::kTotal, Key::kWidth, Key::kArea};
  uint32_t seed = 0;  // 0: the order itself; else neighbours in it are exchanged at random
};

// The run number `run` of the race: strategies in turn, seeds from the second round on.
Strategy RaceStrategy(uint64_t run);

// Runs of one round.
uint64_t RoundLength();

// By how many places each item of the model goes ahead of its own; empty: none does.
using Lead = std::vector<double>;

// Whether that run goes by what was learned. The other half of the rounds does not: what is learned
// may be wrong, too.
bool UsesLead(uint64_t run);

// What is learned from a run in which branches ended this often for want of room for each item.
void Learn(const std::vector<double>& failures, Lead& lead);

// Items in the order of a strategy. The same for items listed in another order, but for ties.
std::vector<uint32_t> StaticOrder(const Model& model, const Strategy& strategy,
                                  const Lead& lead = {});

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_STRATEGY_H_
