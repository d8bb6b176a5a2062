// Orders of branching for exact search, and the sequence in which they race.
//
// Why many: search times are heavy-tailed. Nearly every instance is solved without backtracking by
// some order and is hopeless for another, and none is best for all; short runs of several, with
// limits that grow from round to round, are much faster than any one of them.
//
// Runs of one order learn from each other: an item that had no room left where earlier runs ended
// goes some places ahead in the next one (squeaky wheel optimisation, Joslin and Clements 1999).
// Where the race goes on for long, most runs are of the order that has come furthest, and most of
// those begin with the failures that sections had in those before (Boussemart, Hemery, Lecoutre
// and Sais, "Boosting systematic search by weighting constraints", 2004).
//
// Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_
#define TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_

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

// By how many places each item of the model goes ahead of its own; empty: none does.
using Lead = std::vector<double>;

// What runs of one order have learned.
struct OrderExperience {
  Lead lead;
  std::vector<double> weights;  // failures of each section, fading; empty: none
  double furthest = 0;          // largest share of all bytes times sections that a run has placed

  friend bool operator==(const OrderExperience&, const OrderExperience&) = default;
};

// Of each order of the race; empty at first.
using Experience = std::vector<OrderExperience>;

// The orders of the race.
uint64_t Orders();

// What a run of the race is for.
enum class Aim : uint8_t {
  kBroad,         // all orders in turn, some of the rounds with what was learned of items
  kBest,          // the order that has come furthest
  kBestWeighted,  // the same, with what was learned of sections
};

// A place in the sequence of runs.
struct Turn {
  Aim aim = Aim::kBroad;
  uint64_t number = 0;  // among those of this aim

  // One for each order.
  uint64_t round() const { return number / Orders(); }
};

// The turn of run number `run`: all are broad if nothing may be learned.
Turn TurnOf(uint64_t run, bool learning);

// How many runs later what a run has learned is used: up to so many threads rarely wait for each
// other.
inline constexpr uint64_t kLearningLag = 10;

// Whether that turn goes by what was learned. Half of the broad rounds do not: what is learned may
// be wrong, too.
bool UsesExperience(const Turn& turn);

// How a run branches: by which order, and with what was learned.
struct RunPlan {
  uint64_t order = 0;  // below Orders()
  Strategy strategy;   // seeds from the second round on
  Lead lead;
  std::vector<double> weights;
};
RunPlan PlanRun(const Turn& turn, const Experience& experience);

// What ended branches in a run.
struct Failures {
  std::vector<double> items;     // how often for want of room for each item of the model
  std::vector<double> sections;  // of each section, above the weights that the run began with
  double furthest = 0;           // as in OrderExperience
};

// What is learned from a run that was planned so.
void Learn(const Turn& turn, const Failures& failures, OrderExperience& experience);

// Items in the order of a strategy. The same for items listed in another order, but for ties.
std::vector<uint32_t> StaticOrder(const Model& model, const Strategy& strategy,
                                  const Lead& lead = {});

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_
