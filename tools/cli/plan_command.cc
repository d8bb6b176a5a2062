// tenure plan: where a schedule's buffers would go.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tenure/planner/packing/io/file.h"
#include "tenure/planner/plan_json.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/report.h"

namespace tenure::cli {
namespace {

absl::Status MakeAndReport(const PlanFlags& flags, uint64_t max_allocation,
                           const std::string& output, bool json, std::string& report) {
  absl::StatusOr<Trace> trace = ReadTrace(flags.trace);
  if (!trace.ok()) return trace.status();
  absl::StatusOr<MemorySpace> space = MemorySpace::Parse(flags.space);
  if (!space.ok()) return space.status();
  absl::StatusOr<std::unique_ptr<Allocator>> allocator = PlanningAllocator(*space, max_allocation);
  if (!allocator.ok()) return allocator.status();
  absl::StatusOr<PlanOptions> options = flags.Options();
  if (!options.ok()) return options.status();
  absl::StatusOr<PlannedTrace> planned = PlanTrace(*trace, **allocator, *options);
  if (!planned.ok()) return planned.status();
  if (!output.empty()) {
    if (absl::Status status = packing::WriteFile(output, PlanToJson(planned->plan) + "\n");
        !status.ok())
      return status;
  }
  if (json) {
    nlohmann::ordered_json out;
    out["trace"] = trace->name;
    out["file"] = flags.trace;
    out["space"] = space->ToString();
    AddPlanTo(*planned, out);
    report = out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  } else {
    report = PlanText(*planned);
  }
  return absl::OkStatus();
}

}  // namespace

int PlanCommand(Args args) {
  PlanFlags flags;
  std::string output;
  bool json = false;
  Bytes max_allocation{SpaceTraits::kUnlimited};
  FlagSet set("plan",
              "plans the memory of a recorded schedule and says how much it takes, beside what "
              "other runtimes' planners would need. Nothing is "
              "allocated, so any space can be planned on any machine.");
  flags.AddTo(set);
  std::optional<Bytes> limit;
  set.Add("max-allocation", "BYTES",
          "the largest allocation of the space: arenas beyond it are split", &limit);
  set.Add("output", "FILE",
          "write the plan as JSON, for 'tenure run --plan' or a program that loads it", &output);
  set.Add("json", "",
          "one JSON object on stdout, with the keys of 'tenure run' that concern the plan", &json);
  set.AddExample("tenure plan --trace=unet_sd15_infer.json.gz --space=cuda:0 --alignment=256");
  set.AddExample(
      "tenure plan --trace=model.json --effort=optimal --deadline=10s --output=plan.json --json");
  if (std::optional<int> code = set.Parse(args)) return *code;
  if (limit.has_value()) max_allocation = *limit;
  std::string report;
  const absl::Status status = MakeAndReport(flags, max_allocation.value, output, json, report);
  if (!status.ok())
    return Fail("plan", status, absl::IsDeadlineExceeded(status) ? kNoAnswer : kFailed);
  return Print("plan", report);
}

}  // namespace tenure::cli
