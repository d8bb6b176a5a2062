// A plan says what it leaves out, and a schedule can say what is its to plan.

#include <any>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

void ExpectPart(std::string_view text, std::string_view part) {
  EXPECT_TRUE(absl::StrContains(text, part)) << part << " in: " << text;
}

// x0 -> x1 -> ... -> x5, of 64 bytes each, and a storage that must read as zeros.
class CoverageTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 6; ++i) sketch_.Add(absl::StrCat("x", i), 64, {}, &cpu_);
    sketch_.Add("zeros", 32, {.zeroed = true}, &cpu_);
    sketch_.Step("first", {}, {"x0"});
    for (int i = 1; i < 6; ++i)
      sketch_.Step("next", {absl::StrCat("x", i - 1), "zeros"}, {absl::StrCat("x", i)});
  }

  CpuAllocator cpu_;
  Sketch sketch_;
};

TEST_F(CoverageTest, APlanOfNothingIsSaid) {
  const auto plan = MakePlan(sketch_.schedule, {.fill_zeroed = true});
  ASSERT_OK(plan);
  EXPECT_TRUE(plan->placements.empty());
  const PlanLeftOut left = plan->LeftOut(PlanReason::kOutsideHandles);
  EXPECT_EQ(left.storages, 7u);
  EXPECT_EQ(left.bytes, 6u * 64 + 32);
  EXPECT_EQ(left.first_names, (std::vector<std::string>{"x0", "zeros", "x1"}));
  const std::string summary = plan->Summary();
  ExpectPart(summary, "plan 'sketch': 0 storages of 0 bytes in 0 arenas of 0 bytes");
  ExpectPart(summary, "7 storages of 416 bytes ('x0', 'zeros', 'x1' and 4 more)");
  ExpectPart(summary, "MarkIntermediate");
}

TEST_F(CoverageTest, ACompletePlanHasNothingToSay) {
  sketch_.Release();
  const auto plan = MakePlan(sketch_.schedule, {.fill_zeroed = true, .require_coverage = true});
  ASSERT_OK(plan);
  EXPECT_EQ(plan->Uncovered(), "");
  EXPECT_EQ(plan->Summary(),
            "plan 'sketch': 7 storages of 448 bytes in 1 arena of 192 bytes, the least possible\n");
}

TEST_F(CoverageTest, CoverageCanBeRequired) {
  sketch_.Release({"x3"});
  const auto held = MakePlan(sketch_.schedule, {.require_coverage = true});
  EXPECT_CODE(FailedPrecondition, held);
  ExpectPart(held.status().message(), "1 storage of 64 bytes ('x3') is not planned");
  ExpectPart(held.status().message(), "1 storage of 32 bytes ('zeros') is not planned");
  ExpectPart(held.status().message(), "fill_zeroed");
  // What the caller has asked for is no gap in the coverage.
  sketch_.schedule.Hold(sketch_["x3"], "shown to the user");
  EXPECT_OK(MakePlan(sketch_.schedule, {.fill_zeroed = true, .require_coverage = true}));
}

TEST_F(CoverageTest, MarkedStoragesArePlannedAndPlacedInSpiteOfHandles) {
  sketch_.schedule.MarkIntermediate(sketch_.Window("x1[0:8]"));  // a window stands for its storage
  sketch_.schedule.MarkIntermediate(sketch_["x4"].storage_id());
  auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  EXPECT_EQ(plan->placements.size(), 2u);
  sketch_.schedule.MarkAllIntermediate();
  plan = MakePlan(sketch_.schedule, {.fill_zeroed = true, .require_coverage = true});
  ASSERT_OK(plan);
  EXPECT_EQ(plan->placements.size(), 7u);
  for (const bool checked_again : {false, true}) {
    if (checked_again) plan->check = {};
    auto placed = PlacePlan(*plan, sketch_.schedule);
    ASSERT_OK(placed);
    // The handles that the builder has kept are those of the placed storages.
    EXPECT_EQ(sketch_["x0"].HostPointer().value(), sketch_["x2"].HostPointer().value());
    ASSERT_OK(UnplacePlan(*std::move(placed)));
  }
}

TEST_F(CoverageTest, OtherMarksHavePrecedence) {
  sketch_.schedule.MarkAllIntermediate();
  sketch_.schedule.MarkInput(sketch_["x0"]);
  sketch_.schedule.MarkOutput(sketch_["x5"]);
  sketch_.schedule.Hold(sketch_["x2"], "watched");
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  EXPECT_EQ(Sketch::Why(*plan, "x0").reason, PlanReason::kInput);
  EXPECT_EQ(Sketch::Why(*plan, "x5").reason, PlanReason::kOutput);
  EXPECT_EQ(Sketch::Why(*plan, "x2").reason, PlanReason::kHeld);
}

TEST(StepTest, CarriesAPayload) {
  Schedule schedule;
  ASSERT_OK(schedule.AddStep({.name = "s", .payload = std::string("kernel")}));
  EXPECT_EQ(std::any_cast<const std::string&>(schedule.steps()[0].payload), "kernel");
}

TEST(StepTest, ShapesCanBeWrittenOut) {
  CpuAllocator cpu;
  const auto matrix = Buffer::Create(cpu, DType::kFloat32, {2, 3}, {.name = "matrix"});
  ASSERT_OK(matrix);
  EXPECT_EQ(matrix->shape(), Shape::Of({2, 3}).value());
  EXPECT_EQ(matrix->name(), "matrix");
  EXPECT_EQ(Buffer::Create(cpu, DType::kFloat32, {})->shape().rank(), 0);
  EXPECT_CODE(InvalidArgument, Buffer::Create(cpu, DType::kFloat32, {2, -3}));
}

}  // namespace
}  // namespace tenure
