// The allocators of `cuda:N`, `cuda-unified:N` and `cuda-pinned:N`, for programs that set options
// of their own. Registry makes them with the default options.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Allocator> device,
//                           MakeAllocator(MemorySpace::Device(kDeviceSpace, 0),
//                                         {.max_reserved_bytes = uint64_t{16} << 30}));
//   TENURE_RETURN_IF_ERROR(Registry::Default().Register(std::move(device)).status());
//
// All three are pools (pool/pooled_allocator.h). Freed bytes are reused at once, or as soon as the
// fences that guard them are reached. A request that names a queue (MemoryHints::queue) may reuse
// them earlier, if that queue comes after the old work. A request that finds no other memory waits
// on the host for freed bytes, at most max_wait. Memory returns to the driver by Trim, on
// exhaustion, and beyond the bounds below; in `cuda` also when the pool must grow while much of it
// is free elsewhere. Dropping the last handle never returns memory to the driver (but see
// max_cached_bytes), because cuMemFree and cuMemFreeHost wait for all queued work.
//
//   cuda          pages of 2 MiB, mapped into one range of addresses. The pool grows without
//                 copying and without holes between slabs. A shared allocation (ShareCapability)
//                 has whole pages of its own; with kIpc they are kept when freed, for the next
//                 such request of that size
//   cuda-unified  managed memory; ResidencyCapability says where it should be. Never more than the
//                 device has free, because devices have been seen to hang beyond that
//   cuda-pinned   host memory in huge pages, page-locked for all devices; write-combined on
//                 request. A write-combined allocation takes 0.5 ms, so it is kept when freed, for
//                 the next such request of that size
//
// Cost: an allocation or free that the pool serves takes 0.1 us (docs/cuda.md). An early reuse for
// a queue also searches all waiting bytes, and makes one cuStreamWaitEvent call per fence.
// Thread safety: thread-safe. Ownership: as for every allocator. Errors: Unavailable (no driver, no
// such device), Unimplemented (built without the CUDA Toolkit; no managed memory),
// ResourceExhausted.

#ifndef TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
#define TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/space_driver.h"

namespace tenure::cuda {

// When the memory of `cuda:N` becomes accessible to the other devices of the machine.
enum class PeerAccess : uint8_t {
  // Whenever the pool grows. Growing then takes longer, the more devices there are.
  kAtOnce,
  // All of it when a copy between two devices first needs it, and from then on whenever the pool
  // grows. Before that, kernels of other devices can't use the memory.
  kWhenCopied,
};

struct AllocatorOptions {
  // The most bytes that may be taken from the driver, used or not, for any purpose.
  uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
  // Wholly free slabs beyond this return to the driver when they are freed. Freeing may then wait
  // for the device.
  uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
  // The longest that the host waits for work that still uses freed bytes: in a request that finds
  // no other memory, and when the allocator is destroyed. Zero: it does not wait.
  absl::Duration max_wait = absl::Seconds(10);
  PeerAccess peer_access = PeerAccess::kAtOnce;
};

// For the kinds of spaces in spaces.h. Copies use CUDA's own routes until a registry takes the
// allocator.
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options = {});

// CUDA's spaces, routes and devices, for Registry::AddDriver.
SpaceDriver CudaDriver();

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
