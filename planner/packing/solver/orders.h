// The orders in which the general construction places groups.
//
// Why: the result of first fit depends on its order. Taken as rectangles, the bounding boxes of the
// groups form a plain problem, and the order in which the skyline solves that is good for the
// actual problem. There are also simple orders by size and life.
//
//   Orders orders(groups, budget);
//   for (int k = 0; k < Orders::kCount; ++k) fit.Run(orders.Make(k).groups, ...);
//
// Cost: a sort, and a skyline construction for the first two orders. Thread safety:
// single-threaded. Ownership: borrows the groups and the budget. Errors: none.

#ifndef TENURE_PLANNER_PACKING_SOLVER_ORDERS_H_
#define TENURE_PLANNER_PACKING_SOLVER_ORDERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tenure/planner/packing/budget.h"
#include "tenure/planner/packing/skyline.h"
#include "tenure/planner/packing/solver/rigid_groups.h"

namespace tenure::packing {

struct Order {
  std::string name;
  std::vector<uint32_t> groups;  // each once
};

class Orders {
 public:
  static constexpr int kCount = 6;

  Orders(const RigidGroups& groups, Budget& budget);

  // Returns order number `which`; the orders most likely to be good come first.
  Order Make(int which);

 private:
  double Key(char letter, uint32_t b) const;

  const RigidGroups& groups_;
  Budget& budget_;
  std::vector<uint32_t> ids_, empty_;
  std::vector<Rectangle> rectangles_;
  std::vector<uint64_t> most_;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_SOLVER_ORDERS_H_
