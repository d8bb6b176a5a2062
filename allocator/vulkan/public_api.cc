// Implements vulkan.h and allocators.h.

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/instance.h"
#include "tenure/allocator/vulkan/vulkan.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

std::string ApiText(uint32_t version) {
  return absl::StrCat(VK_API_VERSION_MAJOR(version), ".", VK_API_VERSION_MINOR(version), ".",
                      VK_API_VERSION_PATCH(version));
}

SpaceDevice Described(const DeviceInfo& info) {
  SpaceDevice device{.ordinal = info.ordinal, .name = info.name, .uuid = info.uuid, .summary = {}};
  device.summary = absl::StrCat(DeviceTypeName(info.type), ", Vulkan ", ApiText(info.api_version));
  uint64_t total = 0, budget = 0, usage = 0;
  for (const MemoryHeap& heap : info.heaps) {
    if (!heap.device_local) continue;
    total += heap.size_bytes;
    budget += heap.budget_bytes;
    usage += heap.usage_bytes;
  }
  device.facts = {
      {"type", std::string(DeviceTypeName(info.type))},
      {"api_version", ApiText(info.api_version)},
      {"driver", info.driver},
      {"memory_total_bytes", total},
      {"memory_budget_bytes", budget},
      {"memory_free_bytes", budget - std::min(budget, usage)},
      {"unified", info.unified},
      {"shares_host_memory", info.external_memory_host},
      {"shares_memory_by_fd", info.external_memory_fd},
      {"shares_fences_by_fd", info.external_semaphore_fd},
  };
  return device;
}

absl::StatusOr<std::vector<SpaceDevice>> DescribedDevices() {
  TENURE_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> found, Devices());
  std::vector<SpaceDevice> devices;
  devices.reserve(found.size());
  for (const DeviceInfo& info : found) devices.push_back(Described(info));
  return devices;
}

}  // namespace

absl::StatusOr<std::vector<DeviceInfo>> Devices() {
  TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<Instance> instance, Instance::Default());
  std::vector<DeviceInfo> all;
  for (const PhysicalDevice& device : instance->devices()) {
    DeviceInfo info = device.info;
    if (info.missing.empty()) info.heaps = instance->Heaps(device);
    all.push_back(std::move(info));
  }
  return all;
}

absl::StatusOr<uint32_t> FindDevice(std::string_view selector) {
  TENURE_ASSIGN_OR_RETURN(const std::vector<SpaceDevice> devices, DescribedDevices());
  return SelectDevice(devices, "Vulkan", selector);
}

absl::StatusOr<std::shared_ptr<CommandQueue>> CommandQueue::Create(uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device,
                          Device::Open(std::move(instance), ordinal));
  return DeviceQueue::Create(std::move(device));
}

absl::StatusOr<std::shared_ptr<CommandQueue>> CommandQueue::Create(const AdoptedDevice& device) {
  return DeviceQueue::Create(device.device());
}

absl::StatusOr<std::shared_ptr<Timeline>> ImportTimeline(uint32_t ordinal, int fd) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device,
                          Device::Open(std::move(instance), ordinal));
  return SharedSemaphore::Import(device, fd);
}

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options) {
  if (space.kind().driver() != kDriverName) {
    return absl::InvalidArgumentError(absl::StrCat("'", space.ToString(),
                                                   "' is no space of Vulkan's; give 'vulkan:N', "
                                                   "'vulkan-upload:N' or 'vulkan-readback:N'"));
  }
  std::shared_ptr<Device> device;
  if (options.device != nullptr) {
    device = options.device->device();
    if (device->ordinal() != space.ordinal()) {
      return absl::InvalidArgumentError(
          absl::StrCat("the device that was given is ", device->ordinal(),
                       " of its instance, and the space is '", space.ToString(),
                       "'; give the space the device's ordinal"));
    }
  } else {
    TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
    TENURE_ASSIGN_OR_RETURN(device, Device::Open(std::move(instance), space.ordinal()));
  }
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<CopyEngine> engine, CopyEngine::Of(std::move(device)));
  return VulkanAllocator::Create(space.kind(), options, std::move(engine));
}

SpaceDriver VulkanDriver() {
  return {.name = std::string(kDriverName),
          .spaces = {kDeviceSpace, kUploadSpace, kReadbackSpace},
          .factory = [](const MemorySpace& space) { return MakeAllocator(space); },
          .routes = RegisterCopyRoutes,
          .devices = DescribedDevices};
}

}  // namespace tenure::vulkan
