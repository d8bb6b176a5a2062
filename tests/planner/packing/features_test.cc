// Every feature at a size where a slip into quadratic work would show, without a look at the clock:
// the work is what the counters say, and a cancel leaves at most one construction.

#include <atomic>
#include <cstdint>
#include <functional>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/solver/first_fit.h"
#include "tenure/planner/packing/solver/rigid_groups.h"
#include "testing.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kItems = 4000;

struct Feature {
  const char* name;
  HintPolicy hints;
  bool always_packed;  // under a cancel, too
  std::function<void(Problem&, std::mt19937&)> add;
};

void AddOrder(Problem& problem, std::mt19937& random, uint32_t width) {
  problem.order.steps = kItems;
  for (uint32_t s = 0; s + width < kItems; ++s) problem.order.edges.push_back({s, s + width});
  for (uint32_t i = 0; i < kItems; ++i) {
    const auto at = static_cast<uint32_t>(random() % (kItems - width));
    problem.order.uses.push_back({i, at});
    problem.order.uses.push_back({i, at + width});
  }
}

class EveryFeature : public testing::TestWithParam<Feature> {
 protected:
  Problem Make() const {
    std::mt19937 random(1);
    Problem problem;
    for (uint32_t i = 0; i < kItems; ++i) {
      const auto first = static_cast<Time>(random() % kItems);
      problem.items.push_back({.first = first,
                               .last = first + 3 + static_cast<Time>(random() % 100),
                               .size = 1 + random() % 1000});
    }
    GetParam().add(problem, random);
    return problem;
  }
};

TEST_P(EveryFeature, TakesABoundedNumberOfConstructions) {
  const Problem problem = Make();
  const auto packing = Solve(problem, {.effort = Effort::kFast, .hints = GetParam().hints});
  ASSERT_TRUE(packing.ok()) << packing.status();
  EXPECT_TRUE(packing->has_offsets());
  EXPECT_LE(packing->statistics.constructions, 20u);
}

TEST_P(EveryFeature, ACancelFromTheStartLeavesNoWorkToDo) {
  const Problem problem = Make();
  const std::atomic<bool> cancel = true;
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    const auto packing =
        Solve(problem, {.effort = effort, .cancel = &cancel, .hints = GetParam().hints});
    ASSERT_TRUE(packing.ok()) << packing.status();
    EXPECT_TRUE(packing->deadline_hit);
    EXPECT_TRUE(packing->has_offsets() || !GetParam().always_packed);
    EXPECT_LE(packing->statistics.constructions, 1u);
    EXPECT_EQ(packing->statistics.nodes, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Features, EveryFeature,
    testing::Values(
        Feature{"Plain", HintPolicy::kPrefer, true, [](Problem&, std::mt19937&) {}},
        Feature{"Fixed", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937&) { p.items[7].fixed = 5000; }},
        Feature{"Gaps", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937&) {
                  for (uint32_t i = 0; i < kItems; ++i) {
                    p.gaps.push_back({i, p.items[i].first + 1, p.items[i].last - 1, 0, i % 2});
                  }
                }},
        Feature{"Hints", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937& r) {
                  for (Item& item : p.items) item.hint = r() % 10000;
                }},
        Feature{"KeptHints", HintPolicy::kKeep, true,
                [](Problem& p, std::mt19937& r) {
                  for (Item& item : p.items) item.hint = r() % 10000;
                }},
        Feature{"Arenas", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937&) { p.arenas.resize(2); }},
        Feature{"Groups", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937&) {
                  for (uint32_t i = 0; i < kItems; i += 2) p.adjacent.push_back({{i, i + 1}});
                }},
        Feature{"Chain", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937& r) { AddOrder(p, r, 1); }},
        Feature{"FewChains", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937& r) { AddOrder(p, r, 8); }},
        Feature{"ManyChains", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937& r) { AddOrder(p, r, 500); }},
        Feature{"ChainsAndFixed", HintPolicy::kPrefer, true,
                [](Problem& p, std::mt19937& r) {
                  AddOrder(p, r, 8);
                  p.items[7].fixed = 5000;
                }}),
    [](const auto& named) { return std::string(named.param.name); });

// What lies where: dropping finds what first fit would, where nothing lies beneath.
TEST(BottomLeft, LooksBeneathWhatIsFixed) {
  Problem problem;
  problem.items = {{.first = 0, .last = 4, .size = 4, .fixed = 10},
                   {.first = 0, .last = 2, .size = 12},
                   {.first = 1, .last = 4, .size = 5},
                   {.first = 2, .last = 4, .size = 5}};
  const RigidGroups groups = MakeRigidGroups(problem);
  FirstFit fit(problem, groups);
  Budget budget(absl::InfiniteFuture(), nullptr);
  ASSERT_TRUE(fit.PlaceFixed(kUnlimited, budget));
  ASSERT_TRUE(fit.PlaceBottomLeft({1, 2, 3}, kUnlimited, 1000, budget));
  EXPECT_EQ(fit.partial().offsets, (std::vector<uint64_t>{10, 14, 0, 5}));
  // Without steps for looking all lies above.
  fit.Clear();
  ASSERT_TRUE(fit.PlaceFixed(kUnlimited, budget));
  ASSERT_TRUE(fit.PlaceBottomLeft({1, 2, 3}, kUnlimited, 0, budget));
  EXPECT_EQ(fit.partial().offsets, (std::vector<uint64_t>{10, 14, 26, 31}));
}

}  // namespace
}  // namespace tenure::packing
