#include "tenure/allocator/support/root_allocator.h"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/errors.h"

namespace tenure {

RootAllocator::RootAllocator(MemorySpace space, const SpaceTraits& traits)
    : space_(std::move(space)), traits_(traits), deferred_([this](const Allocation& allocation) {
        // Close has already reported allocations that a fence frees after it, and the derived class
        // that could release them is gone.
        if (closed_) return;
        Release(allocation);
        counters_.OnRelease(allocation.reserved_bytes);
      }) {}

absl::StatusOr<Allocation> RootAllocator::Allocate(const AllocationRequest& request) {
  deferred_.ReapSome();
  absl::Status in_order = CheckRequest(request, *this);
  if (!in_order.ok()) {
    counters_.OnFailure();
    return in_order;
  }
  absl::StatusOr<Allocation> made = Make(request);
  if (!made.ok()) {
    counters_.OnFailure();
    return made;
  }
  made->id = AllocationId::Mint();
  made->size_bytes = request.size_bytes;
  made->dedicated = request.is_dedicated();
  counters_.OnAllocate(made->size_bytes, made->reserved_bytes);
  return made;
}

void RootAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  counters_.OnDeallocate(allocation.size_bytes);
  deferred_.Retire(allocation, users);
}

uint64_t RootAllocator::Trim(uint64_t) {
  deferred_.Reap();
  return 0;
}

AllocatorStats RootAllocator::Stats() const {
  AllocatorStats stats;
  counters_.AddTo(stats);
  stats.deferred_bytes = deferred_.waiting_bytes();
  stats.quarantined_bytes = deferred_.quarantined_bytes();
  return stats;
}

uint64_t RootAllocator::AlignmentFor(const AllocationRequest& request) const {
  return std::max(request.alignment_bytes, traits_.min_alignment_bytes);
}

Allocation RootAllocator::WrapForeign(const AllocationRequest& request) const {
  const ForeignMemory& foreign = *request.foreign;
  const auto address = reinterpret_cast<uintptr_t>(foreign.data);
  Allocation made;
  made.alignment_bytes = address == 0 ? AlignmentFor(request) : address & -address;
  made.read_only = foreign.read_only;
  made.imported = true;
  if (foreign.release) {
    made.token = reinterpret_cast<uint64_t>(new std::function<void()>(foreign.release));
  }
  return made;
}

void RootAllocator::ReleaseForeign(const Allocation& allocation) {
  auto* release = reinterpret_cast<std::function<void()>*>(allocation.token);
  if (release == nullptr) return;
  (*release)();
  delete release;
}

absl::Status RootAllocator::Exhausted(const AllocationRequest& request, uint64_t rounded_bytes,
                                      std::string_view tried) const {
  const std::string waiting = deferred_.Describe();
  if (waiting.empty()) return ExhaustedError(request, rounded_bytes, space_, Stats(), tried);
  return ExhaustedError(request, rounded_bytes, space_, Stats(),
                        absl::StrCat(tried, "; not yet free: ", waiting));
}

bool RootAllocator::Close(absl::Duration timeout) {
  if (timeout > absl::ZeroDuration()) {
    deferred_.Drain(absl::Now() + timeout);
  } else {
    deferred_.Reap();
  }
  closed_ = true;
  const AllocatorStats stats = Stats();
  if (stats.in_use_count > 0) {
    ReportToStderr(absl::StrCat("allocator of ", space_.ToString(), " destroyed while ",
                                stats.in_use_count, " allocations of ", stats.in_use_bytes,
                                " bytes are out; their bytes stay as they are"));
  }
  if (deferred_.waiting_count() > 0) {
    ReportToStderr(absl::StrCat("allocator of ", space_.ToString(), " destroyed while ",
                                deferred_.waiting_count(), " freed allocations of ",
                                deferred_.waiting_bytes(), " bytes wait for fences (",
                                deferred_.Describe(), "); they are never given back"));
  }
  return stats.in_use_count == 0 && deferred_.waiting_count() == 0 &&
         deferred_.quarantined_count() == 0;
}

}  // namespace tenure
