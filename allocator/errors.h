// Errors that explain themselves, worded in one place.

#ifndef TENURE_ALLOCATOR_ERRORS_H_
#define TENURE_ALLOCATOR_ERRORS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"

namespace tenure {

// ResourceExhausted that carries what is needed to act on it: requested, rounded, alignment, space,
// name, in use, cached, largest free, limit, and `tried`, what was attempted before giving up
// ("system allocator", "evicted 3 cached blocks, retried").
absl::Status ExhaustedError(const AllocationRequest& request, uint64_t rounded_bytes,
                            const MemorySpace& space, const AllocatorStats& stats,
                            std::string_view tried);

// FailedPrecondition: what was to be written wraps read-only memory.
absl::Status ReadOnlyError(const Allocation& allocation);

// What is wrong with a request for any allocator of this kind: alignment not a power of two, two
// sources of bytes, a size beyond the space's largest allocation, an import that the allocator has
// no capability for; foreign memory that is null, not aligned as asked for, to be zeroed, or
// reaches beyond the address space.
absl::Status CheckRequest(const AllocationRequest& request, Allocator& allocator);

// Writes one line to stderr; for what has no caller to be told (an allocator destroyed before its
// allocations).
void ReportToStderr(std::string_view what);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_ERRORS_H_
