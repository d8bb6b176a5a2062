// tenure plan: plans the memory of a schedule.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tenure/base/files.h"
#include "tenure/base/json_value.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/shortage.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/explanation.h"
#include "tenure/tools/cli/interrupt.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/trace/text_file.h"

namespace tenure::cli {
namespace {

// Reports that there is no plan within the capacity.
int ReportShortage(const PlanFlags& flags, const PlannedTrace& planned, bool json) {
  const Shortage& shortage = planned.shortage;
  const int code = shortage.proven ? kInfeasible : kNoAnswer;
  const std::string_view status = shortage.proven ? "infeasible" : "none";
  const bool interrupted = planned.interrupted && !shortage.proven;
  if (!json) {
    return Print("plan",
                 absl::StrFormat("%s: %s within the capacity %d, in %.2f ms%s%s\n%s",
                                 internal_trace::OneLine(planned.trace->name), status,
                                 flags.capacity->value, planned.seconds * 1e3,
                                 interrupted ? ", " : "", interrupted ? CutShortBy(true) : "",
                                 ShortageText(shortage, planned.job.schedule)),
                 code);
  }
  JsonValue out;
  out["trace"] = planned.trace->name;
  out["file"] = flags.trace;
  out["space"] = flags.space.ToString();
  out["planner"] = flags.planner;
  out["alignment"] = flags.alignment.value;
  out["ops"] = planned.trace->ops.size();
  out["storages"] = planned.job.storages;
  out["status"] = status;
  if (interrupted) out["interrupted"] = true;
  out["capacity"] = flags.capacity->value;
  out["lower_bound_bytes"] = shortage.lower_bound_bytes;
  out["plan_seconds"] = planned.seconds;
  out["explanation"] = ExplanationJson(shortage, planned.job.schedule);
  return Print("plan", JsonLine(out), code);
}

}  // namespace

int PlanCommand(Args args) {
  PlanFlags flags;
  std::string output;
  bool json = false;
  FlagSet set("plan",
              "Plans the memory of a recorded schedule: finds how long each buffer lives, packs "
              "what may share bytes into arenas, and says how much memory that takes, beside what "
              "the planners of other runtimes would need; or, with --capacity, which ops and "
              "buffers need too much. Nothing is allocated or run, so any space can be planned on "
              "any machine.");
  flags.AddTo(set);
  flags.AddMaxAllocationTo(set);
  flags.AddPlannerTo(set);
  set.Add("output", "FILE",
          "write the plan as JSON, for 'tenure run --plan' or a program that loads it", &output);
  set.Add("json", "", "print one JSON object instead of text", &json);
  AddPlanKeysTo(set);
  set.AddJsonKey("order, capacity", "the values of the flags, if they were given");
  set.AddJsonKey("kept", "with --keep: the number of storages that stayed in their places");
  set.AddJsonKey("status",
                 "only if there is no plan: infeasible (proven), or none (none was found)");
  set.AddJsonKey(
      "explanation",
      "why there is none: capacity, lower_bound, proven; peak: bytes, the steps and ops, "
      "and the storages that live then, largest first; conflict: storages that cannot be "
      "packed together; irreducible: without any one of them the others can; space, queue");
  set.AddExample("tenure plan --trace=tools/demo_schedules/tiny_transformer.json.gz");
  set.AddExample("tenure plan --trace=model.json.gz --space=cuda:0 --alignment=256 --capacity=8G");
  set.AddExample(
      "tenure plan --trace=model.json.gz --effort=optimal --deadline=10s --output=p.json");
  if (std::optional<int> code = set.Parse(args)) return *code;

  absl::StatusOr<PlannedTrace> planned;
  {
    const Interrupt interrupt;
    planned = PlanTrace(flags, interrupt.flag());
  }
  if (!planned.ok()) return Fail("plan", planned.status());
  if (planned->shortage.happened()) {
    if (!output.empty()) {
      Warn("plan", absl::StrCat("there is no plan, so ", output, " was not written"));
    }
    return ReportShortage(flags, *planned, json);
  }
  if (planned->kept && 2 * planned->alike < planned->plan.placements.size()) {
    Warn("plan", absl::StrCat("of the storages planned, only ", planned->alike, " of ",
                              planned->plan.placements.size(), " live during the steps that ",
                              flags.keep, " has for them; is it the plan of another schedule?"));
  }
  if (!output.empty()) {
    const absl::Status written = WriteFile(output, PlanToJson(planned->plan) + "\n");
    if (!written.ok()) return Fail("plan", written);
  }
  if (!json) {
    std::string text = PlanText(*planned);
    if (planned->kept) {
      absl::StrAppend(&text, "  kept where they were: ", *planned->kept, " of ",
                      planned->plan.placements.size(), " storages");
      const Plan& plan = planned->plan;
      if (plan.lower_bound_bytes > 0 && !plan.optimal) {
        absl::StrAppendFormat(
            &text, ", at %.3f of the lower bound; without --keep it may be less",
            static_cast<double>(plan.arena_bytes) / static_cast<double>(plan.lower_bound_bytes));
      }
      text += "\n";
    }
    return Print("plan", text);
  }
  JsonValue out;
  AddPlanTo(flags, *planned, out);
  if (set.Given("order")) out["order"] = flags.order;
  if (flags.capacity) out["capacity"] = flags.capacity->value;
  if (planned->kept) out["kept"] = *planned->kept;
  return Print("plan", JsonLine(out));
}

}  // namespace tenure::cli
