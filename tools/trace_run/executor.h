// Executor: who runs the ops of a recorded schedule, and where.
//
// The host's runs each op on host memory before it returns. CUDA's queues each op on a stream of
// the space's device and says so with Buffer::RecordUse, as a compiler's scheduler does: the host
// runs ahead, and what a step drops is freed behind the kernels that still use it.
//
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
//                           MakeExecutor(trace, allocator, threads));
//   for each op: TENURE_RETURN_IF_ERROR(executor->RunOp(op, step));
//   TENURE_ASSIGN_OR_RETURN(ReadChain chain, executor->Finish());
//
// Thread safety: single-threaded. Ownership: borrows the trace; shares what it needs of the space.
// An executor that goes waits for what it has queued. Errors: what buffers give, after the op's
// buffer; Unimplemented where nobody can run ops in a space.

#ifndef TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_
#define TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tools/trace/trace.h"

namespace tenure::cli {

// Of each op, after each of its reads: everything it has read so far, mixed.
using ReadChain = std::vector<std::vector<uint64_t>>;

class Executor {
 public:
  virtual ~Executor() = default;

  // What ran the ops: "host", or the name of a device.
  virtual std::string_view name() const = 0;
  // Whether ops can read buffers that are mapped from a file.
  virtual bool ReadsMappedFiles() const = 0;
  // Before the next op, in its order.
  virtual absl::Status Zero(const Buffer& storage) = 0;
  // `step` is the op's, and may be dropped afterwards.
  virtual absl::Status RunOp(uint32_t op, const Step& step) = 0;
  // Waits until all ops are done.
  virtual absl::StatusOr<ReadChain> Finish() = 0;
};

// Unimplemented, and what to do instead, where there is no executor for the space.
absl::Status CheckCanRun(const Allocator& allocator);

// The one for the allocator's space. `threads` are the host's.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const Trace& trace, Allocator& allocator,
                                                       int threads);

// Of the device that the allocator's space belongs to; Unimplemented without the CUDA Toolkit.
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const Trace& trace,
                                                           Allocator& allocator);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_
