// tenure run: the scheduler's job, for real.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "tenure/planner/packing/io/file.h"
#include "tenure/planner/plan_json.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/cli/trace_run.h"

namespace tenure::cli {
namespace {

struct RunFlags {
  PlanFlags plan;
  std::string weights = "copy";
  std::string plan_file;
  bool json = false;
};

absl::StatusOr<std::unique_ptr<WeightSource>> MakeWeights(const RunFlags& flags,
                                                          const Trace& trace) {
  if (flags.weights == "mmap") return MappedWeights(trace, Registry::Default(), flags.plan.threads);
  return CopiedWeights(trace, flags.plan.threads);
}

absl::Status Run(const RunFlags& flags, std::string& report, bool& match) {
  absl::StatusOr<Trace> trace = ReadTrace(flags.plan.trace);
  if (!trace.ok()) return trace.status();
  absl::StatusOr<MemorySpace> space = MemorySpace::Parse(flags.plan.space);
  if (!space.ok()) return space.status();
  absl::StatusOr<Allocator*> allocator = Registry::Default().Get(*space);
  if (!allocator.ok()) return allocator.status();
  absl::StatusOr<PlanOptions> options = flags.plan.Options();
  if (!options.ok()) return options.status();

  absl::StatusOr<PlannedTrace> planned = PlanTrace(*trace, **allocator, *options);
  if (!planned.ok()) return planned.status();
  if (!flags.plan_file.empty()) {
    absl::StatusOr<std::string> text = packing::ReadFile(flags.plan_file);
    if (!text.ok()) return text.status();
    absl::StatusOr<Plan> loaded = LoadPlan(*text, planned->job.schedule);
    if (!loaded.ok())
      return absl::Status(loaded.status().code(),
                          absl::StrCat(flags.plan_file, ": ", loaded.status().message()));
    planned->plan = *std::move(loaded);
  }

  absl::StatusOr<std::unique_ptr<WeightSource>> weights = MakeWeights(flags, *trace);
  if (!weights.ok()) return weights.status();
  RunOptions run{.threads = flags.plan.threads, .planned = false};
  absl::StatusOr<RunResult> reference = [&] {
    Progress progress("running unplanned");
    run.progress = [&progress](size_t done, size_t total) { progress.At(done, total); };
    return RunTrace(*trace, **allocator, **weights, run);
  }();
  if (!reference.ok()) return reference.status();
  run.planned = true;
  run.plan = &planned->plan;
  absl::StatusOr<RunResult> result = [&] {
    Progress progress("running planned");
    run.progress = [&progress](size_t done, size_t total) { progress.At(done, total); };
    return RunTrace(*trace, **allocator, **weights, run);
  }();
  if (!result.ok()) return result.status();
  const absl::Status compared = CompareRuns(*trace, *reference, *result);
  match = compared.ok();

  if (flags.json) {
    nlohmann::ordered_json out;
    out["trace"] = trace->name;
    out["file"] = flags.plan.trace;
    out["space"] = space->ToString();
    out["weights"] = flags.weights;
    AddPlanTo(*planned, out);
    out["run_seconds"] = result->seconds;
    out["unplanned_run_seconds"] = reference->seconds;
    out["outputs_match"] = match;
    out["digests"] = nlohmann::ordered_json::object();
    for (const auto& [base, digest] : result->digests)
      out["digests"][absl::StrCat(base)] = absl::StrFormat("%016x", digest);
    if (!match) out["mismatch"] = compared.message();
    report = out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  } else {
    report = PlanText(*planned);
    absl::StrAppendFormat(&report, "ran on %s in %.3f s (unplanned %.3f s); %d results %s\n",
                          space->ToString(), result->seconds, reference->seconds,
                          result->digests.size(),
                          match ? "equal those of the unplanned run, byte for byte"
                                : "DIFFER from those of the unplanned run");
  }
  return compared;
}

}  // namespace

int RunCommand(Args args) {
  RunFlags flags;
  FlagSet set("run",
              "runs a recorded schedule for real: makes lazy buffers and views for all of it, "
              "plans and places them, brings weights and "
              "inputs in, executes every op in order with the reference kernel, and compares every "
              "output, and every weight or input that ops "
              "write, with the same run unplanned.");
  flags.plan.AddTo(set);
  set.Add("weights", "",
          "weights and inputs are copied from host memory, or mapped from a file (what ops write "
          "is copied)",
          &flags.weights, FlagSet::kOptional, {"copy", "mmap"});
  set.Add("plan", "FILE", "place this plan, stored by 'tenure plan --output', instead of a new one",
          &flags.plan_file);
  set.Add("json", "", "one JSON object on stdout", &flags.json);
  set.AddNotes(
      "JSON: trace, file, space, weights, planner, alignment, ops, storages, planned, not_planned "
      "(reason: count), unplanned_bytes (what the planned "
      "storages\ntake each on its own), arenas (bytes of each), arena_bytes, lower_bound_bytes, "
      "optimal, deadline_hit, tlsf_bytes, "
      "greedy_by_size_bytes, reuse_edges,\nfills, plan_seconds, run_seconds, "
      "unplanned_run_seconds, outputs_match, digests (of each result, by "
      "storage), and mismatch (op and buffer) if there is one.");
  set.AddExample("tenure run --trace=resnet50_infer.json.gz");
  set.AddExample(
      "tenure run --trace=gpt2.json.gz --weights=mmap --planner=remap --json | jq .outputs_match");
  if (std::optional<int> code = set.Parse(args)) return *code;
  flags.plan.threads = std::max(1, flags.plan.threads);
  std::string report;
  bool match = false;
  const absl::Status status = Run(flags, report, match);
  if (!report.empty()) {
    if (const int code = Print("run", report); code != kDone) return code;
  }
  if (status.ok()) return kDone;
  return Fail("run", status, absl::IsDeadlineExceeded(status) ? kNoAnswer : kFailed);
}

}  // namespace tenure::cli
