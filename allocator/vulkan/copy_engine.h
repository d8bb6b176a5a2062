// CopyEngine: does the copies and fills of one Vulkan device, for its three memory spaces.
//
// How bytes of ordinary host memory get to the device and back:
//
//   small, or in a caller's queue   through a block of staging memory, in one submission
//   large                           through a StagingRing, on several threads
//
// (Memory that the host has mapped is copied by the host itself, in vulkan_allocator.cc.)
//
// Which queue: CopyOptions::queue; otherwise one of the engine's own, which are one for each
// direction, and four for copies that wait for other queues' fences. A caller that waits
// (CopyOptions::may_block) waits for such fences on the host, so that its copy holds up no other.
//
// Copies and fills on the device go by the faster of the driver's command and a compute shader
// (compute_kernels.h). The first large ones that a caller waits for are timed both ways; until then a
// discrete device uses shaders, and others use commands.
//
// Overlapping ranges are copied piece by piece in the safe direction, through memory of the pool.
//
// Cost: a submission, 10 to 30 us until the device has done it, and the bytes.
// Thread safety: thread-safe. Ownership: shares the device, and is shared by the device's
// allocators. Memory is borrowed until the fence is reached. Errors: the driver's;
// ResourceExhausted without staging memory.

#ifndef TENURE_ALLOCATOR_VULKAN_COPY_ENGINE_H_
#define TENURE_ALLOCATOR_VULKAN_COPY_ENGINE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/support/staging_ring.h"
#include "tenure/allocator/vulkan/compute_kernels.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/staging.h"

namespace tenure::vulkan {

class CopyEngine {
 public:
  // The engine of the device. It is the same object for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<CopyEngine>> Of(std::shared_ptr<Device> device);
  ~CopyEngine();

  const std::shared_ptr<Device>& device() const { return device_; }

  // Regions are of allocations of the device's, and not empty.
  absl::StatusOr<Fence> In(const SubRegion& to, const void* from, const CopyOptions& options);
  absl::StatusOr<Fence> Out(void* to, const SubRegion& from, const CopyOptions& options);
  // The regions have the same size, and may overlap.
  absl::StatusOr<Fence> Between(const SubRegion& to, const SubRegion& from,
                                const CopyOptions& options);
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options);
  // Copies the bytes that `read` provides, piece by piece, from several threads. Unimplemented with
  // a caller's queue.
  absl::StatusOr<Fence> InFrom(const SubRegion& to, StagingRing::Reader read,
                               const CopyOptions& options);

  // Small copies, gathered in staging memory. There is one wait for as many as fit into it.
  absl::Status InMany(absl::Span<const BatchCapability::In> parts);
  absl::Status OutMany(absl::Span<const BatchCapability::Out> parts);

  // Waits for everything that is queued on the engine's own queues.
  absl::Status Synchronize();

 private:
  enum Direction { kIn, kOut, kWithin };
  static constexpr size_t kSideQueues = 4;

  CopyEngine(std::shared_ptr<Device> device, std::shared_ptr<StagingPool> upload,
             std::shared_ptr<StagingPool> readback, std::shared_ptr<StagingPool> scratch,
             std::unique_ptr<ComputeKernels> kernels);

  // Submits on the queue that the options select.
  absl::StatusOr<Fence> Run(Direction direction, const CopyOptions& options,
                            DeviceQueue::Recorder record,
                            std::function<absl::Status()> host_part = nullptr);
  // Waits for what Run has given, if the caller waits.
  static absl::StatusOr<Fence> Ended(const Fence& fence, const CopyOptions& options);
  absl::StatusOr<std::shared_ptr<DeviceQueue>> QueueFor(Direction direction,
                                                        absl::Span<const Fence> after)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<Fence> CopyOverlapping(const SubRegion& to, const SubRegion& from,
                                        const CopyOptions& options);
  void RecordCopy(VkCommandBuffer commands, const SubRegion& to, const SubRegion& from,
                  bool by_kernel) const;
  // Records a fill without kernels, whose pattern, or ends, the driver's own command may not serve.
  void RecordFill(VkCommandBuffer commands, const SubRegion& to, const FillPattern& pattern,
                  const StagingBlock& repeated) const;
  // Times copies and fills, once, if this is a moment for it.
  void MeasureOnce(uint64_t size_bytes, const CopyOptions& options);
  absl::Status Measure();

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<StagingPool> upload_;
  const std::shared_ptr<StagingPool> readback_;
  const std::shared_ptr<StagingPool> scratch_;     // of the device's own memory
  const std::unique_ptr<ComputeKernels> kernels_;  // null: built without a compiler for shaders, or
                                                   // the device lacks what they need
  std::atomic<bool> copies_by_kernel_;
  std::atomic<bool> fills_by_kernel_;
  std::atomic<bool> measured_{false};
  absl::Mutex mutex_;
  std::shared_ptr<DeviceQueue> direction_queues_[3] ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<DeviceQueue> side_queues_[kSideQueues] ABSL_GUARDED_BY(mutex_);
  size_t next_side_queue_ ABSL_GUARDED_BY(mutex_) = 0;
  StagingRing ring_;  // last: its threads use the pools
};

// For copy routes, which ask the allocator at the bottom for its engine.
class EngineCapability {
 public:
  static constexpr std::string_view kName = "vulkan copy engine";
  virtual ~EngineCapability() = default;
  virtual CopyEngine& engine() = 0;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_COPY_ENGINE_H_
