// tenure run: runs a schedule on real memory.

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/json_value.h"
#include "tenure/base/status_macros.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {
namespace {

struct RunFlags {
  PlanFlags plan;
  std::string weights = "copy";
  bool json = false;
};

// Runs the same schedule twice: with memory of its own for each storage, and as planned.
struct BothRuns {
  RunResult unplanned, planned;
};

absl::StatusOr<BothRuns> RunBoth(const RunFlags& flags, const PlannedTrace& planned,
                                 Allocator& allocator) {
  const Trace& trace = *planned.trace;
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<WeightSource> weights,
                          flags.weights == "mmap"
                              ? MappedWeights(trace, Registry::Default(), flags.plan.threads)
                              : CopiedWeights(trace, flags.plan.threads));
  BothRuns both;
  for (const Plan* plan : {static_cast<const Plan*>(nullptr), &planned.plan}) {
    Progress progress(plan == nullptr ? "running unplanned" : "running planned");
    RunOptions options{.threads = flags.plan.threads, .plan = plan};
    options.progress = [&progress](size_t done, size_t total) { progress.At(done, total); };
    TENURE_ASSIGN_OR_RETURN(RunResult result, RunTrace(trace, allocator, *weights, options));
    (plan == nullptr ? both.unplanned : both.planned) = std::move(result);
  }
  return both;
}

std::string Report(const RunFlags& flags, const PlannedTrace& planned, const BothRuns& runs,
                   const absl::Status& compared) {
  if (!flags.json) {
    const std::string& executor = runs.planned.executor;
    const std::string device = executor == "host" ? "" : absl::StrCat(" (", executor, ")");
    return absl::StrCat(
        PlanText(planned),
        absl::StrFormat("ran on %s%s in %.3f s (unplanned %.3f s); %d results %s\n",
                        flags.plan.space.ToString(), device, runs.planned.seconds,
                        runs.unplanned.seconds, runs.planned.digests.size(),
                        compared.ok() ? "equal those of the unplanned run, byte for byte"
                                      : "DIFFER from those of the unplanned run"));
  }
  JsonValue out;
  AddPlanTo(flags.plan, planned, out);
  out["weights"] = flags.weights;
  out["executor"] = runs.planned.executor;
  out["run_seconds"] = runs.planned.seconds;
  out["unplanned_run_seconds"] = runs.unplanned.seconds;
  out["outputs_match"] = compared.ok();
  out["digests"] = JsonValue::Object();
  for (const auto& [base, digest] : runs.planned.digests) {
    out["digests"][absl::StrCat(base)] = absl::StrFormat("%016x", digest);
  }
  if (!compared.ok()) out["mismatch"] = compared.message();
  return JsonLine(out);
}

}  // namespace

int RunCommand(Args args) {
  RunFlags flags;
  FlagSet set(
      "run",
      "Does a scheduler's job with a recorded schedule on real memory: makes lazy buffers and "
      "views for all of it, plans and places them, brings weights and inputs in, executes "
      "every op in order, and copies the results out. Then it does the same with every "
      "buffer in memory of its own, and compares every output, and every weight and input "
      "that ops write, byte for byte.");
  set.AddParagraph(
      "Ops run as a reference kernel whose every written byte depends on every byte read, so a "
      "plan that lets live buffers overlap is detected. Then the op and the buffer are named, and "
      "the exit status is 1. In the spaces of CUDA and Vulkan they run as kernels of the device, "
      "queued without the host waiting for any of them; elsewhere they run on the host.");
  flags.plan.AddTo(set);
  flags.plan.AddPlanFileTo(set);
  set.Add("weights", "",
          "weights and inputs: copied in from host memory, or mapped from a file in TMPDIR (what "
          "ops write, and all that a CUDA device reads, is copied)",
          &flags.weights, FlagSet::kOptional, {"copy", "mmap"});
  set.Add("json", "", "print one JSON object instead of text", &flags.json);
  AddPlanKeysTo(set);
  set.AddJsonKey("weights", "as asked for");
  set.AddJsonKey("executor", "the processor that ran the ops: host, or the name of a device");
  set.AddJsonKey("run_seconds", "time of all ops, planned");
  set.AddJsonKey("unplanned_run_seconds", "the same with every buffer in memory of its own");
  set.AddJsonKey("outputs_match", "whether all results are equal");
  set.AddJsonKey("digests", "of each result of the planned run, by buffer id");
  set.AddJsonKey("mismatch", "the first op that went wrong and the buffer; only if there is one");
  set.AddExample("tenure run --trace=tools/demo_schedules/tiny_transformer.json.gz");
  set.AddExample("tenure run --trace=model.json.gz --weights=mmap --json | jq .outputs_match");
  set.AddExample("tenure run --trace=model.json.gz --plan=plan.json");
  set.AddExample("tenure run --trace=model.json.gz --space=cuda:0");
  if (std::optional<int> code = set.Parse(args)) return *code;
  if (absl::Status status = flags.plan.Check(set); !status.ok()) {
    return FailUsage("run", status.message());
  }

  absl::StatusOr<Allocator*> allocator = Registry::Default().Get(flags.plan.space);
  if (!allocator.ok()) {
    const absl::Status& why = allocator.status();
    return Fail("run",
                absl::Status(why.code(),
                             absl::StrCat(why.message(), "; 'tenure plan --space=",
                                          flags.plan.space.ToString(), "' needs no such memory")));
  }
  if (absl::Status status = CheckCanRun(**allocator); !status.ok()) return Fail("run", status);
  absl::StatusOr<PlannedTrace> planned = PlanTrace(flags.plan);
  if (!planned.ok()) return Fail("run", planned.status());
  absl::StatusOr<BothRuns> runs = RunBoth(flags, *planned, **allocator);
  if (!runs.ok()) return Fail("run", runs.status());
  const absl::Status compared = CompareRuns(*planned->trace, runs->unplanned, runs->planned);
  const int printed = Print("run", Report(flags, *planned, *runs, compared));
  return compared.ok() ? printed : Fail("run", compared);
}

}  // namespace tenure::cli
