#include "tenure/planner/packing/explain.h"

#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/packing/io/json.h"
#include "tenure/planner/packing/solver.h"
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

TEST(Explain, AlignedItemsAtThePeakNeedNoSearch) {
  Problem problem;
  for (Time i = 0; i < 60; ++i) {
    problem.items.push_back({.first = i, .last = 40 + i, .size = 100, .alignment = 64});
  }
  problem.items[20].size = 10000;
  // 40 live at once. A deadline in the past ends every search.
  const auto why = Explain(problem, {.deadline = absl::InfinitePast(), .capacity = 11000});
  ASSERT_TRUE(why.ok()) << why.status();
  // 10,000 takes 10,048 below another, the topmost one takes 100: 10,048 + 6 * 128 + 100 = 10,916.
  EXPECT_EQ(why->conflict.size(), 9u);
  EXPECT_TRUE(why->irreducible);
  EXPECT_EQ(Solve(Restrict(problem, why->conflict), {.capacity = 11000})->outcome,
            Outcome::kInfeasible);
  std::vector<uint32_t> rest = why->conflict;
  rest.pop_back();
  EXPECT_TRUE(Solve(Restrict(problem, rest), {.capacity = 11000})->has_offsets());
}

TEST(Explain, ADeadlineLeavesAConflictThatIsTooLarge) {
  // Five bytes below and five above would be enough, but one of the two is fixed in between.
  Problem problem;
  problem.items = {{.first = 0, .last = 3, .size = 5, .fixed = 2},
                   {.first = 0, .last = 2, .size = 5}};
  EXPECT_FALSE(
      Explain(problem, {.deadline = absl::InfinitePast(), .capacity = 10}, /*proven=*/false).ok());
  const auto cut = Explain(problem, {.deadline = absl::InfinitePast(), .capacity = 10}, true);
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->conflict, (std::vector<uint32_t>{0, 1}));
  EXPECT_FALSE(cut->irreducible);
  EXPECT_NE(ExplanationText(problem, *cut).find("perhaps fewer of them suffice"),
            std::string::npos);
}

TEST(Explain, ArenasThatAreTooSmall) {
  Problem problem;
  problem.arenas = {{.limit = 8}, {.limit = 12}};
  problem.items.resize(6, {.first = 0, .last = 2, .size = 2});
  problem.items[3].size = 9;
  problem.items[5].size = 10;
  const auto why = Explain(problem, {.effort = Effort::kOptimal});
  ASSERT_TRUE(why.ok()) << why.status();
  const std::string text = ExplanationText(problem, *why);
  EXPECT_NE(text.find("the limits of the 2 arenas do not hold them"), std::string::npos) << text;
  problem.items[3].size = 13;
  const auto one = Explain(problem, {.effort = Effort::kOptimal});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->conflict, (std::vector<uint32_t>{3}));
  EXPECT_NE(ExplanationText(problem, *one).find("This one cannot be packed at all:\n  item 3"),
            std::string::npos);
}

TEST(Explain, ThePeakAloneAndNames) {
  Problem problem;
  problem.items = {{.first = 0, .last = 9, .size = 5}, {.first = 2, .last = 4, .size = 6}};
  const Explanation peak = ExplainPeak(problem, {.capacity = 20});
  EXPECT_EQ(peak.peak_items, (std::vector<uint32_t>{1, 0}));
  EXPECT_TRUE(peak.conflict.empty());
  const std::string text = ExplanationText(
      problem, peak,
      {.item = [](uint32_t i) { return "tensor" + std::to_string(i); },
       .moments =
           [](Time first, Time last) {
             return "steps " + std::to_string(first) + " to " + std::to_string(last - 1);
           }});
  EXPECT_EQ(text,
            "2 items need at least 11 bytes and were not packed into the capacity 20.\n"
            "Peak of 11 bytes at steps 2 to 3, 2 items live:\n"
            "  tensor1: 6 bytes, lives steps 2 to 3\n"
            "  tensor0: 5 bytes, lives steps 0 to 8\n");
}

// The conflict is infeasible, and without any one of its items it is not: brute force says so.
TEST(Explain, ConflictsAreIrreducible) {
  int explained = 0, irreducible = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    const Features features[] = {{.items = 6},
                                 {.items = 6, .alignment = true},
                                 {.items = 6, .fixed = true},
                                 {.items = 6, .gaps = true, .windows = true}};
    const Problem problem = RandomProblem(features[seed % 4], seed);
    const std::optional<uint64_t> best = BruteForce(problem, 18);
    if (!best.has_value() || *best < 2) continue;
    const uint64_t capacity = *best - 1;
    const auto why = Explain(problem, {.effort = Effort::kOptimal, .capacity = capacity});
    if (!why.ok()) continue;
    ++explained;
    EXPECT_FALSE(BruteForce(Restrict(problem, why->conflict), capacity).has_value());
    if (!why->irreducible) continue;
    ++irreducible;
    for (size_t k = 0; k < why->conflict.size(); ++k) {
      std::vector<uint32_t> rest = why->conflict;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(k));
      EXPECT_TRUE(BruteForce(Restrict(problem, rest), capacity).has_value()) << seed;
    }
  }
  EXPECT_GT(explained, 250);
  EXPECT_GT(irreducible, explained * 9 / 10);
}

}  // namespace
}  // namespace tenure::packing
