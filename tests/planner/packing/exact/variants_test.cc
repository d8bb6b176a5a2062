// The same problem, written in another way, has the same answer: no order of items, direction or
// unit of time, or unit of size may matter.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/validator.h"
#include "tests/planner/packing/testing.h"

namespace tenure::packing {
namespace {

constexpr uint64_t kScale = 37;

struct Variant {
  std::string name;
  Problem problem;
  uint64_t scale = 1;
};

// Every moment is stretched by a length of its own.
Problem Dilated(Problem problem, uint32_t seed) {
  auto stretch = [seed](Time t) {
    Time sum = 0;
    for (Time k = 0; k < t; ++k) sum += 1 + (seed + 7 * k * k) % 11;
    return sum - 1000;
  };
  for (Item& item : problem.items) {
    item.first = stretch(item.first);
    item.last = stretch(item.last);
  }
  for (Gap& gap : problem.gaps) {
    gap.first = stretch(gap.first);
    gap.last = stretch(gap.last);
  }
  return problem;
}

std::vector<Variant> VariantsOf(const Problem& problem, uint32_t seed) {
  return {{"as it is", problem},
          {"permuted", Permuted(problem, seed)},
          {"mirrored", Mirrored(problem)},
          {"dilated", Dilated(problem, seed)},
          {"scaled", Scaled(problem, kScale), kScale},
          {"all", Scaled(Mirrored(Dilated(Permuted(problem, seed + 1), seed)), kScale), kScale}};
}

// Boxes that fill a rectangle without a hole.
Problem Tight(uint32_t seed, Time moments, uint64_t height, size_t items) {
  std::mt19937 random(seed);
  std::vector<Item> boxes = {{.first = 0, .last = moments, .size = height}};
  while (boxes.size() < items) {
    Item& box = boxes[random() % boxes.size()];
    Item rest = box;
    const auto width = static_cast<uint64_t>(box.last - box.first);
    if (random() % 2 == 0 && width >= 2) {
      box.last = rest.first = box.first + 1 + static_cast<Time>(random() % (width - 1));
    } else if (box.size >= 2) {
      box.size = 1 + random() % (box.size - 1);
      rest.size -= box.size;
    } else {
      continue;
    }
    boxes.push_back(rest);
  }
  Problem problem;
  problem.items = boxes;
  return problem;
}

TEST(Variants, HaveTheSameMinimumAndTheSameProof) {
  int above_the_bound = 0;
  for (uint32_t seed = 0; seed < 150; ++seed) {
    Features features;
    features.items = 7;
    features.alignment = seed % 3 == 1;
    features.fixed = seed % 5 == 1;
    features.gaps = seed % 4 == 1;
    const Problem problem = RandomProblem(features, seed + 400000);
    absl::StatusOr<Packing> first = Solve(problem, {.effort = Effort::kOptimal});
    ASSERT_TRUE(first.ok()) << first.status();
    for (const Variant& variant : VariantsOf(problem, seed)) {
      SCOPED_TRACE(variant.name + " of seed " + std::to_string(seed));
      absl::StatusOr<Packing> packing = Solve(variant.problem, {.effort = Effort::kOptimal});
      ASSERT_TRUE(packing.ok()) << packing.status();
      EXPECT_EQ(packing->outcome, first->outcome);
      EXPECT_EQ(packing->height, first->height * variant.scale);
      if (packing->outcome != Outcome::kOptimal || packing->height == 0) continue;
      const SolveOptions less{.effort = Effort::kOptimal, .capacity = packing->height - 1};
      packing = Solve(variant.problem, less);
      ASSERT_TRUE(packing.ok()) << packing.status();
      EXPECT_EQ(packing->outcome, Outcome::kInfeasible);
      if (packing->lower_bound <= less.capacity) ++above_the_bound;
    }
  }
  EXPECT_GT(above_the_bound, 10);  // proofs by search
}

TEST(Variants, AreAllPackedWithoutAHole) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    const Problem problem = Tight(seed, 40, 500, 60);
    for (const Variant& variant : VariantsOf(problem, seed)) {
      SCOPED_TRACE(variant.name + " of seed " + std::to_string(seed));
      absl::StatusOr<Packing> packing =
          Solve(variant.problem, {.effort = Effort::kOptimal, .capacity = 500 * variant.scale});
      ASSERT_TRUE(packing.ok()) << packing.status();
      EXPECT_EQ(packing->outcome, Outcome::kOptimal);
      EXPECT_EQ(packing->height, 500 * variant.scale);
    }
  }
}

// Without time there is a packing all the same, and it respects everything.
TEST(Deadline, InThePastGivesValidPackingsOfGeneralProblems) {
  int packed = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    Features features;
    features.items = 12;
    features.moments = 20;
    features.alignment = seed % 2 == 0;
    features.gaps = seed % 3 == 0;
    features.windows = seed % 6 == 0;
    features.fixed = seed % 5 == 0;
    features.adjacency = seed % 4 == 1;
    features.arenas = seed % 7 == 1;
    features.order = !features.gaps && seed % 11 == 1;
    const Problem problem = RandomProblem(features, seed + 500000);
    absl::StatusOr<Packing> packing =
        Solve(problem, {.effort = Effort::kOptimal, .deadline = absl::InfinitePast()});
    ASSERT_TRUE(packing.ok()) << packing.status() << " seed " << seed;
    EXPECT_TRUE(Validate(problem, *packing).ok());
    if (!features.fixed && !features.arenas) {
      EXPECT_TRUE(packing->has_offsets()) << seed;
      ++packed;
    }
  }
  EXPECT_GT(packed, 200);
}

}  // namespace
}  // namespace tenure::packing
