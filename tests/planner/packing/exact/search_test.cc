#include "tenure/planner/packing/exact/search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "tenure/planner/packing/exact/branching.h"
#include "tenure/planner/packing/exact/core.h"
#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/tree.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/search_rules.h"
#include "tenure/planner/packing/validator.h"
#include "tests/planner/packing/testing.h"

namespace tenure::packing::exact {
namespace {

// The packing of the problem that offsets of the model mean.
Packing ToPacking(const Problem& problem, const Model& model, const std::vector<Units>& offsets) {
  Packing packing;
  packing.outcome = Outcome::kFeasible;
  packing.offsets.resize(problem.items.size());
  for (size_t i = 0; i < problem.items.size(); ++i) {
    packing.offsets[i] = problem.items[i].fixed == kNoOffset ? 0 : problem.items[i].fixed;
  }
  for (size_t i = 0; i < offsets.size(); ++i) {
    packing.offsets[model.problem_item[i]] = static_cast<uint64_t>(offsets[i]) * model.unit;
  }
  UpdateHeights(problem, packing);
  return packing;
}

std::vector<Rules> RulesOneOffEach() {
  std::vector<Rules> all(1);
  Rules none;
  for (const NamedRule& rule : kNamedRules) {
    Rules rules;
    rules.*rule.on = none.*rule.on = false;
    all.push_back(rules);
  }
  all.push_back(none);
  return all;
}

// The least height is found, and one unit less is proven impossible.
void ExpectOptimum(const Problem& problem, const Rules& rules, uint64_t optimum) {
  const std::optional<Model> model = BuildModel(problem, ModelLimits{});
  ASSERT_TRUE(model.has_value());
  MinimizeOptions options;
  options.search.rules = rules;
  const MinimizeResult result = Minimize(*model, options);
  ASSERT_TRUE(result.optimal());
  EXPECT_EQ(static_cast<uint64_t>(result.height) * model->unit, optimum);
  const Packing packing = ToPacking(problem, *model, result.offsets);
  EXPECT_TRUE(Validate(problem, packing).ok()) << Validate(problem, packing);
}

TEST(SearchTest, AgreesWithBruteForce) {
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    Features features;
    features.items = 2 + static_cast<int>(seed % 5);
    features.alignment = seed % 3 == 1;
    features.fixed = seed % 5 == 1;
    features.gaps = seed % 4 == 1;
    const Problem problem = RandomProblem(features, seed);
    const std::optional<uint64_t> optimum = BruteForce(problem, 64);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    if (!optimum.has_value()) {
      const SearchResult result = Search(*model, static_cast<Units>(64 / model->unit), {});
      EXPECT_EQ(result.verdict, Verdict::kInfeasible) << "seed " << seed;
      continue;
    }
    if (model->items() == 0) continue;
    SCOPED_TRACE(seed);
    ExpectOptimum(problem, Rules{}, *optimum);
  }
}

TEST(SearchTest, EveryRuleMayBeOff) {
  const std::vector<Rules> all = RulesOneOffEach();
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Features features;
    features.items = 5;
    features.alignment = seed % 3 == 1;
    features.fixed = seed % 5 == 1;
    features.gaps = seed % 4 == 1;
    const Problem problem = RandomProblem(features, seed + 100000);
    const std::optional<uint64_t> optimum = BruteForce(problem, 64);
    if (!optimum.has_value() || *optimum == 0) continue;
    SCOPED_TRACE(seed);
    for (const Rules& rules : all) ExpectOptimum(problem, rules, *optimum);
  }
}

TEST(SearchTest, EveryStrategyIsComplete) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Features features;
    features.items = 5;
    features.gaps = seed % 4 == 1;
    features.fixed = seed % 3 == 1;
    const Problem problem = RandomProblem(features, seed + 200000);
    const std::optional<uint64_t> optimum = BruteForce(problem, 64);
    if (!optimum.has_value() || *optimum == 0) continue;
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    OrderExperience backwards;
    for (size_t i = 0; i < model->items(); ++i) {
      backwards.lead.push_back(2.0 * static_cast<double>(i));
    }
    for (uint32_t t = 0; t < model->sections; ++t) backwards.weights.push_back(7.0 * (t % 5));
    Experience experience(Orders(), backwards);
    experience[seed % Orders()].furthest = 0.5;
    const auto least = static_cast<Units>(*optimum / model->unit);
    std::set<Aim> aims;
    for (uint64_t run = 0; run < 4 * Orders() + 9; ++run) {
      const Turn turn = TurnOf(run, true);
      aims.insert(turn.aim);
      if (turn.aim == Aim::kBroad && run >= 2 * Orders()) continue;
      const RunPlan plan = PlanRun(turn, experience);
      if (turn.aim != Aim::kBroad) {
        EXPECT_EQ(plan.order, seed % Orders());
      }
      EXPECT_EQ(plan.weights.empty(), turn.aim != Aim::kBestWeighted);
      Tree fits(*model, plan.strategy, Rules{}, least, {}, plan.lead, plan.weights);
      EXPECT_EQ(fits.Run(UINT64_MAX), Verdict::kFound) << seed << " run " << run;
      if (least - 1 < model->bound) continue;  // Search knows; a tree looks at what it places
      Tree less(*model, plan.strategy, Rules{}, least - 1, {}, plan.lead, plan.weights);
      EXPECT_EQ(less.Run(UINT64_MAX), Verdict::kInfeasible) << seed << " run " << run;
    }
    EXPECT_EQ(aims.size(), 3u);
  }
}

// Numbers that take more than 31 bits go another way through the sections.
TEST(SearchTest, LargeNumbersGiveTheSameVerdicts) {
  constexpr int kShift = 33;
  int found = 0, refuted = 0;
  for (uint32_t seed = 0; seed < 120; ++seed) {
    Features features;
    features.items = 6;
    features.gaps = seed % 4 == 1;
    features.alignment = seed % 3 == 1;
    features.fixed = seed % 5 == 1;
    const Problem problem =
        seed < 100 ? RandomProblem(features, seed + 300000) : Tight(seed, 40, 100, 40);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    Model large = *model;
    large.bound <<= kShift;
    for (Units& size : large.size) size <<= kShift;
    for (Units& total : large.total) total <<= kShift;
    for (Units& alignment : large.alignment) alignment <<= kShift;
    for (Units& fixed : large.fixed) fixed = fixed < 0 ? fixed : fixed << kShift;
    const std::optional<uint64_t> optimum =
        seed < 100 ? BruteForce(problem, 64) : std::optional<uint64_t>(100);
    if (!optimum.has_value() || *optimum == 0) continue;
    const auto least = static_cast<Units>(*optimum / model->unit);
    SCOPED_TRACE(seed);
    const SearchResult fits = Search(large, least << kShift, {});
    ASSERT_EQ(fits.verdict, Verdict::kFound);
    std::vector<Units> offsets = fits.offsets;
    for (Units& offset : offsets) offset >>= kShift;
    EXPECT_TRUE(Validate(problem, ToPacking(problem, *model, offsets)).ok());
    ++found;
    if (least == model->bound) continue;
    EXPECT_EQ(Search(large, (least << kShift) - 1, {}).verdict, Verdict::kInfeasible);
    ++refuted;
  }
  EXPECT_GT(found, 60);
  EXPECT_GT(refuted, 5);
}

TEST(SearchTest, FillsRectanglesWithoutAHole) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Problem problem = Tight(seed, 40, 200, 50);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    const SearchResult result = Search(*model, static_cast<Units>(200 / model->unit), {});
    ASSERT_EQ(result.verdict, Verdict::kFound) << "seed " << seed;
    const Packing packing = ToPacking(problem, *model, result.offsets);
    EXPECT_TRUE(Validate(problem, packing).ok());
    EXPECT_EQ(packing.height, 200u);
  }
}

TEST(SearchTest, SameAnswerForAnyNumberOfThreads) {
  for (uint32_t seed = 100; seed < 106; ++seed) {
    const Problem problem = Tight(seed, 60, 300, 90);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    SearchOptions options;
    options.node_limit = 20000;
    const SearchResult one = Search(*model, static_cast<Units>(300 / model->unit), options);
    for (int threads : {2, 4}) {
      options.max_threads = threads;
      const SearchResult more = Search(*model, static_cast<Units>(300 / model->unit), options);
      EXPECT_EQ(more.verdict, one.verdict);
      EXPECT_EQ(more.offsets, one.offsets);
      EXPECT_EQ(more.nodes, one.nodes);
      EXPECT_EQ(more.runs, one.runs);
    }
  }
}

TEST(SearchTest, LearnsTheSameWithAnyNumberOfThreads) {
  int learned = 0;
  for (const Problem& problem : {Tight(2, 180, 900, 120), Tight(2, 120, 3000, 200)}) {
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    Experience experience, more_experience;
    SearchOptions options;
    options.node_limit = 30000;
    options.experience = &experience;
    const SearchResult one = Search(*model, model->bound, options);
    options.experience = &more_experience;
    options.max_threads = 3;
    const SearchResult more = Search(*model, model->bound, options);
    EXPECT_EQ(more.verdict, one.verdict);
    EXPECT_EQ(more.offsets, one.offsets);
    EXPECT_EQ(more.nodes, one.nodes);
    EXPECT_EQ(more_experience, experience);
    if (one.runs <= 4 * Orders() + kLearningLag) continue;
    ++learned;
    EXPECT_TRUE(std::any_of(experience.begin(), experience.end(),
                            [](const OrderExperience& order) { return !order.weights.empty(); }));
    // What was learned is of use: the search goes another way with it than without.
    options.rules.learning = false;
    EXPECT_NE(Search(*model, model->bound, options).backtracks, one.backtracks);
  }
  EXPECT_GT(learned, 0);
}

TEST(SearchTest, NeedsNoMoreThreadsThanThereAre) {
  const Problem problem = Tight(100, 60, 300, 90);
  const std::optional<Model> model = BuildModel(problem, ModelLimits{});
  ASSERT_TRUE(model.has_value());
  SearchOptions options;
  options.max_threads = 1000000;
  EXPECT_EQ(Search(*model, static_cast<Units>(300 / model->unit), options).verdict,
            Verdict::kFound);
}

// Above what is fixed, too, items lie where nothing can be moved down.
TEST(SearchTest, PacksAroundWhatIsFixed) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    Problem problem = Tight(seed, 60, 300, 90);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    const auto capacity = static_cast<Units>(300 / model->unit);
    const SearchResult free = Search(*model, capacity, {});
    ASSERT_EQ(free.verdict, Verdict::kFound);
    for (size_t i = seed % 3; i < model->items(); i += 3) {
      problem.items[model->problem_item[i]].fixed =
          static_cast<uint64_t>(free.offsets[i]) * model->unit;
    }
    const std::optional<Model> around = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(around.has_value());
    SearchOptions options;
    options.node_limit = 50000;
    const SearchResult result = Search(*around, static_cast<Units>(300 / around->unit), options);
    ASSERT_EQ(result.verdict, Verdict::kFound) << seed;
    EXPECT_TRUE(Validate(problem, ToPacking(problem, *around, result.offsets)).ok());
  }
}

TEST(SearchTest, GoesOnWhereItEnded) {
  int later = 0;
  for (uint32_t seed = 100; seed < 110 && later == 0; ++seed) {
    const Problem problem = Tight(seed, 80, 600, 160);
    const std::optional<Model> model = BuildModel(problem, ModelLimits{});
    ASSERT_TRUE(model.has_value());
    SearchOptions options;
    options.node_limit = 20000;
    const SearchResult whole = Search(*model, model->bound, options);
    if (whole.verdict != Verdict::kFound || whole.runs < 2) continue;
    ++later;
    options.first_run = whole.runs - 1;
    const SearchResult last = Search(*model, model->bound, options);
    EXPECT_EQ(last.verdict, Verdict::kFound);
    EXPECT_EQ(last.runs, 1u);
    EXPECT_EQ(last.offsets, whole.offsets);
    EXPECT_LT(last.nodes, whole.nodes);
  }
  EXPECT_GT(later, 0);
}

TEST(SearchTest, StopsAndProvesNothing) {
  const Problem problem = Tight(7, 100, 1000, 300);
  const std::optional<Model> model = BuildModel(problem, ModelLimits{});
  ASSERT_TRUE(model.has_value());
  SearchOptions options;
  const std::atomic<bool> cancel = true;
  options.stop.cancel = &cancel;
  EXPECT_EQ(Search(*model, model->bound, options).verdict, Verdict::kStopped);
  options.stop.cancel = nullptr;
  options.stop.deadline = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  EXPECT_EQ(Search(*model, model->bound, options).verdict, Verdict::kStopped);
  options.stop.deadline.reset();
  options.node_limit = 3;
  const SearchResult limited = Search(*model, model->bound, options);
  EXPECT_EQ(limited.verdict, Verdict::kLimit);
  EXPECT_EQ(Search(*model, model->bound - 1, {}).verdict, Verdict::kInfeasible);
}

TEST(CoreTest, FindsOnlyWhatIsValidAndProvesOnlyWhatIsTrue) {
  int found = 0;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Features features;
    features.items = 5;
    features.alignment = seed % 3 == 1;
    features.fixed = seed % 5 == 1;
    features.gaps = seed % 4 == 1;
    const Problem problem = RandomProblem(features, seed + 300000);
    const std::optional<uint64_t> optimum = BruteForce(problem, 64);
    if (!optimum.has_value() || *optimum == 0) continue;
    for (uint64_t capacity : {*optimum - 1, *optimum, *optimum + 3}) {
      const CoreResult result = PackAroundCore(problem, capacity, {});
      if (result.verdict == Verdict::kFound) {
        Packing packing;
        packing.outcome = Outcome::kFeasible;
        packing.offsets = result.offsets;
        UpdateHeights(problem, packing);
        EXPECT_TRUE(Validate(problem, packing).ok()) << seed << Validate(problem, packing);
        EXPECT_LE(packing.height, capacity) << seed;
        ++found;
      } else {
        EXPECT_EQ(result.verdict, Verdict::kInfeasible);
      }
      EXPECT_EQ(result.verdict == Verdict::kFound, capacity >= *optimum) << seed;
    }
  }
  EXPECT_GT(found, 150);
}

TEST(CoreTest, LeavesTheRestToBestFit) {
  // A tight stretch of time between long slack ones.
  Problem problem = Tight(11, 20, 120, 30);
  for (Item& item : problem.items) {
    item.first += 500;
    item.last += 500;
  }
  std::mt19937 random(5);
  for (int i = 0; i < 400; ++i) {
    const Time first = static_cast<Time>(random() % 490);
    problem.items.push_back({.first = first,
                             .last = first + 1 + static_cast<Time>(random() % 9),
                             .size = 1 + random() % 9});
  }
  const CoreResult result = PackAroundCore(problem, 120, {});
  ASSERT_EQ(result.verdict, Verdict::kFound);
  EXPECT_LT(result.core_items, 100u);
  Packing packing;
  packing.outcome = Outcome::kFeasible;
  packing.offsets = result.offsets;
  UpdateHeights(problem, packing);
  EXPECT_TRUE(Validate(problem, packing).ok());
  EXPECT_EQ(packing.height, 120u);
}

TEST(ModelTest, DividesOutWhatAllSizesShare) {
  Problem problem;
  problem.items = {{.first = 0, .last = 2, .size = 3072, .alignment = 512},
                   {.first = 1, .last = 3, .size = 2048, .alignment = 1024}};
  std::optional<Model> model = BuildModel(problem, ModelLimits{});
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(model->unit, 1024u);
  EXPECT_EQ(model->size, (std::vector<Units>{3, 2}));
  EXPECT_EQ(model->alignment, (std::vector<Units>{1, 1}));
  EXPECT_EQ(model->bound, 5);

  problem.items[1].alignment = 3 * 512;  // divides nothing, and is not divided
  model = BuildModel(problem, ModelLimits{});
  ASSERT_TRUE(model.has_value());
  EXPECT_EQ(model->unit, 512u);
  EXPECT_EQ(model->alignment, (std::vector<Units>{1, 3}));
}

// The whole search is the same, nodes and all, however a problem is written.
TEST(ModelTest, IsTheSameForPermutedMirroredDilatedAndScaledProblems) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const Problem problem = seed % 2 == 0 ? Tight(seed, 40, 200, 50) : [seed] {
      Features features;
      features.items = 20;
      features.alignment = seed % 3 == 1;
      features.gaps = seed % 4 == 1;
      return RandomProblem(features, seed + 700000);
    }();
    Problem other = Scaled(Mirrored(Permuted(problem, seed)), 24);
    auto stretch = [](Time t) { return 3 * t + t * t * t; };
    for (Item& item : other.items) {
      item.first = stretch(item.first);
      item.last = stretch(item.last);
    }
    for (Gap& gap : other.gaps) {
      gap.first = stretch(gap.first);
      gap.last = stretch(gap.last);
    }
    const std::optional<Model> a = BuildModel(problem, ModelLimits{});
    const std::optional<Model> b = BuildModel(other, ModelLimits{});
    ASSERT_TRUE(a.has_value() && b.has_value());
    EXPECT_EQ(a->size, b->size) << seed;
    EXPECT_EQ(a->alignment, b->alignment) << seed;
    EXPECT_EQ(a->total, b->total) << seed;
    EXPECT_EQ(a->spans.values, b->spans.values) << seed;
    EXPECT_EQ(a->members.values, b->members.values) << seed;
    EXPECT_EQ(a->conflicts.values, b->conflicts.values) << seed;
    SearchOptions options;
    options.node_limit = 3000;
    const SearchResult x = Search(*a, a->bound, options);
    const SearchResult y = Search(*b, b->bound, options);
    EXPECT_EQ(x.verdict, y.verdict) << seed;
    EXPECT_EQ(x.nodes, y.nodes) << seed;
    EXPECT_EQ(x.offsets, y.offsets) << seed;
  }
}

TEST(ModelTest, RefusesWhatItCannotSay) {
  Problem problem;
  problem.items = {{.first = 0, .last = 4, .size = 8}, {.first = 0, .last = 4, .size = 8}};
  problem.gaps = {{.item = 0, .first = 1, .last = 2, .window_begin = 0, .window_end = 4}};
  EXPECT_FALSE(BuildModel(problem, ModelLimits{}).has_value());
  problem.gaps.clear();
  problem.adjacent = {{{0, 1}}};
  EXPECT_FALSE(BuildModel(problem, ModelLimits{}).has_value());
  problem.adjacent.clear();
  EXPECT_TRUE(BuildModel(problem, ModelLimits{}).has_value());
  EXPECT_FALSE(BuildModel(problem, ModelLimits{.entries = 1, .interrupted = nullptr}).has_value());
}

}  // namespace
}  // namespace tenure::packing::exact
