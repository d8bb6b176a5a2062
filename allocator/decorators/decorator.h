// Decorator: an allocator in front of another, its upstream, that changes one thing and forwards
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
// Every transfer of the stack's bytes passes BeforeTransfer and AfterTransfer, whichever way it
// takes: the four calls of Allocator, each part of a batch, and the routes of the copy table. A
// decorator that counts, records or refuses copies overrides these two and nothing else.
//
// A decorator that hands out something else than its upstream gave (a part of it, under another id)
// keeps what it got and overrides ToUpstream. Every region goes through ToUpstream on its way down,
// so the tokens of its allocations mean something to it alone. Dedicated allocations
// (Allocation::dedicated) should be passed through unchanged.
//
// Capabilities (capabilities.h) are wrapped: what a caller gets from Capability<C>() is this
// decorator's, and translates regions.
//
// Cost: a virtual call each. Thread safety: thread-safe; so must be what is derived from it.
// Ownership: owns its upstream (never null), which is destroyed after it.
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
  absl::Status Synchronize() override { return upstream_->Synchronize(); }
  uint64_t Trim(uint64_t keep_bytes) override { return upstream_->Trim(keep_bytes); }
  void Poll() override { upstream_->Poll(); }
  AllocatorStats Stats() const override { return upstream_->Stats(); }

  absl::Status AdmitTransfer(TransferKind kind, const SubRegion& region) final;
  void ReportTransfer(TransferKind kind, const SubRegion& region, const absl::Status& status) final;
  SubRegion RootRegion(const SubRegion& region) final {
    return upstream_->RootRegion(ToUpstream(region));
  }

 protected:
  // Before bytes of `region` (in this decorator's terms) are moved. An error refuses the transfer.
  virtual absl::Status BeforeTransfer(TransferKind, const SubRegion&) { return absl::OkStatus(); }
  // After the upstream took the transfer or refused it. A transfer that goes on behind a fence may
  // still fail later; its fence tells that.
  virtual void AfterTransfer(TransferKind, const SubRegion&, const absl::Status&) {}

  // The bytes of `region`, in terms of what the upstream gave.
  virtual SubRegion ToUpstream(const SubRegion& region) const { return region; }

  // The wrapper of a capability that the upstream has; null for a capability that capabilities.h
  // does not name.
  void* FindCapability(std::string_view name) override;

  // For those who count for themselves: their counters, with what only the upstream knows, and
  // `waiting_bytes` of their own DeferredQueue.
  AllocatorStats StatsOf(const StatsCounters& counters, uint64_t waiting_bytes) const;

  const Allocator& up() const { return *upstream_; }
  Allocator& up() { return *upstream_; }

 private:
  class Wrappers;

  // Passes a transfer on, between the two hooks.
  template <typename Call>
  auto Transfer(TransferKind kind, const SubRegion& region, const Call& call)
      -> decltype(call(region));

  const std::unique_ptr<Allocator> upstream_;
  const std::unique_ptr<Wrappers> wrappers_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_DECORATOR_H_
