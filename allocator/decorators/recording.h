// RecordingAllocator: an EventLog of one allocator.
//
// It remembers what was allocated, copied and freed, under which names, and says at the end what
// is missing. Events are those that observers see (allocator/event.h), with the outcome of each
// call.
//
// It also notices allocations given back twice, or to the wrong allocator: it reports and drops
// them, so that the upstream is not harmed.
//
// Example:
//   std::ofstream file("log.csv");
//   RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.stream = &file});
//   Work(recording);  // tenure replay --log=log.csv --space=cpu
//   for (const EventLog::NameStats& stats : recording.log().StatsByName()) {
//     std::cerr << stats.name << " " << stats.peak_bytes << "\n";
//   }
//
// Cost: some hundred nanoseconds an allocation, and a lock that all threads share while events are
// logged. Thread safety: thread-safe. Ownership: owns its upstream; borrows Options::stream, which
// must outlive it. Errors: its upstream's.

#ifndef TENURE_ALLOCATOR_DECORATORS_RECORDING_H_
#define TENURE_ALLOCATOR_DECORATORS_RECORDING_H_

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/event.h"
#include "tenure/allocator/event_log.h"

namespace tenure {

class RecordingAllocator final : public Decorator {
 public:
  using Options = EventLog::Options;

  RecordingAllocator(std::unique_ptr<Allocator> upstream, const Options& options)
      : Decorator(std::move(upstream)), log_(options) {}
  // Reports what is still out.
  ~RecordingAllocator() override { log_.ReportLeaks(); }

  const EventLog& log() const { return log_; }

  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override;
  // Decorator's tells AfterTransfer only where the bytes go.
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override;

 protected:
  void AfterTransfer(TransferKind kind, const SubRegion& region,
                     const absl::Status& status) override {
    LogTransfer(kind, region, nullptr, status);
  }

 private:
  // `source`: of copies between two regions of this allocator, where it is known; or null.
  void LogTransfer(TransferKind kind, const SubRegion& region, const SubRegion* source,
                   const absl::Status& status);

  EventLog log_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_RECORDING_H_
