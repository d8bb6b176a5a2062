// CopyEngine: the copies and fills of one CUDA device, for its three memory spaces and the routes
// between them.
//
// Addresses are unified: one number says where device, managed and page-locked memory is, of any
// device, so these need one kind of copy. What is left is ordinary host memory:
//
//   page-locked                     at the bus's rate, whoever has locked it
//   pageable, waited for, to 4 MiB  the driver's own copy: nothing has less overhead
//   pageable, larger                through page-locked memory on several threads (StagingRing), five
//                                   times as fast
//   pageable, not waited for        so too, lest the driver hold the caller; in, from 64 KiB on
//   pageable, in a caller's queue   the driver's own copy, whatever the size
//
// Where the caller is going to wait (CopyOptions::may_block), copies take a stream of their own for
// the call: nobody waits behind somebody else's copy. Others give a fence, and go
// - to three streams, one for each direction (to the device, from it, within it) ...
// - ... but to one of four more where they have to follow unreached fences of others: what stands
//   behind a late kernel holds up nothing but, when all four are taken, what does so too. No more
//   than four, as a process has eight hardware queues for a device (CUDA_DEVICE_MAX_CONNECTIONS):
//   on an H100 four streams that wait held up nobody, eight held up every kernel and copy of all
//   others, whatever their priorities;
// - to the caller's own stream (CopyOptions::queue), and, while that is being captured, into its
//   graph. What the graph can't hold is refused before the driver spoils the capture.
//
// Cost: a copy that is waited for, 0.5 us above the driver's; a fence 0.6 us.
// Thread safety: thread-safe. Ownership: shares the device, and is shared by its allocators; memory
// is borrowed until the fence. Errors: the driver's; FailedPrecondition for what has no place in a
// capture (cuda.h).

#ifndef TENURE_ALLOCATOR_CUDA_COPY_ENGINE_H_
#define TENURE_ALLOCATOR_CUDA_COPY_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/cuda/staging.h"
#include "tenure/allocator/cuda/stream.h"

namespace tenure::cuda {

class CopyEngine {
 public:
  // The device's, for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<CopyEngine>> Of(std::shared_ptr<Device> device);
  ~CopyEngine();

  const std::shared_ptr<Device>& device() const { return device_; }

  // To the device, from it, within it or between devices.
  enum class Direction { kIn, kOut, kWithin };

  // Host memory of any kind into memory of the device or of what it can reach, and back.
  absl::StatusOr<Fence> In(CUdeviceptr to, const void* from, uint64_t size_bytes,
                           const CopyOptions& options);
  absl::StatusOr<Fence> Out(void* to, CUdeviceptr from, uint64_t size_bytes,
                            const CopyOptions& options);
  // Between memories with unified addresses; they may overlap.
  absl::StatusOr<Fence> Between(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                                const CopyOptions& options,
                                Direction direction = Direction::kWithin);
  absl::StatusOr<Fence> Fill(CUdeviceptr to, uint64_t size_bytes, const FillPattern& pattern,
                             const CopyOptions& options);
  // What `read` brings, in pieces, from several threads. Unimplemented with a caller's queue.
  absl::StatusOr<Fence> InFrom(CUdeviceptr to, uint64_t size_bytes, StagingRing::Reader read,
                               const CopyOptions& options);

  // Small copies, gathered in page-locked memory: one wait for as many as that holds.
  absl::Status InMany(absl::Span<const BatchCapability::In> parts);
  absl::Status OutMany(absl::Span<const BatchCapability::Out> parts);

  // Puts what `queue_work` queues where the options say; what all of the above use. Exposed for
  // prefetches and the like.
  absl::StatusOr<Fence> Run(Direction direction, const CopyOptions& options,
                            absl::FunctionRef<absl::Status(CUstream)> queue_work) {
    return Run(direction, options, queue_work, nullptr);
  }

  // Waits for everything that is queued on the engine's own streams.
  absl::Status Synchronize();

 private:
  static constexpr size_t kMostSideStreams = 4;

  // What a copy moves, and whether by way of memory of its own: for what a graph can't hold.
  struct Move {
    CUdeviceptr to = 0;
    CUdeviceptr from = 0;
    uint64_t size_bytes = 0;
    bool by_way = false;
  };
  // A stream for copies that follow fences of others.
  struct SideStream {
    std::shared_ptr<DeviceStream> stream;
    Fence last;         // of what it was given
    uint64_t used = 0;  // when
    bool taken = false;
  };

  explicit CopyEngine(std::shared_ptr<Device> device)
      : device_(std::move(device)), staging_(CudaStagingLane::RingOptions(device_)) {}

  absl::StatusOr<Fence> Run(Direction direction, const CopyOptions& options,
                            absl::FunctionRef<absl::Status(CUstream)> queue_work, const Move* move);
  absl::Status CheckCapturable(const Move& move) const;
  // Whether one of them is unreached and not of the three lanes, which come to their ends by
  // themselves.
  bool AreOthers(absl::Span<const Fence> fences) ABSL_LOCKS_EXCLUDED(mutex_);
  // One with nothing to do, if there is one or can be.
  absl::StatusOr<std::shared_ptr<DeviceStream>> AcquireSideStream()
      ABSL_LOCKS_EXCLUDED(side_mutex_);
  void ReleaseSideStream(const DeviceStream& stream, const Fence& last)
      ABSL_LOCKS_EXCLUDED(side_mutex_);
  absl::StatusOr<std::shared_ptr<DeviceStream>> StreamOf(Direction direction)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Page-locked memory of kGatherBytes, for one call.
  absl::StatusOr<std::byte*> AcquireGatherMemory() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseGatherMemory(std::byte* memory) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<CUstream> AcquireStream() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseStream(CUstream stream) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CopyOverlapping(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                               CUstream stream);
  absl::Status QueueFill(CUdeviceptr to, uint64_t size_bytes, const FillPattern& pattern,
                         CUstream stream);

  const std::shared_ptr<Device> device_;
  absl::Mutex mutex_;
  std::shared_ptr<DeviceStream> direction_streams_[3] ABSL_GUARDED_BY(mutex_);
  std::vector<CUstream> idle_ ABSL_GUARDED_BY(mutex_);      // for calls that wait
  std::vector<std::byte*> gather_ ABSL_GUARDED_BY(mutex_);  // not in use
  absl::Mutex side_mutex_;                                  // events are asked under it
  std::vector<SideStream> side_streams_ ABSL_GUARDED_BY(side_mutex_);
  uint64_t side_stream_uses_ ABSL_GUARDED_BY(side_mutex_) = 0;
  StagingRing staging_;
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_COPY_ENGINE_H_
