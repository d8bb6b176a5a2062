// The entry points that FakeCard puts its own functions in front of: X(name, errors...), where the
// errors are those that Vulkan's registry lists. An entry without errors returns no VkResult.
//
// What an own function does besides counting and failing is in the .cc file of its subject.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_ENTRIES_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_ENTRIES_H_

#include "vulkan/vulkan.h"

#define TENURE_FAKE_HOST VK_ERROR_OUT_OF_HOST_MEMORY
#define TENURE_FAKE_DEVICE VK_ERROR_OUT_OF_DEVICE_MEMORY
#define TENURE_FAKE_MEMORY TENURE_FAKE_HOST, TENURE_FAKE_DEVICE
#define TENURE_FAKE_LOST TENURE_FAKE_MEMORY, VK_ERROR_DEVICE_LOST

#define TENURE_FAKE_ENTRIES(X)                                                                  \
  /* Global, and of an instance. */                                                             \
  X(EnumerateInstanceVersion, TENURE_FAKE_HOST)                                                 \
  X(EnumerateInstanceExtensionProperties, TENURE_FAKE_MEMORY, VK_ERROR_LAYER_NOT_PRESENT)       \
  X(EnumerateInstanceLayerProperties, TENURE_FAKE_MEMORY)                                       \
  X(CreateInstance, TENURE_FAKE_MEMORY, VK_ERROR_INITIALIZATION_FAILED,                         \
    VK_ERROR_LAYER_NOT_PRESENT, VK_ERROR_EXTENSION_NOT_PRESENT, VK_ERROR_INCOMPATIBLE_DRIVER)   \
  X(DestroyInstance)                                                                            \
  X(EnumeratePhysicalDevices, TENURE_FAKE_MEMORY, VK_ERROR_INITIALIZATION_FAILED)               \
  X(CreateDebugUtilsMessengerEXT, TENURE_FAKE_HOST)                                             \
  X(DestroyDebugUtilsMessengerEXT)                                                              \
  /* Of a physical device. */                                                                   \
  X(EnumerateDeviceExtensionProperties, TENURE_FAKE_MEMORY, VK_ERROR_LAYER_NOT_PRESENT)         \
  X(EnumerateDeviceLayerProperties, TENURE_FAKE_MEMORY)                                         \
  X(GetPhysicalDeviceProperties)                                                                \
  X(GetPhysicalDeviceProperties2)                                                               \
  X(GetPhysicalDeviceFeatures)                                                                  \
  X(GetPhysicalDeviceFeatures2)                                                                 \
  X(GetPhysicalDeviceMemoryProperties)                                                          \
  X(GetPhysicalDeviceMemoryProperties2)                                                         \
  X(GetPhysicalDeviceQueueFamilyProperties)                                                     \
  X(GetPhysicalDeviceQueueFamilyProperties2)                                                    \
  X(GetPhysicalDeviceFormatProperties)                                                          \
  X(GetPhysicalDeviceFormatProperties2)                                                         \
  X(GetPhysicalDeviceImageFormatProperties, TENURE_FAKE_MEMORY, VK_ERROR_FORMAT_NOT_SUPPORTED)  \
  X(GetPhysicalDeviceImageFormatProperties2, TENURE_FAKE_MEMORY, VK_ERROR_FORMAT_NOT_SUPPORTED) \
  X(GetPhysicalDeviceExternalBufferProperties)                                                  \
  X(GetPhysicalDeviceExternalSemaphoreProperties)                                               \
  X(GetPhysicalDeviceExternalFenceProperties)                                                   \
  X(CreateDevice, TENURE_FAKE_LOST, VK_ERROR_INITIALIZATION_FAILED,                             \
    VK_ERROR_EXTENSION_NOT_PRESENT, VK_ERROR_FEATURE_NOT_PRESENT, VK_ERROR_TOO_MANY_OBJECTS)    \
  X(GetDeviceQueue)                                                                             \
  X(GetDeviceQueue2)                                                                            \
  X(DestroyDevice)                                                                              \
  /* Memory. */                                                                                 \
  X(AllocateMemory, TENURE_FAKE_MEMORY, VK_ERROR_TOO_MANY_OBJECTS,                              \
    VK_ERROR_INVALID_EXTERNAL_HANDLE, VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)                  \
  X(FreeMemory)                                                                                 \
  X(MapMemory, TENURE_FAKE_MEMORY, VK_ERROR_MEMORY_MAP_FAILED)                                  \
  X(UnmapMemory)                                                                                \
  X(FlushMappedMemoryRanges, TENURE_FAKE_MEMORY)                                                \
  X(InvalidateMappedMemoryRanges, TENURE_FAKE_MEMORY)                                           \
  X(GetMemoryFdKHR, VK_ERROR_TOO_MANY_OBJECTS, TENURE_FAKE_HOST)                                \
  X(GetMemoryFdPropertiesKHR, TENURE_FAKE_HOST, VK_ERROR_INVALID_EXTERNAL_HANDLE)               \
  X(GetMemoryHostPointerPropertiesEXT, TENURE_FAKE_HOST, VK_ERROR_INVALID_EXTERNAL_HANDLE)      \
  /* Buffers, images and descriptors. */                                                        \
  X(CreateBuffer, TENURE_FAKE_MEMORY, VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)                  \
  X(DestroyBuffer)                                                                              \
  X(GetBufferMemoryRequirements)                                                                \
  X(GetBufferMemoryRequirements2)                                                               \
  X(GetDeviceBufferMemoryRequirements)                                                          \
  X(BindBufferMemory, TENURE_FAKE_MEMORY, VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)              \
  X(BindBufferMemory2, TENURE_FAKE_MEMORY, VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)             \
  X(GetBufferDeviceAddress)                                                                     \
  X(CreateBufferView, TENURE_FAKE_MEMORY)                                                       \
  X(DestroyBufferView)                                                                          \
  X(CreateImage, TENURE_FAKE_MEMORY)                                                            \
  X(DestroyImage)                                                                               \
  X(GetImageMemoryRequirements)                                                                 \
  X(GetImageMemoryRequirements2)                                                                \
  X(BindImageMemory, TENURE_FAKE_MEMORY)                                                        \
  X(BindImageMemory2, TENURE_FAKE_MEMORY)                                                       \
  X(CreateImageView, TENURE_FAKE_MEMORY)                                                        \
  X(DestroyImageView)                                                                           \
  X(CreateSampler, TENURE_FAKE_MEMORY)                                                          \
  X(DestroySampler)                                                                             \
  X(CreateDescriptorSetLayout, TENURE_FAKE_MEMORY)                                              \
  X(DestroyDescriptorSetLayout)                                                                 \
  X(CreateDescriptorPool, TENURE_FAKE_MEMORY, VK_ERROR_FRAGMENTATION)                           \
  X(DestroyDescriptorPool)                                                                      \
  X(ResetDescriptorPool)                                                                        \
  X(AllocateDescriptorSets, TENURE_FAKE_MEMORY, VK_ERROR_FRAGMENTED_POOL,                       \
    VK_ERROR_OUT_OF_POOL_MEMORY)                                                                \
  X(FreeDescriptorSets)                                                                         \
  X(UpdateDescriptorSets)                                                                       \
  /* Pipelines and queries. */                                                                  \
  X(CreateShaderModule, TENURE_FAKE_MEMORY)                                                     \
  X(DestroyShaderModule)                                                                        \
  X(CreatePipelineLayout, TENURE_FAKE_MEMORY)                                                   \
  X(DestroyPipelineLayout)                                                                      \
  X(CreatePipelineCache, TENURE_FAKE_MEMORY)                                                    \
  X(DestroyPipelineCache)                                                                       \
  X(CreateComputePipelines, TENURE_FAKE_MEMORY)                                                 \
  X(DestroyPipeline)                                                                            \
  X(CreateQueryPool, TENURE_FAKE_MEMORY)                                                        \
  X(DestroyQueryPool)                                                                           \
  X(GetQueryPoolResults, TENURE_FAKE_LOST)                                                      \
  /* Order. */                                                                                  \
  X(CreateSemaphore, TENURE_FAKE_MEMORY)                                                        \
  X(DestroySemaphore)                                                                           \
  X(GetSemaphoreCounterValue, TENURE_FAKE_LOST)                                                 \
  X(WaitSemaphores, TENURE_FAKE_LOST)                                                           \
  X(SignalSemaphore, TENURE_FAKE_MEMORY)                                                        \
  X(GetSemaphoreFdKHR, VK_ERROR_TOO_MANY_OBJECTS, TENURE_FAKE_HOST)                             \
  X(ImportSemaphoreFdKHR, TENURE_FAKE_HOST, VK_ERROR_INVALID_EXTERNAL_HANDLE)                   \
  X(CreateFence, TENURE_FAKE_MEMORY)                                                            \
  X(DestroyFence)                                                                               \
  X(ResetFences, TENURE_FAKE_DEVICE)                                                            \
  X(GetFenceStatus, TENURE_FAKE_LOST)                                                           \
  X(WaitForFences, TENURE_FAKE_LOST)                                                            \
  X(CreateEvent, TENURE_FAKE_MEMORY)                                                            \
  X(DestroyEvent)                                                                               \
  /* Commands and queues. */                                                                    \
  X(CreateCommandPool, TENURE_FAKE_MEMORY)                                                      \
  X(DestroyCommandPool)                                                                         \
  X(ResetCommandPool, TENURE_FAKE_DEVICE)                                                       \
  X(AllocateCommandBuffers, TENURE_FAKE_MEMORY)                                                 \
  X(FreeCommandBuffers)                                                                         \
  X(BeginCommandBuffer, TENURE_FAKE_MEMORY)                                                     \
  X(EndCommandBuffer, TENURE_FAKE_MEMORY)                                                       \
  X(ResetCommandBuffer, TENURE_FAKE_DEVICE)                                                     \
  X(CmdCopyBuffer)                                                                              \
  X(CmdFillBuffer)                                                                              \
  X(CmdUpdateBuffer)                                                                            \
  X(CmdCopyBufferToImage)                                                                       \
  X(CmdCopyImageToBuffer)                                                                       \
  X(CmdPipelineBarrier)                                                                         \
  X(CmdBindPipeline)                                                                            \
  X(CmdBindDescriptorSets)                                                                      \
  X(CmdPushDescriptorSetKHR)                                                                    \
  X(CmdPushConstants)                                                                           \
  X(CmdDispatch)                                                                                \
  X(CmdDispatchIndirect)                                                                        \
  X(CmdResetQueryPool)                                                                          \
  X(CmdWriteTimestamp)                                                                          \
  X(QueueSubmit, TENURE_FAKE_LOST)                                                              \
  X(QueueSubmit2, TENURE_FAKE_LOST)                                                             \
  X(QueueWaitIdle, TENURE_FAKE_LOST)                                                            \
  X(DeviceWaitIdle, TENURE_FAKE_LOST)

// Names that an extension gave to an entry before it became part of Vulkan: X(name, suffix).
#define TENURE_FAKE_ALIASES(X)                         \
  X(GetPhysicalDeviceProperties2, KHR)                 \
  X(GetPhysicalDeviceFeatures2, KHR)                   \
  X(GetPhysicalDeviceMemoryProperties2, KHR)           \
  X(GetPhysicalDeviceQueueFamilyProperties2, KHR)      \
  X(GetPhysicalDeviceFormatProperties2, KHR)           \
  X(GetPhysicalDeviceImageFormatProperties2, KHR)      \
  X(GetPhysicalDeviceExternalBufferProperties, KHR)    \
  X(GetPhysicalDeviceExternalSemaphoreProperties, KHR) \
  X(GetPhysicalDeviceExternalFenceProperties, KHR)     \
  X(GetBufferMemoryRequirements2, KHR)                 \
  X(GetDeviceBufferMemoryRequirements, KHR)            \
  X(BindBufferMemory2, KHR)                            \
  X(GetBufferDeviceAddress, KHR)                       \
  X(GetBufferDeviceAddress, EXT)                       \
  X(GetImageMemoryRequirements2, KHR)                  \
  X(BindImageMemory2, KHR)                             \
  X(GetSemaphoreCounterValue, KHR)                     \
  X(WaitSemaphores, KHR)                               \
  X(SignalSemaphore, KHR)                              \
  X(QueueSubmit2, KHR)

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_ENTRIES_H_
