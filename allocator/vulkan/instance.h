// Instance: a VkInstance, made here or adopted, with a description of each of its devices.
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
//   for (const PhysicalDevice& device : instance->devices()) ...
//
// Cost: making one takes some milliseconds for each driver of the machine. Devices are described
// once, when the instance is made.
// Thread safety: thread-safe. Ownership: shared by the devices that are opened from it.
// Errors: Unavailable (no loader, no driver, or no validation layer where it was asked for).

#ifndef TENURE_ALLOCATOR_VULKAN_INSTANCE_H_
#define TENURE_ALLOCATOR_VULKAN_INSTANCE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/allocator/vulkan/loader.h"
#include "tenure/allocator/vulkan/vulkan.h"

namespace tenure::vulkan {

// What an instance knows of a device before it is opened.
struct PhysicalDevice {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  DeviceInfo info;
  VkPhysicalDeviceLimits limits = {};
  VkPhysicalDeviceMemoryProperties memory = {};
  // The families of the queues that are used. Those of the first compute and copy. Those of the
  // second only copy: they have the bus to themselves, and no kernel delays them.
  uint32_t family = 0;
  uint32_t queue_count = 0;
  uint32_t transfer_family = 0;
  uint32_t transfer_queue_count = 0;          // 0: the device has no such family
  uint64_t host_pointer_alignment_bytes = 0;  // of imported host memory; 0: it can't be imported
  // The card, as others name it (CardOfUuid), if timeline semaphores can be shared by descriptors;
  // empty: they can't.
  std::string shared_card;
  bool byte_kernels = false;  // shaders may use 64-bit and 8-bit integers in buffers

  bool HasExtension(std::string_view name) const;
  std::vector<std::string> extensions;
};

class Instance {
 public:
  struct Options {
    bool validation = false;  // with VK_LAYER_KHRONOS_validation
    // Receives the warnings and errors of the layer and the driver. Empty: they go to stderr.
    std::function<void(std::string_view)> on_message = {};
  };

  // The instance of libvulkan.so.1. It is the same object for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<Instance>> Default();
  static absl::StatusOr<std::shared_ptr<Instance>> Create(PFN_vkGetInstanceProcAddr get,
                                                          Options options);
  // An instance of an embedding program's, which is never destroyed here.
  static absl::StatusOr<std::shared_ptr<Instance>> Adopt(PFN_vkGetInstanceProcAddr get,
                                                         VkInstance handle);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  VkInstance handle() const { return handle_; }
  const InstanceCalls& calls() const { return calls_; }
  // By ordinal.
  const std::vector<PhysicalDevice>& devices() const { return devices_; }
  // With budgets and usage as they are now.
  std::vector<MemoryHeap> Heaps(const PhysicalDevice& device) const;

 private:
  Instance() = default;
  absl::Status Describe();
  void AddMessenger(PFN_vkGetInstanceProcAddr get);

  VkInstance handle_ = VK_NULL_HANDLE;
  bool adopted_ = false;
  InstanceCalls calls_;
  Options options_;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  PFN_vkDestroyDebugUtilsMessengerEXT destroy_messenger_ = nullptr;
  std::vector<PhysicalDevice> devices_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_INSTANCE_H_
