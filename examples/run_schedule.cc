// Example 3: plans a schedule and runs it on two queues at the same time.
//
//   bazel run //examples:run_schedule
//
//   queue 0   double: in -> x |                | triple: in -> z | sum: y, z -> out
//   queue 1                   | negate: x -> y |
//
// x and z share bytes, because x is dead when z is written. So `triple` must wait for `negate`: the
// plan says so with a reuse edge. The execution makes this wait, and those for the data. Here the
// queues are threads of the host. CUDA streams are queues too.

#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/execution/execution.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace {

using tenure::Buffer, tenure::HostQueue, tenure::Step;

// The work of one step, on the thread of its queue. A pointer waits for nothing: the queue has
// already waited for what the step needs.
absl::Status Compute(const Step& step) {
  TENURE_ASSIGN_OR_RETURN(const void* first, step.reads.front().HostPointer());
  TENURE_ASSIGN_OR_RETURN(const void* last, step.reads.back().HostPointer());
  TENURE_ASSIGN_OR_RETURN(void* write, step.writes[0].MutableHostPointer());
  const auto *a = static_cast<const float*>(first), *b = static_cast<const float*>(last);
  auto* out = static_cast<float*>(write);
  const float factor = step.name == "double" ? 2 : step.name == "triple" ? 3 : -1;
  for (uint64_t i = 0; i < step.writes[0].size() / sizeof(float); ++i) {
    out[i] = step.name == "sum" ? a[i] + b[i] : factor * a[i];
  }
  return absl::OkStatus();
}

absl::Status Run() {
  tenure::CpuAllocator cpu;
  const auto buffer = [&cpu](std::string name) {
    return Buffer::Create(cpu, tenure::DType::kFloat32, tenure::Shape::Vector(4),
                          {.name = std::move(name)});
  };
  TENURE_ASSIGN_OR_RETURN(const Buffer in, buffer("in"));
  TENURE_ASSIGN_OR_RETURN(const Buffer out, buffer("out"));
  TENURE_ASSIGN_OR_RETURN(Buffer x, buffer("x"));
  TENURE_ASSIGN_OR_RETURN(Buffer y, buffer("y"));
  TENURE_ASSIGN_OR_RETURN(Buffer z, buffer("z"));
  tenure::Schedule schedule("two queues");
  schedule.MarkInput(in);
  schedule.MarkOutput(out);
  for (const Step& step : {Step{.name = "double", .reads = {in}, .writes = {x}},
                           Step{.name = "negate", .reads = {x}, .writes = {y}, .queue = 1},
                           Step{.name = "triple", .reads = {in}, .writes = {z}},
                           Step{.name = "sum", .reads = {y, z}, .writes = {out}}}) {
    TENURE_RETURN_IF_ERROR(schedule.AddStep(step).status());
  }
  x = y = z = Buffer();  // the schedule alone holds them now, so they can be planned

  TENURE_ASSIGN_OR_RETURN(const tenure::Plan plan, tenure::MakePlan(schedule));
  TENURE_ASSIGN_OR_RETURN(const tenure::PlacedPlan placed, tenure::PlacePlan(plan, schedule));
  std::cout << plan.placements.size() << " storages in " << plan.arenas.size()
            << " arenas: " << plan.arena_bytes << " bytes, not " << plan.unplanned_bytes << "\n";
  for (const tenure::ReuseEdge& edge : plan.reuse_edges) {
    std::cout << schedule.steps()[edge.after].name << " waits for "
              << schedule.steps()[edge.before].name << " to reuse bytes\n";
  }

  TENURE_RETURN_IF_ERROR(in.FillWith(5.0f));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<HostQueue> queue_0, HostQueue::Create());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<HostQueue> queue_1, HostQueue::Create());
  TENURE_ASSIGN_OR_RETURN(
      tenure::Execution execution,
      tenure::Execution::Create(std::move(schedule), placed, {queue_0, queue_1}));
  // The callback launches one step: it gives the work to the step's queue and returns at once.
  TENURE_RETURN_IF_ERROR(execution.Run([](const tenure::StepContext& at) {
    return static_cast<HostQueue&>(at.queue).Enqueue([step = at.step] { return Compute(step); });
  }));
  // Reading an output waits for the steps that it needs.
  TENURE_ASSIGN_OR_RETURN(const float result, out.Get<float>({0}));
  std::cout << "5 * 3 - 5 * 2 = " << result << "\n";
  return execution.Wait();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
