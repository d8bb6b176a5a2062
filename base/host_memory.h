// CopyBytes, MoveBytes, FillBytes: host memory moved as fast as the machine does it.
//
// A copy that the caches can hold is memcpy, which nothing beats there. What is larger than them
// (and than 32 MiB) is written past them: its destination need not be read first, nor does it push
// everything else out. Only memory that the system has yet to bring in is not: what it has just
// cleared is in the caches. From 32 MiB on, several threads claim pieces (host/workers.h), if CPUs
// are idle; on a busy machine helpers would only be waited for.
//
// Cost: below 32 MiB one comparison more than memcpy; from there on the questions whether memory is
// there and CPUs are idle, 15 us for 32 MiB. GB/s of memcpy, of this with one thread and with two,
// on two cores (Zen 4) with nothing else to do: 32 MiB 21, 21, 40; 64 MiB 15, 23, 39; 512 MiB 15,
// 23, 41.
// Thread safety: thread-safe as memcpy is. Ownership: borrows the memory for the call. Errors:
// none; sizes of 0 are fine with any pointers, null included.

#ifndef TENURE_BASE_HOST_MEMORY_H_
#define TENURE_BASE_HOST_MEMORY_H_

#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "tenure/base/fill_pattern.h"

namespace tenure::host {

inline constexpr uint64_t kLargeBytes = uint64_t{32} << 20;

namespace internal {
void CopyLarge(void* to, const void* from, uint64_t size_bytes, int max_threads);
// On exactly so many threads (at most the machine's); size_bytes > 0. `streaming`: past the caches,
// if the memory is there already.
void CopyOnThreads(void* to, const void* from, uint64_t size_bytes, int threads, bool streaming);
void FillOnThreads(void* to, uint64_t size_bytes, const FillPattern& pattern, int threads);
}  // namespace internal

// How many threads a copy of so many bytes pays off on now: at most `max_threads` (0: any number),
// one for every 16 MiB, and one more than there are idle CPUs.
int ThreadsFor(uint64_t size_bytes, int max_threads);

// Ranges must not overlap. `max_threads`: the most that may be used, the caller's included; 0: as
// many as pay off.
inline void CopyBytes(void* to, const void* from, uint64_t size_bytes, int max_threads = 0) {
  if (size_bytes >= kLargeBytes) [[unlikely]] {
    internal::CopyLarge(to, from, size_bytes, max_threads);
  } else if (size_bytes > 0) {
    std::memcpy(to, from, size_bytes);
  }
}

// Ranges may overlap in any way.
void MoveBytes(void* to, const void* from, uint64_t size_bytes, int max_threads = 0);

// Repeats the pattern (of a valid size) from the start of the range; the last repetition is cut off
// at its end. No alignment is needed.
void FillBytes(void* to, uint64_t size_bytes, const FillPattern& pattern, int max_threads = 0);

// InvalidArgument unless the pattern has 1, 2, 4, 8 or 16 bytes.
absl::Status CheckPattern(const FillPattern& pattern);

}  // namespace tenure::host

#endif  // TENURE_BASE_HOST_MEMORY_H_
