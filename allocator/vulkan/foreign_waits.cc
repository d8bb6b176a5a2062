#include "tenure/allocator/vulkan/foreign_waits.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "tenure/base/status_macros.h"

namespace tenure::vulkan {

struct ForeignWaits::Live {
  absl::Mutex mutex;
  std::vector<ForeignWaits*> all ABSL_GUARDED_BY(mutex);
  std::atomic<int> count{0};  // of `all`

  static Live& Get() {
    static auto* const live = new Live;
    return *live;
  }
};

ForeignWaits::~ForeignWaits() {
  {
    absl::MutexLock lock(&mutex_);
    if (!is_live_) return;
  }
  Live& live = Live::Get();
  absl::MutexLock lock(&live.mutex);
  live.all.erase(std::find(live.all.begin(), live.all.end(), this));
  live.count.fetch_sub(1, std::memory_order_release);
}

absl::StatusOr<std::shared_ptr<SharedSemaphore>> ForeignWaits::SemaphoreFor(
    const std::shared_ptr<Device>& device, const Fence& fence) {
  auto* foreign = dynamic_cast<SignallingTimeline*>(fence.timeline().get());
  if (foreign == nullptr) return absl::InternalError("a fence whose timeline can't signal");
  TENURE_RETURN_IF_ERROR(foreign->Failure());
  absl::MutexLock lock(&mutex_);
  std::erase_if(waits_, [](const Wait& wait) { return wait.timeline.expired(); });
  // Compared by their owners: a timeline must not end here, with the lock held.
  auto it = std::find_if(waits_.begin(), waits_.end(), [&](const Wait& wait) {
    return !wait.timeline.owner_before(fence.timeline()) &&
           !fence.timeline().owner_before(wait.timeline);
  });
  if (it == waits_.end()) {
    TENURE_ASSIGN_OR_RETURN(std::shared_ptr<SharedSemaphore> semaphore,
                            SharedSemaphore::Create(device));
    it = waits_.insert(waits_.end(), {fence.timeline(), std::move(semaphore)});
    if (!is_live_) {
      Live& live = Live::Get();
      absl::MutexLock live_lock(&live.mutex);
      live.all.push_back(this);
      live.count.fetch_add(1, std::memory_order_release);
      is_live_ = true;
    }
  }
  TENURE_ASSIGN_OR_RETURN(const bool waits, foreign->SignalAt(fence.value(), it->semaphore));
  if (!waits) return std::shared_ptr<SharedSemaphore>();
  it->value = std::max(it->value, fence.value());
  return it->semaphore;
}

void ForeignWaits::EndOwn(std::vector<std::shared_ptr<Timeline>>& seen) {
  // A thread that has the lock queues a wait, which takes no time; the next look comes soon.
  if (!mutex_.TryLock()) return;
  for (const Wait& wait : waits_) {
    std::shared_ptr<Timeline> timeline = wait.timeline.lock();
    if (timeline == nullptr) continue;
    timeline->Reached();  // looks at the device, which Failure does not
    if (!timeline->Failure().ok()) wait.semaphore->Signal(wait.value).IgnoreError();
    seen.push_back(std::move(timeline));
  }
  mutex_.Unlock();
}

void ForeignWaits::EndFailed() {
  Live& live = Live::Get();
  if (live.count.load(std::memory_order_acquire) == 0) return;
  std::vector<std::shared_ptr<Timeline>> seen;  // destroyed without the lock
  if (!live.mutex.TryLock()) return;            // another thread looks
  for (ForeignWaits* waits : live.all) waits->EndOwn(seen);
  live.mutex.Unlock();
}

}  // namespace tenure::vulkan
