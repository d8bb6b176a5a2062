// DeviceExecutor: runs ops as kernels of a device. Nothing comes back to the host before the end:
// digests are added up on the device, and the bytes that an op has read seed its writes there.
//
//   op 3, two reads, one write      sums  | ... | s | s | ...      AddDigest, AddDigest
//                                   chain | ... | c | c | ...      Chain
//                                                     `------- Fill
//
// Each API of devices brings a DeviceWork: a queue, the kernels, and some memory.
//
// Thread safety: single-threaded. Ownership: as for Executor (executor.h); owns the DeviceWork.
// Errors: those of the driver, with the name of the buffer.

#ifndef TENURE_TOOLS_TRACE_RUN_DEVICE_EXECUTOR_H_
#define TENURE_TOOLS_TRACE_RUN_DEVICE_EXECUTOR_H_

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/queue.h"
#include "tenure/tools/trace/op_kernels.h"
#include "tenure/tools/trace_run/executor.h"

namespace tenure::cli {

class DeviceWork {
 public:
  // Waits for all that was queued: kernels may use buffers of others until then.
  virtual ~DeviceWork() = default;

  virtual std::string_view device_name() const = 0;
  virtual std::shared_ptr<Queue> queue() const = 0;
  virtual const OpKernels& kernels() const = 0;
  // Gives the address of so many zero words, which stay for as long as the object. Called once.
  virtual absl::StatusOr<uint64_t> AllocateZeros(uint64_t words) = 0;
  // Queues the operations that `give` gives to the kernels. Its argument is their `work`.
  virtual absl::Status Submit(absl::FunctionRef<absl::Status(uint64_t work)> give) = 0;
  // Waits for all that was queued, and reads words of the device.
  virtual absl::StatusOr<std::vector<uint64_t>> Read(uint64_t address, uint64_t words) = 0;
};

absl::StatusOr<std::unique_ptr<Executor>> MakeDeviceExecutor(const Trace& trace,
                                                             std::unique_ptr<DeviceWork> work);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_TRACE_RUN_DEVICE_EXECUTOR_H_
