// The allocators of `vulkan:N`, `vulkan-upload:N` and `vulkan-readback:N`, for programs that set
// options of their own. Registry makes them with the default options.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Allocator> device,
//                           MakeAllocator(MemorySpace::Device(kDeviceSpace, 0),
//                                         {.max_reserved_bytes = uint64_t{16} << 30}));
//   TENURE_RETURN_IF_ERROR(Registry::Default().Register(std::move(device)).status());
//
// What the spaces are:
//
//   vulkan           memory of the device. On devices that share the host's memory it is mapped, and
//                    the host reads and writes it in place
//   vulkan-upload    mapped memory that the host writes fast, in order, and reads slowly
//   vulkan-readback  mapped memory that the host reads fast
//
// Mapped memory is aligned to 4096 bytes at most: the host's address and the device's of one byte may
// differ in all bits above.
//
// All three are pools (pool/pooled_allocator.h) of VkDeviceMemory with one VkBuffer each. A buffer's
// place is therefore (VkBuffer, offset, size), which the allocation has as native_handle and
// native_offset, or an address (VkBufferDeviceAddress). memory_source.h says which types of memory
// are taken, and what is tried before memory is exhausted. An arena larger than what the device gives
// in one piece is split by the planner (SpaceTraits::max_allocation_bytes); a window larger than
// SpaceTraits::max_binding_bytes is used by its address, or bound in parts.
//
// Cost: an allocation or free that the pool serves takes 0.1 us. Thread safety: thread-safe.
// Ownership: as for every allocator. Errors: Unavailable (no loader, driver or device; the message
// says what is missing), ResourceExhausted.

#ifndef TENURE_ALLOCATOR_VULKAN_ALLOCATORS_H_
#define TENURE_ALLOCATOR_VULKAN_ALLOCATORS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/vulkan/spaces.h"

namespace tenure::vulkan {

class AdoptedDevice;

struct AllocatorOptions {
  // The most bytes that may be taken from the driver, used or not.
  uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
  // Wholly free slabs beyond this return to the driver when they are freed.
  uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
  // The longest that the host waits for work that still uses freed bytes: in a request that finds
  // no other memory, and when the allocator is destroyed. Zero: it does not wait.
  absl::Duration max_wait = absl::Seconds(10);
  // A device of the embedding program's (vulkan.h), whose ordinal the space must have. Null: the
  // library opens the device itself.
  std::shared_ptr<AdoptedDevice> device = nullptr;
};

// For the kinds of spaces in spaces.h. Copies use Vulkan's own routes until a registry takes the
// allocator.
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options = {});

// Vulkan's spaces, routes and devices, for Registry::AddDriver.
SpaceDriver VulkanDriver();

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_ALLOCATORS_H_
