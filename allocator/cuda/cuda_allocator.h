// CudaAllocator: the common part of the allocators of CUDA's three spaces: a pool over their slab
// source, copies by the device's engine, and foreign memory.
//
// The spaces differ in their slab source (slab_sources.h), and in the special requests that they
// accept. Such requests get DedicatedMemory, which is outside of the pool and found by its address.
// Some dedicated memory can only be freed by waiting for the device's queued work. It is kept when
// its allocation is freed, until the next request of its kind, a trim, or an exhausted request
// needs it.
//
// Thread safety: thread-safe. Ownership: shares the device's engine. Errors: allocators.h.

#ifndef TENURE_ALLOCATOR_CUDA_CUDA_ALLOCATOR_H_
#define TENURE_ALLOCATOR_CUDA_CUDA_ALLOCATOR_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/cuda/copy_engine.h"
#include "tenure/allocator/pool/pooled_allocator.h"

namespace tenure::cuda {

// Gives routes between allocators access to the engine of an allocator.
class EngineCapability {
 public:
  static constexpr std::string_view kName = "cuda copy engine";
  virtual ~EngineCapability() = default;
  virtual CopyEngine& engine() = 0;
  // Makes the allocator's memory accessible to all devices that can reach it.
  virtual absl::Status MapForPeers() { return absl::OkStatus(); }
};

class CudaAllocator : public PooledAllocator,
                      public QueueCapability,
                      public ForeignMemoryCapability,
                      public BatchCapability,
                      public EngineCapability {
 public:
  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;
  // Kept dedicated memory counts as cached.
  AllocatorStats Stats() const override;
  uint64_t Trim(uint64_t keep_bytes) override;
  absl::Status Synchronize() override { return engine_->Synchronize(); }

  bool CanWaitFor(const Fence& fence) const override {
    return DeviceStream::StreamsCanWaitFor(device(), fence);
  }
  CopyEngine& engine() override { return *engine_; }
  absl::Status CopyInMany(absl::Span<const In> parts) override { return engine_->InMany(parts); }
  absl::Status CopyOutMany(absl::Span<const Out> parts) override { return engine_->OutMany(parts); }

 protected:
  CudaAllocator(MemorySpace space, const SpaceTraits& traits, std::unique_ptr<SlabSource> source,
                const AllocatorOptions& options, std::shared_ptr<CopyEngine> engine);

  const Device& device() const { return *engine_->device(); }

  // Memory outside of the pool: its address, and how to free it.
  struct DedicatedMemory {
    uint64_t address = 0;
    uint64_t reserved_bytes = 0;  // as DedicatedBytes said
    bool host = false;            // readable at the same address
    uint64_t handle = 0;          // private to the derived class
    Sharing sharing = Sharing::kNone;
    bool waits = false;  // freeing it waits for the device, so it is kept for reuse
    std::function<absl::Status()> release;
  };
  // The dedicated bytes that the request needs, as the driver counts them. 0: the pool serves the
  // request.
  virtual absl::StatusOr<uint64_t> DedicatedBytes(const AllocationRequest& request) const;
  virtual absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeDedicated(
      const AllocationRequest& request, uint64_t reserved_bytes);
  // The dedicated memory of the allocation that begins at `address`; null if the allocation is of
  // the pool.
  const DedicatedMemory* FindDedicated(uint64_t address) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether foreign memory of this kind belongs in this space. The error names the right space. The
  // device and the range are already checked.
  virtual absl::Status CheckForeign(CUmemorytype type, bool managed) const = 0;

  // Removes the hints that the driver was given for these bytes, before other allocations reuse
  // them. Called only after MarkHinted().
  virtual void ClearHints(const Allocation&) {}
  void OnReused(const Allocation& allocation) final {
    if (has_hints_.load(std::memory_order_relaxed)) ClearHints(allocation);
  }
  void MarkHinted() { has_hints_.store(true, std::memory_order_relaxed); }

  void* FindCapability(std::string_view name) override;
  absl::Status Zero(const Allocation& allocation) override;
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) final;
  void Release(const Allocation& allocation) final;
  absl::StatusOr<Allocation> MakeImport(const AllocationRequest& request) final;
  void ReleaseImport(const Allocation& allocation) final;
  uint64_t ReleaseKeptDedicated() final;

 private:
  // Dedicated memory, either kept or new from the driver. Counts it as reserved.
  absl::StatusOr<std::unique_ptr<DedicatedMemory>> AcquireDedicated(
      const AllocationRequest& request, uint64_t size_bytes);
  std::unique_ptr<DedicatedMemory> AcquireKept(Sharing sharing, uint64_t size_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Copies by way of scratch memory of the pool, if there is any without waiting.
  absl::StatusOr<Fence> CopyByScratch(const SubRegion& to, const SubRegion& from,
                                      uint64_t scratch_bytes, const CopyOptions& options);
  // Whether all of this memory exists, and belongs in this space.
  absl::Status CheckForeignRange(uint64_t address, uint64_t size_bytes) const;
  // Frees the dedicated memory, or keeps it.
  void ReleaseDedicated(std::unique_ptr<DedicatedMemory> dedicated);
  bool ReturnToDriver(const DedicatedMemory& dedicated);

  const std::shared_ptr<CopyEngine> engine_;
  std::atomic<uint64_t> dedicated_count_{0};
  std::atomic<bool> has_hints_{false};
  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<DedicatedMemory>> kept_ ABSL_GUARDED_BY(mutex_);  // the newest last
  uint64_t kept_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, std::unique_ptr<DedicatedMemory>> dedicated_
      ABSL_GUARDED_BY(mutex_);
};

// The allocator of a device that is open already; for tests with a driver of their own.
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocatorOn(std::shared_ptr<Device> device,
                                                           SpaceKind kind,
                                                           const AllocatorOptions& options);
absl::StatusOr<std::unique_ptr<Allocator>> MakeDeviceAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options);
absl::StatusOr<std::unique_ptr<Allocator>> MakeUnifiedAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options);
absl::StatusOr<std::unique_ptr<Allocator>> MakePinnedAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options);

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_CUDA_ALLOCATOR_H_
