#include "tenure/allocator/vulkan/loader.h"

#include <dlfcn.h>

#include <type_traits>

#include "absl/strings/str_cat.h"

namespace tenure::vulkan {
namespace {

constexpr char kLibrary[] = "libvulkan.so.1";

absl::Status Lacks(std::string_view what, std::string_view name) {
  return absl::UnavailableError(absl::StrCat("Vulkan's ", what, " lacks vk", name,
                                             "; install a loader and a driver of Vulkan 1.2 or "
                                             "newer, or use another memory space"));
}

struct Meaning {
  const char* name;
  absl::StatusCode code;
};

Meaning MeaningOf(VkResult result) {
  using enum absl::StatusCode;
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      return {"VK_ERROR_OUT_OF_HOST_MEMORY", kResourceExhausted};
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return {"VK_ERROR_OUT_OF_DEVICE_MEMORY", kResourceExhausted};
    case VK_ERROR_TOO_MANY_OBJECTS:
      return {"VK_ERROR_TOO_MANY_OBJECTS", kResourceExhausted};
    case VK_ERROR_OUT_OF_POOL_MEMORY:
      return {"VK_ERROR_OUT_OF_POOL_MEMORY", kResourceExhausted};
    case VK_ERROR_MEMORY_MAP_FAILED:
      return {"VK_ERROR_MEMORY_MAP_FAILED", kResourceExhausted};
    case VK_ERROR_INITIALIZATION_FAILED:
      return {"VK_ERROR_INITIALIZATION_FAILED", kUnavailable};
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return {"VK_ERROR_INCOMPATIBLE_DRIVER", kUnavailable};
    case VK_ERROR_LAYER_NOT_PRESENT:
      return {"VK_ERROR_LAYER_NOT_PRESENT", kUnavailable};
    case VK_ERROR_EXTENSION_NOT_PRESENT:
      return {"VK_ERROR_EXTENSION_NOT_PRESENT", kUnavailable};
    case VK_ERROR_FEATURE_NOT_PRESENT:
      return {"VK_ERROR_FEATURE_NOT_PRESENT", kUnimplemented};
    case VK_ERROR_FORMAT_NOT_SUPPORTED:
      return {"VK_ERROR_FORMAT_NOT_SUPPORTED", kUnimplemented};
    case VK_ERROR_INVALID_EXTERNAL_HANDLE:
      return {"VK_ERROR_INVALID_EXTERNAL_HANDLE", kInvalidArgument};
    case VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS:
      return {"VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS", kInvalidArgument};
    case VK_ERROR_DEVICE_LOST:
      return {"VK_ERROR_DEVICE_LOST", kInternal};
    case VK_ERROR_FRAGMENTATION:
      return {"VK_ERROR_FRAGMENTATION", kResourceExhausted};
    case VK_ERROR_FRAGMENTED_POOL:
      return {"VK_ERROR_FRAGMENTED_POOL", kResourceExhausted};
    case VK_TIMEOUT:
      return {"VK_TIMEOUT", kDeadlineExceeded};
    default:
      return {"unknown Vulkan error", kInternal};
  }
}

}  // namespace

absl::Status StatusOfResult(VkResult result, std::string_view call) {
  if (result >= 0 && result != VK_TIMEOUT) return absl::OkStatus();
  const Meaning meaning = MeaningOf(result);
  return absl::Status(meaning.code,
                      absl::StrCat(call, ": ", meaning.name, " (", static_cast<int>(result), ")"));
}

absl::StatusOr<PFN_vkGetInstanceProcAddr> OpenLoader() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(
        absl::StrCat("no Vulkan loader on this machine (", why == nullptr ? kLibrary : why,
                     "); install libvulkan1 and a driver, or use another memory space"));
  }
  auto get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
  if (get == nullptr) return Lacks("loader", "GetInstanceProcAddr");
  return get;
}

absl::StatusOr<GlobalCalls> LoadGlobalCalls(PFN_vkGetInstanceProcAddr get) {
  GlobalCalls calls;
#define TENURE_X(name)                                                   \
  calls.name = reinterpret_cast<PFN_vk##name>(get(nullptr, "vk" #name)); \
  if (calls.name == nullptr) return Lacks("loader", #name);
  TENURE_VULKAN_GLOBAL_CALLS(TENURE_X)
#undef TENURE_X
  return calls;
}

absl::StatusOr<InstanceCalls> LoadInstanceCalls(PFN_vkGetInstanceProcAddr get,
                                                VkInstance instance) {
  InstanceCalls calls;
#define TENURE_X(name)                                                    \
  calls.name = reinterpret_cast<PFN_vk##name>(get(instance, "vk" #name)); \
  if (calls.name == nullptr) return Lacks("loader", #name);
  TENURE_VULKAN_INSTANCE_CALLS(TENURE_X)
#undef TENURE_X
  return calls;
}

absl::StatusOr<DeviceCalls> LoadDeviceCalls(PFN_vkGetDeviceProcAddr get, VkDevice device) {
  DeviceCalls calls;
#define TENURE_X(name)                                                  \
  calls.name = reinterpret_cast<PFN_vk##name>(get(device, "vk" #name)); \
  if (calls.name == nullptr) return Lacks("driver", #name);
  TENURE_VULKAN_DEVICE_CALLS(TENURE_X)
#undef TENURE_X
#define TENURE_X(name) calls.name = reinterpret_cast<PFN_vk##name>(get(device, "vk" #name));
  TENURE_VULKAN_EXTENSION_CALLS(TENURE_X)
#undef TENURE_X
  return calls;
}

}  // namespace tenure::vulkan
