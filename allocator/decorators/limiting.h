// LimitingAllocator: limits the bytes of another allocator to a budget.
//
// The budget counts requested bytes, from Allocate until the bytes are really free; for bytes that
// a device still uses that is after the last fence. Imports take no memory and do not count. Below
// a CachingAllocator the budget includes cached blocks, and the cache returns them when the budget
// is reached. Above one it covers only bytes in use.
//
// Example:
//   LimitingAllocator gpu(std::move(upstream), uint64_t{8} << 30);
//
// Cost: an atomic compare-and-swap, and the counters. Thread safety: thread-safe; the budget is
// never exceeded, not even for a moment.
// Ownership: owns its upstream. Errors: ResourceExhausted beyond the budget, worded as in errors.h;
// the upstream's errors.

#ifndef TENURE_ALLOCATOR_DECORATORS_LIMITING_H_
#define TENURE_ALLOCATOR_DECORATORS_LIMITING_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/support/deferred.h"

namespace tenure {

class LimitingAllocator final : public Decorator {
 public:
  LimitingAllocator(std::unique_ptr<Allocator> upstream, uint64_t limit_bytes);

  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override;
  uint64_t Trim(uint64_t keep_bytes) override;
  void Poll() override;
  AllocatorStats Stats() const override;

  uint64_t limit_bytes() const { return limit_bytes_; }
  uint64_t charged_bytes() const { return charged_.load(std::memory_order_relaxed); }

 private:
  bool Charge(uint64_t size_bytes);

  const uint64_t limit_bytes_;
  std::atomic<uint64_t> charged_{0};
  StatsCounters counters_;
  DeferredQueue deferred_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_LIMITING_H_
