// CUDA as the embedding program meets it: which devices there are, its streams as timelines, and
// what only CUDA's memory can do.
//
// The memory itself needs none of this: `cuda:0`, `cuda-unified:0` and `cuda-pinned:0` are spaces
// like others, and Registry::Default().Get() gives their allocators.
//
// A scheduler that launches kernels tells tenure so in two lines. Bytes of `buffer` are then
// neither read by the host nor given to anybody else before the kernel is done, and nobody waits
// meanwhile:
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Stream> stream, Stream::Wrap(0, my_stream));
//   my_kernel<<<grid, block, 0, my_stream>>>(*buffer.MutableDeviceAddress());
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//   TENURE_RETURN_IF_ERROR(buffer.RecordUse(Access::kWrite, done));
//
// The other way round, work on the stream follows a copy (or whatever has a fence) by
// stream->WaitFor(fence), and a copy is queued on the stream itself by TransferOptions::queue =
// stream.get().
//
// Freed bytes are given again when the fences of their uses are reached. A buffer that says which
// queue uses it first (BufferOptions::hints.queue = stream) may reuse freed bytes early. Bytes last
// used on the same stream are reused at once. Bytes last used on another stream are reused only
// when the pool would otherwise be exhausted; the new stream then waits for the old one on the
// device. The old uses become uses of the new buffer, so the host and other queues wait for them as
// for any other. Zeroed buffers, and buffers made within a capture, do not reuse bytes early.
//
// Inside a stream capture: fills and copies with that queue become nodes of the graph if they are
// not waited for and one side is a device's or managed memory, the other one that or page-locked.
// The rest is FailedPrecondition and leaves the capture as it was: Record, Synchronize, WaitFor
// what is not reached, copies of pageable memory or within the host's, prefetches, copies onto
// themselves that go by way of other memory. Bytes that a graph uses must stay where they are, and
// allocated, for as long as it is launched: the caller sees to that.
//
// Cost: Record 0.4 to 0.6 us. Thread safety: thread-safe; a stream's order is that of the calls.
// Ownership: streams share their device; fences stay good when their stream is gone.
// Errors: Unavailable without driver or device, or where this was built without the CUDA Toolkit;
// the driver's, with its name and text for them.

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
  std::string uuid;        // as nvidia-smi prints it: GPU-xxxxxxxx-xxxx-...
  std::string pci_bus_id;  // 0000:1b:00.0
  int compute_major = 0;
  int compute_minor = 0;
  uint64_t memory_total_bytes = 0;
  uint64_t memory_free_bytes = 0;  // by all processes; 0 where the device can't be used
  int multiprocessors = 0;
  int copy_engines = 0;
  bool integrated = false;                 // shares the host's memory
  bool virtual_memory = false;             // cuMemCreate and what goes with it
  bool managed_memory = false;             // cuda-unified
  bool concurrent_managed_access = false;  // host and kernels may use it at the same time
  bool pageable_memory_access = false;     // kernels can read ordinary host memory
  int driver_version = 0;                  // 13000 is CUDA 13.0
};

// All of them. Unavailable where there is no driver; empty where the driver sees no device. Takes
// 0.1 s and more where a device is not in use yet.
absl::StatusOr<std::vector<DeviceInfo>> Devices();

// The one that `selector` means: an index ("1"), a UUID or the beginning of one ("GPU-3f2a"), or a
// part of a name that only one has ("H200"). NotFound lists what there is.
absl::StatusOr<uint32_t> FindDevice(std::string_view selector);

// --- Streams

// A moment of a device's own clock: what came before it on its stream is done.
class Timestamp {
 public:
  Timestamp() = default;
  // From `earlier` to this one, of the same device; to half a microsecond. Waits for both, on the
  // host.
  absl::StatusOr<absl::Duration> Since(const Timestamp& earlier) const;

  struct Recorded;
  explicit Timestamp(std::shared_ptr<Recorded> recorded) : recorded_(std::move(recorded)) {}

 private:
  std::shared_ptr<Recorded> recorded_;
};

// A CUDA stream as a Queue. Two objects that wrap one CUstream are two queues: each waits for the
// fences of the other, on the device, which costs next to nothing.
class Stream : public Queue {
 public:
  // A stream of its own, which does not wait for the legacy default stream.
  static absl::StatusOr<std::shared_ptr<Stream>> Create(uint32_t ordinal);
  // The embedding program's stream, which must live as long as this; 0 is the legacy default
  // stream. A stream that is made after another was destroyed needs a Stream of its own, also where
  // the driver gives the old handle again. CU_STREAM_PER_THREAD is InvalidArgument: it is as many
  // streams as threads.
  static absl::StatusOr<std::shared_ptr<Stream>> Wrap(uint32_t ordinal, uint64_t handle);
  std::string_view driver() const final { return "cuda"; }
  // The CUstream (cudaStream_t), for launches; Queue's name for it is native_handle().
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
