#include "tenure/tests/interop/semaphore_fds.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string_view>
#include <vector>

#include "tenure/allocator/vulkan/loader.h"

namespace tenure {
namespace {

constexpr char kExtension[] = VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME;

// What a descriptor's file holds.
struct Named {
  VkDevice device = VK_NULL_HANDLE;
  VkSemaphore semaphore = VK_NULL_HANDLE;
};

PFN_vkGetInstanceProcAddr real_get = nullptr;
std::atomic<VkInstance> instance_made{VK_NULL_HANDLE};

template <typename F>
F Real(const char* name) {
  return reinterpret_cast<F>(real_get(instance_made.load(), name));
}

// The driver refuses semaphores that are made for export.
VkResult CreateSemaphore(VkDevice device, const VkSemaphoreCreateInfo* info,
                         const VkAllocationCallbacks* callbacks, VkSemaphore* semaphore) {
  VkSemaphoreTypeCreateInfo type = {VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO, nullptr,
                                    VK_SEMAPHORE_TYPE_BINARY, 0};
  for (auto* next = static_cast<const VkBaseInStructure*>(info->pNext); next != nullptr;
       next = next->pNext) {
    if (next->sType != type.sType) continue;
    type = *reinterpret_cast<const VkSemaphoreTypeCreateInfo*>(next);
    type.pNext = nullptr;
  }
  VkSemaphoreCreateInfo without = *info;
  without.pNext = &type;
  return Real<PFN_vkCreateSemaphore>("vkCreateSemaphore")(device, &without, callbacks, semaphore);
}

VkResult GetSemaphoreFd(VkDevice device, const VkSemaphoreGetFdInfoKHR* info, int* fd) {
  const Named named{device, info->semaphore};
  *fd = memfd_create("semaphore", MFD_CLOEXEC);
  if (*fd < 0) return VK_ERROR_TOO_MANY_OBJECTS;
  return pwrite(*fd, &named, sizeof(named), 0) == sizeof(named) ? VK_SUCCESS
                                                                : VK_ERROR_OUT_OF_HOST_MEMORY;
}

VkResult ImportSemaphoreFd(VkDevice, const VkImportSemaphoreFdInfoKHR*) {
  return VK_ERROR_INVALID_EXTERNAL_HANDLE;
}

VkResult EnumerateExtensions(VkPhysicalDevice device, const char* layer, uint32_t* count,
                             VkExtensionProperties* all) {
  const auto real =
      Real<PFN_vkEnumerateDeviceExtensionProperties>("vkEnumerateDeviceExtensionProperties");
  uint32_t found = 0;
  VkResult result = real(device, layer, &found, nullptr);
  if (result != VK_SUCCESS) return result;
  if (all == nullptr) {
    *count = found + 1;
    return VK_SUCCESS;
  }
  if (*count <= found) return real(device, layer, count, all);
  result = real(device, layer, &found, all);
  all[found] = {};
  std::strncpy(all[found].extensionName, kExtension, sizeof(all[found].extensionName) - 1);
  *count = found + 1;
  return result;
}

VkResult CreateDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                      const VkAllocationCallbacks* callbacks, VkDevice* device) {
  std::vector<const char*> extensions;
  for (uint32_t i = 0; i < info->enabledExtensionCount; ++i) {
    if (std::string_view(info->ppEnabledExtensionNames[i]) != kExtension) {
      extensions.push_back(info->ppEnabledExtensionNames[i]);
    }
  }
  VkDeviceCreateInfo without = *info;
  without.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  without.ppEnabledExtensionNames = extensions.data();
  return Real<PFN_vkCreateDevice>("vkCreateDevice")(physical, &without, callbacks, device);
}

void GetSemaphoreProperties(VkPhysicalDevice, const VkPhysicalDeviceExternalSemaphoreInfo*,
                            VkExternalSemaphoreProperties* properties) {
  properties->externalSemaphoreFeatures =
      VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT;
}

PFN_vkVoidFunction GetDeviceEntry(VkDevice device, const char* name) {
  const std::string_view wanted = name;
  if (wanted == "vkGetSemaphoreFdKHR") {
    return reinterpret_cast<PFN_vkVoidFunction>(&GetSemaphoreFd);
  }
  if (wanted == "vkCreateSemaphore") return reinterpret_cast<PFN_vkVoidFunction>(&CreateSemaphore);
  if (wanted == "vkImportSemaphoreFdKHR") {
    return reinterpret_cast<PFN_vkVoidFunction>(&ImportSemaphoreFd);
  }
  return Real<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr")(device, name);
}

PFN_vkVoidFunction GetInstanceEntry(VkInstance instance, const char* name) {
  if (instance != VK_NULL_HANDLE) instance_made.store(instance);
  const std::string_view wanted = name;
  if (wanted == "vkEnumerateDeviceExtensionProperties") {
    return reinterpret_cast<PFN_vkVoidFunction>(&EnumerateExtensions);
  }
  if (wanted == "vkCreateDevice") return reinterpret_cast<PFN_vkVoidFunction>(&CreateDevice);
  if (wanted == "vkGetPhysicalDeviceExternalSemaphoreProperties") {
    return reinterpret_cast<PFN_vkVoidFunction>(&GetSemaphoreProperties);
  }
  if (wanted == "vkGetDeviceProcAddr") return reinterpret_cast<PFN_vkVoidFunction>(&GetDeviceEntry);
  return real_get(instance, name);
}

}  // namespace

PFN_vkGetInstanceProcAddr SemaphoreFds::Loader() {
  absl::StatusOr<PFN_vkGetInstanceProcAddr> loader = vulkan::OpenLoader();
  if (!loader.ok()) return nullptr;
  real_get = *loader;
  return &GetInstanceEntry;
}

cuda::FakeSemaphore SemaphoreFds::SemaphoreOf(int fd) {
  Named named;
  if (pread(fd, &named, sizeof(named), 0) != sizeof(named)) return {};
  const auto get = Real<PFN_vkGetDeviceProcAddr>("vkGetDeviceProcAddr");
  const auto value = reinterpret_cast<PFN_vkGetSemaphoreCounterValue>(
      get(named.device, "vkGetSemaphoreCounterValue"));
  const auto signal =
      reinterpret_cast<PFN_vkSignalSemaphore>(get(named.device, "vkSignalSemaphore"));
  return {.value =
              [=] {
                uint64_t reached = 0;
                value(named.device, named.semaphore, &reached);
                return reached;
              },
          .raise =
              [=](uint64_t to) {
                const VkSemaphoreSignalInfo info = {VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO,
                                                    nullptr, named.semaphore, to};
                signal(named.device, &info);
              }};
}

}  // namespace tenure
