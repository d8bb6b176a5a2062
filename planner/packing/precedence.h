// Which items of a partial order of execution may share bytes.
//
// Why: with concurrent branches, lives are not intervals. Item a precedes item b if every step that
// uses a precedes every step that uses b; two items conflict unless one precedes the other.
//
// How: the steps are cut into chains (each a path of the order), and for every step and chain the
// first step of that chain that comes after it is kept. A step precedes another if that one stands
// at or behind the first.
//
//   chain 0   s0 -> s1 -> s4           after(s1) = {position 2 in chain 0, position 1 in chain 1}
//                    \                 so s1 precedes s3 and s4, and is concurrent with s2
//   chain 1   s2 -> s3
//
// Cost: memory of steps times chains, 4 bytes each, and as much for items with many last uses; time
// of edges times chains to build; a question costs the first uses of one item. Thread safety:
// thread-compatible. Ownership: by value. Errors: none; the problem must have passed CheckProblem.

#ifndef TENURE_PLANNER_PACKING_PRECEDENCE_H_
#define TENURE_PLANNER_PACKING_PRECEDENCE_H_

#include <cstdint>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing {

class Precedence {
 public:
  // The budget may be null. If it ends early this is not complete(), and knows nothing.
  explicit Precedence(const Problem& problem, Budget* budget = nullptr);
  bool complete() const { return complete_; }

  // Every step of a precedes every step of b. False if one of them has no steps.
  bool ItemPrecedes(uint32_t a, uint32_t b) const;
  bool Conflict(uint32_t a, uint32_t b) const { return !ItemPrecedes(a, b) && !ItemPrecedes(b, a); }

  // Of each item, a life during which it may be said to hold its bytes when the steps run one by
  // one in some legal order: from its first step until all that is left comes after its last ones.
  // Items whose lives are apart are in order; not all that are in order have lives apart.
  // A budget that ends leaves some items with all of the time, which is true of any.
  std::vector<Life> LivesApart(Budget* budget = nullptr) const;

 private:
  bool StepPrecedes(uint32_t a, uint32_t b) const {
    return position_[b] >= after_[size_t{a} * chains_ + chain_[b]];
  }

  // The uses at `steps` that no other implies: by chain, then pairwise. False if the budget ended.
  bool AddUses(std::vector<uint32_t>& steps, Budget* budget);

  bool complete_ = false;
  uint32_t chains_ = 0;
  std::vector<uint32_t> chain_, position_;  // of each step
  std::vector<uint32_t> when_;              // of each step, in some legal order
  std::vector<uint32_t> after_;             // steps x chains
  // The uses of each item without those that others of its uses imply.
  std::vector<uint32_t> first_start_, first_uses_, last_start_, last_uses_;
  // Of an item with many last uses, the first step of each chain behind all of them, at row_[item].
  std::vector<uint32_t> row_, rows_;
};

// The number of chains that Precedence cuts the steps into, which tells what it costs.
uint32_t CountChains(const PartialOrder& order);

// Lives of the items when the steps run one by one in some legal order; items that live at once
// there conflict.
std::vector<Life> LivesInOneOrder(const Problem& problem);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PRECEDENCE_H_
