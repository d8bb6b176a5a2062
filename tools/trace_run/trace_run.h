// Runs a recorded schedule with the reference kernel, step by step, on the host or on a CUDA device
// (executor.h), planned or not, and compares two runs.
//
// Example:
//   std::unique_ptr<WeightSource> weights = CopiedWeights(trace, threads);
//   TENURE_ASSIGN_OR_RETURN(RunResult apart, RunTrace(trace, cpu, *weights, {}));
//   TENURE_ASSIGN_OR_RETURN(RunResult planned, RunTrace(trace, cpu, *weights, {.plan = &plan}));
//   TENURE_RETURN_IF_ERROR(CompareRuns(trace, apart, planned));
//
// Thread safety: single-threaded; a run uses as many threads as it is allowed. Ownership: borrows
// its arguments. Errors: those of allocation, placing and copies, with the op and the buffer;
// Unimplemented if no executor can run ops in the space; DataLoss if two runs differ.

#ifndef TENURE_TOOLS_TRACE_RUN_TRACE_RUN_H_
#define TENURE_TOOLS_TRACE_RUN_TRACE_RUN_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/registry.h"
#include "tenure/planner/planner.h"
#include "tenure/tools/trace_run/executor.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure::cli {

// The source of weights and inputs.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Returns buffers that are used directly (mapped ones), by id. The job makes the others.
  virtual absl::StatusOr<std::map<uint32_t, Buffer>> Given() = 0;
  // Writes the contents of weight or input `base` into `to`.
  virtual absl::Status Load(uint32_t base, const Buffer& to) = 0;
};

// Computes the contents in host memory and copies them in.
std::unique_ptr<WeightSource> CopiedWeights(const Trace& trace, int threads);

// Writes the contents to a temporary file (in TMPDIR) and maps it. Buffers that no op writes are
// read in place if ops can do so, and the others are copied. The file has lost its name when this
// returns, so nothing is left behind however the process ends.
absl::StatusOr<std::unique_ptr<WeightSource>> MappedWeights(const Trace& trace, Registry& registry,
                                                            int threads);

// The results of a run.
struct RunResult {
  // The bytes of outputs, and of weights and inputs that ops write, by id of the storage.
  std::map<uint32_t, uint64_t> digests;
  std::map<uint32_t, std::vector<uint8_t>> bytes;
  ReadChain read_chain;
  double seconds = 0;    // of the ops
  std::string executor;  // the executor's name
};

struct RunOptions {
  int threads = 1;
  const Plan* plan = nullptr;  // null: every storage in memory of its own
  bool check_plan = true;      // false only in tests that place a wrong plan
  std::function<void(size_t done, size_t total)> progress = {};
};

absl::StatusOr<RunResult> RunTrace(const Trace& trace, Allocator& allocator, WeightSource& weights,
                                   const RunOptions& options);

// Returns OK, or DataLoss. DataLoss names the first op that read other bytes than in the reference
// run and the buffer, or the result that differs.
absl::Status CompareRuns(const Trace& trace, const RunResult& reference, const RunResult& run);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_TRACE_RUN_H_
