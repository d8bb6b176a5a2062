#include "tenure/allocator/vulkan/staging.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {

absl::StatusOr<std::shared_ptr<StagingPool>> StagingPool::Create(std::shared_ptr<Device> device,
                                                                 Purpose purpose) {
  MemoryChoice choice = ChooseMemory(device->physical(), purpose);
  if (choice.types.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("Vulkan device ", device->ordinal(), " has no memory for staging"));
  }
  const SpaceKind kind = purpose == Purpose::kUpload     ? kUploadSpace
                         : purpose == Purpose::kReadback ? kReadbackSpace
                                                         : kDeviceSpace;
  SpaceTraits traits;
  traits.max_allocation_bytes = device->info().max_allocation_bytes;
  // Whole atoms, so that flushes of two blocks never meet.
  traits.min_alignment_bytes = std::max<uint64_t>(256, device->info().coherence_atom_bytes);
  Options options;
  options.max_slab_bytes = uint64_t{16} << 20;
  // What a large copy needed goes back to the driver.
  options.max_cached_bytes = uint64_t{64} << 20;
  const MemorySpace space = MemorySpace::Device(kind, device->ordinal());
  return std::shared_ptr<StagingPool>(new StagingPool(
      space, traits, std::make_unique<MemorySource>(std::move(device), std::move(choice)),
      options));
}

absl::StatusOr<StagingBlock> StagingPool::Acquire(uint64_t size_bytes, bool may_wait) {
  AllocationRequest request;
  request.size_bytes = size_bytes;
  request.name = "staging memory";
  request.may_wait = may_wait;
  TENURE_ASSIGN_OR_RETURN(const Allocation made, Allocate(request));
  return StagingBlock(shared_from_this(), made);
}

StagingBlock::~StagingBlock() {
  if (pool_ == nullptr) return;
  pool_->Deallocate(allocation_, last_use_.timeline() == nullptr
                                     ? absl::Span<const Fence>()
                                     : absl::MakeConstSpan(&last_use_, 1));
}

absl::Status StagingBlock::Flush() const {
  return pool_->memory().Flush(allocation_.native_handle, allocation_.native_offset,
                               allocation_.size_bytes);
}

absl::Status StagingBlock::Invalidate() const {
  return pool_->memory().Invalidate(allocation_.native_handle, allocation_.native_offset,
                                    allocation_.size_bytes);
}

absl::StatusOr<std::unique_ptr<StagingLane>> VulkanStagingLane::Make(std::shared_ptr<Device> device,
                                                                     StagingPool& pool) {
  std::unique_ptr<VulkanStagingLane> lane(new VulkanStagingLane);
  TENURE_ASSIGN_OR_RETURN(lane->queue_,
                          DeviceQueue::Create(std::move(device), QueueUse::kTransfer));
  for (StagingBlock& slot : lane->slots_) {
    TENURE_ASSIGN_OR_RETURN(slot, pool.Acquire(kSlotBytes));
  }
  return lane;
}

absl::Status VulkanStagingLane::Send(int slot, DevicePlace to, uint64_t size_bytes) {
  const StagingBlock& block = slots_[slot];
  TENURE_RETURN_IF_ERROR(block.Flush());
  const VkBufferCopy region = {block.offset(), to.offset, size_bytes};
  TENURE_ASSIGN_OR_RETURN(last_[slot], queue_->SubmitRecorded({}, [&](VkCommandBuffer commands) {
    queue_->device()->calls().CmdCopyBuffer(commands, block.buffer(),
                                            reinterpret_cast<VkBuffer>(to.object), 1, &region);
    return absl::OkStatus();
  }));
  receives_[slot] = false;
  return absl::OkStatus();
}

absl::Status VulkanStagingLane::Receive(int slot, DevicePlace from, uint64_t size_bytes) {
  const StagingBlock& block = slots_[slot];
  const VkBufferCopy region = {from.offset, block.offset(), size_bytes};
  TENURE_ASSIGN_OR_RETURN(last_[slot], queue_->SubmitRecorded({}, [&](VkCommandBuffer commands) {
    queue_->device()->calls().CmdCopyBuffer(commands, reinterpret_cast<VkBuffer>(from.object),
                                            block.buffer(), 1, &region);
    return absl::OkStatus();
  }));
  receives_[slot] = true;
  return absl::OkStatus();
}

absl::Status VulkanStagingLane::WaitFor(int slot) {
  TENURE_RETURN_IF_ERROR(last_[slot].Wait());
  return receives_[slot] ? slots_[slot].Invalidate() : absl::OkStatus();
}

absl::Status VulkanStagingLane::Finish() {
  absl::Status status;
  for (Fence& last : last_) {
    absl::Status ended = last.Wait();
    if (status.ok()) status = std::move(ended);
    last = Fence();
  }
  return status;
}

}  // namespace tenure::vulkan
