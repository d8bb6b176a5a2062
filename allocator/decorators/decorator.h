// Decorator: an allocator in front of another one, its upstream. It changes one thing and forwards
// the rest.
//
// Example:
//   class Counting final : public Decorator {
//    public:
//     using Decorator::Decorator;
//     absl::StatusOr<Allocation> Allocate(const AllocationRequest& r) override {
//       ++count_;
//       return upstream()->Allocate(r);
//     }
//     uint64_t count() const { return count_; }
//
//    private:
//     std::atomic<uint64_t> count_{0};
//   };
//
// Every transfer of bytes passes through BeforeTransfer and AfterTransfer, whether it comes by the
// four calls of Allocator, as part of a batch, or by a route of the copy table. A decorator that
// counts, records or refuses copies overrides only these two.
//
// Some decorators return a different allocation than their upstream gave them, for example a part
// of it under another id. Such a decorator keeps the upstream's allocation and overrides
// ToUpstream. Every region passes through ToUpstream on its way down, so only this decorator
// interprets the tokens of its allocations. Dedicated allocations (Allocation::dedicated) should be
// passed through unchanged.
//
// Capabilities (capabilities.h) are wrapped: Capability<C>() returns this decorator's own object,
// which translates regions.
//
// Cost: one virtual call per call. Thread safety: thread-safe; derived classes must be too.
// Ownership: owns its upstream, which is never null and is destroyed after the decorator.
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
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/support/stats_counters.h"

namespace tenure {

class Decorator : public Allocator {
 public:
  explicit Decorator(std::unique_ptr<Allocator> upstream);
  ~Decorator() override;

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
                               const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override;
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override;
  absl::Status Synchronize() override;
  uint64_t Trim(uint64_t keep_bytes) override { return upstream_->Trim(keep_bytes); }
  void Poll() override { upstream_->Poll(); }
  AllocatorStats Stats() const override { return upstream_->Stats(); }

  absl::Status AdmitTransfer(TransferKind kind, const SubRegion& region) final;
  void ReportTransfer(TransferKind kind, const SubRegion& region, const absl::Status& status) final;
  SubRegion RootRegion(const SubRegion& region) final {
    return upstream_->RootRegion(ToUpstream(region));
  }

 protected:
  // Called before bytes of `region` (a region of this decorator's allocations) are moved. An error
  // refuses the transfer.
  virtual absl::Status BeforeTransfer(TransferKind, const SubRegion&) { return absl::OkStatus(); }
  // Called once for each transfer that BeforeTransfer let pass: after it began, or after the
  // upstream, the other end of the copy or another part of the batch refused it. A transfer that
  // continues behind a fence may still fail later; its fence then reports the error.
  virtual void AfterTransfer(TransferKind, const SubRegion&, const absl::Status&) {}

  // Called before Synchronize and before each call of a capability that moves no bytes by request:
  // advice, hints, prefetches, flushes, exports and imports. `what` names the call. An error
  // refuses it.
  virtual absl::Status BeforeCall(std::string_view /*what*/) { return absl::OkStatus(); }

  // The same bytes as a region of the upstream's allocation.
  virtual SubRegion ToUpstream(const SubRegion& region) const { return region; }

  // The wrapper of a capability that the upstream has. Null for a capability that capabilities.h
  // does not define.
  void* FindCapability(std::string_view name) override;

  // For decorators with counters of their own: those counters, combined with the values that only
  // the upstream knows. `waiting_bytes` is that of their own DeferredQueue.
  AllocatorStats StatsOf(const StatsCounters& counters, uint64_t waiting_bytes) const;

  const Allocator& up() const { return *upstream_; }
  Allocator& up() { return *upstream_; }

 private:
  class Wrappers;

  // Forwards a transfer, between the two hooks.
  template <typename Call>
  auto Transfer(TransferKind kind, const SubRegion& region, const Call& call)
      -> decltype(call(region));

  const std::unique_ptr<Allocator> upstream_;
  const std::unique_ptr<Wrappers> wrappers_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_DECORATOR_H_
