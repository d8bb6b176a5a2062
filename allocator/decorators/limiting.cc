#include "tenure/allocator/decorators/limiting.h"

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"

namespace tenure {

LimitingAllocator::LimitingAllocator(std::unique_ptr<Allocator> upstream, uint64_t limit_bytes)
    : Decorator(std::move(upstream)),
      limit_bytes_(limit_bytes),
      deferred_(
          [this](const Allocation& allocation) {
            up().Deallocate(allocation);
            charged_.fetch_sub(allocation.size_bytes, std::memory_order_relaxed);
          },
          // The bytes stay charged, because a failed device may use them for good.
          [this](const Allocation& allocation, absl::Span<const Fence> users) {
            up().Deallocate(allocation, users);
          }) {}

bool LimitingAllocator::Charge(uint64_t size_bytes) {
  uint64_t charged = charged_.load(std::memory_order_relaxed);
  do {
    if (size_bytes > limit_bytes_ - charged) return false;
  } while (
      !charged_.compare_exchange_weak(charged, charged + size_bytes, std::memory_order_relaxed));
  return true;
}

absl::StatusOr<Allocation> LimitingAllocator::Allocate(const AllocationRequest& request) {
  deferred_.Reap();
  const uint64_t charge = request.imports() ? 0 : request.size_bytes;
  if (!Charge(charge)) {
    counters_.OnFailure();
    return ExhaustedError(request, request.size_bytes, space(), Stats(),
                          absl::StrCat("nothing: of the budget of ", limit_bytes_, " bytes, ",
                                       charged_bytes(), " are taken"));
  }
  // Also after an exception.
  absl::Cleanup discharge = [&] { charged_.fetch_sub(charge, std::memory_order_relaxed); };
  absl::StatusOr<Allocation> made = up().Allocate(request);
  if (!made.ok()) {
    counters_.OnFailure();
    return made;
  }
  std::move(discharge).Cancel();
  counters_.OnAllocate(request.size_bytes, 0);
  return made;
}

void LimitingAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  counters_.OnDeallocate(allocation.size_bytes);
  deferred_.Reap();
  if (allocation.imported) {
    up().Deallocate(allocation, users);
  } else {
    deferred_.Retire(allocation, users);
  }
}

uint64_t LimitingAllocator::Trim(uint64_t keep_bytes) {
  deferred_.Reap();
  return up().Trim(keep_bytes);
}

void LimitingAllocator::Poll() {
  deferred_.Reap();
  up().Poll();
}

AllocatorStats LimitingAllocator::Stats() const {
  AllocatorStats stats = StatsOf(counters_, deferred_.waiting_bytes());
  stats.limit_bytes = std::min(stats.limit_bytes, limit_bytes_);
  return stats;
}

}  // namespace tenure
