// tenure plan: where a schedule's buffers would go.

#include <string>

#include "nlohmann/json.hpp"
#include "tenure/planner/packing/io/file.h"
#include "tenure/planner/plan_json.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/report.h"

namespace tenure::cli {

int PlanCommand(Args args) {
  PlanFlags flags;
  std::string output;
  bool json = false;
  FlagSet set("plan",
              "Plans the memory of a recorded schedule: finds how long each buffer lives, packs "
              "what may share bytes into arenas, and says how much memory that takes, beside what "
              "the planners of other runtimes would need. Nothing is allocated or run, so any "
              "space can be planned on any machine.");
  flags.AddTo(set);
  flags.AddMaxAllocationTo(set);
  set.Add("output", "FILE",
          "write the plan as JSON, for 'tenure run --plan' or a program that loads it", &output);
  set.Add("json", "", "print one JSON object instead of text", &json);
  AddPlanKeysTo(set);
  set.AddExample("tenure plan --trace=tools/demo_schedules/tiny_transformer.json.gz");
  set.AddExample("tenure plan --trace=model.json.gz --space=cuda:0 --alignment=256");
  set.AddExample(
      "tenure plan --trace=model.json.gz --effort=optimal --deadline=10s --output=p.json");
  if (std::optional<int> code = set.Parse(args)) return *code;

  absl::StatusOr<PlannedTrace> planned = PlanTrace(flags);
  if (!planned.ok()) return Fail("plan", planned.status());
  if (!output.empty()) {
    const absl::Status written = packing::WriteFile(output, PlanToJson(planned->plan) + "\n");
    if (!written.ok()) return Fail("plan", written);
  }
  if (!json) return Print("plan", PlanText(*planned));
  nlohmann::ordered_json out;
  AddPlanTo(flags, *planned, out);
  return Print("plan", JsonLine(out));
}

}  // namespace tenure::cli
