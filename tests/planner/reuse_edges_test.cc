#include "tenure/planner/reuse_edges.h"

#include <algorithm>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using Edges = std::vector<ReuseEdge>;

// Plans with all storages of 64 bytes in one arena, whose peak is one or two of them.
Plan PlanOf(Sketch& sketch, const PlanOptions& options = {}) {
  sketch.Release();
  absl::StatusOr<Plan> plan = MakePlan(sketch.schedule, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *std::move(plan) : Plan();
}

TEST(ReuseEdgesTest, LastReadersBeforeFirstWriter) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.Step("write a", {}, {"a"});
  sketch.Step("read a", {"a"}, {});
  sketch.Step("read a too", {"a"}, {});
  sketch.Step("write b", {}, {"b"});
  sketch.Step("read b", {"b"}, {});
  EXPECT_EQ(PlanOf(sketch).reuse_edges, (Edges{{1, 3}, {2, 3}}));
}

TEST(ReuseEdgesTest, HazardsWithinAStorageNeedNone) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.Step("write a", {}, {"a"});
  sketch.Step("read a", {"a"}, {});
  sketch.Step("write a again", {}, {"a"});  // comes after the two above anyhow
  sketch.Step("write b", {}, {"b"});
  sketch.Step("write b again", {}, {"b"});
  EXPECT_EQ(PlanOf(sketch).reuse_edges, (Edges{{2, 3}}));
}

TEST(ReuseEdgesTest, WindowsApartAreEndsOfTheirOwn) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.Step("low a", {}, {"a[0:32]"});
  sketch.Step("high a", {}, {"a[32:64]"});
  sketch.Step("low b", {}, {"b[0:32]"});
  sketch.Step("high b", {}, {"b[32:64]"});
  EXPECT_EQ(PlanOf(sketch).reuse_edges, (Edges{{0, 2}, {0, 3}, {1, 2}, {1, 3}}));
}

TEST(ReuseEdgesTest, AnEmptyWindowWithinAnotherOrdersNothing) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.Step("write a", {}, {"a"});
  sketch.Step("nothing", {"a[32:32]"}, {});
  sketch.Step("write b", {}, {"b"});
  const Plan plan = PlanOf(sketch);
  EXPECT_EQ(std::count(plan.reuse_edges.begin(), plan.reuse_edges.end(), ReuseEdge{0, 2}), 1);
}

TEST(ReuseEdgesTest, EarlierTenantsAreReachedThroughLaterOnes) {
  Sketch sketch;
  for (const char* name : {"a", "b", "c"}) {
    sketch.Add(name, 64);
    sketch.Step("w", {}, {name});
  }
  EXPECT_EQ(PlanOf(sketch).reuse_edges, (Edges{{0, 1}, {1, 2}}));
}

TEST(ReuseEdgesTest, NoneWhereNothingIsShared) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.Step("both", {}, {"a", "b"});
  EXPECT_TRUE(PlanOf(sketch).reuse_edges.empty());
}

TEST(ReuseEdgesTest, AnInPlaceWriteNeedsTheOtherReaders) {
  Sketch sketch;
  sketch.Add("x", 64);
  sketch.Add("y", 64);
  sketch.Step("make", {}, {"x"});
  sketch.Step("look", {"x"}, {});
  sketch.Step("relu", {"x"}, {"y"}, {.in_place = {{0, 0}}});
  const Plan plan = PlanOf(sketch);
  ASSERT_EQ(plan.in_place.size(), 1u);
  EXPECT_EQ(plan.reuse_edges, (Edges{{1, 2}}));
}

TEST(ReuseEdgesTest, AFillComesBeforeAllTouches) {
  Sketch sketch;
  sketch.Add("z", 64, {.zeroed = true});
  sketch.Step("low", {}, {"z[0:32]"});
  sketch.Step("high", {}, {"z[32:64]"});
  sketch.Step("low again", {"z[0:32]"}, {});
  PlanOptions options;
  options.fill_zeroed = true;
  EXPECT_EQ(PlanOf(sketch, options).reuse_edges, (Edges{{0, 1}}));
}

// n readers of one storage, then n writers of pieces of the next one in the same bytes: n * n
// pairs.
TEST(ReuseEdgesTest, ManyEndsStayLinear) {
  constexpr uint32_t kN = 500;
  Sketch sketch;
  sketch.Add("a", 8 * kN);
  sketch.Add("b", 8 * kN);
  sketch.Step("write", {}, {"a"});
  for (uint32_t i = 0; i < kN; ++i) sketch.Step("read", {"a"}, {});
  for (uint32_t i = 0; i < kN; ++i)
    sketch.Step("piece", {}, {absl::StrCat("b[", 8 * i, ":", 8 * i + 8, "]")});
  const Plan plan = PlanOf(sketch);
  EXPECT_LE(plan.reuse_edges.size(), 2 * kN);
  // Each reader is followed by each writer, over the last reader and the first writer.
  for (uint32_t i = 1; i < kN; ++i) {
    EXPECT_TRUE(std::count(plan.reuse_edges.begin(), plan.reuse_edges.end(), ReuseEdge{i, kN}));
    EXPECT_TRUE(std::count(plan.reuse_edges.begin(), plan.reuse_edges.end(),
                           ReuseEdge{kN + 1, kN + 1 + i}));
  }
  EXPECT_TRUE(std::count(plan.reuse_edges.begin(), plan.reuse_edges.end(), ReuseEdge{kN, kN + 1}));
}

}  // namespace
}  // namespace tenure
