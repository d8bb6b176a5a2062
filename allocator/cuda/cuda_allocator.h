// CudaAllocator: what the allocators of CUDA's three spaces have in common: a pool over their
// source of slabs, copies by the device's engine, and memory of others.
//
// The spaces differ in where slabs come from (slab_sources.h) and in what a request may ask for
// beyond bytes; those parts are DedicatedMemory, beside the pool and told by their address. Where
// giving such memory back would wait for the device's queued work, it is kept when it is freed: for
// the next request of its kind, or until it is trimmed or missed.
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

// The engine behind an allocator, for routes between allocators.
class EngineCapability {
 public:
  static constexpr std::string_view kName = "cuda copy engine";
  virtual ~EngineCapability() = default;
  virtual CopyEngine& engine() = 0;
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
  // What is kept beside the pool is cached.
  AllocatorStats Stats() const override;
  uint64_t Trim(uint64_t keep_bytes) override;
  absl::Status Synchronize() override { return engine_->Synchronize(); }

  bool CanWaitFor(const Fence& fence) const override {
    return DeviceStream::AnyStreamCanWaitFor(fence);
  }
  CopyEngine& engine() override { return *engine_; }
  absl::Status CopyInMany(absl::Span<const In> parts) override { return engine_->InMany(parts); }
  absl::Status CopyOutMany(absl::Span<const Out> parts) override { return engine_->OutMany(parts); }

 protected:
  CudaAllocator(MemorySpace space, const SpaceTraits& traits, std::unique_ptr<SlabSource> source,
                const AllocatorOptions& options, std::shared_ptr<CopyEngine> engine);

  const Device& device() const { return *engine_->device(); }

  // Memory that is not of the pool: its address, and what gives it back.
  struct DedicatedMemory {
    uint64_t address = 0;
    uint64_t reserved_bytes = 0;  // as DedicatedBytes said
    bool host = false;            // readable at the same address
    uint64_t handle = 0;          // the derived class's own
    Sharing sharing = Sharing::kNone;
    bool waits = false;  // giving it back waits for the device: it is kept for another request
    std::function<absl::Status()> release;
  };
  // What memory of its own the request needs, as the driver counts it; 0: it is for the pool.
  virtual absl::StatusOr<uint64_t> DedicatedBytes(const AllocationRequest& request) const;
  virtual absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeDedicated(
      const AllocationRequest& request, uint64_t reserved_bytes);
  // What was made for the allocation that begins there; null if it is the pool's.
  const DedicatedMemory* FindDedicated(uint64_t address) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether foreign memory of this kind belongs here; an error says what would be right.
  virtual absl::Status CheckForeign(CUmemorytype type, bool managed) const = 0;

  // Undoes what was said to the driver of bytes that somebody else may be given next; called while
  // MarkHinted() has said so.
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
  // Of its own, from what is kept or from the driver, counted as reserved.
  absl::StatusOr<std::unique_ptr<DedicatedMemory>> AcquireDedicated(
      const AllocationRequest& request, uint64_t size_bytes);
  std::unique_ptr<DedicatedMemory> AcquireKept(Sharing sharing, uint64_t size_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // To the driver, or to what is kept.
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

// Of a device that is open already: for tests with a driver of their own.
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
