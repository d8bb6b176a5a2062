// A packing: the answer to a Problem, as a pure value.
//
// Why it is independent of the solver: plans are stored, sent and loaded again, and the validator
// must judge an answer without trusting its source.
//
//   if (packing.outcome == Outcome::kOptimal) ...      // packing.height == packing.lower_bound
//   uint64_t where = packing.offsets[i];               // of problem.items[i]
//
// Cost: 8 bytes an item, 12 with several arenas. Thread safety: thread-compatible. Ownership: owned
// by value. Errors: none; see validator.h.

#ifndef TENURE_PLANNER_PACKING_PACKING_H_
#define TENURE_PLANNER_PACKING_PACKING_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// The state of the answer. A time-out never counts as infeasible: the outcome is then kFeasible or
// kNone.
enum class Outcome {
  kNone,        // no packing found, nothing proven
  kFeasible,    // a valid packing
  kOptimal,     // a valid packing whose height equals a proven lower bound
  kInfeasible,  // proven: no packing respects the capacity, the arenas' limits and the fixed
                // offsets
};

// "none", "feasible", "optimal", "infeasible".
std::string_view OutcomeName(Outcome outcome);

// How the answer was found. This is for tables and for tuning, not for decisions.
struct PackingStatistics {
  uint64_t constructions = 0;  // greedy constructions made
  uint64_t improvements = 0;   // how often a better packing replaced the best one
  uint64_t nodes = 0;          // nodes of exact search
  uint64_t backtracks = 0;
  uint64_t rounds = 0;  // restarts of exact search
  std::string winner;  // the stage that produced the packing, for example "greedy:total,width,area"

  // Adds the counts, not the winner.
  void Add(const PackingStatistics& other) {
    constructions += other.constructions;
    improvements += other.improvements;
    nodes += other.nodes;
    backtracks += other.backtracks;
    rounds += other.rounds;
  }
};

struct Packing {
  Outcome outcome = Outcome::kNone;
  bool deadline_hit = false;  // a deadline or a cancel cut the work short

  // Empty unless outcome is kFeasible or kOptimal.
  std::vector<uint64_t> offsets;   // of each item, within its arena
  std::vector<uint32_t> arena_of;  // of each item; empty if there is one arena
  std::vector<uint64_t> heights;   // of each arena: its largest offset + size, 0 if unused

  uint64_t height = 0;       // the sum of heights
  uint64_t lower_bound = 0;  // proven: no packing of this problem is lower
  // Why there is no proof although neither a deadline nor a cancel cut the work short, as text for
  // people: what limit of the solver ended the work. Empty if the question is settled, and where
  // the effort tries no proof.
  std::string search_limit;
  PackingStatistics statistics;

  bool has_offsets() const { return outcome == Outcome::kFeasible || outcome == Outcome::kOptimal; }
  uint32_t arena(size_t item) const { return arena_of.empty() ? 0 : arena_of[item]; }
};

// Recomputes heights and height from offsets and arena_of. Items with an arena or an offset that
// does not exist are left out.
void UpdateHeights(const Problem& problem, Packing& packing);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PACKING_H_
