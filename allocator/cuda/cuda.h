// CUDA for embedding programs: the list of devices, streams as queues, and the features that only
// CUDA's memory has.
//
// Plain use of the memory needs none of this: `cuda:0`, `cuda-unified:0` and `cuda-pinned:0` are
// spaces like others, and Registry::Default().Get() returns their allocators.
//
// A scheduler that launches kernels reports them with two lines. Until the kernel is done, the host
// does not read the bytes of `buffer`, and nobody else gets them. No thread waits meanwhile:
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Stream> stream, Stream::Wrap(0, my_stream));
//   my_kernel<<<grid, block, 0, my_stream>>>(*buffer.MutableDeviceAddress());
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//   TENURE_RETURN_IF_ERROR(buffer.RecordUse(Access::kWrite, done));
//
// In the other direction, stream->WaitFor(fence) makes the stream wait for a copy, or for anything
// else that has a fence. TransferOptions::queue = stream.get() queues a copy on the stream itself.
//
// Freed bytes are reused when the fences of their uses are reached. A buffer that names the queue
// that uses it first (BufferOptions::hints.queue = stream) may reuse freed bytes early. Bytes last
// used on the same stream are reused at once. Bytes last used on another stream are reused only
// when the pool would otherwise be exhausted; the new stream then waits for the old one on the
// device. The old uses become uses of the new buffer, so the host and other queues wait for them as
// for any other. Zeroed buffers, and buffers made within a capture, do not reuse bytes early.
//
// Inside a stream capture, fills and copies with that queue become nodes of the graph. Conditions:
// the call does not wait, one side is device or managed memory, and the other side is that or
// page-locked memory. Everything else fails with FailedPrecondition and leaves the capture intact:
// Record, Synchronize, WaitFor with unreached fences, copies of pageable memory, copies from host
// memory to host memory, prefetches, and overlapping copies that need scratch memory. The caller
// must keep bytes that a graph uses allocated and in place for as long as the graph is launched.
//
// Cost: Record takes 0.4 to 0.6 us. Thread safety: thread-safe; a stream's order is the order of
// the calls.
// Ownership: streams share their device. Fences stay valid after their stream is gone.
// Errors: Unavailable without a driver or device, or if this was built without the CUDA Toolkit;
// and the driver's errors, with the driver's name and text for them.

#ifndef TENURE_ALLOCATOR_CUDA_CUDA_H_
#define TENURE_ALLOCATOR_CUDA_CUDA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::cuda {

// --- Devices

struct DeviceInfo {
  uint32_t ordinal = 0;  // of cuda:N
  std::string name;
  std::string uuid;        // as in nvidia-smi: GPU-xxxxxxxx-xxxx-...
  std::string pci_bus_id;  // 0000:1b:00.0
  int compute_major = 0;
  int compute_minor = 0;
  uint64_t memory_total_bytes = 0;
  uint64_t memory_free_bytes = 0;  // free now; 0 if the device can't be used
  int multiprocessors = 0;
  int copy_engines = 0;
  bool integrated = false;                 // shares the host's memory
  bool virtual_memory = false;             // supports cuMemCreate
  bool managed_memory = false;             // supports cuda-unified
  bool concurrent_managed_access = false;  // host and kernels may use it at the same time
  bool pageable_memory_access = false;     // kernels can read ordinary host memory
  int driver_version = 0;                  // 13000 is CUDA 13.0
};

// Lists all devices. Unavailable if there is no driver; empty if the driver sees no device. Takes
// 0.1 s or more for a device that is not in use yet.
absl::StatusOr<std::vector<DeviceInfo>> Devices();

// The device that `selector` names: an index ("1"), a UUID or the beginning of one ("GPU-3f2a"), or
// a part of a name that only one device has ("H200"). NotFound lists the devices.
absl::StatusOr<uint32_t> FindDevice(std::string_view selector);

// --- Streams

// A moment on a device's own clock, recorded when all earlier work of its stream is done.
class Timestamp {
 public:
  Timestamp() = default;
  // The time from `earlier` to this timestamp, to half a microsecond. Both must be of the same
  // device. The host waits for both.
  absl::StatusOr<absl::Duration> Since(const Timestamp& earlier) const;

  struct Recorded;
  explicit Timestamp(std::shared_ptr<Recorded> recorded) : recorded_(std::move(recorded)) {}

 private:
  std::shared_ptr<Recorded> recorded_;
};

// A CUDA stream as a Queue. Two objects that wrap one CUstream are two queues. Each waits for the
// other's fences on the device, which costs next to nothing.
class Stream : public Queue {
 public:
  // Makes a new stream, which does not wait for the legacy default stream.
  static absl::StatusOr<std::shared_ptr<Stream>> Create(uint32_t ordinal);
  // Wraps the embedding program's stream, which must outlive this object; 0 is the legacy default
  // stream. A stream that is made after another was destroyed needs a new Stream, even if the
  // driver reuses the old handle. CU_STREAM_PER_THREAD is InvalidArgument, because it is a
  // different stream in each thread.
  static absl::StatusOr<std::shared_ptr<Stream>> Wrap(uint32_t ordinal, uint64_t handle);
  std::string_view driver() const final { return "cuda"; }
  // The CUstream (cudaStream_t), for launches. It is the same as Queue::native_handle().
  uint64_t handle() const { return native_handle(); }
  virtual absl::StatusOr<Timestamp> RecordTimestamp() = 0;
  virtual absl::StatusOr<bool> IsCapturing() const = 0;

 protected:
  Stream() = default;
};

// --- Managed memory (cuda-unified): allocator.Capability<ResidencyCapability>(), capabilities.h

using ::tenure::AccessHint;
using UnifiedCapability = ResidencyCapability;

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_CUDA_H_
