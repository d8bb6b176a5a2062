// Shared by the subcommands that plan a recorded schedule: their flags, the planning, and the
// description of a plan as text and as JSON.
//
// Example:
//   PlanFlags flags;
//   flags.AddTo(set);
//   ... set.Parse(args) ...
//   absl::StatusOr<PlannedTrace> planned = PlanTrace(flags);
//   if (!planned.ok()) return Fail("plan", planned.status());
//   return Print("plan", PlanText(*planned));
//
// Thread safety: free functions. Errors: those of the functions that they call.

#ifndef TENURE_TOOLS_CLI_REPORT_H_
#define TENURE_TOOLS_CLI_REPORT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/base/json_value.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/shortage.h"
#include "tenure/tools/cli/explanation.h"
#include "tenure/tools/cli/flags.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {

// Returns the number of processors, at most 16: more threads would only slow each other down.
int DefaultThreads();

// The flags that control how a trace is planned. They are the same in every subcommand that plans.
struct PlanFlags {
  std::string trace;
  MemorySpace space;
  std::string planner = "arena";
  std::string effort = "fast";
  PowerOfTwo alignment{64};
  std::optional<absl::Duration> deadline;
  int threads = DefaultThreads();
  std::optional<Bytes> max_allocation;  // AddMaxAllocationTo
  std::string plan_file;                // AddPlanFileTo
  std::optional<Bytes> capacity;        // AddPlannerTo, and all members below
  std::optional<Count> max_nodes;
  std::string order = "total";
  std::string outputs = "own";
  std::string keep;
  absl::Duration explain = kExplainTime;

  void AddTo(FlagSet& set, FlagSet::Need trace_need = FlagSet::kRequired);
  void AddMaxAllocationTo(FlagSet& set);
  void AddPlanFileTo(FlagSet& set);
  // The remaining options of the planner, for the command that only plans.
  void AddPlannerTo(FlagSet& set);
  // After Parse: refuses --plan together with flags that the plan already determines.
  absl::Status Check(const FlagSet& set) const;
};

// A plan and its inputs.
struct PlannedTrace {
  std::unique_ptr<Allocator> allocator;  // of the job's buffers; has the space's name, but no bytes
  std::unique_ptr<const Trace> trace;
  TraceJob job;
  Plan plan;
  double seconds = 0;        // of MakePlan, or of loading and validating --plan
  bool interrupted = false;  // `cancel` became true during the planning
  // With --keep: the number of storages that stayed in their places.
  std::optional<size_t> kept;
  // The number of storages whose first and last steps are unchanged. It is small if the plan is of
  // another schedule, and counts all storages if only sizes changed.
  size_t alike = 0;
  // Only with --capacity: the shortage, if it happened. There is no plan then.
  Shortage shortage;
};

// Reads the trace and plans it. No memory of the space is needed or touched, so any space can be
// planned on any machine. The deadline starts here. The work ends soon after `cancel` becomes true
// (interrupt.h); it may be null.
absl::StatusOr<PlannedTrace> PlanTrace(const PlanFlags& flags,
                                       const std::atomic<bool>* cancel = nullptr);

// GreedyBySize is quadratic. With more storages than this it would take longer than the planner
// that it is compared with.
inline constexpr size_t kMostForGreedyBySize = 20000;

// The heights of the same storages, in one arena for each queue, as other runtimes plan them. A
// height is 0 if it was not computed.
struct Rivals {
  uint64_t tlsf_bytes = 0;            // tinygrad, svod: allocations and frees replayed in order
  uint64_t greedy_by_size_bytes = 0;  // TFLite, ExecuTorch
};
Rivals PlanAsOthersDo(const Plan& plan);

// The keys of --json that describe the schedule and its plan, with their meaning.
void AddPlanTo(const PlanFlags& flags, const PlannedTrace& planned, JsonValue& out);
void AddPlanKeysTo(FlagSet& set);

std::string PlanText(const PlannedTrace& planned);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_REPORT_H_
