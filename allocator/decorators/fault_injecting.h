// FaultInjectingAllocator: makes chosen allocations, copies and other calls fail.
//
// Why: error handling is only known to work if it has run. A test fails the first allocation of a
// scenario, then the second, and so on until the scenario succeeds. Then it has tried every
// failure.
//
// Example:
//   for (uint64_t n = 1;; ++n) {
//     FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), {.nth = n});
//     Scenario(faulty);  // must end in a clear error, and leak nothing ...
//     if (faulty.faults() == 0) break;  // ... or succeed
//   }
//
// Deterministic: whether attempt k fails depends only on the plan, on k and, for from_size_bytes,
// on the size. With several threads, it is not defined which thread makes attempt k.
//
// Cost: an atomic add. Thread safety: thread-safe; SetPlan affects attempts that begin later.
// Ownership: owns its upstream.
// Errors: ResourceExhausted, worded as in errors.h, which names the rule that made the attempt
// fail.

#ifndef TENURE_ALLOCATOR_DECORATORS_FAULT_INJECTING_H_
#define TENURE_ALLOCATOR_DECORATORS_FAULT_INJECTING_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/decorators/decorator.h"

namespace tenure {

// Rules that make attempts fail. Attempts are counted from 1, including imports. An attempt that
// matches several rules fails once.
struct FaultPlan {
  uint64_t nth = 0;                                    // this attempt; 0: none
  uint64_t every_nth = 0;                              // each attempt that it divides; 0: none
  uint64_t from_size_bytes = SpaceTraits::kUnlimited;  // this size or more; kUnlimited: none
  double rate = 0;                                     // each with this probability, 0 to 1
  uint64_t seed = 0;                                   // of rate
  // Copies, fills and parts of batches have a counter of their own. A copy between two allocators
  // counts once for each of them.
  uint64_t nth_copy = 0;
  uint64_t every_nth_copy = 0;
  // So have the other calls that can fail: Synchronize, advice, hints, prefetches, flushes, exports
  // and imports.
  uint64_t nth_call = 0;
  uint64_t every_nth_call = 0;
};

class FaultInjectingAllocator final : public Decorator {
 public:
  FaultInjectingAllocator(std::unique_ptr<Allocator> upstream, const FaultPlan& plan)
      : Decorator(std::move(upstream)), plan_(plan) {}

  // Replaces the plan and counts from 1 again.
  void SetPlan(const FaultPlan& plan) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t attempts() const { return attempts_.load(std::memory_order_relaxed); }
  uint64_t copies() const { return copies_.load(std::memory_order_relaxed); }
  uint64_t calls() const { return calls_.load(std::memory_order_relaxed); }
  // The number of allocations, copies and calls that were made to fail so far.
  uint64_t faults() const { return faults_.load(std::memory_order_relaxed); }

  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  AllocatorStats Stats() const override;

 protected:
  absl::Status BeforeTransfer(TransferKind kind, const SubRegion& region) override;
  absl::Status BeforeCall(std::string_view what) override;

 private:
  FaultPlan plan() const ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  FaultPlan plan_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> attempts_{0};
  std::atomic<uint64_t> copies_{0};
  std::atomic<uint64_t> calls_{0};
  std::atomic<uint64_t> faults_{0};
  std::atomic<uint64_t> failed_allocations_{0};
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_FAULT_INJECTING_H_
