// A program in a workspace of its own that depends on tenure: what its headers are called, that the
// types of Abseil it shares with tenure are the standard's, and that the process keeps its own
// malloc.

#include <malloc.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/registry.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace {

static_assert(std::is_same_v<absl::string_view, std::string_view>);

int failures = 0;

void Check(bool ok, const char* what) {
  std::printf("%s: %s\n", ok ? "ok" : "FAILED", what);
  failures += ok ? 0 : 1;
}

void PackingProblemsAreValues() {
  std::vector<tenure::packing::Item> items(2);
  items[0] = {.first = 0, .last = 2, .size = 64, .alignment = 64};
  items[1] = {.first = 1, .last = 3, .size = 128, .fixed = 64};
  const std::vector<tenure::packing::Item> copy = items;
  Check(copy[0].fixed == tenure::packing::kNoOffset && copy[1].fixed == 64, "items are copied");
}

void ProblemsAreSolved() {
  tenure::packing::Problem problem;
  problem.items = {{.first = 0, .last = 2, .size = 64}, {.first = 2, .last = 3, .size = 48}};
  const absl::StatusOr<tenure::packing::Packing> packing = tenure::packing::Solve(problem);
  Check(packing.ok() && packing->height == 64, "a problem is packed");
}

void BuffersLiveInSpaces() {
  absl::StatusOr<tenure::Allocator*> cpu =
      tenure::Registry::Default().Get(tenure::MemorySpace::Cpu());
  Check(cpu.ok(), "there is host memory");
  const std::vector<float> values = {1, 2, 3, 4};
  absl::StatusOr<tenure::Buffer> buffer =
      tenure::Buffer::FromSpan<float>(**cpu, values, tenure::Shape::Vector(values.size()));
  Check(buffer.ok() && (*buffer->As<float>())[3] == 4, "a buffer holds what it was made of");
  Check(*buffer->Slice(1, 3)->Get<float>({1}) == 3, "a slice is a view");
  std::vector<float> out(4);
  Check(buffer->CopyOut(out.data(), buffer->size()).ok() && out == values, "it is copied out");
  Check(absl::IsOutOfRange(buffer->View(8, 16).status()), "views beyond the end are refused");
}

// Memory of one's own: a registry, an allocator with a budget, a schedule planned into it.
void SchedulesArePlannedAndPlaced() {
  std::unique_ptr<tenure::Registry> registry = tenure::Registry::MakeEmpty();
  absl::StatusOr<tenure::Allocator*> cpu = registry->Register(
      std::make_unique<tenure::LimitingAllocator>(std::make_unique<tenure::CpuAllocator>(), 8192));
  Check(cpu.ok(), "an allocator is registered");
  const auto make = [&] {
    return *tenure::Buffer::Create(**cpu, tenure::DType::kInt32, tenure::Shape::Vector(256));
  };
  const tenure::Buffer input = make(), output = make();
  tenure::Schedule schedule("ten increments");
  schedule.MarkInput(input);
  schedule.MarkOutput(output);
  {
    tenure::Buffer from = input;
    for (int i = 0; i < 10; ++i) {
      tenure::Buffer to = i == 9 ? output : make();
      Check(schedule.AddStep({.name = "add 1", .reads = {from}, .writes = {to}}).ok(), "a step");
      from = to;
    }
  }
  absl::StatusOr<tenure::Plan> plan = tenure::MakePlan(schedule);
  Check(plan.ok() && plan->placements.size() == 9, "nine buffers lie between the steps");
  Check(plan->unplanned_bytes == 9 * 1024 && plan->arena_bytes == 2 * 1024, "two live at once");
  absl::StatusOr<tenure::Plan> again = tenure::LoadPlan(tenure::PlanToJson(*plan), schedule);
  Check(again.ok() && *again == *plan, "a plan is stored and loaded");

  // Nine and two buffers of 1 KiB would not fit into the budget; two and two do.
  absl::StatusOr<tenure::PlacedPlan> placed = tenure::PlacePlan(*again, schedule);
  Check(placed.ok(), "the plan is placed");
  Check(input.FillWith(int32_t{5}).ok(), "the input is filled");
  for (const tenure::Step& step : schedule.steps()) {
    const auto* from = static_cast<const int32_t*>(*step.reads[0].HostPointer());
    auto* to = static_cast<int32_t*>(*step.writes[0].MutableHostPointer());
    for (int i = 0; i < 256; ++i) to[i] = from[i] + 1;
  }
  Check(*output.Get<int32_t>({255}) == 15, "the steps ran");
  Check((*cpu)->Stats().peak_in_use_bytes <= 8192, "within the budget");
}

void MallocIsLibcs() {
  const uint64_t before = mallinfo2().uordblks;
  std::vector<void*> blocks;
  for (int i = 0; i < 1000; ++i) blocks.push_back(std::malloc(1000));
  Check(mallinfo2().uordblks - before >= 1000 * 1000, "malloc is libc's");
  for (void* block : blocks) std::free(block);
}

}  // namespace

int main() {
  PackingProblemsAreValues();
  ProblemsAreSolved();
  BuffersLiveInSpaces();
  SchedulesArePlannedAndPlaced();
  MallocIsLibcs();
  return failures == 0 ? 0 : 1;
}
