#include "tenure/allocator/cuda/semaphore_imports.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {

SemaphoreImports::~SemaphoreImports() {
  absl::MutexLock lock(&mutex_);
  for (const std::unique_ptr<Import>& import : imports_) {
    for (CUevent event : import->uses) {
      (void)driver_->EventSynchronize(event);
      idle_events_.push_back(event);
    }
    Destroy(*import);
  }
  for (CUevent event : idle_events_) (void)driver_->EventDestroy(event);
}

void SemaphoreImports::Destroy(const Import& import) {
  if (import.signals != nullptr) (void)driver_->StreamDestroy(import.signals);
  if (!import.kept) (void)driver_->DestroyExternalSemaphore(import.handle);
}

bool SemaphoreImports::IsIdle(Import& import) {
  std::erase_if(import.uses, [this](CUevent event) {
    mutex_.AssertHeld();  // for the analysis, which treats a lambda as a separate function
    if (driver_->EventQuery(event) != CUDA_SUCCESS) return false;
    idle_events_.push_back(event);
    return true;
  });
  return import.uses.empty();
}

absl::StatusOr<SemaphoreImports::Import*> SemaphoreImports::ImportOf(
    const std::shared_ptr<ExportableTimeline>& timeline) {
  for (const std::unique_ptr<Import>& import : imports_) {
    if (import->timeline.lock() == timeline) return import.get();
  }
  std::erase_if(imports_, [this](const std::unique_ptr<Import>& import) {
    mutex_.AssertHeld();
    if (!import->timeline.expired() || import->kept || !IsIdle(*import)) return false;
    Destroy(*import);
    return true;
  });
  TENURE_ASSIGN_OR_RETURN(const int fd, timeline->ExportFd());
  CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC description = {};
  description.type = CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD;
  description.handle.fd = fd;
  auto import = std::make_unique<Import>();
  import->timeline = timeline;
  absl::Status status = TENURE_CU(driver_, ImportExternalSemaphore, &import->handle, &description);
  if (!status.ok()) {
    close(fd);  // the driver takes it if it succeeds
    return absl::Status(
        status.code(),
        absl::StrCat("CUDA device ", ordinal_, " can't import a timeline of another API of card ",
                     timeline->card(), ": ", status.message()));
  }
  imports_.push_back(std::move(import));
  return imports_.back().get();
}

absl::StatusOr<CUevent> SemaphoreImports::AcquireEvent() {
  CUevent event = nullptr;
  if (idle_events_.empty()) {
    TENURE_RETURN_IF_ERROR(TENURE_CU(driver_, EventCreate, &event, CU_EVENT_DISABLE_TIMING));
    return event;
  }
  event = idle_events_.back();
  idle_events_.pop_back();
  return event;
}

absl::Status SemaphoreImports::MarkUsed(Import& import, CUstream stream, CUevent event) {
  absl::Status status = TENURE_CU(driver_, EventRecord, event, stream);
  if (status.ok()) {
    import.uses.push_back(event);
  } else {
    idle_events_.push_back(event);
    import.kept = true;
  }
  return status;
}

absl::Status SemaphoreImports::Wait(CUstream stream,
                                    const std::shared_ptr<ExportableTimeline>& timeline,
                                    uint64_t value) {
  absl::MutexLock lock(&mutex_);
  TENURE_ASSIGN_OR_RETURN(Import* const import, ImportOf(timeline));
  IsIdle(*import);
  // Before anything is queued, whose end could not be observed without it.
  TENURE_ASSIGN_OR_RETURN(CUevent event, AcquireEvent());
  CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS params = {};
  params.params.fence.value = value;
  absl::Status status =
      TENURE_CU(driver_, WaitExternalSemaphoresAsync, &import->handle, &params, 1, stream);
  if (status.ok()) return MarkUsed(*import, stream, event);
  idle_events_.push_back(event);
  return status;
}

absl::Status SemaphoreImports::Signal(CUevent after,
                                      const std::shared_ptr<ExportableTimeline>& timeline,
                                      uint64_t value) {
  absl::MutexLock lock(&mutex_);
  TENURE_ASSIGN_OR_RETURN(Import* const import, ImportOf(timeline));
  if (import->signalled >= value) return absl::OkStatus();
  if (import->signals == nullptr) {
    TENURE_RETURN_IF_ERROR(
        TENURE_CU(driver_, StreamCreate, &import->signals, CU_STREAM_NON_BLOCKING));
  }
  IsIdle(*import);
  TENURE_ASSIGN_OR_RETURN(CUevent event, AcquireEvent());
  CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS params = {};
  params.params.fence.value = value;
  absl::Status status =
      TENURE_CU(driver_, StreamWaitEvent, import->signals, after, CU_EVENT_WAIT_DEFAULT);
  if (status.ok()) {
    status = TENURE_CU(driver_, SignalExternalSemaphoresAsync, &import->handle, &params, 1,
                       import->signals);
  }
  if (!status.ok()) {
    idle_events_.push_back(event);
    return status;
  }
  import->signalled = value;
  // The signal is on its way, whether its end can be observed or not.
  MarkUsed(*import, import->signals, event).IgnoreError();
  return absl::OkStatus();
}

}  // namespace tenure::cuda
