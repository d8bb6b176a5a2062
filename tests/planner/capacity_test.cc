// What PlanOptions::capacity_bytes means for several queues and allocators of one memory space.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/shortage.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tests/planner/packing/testing.h"

namespace tenure {
namespace {

using packing::Effort;
using packing::Problem;

// Adds steps in which a storage lives as each item of the problem does. Times begin at 0.
void AddItems(Sketch& sketch, const Problem& problem, const std::string& prefix, uint32_t queue) {
  packing::Time end = 0;
  for (uint32_t i = 0; i < problem.items.size(); ++i) {
    const packing::Item& item = problem.items[i];
    sketch.Add(absl::StrCat(prefix, i), item.size, {.alignment_bytes = item.alignment});
    end = std::max(end, item.last);
  }
  for (packing::Time t = 0; t < end; ++t) {
    std::vector<std::string> reads, writes;
    for (uint32_t i = 0; i < problem.items.size(); ++i) {
      const packing::Item& item = problem.items[i];
      if (item.first == t) writes.push_back(absl::StrCat(prefix, i));
      if (item.first < t && item.last == t + 1) reads.push_back(absl::StrCat(prefix, i));
    }
    sketch.Step(absl::StrCat(prefix, "step", t), reads, writes, {.queue = queue});
  }
}

// A puzzle that effort balanced does not solve, though effort optimal does.
Problem HardPuzzle(uint64_t height) {
  for (uint32_t seed = 0; seed < 1000; ++seed) {
    Problem problem = packing::Tight(seed, 50, height, 150);
    const auto balanced = packing::Solve(problem, {.effort = Effort::kBalanced});
    if (balanced.ok() && balanced->height > height) return problem;
  }
  ADD_FAILURE() << "balanced solves every puzzle now: make harder ones";
  return {};
}

TEST(CapacityTest, BytesThatAnotherQueueWastesAreNoProof) {
  constexpr uint64_t kPuzzle = 450, kPadding = 4096;
  // These need 4096 + 64 bytes. Their sizes are a bound of 128, and search proves the rest.
  Problem padded;
  padded.items = {{.first = 0, .last = 2, .size = 64, .alignment = kPadding},
                  {.first = 0, .last = 2, .size = 64, .alignment = kPadding},
                  {.first = 3, .last = 4, .size = 64, .alignment = 64}};
  Sketch sketch;
  AddItems(sketch, HardPuzzle(kPuzzle), "puzzle", 0);
  AddItems(sketch, padded, "padded", 1);
  sketch.Release();
  PlanOptions options{.alignment_bytes = 1, .effort = Effort::kBalanced};
  options.capacity_bytes = kPuzzle + kPadding + 64;
  Shortage shortage;
  const absl::StatusOr<Plan> balanced = MakePlan(sketch.schedule, options, &shortage);
  EXPECT_CODE(DeadlineExceeded, balanced);
  EXPECT_TRUE(shortage.happened());
  EXPECT_FALSE(shortage.proven);
  options.effort = Effort::kOptimal;
  const absl::StatusOr<Plan> optimal = MakePlan(sketch.schedule, options);
  ASSERT_OK(optimal);
  EXPECT_EQ(optimal->arena_bytes, options.capacity_bytes);
  // One byte less is a proof, whatever the first queue gets.
  --options.capacity_bytes;
  EXPECT_CODE(ResourceExhausted, MakePlan(sketch.schedule, options, &shortage));
  EXPECT_TRUE(shortage.proven);
  EXPECT_GT(shortage.lower_bound_bytes, shortage.capacity_bytes);
}

TEST(CapacityTest, IsOfTheSpaceAndNotOfAnAllocator) {
  NullAllocator other;
  Sketch sketch;
  sketch.Add("a", 128);
  sketch.Add("b", 128, {}, &other);
  sketch.Step("both", {}, {"a", "b"});
  sketch.Release();
  PlanOptions options{.capacity_bytes = 256};
  EXPECT_OK(MakePlan(sketch.schedule, options));
  options.capacity_bytes = 255;
  Shortage shortage;
  EXPECT_CODE(ResourceExhausted, MakePlan(sketch.schedule, options, &shortage));
  EXPECT_TRUE(shortage.proven);
}

// In slots of their own, storages need no padding for their alignment.
TEST(CapacityTest, WhatRemapNeedsIsNotWhatOneArenaNeeds) {
  Sketch sketch;
  sketch.Add("before", 64);
  sketch.Step("s0", {}, {"before"});
  for (const char* name : {"a", "b"}) sketch.Add(name, 64, {.alignment_bytes = 4096});
  sketch.Step("s1", {}, {"a", "b"}, {.queue = 1});
  sketch.Release();
  PlanOptions options{.mode = PlanMode::kRemap, .capacity_bytes = 3 * 64};
  EXPECT_OK(MakePlan(sketch.schedule, options));
  options.capacity_bytes = 3 * 64 - 1;
  EXPECT_CODE(ResourceExhausted, MakePlan(sketch.schedule, options));
}

// What is proven of one arena is not proven of several, between which there is no padding.
TEST(CapacityTest, WhatOneArenaNeedsIsNotWhatSeveralNeed) {
  SpaceTraits traits = NullAllocator::DefaultTraits();
  traits.max_allocation_bytes = 64;
  NullAllocator small(traits);
  Sketch sketch;
  for (const char* name : {"a", "b"}) sketch.Add(name, 64, {.alignment_bytes = 4096}, &small);
  sketch.Step("s0", {}, {"a", "b"});
  sketch.Release();
  for (uint64_t capacity : {packing::kUnlimited, uint64_t{128}}) {
    const absl::StatusOr<Plan> plan =
        MakePlan(sketch.schedule, {.effort = Effort::kOptimal, .capacity_bytes = capacity});
    ASSERT_OK(plan);
    EXPECT_EQ(plan->arena_bytes, 128u);
    EXPECT_EQ(plan->lower_bound_bytes, 128u);
  }
}

}  // namespace
}  // namespace tenure
