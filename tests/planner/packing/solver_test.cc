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

class Agreement : public testing::TestWithParam<NamedFeatures> {};

// Every answer is checked against every packing there is.
TEST_P(Agreement, WithBruteForce) {
  int lowest = 0, solved = 0;
  for (int k = 0; k < GetParam().problems; ++k) {
    const Problem problem = RandomProblem(GetParam().features, static_cast<uint32_t>(k));
    ASSERT_TRUE(CheckProblem(problem).ok()) << CheckProblem(problem);
    const std::optional<uint64_t> best = BruteForce(problem, 18);
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      const Packing packing = MustSolve(problem, {.effort = effort});
      SCOPED_TRACE(testing::Message() << "problem " << k << " effort " << EffortName(effort));
      EXPECT_FALSE(packing.outcome == Outcome::kInfeasible && best.has_value());
      if (!best.has_value()) continue;
      EXPECT_LE(packing.lower_bound, *best);
      ASSERT_NE(packing.outcome, Outcome::kInfeasible);
      if (!packing.has_offsets()) continue;
      EXPECT_TRUE(Validate(problem, packing).ok());
      EXPECT_GE(packing.height, *best);
      ++solved;
      if (packing.height == *best) ++lowest;
      EXPECT_TRUE(packing.outcome != Outcome::kOptimal || packing.height == *best);
    }
  }
  // Heuristics are good on small problems; a drop here is a loss of quality.
  EXPECT_GT(lowest, solved * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(
    Features, Agreement,
    testing::Values(NamedFeatures{"Plain", {.items = 7}, 500},
                    NamedFeatures{"Alignment", {.items = 6, .alignment = true}, 300},
                    NamedFeatures{"Fixed", {.items = 6, .alignment = true, .fixed = true}, 300},
                    NamedFeatures{"Gaps", {.items = 6, .gaps = true}, 300},
                    NamedFeatures{"Windows", {.items = 5, .gaps = true, .windows = true}, 300},
                    NamedFeatures{"Arenas", {.items = 5, .largest_size = 3, .arenas = true}, 150},
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
                                  150}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace tenure::packing
