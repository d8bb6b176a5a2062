// RootAllocator: the common part of allocators that take bytes from a system or driver: checks,
// ids, counters, deferred freeing, and a report at destruction. For authors of such allocators.
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
// Cost: the counters (stats_counters.h), and one load while nothing waits for a fence. Otherwise
// Allocate looks at up to four of the timelines that are waited for. Thread
// safety: thread-safe, if Make and Release are.
// Ownership: allocations that are in use or guarded by a fence when the allocator is closed are
// reported on stderr. Their bytes are never freed. Close can wait for the fences first.
// Errors: those of CheckRequest and Make.

#ifndef TENURE_ALLOCATOR_SUPPORT_ROOT_ALLOCATOR_H_
#define TENURE_ALLOCATOR_SUPPORT_ROOT_ALLOCATOR_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
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
  // Root allocators cache nothing, so this only frees allocations whose fences are reached.
  uint64_t Trim(uint64_t keep_bytes) override;
  void Poll() final { deferred_.Reap(); }
  AllocatorStats Stats() const override;

 protected:
  // Provides the bytes for a request that has passed the checks. The caller fills in `id` and
  // `size_bytes` afterwards.
  virtual absl::StatusOr<Allocation> Make(const AllocationRequest& request) = 0;
  // Frees the bytes. Called once per allocation, when no fence guards it any more.
  virtual void Release(const Allocation& allocation) = 0;

  // The destructor of every derived class must call this first, because Release is virtual. Waits
  // at most for `timeout` until the fences of freed allocations are reached. False: some bytes are
  // still in use.
  bool Close(absl::Duration timeout = absl::ZeroDuration());

  // The alignment to use: the one requested, but at least the space's.
  uint64_t AlignmentFor(const AllocationRequest& request) const;

  // WrapForeign makes an allocation of foreign memory that has passed CheckRequest; `host` and
  // `device_address` are left to the caller. ReleaseForeign calls the memory's `release`, once.
  // Both use the token.
  Allocation WrapForeign(const AllocationRequest& request) const;
  static void ReleaseForeign(const Allocation& allocation);

  // The freed allocations that still wait (DeferredQueue::Revise). The derived class must adjust
  // `reserved_bytes` of the bytes that it reuses.
  DeferredQueue& deferred() { return deferred_; }

  // The error of a failed request: ExhaustedError with this allocator's state, and with the freed
  // bytes that still wait.
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
