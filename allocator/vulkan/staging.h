// Memory of the library's own that host and device both reach, for bytes on their way between them:
// StagingPool gives blocks of it for a copy, and VulkanStagingLane is how one thread of a StagingRing
// (support/staging_ring.h) moves large copies.
//
//   TENURE_ASSIGN_OR_RETURN(StagingBlock block, pool.Acquire(size));
//   std::memcpy(block.host(), from, size);
//   TENURE_RETURN_IF_ERROR(block.Flush());
//   ... a copy from block.buffer() at block.offset() is queued ...
//   block.ReleaseAfter(fence);
//
// Cost: a block costs what a pool's does, 0.1 us; each lane has 4 MiB. Thread safety: the pool is
// thread-safe; blocks and lanes are thread-compatible. Ownership: blocks share the pool and are
// given back at their end. Errors: ResourceExhausted, and the driver's.

#ifndef TENURE_ALLOCATOR_VULKAN_STAGING_H_
#define TENURE_ALLOCATOR_VULKAN_STAGING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/pool/pooled_allocator.h"
#include "tenure/allocator/support/staging_lane.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/memory_source.h"

namespace tenure::vulkan {

class StagingBlock;

// A pool without copies of its own.
class StagingPool final : public PooledAllocator, public std::enable_shared_from_this<StagingPool> {
 public:
  // FailedPrecondition: the device has no memory for this purpose.
  static absl::StatusOr<std::shared_ptr<StagingPool>> Create(std::shared_ptr<Device> device,
                                                             Purpose purpose);
  ~StagingPool() override { ClosePool(); }

  // Without `may_wait`, the host does not wait for blocks that are still in use.
  absl::StatusOr<StagingBlock> Acquire(uint64_t size_bytes, bool may_wait = true);
  const MemorySource& memory() const { return *memory_; }

  absl::StatusOr<Fence> CopyIn(const SubRegion&, const void*, const CopyOptions&) override {
    return NoCopies();
  }
  absl::StatusOr<Fence> CopyOut(void*, const SubRegion&, const CopyOptions&) override {
    return NoCopies();
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion&, const SubRegion&,
                                   const CopyOptions&) override {
    return NoCopies();
  }
  absl::StatusOr<Fence> Fill(const SubRegion&, const FillPattern&, const CopyOptions&) override {
    return NoCopies();
  }

 protected:
  absl::Status Zero(const Allocation&) override { return NoCopies(); }
  void* FindCapability(std::string_view) override { return nullptr; }

 private:
  StagingPool(MemorySpace space, const SpaceTraits& traits, std::unique_ptr<MemorySource> source,
              const Options& options)
      : PooledAllocator(std::move(space), traits, std::move(source), options),
        memory_(static_cast<MemorySource*>(&this->source())) {}
  static absl::Status NoCopies() {
    return absl::UnimplementedError("staging memory has no copies");
  }

  MemorySource* const memory_;
};

class StagingBlock {
 public:
  StagingBlock() = default;
  StagingBlock(std::shared_ptr<StagingPool> pool, const Allocation& allocation)
      : pool_(std::move(pool)), allocation_(allocation) {}
  StagingBlock(StagingBlock&& other) noexcept { *this = std::move(other); }
  StagingBlock& operator=(StagingBlock&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(allocation_, other.allocation_);
    std::swap(last_use_, other.last_use_);
    return *this;
  }
  ~StagingBlock();

  std::byte* host() const { return static_cast<std::byte*>(allocation_.host); }
  VkBuffer buffer() const { return reinterpret_cast<VkBuffer>(allocation_.native_handle); }
  uint64_t offset() const { return allocation_.native_offset; }
  SubRegion region() const { return {&allocation_, 0, allocation_.size_bytes}; }
  uint64_t size_bytes() const { return allocation_.size_bytes; }

  // The device sees what the host has written; the host sees what the device has.
  absl::Status Flush() const;
  absl::Status Invalidate() const;
  // The block is given back at its end, but used again only when the fence is reached.
  void ReleaseAfter(const Fence& fence) { last_use_ = fence; }

 private:
  std::shared_ptr<StagingPool> pool_;
  Allocation allocation_;
  Fence last_use_;
};

class VulkanStagingLane final : public StagingLane {
 public:
  // `pool` has memory for reading, which is good enough for writing too. It outlives the lane.
  static absl::StatusOr<std::unique_ptr<StagingLane>> Make(std::shared_ptr<Device> device,
                                                           StagingPool& pool);

  std::byte* slot(int number) override { return slots_[number].host(); }
  absl::Status Begin() override { return absl::OkStatus(); }
  absl::Status Send(int slot, DevicePlace to, uint64_t size_bytes) override;
  absl::Status Receive(int slot, DevicePlace from, uint64_t size_bytes) override;
  absl::Status WaitFor(int slot) override;
  absl::Status Finish() override;

 private:
  VulkanStagingLane() = default;

  std::shared_ptr<DeviceQueue> queue_;
  StagingBlock slots_[2];
  Fence last_[2];
  bool receives_[2] = {};
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_STAGING_H_
