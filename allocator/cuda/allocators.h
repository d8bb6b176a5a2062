// The allocators of `cuda:N`, `cuda-unified:N` and `cuda-pinned:N`, for programs that want them
// with options of their own; Registry makes them with the default options.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<Allocator> device,
//                           MakeAllocator(MemorySpace::Device(kDeviceSpace, 0),
//                                         {.max_reserved_bytes = uint64_t{16} << 30}));
//   TENURE_RETURN_IF_ERROR(Registry::Default().Register(std::move(device)).status());
//
// All three pool (pool/pooled_allocator.h): what is freed is given again at once, or as soon as the
// fences that guard it are reached, to whoever asks; and sooner to a request that names a queue
// which comes after (MemoryHints::queue). To the driver it goes back by Trim, on exhaustion, beyond
// the bounds below, and, of `cuda`, when an allocation makes the pool grow while much of it is free
// elsewhere; never from dropping the last handle (but see max_cached_bytes), as cuMemFree and
// cuMemFreeHost wait for all queued work.
//
//   cuda          pages of 2 MiB mapped into one range of addresses: grows without copying and
//                 without holes between what was taken when. Sharing (ShareCapability): whole pages
//                 of its own for each such allocation; those of kIpc are kept when they are freed,
//                 for the next of that size
//   cuda-unified  managed memory; UnifiedCapability says where it should be. Never more than the
//                 device has free: beyond that, devices have been seen to hang
//   cuda-pinned   host memory in huge pages, page-locked for all devices; write-combined on request
//                 (0.5 ms each: kept when it is freed, for the next of that size)
//
// Cost: 0.1 us for an allocation or a free that the pool serves (docs/cuda.md); for one of a queue
// that is not there yet, a look at all that waits and a cuStreamWaitEvent for each fence.
// Thread safety: thread-safe. Ownership: as any allocator's. Errors: Unavailable (no driver, no
// such device), Unimplemented (built without the CUDA Toolkit; no managed memory),
// ResourceExhausted.

#ifndef TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
#define TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/space_driver.h"

namespace tenure::cuda {

struct AllocatorOptions {
  // The budget: no more is taken from the driver, in use or not, whatever it is for.
  uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
  // Wholly free slabs beyond this go back to the driver as they are freed, which may wait for the
  // device then.
  uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
};

// For spaces of the kinds of spaces.h. Copies go by CUDA's own routes until a registry takes the
// allocator.
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options = {});

// CUDA's spaces, routes and devices, for Registry::AddDriver.
SpaceDriver CudaDriver();

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
