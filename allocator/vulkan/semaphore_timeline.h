// SemaphoreTimeline: the fences of one queue, as a timeline semaphore of Vulkan's.
//
// Each submission of the queue signals the next value. A value may also have a part that the host
// does when the device has come to it, such as moving bytes out of memory that the device wrote. The
// value is reached when that is done too:
//
//   device   | copy to staging memory, signals 7 |
//   host                                         | copy from there | value 7 is reached
//
// Other queues of the device wait for the device's part only (HasDeviceReached). That is enough for
// bytes that only the device touches; bytes of the host's need the whole (HasHostParts).
//
// Host parts are done by a thread of the library (copy/host_worker.h), or by a thread that waits for
// them, whichever comes first.
//
// Other APIs and processes wait for it by a descriptor of the semaphore (ExportFd), where the device
// can share semaphores. From the first export on, the host's own waits look at the counter instead
// of calling the driver's wait, which is slow for some drivers then (shared_semaphore.h).
//
// Cost: Reached is one load if nothing is under way; otherwise it asks the driver (0.1 us).
// Thread safety: thread-safe. Ownership: shares the device, and destroys the semaphore at its end,
// when nothing is under way any more.
// Errors: a value whose host part failed is reached, and Wait gives that error. A lost device is a
// Failure: the values after it never come.

#ifndef TENURE_ALLOCATOR_VULKAN_SEMAPHORE_TIMELINE_H_
#define TENURE_ALLOCATOR_VULKAN_SEMAPHORE_TIMELINE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/allocator/timeline/shared_timeline.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/foreign_waits.h"

namespace tenure::vulkan {

class SemaphoreTimeline final : public ExportableTimeline {
 public:
  static absl::StatusOr<std::shared_ptr<SemaphoreTimeline>> Create(std::shared_ptr<Device> device);
  ~SemaphoreTimeline() override;

  const Device& device() const { return *device_; }
  VkSemaphore semaphore() const { return semaphore_; }

  // The value of the latest submission.
  uint64_t issued() const { return issued_.load(std::memory_order_acquire); }
  // A submission that signals `value` was made. Called by the queue, in order.
  void SetIssued(uint64_t value) { issued_.store(value, std::memory_order_release); }

  // Adds the host's part of `value`, before the value is issued.
  void AddHostPart(uint64_t value, std::function<absl::Status()> work) ABSL_LOCKS_EXCLUDED(mutex_);
  // The submission failed: forgets the part without doing it.
  void DropHostPart(uint64_t value) ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether the host still has something to do for `value` or an earlier one.
  bool HasHostParts(uint64_t value) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Does the host's parts of the values that the device has reached, in order.
  void DoHostParts() ABSL_LOCKS_EXCLUDED(mutex_);

  // The device is lost: forgets the host's parts that nobody has begun, and waits for the others.
  // Whoever waits for their values gets `why`. False if some are still being done at the deadline.
  bool AbandonHostParts(const absl::Status& why, absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // As Wait, for the device's part.
  absl::Status WaitForDevice(uint64_t value, absl::Time deadline);
  // The largest value that the device has reached.
  uint64_t DeviceReached() const;

  // The waits of the queue's work for other APIs.
  ForeignWaits& foreign_waits() { return foreign_waits_; }

  const std::string& card() const override { return device_->shared_card(); }
  absl::StatusOr<int> ExportFd() override;
  bool IsOfDeviceAlone(uint64_t value) const override { return !HasHostParts(value); }

  uint64_t Reached() const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Wait(uint64_t value, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mutex_);
  bool WasTold(uint64_t value) const override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Failure() const override;
  std::string Describe() const override;

 private:
  struct HostPart {
    std::function<absl::Status()> work;
    bool taken = false;  // a thread is doing it
  };
  struct Error {
    absl::Status status;
    bool told = false;
  };

  SemaphoreTimeline(std::shared_ptr<Device> device, VkSemaphore semaphore)
      : device_(std::move(device)), semaphore_(semaphore) {}
  uint64_t SetDeviceReached(uint64_t value) const;  // at least; returns what is reached
  absl::Status ErrorAt(uint64_t value, bool tells) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<Device> device_;
  VkSemaphore semaphore_;
  ForeignWaits foreign_waits_;
  std::atomic<bool> is_exported_{false};
  std::atomic<uint64_t> issued_{0};
  mutable std::atomic<uint64_t> device_reached_{0};  // as it was seen last
  std::atomic<uint64_t> host_parts_{0};              // how many there are in parts_
  mutable absl::Mutex mutex_;
  std::map<uint64_t, HostPart> parts_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Error> errors_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_SEMAPHORE_TIMELINE_H_
