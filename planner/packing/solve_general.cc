#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/bodies.h"
#include "tenure/planner/packing/first_fit.h"
#include "tenure/planner/packing/orders.h"
#include "tenure/planner/packing/strategy.h"

namespace tenure::packing {
namespace {

// Bodies that stuck out move to the front, and the construction is repeated: after a few rounds
// those that are hard to place are placed early.
class Search {
 public:
  Search(Task& task, const Bodies& bodies, Packing& packing)
      : task_(task), bodies_(bodies), packing_(packing), fit_(task.problem, bodies) {}

  bool done() const { return best_height_ <= task_.Target(); }

  // False when the budget ended.
  bool Try(const Order& order) {
    ++packing_.statistics.constructions;
    bool complete = fit_.Run(order.bodies, Cap(), task_.budget);
    const bool interrupted = task_.budget.Interrupted();
    if (!complete && interrupted && best_height_ == kUnlimited) {
      complete = fit_.PileUp(order.bodies, Cap());
    }
    if (complete && fit_.placement().height < best_height_) {
      Keep(order.name);
    }
    return !interrupted;
  }

  void Improve(Order order, int rounds) {
    order.name = "first-fit:repaired";
    std::vector<uint32_t> front;
    for (int round = 0; round < rounds && !done(); ++round) {
      front.clear();
      const Placement& placed = fit_.placement();
      const uint64_t bar = std::min(best_height_ - 1, task_.capacity);
      if (fit_.stuck() != ~uint32_t{0}) {
        front.push_back(fit_.stuck());
      } else {
        for (uint32_t b : order.bodies) {
          if (placed.offsets[b] != kNoOffset &&
              placed.offsets[b] + bodies_.bodies[b].height > bar) {
            front.push_back(b);
          }
        }
      }
      if (front.empty()) return;
      for (uint32_t b : front) {
        const auto at = std::find(order.bodies.begin(), order.bodies.end(), b);
        const auto to = order.bodies.begin() + (at - order.bodies.begin()) / 2;
        std::rotate(to, at, at + 1);
      }
      if (!Try(order)) return;
    }
  }

 private:
  uint64_t Cap() const {
    return best_height_ == kUnlimited ? task_.capacity : std::min(task_.capacity, best_height_ - 1);
  }

  void Keep(const std::string& name) {
    const Placement& placed = fit_.placement();
    best_height_ = placed.height;
    packing_.offsets.resize(task_.problem.items.size());
    const bool several = ArenaCount(task_.problem) > 1;
    if (several) packing_.arena_of.resize(task_.problem.items.size());
    for (uint32_t b = 0; b < bodies_.bodies.size(); ++b) {
      const Body& body = bodies_.bodies[b];
      for (uint32_t m = body.first_member; m < body.end_member; ++m) {
        const Member& member = bodies_.members[m];
        packing_.offsets[member.item] = placed.offsets[b] + member.begin;
        if (several) packing_.arena_of[member.item] = placed.arenas[b];
      }
    }
    packing_.statistics.winner = name;
    ++packing_.statistics.improvements;
  }

  Task& task_;
  const Bodies& bodies_;
  Packing& packing_;
  FirstFit fit_;
  uint64_t best_height_ = kUnlimited;
};

// Two fixed items that overlap, or one beyond its limit: nothing can help.
bool FixedContradict(const Problem& problem, const Bodies& bodies) {
  if (ArenaCount(problem) > 1) return false;  // they might go to different arenas
  FirstFit fit(problem, bodies);
  for (uint32_t b = 0; b < bodies.bodies.size(); ++b) {
    const uint64_t fixed = bodies.bodies[b].fixed;
    if (fixed == kNoOffset) continue;
    if (!fit.FitsAt(b, 0, fixed)) return true;
    fit.Place(b, 0, fixed);
  }
  return false;
}

}  // namespace

void SolveGeneral(Task& task, Packing& packing) {
  const Bodies bodies = MakeBodies(task.problem);
  if (!bodies.contradiction.empty() || FixedContradict(task.problem, bodies)) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  Orders orders(bodies, task.budget);
  Search search(task, bodies, packing);
  const int rounds = task.options.effort == Effort::kFast ? 4 : 50;
  for (int which = 0; which < Orders::kCount && !search.done(); ++which) {
    Order order = orders.Make(which);
    if (!search.Try(order)) return;
    search.Improve(std::move(order), rounds);
    if (task.budget.Interrupted()) return;
  }
}

}  // namespace tenure::packing
