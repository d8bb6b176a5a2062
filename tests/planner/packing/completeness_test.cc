// The solver finds what it is said to find: within a capacity, before a deadline, at a hint.

#include <atomic>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/planner/packing/solver.h"
#include "testing.h"

namespace tenure::packing {
namespace {

TEST(Completeness, BoundArenasFitIntoTheLeastCapacity) {
  int above_their_bounds = 0;
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    Problem problem = RandomProblem({.items = 7, .alignment = true}, seed);
    problem.arenas.resize(2);
    problem.bindings.clear();
    for (uint32_t i = 0; i < problem.items.size(); ++i) problem.bindings.push_back({i, i % 2});
    const std::optional<uint64_t> least = BruteForce(problem, 24);
    ASSERT_TRUE(least.has_value());
    SolveOptions options{.effort = Effort::kOptimal, .capacity = *least};
    const absl::StatusOr<Packing> fits = Solve(problem, options);
    ASSERT_TRUE(fits.ok()) << fits.status();
    EXPECT_TRUE(fits->has_offsets()) << "seed " << seed << ", capacity " << *least;
    if (*least == 0) continue;
    options.capacity = *least - 1;
    const absl::StatusOr<Packing> none = Solve(problem, options);
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_EQ(none->outcome, Outcome::kInfeasible) << "seed " << seed;
    above_their_bounds += fits->lower_bound < *least ? 1 : 0;
  }
  EXPECT_GT(above_their_bounds, 0);
}

// With both efforts the solver is stopped at the same look, which stands for the deadline.
TEST(Completeness, OptimalWithADeadlineIsNoWorseThanBalanced) {
  for (uint32_t seed : {1, 3}) {
    const Problem problem = Tight(seed, 1500, 1 << 20, 2500);
    const absl::Time deadline = absl::Now() + absl::Hours(1);
    std::atomic<int> looks = 0;
    const absl::StatusOr<Packing> balanced =
        Solve(problem, {.effort = Effort::kBalanced, .deadline = deadline, .stop = [&] {
                          ++looks;
                          return false;
                        }});
    ASSERT_TRUE(balanced.ok()) << balanced.status();
    std::atomic<int> left = looks.load();
    const absl::StatusOr<Packing> optimal = Solve(
        problem,
        {.effort = Effort::kOptimal, .deadline = deadline, .stop = [&] { return --left < 0; }});
    ASSERT_TRUE(optimal.ok()) << optimal.status();
    EXPECT_LE(optimal->height, balanced->height) << "seed " << seed;
  }
}

TEST(Completeness, NoItemCouldMoveToItsHintForFree) {
  // These seeds are chosen: other random problems hardly ever need a third pass.
  for (uint32_t seed : {3305, 16207, 17987, 19160, 33742, 44336, 53185, 56156}) {
    Problem problem = RandomProblem({.items = 7, .alignment = seed % 2 == 0}, seed);
    std::mt19937 random(seed);
    for (Item& item : problem.items) {
      if (random() % 3 != 0) item.hint = random() % 10 / item.alignment * item.alignment;
    }
    const absl::StatusOr<Packing> packing = Solve(problem, {.effort = Effort::kFast});
    ASSERT_TRUE(packing.ok()) << packing.status();
    ASSERT_TRUE(packing->has_offsets());
    for (size_t i = 0; i < problem.items.size(); ++i) {
      const Item& item = problem.items[i];
      if (item.hint == kNoOffset || packing->offsets[i] == item.hint) continue;
      if (item.hint + item.size > packing->height) continue;
      std::vector<uint64_t> moved = packing->offsets;
      moved[i] = item.hint;
      EXPECT_FALSE(IsValid(problem, moved, std::vector<uint32_t>(moved.size(), 0)))
          << "seed " << seed << ", item " << i;
    }
  }
}

// Nine thousand items that live at once are more pairs than the model of exact search may have.
TEST(Completeness, AnEffortThatGivesUpSaysWhy) {
  Problem problem;
  problem.items = {{.first = 0, .last = 2, .size = 64000, .alignment = 1 << 20},
                   {.first = 0, .last = 2, .size = 64000, .alignment = 1 << 20}};
  for (int i = 0; i < 9000; ++i) problem.items.push_back({.first = 10, .last = 11, .size = 1});
  const auto given_up = Solve(problem, {.effort = Effort::kOptimal});
  ASSERT_TRUE(given_up.ok()) << given_up.status();
  ASSERT_EQ(given_up->outcome, Outcome::kFeasible);
  EXPECT_FALSE(given_up->deadline_hit);
  EXPECT_EQ(
      given_up->search_limit,
      "exact search takes at most 40000000 pairs of items that live at once; this problem has "
      "more");
  // A packing within the capacity is all that was asked for.
  const auto fits = Solve(problem, {.effort = Effort::kOptimal, .capacity = (1 << 20) + 64000});
  ASSERT_TRUE(fits.ok()) << fits.status();
  EXPECT_TRUE(fits->has_offsets());
  EXPECT_EQ(fits->search_limit, "");

  problem.items.resize(2);
  problem.items.push_back({.first = 10, .last = 12, .size = 4});
  const auto proven = Solve(problem, {.effort = Effort::kOptimal});
  ASSERT_TRUE(proven.ok()) << proven.status();
  EXPECT_EQ(proven->outcome, Outcome::kOptimal);
  EXPECT_EQ(proven->search_limit, "");
  const auto nodes = Solve(Tight(1, 300, 4000, 300), {.effort = Effort::kOptimal, .max_nodes = 1});
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  ASSERT_EQ(nodes->outcome, Outcome::kFeasible);
  EXPECT_EQ(nodes->search_limit, "max_nodes, 1, ended the exact search");

  // Perfect packings in two arenas, which constructions and repair do not find.
  problem = Tight(1, 300, 4000, 300);
  problem.arenas.resize(2);
  problem.capacity = 4000;
  const auto arenas = Solve(problem, {.effort = Effort::kOptimal});
  ASSERT_TRUE(arenas.ok()) << arenas.status();
  ASSERT_EQ(arenas->outcome, Outcome::kNone);
  EXPECT_EQ(arenas->search_limit, "exact search does not support a choice of arenas");
}

}  // namespace
}  // namespace tenure::packing
