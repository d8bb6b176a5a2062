// Vulkan's objects of an embedding program's (vulkan.h: Adopt).

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/instance.h"
#include "tenure/allocator/vulkan/vulkan.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

absl::Status CheckGiven(const AdoptedHandles& handles) {
  std::vector<std::string> missing;
  if (handles.get_instance_proc_addr == nullptr) missing.push_back("get_instance_proc_addr");
  if (handles.instance == 0) missing.push_back("instance");
  if (handles.physical_device == 0) missing.push_back("physical_device");
  if (handles.device == 0) missing.push_back("device");
  if (handles.queue == 0) missing.push_back("queue");
  if (static_cast<bool>(handles.lock_queue) != static_cast<bool>(handles.unlock_queue)) {
    missing.push_back(handles.lock_queue ? "unlock_queue" : "lock_queue");
  }
  if (missing.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a Vulkan device can't be adopted without ",
                                                 absl::StrJoin(missing, ", "),
                                                 "; set it in AdoptedHandles"));
}

absl::Status CheckFamily(const InstanceCalls& calls, const PhysicalDevice& device,
                         uint32_t family) {
  uint32_t count = 0;
  calls.GetPhysicalDeviceQueueFamilyProperties2(device.handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties2> families(
      count, Struct<VkQueueFamilyProperties2>(VK_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES_2));
  calls.GetPhysicalDeviceQueueFamilyProperties2(device.handle, &count, families.data());
  if (family < count &&
      (families[family].queueFamilyProperties.queueFlags & VK_QUEUE_COMPUTE_BIT) != 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("queue family ", family, " of ", device.info.name, ", which has ", count, ", ",
                   family < count ? "does not compute" : "does not exist",
                   "; give a queue of a family with VK_QUEUE_COMPUTE_BIT"));
}

// The device as it was created: with its queue, and only with the extensions and features that the
// program has enabled.
absl::StatusOr<PhysicalDevice> AsCreated(PhysicalDevice device, const AdoptedHandles& handles) {
  for (const std::string& name : handles.extensions) {
    if (device.HasExtension(name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        device.info.name, " has no extension ", name,
        "; list in AdoptedHandles::extensions only those that the device was created with"));
  }
  device.extensions = handles.extensions;
  device.family = handles.queue_family;
  device.queue_count = 1;
  device.transfer_queue_count = 0;
  device.byte_kernels = device.byte_kernels && handles.byte_kernels;
  DeviceInfo& info = device.info;
  info.external_memory_host = device.HasExtension(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  info.external_memory_fd = device.HasExtension(VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
  info.external_semaphore_fd = device.HasExtension(VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME);
  if (!info.external_semaphore_fd) device.shared_card.clear();
  if (!info.external_memory_host) device.host_pointer_alignment_bytes = 0;
  return device;
}

}  // namespace

const DeviceInfo& AdoptedDevice::info() const { return device_->info(); }

absl::StatusOr<std::shared_ptr<Device>> Device::Adopt(AdoptedHandles handles) {
  TENURE_RETURN_IF_ERROR(CheckGiven(handles));
  TENURE_ASSIGN_OR_RETURN(
      std::shared_ptr<Instance> instance,
      Instance::Adopt(reinterpret_cast<PFN_vkGetInstanceProcAddr>(handles.get_instance_proc_addr),
                      reinterpret_cast<VkInstance>(handles.instance)));
  const auto wanted = reinterpret_cast<VkPhysicalDevice>(handles.physical_device);
  const std::vector<PhysicalDevice>& all = instance->devices();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const PhysicalDevice& one) { return one.handle == wanted; });
  if (found == all.end()) {
    return absl::InvalidArgumentError(
        "the physical device is none of the instance's; give one of vkEnumeratePhysicalDevices");
  }
  if (!found->info.missing.empty()) {
    return absl::UnavailableError(absl::StrCat(found->info.name,
                                               " can't be used: ", found->info.missing,
                                               "; install a newer driver, or use another device"));
  }
  TENURE_RETURN_IF_ERROR(CheckFamily(instance->calls(), *found, handles.queue_family));
  TENURE_ASSIGN_OR_RETURN(PhysicalDevice physical, AsCreated(*found, handles));
  std::shared_ptr<Device> device(new Device(std::move(instance), std::move(physical)));
  device->adopted_ = true;
  device->handle_ = reinterpret_cast<VkDevice>(handles.device);
  TENURE_ASSIGN_OR_RETURN(
      device->calls_,
      LoadDeviceCalls(device->instance_->calls().GetDeviceProcAddr, device->handle_));
  auto queue = std::make_unique<SharedQueue>();
  queue->handle = reinterpret_cast<VkQueue>(handles.queue);
  queue->family = handles.queue_family;
  queue->lock = std::move(handles.lock_queue);
  queue->unlock = std::move(handles.unlock_queue);
  device->queues_.push_back(std::move(queue));
  device->compute_queues_ = 1;
  device->families_ = {handles.queue_family};
  // Last: it is not called for what was not adopted.
  device->on_released_ = std::move(handles.on_released);
  return device;
}

absl::StatusOr<std::shared_ptr<AdoptedDevice>> Adopt(AdoptedHandles handles) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Device::Adopt(std::move(handles)));
  return std::make_shared<AdoptedDevice>(std::move(device));
}

}  // namespace tenure::vulkan
