// The entry points of Vulkan that this directory uses, as tables.
//
// Everything is loaded by name through one function, vkGetInstanceProcAddr: that of libvulkan.so.1,
// or one that a test provides. Nothing links to libvulkan.
//
//   TENURE_ASSIGN_OR_RETURN(PFN_vkGetInstanceProcAddr get, OpenLoader());
//   TENURE_ASSIGN_OR_RETURN(GlobalCalls calls, LoadGlobalCalls(get));
//   TENURE_RETURN_IF_ERROR(TENURE_VK(calls, CreateInstance, &info, nullptr, &instance));
//
// Thread safety: thread-safe. Ownership: the library is never closed, because drivers do not
// survive it. Errors: Unavailable if the loader is missing or lacks a call. StatusOfResult says how
// VkResults become statuses.

#ifndef TENURE_ALLOCATOR_VULKAN_LOADER_H_
#define TENURE_ALLOCATOR_VULKAN_LOADER_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan {

#define TENURE_VULKAN_GLOBAL_CALLS(X)     \
  X(CreateInstance)                       \
  X(EnumerateInstanceExtensionProperties) \
  X(EnumerateInstanceLayerProperties)

#define TENURE_VULKAN_INSTANCE_CALLS(X)           \
  X(DestroyInstance)                              \
  X(EnumeratePhysicalDevices)                     \
  X(EnumerateDeviceExtensionProperties)           \
  X(GetPhysicalDeviceProperties)                  \
  X(GetPhysicalDeviceProperties2)                 \
  X(GetPhysicalDeviceFeatures2)                   \
  X(GetPhysicalDeviceMemoryProperties2)           \
  X(GetPhysicalDeviceQueueFamilyProperties2)      \
  X(GetPhysicalDeviceFormatProperties2)           \
  X(GetPhysicalDeviceExternalBufferProperties)    \
  X(GetPhysicalDeviceExternalSemaphoreProperties) \
  X(CreateDevice)                                 \
  X(GetDeviceProcAddr)

#define TENURE_VULKAN_DEVICE_CALLS(X) \
  X(DestroyDevice)                    \
  X(GetDeviceQueue)                   \
  X(AllocateMemory)                   \
  X(FreeMemory)                       \
  X(MapMemory)                        \
  X(FlushMappedMemoryRanges)          \
  X(InvalidateMappedMemoryRanges)     \
  X(CreateBuffer)                     \
  X(DestroyBuffer)                    \
  X(GetBufferMemoryRequirements)      \
  X(BindBufferMemory)                 \
  X(GetBufferDeviceAddress)           \
  X(CreateBufferView)                 \
  X(DestroyBufferView)                \
  X(CreateSemaphore)                  \
  X(DestroySemaphore)                 \
  X(GetSemaphoreCounterValue)         \
  X(WaitSemaphores)                   \
  X(SignalSemaphore)                  \
  X(CreateCommandPool)                \
  X(DestroyCommandPool)               \
  X(AllocateCommandBuffers)           \
  X(BeginCommandBuffer)               \
  X(EndCommandBuffer)                 \
  X(ResetCommandBuffer)               \
  X(QueueSubmit)                      \
  X(QueueWaitIdle)                    \
  X(DeviceWaitIdle)                   \
  X(CmdCopyBuffer)                    \
  X(CmdFillBuffer)                    \
  X(CmdPipelineBarrier)               \
  X(CreateShaderModule)               \
  X(DestroyShaderModule)              \
  X(CreatePipelineLayout)             \
  X(DestroyPipelineLayout)            \
  X(CreateComputePipelines)           \
  X(DestroyPipeline)                  \
  X(CmdBindPipeline)                  \
  X(CmdPushConstants)                 \
  X(CmdDispatch)                      \
  X(CreateQueryPool)                  \
  X(DestroyQueryPool)                 \
  X(CmdResetQueryPool)                \
  X(CmdWriteTimestamp)                \
  X(GetQueryPoolResults)

// Null where the device does not have the extension.
#define TENURE_VULKAN_EXTENSION_CALLS(X) \
  X(GetMemoryHostPointerPropertiesEXT)   \
  X(GetMemoryFdKHR)                      \
  X(GetMemoryFdPropertiesKHR)            \
  X(GetSemaphoreFdKHR)                   \
  X(ImportSemaphoreFdKHR)

#define TENURE_X(name) PFN_vk##name name = nullptr;
struct GlobalCalls {
  TENURE_VULKAN_GLOBAL_CALLS(TENURE_X)
};
struct InstanceCalls {
  TENURE_VULKAN_INSTANCE_CALLS(TENURE_X)
};
struct DeviceCalls {
  TENURE_VULKAN_DEVICE_CALLS(TENURE_X)
  TENURE_VULKAN_EXTENSION_CALLS(TENURE_X)
};
#undef TENURE_X

// That of libvulkan.so.1. The first call opens the library. After a failure, the next call tries
// again.
absl::StatusOr<PFN_vkGetInstanceProcAddr> OpenLoader();

absl::StatusOr<GlobalCalls> LoadGlobalCalls(PFN_vkGetInstanceProcAddr get);
absl::StatusOr<InstanceCalls> LoadInstanceCalls(PFN_vkGetInstanceProcAddr get, VkInstance instance);
absl::StatusOr<DeviceCalls> LoadDeviceCalls(PFN_vkGetDeviceProcAddr get, VkDevice device);

// OK for results that are no errors, or an error with the name of the call and of the result.
// ResourceExhausted: out of memory or of objects. Unavailable: there is no driver, layer or
// extension. Unimplemented: the device lacks a feature. InvalidArgument: a handle from outside is
// not valid. Internal: the device is lost, or the driver failed.
absl::Status StatusOfResult(VkResult result, std::string_view call);

// A structure of Vulkan's: its type and the next structure are set, everything else is zero.
template <typename T>
T Struct(VkStructureType type, void* next = nullptr) {
  T made = {};
  made.sType = type;
  made.pNext = next;
  return made;
}

// TENURE_VK(calls, MapMemory, a, b) calls vkMapMemory(a, b) and returns its status. It is a macro
// because the error contains the name of the call.
#define TENURE_VK(calls, name, ...) \
  ::tenure::vulkan::StatusOfResult((calls).name(__VA_ARGS__), "vk" #name)

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_LOADER_H_
