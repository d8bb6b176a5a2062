#include "tenure/planner/packing/exact/branching.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "tenure/planner/packing/exact/model.h"

namespace tenure::packing::exact {
namespace {

constexpr Key kT = Key::kTotal;
constexpr Key kW = Key::kWidth;
constexpr Key kA = Key::kArea;
constexpr Key kS = Key::kSize;

// The strategies are sorted by how much each adds to the ones before it, on perturbed hard
// instances.
constexpr Strategy kStrategies[] = {
    {Choice::kHardest, {kW, kT, kA}}, {Choice::kTight, {kW, kT, kA}},
    {Choice::kHardest, {kT, kA, kW}}, {Choice::kFewest, {kT, kW, kA}},
    {Choice::kFewest, {kT, kA, kW}},  {Choice::kHardest, {kT, kS, kW}},
    {Choice::kFewest, {kW, kT, kA}},  {Choice::kFirst, {kT, kW, kA}},
    {Choice::kTight, {kT, kS, kW}},   {Choice::kTight, {kT, kW, kA}},
};
constexpr uint64_t kOrders = sizeof(kStrategies) / sizeof(kStrategies[0]);
static_assert(kLearningLag <= kOrders, "the order of a broad run has learned from the one before");

// kPlacesAhead is the share of all places by which the item that failed most moves ahead after one
// run. kKeptLead is the share of the earlier lead that is kept. They were found by trial on 480
// perturbed hard instances: used in every other round, they took three fifths of the nodes and left
// two thirds as many instances above a tenth of a second.
constexpr double kPlacesAhead = 0.1;
constexpr double kKeptLead = 0.8;

// The number of runs before the race narrows. Hard instances are solved by so few orders that the
// one which came furthest is probably one of them; but many instances need no more than these runs.
// After them, half of the runs start with the failures of sections, which the hardest instances
// need (all packings of J at its bound were found so). A quarter use the same order without them
// (nearly all packings of D were found so).
constexpr uint64_t kAllBroad = 4 * kOrders;
// The share of the earlier failures of sections that is kept. On J, two percent above its bound,
// 0.95 needed fewer nodes than 0.9 and 0.98, but the differences are no larger than chance.
constexpr double kKeptWeights = 0.95;

// A small random number generator that gives the same numbers on every platform.
uint32_t NextRandom(uint32_t& state) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state;
}

}  // namespace

uint64_t Orders() { return kOrders; }

Turn TurnOf(uint64_t run, bool learning) {
  if (!learning || run < kAllBroad) return {Aim::kBroad, run};
  const uint64_t four = (run - kAllBroad) / 4;
  switch ((run - kAllBroad) % 4) {
    case 0:
      return {Aim::kBest, four};
    case 1:
      return {Aim::kBestWeighted, 2 * four};
    case 2:
      return {Aim::kBroad, kAllBroad + four};
    default:
      return {Aim::kBestWeighted, 2 * four + 1};
  }
}

bool UsesExperience(const Turn& turn) { return turn.aim != Aim::kBroad || turn.round() % 2 == 1; }

RunPlan PlanRun(const Turn& turn, const Experience& experience) {
  RunPlan plan;
  if (turn.aim == Aim::kBroad) {
    plan.order = turn.number % kOrders;
    plan.strategy = kStrategies[plan.order];
    const uint64_t round = turn.round();
    // In rounds whose limit is larger than all before, the plain order runs again and gets further.
    if (round > 0 && (round == 1 || !std::has_single_bit(round))) {
      plan.strategy.seed = static_cast<uint32_t>(turn.number * 2654435761u) | 1;
    }
    if (UsesExperience(turn) && !experience.empty()) plan.lead = experience[plan.order].lead;
    return plan;
  }
  for (uint64_t k = 1; k < experience.size(); ++k) {
    if (experience[k].furthest > experience[plan.order].furthest) plan.order = k;
  }
  plan.strategy = kStrategies[plan.order];
  const uint64_t run =
      2 * turn.number + (turn.aim == Aim::kBestWeighted ? 1 : 0);  // differs for all turns
  plan.strategy.seed = static_cast<uint32_t>(run * 2246822519u + 374761393u) | 1;
  if (turn.aim == Aim::kBestWeighted && !experience.empty())
    plan.weights = experience[plan.order].weights;
  return plan;
}

void Learn(const Turn& turn, const Failures& failures, OrderExperience& experience) {
  if (failures.items.empty()) return;  // the run was cut short
  experience.furthest = std::max(experience.furthest, failures.furthest);
  if (turn.aim == Aim::kBestWeighted) {
    experience.weights.resize(failures.sections.size(), 0);
    for (size_t t = 0; t < failures.sections.size(); ++t) {
      experience.weights[t] = kKeptWeights * experience.weights[t] + failures.sections[t];
    }
  }
  if (turn.aim != Aim::kBroad) return;
  const auto most = std::max_element(failures.items.begin(), failures.items.end());
  const auto n = static_cast<double>(failures.items.size());
  experience.lead.resize(failures.items.size(), 0);
  const double places = *most > 0 ? kPlacesAhead * n / *most : 0;
  for (size_t i = 0; i < experience.lead.size(); ++i) {
    experience.lead[i] = kKeptLead * experience.lead[i] + places * failures.items[i];
  }
}

std::vector<uint32_t> StaticOrder(const Model& model, const Strategy& strategy, const Lead& lead) {
  const size_t n = model.items();
  std::vector<Units> tallest(n, 0);
  for (size_t i = 0; i < n; ++i) {
    for (const uint32_t* t = model.spans.first(i); t != model.spans.last(i); ++t) {
      tallest[i] = std::max(tallest[i], model.total[*t]);
    }
  }
  auto value = [&](uint32_t i, Key key) -> double {
    switch (key) {
      case Key::kTotal:
        return static_cast<double>(tallest[i]);
      case Key::kWidth:
        return static_cast<double>(model.width(i));
      case Key::kArea:
        return static_cast<double>(model.width(i)) * static_cast<double>(model.size[i]);
      case Key::kSize:
        return static_cast<double>(model.size[i]);
    }
    return 0;
  };
  // The last key is the place in the model, which does not depend on how the problem was written.
  using Rank = std::tuple<double, double, double, uint32_t, Units, uint32_t>;
  std::vector<Rank> ranks(n);
  for (uint32_t i = 0; i < n; ++i) {
    ranks[i] = {-value(i, strategy.keys[0]),
                -value(i, strategy.keys[1]),
                -value(i, strategy.keys[2]),
                model.first_section[i],
                -model.size[i],
                i};
  }
  std::sort(ranks.begin(), ranks.end());
  std::vector<uint32_t> order(n);
  for (size_t i = 0; i < n; ++i) order[i] = std::get<5>(ranks[i]);
  if (strategy.seed != 0) {
    uint32_t state = strategy.seed;
    for (size_t i = 0; i + 1 < n; ++i) {
      const size_t reach = std::min<size_t>(n - 1 - i, 6);
      if (NextRandom(state) % 3 == 0) {
        std::swap(order[i], order[i + 1 + NextRandom(state) % reach]);
      }
    }
  }
  if (!lead.empty()) {
    std::vector<std::pair<double, uint32_t>> places(n);
    for (size_t i = 0; i < n; ++i) places[i] = {static_cast<double>(i) - lead[order[i]], order[i]};
    std::stable_sort(places.begin(), places.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (size_t i = 0; i < n; ++i) order[i] = places[i].second;
  }
  return order;
}

}  // namespace tenure::packing::exact
