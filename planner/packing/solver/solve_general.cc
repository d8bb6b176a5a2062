#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/precedence.h"
#include "tenure/planner/packing/solver/first_fit.h"
#include "tenure/planner/packing/solver/orders.h"
#include "tenure/planner/packing/solver/portfolio.h"
#include "tenure/planner/packing/solver/rigid_groups.h"
#include "tenure/planner/packing/solver/stages.h"
#include "tenure/planner/packing/sort_by_key.h"

namespace tenure::packing {
namespace {

// Returns the groups as rectangles that cover their bounding boxes.
PlainInstance BoundingBoxes(const RigidGroups& groups) {
  constexpr uint64_t kCoarsest = uint64_t{1} << 32;
  PlainInstance plain;
  uint64_t grain = 0;
  for (const RigidGroup& group : groups.groups) {
    if (group.height > 0) grain = std::gcd(grain, group.modulus);
  }
  // The modulus of a group may be any number, but in the end only the order counts.
  plain.grain = grain == 0 || grain > kCoarsest ? 1 : grain;
  const bool ordered = groups.precedence != nullptr;
  plain.totals.assign((ordered ? groups.apart_count : groups.section_count) + 1, 0);
  for (uint32_t b = 0; b < groups.groups.size(); ++b) {
    const RigidGroup& group = groups.groups[b];
    if (group.fixed != kNoOffset || group.first_rectangle == group.end_rectangle) continue;
    SectionRange bounding_box = groups.Apart(group.first_rectangle);
    for (uint32_t p = group.first_rectangle; p < group.end_rectangle; ++p) {
      bounding_box.begin = std::min(bounding_box.begin, groups.Apart(p).begin);
      bounding_box.end = std::max(bounding_box.end, groups.Apart(p).end);
    }
    const uint64_t size = AlignUp(group.height, plain.grain);
    const bool fine = group.modulus != plain.grain && group.modulus <= kCoarsest;
    plain.rectangles.push_back({size, fine ? group.modulus : 1, bounding_box});
    plain.item_of.push_back(b);
    plain.width.push_back(bounding_box.end - bounding_box.begin);
    plain.totals[bounding_box.begin] += size;
    plain.totals[bounding_box.end] -= size;
    plain.mixed_alignment |= fine;
  }
  for (size_t s = 1; s < plain.totals.size(); ++s) plain.totals[s] += plain.totals[s - 1];
  plain.totals.pop_back();
  for (uint64_t total : plain.totals) plain.peak = std::max(plain.peak, total);
  return plain;
}

// A search that moves groups that stuck out to the front and repeats the construction. After a few
// rounds, the groups that are hard to place are placed early.
class Search {
 public:
  Search(Task& task, const RigidGroups& groups, Packing& packing)
      : task_(task),
        groups_(groups),
        packing_(packing),
        fit_(task.problem, groups),
        steps_(task.budget.WithSteps(FirstFitSteps(groups, task.options.effort))) {}

  // Makes the cheapest packing, for which there is always time.
  void TryQuickly() {
    ++packing_.statistics.constructions;
    if (fit_.RunQuickly(Cap())) Keep("tlsf:events");
  }

  bool done() const { return best_height_ <= task_.Target(); }
  uint64_t steps_left() const { return steps_.steps_left(); }

  // The plain portfolio solves the bounding boxes. Then groups are placed bottom-left in the order
  // of its offsets, and move down into the space that the bounding boxes did not need.
  void TryBottomLeft(Effort portfolio) {
    ++packing_.statistics.constructions;
    const PlainInstance plain = BoundingBoxes(groups_);
    const uint64_t target = std::max(plain.peak, task_.capacity == kUnlimited ? 0 : task_.limit);
    PortfolioResult result = RunPortfolio(plain, target, portfolio, task_.budget);
    std::vector<uint32_t> order(plain.rectangles.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&result](uint32_t a, uint32_t b) {
      const uint64_t x = result.offsets[a], y = result.offsets[b];
      return x != y ? x < y : a < b;
    });
    for (uint32_t& b : order) b = plain.item_of[b];
    for (uint32_t b = 0; b < groups_.groups.size(); ++b) {
      if (groups_.groups[b].first_rectangle == groups_.groups[b].end_rectangle) order.push_back(b);
    }
    fit_.Clear();
    if (fit_.PlaceFixed(Cap(), task_.budget) &&
        fit_.PlaceBottomLeft(order, Cap(), steps_.steps_left(), task_.budget) &&
        fit_.partial().height < best_height_) {
      Keep(absl::StrCat("bottom-left:", result.winner));
    }
  }

  // Returns false when the budget ended.
  bool Try(const Order& order) {
    ++packing_.statistics.constructions;
    bool complete = fit_.Run(order.groups, Cap(), steps_);
    const bool interrupted = task_.budget.Interrupted();
    if (!complete && interrupted && best_height_ == kUnlimited) {
      complete = fit_.StackOnTop(order.groups, Cap());
    }
    if (complete && fit_.partial().height < best_height_) {
      Keep(order.name);
    }
    return !interrupted && steps_.steps_left() > 0;
  }

  void Improve(Order order, int rounds) {
    order.name = "first-fit:repaired";
    std::vector<uint32_t> front;
    for (int round = 0; round < rounds && !done(); ++round) {
      front.clear();
      const PartialPacking& placed = fit_.partial();
      const uint64_t bar = std::min(best_height_ - 1, task_.limit);
      if (fit_.stuck() != ~uint32_t{0}) {
        front.push_back(fit_.stuck());
      } else {
        for (uint32_t b : order.groups) {
          if (placed.offsets[b] != kNoOffset &&
              placed.offsets[b] + groups_.groups[b].height > bar) {
            front.push_back(b);
          }
        }
      }
      if (front.empty()) return;
      for (uint32_t b : front) {
        if (!steps_.Spend(1 + order.groups.size() / 64)) return;
        const auto at = std::find(order.groups.begin(), order.groups.end(), b);
        const auto to = order.groups.begin() + (at - order.groups.begin()) / 2;
        std::rotate(to, at, at + 1);
      }
      if (!Try(order)) return;
    }
  }

 private:
  uint64_t Cap() const {
    return best_height_ == kUnlimited ? task_.limit : std::min(task_.limit, best_height_ - 1);
  }

  void Keep(const std::string& name) {
    const PartialPacking& placed = fit_.partial();
    best_height_ = placed.height;
    packing_.offsets.resize(task_.problem.items.size());
    const bool several = ArenaCount(task_.problem) > 1;
    if (several) packing_.arena_of.resize(task_.problem.items.size());
    for (uint32_t b = 0; b < groups_.groups.size(); ++b) {
      const RigidGroup& group = groups_.groups[b];
      for (uint32_t m = group.first_member; m < group.end_member; ++m) {
        const Member& member = groups_.members[m];
        packing_.offsets[member.item] = placed.offsets[b] + member.begin;
        if (several) packing_.arena_of[member.item] = placed.arenas[b];
      }
    }
    packing_.statistics.winner = name;
    ++packing_.statistics.improvements;
  }

  Task& task_;
  const RigidGroups& groups_;
  Packing& packing_;
  FirstFit fit_;
  Budget steps_;
  uint64_t best_height_ = kUnlimited;
};

// A range of absolute addresses during some time.
struct PlacedArea {
  uint64_t first, last;  // sections, or keys of times
  uint64_t begin, end;
};

// Walks through time and keeps the live areas sorted by address.
bool AnyOverlap(const std::vector<PlacedArea>& areas) {
  std::vector<Keyed> starts, ends;
  starts.reserve(areas.size());
  ends.reserve(areas.size());
  for (uint32_t r = 0; r < areas.size(); ++r) {
    starts.push_back({areas[r].first, r});
    ends.push_back({areas[r].last, r});
  }
  SortByKey(starts);
  SortByKey(ends);
  std::map<uint64_t, uint64_t> alive;  // begin to end
  size_t e = 0;
  for (const Keyed& start : starts) {
    const PlacedArea& born = areas[start.index];
    for (; ends[e].key <= start.key; ++e) alive.erase(areas[ends[e].index].begin);
    const auto next = alive.lower_bound(born.begin);
    if (next != alive.end() && next->first < born.end) return true;
    if (next != alive.begin() && std::prev(next)->second > born.begin) return true;
    alive.emplace_hint(next, born.begin, born.end);
  }
  return false;
}

// Returns true if two fixed items overlap or one exceeds its limit: then no packing exists. Returns
// false if the budget ends, which can happen with a partial order only.
bool FixedContradict(const Problem& problem, const RigidGroups& groups, Budget& budget) {
  if (ArenaCount(problem) > 1) return false;  // they might go to different arenas
  const uint64_t limit = problem.arenas.empty() ? kUnlimited : problem.arenas[0].limit;
  std::vector<GroupRectangle> rectangles;
  for (const RigidGroup& group : groups.groups) {
    if (group.fixed == kNoOffset) continue;
    if (group.height > 0 && (group.height > limit || group.fixed > limit - group.height))
      return true;
    for (uint32_t p = group.first_rectangle; p < group.end_rectangle; ++p) {
      rectangles.push_back(groups.rectangles[p]);
      rectangles.back().begin += group.fixed;
      rectangles.back().end += group.fixed;
    }
  }
  if (groups.precedence == nullptr) {
    std::vector<PlacedArea> areas;
    areas.reserve(rectangles.size());
    for (const GroupRectangle& p : rectangles) {
      areas.push_back({p.range.begin, p.range.end, p.begin, p.end});
    }
    return AnyOverlap(areas);
  }
  // Only pairs that share addresses are checked for their times. Sorted by address, such pairs are
  // close together.
  std::sort(rectangles.begin(), rectangles.end(),
            [](const GroupRectangle& a, const GroupRectangle& b) { return a.begin < b.begin; });
  for (size_t k = 0; k < rectangles.size(); ++k) {
    const GroupRectangle& a = rectangles[k];
    for (size_t l = k + 1; l < rectangles.size() && rectangles[l].begin < a.end; ++l) {
      if (a.group == rectangles[l].group) continue;
      if (!budget.Spend(1)) return false;
      if (groups.precedence->Conflict(a.item, rectangles[l].item)) return true;
    }
  }
  return false;
}

// Returns whether no two fixed items share an address, so that their times don't matter.
bool FixedAreApart(const Problem& problem) {
  std::vector<Keyed> places;
  for (uint32_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    if (item.fixed != kNoOffset && item.size > 0) places.push_back({item.fixed, i});
  }
  SortByKey(places);
  for (size_t k = 1; k < places.size(); ++k) {
    if (places[k].key < places[k - 1].key + problem.items[places[k - 1].index].size) return false;
  }
  return true;
}

// Returns the time that it takes to make the precedence table; checking a packing that shares bytes
// takes as long again.
absl::Duration TableTime(const Problem& problem, uint32_t chains) {
  if (!Precedence::HasTable(problem, chains)) {
    return absl::Nanoseconds(WidePrecedence::Nanoseconds(problem));
  }
  const auto rows =
      static_cast<double>(problem.order.steps + problem.order.edges.size() + problem.items.size());
  return absl::Nanoseconds(1) * rows * static_cast<double>(chains);
}

// Returns the same problem with lives in place of a partial order that is in fact total.
Problem AsIntervals(const Problem& problem) {
  Problem intervals;
  intervals.items = problem.items;
  const std::vector<Life> lives = LivesInOneOrder(problem);
  for (size_t i = 0; i < lives.size(); ++i) {
    intervals.items[i].first = lives[i].first;
    intervals.items[i].last = lives[i].last;
  }
  intervals.arenas = problem.arenas;
  intervals.bindings = problem.bindings;
  intervals.adjacent = problem.adjacent;
  intervals.capacity = problem.capacity;
  return intervals;
}

// Handles one arena without groups and without an order. Gaps are ignored, and free items go on top
// of the fixed ones. Reports kInfeasible if fixed items overlap and no gap could make that valid.
void StackOntoFixed(const Problem& problem, Packing& packing) {
  std::vector<PlacedArea> fixed;
  uint64_t base = 0;
  packing.offsets.assign(problem.items.size(), 0);
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    if (item.fixed == kNoOffset) continue;
    packing.offsets[i] = item.fixed;
    if (item.size == 0) continue;
    const uint64_t end = item.fixed + item.size;
    fixed.push_back({KeyOf(item.first), KeyOf(item.last), item.fixed, end});
    base = std::max(base, end);
  }
  if (problem.gaps.empty() && AnyOverlap(fixed)) {
    packing.offsets.clear();
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  const PlainInstance plain = MakePlain(problem);
  std::vector<uint64_t> offsets;
  TlsfInEventOrder(plain.rectangles, AlignUp(base, plain.grain), offsets);
  for (size_t b = 0; b < plain.rectangles.size(); ++b)
    packing.offsets[plain.item_of[b]] = offsets[b];
  ++packing.statistics.constructions;
  ++packing.statistics.improvements;
  packing.statistics.winner = "tlsf:events";
}

// Finds any packing that is certainly valid, without looking at the order of the steps. Finds none
// if only gaps or the order can tell whether the fixed items are valid.
void PackWithoutOrder(Task& task, Packing& packing) {
  const Problem& problem = task.problem;
  const bool lives = problem.order.steps == 0 && problem.gaps.empty();
  if (!lives && !FixedAreApart(problem)) return;
  if (ArenaCount(problem) == 1 && problem.adjacent.empty() && problem.order.steps == 0) {
    return StackOntoFixed(problem, packing);
  }
  const RigidGroups groups = MakeRigidGroups(problem, Detail::kRough);
  if (!groups.contradiction.empty() || (lives && FixedContradict(problem, groups, task.budget))) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  Search(task, groups, packing).TryQuickly();
}

// For when time is short.
void SolveRoughly(Task& task, Packing& packing) {
  PackWithoutOrder(task, packing);
  if (packing.outcome != Outcome::kInfeasible) task.budget.Stop();
}

void SolveThoroughly(Task& task, const RigidGroups& groups, Packing& packing) {
  Search search(task, groups, packing);
  const absl::Duration ready = ReadyTime(task.problem);
  // First fit may be cut short, and the groups that it leaves would be stacked on top.
  if (task.budget.has_deadline() || task.budget.Interrupted()) search.TryQuickly();
  const bool packed = !packing.offsets.empty();
  if (packed && (task.budget.Interrupted() || !task.budget.Leaves(2 * ready))) {
    return task.budget.Stop();
  }
  // With many groups, one first fit may be too expensive, so bottom-left placement comes first.
  const bool few = groups.groups.size() <= kFewGroups;
  const bool fast = task.options.effort == Effort::kFast;
  if (!few && !task.budget.Interrupted())
    search.TryBottomLeft(fast ? Effort::kFast : Effort::kBalanced);
  if (search.done() || (task.budget.Interrupted() && !packing.offsets.empty())) return;
  if (!few && !packing.offsets.empty() && StepsOfOneFit(groups) > search.steps_left()) return;
  Orders orders(groups, task.budget);
  // With an order of execution, even one is expensive.
  const bool once = fast && !few && groups.precedence != nullptr;
  const int rounds = once ? 0 : fast ? 4 : 50;
  for (int which = 0; which < (once ? 1 : Orders::kCount) && !search.done(); ++which) {
    if (!packing.offsets.empty() && !task.budget.Leaves(ready)) return task.budget.Stop();
    Order order = orders.Make(which);
    if (!search.Try(order)) return;
    search.Improve(std::move(order), rounds);
    if (task.budget.Interrupted() || search.steps_left() == 0) return;
  }
}

// Solves by lives if the order is total.
void SolveAsIntervals(Task& task, Packing& packing) {
  const Problem intervals = AsIntervals(task.problem);
  Task same{intervals, task.options, task.capacity, task.limit, task.lower_bound, task.budget};
  if (!IsPlain(intervals)) return SolveGeneral(same, packing);
  const bool fast = task.options.effort == Effort::kFast;
  SolvePlain(same, MakePlain(intervals), fast ? Effort::kFast : Effort::kBalanced, packing);
}

}  // namespace

void SolveGeneral(Task& task, Packing& packing) {
  const Problem& problem = task.problem;
  if (!task.budget.Leaves(2 * ReadyTime(problem))) return SolveRoughly(task, packing);
  if (problem.order.steps == 0) {
    const RigidGroups groups = MakeRigidGroups(problem);
    if (!groups.contradiction.empty() || FixedContradict(problem, groups, task.budget)) {
      packing.outcome = Outcome::kInfeasible;
      return;
    }
    return SolveThoroughly(task, groups, packing);
  }
  const uint32_t chains = CountChains(problem.order);
  if (chains == 1) return SolveAsIntervals(task, packing);
  const absl::Duration table = TableTime(problem, chains), ready = ReadyTime(problem);
  // The table is made here and checked later, and a packing must be possible in between.
  if (!task.budget.Leaves(2 * ready + 2 * table)) return SolveRoughly(task, packing);
  if (!Precedence::Suits(problem, chains)) {
    packing.search_limit =
        absl::StrCat("the order of ", problem.order.steps, " steps has ", chains,
                     " concurrent chains, too many to tell which of ", problem.items.size(),
                     " items are ordered; no two items share bytes");
    return PackWithoutOrder(task, packing);
  }
  Budget budget = task.budget.Earlier(table);
  Task earlier{problem, task.options, task.capacity, task.limit, task.lower_bound, budget};
  Budget making = budget.Earlier(ready);
  const RigidGroups groups = MakeRigidGroups(problem, Detail::kFull, &making);
  if (groups.precedence == nullptr) return SolveRoughly(task, packing);
  if (!groups.contradiction.empty() || FixedContradict(problem, groups, budget)) {
    packing.outcome = Outcome::kInfeasible;
    return;
  }
  if (!budget.Interrupted() || FixedAreApart(problem)) SolveThoroughly(earlier, groups, packing);
  if (budget.Interrupted()) task.budget.Stop();
}

}  // namespace tenure::packing
