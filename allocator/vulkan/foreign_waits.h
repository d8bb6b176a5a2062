// ForeignWaits: what a queue needs to wait for fences of another API on the same card (CUDA's): for
// each timeline of theirs a semaphore of ours, which the other device raises to the fence's value.
//
// If the other device fails, it raises nothing, and our queue would wait forever, with all queues that
// wait for it. EndFailed raises the semaphores then, of all queues: every look at a fence and every
// wait for one calls it. The queue's work goes on with whatever bytes there are; the failed fence
// tells its error to those that wait for it on the host.
//
// Cost: with the first wait for a timeline, a semaphore that the other API imports (60 us); then a
// call or two of the other driver for each wait.
// Thread safety: thread-safe. Ownership: a semaphore lives as long as the other timeline, and until
// the work that waits for it is over.
// Errors: those of both drivers.

#ifndef TENURE_ALLOCATOR_VULKAN_FOREIGN_WAITS_H_
#define TENURE_ALLOCATOR_VULKAN_FOREIGN_WAITS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/timeline/shared_timeline.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/shared_semaphore.h"

namespace tenure::vulkan {

class ForeignWaits {
 public:
  ForeignWaits() = default;
  ~ForeignWaits();
  ForeignWaits(const ForeignWaits&) = delete;
  ForeignWaits& operator=(const ForeignWaits&) = delete;

  // Whether the device can wait for fences of this timeline.
  static bool CanWaitFor(const Device& device, const SignallingTimeline& timeline) {
    return !device.shared_card().empty() && timeline.card() == device.shared_card();
  }

  // The semaphore that comes to the fence's value with it; null if the fence is reached. The queue
  // keeps it, and the fence's timeline, until the work that waits is over.
  absl::StatusOr<std::shared_ptr<SharedSemaphore>> SemaphoreFor(
      const std::shared_ptr<Device>& device, const Fence& fence) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the waits of all queues of the process for devices that have failed. A load if there are no
  // such waits.
  static void EndFailed();

 private:
  struct Live;  // those that have waits
  struct Wait {
    std::weak_ptr<Timeline> timeline;
    std::shared_ptr<SharedSemaphore> semaphore;
    uint64_t value = 0;  // the largest that was waited for
  };

  // `seen` keeps the timelines that were looked at until no lock is held.
  void EndOwn(std::vector<std::shared_ptr<Timeline>>& seen) ABSL_LOCKS_EXCLUDED(mutex_);

  bool is_live_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex mutex_;
  std::vector<Wait> waits_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_FOREIGN_WAITS_H_
