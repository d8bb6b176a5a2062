// CopyBytes, MoveBytes, FillBytes: host memory moved as fast as the machine
// does it.
//
// Below 32 MiB a copy is memcpy, which nothing beats while the data is near a
// cache. From there on the destination would only push everything else out of
// the caches, so it is written past them; from 128 MiB on in pieces that several
// threads claim (host/workers.h).
//
// Cost: below the threshold one comparison more than memcpy. GB/s of memcpy and
// of this on a busy machine of two cores (Zen 4): 16 MiB 20 and 20, 32 MiB 15
// and 23, 256 MiB 5 and 9, 1 GiB 5 and 9.
// Thread safety: thread-safe as memcpy is. Ownership: borrows the memory for
// the call. Errors: none; sizes of 0 are fine with any pointers, null included.

#ifndef TENURE_ALLOCATOR_HOST_MEMORY_H_
#define TENURE_ALLOCATOR_HOST_MEMORY_H_

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "tenure/allocator/allocation.h"

namespace tenure::host {

inline constexpr uint64_t kLargeBytes = uint64_t{32} << 20;

namespace internal {
void CopyLarge(void* to, const void* from, uint64_t size_bytes, int max_threads);
}  // namespace internal

// Ranges must not overlap. `max_threads`: the most that may be used, the
// caller's included; 0: as many as pay off.
inline void CopyBytes(void* to, const void* from, uint64_t size_bytes, int max_threads = 0) {
  if (size_bytes >= kLargeBytes) [[unlikely]] {
    internal::CopyLarge(to, from, size_bytes, max_threads);
  } else if (size_bytes > 0) {
    std::memcpy(to, from, size_bytes);
  }
}

// Ranges may overlap in any way.
void MoveBytes(void* to, const void* from, uint64_t size_bytes, int max_threads = 0);

// Repeats the pattern (of a valid size) from the start of the range; the last
// repetition is cut off at its end. No alignment is needed.
void FillBytes(void* to, uint64_t size_bytes, const FillPattern& pattern, int max_threads = 0);

// InvalidArgument unless the pattern has 1, 2, 4, 8 or 16 bytes.
absl::Status CheckPattern(const FillPattern& pattern);

}  // namespace tenure::host

#endif  // TENURE_ALLOCATOR_HOST_MEMORY_H_
