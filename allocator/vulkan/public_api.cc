// Implements vulkan.h and allocators.h.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
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
  TENURE_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, Devices());
  auto list = [&] {
    std::string text = "this machine has";
    for (const DeviceInfo& device : devices) {
      absl::StrAppend(&text, " ", device.ordinal, " (", device.name, ", ", device.uuid, ")");
    }
    return devices.empty() ? std::string("this machine has none") : text;
  };
  uint32_t index = 0;
  if (absl::SimpleAtoi(selector, &index)) {
    if (index < devices.size()) return index;
    return absl::NotFoundError(absl::StrCat("no Vulkan device ", index, ": ", list()));
  }
  std::vector<uint32_t> found;
  const std::string wanted = absl::AsciiStrToLower(selector);
  for (const DeviceInfo& device : devices) {
    const bool by_uuid = absl::StartsWith(device.uuid, wanted);
    const bool by_name = absl::StrContains(absl::AsciiStrToLower(device.name), wanted);
    if (!wanted.empty() && (by_uuid || by_name)) found.push_back(device.ordinal);
  }
  if (found.size() == 1) return found.front();
  return absl::NotFoundError(absl::StrCat(
      found.empty() ? "no Vulkan device is '" : "more than one Vulkan device is '", selector,
      "': ", list(), "; give an index, a UUID or a part of a name that only one has"));
}

absl::StatusOr<std::shared_ptr<CommandQueue>> CommandQueue::Create(uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device,
                          Device::Open(std::move(instance), ordinal));
  return DeviceQueue::Create(std::move(device));
}

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options) {
  if (space.kind().driver() != kDriverName) {
    return absl::InvalidArgumentError(absl::StrCat("'", space.ToString(),
                                                   "' is no space of Vulkan's; give 'vulkan:N', "
                                                   "'vulkan-upload:N' or 'vulkan-readback:N'"));
  }
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Default());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device,
                          Device::Open(std::move(instance), space.ordinal()));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<CopyEngine> engine, CopyEngine::Of(std::move(device)));
  return VulkanAllocator::Create(space.kind(), options, std::move(engine));
}

SpaceDriver VulkanDriver() {
  return {.name = std::string(kDriverName),
          .spaces = {kDeviceSpace, kUploadSpace, kReadbackSpace},
          .factory = [](const MemorySpace& space) { return MakeAllocator(space); },
          .routes = RegisterCopyRoutes,
          .devices = []() -> absl::StatusOr<std::vector<SpaceDevice>> {
            TENURE_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> devices, Devices());
            std::vector<SpaceDevice> all;
            for (const DeviceInfo& device : devices) all.push_back({device.ordinal, device.name});
            return all;
          }};
}

}  // namespace tenure::vulkan
