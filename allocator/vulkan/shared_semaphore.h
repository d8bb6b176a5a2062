// SharedSemaphore: a timeline semaphore that others signal: another API, another process. It goes
// out and comes in as a file descriptor (VK_KHR_external_semaphore_fd, OPAQUE_FD).
//
//   TENURE_ASSIGN_OR_RETURN(auto timeline, SharedSemaphore::Import(device, fd));
//   TENURE_RETURN_IF_ERROR(queue->WaitFor(Fence(timeline, 7)));
//
// The driver's own wait for a value that CUDA signals takes 10 ms on an H200, because nothing wakes
// it. So Wait looks at the counter itself: without a pause at first, which sees the value in 3 us,
// and then with pauses that grow to 0.2 ms.
//
// Cost: Reached asks the driver (0.1 us).
// Thread safety: thread-safe. Ownership: shares the device. Whoever makes a queue wait for it keeps
// it until the wait is over.
// Errors: Unimplemented (the device can't share semaphores), InvalidArgument (no descriptor of a
// semaphore of this card), and those of the driver.

#ifndef TENURE_ALLOCATOR_VULKAN_SHARED_SEMAPHORE_H_
#define TENURE_ALLOCATOR_VULKAN_SHARED_SEMAPHORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tenure/allocator/timeline/shared_timeline.h"
#include "tenure/allocator/vulkan/device.h"

namespace tenure::vulkan {

class SharedSemaphore final : public ExportableTimeline {
 public:
  // A new one, with the value 0.
  static absl::StatusOr<std::shared_ptr<SharedSemaphore>> Create(std::shared_ptr<Device> device);
  // The descriptor stays the caller's.
  static absl::StatusOr<std::shared_ptr<SharedSemaphore>> Import(
      const std::shared_ptr<Device>& device, int fd);
  ~SharedSemaphore() override;

  const Device& device() const { return *device_; }
  VkSemaphore semaphore() const { return semaphore_; }
  // The host raises it in place of the one that should have done so, but has failed.
  absl::Status Signal(uint64_t value);

  const std::string& card() const override { return device_->shared_card(); }
  absl::StatusOr<int> ExportFd() override;
  bool IsOfDeviceAlone(uint64_t) const override { return true; }
  uint64_t Reached() const override;
  absl::Status Wait(uint64_t value, absl::Time deadline) override;
  absl::Status Failure() const override { return device_->lost(); }

 private:
  SharedSemaphore(std::shared_ptr<Device> device, VkSemaphore semaphore)
      : device_(std::move(device)), semaphore_(semaphore) {}

  const std::shared_ptr<Device> device_;
  VkSemaphore semaphore_;
  mutable std::atomic<uint64_t> seen_{0};
};

// A timeline semaphore with the value 0, which can be exported if the device shares semaphores.
absl::StatusOr<VkSemaphore> CreateTimelineSemaphore(const Device& device);
// Unimplemented if the device shares none.
absl::StatusOr<int> ExportSemaphoreFd(const Device& device, VkSemaphore semaphore);

// Looks whether something is reached: at first without a pause, then with pauses that grow. False:
// the deadline has passed.
bool PollUntil(absl::FunctionRef<bool()> is_reached, absl::Time deadline);

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_SHARED_SEMAPHORE_H_
