// A program's own schedule reaches the command and the viewer: as a trace, as a stored plan, and as
// a picture.

#include "tenure/tools/trace/schedule_trace.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tools/render/plan_picture.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure {
namespace {

// in -> hidden (in two windows) -> act, in place -> out; `kept` is held.
class ScheduleTraceTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"in", "hidden", "act", "out", "kept"}) sketch_.Add(name, 64);
    sketch_.Step("low", {"in"}, {"hidden[0:32]"});
    sketch_.Step("high", {"in"}, {"hidden[32:64]"});
    sketch_.Step("relu", {"hidden"}, {"act", "kept"}, {.in_place = {{0, 0}}});
    sketch_.Step("head", {"act"}, {"out"});
    sketch_.schedule.MarkInput(sketch_["in"]);
    sketch_.schedule.MarkOutput(sketch_["out"]);
    sketch_.schedule.Hold(sketch_["kept"], "watched");
    sketch_.Release();
  }

  Sketch sketch_;
};

TEST_F(ScheduleTraceTest, NamesWindowsKindsAndPermissions) {
  const Trace trace = TraceOfSchedule(sketch_.schedule);
  EXPECT_EQ(trace.name, "sketch");
  ASSERT_EQ(trace.buffers.size(), 7u);
  const std::vector<std::string> names = {"in", "hidden", "act", "kept", "out"};
  for (uint32_t i = 0; i < names.size(); ++i) EXPECT_EQ(trace.buffers[i].name, names[i]);
  EXPECT_EQ(trace.buffers[0].kind, TraceKind::kInput);
  EXPECT_EQ(trace.buffers[1].kind, TraceKind::kIntermediate);
  EXPECT_EQ(trace.buffers[3].kind, TraceKind::kOutput);
  EXPECT_EQ(trace.buffers[4].kind, TraceKind::kOutput);
  EXPECT_EQ(trace.buffers[5].alias_of, 1u);
  EXPECT_EQ(trace.buffers[6].offset_bytes, 32u);
  EXPECT_EQ(trace.buffers[6].bytes, 32u);
  EXPECT_EQ(trace.ops[1].writes, (std::vector<uint32_t>{6}));
  ASSERT_EQ(trace.ops[2].in_place.size(), 1u);
  EXPECT_EQ(trace.ops[2].in_place[0].read, 0u);
}

// What the command makes of the text plans to the same places.
TEST_F(ScheduleTraceTest, TheCommandPlansTheSame) {
  const auto trace = ParseTrace(TraceToJson(TraceOfSchedule(sketch_.schedule)), "text");
  ASSERT_OK(trace);
  const auto job = cli::MakeTraceJob(*trace, sketch_.device);
  ASSERT_OK(job);
  const auto own = MakePlan(sketch_.schedule);
  // As the command does: a trace does not say that nobody reads bytes before they are written.
  const auto commands = MakePlan(job->schedule, {.fill_zeroed = true});
  ASSERT_OK(own);
  ASSERT_OK(commands);
  EXPECT_EQ(own->in_place.size(), 1u);
  EXPECT_EQ(commands->in_place, own->in_place);
  EXPECT_EQ(commands->placements, own->placements);  // with the names
  EXPECT_EQ(own->placements[0].name, "hidden");
}

TEST_F(ScheduleTraceTest, TextsOfOtherTypesAreRead) {
  Schedule schedule("typed");
  const Buffer matrix = Buffer::Create(sketch_.device, DType::kFloat32, {4, 8}).value();
  const Buffer row = matrix.Slice(1, 2).value();
  const Buffer bits = Buffer::Create(sketch_.device, DType::kInt4, {16}).value();
  ASSERT_OK(schedule.AddStep({.name = "\"quoted\"", .writes = {matrix, bits}}));
  ASSERT_OK(schedule.AddStep({.name = "row", .reads = {row, matrix}}));
  const auto trace = ParseTrace(TraceToJson(TraceOfSchedule(schedule)), "text");
  ASSERT_OK(trace);
  EXPECT_EQ(trace->ops[0].name, "\"quoted\"");
  EXPECT_EQ(trace->buffers[0].dtype, "float32");
  EXPECT_EQ(trace->buffers[0].shape, (std::vector<uint64_t>{4, 8}));
  EXPECT_EQ(trace->buffers[1].dtype, "int4");
  EXPECT_EQ(trace->buffers[2].offset_bytes, 32u);
  EXPECT_EQ(trace->buffers[2].shape, (std::vector<uint64_t>{1, 8}));
}

TEST_F(ScheduleTraceTest, PermissionsInTextsAreChecked) {
  const auto expect_refused = [](std::string_view in_place, std::string_view why) {
    const auto trace = ParseTrace(
        absl::StrCat(R"({"format": "tensor-trace-1", "name": "x", "buffers": [{"id": 0, "bytes": 4,
                         "dtype": "uint8", "shape": [4], "kind": "input", "alias_of": null,
                         "offset_bytes": 0}], "ops": [{"name": "op", "reads": [0], "writes": [0],
                         "in_place": )",
                     in_place, "}]}"),
        "text");
    if (why.empty()) {
      EXPECT_OK(trace);
      return;
    }
    EXPECT_CODE(InvalidArgument, trace);
    EXPECT_TRUE(absl::StrContains(trace.status().message(), why)) << trace.status();
  };
  expect_refused("[]", "");
  expect_refused("[[0, 0]]", "");
  expect_refused("[[1, 0]]", "ops[0].in_place has [1,0]");
  expect_refused("[[0, 1]]", "ops[0].in_place has [0,1]");
  expect_refused("[[0]]", "ops[0].in_place[0] must be");
  expect_refused("[[0, 0, 0]]", "ops[0].in_place[0] must be");
  expect_refused("[[0, 0], 7]", "ops[0].in_place[1] is 7");
  expect_refused("[[0, \"x\"]]", "ops[0].in_place[0] is the string");
  expect_refused("3", "ops[0].in_place is 3");
}

TEST_F(ScheduleTraceTest, StoredPlansHaveTheNames) {
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  const std::string json = PlanToJson(*plan);
  EXPECT_TRUE(absl::StrContains(json, "\"name\":\"hidden\"")) << json;
  EXPECT_EQ(PlanFromJson(json).value(), *plan);
}

TEST_F(ScheduleTraceTest, APlanIsDrawn) {
  sketch_.schedule.MarkInput(sketch_.schedule.steps()[0].reads[0], InputUse::kDonated);
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  const Picture picture = PictureOfPlan(*plan, sketch_.schedule);
  EXPECT_EQ(picture.title, "sketch");
  EXPECT_EQ(picture.moments, (std::vector<std::string>{"low", "high", "relu", "head"}));
  ASSERT_EQ(picture.items.size(), 3u);
  EXPECT_EQ(picture.items[0].name, "in");
  EXPECT_EQ(picture.items[0].group, "never written");
  EXPECT_EQ(picture.items[1].name, "hidden");
  EXPECT_EQ(picture.items[1].group, "low");
  EXPECT_EQ(picture.items[1].last, 3);
  EXPECT_EQ(picture.arenas[0].name, "null arena 0, memory of in");
  for (const bool html : {false, true}) {
    const auto drawn = html ? RenderHtml(picture) : RenderSvg(picture);
    ASSERT_OK(drawn);
    EXPECT_TRUE(absl::StrContains(*drawn, "hidden"));
  }
}

}  // namespace
}  // namespace tenure
