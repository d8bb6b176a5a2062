// VulkanAllocator: the allocator of Vulkan's three spaces. They differ in the memory that they take
// (memory_source.h), and in whether the host has it mapped.
//
// Mapped memory is copied and filled by the host, unless a queue's order must be kept; other memory
// by the engine. Host memory is wrapped where the device has VK_EXT_external_memory_host: the device
// then uses its pages in place.
//
// Memory that was asked for with Sharing::kPosixFd is exported as file descriptors, for other
// processes (ShareCapability) and for other APIs of the same card (ExternalMemoryCapability).
// shared_memory.h says how it is made.
//
// Thread safety, cost and errors: allocators.h. Ownership: shares the engine.

#ifndef TENURE_ALLOCATOR_VULKAN_VULKAN_ALLOCATOR_H_
#define TENURE_ALLOCATOR_VULKAN_VULKAN_ALLOCATOR_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/allocator/pool/pooled_allocator.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/buffer_views.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/host_jobs.h"
#include "tenure/allocator/vulkan/memory_source.h"
#include "tenure/allocator/vulkan/shared_memory.h"
#include "tenure/allocator/vulkan/texel_view_cache.h"

namespace tenure::vulkan {

class VulkanAllocator final : public PooledAllocator,
                              public QueueCapability,
                              public BatchCapability,
                              public CoherenceCapability,
                              public ForeignMemoryCapability,
                              public BufferViewCapability,
                              public ShareCapability,
                              public ExternalMemoryCapability,
                              public EngineCapability {
 public:
  // `kind` is one of spaces.h.
  static absl::StatusOr<std::unique_ptr<VulkanAllocator>> Create(
      SpaceKind kind, const AllocatorOptions& options, std::shared_ptr<CopyEngine> engine);
  ~VulkanAllocator() override {
    ClosePool();
    host_jobs_->Close();
  }

  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;
  absl::Status Synchronize() override {
    absl::Status status = engine_->Synchronize();
    status.Update(host_jobs_->Synchronize());
    return status;
  }
  // With the number of hints that are not met.
  AllocatorStats Stats() const override;

  bool CanWaitFor(const Fence& fence) const override {
    return DeviceQueue::DeviceCanWaitFor(*engine_->device(), fence);
  }
  absl::Status CopyInMany(absl::Span<const In> parts) override { return engine_->InMany(parts); }
  absl::Status CopyOutMany(absl::Span<const Out> parts) override { return engine_->OutMany(parts); }
  absl::Status FlushHostWrites(const SubRegion& region) override;
  absl::Status InvalidateForHostReads(const SubRegion& region) override;
  absl::StatusOr<std::vector<BindingPart>> Parts(const SubRegion& region,
                                                 uint64_t element_bytes) override {
    return PartsOf(*engine_->device(), region, element_bytes);
  }
  absl::StatusOr<std::shared_ptr<const TexelView>> Typed(const SubRegion& region,
                                                         TexelFormat format) override {
    return views_.Get(region, format);
  }
  uint64_t TrimViews() override { return views_.Trim(); }
  CopyEngine& engine() override { return *engine_; }

  absl::StatusOr<int> ExportFd(const Allocation& allocation) override;
  absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) override;
  // Vulkan has no such handles: Unimplemented.
  absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) override;
  absl::StatusOr<ForeignMemory> ImportIpc(std::string_view handle, uint64_t size_bytes) override;
  const std::string& card() const override { return card_; }
  absl::StatusOr<ExternalMemory> ExportMemory(const Allocation& allocation) override;
  absl::StatusOr<ForeignMemory> ImportMemory(const ExternalMemory& memory) override;

 protected:
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation& allocation) override;
  absl::Status Zero(const Allocation& allocation) override;
  absl::StatusOr<Allocation> MakeImport(const AllocationRequest& request) override;
  void ReleaseImport(const Allocation& allocation) override;
  void* FindCapability(std::string_view name) override;

 private:
  struct Imported {
    VkDeviceMemory memory = VK_NULL_HANDLE;
    uint32_t type = 0;
  };

  VulkanAllocator(MemorySpace space, const SpaceTraits& traits,
                  std::unique_ptr<MemorySource> source, const Options& options,
                  std::shared_ptr<CopyEngine> engine, std::shared_ptr<const SharedMemory> shared)
      : PooledAllocator(std::move(space), traits, std::move(source), options),
        engine_(std::move(engine)),
        memory_(static_cast<MemorySource*>(&this->source())),
        views_(engine_->device()),
        shared_(std::move(shared)),
        card_(CardOfUuid(engine_->device()->info().uuid)) {}

  absl::StatusOr<Allocation> MakeInPool(const AllocationRequest& request);
  // Memory of its own for a request whose hints ask for other memory than the pool's. False: there is
  // none, and the pool's is to be used. `is_met`: whether the hints have what they ask for so.
  absl::StatusOr<bool> MakeHinted(const AllocationRequest& request, Allocation& made, bool& is_met)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool ReleaseHinted(const Allocation& allocation) ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether the host does the transfer: it reaches the bytes, and no queue's order must be kept.
  bool IsForHost(const SubRegion& region, const CopyOptions& options) const {
    return options.queue == nullptr && region.allocation->host != nullptr;
  }
  absl::StatusOr<Allocation> MakeShared(const AllocationRequest& request);
  // Of memory that ImportFd or ImportMemory has imported.
  absl::StatusOr<Allocation> WrapPiece(const AllocationRequest& request);
  // Puts a piece's addresses into the allocation.
  static void PointInto(const SharedMemory::Piece& piece, Allocation& made);
  ForeignMemory Wrapped(const SharedMemory::Piece& piece) const;
  // The piece of an allocation that was made for sharing.
  absl::StatusOr<SharedMemory::Piece> PieceOf(const Allocation& allocation) const;
  // Makes the buffer over imported pages.
  absl::Status ImportPages(void* begin, uint64_t size_bytes, VkBuffer& buffer, Imported& imported);

  const std::shared_ptr<CopyEngine> engine_;
  MemorySource* const memory_;  // of the pool
  TexelViewCache views_;
  const std::shared_ptr<const SharedMemory> shared_;
  const std::string card_;
  const std::shared_ptr<HostJobs> host_jobs_ = std::make_shared<HostJobs>();
  absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Imported> imports_ ABSL_GUARDED_BY(mutex_);  // by buffer
  absl::flat_hash_map<uint64_t, Slab> hinted_ ABSL_GUARDED_BY(mutex_);       // by buffer
  std::atomic<uint64_t> unmet_hints_{0};
};

// Registers the routes between Vulkan's spaces and others (SpaceDriver::routes).
void RegisterCopyRoutes(CopyTable& table);
// A table with nothing else, for allocators that belong to no registry.
const CopyTable& VulkanCopyTable();

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_VULKAN_ALLOCATOR_H_
