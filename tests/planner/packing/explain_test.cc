#include "tenure/planner/packing/explain.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/packing/io/json.h"
#include "testing.h"

namespace tenure::packing {
namespace {

TEST(Explain, ThePeakIsEnough) {
  Problem problem;
  problem.items = {{.first = 0, .last = 9, .size = 5},
                   {.first = 2, .last = 4, .size = 6},
                   {.first = 3, .last = 5, .size = 1},
                   {.first = 7, .last = 8, .size = 9}};
  const auto why = Explain(problem, {.capacity = 10});
  ASSERT_TRUE(why.ok()) << why.status();
  EXPECT_TRUE(why->irreducible);
  EXPECT_EQ(why->conflict.size(), 2u);
  const std::string text = ExplanationText(problem, *why);
  EXPECT_NE(text.find("more than the capacity 10"), std::string::npos) << text;
  EXPECT_NE(text.find("item 0: 5 bytes, lives [0, 9)"), std::string::npos) << text;
  EXPECT_EQ(FormatExplanationJson(*why).find("{\"capacity\":10,\"conflict\":["), 0u);
}

TEST(Explain, WhatFitsIsNotExplained) {
  Problem problem;
  problem.items = {{.first = 0, .last = 9, .size = 5}};
  EXPECT_EQ(Explain(problem, {.capacity = 5}).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Explain, FixedItemsThatOverlap) {
  Problem problem;
  problem.items.resize(5, {.first = 0, .last = 2, .size = 10});
  problem.items[1].fixed = 20;
  problem.items[4].fixed = 25;
  const auto why = Explain(problem, {.effort = Effort::kFast});
  ASSERT_TRUE(why.ok()) << why.status();
  EXPECT_EQ(why->conflict, (std::vector<uint32_t>{1, 4}));
  EXPECT_TRUE(why->irreducible);
}

// The conflict is infeasible, and without any one of its items it is not: brute force says so.
TEST(Explain, ConflictsAreIrreducible) {
  int explained = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    const Problem problem = RandomProblem({.items = 6, .alignment = seed % 2 == 0}, seed);
    const std::optional<uint64_t> best = BruteForce(problem, 18);
    if (!best.has_value() || *best < 2) continue;
    const uint64_t capacity = *best - 1;
    const auto why = Explain(problem, {.effort = Effort::kOptimal, .capacity = capacity});
    if (!why.ok()) continue;
    ++explained;
    EXPECT_FALSE(BruteForce(Restrict(problem, why->conflict), capacity).has_value());
    if (!why->irreducible) continue;
    for (size_t k = 0; k < why->conflict.size(); ++k) {
      std::vector<uint32_t> rest = why->conflict;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(k));
      EXPECT_TRUE(BruteForce(Restrict(problem, rest), capacity).has_value()) << seed;
    }
  }
  EXPECT_GT(explained, 200);
}

}  // namespace
}  // namespace tenure::packing
