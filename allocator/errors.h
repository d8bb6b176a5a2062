// The error messages that all allocators share.

#ifndef TENURE_ALLOCATOR_ERRORS_H_
#define TENURE_ALLOCATOR_ERRORS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"

namespace tenure {

// ResourceExhausted, with everything that a user needs to act on it: requested size, rounded size,
// alignment, space, name, bytes in use, cached bytes, largest free block, limit, and `tried`, the
// attempts that were made ("system allocator", "evicted 3 cached blocks, retried").
absl::Status ExhaustedError(const AllocationRequest& request, uint64_t rounded_bytes,
                            const MemorySpace& space, const AllocatorStats& stats,
                            std::string_view tried);

// FailedPrecondition: the caller tried to write to read-only memory.
absl::Status ReadOnlyError(const Allocation& allocation);

// Checks that apply to every allocator. Errors: an alignment that is not a power of two; two
// sources of bytes; a size beyond the space's largest allocation; an import that the allocator has
// no capability for; foreign memory that is null, misaligned, requested as zeroed, or reaches
// beyond the address space.
absl::Status CheckRequest(const AllocationRequest& request, Allocator& allocator);

// Writes one line to stderr. For problems that no caller can receive as an error, such as an
// allocator that is destroyed before its allocations.
void ReportToStderr(std::string_view what);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_ERRORS_H_
