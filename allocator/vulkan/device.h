// Device: one opened Vulkan device, as the allocators, queues and copies of this directory use it.
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Device::Open(instance, 0));
//   TENURE_RETURN_IF_ERROR(device->Check(device->calls().CreateBuffer(...), "vkCreateBuffer"));
//
// It has up to eight VkQueues of a family that computes and copies, and up to two of one that only
// copies, if there is one. Queues of the library share them in turn.
//
// Cost: opening a device takes tens of milliseconds. Thread safety: thread-safe. Ownership: shared
// by all users; the last one destroys the VkDevice. It shares the instance.
// Errors: Unavailable (no such device, or it lacks something), and the driver's. After a call has
// said VK_ERROR_DEVICE_LOST, lost() is that error for good.

#ifndef TENURE_ALLOCATOR_VULKAN_DEVICE_H_
#define TENURE_ALLOCATOR_VULKAN_DEVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/vulkan/instance.h"

namespace tenure::vulkan {

// A VkQueue. Vulkan wants one thread at a time to submit to it.
class SharedQueue {
 public:
  VkQueue handle = VK_NULL_HANDLE;
  uint32_t family = 0;
  // Of an embedding program that submits to the queue too (AdoptedHandles). Empty: there is none.
  std::function<void()> lock, unlock;

  void Lock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    mutex_.Lock();
    if (lock) lock();
  }
  void Unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (unlock) unlock();
    mutex_.Unlock();
  }

 private:
  absl::Mutex mutex_;
};

// What a queue is for. Where the device has no queues that only copy, those that compute do it.
enum class QueueUse { kCompute, kTransfer };

class Device {
 public:
  // Opens the device. Returns the same object for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<Device>> Open(std::shared_ptr<Instance> instance,
                                                      uint32_t ordinal);
  // A device of an embedding program's (vulkan.h), which is never destroyed here.
  static absl::StatusOr<std::shared_ptr<Device>> Adopt(AdoptedHandles handles);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Instance& instance() const { return *instance_; }
  const PhysicalDevice& physical() const { return physical_; }
  const DeviceInfo& info() const { return physical_.info; }
  uint32_t ordinal() const { return physical_.info.ordinal; }
  // The card whose other APIs can share timelines with this device; empty: none can.
  const std::string& shared_card() const { return physical_.shared_card; }
  VkDevice handle() const { return handle_; }
  const DeviceCalls& calls() const { return calls_; }

  // Like StatusOfResult, and remembers that the device is lost.
  absl::Status Check(VkResult result, std::string_view call) const;
  // OK, or why nothing works on this device any more.
  absl::Status lost() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes `info.allocationSize` bytes of the memory type that `info` names. ResourceExhausted: the
  // driver says so, the heap's budget would be passed, or there would be more pieces of memory than
  // the device permits.
  absl::StatusOr<VkDeviceMemory> AllocateMemory(const VkMemoryAllocateInfo& info)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    return AllocateMemory(info, info.allocationSize);
  }
  void FreeMemory(VkDeviceMemory memory, uint32_t type, uint64_t size_bytes)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for memory that exists already and takes nothing of the heap. Free it with a size of 0.
  absl::StatusOr<VkDeviceMemory> ImportMemory(const VkMemoryAllocateInfo& info)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    return AllocateMemory(info, 0);
  }

  // For memory that is never given back: a VkDevice must not be destroyed before its memory is.
  static void KeepForever(std::shared_ptr<Device> device);

  // The next of the device's VkQueues for this use, in turn.
  SharedQueue& NextQueue(QueueUse use);
  // The families that use the device's buffers.
  const std::vector<uint32_t>& families() const { return families_; }
  // Waits for all work of all queues of queues_.
  absl::Status WaitIdle();

 private:
  Device(std::shared_ptr<Instance> instance, PhysicalDevice physical)
      : instance_(std::move(instance)), physical_(std::move(physical)) {}
  absl::Status Create();
  absl::StatusOr<VkDeviceMemory> AllocateMemory(const VkMemoryAllocateInfo& info,
                                                uint64_t taken_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  uint32_t HeapOf(uint32_t type) const { return physical_.memory.memoryTypes[type].heapIndex; }

  const std::shared_ptr<Instance> instance_;
  const PhysicalDevice physical_;
  VkDevice handle_ = VK_NULL_HANDLE;
  bool adopted_ = false;
  std::function<void()> on_released_;  // of an adopted device
  DeviceCalls calls_;
  std::vector<std::unique_ptr<SharedQueue>> queues_;  // first those that compute
  size_t compute_queues_ = 0;                         // how many of them do
  std::vector<uint32_t> families_;
  std::atomic<uint32_t> next_compute_queue_{0};
  std::atomic<uint32_t> next_transfer_queue_{0};
  mutable std::atomic<bool> is_lost_{false};
  mutable absl::Mutex mutex_;
  mutable absl::Status lost_ ABSL_GUARDED_BY(mutex_);
  uint32_t memory_count_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t taken_[VK_MAX_MEMORY_HEAPS] ABSL_GUARDED_BY(mutex_) = {};
};

// TENURE_VKD(device, MapMemory, a, b) calls vkMapMemory(device, a, b) and returns its status.
#define TENURE_VKD(device, name, ...) \
  (device).Check((device).calls().name((device).handle(), __VA_ARGS__), "vk" #name)

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_DEVICE_H_
