// Executor: launches the ops of a recorded schedule on the queue of the host or of a device.
//
// Execution (planner/execution/execution.h) allocates, orders, zeroes and records uses. An executor
// gives the kernels of one op to its queue. The host's queue is a thread. A device's is a stream of
// CUDA's or a queue of Vulkan's: the host runs ahead, and buffers that a step releases are freed
// behind the kernels that still use them.
//
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Executor> executor,
//                           MakeExecutor(trace, allocator, threads));
//   TENURE_ASSIGN_OR_RETURN(Execution execution, Execution::Create(..., {executor->queue()}));
//   TENURE_RETURN_IF_ERROR(
//       execution.Run([&](const StepContext& op) { return executor->Launch(op); }));
//   TENURE_RETURN_IF_ERROR(execution.Wait());
//   TENURE_ASSIGN_OR_RETURN(ReadChain chain, executor->Finish());
//
// Thread safety: single-threaded. Ownership: borrows the trace and shares the needed parts of the
// space. The destructor waits for all ops that were launched. Errors: those of the driver and of
// the kernel; Unimplemented for a space in which no executor can run ops.

#ifndef TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_
#define TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/queue.h"
#include "tenure/planner/execution/execution.h"
#include "tenure/tools/trace/trace.h"

namespace tenure::cli {

// For each op, and after each of its reads: the mix of everything that it has read so far.
using ReadChain = std::vector<std::vector<uint64_t>>;

class Executor {
 public:
  virtual ~Executor() = default;

  // The name of the processor that runs the ops: "host", or the name of a device.
  virtual std::string_view name() const = 0;
  // Returns whether ops can read buffers that are mapped from a file.
  virtual bool ReadsMappedFiles() const = 0;
  // The queue that all ops are launched on.
  virtual std::shared_ptr<Queue> queue() const = 0;
  // ExecutionOptions::max_steps_ahead.
  virtual uint32_t max_steps_ahead() const = 0;
  // Gives the op to the queue. Steps have the numbers of the trace's ops.
  virtual absl::Status Launch(const StepContext& op) = 0;
  // Waits until all ops are done.
  virtual absl::StatusOr<ReadChain> Finish() = 0;
};

// Returns Unimplemented, with advice, if there is no executor for the space.
absl::Status CheckCanRun(const Allocator& allocator);

// Makes the executor for the allocator's space. `threads` applies to the host.
absl::StatusOr<std::unique_ptr<Executor>> MakeExecutor(const Trace& trace, Allocator& allocator,
                                                       int threads);

// Make the executor for the device of the allocator's space. MakeCudaExecutor returns Unimplemented
// if built without the CUDA Toolkit.
absl::StatusOr<std::unique_ptr<Executor>> MakeCudaExecutor(const Trace& trace,
                                                           Allocator& allocator);
absl::StatusOr<std::unique_ptr<Executor>> MakeVulkanExecutor(const Trace& trace,
                                                             Allocator& allocator);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_EXECUTOR_H_
