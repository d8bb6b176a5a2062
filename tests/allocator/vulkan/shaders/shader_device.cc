#include "tenure/tests/allocator/vulkan/shaders/shader_device.h"

#include <dlfcn.h>

#include <cstdio>
#include <string_view>

#include "gtest/gtest.h"
#include "tenure/base/status_macros.h"

namespace tenure {

using vulkan::Device;
using vulkan::DeviceQueue;
using vulkan::Instance;

absl::StatusOr<std::unique_ptr<ShaderDevice>> ShaderDevice::Make(bool validation) {
  // Mesa's driver leaks some bytes when it is unloaded, and the leak checker could not name it then.
  dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
  std::unique_ptr<ShaderDevice> made(new ShaderDevice());
  TENURE_ASSIGN_OR_RETURN(PFN_vkGetInstanceProcAddr get, vulkan::OpenLoader());
  const auto on_message = [messages = made->messages_](std::string_view text) {
    absl::MutexLock lock(&messages->mutex);
    messages->texts.emplace_back(text);
  };
  absl::StatusOr<std::shared_ptr<Instance>> instance =
      Instance::Create(get, {.validation = validation, .on_message = on_message});
  if (!instance.ok() && validation) {
    std::puts("The validation layer is off here: it is not installed.");
    instance = Instance::Create(get, {.on_message = on_message});
  }
  if (!instance.ok()) return instance.status();
  TENURE_ASSIGN_OR_RETURN(made->device_, Device::Open(*std::move(instance), 0));
  TENURE_ASSIGN_OR_RETURN(made->queue_, DeviceQueue::Create(made->device_));
  return made;
}

ShaderDevice::~ShaderDevice() {
  if (queue_ != nullptr) {
    EXPECT_TRUE(queue_->Synchronize().ok());
  }
  queue_.reset();
  for (const Owned& owned : owned_) {
    device_->calls().DestroyBuffer(device_->handle(), owned.buffer, nullptr);
    device_->FreeMemory(owned.memory, owned.type, owned.size_bytes);
  }
  EXPECT_LE(device_.use_count(), 1) << "something still uses the device";
  device_.reset();
  absl::MutexLock lock(&messages_->mutex);
  for (const std::string& text : messages_->texts) ADD_FAILURE() << "validation: " << text;
}

absl::StatusOr<uint32_t> ShaderDevice::TypeFor(
    uint32_t permitted, absl::Span<const VkMemoryPropertyFlags> kinds) const {
  const VkPhysicalDeviceMemoryProperties& memory = device_->physical().memory;
  for (const VkMemoryPropertyFlags wanted : kinds) {
    for (uint32_t type = 0; type < memory.memoryTypeCount; ++type) {
      if ((permitted >> type & 1) != 0 &&
          (memory.memoryTypes[type].propertyFlags & wanted) == wanted) {
        return type;
      }
    }
  }
  return absl::UnimplementedError("the device has no memory of the kind that the test needs");
}

absl::StatusOr<ShaderDevice::Memory> ShaderDevice::Allocate(uint64_t size_bytes) {
  constexpr VkMemoryPropertyFlags kHost =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  // Cached memory first, because tests read all of it.
  return AllocateOf(size_bytes, {kHost | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, kHost});
}

absl::StatusOr<ShaderDevice::Memory> ShaderDevice::AllocateLocal(uint64_t size_bytes) {
  return AllocateOf(size_bytes, {VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT});
}

absl::StatusOr<ShaderDevice::Memory> ShaderDevice::AllocateOf(
    uint64_t size_bytes, absl::Span<const VkMemoryPropertyFlags> kinds) {
  Owned& owned = owned_.emplace_back();
  auto info = vulkan::Struct<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO);
  info.size = size_bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, CreateBuffer, &info, nullptr, &owned.buffer));
  VkMemoryRequirements needed = {};
  device_->calls().GetBufferMemoryRequirements(device_->handle(), owned.buffer, &needed);
  TENURE_ASSIGN_OR_RETURN(owned.type, TypeFor(needed.memoryTypeBits, kinds));
  owned.size_bytes = needed.size;
  auto flags =
      vulkan::Struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  auto memory =
      vulkan::Struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &flags);
  memory.allocationSize = needed.size;
  memory.memoryTypeIndex = owned.type;
  TENURE_ASSIGN_OR_RETURN(owned.memory, device_->AllocateMemory(memory));
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, BindBufferMemory, owned.buffer, owned.memory, 0));
  void* bytes = nullptr;
  const VkMemoryType& type = device_->physical().memory.memoryTypes[owned.type];
  if ((type.propertyFlags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0) {
    TENURE_RETURN_IF_ERROR(
        TENURE_VKD(*device_, MapMemory, owned.memory, 0, VK_WHOLE_SIZE, 0, &bytes));
  }
  auto address =
      vulkan::Struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
  address.buffer = owned.buffer;
  return Memory{device_->calls().GetBufferDeviceAddress(device_->handle(), &address),
                static_cast<uint8_t*>(bytes)};
}

absl::Status ShaderDevice::Run(DeviceQueue::Recorder record) {
  TENURE_ASSIGN_OR_RETURN(const Fence done, queue_->SubmitRecorded({}, record));
  return done.Wait();
}

}  // namespace tenure
