// StatsCounters: the counters behind Allocator::Stats(). For authors of allocators.
//
// Example:
//   counters_.OnAllocate(allocation.size_bytes, allocation.reserved_bytes);
//   counters_.OnDeallocate(allocation.size_bytes);   // later: given back
//   counters_.OnRelease(allocation.reserved_bytes);  // later still: gone for good
//
// Cost: three atomic adds for an allocation, on one or two cache lines, and three for a free. The
// counters are padded, so that they do not slow down an allocator's other fields. (They are not
// aligned, because g++ 12 misaligns such objects on the stack under AddressSanitizer.)
// Thread safety: thread-safe. Errors: none.

#ifndef TENURE_ALLOCATOR_SUPPORT_STATS_COUNTERS_H_
#define TENURE_ALLOCATOR_SUPPORT_STATS_COUNTERS_H_

#include <atomic>
#include <cstdint>

#include "tenure/allocator/allocator.h"

namespace tenure {

class StatsCounters {
 public:
  void OnAllocate(uint64_t size_bytes, uint64_t reserved_bytes) {
    allocations_.fetch_add(1, std::memory_order_relaxed);
    if (reserved_bytes != 0) reserved_.fetch_add(reserved_bytes, std::memory_order_relaxed);
    const uint64_t now = in_use_.fetch_add(size_bytes, std::memory_order_relaxed) + size_bytes;
    uint64_t peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
  }
  void OnFailure() { failures_.fetch_add(1, std::memory_order_relaxed); }
  // The user freed it; fences may still guard its bytes.
  void OnDeallocate(uint64_t size_bytes) {
    in_use_.fetch_sub(size_bytes, std::memory_order_relaxed);
    deallocations_.fetch_add(1, std::memory_order_release);
  }
  // The bytes went back to the system.
  void OnRelease(uint64_t reserved_bytes) {
    if (reserved_bytes != 0) reserved_.fetch_sub(reserved_bytes, std::memory_order_relaxed);
  }

  uint64_t in_use_bytes() const { return in_use_.load(std::memory_order_relaxed); }
  uint64_t in_use_count() const {
    // Deallocations are read first, so that the difference can't be negative.
    const uint64_t gone = deallocations_.load(std::memory_order_acquire);
    return allocations_.load(std::memory_order_relaxed) - gone;
  }

  void AddTo(AllocatorStats& stats) const {
    stats.in_use_bytes = in_use_bytes();
    stats.in_use_count = in_use_count();
    stats.peak_in_use_bytes = peak_.load(std::memory_order_relaxed);
    stats.reserved_bytes = reserved_.load(std::memory_order_relaxed);
    stats.allocation_count = allocations_.load(std::memory_order_relaxed);
    stats.failure_count = failures_.load(std::memory_order_relaxed);
  }

 private:
  [[maybe_unused]] char before_[64];
  std::atomic<uint64_t> in_use_{0};
  std::atomic<uint64_t> peak_{0};
  std::atomic<uint64_t> reserved_{0};
  std::atomic<uint64_t> allocations_{0};
  std::atomic<uint64_t> deallocations_{0};
  std::atomic<uint64_t> failures_{0};
  [[maybe_unused]] char behind_[64];
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_STATS_COUNTERS_H_
