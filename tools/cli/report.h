// What the subcommands that plan a trace say about a plan, as text and as JSON, and what they share
// otherwise.
//
// Thread safety: free functions. Errors: as what they call.

#ifndef TENURE_TOOLS_CLI_REPORT_H_
#define TENURE_TOOLS_CLI_REPORT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "nlohmann/json_fwd.hpp"
#include "tenure/allocator/registry.h"
#include "tenure/planner/planner.h"
#include "tenure/tools/cli/flags.h"
#include "tenure/tools/cli/trace_job.h"

namespace tenure::cli {

// Prints "tenure COMMAND: message" on stderr and returns `code`.
int Fail(std::string_view command, const absl::Status& status, int code = kFailed);

// Writes to stdout; an error (a full disk, a closed pipe) becomes the exit status.
int Print(std::string_view command, std::string_view text, int code = kDone);

// The flags that say how a trace is planned; the same in every subcommand that does.
struct PlanFlags {
  std::string trace;
  std::string space = "cpu";
  std::string planner = "arena";
  std::string effort = "fast";
  Bytes alignment{64};
  std::optional<absl::Duration> deadline;
  int threads = 2;

  void AddTo(FlagSet& flags);
  // From now on: the deadline starts here.
  absl::StatusOr<PlanOptions> Options() const;
};

// An allocator that planning alone may use for `space`: the real one where it is built here, else
// one of that name without bytes.
absl::StatusOr<std::unique_ptr<Allocator>> PlanningAllocator(const MemorySpace& space,
                                                             uint64_t max_allocation_bytes);

// A plan and what it was made of.
struct PlannedTrace {
  TraceJob job;
  Plan plan;
  double seconds = 0;  // of MakePlan
};
absl::StatusOr<PlannedTrace> PlanTrace(const Trace& trace, Allocator& allocator,
                                       const PlanOptions& options);

// Heights of the same storages, in one arena each lane, as other runtimes plan them; 0 where that
// does not apply.
struct Rivals {
  uint64_t tlsf_bytes = 0;            // tinygrad, svod: allocations and frees replayed in order
  uint64_t greedy_by_size_bytes = 0;  // TFLite, ExecuTorch
};
Rivals PlanAsOthersDo(const Plan& plan);

void AddPlanTo(const PlannedTrace& planned, nlohmann::ordered_json& out);
std::string PlanText(const PlannedTrace& planned);

// A line on stderr that is rewritten, when stderr is a terminal; nothing otherwise. Shows itself
// after half a second.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  void At(uint64_t done, uint64_t total);
  void Say(const std::string& text);

 private:
  bool Due();
  const std::string what_;
  const bool terminal_;
  const absl::Time start_;
  absl::Time shown_;
  bool any_ = false;
};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_REPORT_H_
