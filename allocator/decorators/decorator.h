// Decorator: an allocator in front of another, its upstream, that changes one
// thing and forwards the rest.
//
// Example:
//   class Counting final : public Decorator {
//    public:
//     using Decorator::Decorator;
//     absl::StatusOr<Allocation> Allocate(const AllocationRequest& r) override {
//       ++count_;
//       return upstream()->Allocate(r);
//     }
//    ...
//
// One that hands out something else than its upstream gave (a part of it, under
// another id) keeps what it got, and overrides ToUpstream, through which every
// region on its way down goes; so do its allocations' tokens mean something to
// it alone. What is Allocation::apart (imports and memory of its own kind) should
// be passed through as it is.
//
// Cost: a virtual call each. Thread safety: thread-safe; so must be what is
// derived from it. Ownership: owns its upstream (never null), which is
// destroyed after it.
// Errors: its upstream's.

#ifndef TENURE_ALLOCATOR_DECORATORS_DECORATOR_H_
#define TENURE_ALLOCATOR_DECORATORS_DECORATOR_H_

#include <memory>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/stats_counters.h"

namespace tenure {

class Decorator : public Allocator {
 public:
  explicit Decorator(std::unique_ptr<Allocator> upstream) : upstream_(std::move(upstream)) {}

  Allocator* upstream() final { return upstream_.get(); }

  const MemorySpace& space() const override { return upstream_->space(); }
  const SpaceTraits& traits() const override { return upstream_->traits(); }
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override {
    return upstream_->Allocate(request);
  }
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override {
    upstream_->Deallocate(allocation, users);
  }
  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override {
    return upstream_->CopyIn(ToUpstream(to), from, options);
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override {
    return upstream_->CopyOut(to, ToUpstream(from), options);
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override {
    return upstream_->CopyWithin(ToUpstream(to), ToUpstream(from), options);
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override {
    return upstream_->Fill(ToUpstream(to), pattern, options);
  }
  absl::Status Synchronize() override { return upstream_->Synchronize(); }
  uint64_t Trim(uint64_t keep_bytes) override { return upstream_->Trim(keep_bytes); }
  void Poll() override { upstream_->Poll(); }
  AllocatorStats Stats() const override { return upstream_->Stats(); }

 protected:
  // The bytes of `region`, in terms of what the upstream gave.
  virtual SubRegion ToUpstream(const SubRegion& region) const { return region; }

  // Every capability of the upstream is one of the decorator. What takes
  // regions is forwarded through ToUpstream.
  void* FindCapability(std::string_view name) override {
    void* found = FindCapabilityIn(*upstream_, name);
    if (found != nullptr && name == AdviceCapability::kName) {
      return static_cast<AdviceCapability*>(&advice_);
    }
    return found;
  }

  // For those who count for themselves: their counters, with what only the
  // upstream knows, and `waiting_bytes` of their own DeferredQueue.
  AllocatorStats StatsOf(const StatsCounters& counters, uint64_t waiting_bytes) const;

  const Allocator& up() const { return *upstream_; }
  Allocator& up() { return *upstream_; }

 private:
  struct ForwardedAdvice final : AdviceCapability {
    explicit ForwardedAdvice(Decorator& d) : decorator(d) {}
    absl::Status Advise(const SubRegion& region, Advice advice) override {
      return decorator.upstream_->Capability<AdviceCapability>()->Advise(
          decorator.ToUpstream(region), advice);
    }
    Decorator& decorator;
  };

  const std::unique_ptr<Allocator> upstream_;
  ForwardedAdvice advice_{*this};
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_DECORATOR_H_
