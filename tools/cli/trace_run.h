// Runs a TraceJob with the reference kernel, step by step, on host-accessible memory, and compares
// two runs.
//
// Thread safety: one run at a time a job. Ownership: borrows what it is given.
// Errors: what allocation and copies give; Unimplemented where the host can't reach the space's
// bytes.

#ifndef TENURE_TOOLS_CLI_TRACE_RUN_H_
#define TENURE_TOOLS_CLI_TRACE_RUN_H_

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
#include "tenure/tools/cli/trace_job.h"

namespace tenure::cli {

// Where weights and inputs come from.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Buffers to be used as they are (mapped), by id; the job makes the others.
  virtual absl::StatusOr<std::map<uint32_t, Buffer>> Given() = 0;
  // Brings the contents of weight or input `base` into `to`.
  virtual absl::Status Load(uint32_t base, const Buffer& to) = 0;
};

// Computed into host memory and copied in.
std::unique_ptr<WeightSource> CopiedWeights(const Trace& trace, int threads);

// Written to a temporary file once, which is mapped: what no op writes is read in place, the rest
// is copied. The file goes when the source does.
absl::StatusOr<std::unique_ptr<WeightSource>> MappedWeights(const Trace& trace, Registry& registry,
                                                            int threads);

// What a run left behind.
struct RunResult {
  std::map<uint32_t, uint64_t> digests;            // of each result
  std::map<uint32_t, std::vector<uint8_t>> bytes;  // of each result, copied out
  std::vector<std::vector<uint64_t>>
      read_chain;      // after each read of each op: everything read so far, mixed
  double seconds = 0;  // ops alone
};

struct RunOptions {
  int threads = 2;
  bool planned = true;         // false: every storage on its own
  const Plan* plan = nullptr;  // with planned
  bool check_plan = true;      // false only in tests that place a wrong plan
  std::function<void(size_t done, size_t total)> progress = {};
};

absl::StatusOr<RunResult> RunTrace(const Trace& trace, Allocator& allocator, WeightSource& weights,
                                   const RunOptions& options);

// OK, or DataLoss naming the first op that read other bytes than in the reference run and the
// buffer, or the result that came out differently.
absl::Status CompareRuns(const Trace& trace, const RunResult& reference, const RunResult& run);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_TRACE_RUN_H_
