// The allocators of `cuda:N`, `cuda-unified:N` and `cuda-pinned:N`, for who wants them with options
// of their own; Registry makes those with the usual ones.
//
//   ASSIGN_OR_RETURN(std::unique_ptr<Allocator> device,
//                    MakeAllocator(MemorySpace::Device(SpaceKind::kCuda, 0),
//                                  {.max_reserved_bytes = uint64_t{16} << 30}));
//   RETURN_IF_ERROR(Registry::Default().Register(*std::move(device)));
//
// All three pool (offset/pooled_allocator.h): what is freed is given again at once, or as soon as
// the fences that guard it are reached, to whoever asks; nothing goes back to the driver, whose
// cuMemFree waits for all queued work, but by Trim, on exhaustion, and beyond the bounds below.
//
//   cuda          pages of 2 MiB mapped into one range of addresses: grows without copying and
//                 without holes between what was taken when. Sharing (ShareCapability): memory of
//                 its own for each such allocation
//   cuda-unified  managed memory; UnifiedCapability says where it should be. Never more than the
//                 device has free: beyond that, devices have been seen to hang
//   cuda-pinned   host memory in huge pages, page-locked for all devices; write-combined on request
//                 (not pooled: 0.5 ms each)
//
// Cost: 0.1 us for an allocation or a free that the pool serves; docs/cuda.md.
// Thread safety: thread-safe. Ownership: as any allocator's. Errors: Unavailable (no driver, no
// such device), Unimplemented (built without the CUDA Toolkit; no managed memory),
// ResourceExhausted.

#ifndef TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
#define TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"

namespace tenure::cuda {

struct AllocatorOptions {
  // The budget: no more is taken from the driver, in use or not. (What is shared or write-combined
  // counts when it is asked for, not when the pool grows afterwards.)
  uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
  // Wholly free slabs beyond this go back to the driver as they are freed.
  uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
};

// Of kinds kCuda, kCudaUnified and kCudaPinned.
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options = {});

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_ALLOCATORS_H_
