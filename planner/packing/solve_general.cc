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
#include "tenure/planner/packing/skyline.h"
#include "tenure/planner/packing/strategy.h"

namespace tenure::packing {
namespace {

struct Order {
  std::string name;
  std::vector<uint32_t> bodies;
};

// The bodies as blocks of their hulls: a problem that the skyline can solve, whose order of placing
// is a good one for the problem at hand.
class Orders {
 public:
  Orders(const Bodies& bodies, Budget& budget) : bodies_(bodies), budget_(budget) {
    for (uint32_t b = 0; b < bodies.bodies.size(); ++b) {
      const Body& body = bodies.bodies[b];
      if (body.first_piece == body.end_piece) {
        empty_.push_back(b);
        continue;
      }
      ids_.push_back(b);
      blocks_.push_back({body.height, 1, body.hull});
    }
    std::vector<uint64_t> totals(bodies.section_count + 1);
    for (const Block& block : blocks_) {
      totals[block.range.begin] += block.size;
      totals[block.range.end] -= block.size;
    }
    for (size_t s = 1; s < totals.size(); ++s) totals[s] += totals[s - 1];
    most_.resize(blocks_.size());
    for (size_t b = 0; b < blocks_.size(); ++b) {
      const SectionRange range = blocks_[b].range;
      // Long lives look at some of their sections: the order is a guess anyhow.
      const uint32_t stride = 1 + (range.end - range.begin) / 64;
      for (uint32_t s = range.begin; s < range.end; s += stride) {
        most_[b] = std::max(most_[b], totals[s]);
      }
    }
  }

  static constexpr int kCount = 6;

  Order Make(int which) {
    static constexpr std::array<const char*, 4> kKeys = {"TWS", "AWS", "SWT", "WST"};
    const bool skyline = which < 2;
    const char* keys = kKeys[static_cast<size_t>(skyline ? which : which - 2)];
    std::vector<uint32_t> ranked(blocks_.size());
    std::iota(ranked.begin(), ranked.end(), 0u);
    std::sort(ranked.begin(), ranked.end(), [&](uint32_t a, uint32_t b) {
      for (const char* k = keys; *k != 0; ++k) {
        const double x = Key(*k, a), y = Key(*k, b);
        if (x != y) return x > y;
      }
      return a < b;
    });
    Order order;
    order.name = absl::StrCat("first-fit:", skyline ? "skyline-" : "", keys);
    if (skyline && !blocks_.empty()) {
      SkylineGreedy greedy(blocks_, bodies_.section_count);
      std::vector<uint64_t> offsets;
      if (greedy.Run(ranked, kUnlimited, budget_, offsets)) ranked = greedy.placed();
    }
    for (uint32_t b : ranked) order.bodies.push_back(ids_[b]);
    order.bodies.insert(order.bodies.end(), empty_.begin(), empty_.end());
    return order;
  }

 private:
  double Key(char letter, uint32_t b) const {
    const Block& block = blocks_[b];
    const double width = block.range.end - block.range.begin;
    switch (letter) {
      case 'T':
        return static_cast<double>(most_[b]);
      case 'W':
        return width;
      case 'S':
        return static_cast<double>(block.size);
      default:
        return width * static_cast<double>(block.size);
    }
  }

  const Bodies& bodies_;
  Budget& budget_;
  std::vector<uint32_t> ids_, empty_;
  std::vector<Block> blocks_;
  std::vector<uint64_t> most_;
};

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
