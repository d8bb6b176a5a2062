// DeviceQueue: an order of work on a device, with the command buffers and the timeline that it needs.
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<DeviceQueue> queue, DeviceQueue::Create(device));
//   TENURE_ASSIGN_OR_RETURN(Fence done, queue->SubmitRecorded(fences, [&](VkCommandBuffer commands) {
//     device->calls().CmdCopyBuffer(commands, from, to, 1, &region);
//     return absl::OkStatus();
//   }));
//
// Vulkan only keeps an order where it is told to. So every submission begins with a barrier behind
// all earlier work of its VkQueue, and ends with one that makes its writes visible to the host. In
// between, whoever records orders the commands among each other.
//
// Cost: one vkQueueSubmit for each call; command buffers are used again when their work is over.
// Thread safety: thread-safe. Ownership: shares the device, and the timelines that its work waits
// for. The destructor waits for all work of the queue; its fences outlive it.
// Errors: the driver's; FailedPrecondition for fences that the device can't wait for.

#ifndef TENURE_ALLOCATOR_VULKAN_DEVICE_QUEUE_H_
#define TENURE_ALLOCATOR_VULKAN_DEVICE_QUEUE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/semaphore_timeline.h"
#include "tenure/allocator/vulkan/vulkan.h"

namespace tenure::vulkan {

class DeviceQueue final : public CommandQueue {
 public:
  using Recorder = absl::FunctionRef<absl::Status(VkCommandBuffer)>;

  static absl::StatusOr<std::shared_ptr<DeviceQueue>> Create(std::shared_ptr<Device> device,
                                                             QueueUse use = QueueUse::kCompute);
  ~DeviceQueue() override;

  const std::shared_ptr<Device>& device() const { return device_; }
  const SemaphoreTimeline* timeline() const { return timeline_.get(); }

  // Records commands and submits them, after `after`. `host_part`, if there is one, is done by the
  // host afterwards (semaphore_timeline.h). If `record` fails, nothing is submitted.
  absl::StatusOr<Fence> SubmitRecorded(absl::Span<const Fence> after, Recorder record,
                                       std::function<absl::Status()> host_part = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_);

  absl::StatusOr<Fence> Submit(absl::Span<const uint64_t> command_buffers) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  uint64_t native_handle() const override { return reinterpret_cast<uint64_t>(queue_.handle); }
  uint64_t device_handle() const override { return reinterpret_cast<uint64_t>(device_->handle()); }
  uint64_t physical_device_handle() const override {
    return reinterpret_cast<uint64_t>(device_->physical().handle);
  }
  uint64_t instance_handle() const override {
    return reinterpret_cast<uint64_t>(device_->instance().handle());
  }
  absl::StatusOr<int> ExportTimeline() override { return timeline_->ExportFd(); }
  uint32_t family() const override { return queue_.family; }

  absl::StatusOr<Fence> Record() override ABSL_LOCKS_EXCLUDED(mutex_);
  bool CanWaitFor(const Fence& fence) const override { return DeviceCanWaitFor(*device_, fence); }
  bool HasRecorded(const Fence& fence) const override {
    return fence.timeline().get() == timeline_.get();
  }
  using Queue::WaitFor;
  absl::Status WaitFor(absl::Span<const Fence> fences) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Synchronize() override;

  // Whether queues of the device can wait for the fence: it is reached, or of one of its queues, of
  // a timeline that was imported, or of another API that shares the card.
  static bool DeviceCanWaitFor(const Device& device, const Fence& fence);

  // The queue behind `queue`, for work on `device`. InvalidArgument for a queue of another driver,
  // or of another device.
  static absl::StatusOr<DeviceQueue*> Of(Queue& queue, const Device& device);

 protected:
  void LockQueue() override { queue_.Lock(); }
  void UnlockQueue() override { queue_.Unlock(); }

 private:
  struct Commands {
    VkCommandBuffer buffer = VK_NULL_HANDLE;  // null: the submission has none of the queue's own
    uint64_t value = 0;                       // of the submission that uses it
    // What the submission waits for. A semaphore must not be destroyed while a submission refers to
    // it, even after the wait.
    std::vector<std::shared_ptr<Timeline>> waited = {};
  };
  // The semaphores and values that a submission waits for.
  struct Waits {
    // The timeline is kept until the work that waits for the semaphore is over.
    void Add(VkSemaphore semaphore, uint64_t value, const std::shared_ptr<Timeline>& timeline);
    std::vector<VkSemaphore> semaphores;
    std::vector<uint64_t> values;
    std::vector<std::shared_ptr<Timeline>> timelines;
  };

  DeviceQueue(std::shared_ptr<Device> device, SharedQueue& queue, VkCommandPool pool,
              std::shared_ptr<SemaphoreTimeline> timeline)
      : device_(std::move(device)), queue_(queue), timeline_(std::move(timeline)), pool_(pool) {}
  absl::Status RecordBarriers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<VkCommandBuffer> AcquireCommands() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes back what finished submissions used.
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<VkCommandBuffer> AllocateCommands() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Waits> WaitsFor(absl::Span<const Fence> fences) const;
  // Submits and signals the next value, which it returns. `own` is one of the buffers that the queue
  // uses again, or null.
  absl::StatusOr<uint64_t> SubmitBatch(Waits waits, VkCommandBuffer own,
                                       absl::Span<const VkCommandBuffer> buffers)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::shared_ptr<Device> device_;
  SharedQueue& queue_;  // of device_
  const std::shared_ptr<SemaphoreTimeline> timeline_;
  absl::Mutex mutex_;
  VkCommandPool pool_;                                 // used with mutex_ held
  std::deque<Commands> used_ ABSL_GUARDED_BY(mutex_);  // in the order of their values
  std::vector<VkCommandBuffer> idle_ ABSL_GUARDED_BY(mutex_);
  // Recorded once: what stands before and behind commands of the embedding program's.
  VkCommandBuffer before_ ABSL_GUARDED_BY(mutex_) = VK_NULL_HANDLE;
  VkCommandBuffer behind_ ABSL_GUARDED_BY(mutex_) = VK_NULL_HANDLE;
};

// Makes all later commands of the command buffer wait for all earlier ones, and see their writes.
void RecordBarrier(const Device& device, VkCommandBuffer commands);

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_DEVICE_QUEUE_H_
