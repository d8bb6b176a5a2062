// A program that embeds tenure, for tools/dev/cmake_test and for Bazel: both must print client.txt. It
// makes a schedule, plans and places it, runs it on the CPU, and prints offsets and results.

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"

namespace {

constexpr int64_t kElements = 256;

// Each step adds its two inputs and a constant. Values are used again some steps later, so that the
// plan has something to decide.
absl::Status Run() {
  TENURE_ASSIGN_OR_RETURN(tenure::Allocator * cpu,
                          tenure::Registry::Default().Get(tenure::MemorySpace::Cpu()));
  std::vector<tenure::Buffer> values;
  tenure::Schedule schedule("sums");
  for (int i = 0; i < 10; ++i) {
    const int64_t rows = 1 + i % 3;
    TENURE_ASSIGN_OR_RETURN(tenure::Buffer value,
                            tenure::Buffer::Create(*cpu, tenure::DType::kInt32, {rows, kElements},
                                                   {.name = "v" + std::to_string(i)}));
    values.push_back(value);
  }
  schedule.MarkInput(values.front());
  schedule.MarkOutput(values.back());
  for (size_t i = 1; i < values.size(); ++i) {
    const tenure::Buffer& earlier = values[i < 4 ? 0 : i - 4];
    TENURE_RETURN_IF_ERROR(
        schedule.AddStep({.name = "add", .reads = {values[i - 1], earlier}, .writes = {values[i]}})
            .status());
  }
  const tenure::Buffer input = values.front(), output = values.back();
  values.clear();  // what lies between is the schedule's alone

  TENURE_ASSIGN_OR_RETURN(tenure::Plan plan, tenure::MakePlan(schedule));
  std::printf("arena %llu of %llu bytes\n", static_cast<unsigned long long>(plan.arena_bytes),
              static_cast<unsigned long long>(plan.unplanned_bytes));
  for (const tenure::Placement& placement : plan.placements) {
    std::printf("%s at %llu\n", placement.name.c_str(),
                static_cast<unsigned long long>(placement.offset_bytes));
  }
  TENURE_ASSIGN_OR_RETURN(tenure::Plan stored,
                          tenure::LoadPlan(tenure::PlanToJson(plan), schedule));
  std::printf("stored and loaded: %s\n", stored == plan ? "equal" : "different");

  TENURE_ASSIGN_OR_RETURN(tenure::PlacedPlan placed, tenure::PlacePlan(stored, schedule));
  TENURE_RETURN_IF_ERROR(input.FillWith(int32_t{3}));
  for (const tenure::Step& step : schedule.steps()) {
    TENURE_ASSIGN_OR_RETURN(const void* a, step.reads[0].HostPointer());
    TENURE_ASSIGN_OR_RETURN(const void* b, step.reads[1].HostPointer());
    TENURE_ASSIGN_OR_RETURN(void* to, step.writes[0].MutableHostPointer());
    const int64_t count = static_cast<int64_t>(step.writes[0].size() / sizeof(int32_t));
    for (int64_t i = 0; i < count; ++i) {
      static_cast<int32_t*>(to)[i] = static_cast<const int32_t*>(a)[i % kElements] +
                                     static_cast<const int32_t*>(b)[i % kElements] +
                                     static_cast<int32_t>(i % 7);
    }
  }
  std::vector<int32_t> result(kElements);
  TENURE_RETURN_IF_ERROR(output.CopyOut(absl::MakeSpan(result)));
  int64_t sum = 0;
  for (const int32_t value : result) sum += value;
  std::printf("result %d %d %d, sum %lld\n", result[0], result[1], result[255],
              static_cast<long long>(sum));
  return absl::OkStatus();
}

}  // namespace

int main() {
  const absl::Status status = Run();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
