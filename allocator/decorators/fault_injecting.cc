#include "tenure/allocator/decorators/fault_injecting.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"

namespace tenure {
namespace {

// The finalizer of SplitMix64: the k-th number of the sequence of `seed`.
uint64_t Scramble(uint64_t seed, uint64_t k) {
  uint64_t z = seed + k * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::string_view NameOf(TransferKind kind) {
  switch (kind) {
    case TransferKind::kIn:
      return "copy in";
    case TransferKind::kOut:
      return "copy out";
    case TransferKind::kWithin:
      return "copy";
    case TransferKind::kFill:
      return "fill";
  }
  return "transfer";
}

// The reason why attempt k fails; empty if it does not.
std::string FaultOf(const FaultPlan& plan, uint64_t k, uint64_t size_bytes) {
  if (plan.nth != 0 && k == plan.nth) return "the attempt chosen";
  if (plan.every_nth != 0 && k % plan.every_nth == 0) {
    return absl::StrCat("one in ", plan.every_nth);
  }
  if (plan.from_size_bytes != SpaceTraits::kUnlimited && size_bytes >= plan.from_size_bytes) {
    return absl::StrCat("sizes from ", plan.from_size_bytes, " on");
  }
  // The upper 53 bits, as a number in [0, 1).
  if (static_cast<double>(Scramble(plan.seed, k) >> 11) * 0x1p-53 < plan.rate) {
    return absl::StrCat("rate ", plan.rate, ", seed ", plan.seed);
  }
  return {};
}

}  // namespace

void FaultInjectingAllocator::SetPlan(const FaultPlan& plan) {
  absl::MutexLock lock(&mutex_);
  plan_ = plan;
  attempts_.store(0, std::memory_order_relaxed);
  copies_.store(0, std::memory_order_relaxed);
  calls_.store(0, std::memory_order_relaxed);
}

FaultPlan FaultInjectingAllocator::plan() const {
  absl::MutexLock lock(&mutex_);
  return plan_;
}

absl::StatusOr<Allocation> FaultInjectingAllocator::Allocate(const AllocationRequest& request) {
  const uint64_t k = attempts_.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::string fault = FaultOf(plan(), k, request.size_bytes);
  if (fault.empty()) return up().Allocate(request);
  faults_.fetch_add(1, std::memory_order_relaxed);
  failed_allocations_.fetch_add(1, std::memory_order_relaxed);
  return ExhaustedError(request, request.size_bytes, space(), Stats(),
                        absl::StrCat("nothing: attempt ", k, " fails on purpose (", fault, ")"));
}

absl::Status FaultInjectingAllocator::BeforeTransfer(TransferKind kind, const SubRegion& region) {
  const uint64_t k = copies_.fetch_add(1, std::memory_order_relaxed) + 1;
  const FaultPlan now = plan();
  const bool fails = (now.nth_copy != 0 && k == now.nth_copy) ||
                     (now.every_nth_copy != 0 && k % now.every_nth_copy == 0);
  if (!fails) return absl::OkStatus();
  faults_.fetch_add(1, std::memory_order_relaxed);
  return absl::ResourceExhaustedError(absl::StrCat(NameOf(kind), " of ", region.size_bytes,
                                                   " bytes in ", space().ToString(), ": copy ", k,
                                                   " fails on purpose"));
}

absl::Status FaultInjectingAllocator::BeforeCall(std::string_view what) {
  const uint64_t k = calls_.fetch_add(1, std::memory_order_relaxed) + 1;
  const FaultPlan now = plan();
  const bool fails = (now.nth_call != 0 && k == now.nth_call) ||
                     (now.every_nth_call != 0 && k % now.every_nth_call == 0);
  if (!fails) return absl::OkStatus();
  faults_.fetch_add(1, std::memory_order_relaxed);
  return absl::ResourceExhaustedError(
      absl::StrCat(what, " in ", space().ToString(), ": call ", k, " fails on purpose"));
}

AllocatorStats FaultInjectingAllocator::Stats() const {
  AllocatorStats stats = up().Stats();
  stats.failure_count += failed_allocations_.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace tenure
