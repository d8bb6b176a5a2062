// What docs/embedding.md shows: the lines between the marks stand there word for word
// (readme_test.py compares), and here they run.

#include <any>
#include <cstdint>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/execution/execution.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tools/render/plan_picture.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/trace/schedule_trace.h"

namespace tenure {
namespace {

using Kernel = std::function<absl::Status(const StepContext&)>;

// [coverage]
// The IR keeps handles of all its values. Those without another mark are the plan's.
absl::StatusOr<Plan> PlanAll(Schedule& schedule) {
  schedule.MarkAllIntermediate();  // or MarkIntermediate(value), one by one
  TENURE_ASSIGN_OR_RETURN(Plan plan,
                          MakePlan(schedule, {.fill_zeroed = true, .require_coverage = true}));
  std::cerr << plan.Summary();  // what is placed, how much it takes, what is left out and why
  return plan;
}
// [coverage end]

// [reuse]
// Places the plan into memory that exists, and runs it for each pair of input and output.
absl::Status RunAll(Schedule schedule, const Plan& plan, Buffer input, Buffer output,
                    const std::vector<std::pair<Buffer, Buffer>>& batches) {
  Allocator& cpu = output.allocator();
  const ArenaNeed need = ArenaOf(plan, cpu.space());
  TENURE_ASSIGN_OR_RETURN(Buffer arena,  // may hold the plans of other schedules too
                          Buffer::Create(cpu, DType::kUInt8, Shape::Vector(need.size_bytes),
                                         {.alignment_bytes = need.alignment_bytes}));
  TENURE_ASSIGN_OR_RETURN(PlacedPlan placed, PlacePlan(plan, schedule, {.arena = arena}));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<HostQueue> queue, HostQueue::Create());
  TENURE_ASSIGN_OR_RETURN(Execution execution,
                          Execution::Create(std::move(schedule), placed, {queue}));
  for (const auto& [in, out] : batches) {
    TENURE_RETURN_IF_ERROR(execution.Rebind({{input, in}, {output, out}}));
    TENURE_RETURN_IF_ERROR(execution.Run([](const StepContext& at) {
      const auto& kernel = std::any_cast<const Kernel&>(at.step.payload);  // Step::payload
      return kernel(at);
    }));
    input = in;
    output = out;
  }
  return execution.Wait();
}
// [reuse end]

// [look]
// The schedule for `tenure plan --trace=FILE` and its sisters, and a page that shows the plan.
absl::Status Show(const Schedule& schedule, const Plan& plan, const std::string& folder) {
  TENURE_RETURN_IF_ERROR(
      WriteFile(folder + "/schedule.json", TraceToJson(TraceOfSchedule(schedule))));
  TENURE_ASSIGN_OR_RETURN(std::string page, RenderHtml(PictureOfPlan(plan, schedule)));
  return WriteFile(folder + "/plan.html", page);
}
// [look end]

// Adds 1 to each byte, on the queue of the step.
absl::Status AddOne(const StepContext& at) {
  const auto* from = static_cast<const uint8_t*>(at.step.reads[0].HostPointer().value());
  auto* to = static_cast<uint8_t*>(at.step.writes[0].MutableHostPointer().value());
  const uint64_t size = at.step.reads[0].size();
  return static_cast<HostQueue&>(at.queue).Enqueue([from, to, size] {
    for (uint64_t i = 0; i < size; ++i) to[i] = static_cast<uint8_t>(from[i] + 1);
    return absl::OkStatus();
  });
}

TEST(EmbeddingSnippets, OnePlanManyRuns) {
  CpuAllocator cpu;
  const auto make = [&cpu] { return Buffer::Create(cpu, DType::kUInt8, {64}).value(); };
  std::vector<Buffer> ir;  // keeps its handles
  for (int i = 0; i < 5; ++i) ir.push_back(make());
  Schedule schedule("adds");
  schedule.MarkInput(ir.front());
  schedule.MarkOutput(ir.back());
  for (size_t i = 0; i + 1 < ir.size(); ++i) {
    ASSERT_EQ(
        schedule
            .AddStep(
                {.name = "add", .reads = {ir[i]}, .writes = {ir[i + 1]}, .payload = Kernel(AddOne)})
            .status(),
        absl::OkStatus());
  }
  const auto plan = PlanAll(schedule);
  ASSERT_EQ(plan.status(), absl::OkStatus());
  EXPECT_EQ(plan->placements.size(), 3u);
  EXPECT_EQ(Show(schedule, *plan, testing::TempDir()), absl::OkStatus());
  std::vector<std::pair<Buffer, Buffer>> batches;
  for (uint8_t i = 0; i < 3; ++i) {
    batches.emplace_back(make(), make());
    ASSERT_EQ(batches.back().first.FillWith<uint8_t>(i), absl::OkStatus());
  }
  ASSERT_EQ(RunAll(std::move(schedule), *plan, ir.front(), ir.back(), batches), absl::OkStatus());
  for (uint8_t i = 0; i < 3; ++i) EXPECT_EQ(batches[i].second.Get<uint8_t>({63}).value(), i + 4);
}

}  // namespace
}  // namespace tenure
