// CopyEngine: does the copies and fills of one CUDA device, for its three memory spaces and the
// routes between them.
//
// Addresses are unified: one number identifies device, managed or page-locked memory of any device,
// so one kind of copy serves them all. Only ordinary host memory differs:
//
//   page-locked                     at the speed of the bus
//   pageable, waited for, to 4 MiB  the driver's own copy, which has the least overhead
//   pageable, larger                through page-locked memory on several threads (StagingRing), five
//                                   times as fast
//   pageable, not waited for        the same, because the driver would block the caller; copies
//                                   to the device only from 64 KiB on
//   pageable, in a caller's queue   the driver's own copy, whatever the size
//
// If the caller waits (CopyOptions::may_block), the copy has a stream of its own for the call and
// never waits behind another copy. Other copies return a fence, and use one of these streams:
// - One of three direction streams: to the device, from it, within it.
// - One of four side streams, if the copy must wait for unreached fences of other streams. A copy
//   behind a late kernel then delays no other copy, unless all four side streams are taken. There
//   are only four, because a process has eight hardware queues for a device
//   (CUDA_DEVICE_MAX_CONNECTIONS). On an H100, four waiting streams delayed nothing; eight delayed
//   every kernel and copy of all other streams, whatever their priorities.
// - The caller's own stream (CopyOptions::queue). While that is being captured, the copy becomes a
//   node of the graph. Work that the graph can't contain is refused before it reaches the driver,
//   which would invalidate the capture.
//
// Cost: a copy that the caller waits for takes 0.5 us more than the driver's call; a fence takes
// 0.6 us.
// Thread safety: thread-safe. Ownership: shares the device, and is shared by the device's
// allocators. Memory is borrowed until the fence is reached. Errors: the driver's;
// FailedPrecondition for work that a stream capture cannot contain (cuda.h).

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
  // The engine of the device. It is the same object for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<CopyEngine>> Of(std::shared_ptr<Device> device);
  ~CopyEngine();

  const std::shared_ptr<Device>& device() const { return device_; }

  // To the device, from it, within it or between devices.
  enum class Direction { kIn, kOut, kWithin };

  // Copies between host memory of any kind and memory that the device can reach.
  absl::StatusOr<Fence> In(CUdeviceptr to, const void* from, uint64_t size_bytes,
                           const CopyOptions& options);
  absl::StatusOr<Fence> Out(void* to, CUdeviceptr from, uint64_t size_bytes,
                            const CopyOptions& options);
  // Memory that a copy between overlapping ranges passes through. The caller keeps it until the
  // copy's fence is reached.
  struct Scratch {
    CUdeviceptr address;  // 0: none
    uint64_t size_bytes;
  };
  // The size of the scratch memory that makes this copy fast. 0: it needs none.
  static uint64_t ScratchBytes(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes);
  // Copies between memories with unified addresses. The ranges may overlap. If such a copy needs
  // scratch memory and has none, it is done in pieces as long as the distance between the ranges.
  // For small distances it passes through page-locked memory of the engine, at the speed of the bus.
  absl::StatusOr<Fence> Between(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                                const CopyOptions& options,
                                Direction direction = Direction::kWithin, Scratch scratch = {0, 0});
  absl::StatusOr<Fence> Fill(CUdeviceptr to, uint64_t size_bytes, const FillPattern& pattern,
                             const CopyOptions& options);
  // Copies the bytes that `read` provides, piece by piece, from several threads. Unimplemented with
  // a caller's queue.
  absl::StatusOr<Fence> InFrom(CUdeviceptr to, uint64_t size_bytes, StagingRing::Reader read,
                               const CopyOptions& options);

  // Small copies, gathered in page-locked memory. There is one wait for as many as fit into it.
  absl::Status InMany(absl::Span<const BatchCapability::In> parts);
  absl::Status OutMany(absl::Span<const BatchCapability::Out> parts);

  // Runs `queue_work` on the stream that the options select. All of the above use this. Public for
  // prefetches and similar work.
  absl::StatusOr<Fence> Run(Direction direction, const CopyOptions& options,
                            absl::FunctionRef<absl::Status(CUstream)> queue_work) {
    return Run(direction, options, queue_work, nullptr);
  }

  // Waits for everything that is queued on the engine's own streams.
  absl::Status Synchronize();

 private:
  static constexpr size_t kMostSideStreams = 4;

  // The operands of a copy, and whether it needs scratch memory. Used to refuse copies that a graph
  // cannot contain.
  struct Move {
    CUdeviceptr to = 0;
    CUdeviceptr from = 0;
    uint64_t size_bytes = 0;
    bool by_way = false;
  };
  struct LentMemory {
    std::byte* memory = nullptr;
    Fence until;
  };
  // A stream for copies that wait for fences of other streams.
  struct SideStream {
    std::shared_ptr<DeviceStream> stream;
    Fence last;         // of its latest copy
    uint64_t used = 0;  // when it was last used
    bool taken = false;
  };

  explicit CopyEngine(std::shared_ptr<Device> device)
      : device_(std::move(device)), staging_(CudaStagingLane::RingOptions(device_)) {}

  absl::StatusOr<Fence> Run(Direction direction, const CopyOptions& options,
                            absl::FunctionRef<absl::Status(CUstream)> queue_work, const Move* move);
  absl::Status CheckCapturable(const Move& move) const;
  // Whether one of the fences is unreached and not of the three direction streams, whose work
  // always finishes by itself.
  bool AreOthers(absl::Span<const Fence> fences) ABSL_LOCKS_EXCLUDED(mutex_);
  // An idle side stream, if there is one or a new one may be made; otherwise a busy one.
  absl::StatusOr<std::shared_ptr<DeviceStream>> AcquireSideStream()
      ABSL_LOCKS_EXCLUDED(side_mutex_);
  void ReleaseSideStream(const DeviceStream& stream, const Fence& last)
      ABSL_LOCKS_EXCLUDED(side_mutex_);
  absl::StatusOr<std::shared_ptr<DeviceStream>> StreamOf(Direction direction)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Page-locked memory of kGatherBytes, for one call or until a fence is reached.
  absl::StatusOr<std::byte*> AcquireGatherMemory() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseGatherMemory(std::byte* memory, Fence until = Fence()) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<CUstream> AcquireStream() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseStream(CUstream stream) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CopyOverlapping(CUdeviceptr to, CUdeviceptr from, uint64_t size_bytes,
                               Scratch scratch, CUstream stream);
  absl::Status QueueFill(CUdeviceptr to, uint64_t size_bytes, const FillPattern& pattern,
                         CUstream stream);

  const std::shared_ptr<Device> device_;
  absl::Mutex mutex_;
  std::shared_ptr<DeviceStream> direction_streams_[3] ABSL_GUARDED_BY(mutex_);
  std::vector<CUstream> idle_ ABSL_GUARDED_BY(mutex_);      // for calls that wait
  std::vector<std::byte*> gather_ ABSL_GUARDED_BY(mutex_);  // not in use
  std::vector<LentMemory> lent_ ABSL_GUARDED_BY(mutex_);    // gather memory that copies still use
  absl::Mutex side_mutex_;                                  // held while events are queried
  std::vector<SideStream> side_streams_ ABSL_GUARDED_BY(side_mutex_);
  uint64_t side_stream_uses_ ABSL_GUARDED_BY(side_mutex_) = 0;
  StagingRing staging_;
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_COPY_ENGINE_H_
