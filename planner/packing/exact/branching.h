// The orders of branching for exact search, and the sequence in which they race.
//
// Why there are many: search times are heavy-tailed. Nearly every instance is solved without
// backtracking by some order and is hopeless for another, and no order is best for all. Short runs
// of several orders, with limits that grow from round to round, are much faster than any one of
// them.
//
// Runs of one order learn from each other. An item that had no room left where earlier runs ended
// moves some places ahead in the next run (squeaky wheel optimisation, Joslin and Clements 1999).
// If the race goes on for long, most runs use the order that has come furthest. Most of those start
// with the failure counts that sections had in earlier runs (Boussemart, Hemery, Lecoutre and Sais,
// "Boosting systematic search by weighting constraints", 2004).
//
// Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_
#define TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/exact/model.h"

namespace tenure::packing::exact {

// Which place of the skyline is filled next. All choices but kHardest consider only sections whose
// floor is the lowest.
enum class Choice : uint8_t {
  kFewest,   // the section with the fewest ways to go on
  kTight,    // the section with a low floor and little slack
  kFullest,  // the section with the most bytes still to place
  kHardest,  // fewest ways and most failures so far, at any local minimum of the skyline
  kFirst,    // the place of the first item in the order
  kItem,     // the first item in the order is placed there or not: two ways
};

// The keys that decide which item is tried first at a place. Items are sorted by each key in turn,
// largest first.
enum class Key : uint8_t { kTotal, kWidth, kArea, kSize };

struct Strategy {
  Choice choice = Choice::kFewest;
  Key keys[3] = {Key::kTotal, Key::kWidth, Key::kArea};
  uint32_t seed = 0;  // 0: the order itself; otherwise neighbours are swapped at random
};

// By how many places each item of the model moves ahead in the order. Empty: no item moves.
using Lead = std::vector<double>;

// What the runs of one order have learned.
struct OrderExperience {
  Lead lead;
  std::vector<double> weights;  // failures of each section, decayed over time; empty: none
  double furthest = 0;          // the largest share of all bytes times sections that a run placed

  friend bool operator==(const OrderExperience&, const OrderExperience&) = default;
};

// The experience of each order of the race. It is empty at first.
using Experience = std::vector<OrderExperience>;

// Returns the number of orders in the race.
uint64_t Orders();

// The purpose of a run of the race.
enum class Aim : uint8_t {
  kBroad,         // all orders in turn; in some rounds with the learned lead of items
  kBest,          // the order that has come furthest
  kBestWeighted,  // the same, with the learned failures of sections
};

// A place in the sequence of runs.
struct Turn {
  Aim aim = Aim::kBroad;
  uint64_t number = 0;  // among the runs with this aim

  // Each order runs once in a round.
  uint64_t round() const { return number / Orders(); }
};

// Returns the turn of run number `run`. All turns are broad if learning is off.
Turn TurnOf(uint64_t run, bool learning);

// How many runs later the result of a run is learned from. With up to so many threads, threads
// rarely wait for each other.
inline constexpr uint64_t kLearningLag = 10;

// Returns whether that turn uses what was learned. Half of the broad rounds don't, because what was
// learned may be wrong.
bool UsesExperience(const Turn& turn);

// How a run branches: its order, and the experience that it uses.
struct RunPlan {
  uint64_t order = 0;  // below Orders()
  Strategy strategy;   // seeds from the second round on
  Lead lead;
  std::vector<double> weights;
};
RunPlan PlanRun(const Turn& turn, const Experience& experience);

// The causes that ended branches in a run.
struct Failures {
  std::vector<double> items;     // for each item of the model: how often it had no room
  std::vector<double> sections;  // of each section, on top of the weights at the run's start
  double furthest = 0;           // as in OrderExperience
};

// Updates `experience` with the failures of a run that was planned for this turn.
void Learn(const Turn& turn, const Failures& failures, OrderExperience& experience);

// Returns the items in the order of a strategy. Apart from ties, it doesn't depend on the order in
// which the items are listed.
std::vector<uint32_t> StaticOrder(const Model& model, const Strategy& strategy,
                                  const Lead& lead = {});

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_EXACT_BRANCHING_H_
