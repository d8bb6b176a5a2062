#include "tenure/planner/packing/solver.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/precedence.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/validator.h"
#include "testing.h"

namespace tenure::packing {
namespace {

Packing MustSolve(const Problem& problem, const SolveOptions& options) {
  absl::StatusOr<Packing> packing = Solve(problem, options);
  EXPECT_TRUE(packing.ok()) << packing.status();
  return packing.ok() ? *packing : Packing();
}

struct NamedFeatures {
  const char* name;
  Features features;
  int problems;
};

std::vector<uint32_t> Arenas(const Packing& packing) {
  return packing.arena_of.empty() ? std::vector<uint32_t>(packing.offsets.size())
                                  : packing.arena_of;
}

class Agreement : public testing::TestWithParam<NamedFeatures> {};

// Exact search takes everything but these.
bool ExactTakes(const Problem& problem) {
  for (const Gap& gap : problem.gaps) {
    if (gap.window_begin != gap.window_end) return false;
  }
  return problem.arenas.size() < 2 && problem.adjacent.empty() && problem.order.steps == 0;
}

// Every answer is checked against every packing there is.
TEST_P(Agreement, WithBruteForce) {
  constexpr uint64_t kMost = 18;
  int lowest = 0, solved = 0;
  for (int k = 0; k < GetParam().problems; ++k) {
    const Problem problem = RandomProblem(GetParam().features, static_cast<uint32_t>(k));
    ASSERT_TRUE(CheckProblem(problem).ok()) << CheckProblem(problem);
    const std::optional<uint64_t> best = BruteForce(problem, kMost);
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      const Packing packing = MustSolve(problem, {.effort = effort});
      SCOPED_TRACE(testing::Message() << "problem " << k << " effort " << EffortName(effort));
      EXPECT_FALSE(packing.outcome == Outcome::kInfeasible && best.has_value());
      if (effort == Effort::kOptimal && ExactTakes(problem)) {
        EXPECT_TRUE(!best.has_value() || packing.outcome == Outcome::kOptimal);
        if (packing.outcome == Outcome::kNone) ADD_FAILURE() << "neither packed nor refuted";
      }
      if (!best.has_value()) continue;
      EXPECT_LE(packing.lower_bound, *best);
      if (!packing.has_offsets()) continue;
      EXPECT_TRUE(Validate(problem, packing).ok());
      EXPECT_GE(packing.height, *best);
      ++solved;
      if (packing.height == *best) ++lowest;
      EXPECT_TRUE(packing.outcome != Outcome::kOptimal || packing.height == *best);
      EXPECT_TRUE(IsValid(problem, packing.offsets, Arenas(packing)));
    }
    // With a capacity, what fits is never refuted and what does not is never packed.
    for (Effort effort : {Effort::kFast, Effort::kOptimal}) {
      Problem limited = problem;
      limited.capacity = best.value_or(kMost);
      const Packing enough = MustSolve(limited, {.effort = effort});
      EXPECT_FALSE(enough.outcome == Outcome::kInfeasible && best.has_value()) << k;
      EXPECT_FALSE(enough.has_offsets() && !best.has_value()) << k;
      if (limited.capacity == 0) continue;
      EXPECT_FALSE(
          MustSolve(problem, {.effort = effort, .capacity = limited.capacity - 1}).has_offsets())
          << k;
    }
    if (!best.has_value() || *best == 0 || !ExactTakes(problem)) continue;
    // Just enough, and one byte too little.
    EXPECT_TRUE(MustSolve(problem, {.effort = Effort::kOptimal, .capacity = *best}).has_offsets());
    EXPECT_EQ(MustSolve(problem, {.effort = Effort::kOptimal, .capacity = *best - 1}).outcome,
              Outcome::kInfeasible)
        << k;
  }
  // Heuristics are good on small problems; a drop here is a loss of quality.
  EXPECT_GT(lowest, solved * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(
    Features, Agreement,
    testing::Values(NamedFeatures{"Plain", {.items = 7}, 600},
                    NamedFeatures{"Alignment", {.items = 6, .alignment = true}, 300},
                    NamedFeatures{"Fixed", {.items = 6, .alignment = true, .fixed = true}, 300},
                    NamedFeatures{"Gaps", {.items = 6, .gaps = true}, 300},
                    NamedFeatures{"Windows", {.items = 5, .gaps = true, .windows = true}, 300},
                    NamedFeatures{"Arenas", {.items = 5, .largest_size = 3, .arenas = true}, 300},
                    NamedFeatures{"Adjacency", {.items = 6, .adjacency = true}, 300},
                    NamedFeatures{"Order", {.items = 6, .order = true}, 300},
                    NamedFeatures{"Everything",
                                  {.items = 5,
                                   .largest_size = 3,
                                   .alignment = true,
                                   .fixed = true,
                                   .gaps = true,
                                   .windows = true,
                                   .arenas = true,
                                   .adjacency = true},
                                  150},
                    NamedFeatures{"OrderAndMore",
                                  {.items = 5,
                                   .largest_size = 3,
                                   .alignment = true,
                                   .fixed = true,
                                   .arenas = true,
                                   .adjacency = true,
                                   .order = true},
                                  150}),
    [](const auto& named) { return std::string(named.param.name); });

// How a problem is written down does not matter: neither the order of its items, nor the direction
// of time, nor the unit of bytes.
TEST_P(Agreement, UnderPermutationMirrorAndScale) {
  for (int k = 0; k < GetParam().problems / 3; ++k) {
    const Problem problem = RandomProblem(GetParam().features, static_cast<uint32_t>(1000 + k));
    const Packing optimal = MustSolve(problem, {.effort = Effort::kOptimal});
    const Problem others[] = {Permuted(problem, static_cast<uint32_t>(k)), Mirrored(problem),
                              Scaled(problem, 3), Scaled(problem, uint64_t{1} << 40)};
    const uint64_t factors[] = {1, 1, 3, uint64_t{1} << 40};
    for (size_t o = 0; o < 4; ++o) {
      SCOPED_TRACE(testing::Message() << "problem " << k << ", way " << o);
      ASSERT_TRUE(CheckProblem(others[o]).ok()) << CheckProblem(others[o]);
      const Packing packing = MustSolve(others[o], {.effort = Effort::kOptimal});
      // Heuristics may differ in what they find, never in what they prove.
      if (packing.has_offsets() && optimal.has_offsets()) {
        EXPECT_GE(packing.height, optimal.lower_bound * factors[o]);
        EXPECT_GE(optimal.height * factors[o], packing.lower_bound);
      }
      EXPECT_FALSE(packing.has_offsets() && optimal.outcome == Outcome::kInfeasible);
      EXPECT_FALSE(packing.outcome == Outcome::kInfeasible && optimal.has_offsets());
      if (!ExactTakes(problem)) continue;
      EXPECT_EQ(packing.outcome, optimal.outcome);
      EXPECT_EQ(packing.height, optimal.height * factors[o]);
    }
  }
}

// Hints may move items, and must not break, raise or lose anything.
TEST_P(Agreement, HintsKeepEveryRule) {
  for (int k = 0; k < GetParam().problems / 3; ++k) {
    Problem problem = RandomProblem(GetParam().features, static_cast<uint32_t>(2000 + k));
    const Packing before = MustSolve(problem, {.effort = Effort::kFast});
    std::mt19937 random(static_cast<uint32_t>(k));
    for (size_t i = 0; i < problem.items.size(); ++i) {
      const bool kept = before.has_offsets() && random() % 3 != 0;
      problem.items[i].hint = kept ? before.offsets[i] : random() % 12;
    }
    for (HintPolicy policy : {HintPolicy::kIgnore, HintPolicy::kPrefer, HintPolicy::kKeep}) {
      const Packing packing = MustSolve(problem, {.effort = Effort::kFast, .hints = policy});
      ASSERT_EQ(packing.has_offsets(), before.has_offsets()) << k;
      if (!packing.has_offsets()) continue;
      EXPECT_TRUE(IsValid(problem, packing.offsets, Arenas(packing))) << k;
      if (policy != HintPolicy::kKeep) {
        EXPECT_LE(packing.height, before.height) << k;
      }
    }
    // A hint does not say in which arena.
    if (!before.has_offsets() || ArenaCount(problem) > 1) continue;
    for (size_t i = 0; i < problem.items.size(); ++i) problem.items[i].hint = before.offsets[i];
    const Packing same = MustSolve(problem, {.effort = Effort::kFast, .hints = HintPolicy::kKeep});
    EXPECT_LE(same.height, before.height) << k;
  }
}

Problem Random(int n, uint32_t seed) {
  std::mt19937 g(seed);
  Problem problem;
  for (int i = 0; i < n; ++i) {
    const Time first = g() % static_cast<uint32_t>(n);
    problem.items.push_back(
        {.first = first, .last = first + 1 + static_cast<Time>(g() % 50), .size = 1 + g() % 1000});
  }
  return problem;
}

// An item that a gap frees throughout has no place in the search, and still is where it is fixed.
TEST(Solver, AFixedItemThatNeverHoldsAByteStaysInItsPlace) {
  int searched = 0;
  for (uint32_t seed = 0; seed < 8; ++seed) {
    Problem problem = Tight(seed, 60, 500, 80);
    problem.gaps = {{.item = 80, .first = 1, .last = 3}};
    problem.items.push_back({.first = 1, .last = 3, .size = 3, .fixed = 2});
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      const Packing packing = MustSolve(problem, {.effort = effort, .max_nodes = 20000});
      ASSERT_TRUE(packing.has_offsets());
      EXPECT_EQ(packing.offsets[80], 2u);
      searched += packing.statistics.winner == "exact" ? 1 : 0;
    }
  }
  EXPECT_GT(searched, 0);
}

TEST(Solver, EmptyProblemsAndEmptyItems) {
  Problem problem;
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    EXPECT_EQ(MustSolve(problem, {.effort = effort}).outcome, Outcome::kOptimal);
  }
  problem.items.push_back({.first = 0, .last = 1, .size = 0, .alignment = 64});
  const Packing packing = MustSolve(problem, {});
  EXPECT_EQ(packing.outcome, Outcome::kOptimal);
  EXPECT_EQ(packing.height, 0u);
  problem.items.push_back({.first = 0, .last = 1, .size = 5, .fixed = 3});
  EXPECT_EQ(MustSolve(problem, {}).height, 8u);
}

TEST(Solver, RefusesNonsense) {
  Problem problem;
  problem.items.push_back({.first = 3, .last = 3, .size = 1});
  EXPECT_EQ(Solve(problem).status().code(), absl::StatusCode::kInvalidArgument);
  problem.items[0] = {.first = 3, .last = 4, .size = ~uint64_t{0}};
  EXPECT_EQ(Solve(problem).status().code(), absl::StatusCode::kInvalidArgument);
  problem.items[0].size = 1;
  EXPECT_EQ(Solve(problem, {.max_threads = 0}).status().code(), absl::StatusCode::kInvalidArgument);
  problem.items[0] = {.first = INT64_MIN, .last = INT64_MAX, .size = 7};
  EXPECT_EQ(MustSolve(problem, {}).height, 7u);
}

TEST(Solver, SaysInfeasibleOnlyWithProof) {
  Problem problem;
  problem.items = {{.first = 0, .last = 2, .size = 6}, {.first = 1, .last = 3, .size = 6}};
  EXPECT_EQ(MustSolve(problem, {.capacity = 11}).outcome, Outcome::kInfeasible);
  EXPECT_TRUE(MustSolve(problem, {.capacity = 12}).has_offsets());
  problem.capacity = 11;
  EXPECT_EQ(MustSolve(problem, {}).outcome, Outcome::kInfeasible);
  problem.capacity = kUnlimited;
  problem.items[0].fixed = 0;
  problem.items[1].fixed = 5;
  EXPECT_EQ(MustSolve(problem, {}).outcome, Outcome::kInfeasible);
  problem.items[1].fixed = kNoOffset;
  problem.arenas = {{.limit = 5}, {.limit = 100}};
  problem.bindings = {{1, 0}};
  EXPECT_EQ(MustSolve(problem, {}).outcome, Outcome::kInfeasible);
}

TEST(Solver, ArenasThatShareNothingArePackedApart) {
  Problem problem;
  problem.arenas = {{.limit = 10}, {}};
  problem.items.resize(4, {.first = 0, .last = 2, .size = 5});
  problem.bindings = {{0, 0}, {1, 1}, {2, 0}, {3, 1}};
  const Packing packing = MustSolve(problem, {.effort = Effort::kFast});
  EXPECT_EQ(packing.outcome, Outcome::kOptimal);
  EXPECT_EQ(packing.heights, (std::vector<uint64_t>{10, 10}));
  EXPECT_EQ(MustSolve(problem, {.capacity = 19}).outcome, Outcome::kInfeasible);
}

// A hard problem that exact search packs to its bound at once, and first fit does not.
Problem Hard() {
  for (uint32_t seed = 0;; ++seed) {
    Features features;
    features.items = 60;
    features.largest_size = 50;
    features.moments = 30;
    const Problem problem = RandomProblem(features, seed);
    const Packing fast = *Solve(problem, {.effort = Effort::kFast});
    const Packing best = *Solve(problem, {.effort = Effort::kOptimal, .max_nodes = 5000});
    if (fast.height > best.height && best.outcome == Outcome::kOptimal) return problem;
  }
}

TEST(Solver, WhatSaysNothingIsNoHindrance) {
  const Problem plain = Hard();
  const SolveOptions options{.effort = Effort::kOptimal, .max_nodes = 5000};
  const uint64_t least = Solve(plain, options)->height;
  std::vector<Problem> same(5, plain);
  for (uint32_t i = 0; i < plain.items.size(); ++i) same[0].bindings.push_back({i, 0});
  same[1].adjacent = {{{3}}, {}};
  same[2].gaps = {{4, plain.items[4].first, plain.items[4].last, 0, plain.items[4].size}};
  same[3].arenas = {{.limit = 8 * least}};
  same[4].arenas = {{.limit = least}};
  for (size_t k = 0; k < same.size(); ++k) {
    const Packing packing = *Solve(same[k], options);
    EXPECT_EQ(packing.outcome, Outcome::kOptimal) << k;
    EXPECT_EQ(packing.height, least) << k;
  }
  same[4].arenas = {{.limit = least - 1}};
  EXPECT_EQ(Solve(same[4], options)->outcome, Outcome::kInfeasible);
}

TEST(Solver, ArenasThatShareNothingShareTheCapacity) {
  const Problem hard = Hard();
  const uint64_t least = Solve(hard, {.effort = Effort::kOptimal, .max_nodes = 5000})->height;
  Problem two = hard;
  two.items.insert(two.items.end(), hard.items.begin(), hard.items.end());
  two.arenas = {{.limit = 4 * least}, {.limit = 4 * least}};
  const auto items = static_cast<uint32_t>(hard.items.size());
  for (uint32_t i = 0; i < 2 * items; ++i) two.bindings.push_back({i, i / items});
  SolveOptions options{.effort = Effort::kOptimal, .capacity = 2 * least, .max_nodes = 5000};
  const Packing packing = *Solve(two, options);
  EXPECT_EQ(packing.outcome, Outcome::kOptimal);
  EXPECT_EQ(packing.height, 2 * least);
  options.capacity = 2 * least - 1;
  EXPECT_EQ(Solve(two, options)->outcome, Outcome::kInfeasible);
}

// 2^61 is where exact search stops counting, and no height at all.
TEST(Solver, SaysNothingFalseOfHugeProblems) {
  constexpr uint64_t kHuge = (uint64_t{1} << 61) + 1;
  Problem problem;
  problem.items = {{.first = 0, .last = 9, .size = kHuge, .fixed = 0},
                   {.first = 0, .last = 4, .size = 100},
                   {.first = 2, .last = 9, .size = 200},
                   {.first = 5, .last = 9, .size = 100}};
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    const Packing packing = *Solve(problem, {.effort = effort, .capacity = kHuge + 300});
    EXPECT_NE(packing.outcome, Outcome::kInfeasible);
    EXPECT_TRUE(packing.has_offsets());
    EXPECT_EQ(Solve(problem, {.effort = effort, .capacity = kHuge + 299})->outcome,
              Outcome::kInfeasible);
  }
}

TEST(Solver, SameAnswerForTheSameQuestion) {
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    const Problem problem = Random(100, 7);
    const Packing a = MustSolve(problem, {.effort = effort, .max_nodes = 3000});
    const Packing b = MustSolve(problem, {.effort = effort, .max_threads = 2, .max_nodes = 3000});
    EXPECT_EQ(a.offsets, b.offsets);
  }
}

TEST(Solver, LowerEffortIsNeverBetter) {
  for (uint32_t seed = 0; seed < 5; ++seed) {
    const Problem problem = Random(200, seed);
    EXPECT_LE(MustSolve(problem, {.effort = Effort::kBalanced}).height,
              MustSolve(problem, {.effort = Effort::kFast}).height);
  }
}

TEST(Solver, ADeadlineInThePastStillGivesAPacking) {
  const Problem problem = Random(3000, 1);
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    const Packing packing =
        MustSolve(problem, {.effort = effort, .deadline = absl::InfinitePast()});
    EXPECT_TRUE(packing.deadline_hit);
    EXPECT_TRUE(packing.has_offsets());
  }
  const std::atomic<bool> cancel = true;
  const Packing packing = MustSolve(problem, {.cancel = &cancel});
  EXPECT_TRUE(packing.deadline_hit);
  EXPECT_TRUE(packing.has_offsets());
}

// What is fixed is packed as it is, the rest above it; what overlaps is said to.
TEST(Solver, ADeadlineInThePastKeepsWhatIsFixed) {
  int packed = 0, refuted = 0;
  for (uint32_t seed = 0; seed < 600; ++seed) {
    Features features{.items = 5, .fixed = true};
    features.alignment = seed % 2 == 0;
    features.gaps = features.windows = seed % 3 == 0;
    const Problem problem = RandomProblem(features, seed);
    const absl::StatusOr<Packing> packing = Solve(problem, {.deadline = absl::InfinitePast()});
    ASSERT_TRUE(packing.ok()) << seed << ": " << packing.status();  // it is validated
    packed += packing->has_offsets() ? 1 : 0;
    if (packing->outcome != Outcome::kInfeasible) continue;
    EXPECT_FALSE(BruteForce(problem, 64).has_value()) << seed;
    ++refuted;
  }
  EXPECT_GT(packed, 300);
  EXPECT_GT(refuted, 5);
}

TEST(Solver, AlignmentCountsAtTheGrain) {
  Problem problem;
  problem.items.resize(3, {.first = 0, .last = 1, .size = 10, .alignment = 64});
  const Packing packing = MustSolve(problem, {});
  EXPECT_EQ(packing.height, 138u);
  EXPECT_EQ(packing.outcome, Outcome::kOptimal);
}

TEST(Hints, AreUsedWhereTheyCostNothing) {
  Problem problem;
  problem.items = {{.first = 0, .last = 2, .size = 10},
                   {.first = 0, .last = 2, .size = 4, .hint = 2},
                   {.first = 3, .last = 4, .size = 4, .hint = 7},
                   {.first = 3, .last = 4, .size = 4, .hint = 100}};
  const Packing packing = MustSolve(problem, {});
  EXPECT_EQ(packing.height, 14u);
  EXPECT_EQ(packing.offsets[2], 7u);
  EXPECT_NE(packing.offsets[3], 100u);
}

TEST(Hints, APackingIsKeptWhenItIsPackedAgain) {
  Problem problem = Random(200, 3);
  const Packing before = MustSolve(problem, {.effort = Effort::kFast});
  for (size_t i = 0; i < problem.items.size(); ++i) problem.items[i].hint = before.offsets[i];
  const Packing same = MustSolve(problem, {.effort = Effort::kFast, .hints = HintPolicy::kKeep});
  EXPECT_EQ(same.offsets, before.offsets);
  // One item grows: the rest need not move.
  problem.items[17].size += 100;
  const Packing after = MustSolve(problem, {.effort = Effort::kFast, .hints = HintPolicy::kKeep});
  size_t kept = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) kept += after.offsets[i] == before.offsets[i];
  EXPECT_GT(kept, problem.items.size() * 9 / 10);
  // A capacity goes before hints.
  for (Item& item : problem.items) item.hint += before.height;
  const Packing low = MustSolve(
      problem,
      {.effort = Effort::kFast, .capacity = before.height * 2, .hints = HintPolicy::kKeep});
  EXPECT_TRUE(low.has_offsets());
}

// What may share bytes by its life alone may do so by the order of execution.
TEST(Order, LivesThatAreApartAreInOrder) {
  int apart = 0;
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Features features;
    features.items = 12;
    features.order = true;
    const Problem problem = RandomProblem(features, seed + 600000);
    const Precedence precedence(problem);
    const std::vector<Life> lives = precedence.LivesApart();
    for (uint32_t a = 0; a < lives.size(); ++a) {
      EXPECT_LT(lives[a].first, lives[a].last);
      for (uint32_t b = 0; b < lives.size(); ++b) {
        if (a == b || lives[a].last > lives[b].first) continue;
        EXPECT_TRUE(precedence.ItemPrecedes(a, b)) << seed << ": " << a << " and " << b;
        ++apart;
      }
    }
  }
  EXPECT_GT(apart, 100);
}

}  // namespace
}  // namespace tenure::packing
