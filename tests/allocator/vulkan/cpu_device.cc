#include "tenure/tests/allocator/vulkan/cpu_device.h"

#include <dlfcn.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "gtest/gtest.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/tests/testing/vulkan_validation.h"

namespace tenure::vulkan {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::cerr << result.status() << "\n";
    std::exit(1);
  }
  return *std::move(result);
}

}  // namespace

CpuDevice& CpuDevice::Get() {
  static auto* const device = new CpuDevice;
  return *device;
}

CpuDevice::CpuDevice() {
  // LeakSanitizer can't follow what an unloaded driver has left.
  dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
  // Messages of the layer's own about where it reads its settings do not come here.
  const auto on_message = [](std::string_view text) { ADD_FAILURE() << "validation: " << text; };
  const char* wanted = std::getenv("TENURE_TEST_VULKAN");
  absl::StatusOr<std::shared_ptr<Instance>> instance = Instance::Create(
      OrDie(OpenLoader()), {.validation = kWithValidation, .on_message = on_message});
  if (!instance.ok() && wanted != nullptr) {
    std::cout << "Without the validation layer: it is not installed here.\n";
    instance = Instance::Create(OrDie(OpenLoader()), {.on_message = on_message});
  }
  instance_ = OrDie(std::move(instance));
  for (const PhysicalDevice& physical : instance_->devices()) {
    if (DeviceTypeName(physical.info.type) != (wanted == nullptr ? "cpu" : wanted)) continue;
    device_ = OrDie(Device::Open(instance_, physical.info.ordinal));
    break;
  }
  if (device_ == nullptr) {
    std::cerr << "there is no Vulkan device of the type " << (wanted == nullptr ? "cpu" : wanted)
              << "; run tools/setup for one of the CPU's\n";
    std::exit(1);
  }
  engine_ = OrDie(CopyEngine::Of(device_));
}

std::unique_ptr<Allocator> CpuDevice::Make(SpaceKind kind, const AllocatorOptions& options) {
  return OrDie(VulkanAllocator::Create(kind, options, engine_));
}

std::shared_ptr<DeviceQueue> CpuDevice::MakeQueue() { return OrDie(DeviceQueue::Create(device_)); }

}  // namespace tenure::vulkan
