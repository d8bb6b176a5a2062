// Tells which items may share bytes under a partial order of so many concurrent steps that
// Precedence can't afford its table.
//
// How: a bit for each pair of items tells whether one precedes the other. To find the bits, a walk
// through the steps in a legal order keeps, for each step, the set of the last uses that come before
// it. An item a precedes an item b if all last uses of a are in the set of every first use of b. The
// last uses are taken in blocks, so that the sets need little memory.
//
//   const WidePrecedence wide(problem, StepGraph(problem.order), chains, budget);
//   if (wide.complete() && wide.ItemPrecedes(a, b)) ...
//
// Cost: memory is a bit for each pair of items (256 MiB at most) and 32 MiB or 8 bytes for each
// step. Building takes (edges + first uses) times last uses / 64, and as many steps again for each
// item with several last uses as there are items. A query takes constant time. Thread safety:
// thread-compatible. Ownership: by value. Errors: none; the problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_WIDE_PRECEDENCE_H_
#define TENURE_PLANNER_PACKING_WIDE_PRECEDENCE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"
#include "tenure/planner/packing/step_graph.h"

namespace tenure::packing {

class WidePrecedence {
 public:
  // Returns whether there are few enough items and uses for the bits.
  static bool Suits(const Problem& problem);
  // Returns about how many nanoseconds the construction takes.
  static double Nanoseconds(const Problem& problem);

  // The problem must suit. chain_of is the number of a chain for each step: the steps of one chain
  // are ordered. The budget may be null. If it ends early, complete() is false and the object can't
  // answer anything.
  WidePrecedence(const Problem& problem, const StepGraph& graph,
                 const std::vector<uint32_t>& chain_of, Budget* budget);
  bool complete() const { return complete_; }

  // Returns whether every step of a precedes every step of b. False if one of them has no steps.
  bool ItemPrecedes(uint32_t a, uint32_t b) const {
    return (bits_[size_t{b} * row_words_ + a / 64] >> (a % 64) & 1) != 0;
  }

  // As Precedence::LivesApart.
  std::vector<Life> LivesApart(Budget* budget) const;

 private:
  // A last use of an item. The set of a step has a bit for each.
  struct LastUse {
    uint32_t step, item;
  };

  void FindUses(const Problem& problem, const std::vector<uint32_t>& position,
                const std::vector<uint32_t>& chain_of);
  bool FillSets(const StepGraph& graph, const std::vector<LastUse>& uses, size_t begin, size_t end,
                Budget* budget);
  void Intersect(uint32_t item);

  bool complete_ = false;
  size_t row_words_;
  std::vector<uint64_t> bits_;  // the row of item b: the items that precede it
  std::vector<Life> used_;      // of each item: from its first step to its last in a legal order
  Time end_;                    // of all steps
  // Only while the bits are made:
  std::vector<LastUse> single_;  // one last use of each item; the step is kNone for items without
  std::vector<LastUse> more_;    // the others, of items that have several
  std::vector<uint32_t> first_start_, first_uses_;  // of each item
  size_t words_ = 1;                                // of each step's set
  std::vector<uint64_t> before_;                    // the set of each step
  std::vector<uint64_t> set_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_WIDE_PRECEDENCE_H_
