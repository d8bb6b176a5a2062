#include "tenure/allocator/vulkan/foreign_waits.h"

#include <algorithm>

#include "tenure/base/status_macros.h"

namespace tenure::vulkan {

absl::StatusOr<std::shared_ptr<SharedSemaphore>> ForeignWaits::SemaphoreFor(
    const std::shared_ptr<Device>& device, const Fence& fence) {
  auto* foreign = dynamic_cast<SignallingTimeline*>(fence.timeline().get());
  if (foreign == nullptr) return absl::InternalError("a fence whose timeline can't signal");
  TENURE_RETURN_IF_ERROR(foreign->Failure());
  absl::MutexLock lock(&mutex_);
  std::erase_if(waits_, [](const Wait& wait) { return wait.timeline.expired(); });
  auto it = std::find_if(waits_.begin(), waits_.end(), [&](const Wait& wait) {
    return wait.timeline.lock() == fence.timeline();
  });
  if (it == waits_.end()) {
    TENURE_ASSIGN_OR_RETURN(std::shared_ptr<SharedSemaphore> semaphore,
                            SharedSemaphore::Create(device));
    it = waits_.insert(waits_.end(), {fence.timeline(), std::move(semaphore)});
    any_.store(true, std::memory_order_release);
  }
  TENURE_ASSIGN_OR_RETURN(const bool waits, foreign->SignalAt(fence.value(), it->semaphore));
  if (!waits) return std::shared_ptr<SharedSemaphore>();
  it->value = std::max(it->value, fence.value());
  return it->semaphore;
}

void ForeignWaits::EndFailed() {
  if (!any_.load(std::memory_order_acquire)) return;
  absl::MutexLock lock(&mutex_);
  for (const Wait& wait : waits_) {
    const std::shared_ptr<Timeline> timeline = wait.timeline.lock();
    if (timeline == nullptr) continue;
    timeline->Reached();  // looks at the device, which Failure does not
    if (!timeline->Failure().ok()) wait.semaphore->Signal(wait.value).IgnoreError();
  }
}

}  // namespace tenure::vulkan
