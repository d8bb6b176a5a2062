// RootAllocator: what allocators that take bytes from a system or driver have in common, for those
// who write one: checks, ids, counters, deferred freeing, the report at destruction.
//
// Example:
//   class MyAllocator final : public RootAllocator {
//    public:
//     MyAllocator() : RootAllocator(MemorySpace::Cpu(), {}) {}
//     ~MyAllocator() override { Close(); }
//    protected:
//     absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
//     void Release(const Allocation& allocation) override;
//     // And the copies, Fill and FindCapability.
//   };
//
// Cost: the counters' (stats_counters.h) and one load while nothing waits for a fence. Thread
// safety: thread-safe, if Make and Release are.
// Ownership: allocations that are out, or that a fence still guards, when the allocator is closed
// are reported on stderr and their bytes left alone: they are never freed.
// Errors: CheckRequest's and Make's.

#ifndef TENURE_ALLOCATOR_SUPPORT_ROOT_ALLOCATOR_H_
#define TENURE_ALLOCATOR_SUPPORT_ROOT_ALLOCATOR_H_

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/support/deferred.h"
#include "tenure/allocator/support/stats_counters.h"

namespace tenure {

class RootAllocator : public Allocator {
 public:
  RootAllocator(MemorySpace space, const SpaceTraits& traits);

  const MemorySpace& space() const final { return space_; }
  const SpaceTraits& traits() const final { return traits_; }
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) final;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) final;
  // Root allocators cache nothing: frees what is due.
  uint64_t Trim(uint64_t keep_bytes) override;
  void Poll() final { deferred_.Reap(); }
  AllocatorStats Stats() const override;

 protected:
  // The bytes for a request that is in order; `id` and `size_bytes` are filled in afterwards.
  virtual absl::StatusOr<Allocation> Make(const AllocationRequest& request) = 0;
  // Gives the bytes back. Called once for each, when no fence guards them any more.
  virtual void Release(const Allocation& allocation) = 0;

  // To be called first by the destructor of every derived class: Release is virtual. False: some
  // bytes are still in use.
  bool Close();

  // The alignment to give: what was asked for, at least the space's.
  uint64_t AlignmentFor(const AllocationRequest& request) const;

  // Foreign memory (which CheckRequest has found in order) as an allocation, without `host` and
  // `device_address`; and the call of its `release`, once. The token is theirs.
  Allocation WrapForeign(const AllocationRequest& request) const;
  static void ReleaseForeign(const Allocation& allocation);

  // What was given back and waits (DeferredQueue::Revise). `reserved_bytes` of what is given again
  // is the derived class's to count.
  DeferredQueue& deferred() { return deferred_; }

  // Nothing came of the request: ExhaustedError with this allocator's state.
  absl::Status Exhausted(const AllocationRequest& request, uint64_t rounded_bytes,
                         std::string_view tried) const;

 private:
  const MemorySpace space_;
  const SpaceTraits traits_;
  StatsCounters counters_;
  bool closed_ = false;  // in the destructor
  DeferredQueue deferred_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_ROOT_ALLOCATOR_H_
