// SemaphoreImports: the semaphores of other APIs that a device's streams wait for and raise
// (cuImportExternalSemaphore). Each is imported with its first use, and destroyed some time after
// its timeline is gone, when no stream uses it any more.
//
// A semaphore that is raised has a stream of its own, in which the signals wait for the events that
// they stand for:
//
//   stream      | kernel | event 3 | kernel | ...
//   its stream           `-> | raise to 3 |
//
// Cost: an import takes the driver 60 us; a wait or a signal is a call or two, and an event.
// Thread safety: thread-safe. Ownership: belongs to the device, with whose context it ends.
// Errors: those of the driver and of ExportableTimeline::ExportFd.

#ifndef TENURE_ALLOCATOR_CUDA_SEMAPHORE_IMPORTS_H_
#define TENURE_ALLOCATOR_CUDA_SEMAPHORE_IMPORTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/driver.h"
#include "tenure/allocator/timeline/shared_timeline.h"

namespace tenure::cuda {

class SemaphoreImports {
 public:
  // Of the device with this ordinal, whose context is current in all calls (Device::Scope).
  SemaphoreImports(const Driver& driver, uint32_t ordinal) : driver_(driver), ordinal_(ordinal) {}
  // Waits for the streams that use them, which takes no time unless somebody's work is late.
  ~SemaphoreImports();

  // Work that is queued on `stream` from now on runs when the semaphore has come to `value`.
  absl::Status Wait(CUstream stream, const std::shared_ptr<ExportableTimeline>& timeline,
                    uint64_t value) ABSL_LOCKS_EXCLUDED(mutex_);
  // The semaphore is raised to `value` when the event has completed. Values of one timeline come
  // from one stream: if a later one is under way already, it stands for this one too.
  absl::Status Signal(CUevent after, const std::shared_ptr<ExportableTimeline>& timeline,
                      uint64_t value) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Import {
    std::weak_ptr<Timeline> timeline;
    CUexternalSemaphore handle = nullptr;
    CUstream signals = nullptr;  // null: it was never raised
    uint64_t signalled = 0;
    std::vector<CUevent> uses;  // that may be under way
    bool kept = false;          // a use of it could not be observed, so it is never destroyed
  };

  absl::StatusOr<Import*> ImportOf(const std::shared_ptr<ExportableTimeline>& timeline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Records the event behind the use that was queued last.
  absl::Status MarkUsed(Import& import, CUstream stream, CUevent event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether no stream uses it any more. Gives back the events of uses that are over.
  bool IsIdle(Import& import) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Destroy(const Import& import);
  absl::StatusOr<CUevent> AcquireEvent() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Driver& driver_;
  const uint32_t ordinal_;
  absl::Mutex mutex_;
  std::vector<CUevent> idle_events_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Import>> imports_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_SEMAPHORE_IMPORTS_H_
