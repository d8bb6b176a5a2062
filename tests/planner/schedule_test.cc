#include "tenure/planner/schedule.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

void ExpectRefused(const absl::StatusOr<uint32_t>& step, const std::string& why) {
  EXPECT_CODE(InvalidArgument, step);
  EXPECT_TRUE(absl::StrContains(step.status().message(), why)) << step.status();
}

TEST(ScheduleTest, NumbersStepsAndKeepsWhatTheySay) {
  Sketch sketch(OrderKind::kDependencies);
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  EXPECT_EQ(sketch.Step("first", {}, {"a"}), 0u);
  EXPECT_EQ(sketch.Step("second", {"a"}, {"b"}, {.after = {0}, .queue = 3, .in_place = {{0, 0}}}),
            1u);
  ASSERT_EQ(sketch.schedule.steps().size(), 2u);
  const Step& second = sketch.schedule.steps()[1];
  EXPECT_EQ(second.name, "second");
  EXPECT_EQ(second.after, std::vector<uint32_t>{0});
  EXPECT_EQ(second.queue, 3u);
  EXPECT_EQ(second.in_place.size(), 1u);
  EXPECT_EQ(second.reads[0].id(), sketch["a"].id());
  EXPECT_EQ(sketch.schedule.name(), "sketch");
}

TEST(ScheduleTest, TakesHandlesByMove) {
  Sketch sketch;
  Buffer buffer = sketch.Add("a", 64);
  sketch.Release();
  EXPECT_EQ(buffer.storage()->handle_count(), 1u);
  Storage* storage = buffer.storage();
  Step step{.name = "w"};
  step.writes.push_back(std::move(buffer));
  ASSERT_OK(sketch.schedule.AddStep(std::move(step)));
  EXPECT_EQ(storage->handle_count(), 1u);
  const std::vector<Step> steps = sketch.schedule.TakeSteps();
  EXPECT_EQ(steps.size(), 1u);
  EXPECT_TRUE(sketch.schedule.steps().empty());
}

TEST(ScheduleTest, RefusesNullBuffers) {
  Schedule schedule;
  Step read{.name = "r", .reads = {Buffer()}};
  ExpectRefused(schedule.AddStep(std::move(read)), "step 0 ('r'): a read is a null buffer");
  Step write{.name = "w", .writes = {Buffer()}};
  ExpectRefused(schedule.AddStep(std::move(write)), "step 0 ('w'): a write is a null buffer");
  EXPECT_TRUE(schedule.steps().empty());
}

TEST(ScheduleTest, RefusesDependenciesThatAreNotEarlier) {
  Sketch sketch(OrderKind::kDependencies);
  sketch.Add("a", 64);
  ExpectRefused(sketch.TryStep("s", {}, {"a"}, {.after = {0}}),
                "step 0 ('s'): 'after' names step 0, which is not an earlier one");
  sketch.Step("s", {}, {"a"});
  ExpectRefused(sketch.TryStep("t", {}, {"a"}, {.after = {0, 7}}), "'after' names step 7");
}

TEST(ScheduleTest, RefusesDependenciesInTotalOrder) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Step("s", {}, {"a"});
  ExpectRefused(sketch.TryStep("t", {"a"}, {}, {.after = {0}}),
                "step 1 ('t'): 'after' is given, but the schedule is in total order");
}

TEST(ScheduleTest, RefusesInPlaceOfNothing) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  ExpectRefused(sketch.TryStep("s", {"a"}, {"b"}, {.in_place = {{1, 0}}}),
                "in-place permission {1, 0} names no read or write of its 1 and 1");
  ExpectRefused(sketch.TryStep("s", {"a"}, {"b"}, {.in_place = {{0, 1}}}), "{0, 1}");
}

TEST(ScheduleTest, Marks) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64);
  sketch.schedule.MarkInput(sketch.Window("a[0:8]"));  // a window stands for its storage
  sketch.schedule.MarkOutput(sketch["b"]);
  sketch.schedule.Hold(sketch["b"], "debugger");
  EXPECT_TRUE(sketch.schedule.IsInput(sketch["a"].storage_id()));
  EXPECT_FALSE(sketch.schedule.IsInput(sketch["b"].storage_id()));
  EXPECT_TRUE(sketch.schedule.IsOutput(sketch["b"].storage_id()));
  EXPECT_FALSE(sketch.schedule.IsOutput(sketch["a"].storage_id()));
  ASSERT_NE(sketch.schedule.HeldBecause(sketch["b"].storage_id()), nullptr);
  EXPECT_EQ(*sketch.schedule.HeldBecause(sketch["b"].storage_id()), "debugger");
  EXPECT_EQ(sketch.schedule.HeldBecause(sketch["a"].storage_id()), nullptr);
}

}  // namespace
}  // namespace tenure
