// What the subcommands that plan a recorded schedule share: their flags, the planning, and what
// they say about a plan, as text and as JSON.
//
// Example:
//   PlanFlags flags;
//   flags.AddTo(set);
//   ... set.Parse(args) ...
//   absl::StatusOr<PlannedTrace> planned = PlanTrace(flags);
//   if (!planned.ok()) return Fail("plan", planned.status());
//   return Print("plan", PlanText(*planned));
//
// Thread safety: free functions. Errors: as what they call.

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

// As many as there are processors; more than 16 would only get into each other's way.
int DefaultThreads();

// The flags that say how a trace is planned; the same in every subcommand that does.
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
  std::optional<Bytes> capacity;        // AddPlannerTo, and all that follow
  std::optional<Count> max_nodes;
  std::string order = "total";
  std::string keep;
  absl::Duration explain = kExplainTime;

  void AddTo(FlagSet& set, FlagSet::Need trace_need = FlagSet::kRequired);
  void AddMaxAllocationTo(FlagSet& set);
  void AddPlanFileTo(FlagSet& set);
  // The rest of what the planner takes: for the command that only plans.
  void AddPlannerTo(FlagSet& set);
  // After Parse: refuses --plan together with what the plan says already.
  absl::Status Check(const FlagSet& set) const;
};

// A plan and what it was made of.
struct PlannedTrace {
  std::unique_ptr<Allocator> allocator;  // of the job's buffers: the space's name, and no bytes
  std::unique_ptr<const Trace> trace;
  TraceJob job;
  Plan plan;
  double seconds = 0;        // of MakePlan, or of loading and validating --plan
  bool interrupted = false;  // `cancel` became true meanwhile
  // With --keep: storages that lie where they lay.
  std::optional<size_t> kept;
  // Also: those whose first and last steps are what they were. Few, if it is the plan of another
  // schedule; all, if only sizes changed.
  size_t alike = 0;
  // Only with --capacity: it happened, and there is no plan.
  Shortage shortage;
};

// Reads the trace and plans it. No memory of the space is needed or touched, so that any space can
// be planned on any machine. The deadline starts here. `cancel` ends the work soon after it becomes
// true (interrupt.h); may be null.
absl::StatusOr<PlannedTrace> PlanTrace(const PlanFlags& flags,
                                       const std::atomic<bool>* cancel = nullptr);

// GreedyBySize is quadratic: beyond this it would take longer than what it is compared with.
inline constexpr size_t kMostForGreedyBySize = 20000;

// Heights of the same storages, in one arena for each queue, as other runtimes plan them; 0 where
// that was not tried.
struct Rivals {
  uint64_t tlsf_bytes = 0;            // tinygrad, svod: allocations and frees replayed in order
  uint64_t greedy_by_size_bytes = 0;  // TFLite, ExecuTorch
};
Rivals PlanAsOthersDo(const Plan& plan);

// The keys of --json that tell of the schedule and its plan, and what they mean.
void AddPlanTo(const PlanFlags& flags, const PlannedTrace& planned, JsonValue& out);
void AddPlanKeysTo(FlagSet& set);

std::string PlanText(const PlannedTrace& planned);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_REPORT_H_
