// Orders of so many concurrent steps that a table of all steps and chains would need too much
// memory. Small problems are solved and checked without the table, and with it.

#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/packing/precedence.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/validate_order.h"
#include "testing.h"

namespace tenure::packing {
namespace {

// Random steps, edges and uses. Some items have many uses and some have none.
Problem RandomOrder(uint32_t seed) {
  std::mt19937 random(seed);
  Problem problem;
  problem.order.steps = 1 + static_cast<uint32_t>(random() % 40);
  const uint32_t steps = problem.order.steps;
  for (uint32_t s = 1; s < steps; ++s) {
    for (uint64_t k = random() % 3; k > 0; --k) {
      problem.order.edges.push_back({static_cast<uint32_t>(random() % s), s});
    }
  }
  for (uint32_t i = 0; i < 30; ++i) {
    problem.items.push_back({.first = 0, .last = 1, .size = 1 + random() % 4});
    const uint64_t uses = i % 10 == 9 ? random() % 12 : random() % 3;
    for (uint64_t k = 0; k < uses; ++k) {
      problem.order.uses.push_back({i, static_cast<uint32_t>(random() % steps)});
    }
  }
  return problem;
}

TEST(WideOrder, ThePairsAreThoseOfTheTable) {
  int ordered = 0;
  for (uint32_t seed = 0; seed < 500; ++seed) {
    const Problem problem = RandomOrder(seed);
    const Precedence table(problem), wide(problem, nullptr, 0);
    ASSERT_TRUE(table.complete() && wide.complete());
    const std::vector<Life> lives = wide.LivesApart();
    for (uint32_t a = 0; a < problem.items.size(); ++a) {
      for (uint32_t b = 0; b < problem.items.size(); ++b) {
        const bool precedes = table.ItemPrecedes(a, b);
        ASSERT_EQ(wide.ItemPrecedes(a, b), precedes) << "seed " << seed << ": " << a << ", " << b;
        ordered += precedes ? 1 : 0;
        ASSERT_TRUE(precedes || lives[a].last > lives[b].first) << "seed " << seed;
      }
    }
  }
  EXPECT_GT(ordered, 1000);
}

TEST(WideOrder, TheValidatorAgreesWithItsTable) {
  int right = 0, wrong = 0;
  for (uint32_t seed = 0; seed < 4000; ++seed) {
    const Problem problem = RandomOrder(seed);
    std::mt19937 random(seed);
    std::vector<PlacedRectangle> rectangles;
    for (uint32_t i = 0; i < problem.items.size(); ++i) {
      if (random() % 8 != 0) continue;  // a few items, or nothing would be right
      const uint64_t begin = random() % 12;
      rectangles.push_back({begin, begin + problem.items[i].size, 0, 1, i, 0});
    }
    const bool table = ValidateOrder(problem, rectangles).ok();
    ASSERT_EQ(ValidateOrder(problem, rectangles, 0).ok(), table) << "seed " << seed;
    ++(table ? right : wrong);
  }
  EXPECT_GT(right, 400);
  EXPECT_GT(wrong, 400);
}

// One step starts `branches` steps, which are joined by another.
Problem Fork(uint32_t branches) {
  Problem problem;
  problem.items = {{.first = 0, .last = 1, .size = 4},
                   {.first = 0, .last = 1, .size = 3},
                   {.first = 0, .last = 1, .size = 2}};
  PartialOrder& order = problem.order;
  order.steps = branches + 3;
  const uint32_t join = branches + 1, last = branches + 2;
  order.uses = {{0, 0}, {1, join}, {1, last}, {2, last}};
  for (uint32_t b = 1; b <= branches; ++b) {
    order.edges.push_back({0, b});
    order.edges.push_back({b, join});
    order.uses.push_back({0, b});
  }
  order.edges.push_back({join, last});
  return problem;
}

// The table for these would take 40 GB. ThreadSanitizer is a hundred times slower, and sees the same
// code with fewer.
#if defined(__SANITIZE_THREAD__)
constexpr uint32_t kBranches = 9000;
#else
constexpr uint32_t kBranches = 100000;
#endif

TEST(WideOrder, ManyBranches) {
  const auto packing = Solve(Fork(kBranches), {.effort = Effort::kBalanced});
  ASSERT_TRUE(packing.ok()) << packing.status();
  EXPECT_EQ(packing->outcome, Outcome::kOptimal);
  EXPECT_EQ(packing->height, 5u);
}

// Too many items as well: nothing shares bytes, and the answer says so.
TEST(WideOrder, TooManyItemsShareNothing) {
  constexpr uint32_t kCount = 60000;
  Problem problem;
  problem.order.steps = kCount;
  for (uint32_t i = 0; i < kCount; ++i) {
    problem.items.push_back({.first = 0, .last = 1, .size = 1});
    problem.order.uses.push_back({i, i});
    if (i % 2 == 1) problem.order.edges.push_back({i - 1, i});
  }
  const auto packing = Solve(problem, {.effort = Effort::kFast});
  ASSERT_TRUE(packing.ok()) << packing.status();
  EXPECT_EQ(packing->outcome, Outcome::kFeasible);
  EXPECT_EQ(packing->height, kCount);
  EXPECT_FALSE(packing->deadline_hit);
  EXPECT_EQ(packing->search_limit,
            "the order of 60000 steps has 30000 concurrent chains, too many to tell which of 60000 "
            "items are ordered; no two items share bytes");
}

}  // namespace
}  // namespace tenure::packing
