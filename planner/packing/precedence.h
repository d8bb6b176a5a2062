// Tells which items may share bytes under a partial order of execution.
//
// Why: with concurrent branches, lives are not intervals. Item a precedes item b if every step that
// uses a precedes every step that uses b. Two items conflict unless one precedes the other.
//
// How: the steps are cut into chains, each of which is a path of the order. For every step s and
// every chain, the table keeps the first step of the chain that comes after s. Then s precedes a
// step of that chain if the step is that first one or stands behind it.
//
//   chain 0   s0 -> s1 -> s4           after(s1) = {position 2 in chain 0, position 1 in chain 1}
//                    \                 so s1 precedes s3 and s4, and is concurrent with s2
//   chain 1   s2 -> s3
//
// If the table would be too large, WidePrecedence answers in its place.
//
// Cost: the table takes 4 bytes for each pair of a step and a chain, and as much for each pair of an
// item and a chain: 256 MiB at most. Building it takes edges times chains. A query takes time
// proportional to the first uses of one item. Thread safety: thread-compatible. Ownership: by
// value. Errors: none; the problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_PRECEDENCE_H_
#define TENURE_PLANNER_PACKING_PRECEDENCE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"
#include "tenure/planner/packing/step_graph.h"
#include "tenure/planner/packing/wide_precedence.h"

namespace tenure::packing {

class Precedence {
 public:
  // Tests set `most_entries` to see small problems work without the table.
  static constexpr uint64_t kMostEntries = uint64_t{1} << 26;

  // The budget may be null. If it ends early, or if Suits says no, complete() is false and the
  // object can't answer anything.
  explicit Precedence(const Problem& problem, Budget* budget = nullptr,
                      uint64_t most_entries = kMostEntries);
  bool complete() const { return complete_; }

  // Returns whether a problem with so many chains of steps gets the table. If not, the problem must
  // suit WidePrecedence.
  static bool HasTable(const Problem& problem, uint64_t chains,
                       uint64_t most_entries = kMostEntries) {
    return chains <= most_entries / (problem.order.steps + problem.items.size() + 1);
  }
  static bool Suits(const Problem& problem, uint64_t chains) {
    return HasTable(problem, chains) || WidePrecedence::Suits(problem);
  }

  // Returns whether every step of a precedes every step of b. False if one of them has no steps.
  bool ItemPrecedes(uint32_t a, uint32_t b) const;
  bool Conflict(uint32_t a, uint32_t b) const { return !ItemPrecedes(a, b) && !ItemPrecedes(b, a); }

  // Returns a life for each item, in which it holds its bytes when the steps run one by one in some
  // legal order: from its first step until all remaining steps come after its last ones. Two items
  // whose lives are disjoint are ordered. The opposite doesn't hold: ordered items may have lives
  // that overlap. If the budget ends, some items get all of the time as their life, which is always
  // correct.
  std::vector<Life> LivesApart(Budget* budget = nullptr) const;

 private:
  bool StepPrecedes(uint32_t a, uint32_t b) const {
    return position_[b] >= after_[size_t{a} * chains_ + chain_[b]];
  }

  // Adds those of the uses at `steps` that no other use implies, first within chains, then
  // pairwise. Returns false if the budget ended.
  bool AddUses(std::vector<uint32_t>& steps, Budget* budget);

  bool FillTable(const Problem& problem, const StepGraph& graph, Budget* budget);

  bool complete_ = false;
  std::optional<WidePrecedence> wide_;  // nothing below is filled in if it has a value
  uint32_t chains_ = 0;
  std::vector<uint32_t> chain_, position_;  // of each step
  std::vector<uint32_t> when_;              // of each step, in some legal order
  std::vector<uint32_t> after_;             // steps x chains
  // The uses of each item, without the uses that other uses imply.
  std::vector<uint32_t> first_start_, first_uses_, last_start_, last_uses_;
  // For each item with many last uses: the first step of each chain that is behind all of them, at
  // row_[item].
  std::vector<uint32_t> row_, rows_;
};

// Returns the number of chains that Precedence would cut the steps into. It determines the cost.
uint32_t CountChains(const PartialOrder& order);

// Returns the lives of the items when the steps run one by one in some legal order. Items that live
// at once there conflict.
std::vector<Life> LivesInOneOrder(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PRECEDENCE_H_
