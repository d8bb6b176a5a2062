#include "tenure/allocator/vulkan/instance.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/errors.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

constexpr char kValidationLayer[] = "VK_LAYER_KHRONOS_validation";
constexpr uint32_t kOldestApi = VK_API_VERSION_1_2;
// The part of a heap that is used where the driver tells no budget.
constexpr uint64_t BudgetWithoutExtension(uint64_t heap_bytes) { return heap_bytes / 5 * 4; }

// Calls an enumeration of Vulkan's until it returns as many elements as it has announced.
template <typename T, typename F>
absl::StatusOr<std::vector<T>> Enumerate(std::string_view call, F enumerate) {
  while (true) {
    uint32_t count = 0;
    TENURE_RETURN_IF_ERROR(StatusOfResult(enumerate(&count, static_cast<T*>(nullptr)), call));
    std::vector<T> all(count);
    const VkResult result = enumerate(&count, all.data());
    TENURE_RETURN_IF_ERROR(StatusOfResult(result, call));
    all.resize(count);
    if (result != VK_INCOMPLETE) return all;
  }
}

DeviceType TypeOf(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return DeviceType::kDiscrete;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return DeviceType::kIntegrated;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return DeviceType::kVirtual;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return DeviceType::kCpu;
    default:
      return DeviceType::kOther;
  }
}

std::string UuidText(const uint8_t (&bytes)[VK_UUID_SIZE]) {
  std::string text;
  for (uint32_t i = 0; i < VK_UUID_SIZE; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    absl::StrAppendFormat(&text, "%02x", bytes[i]);
  }
  return text;
}

std::string VersionText(uint32_t version) {
  return absl::StrCat(VK_API_VERSION_MAJOR(version), ".", VK_API_VERSION_MINOR(version), ".",
                      VK_API_VERSION_PATCH(version));
}

// A device whose memory the host reads and writes as fast as the device does: it has a type of
// memory that is local to both, and no heap of its own beside it.
bool IsUnified(VkPhysicalDeviceType type, const VkPhysicalDeviceMemoryProperties& memory) {
  if (type != VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU && type != VK_PHYSICAL_DEVICE_TYPE_CPU) {
    return false;
  }
  constexpr VkMemoryPropertyFlags kWanted =
      VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
      VK_MEMORY_PROPERTY_HOST_CACHED_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  return std::any_of(memory.memoryTypes, memory.memoryTypes + memory.memoryTypeCount,
                     [](const VkMemoryType& t) { return (t.propertyFlags & kWanted) == kWanted; });
}

VKAPI_ATTR VkBool32 VKAPI_CALL OnMessage(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                         VkDebugUtilsMessageTypeFlagsEXT,
                                         const VkDebugUtilsMessengerCallbackDataEXT* data,
                                         void* options) {
  const auto& on_message = static_cast<const Instance::Options*>(options)->on_message;
  const std::string_view text = data->pMessage == nullptr ? "no text" : data->pMessage;
  if (on_message) {
    on_message(text);
  } else {
    ReportToStderr(absl::StrCat("Vulkan: ", text));
  }
  return VK_FALSE;
}

VkDebugUtilsMessengerCreateInfoEXT MessengerInfo(Instance::Options* options) {
  auto info = Struct<VkDebugUtilsMessengerCreateInfoEXT>(
      VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT);
  info.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                         VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                     VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  info.pfnUserCallback = &OnMessage;
  info.pUserData = options;
  return info;
}

bool IsAskedForByEnvironment() {
  const char* value = std::getenv("TENURE_VULKAN_VALIDATION");
  return value != nullptr && value[0] != '\0' && std::string_view(value) != "0";
}

// What the device lacks, and what else is found while asking for that.
struct Features {
  VkPhysicalDeviceFeatures2 core =
      Struct<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2);
  VkPhysicalDeviceVulkan12Features vulkan12 = Struct<VkPhysicalDeviceVulkan12Features>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
};

Features FeaturesOf(const InstanceCalls& calls, VkPhysicalDevice device) {
  Features features;
  features.core.pNext = &features.vulkan12;
  calls.GetPhysicalDeviceFeatures2(device, &features.core);
  features.core.pNext = nullptr;
  return features;
}

// Whether timeline semaphores go out and come in as descriptors.
bool SharesTimelines(const InstanceCalls& calls, VkPhysicalDevice device) {
  auto type = Struct<VkSemaphoreTypeCreateInfo>(VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO);
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  auto info = Struct<VkPhysicalDeviceExternalSemaphoreInfo>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_SEMAPHORE_INFO, &type);
  info.handleType = VK_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD_BIT;
  auto found =
      Struct<VkExternalSemaphoreProperties>(VK_STRUCTURE_TYPE_EXTERNAL_SEMAPHORE_PROPERTIES);
  calls.GetPhysicalDeviceExternalSemaphoreProperties(device, &info, &found);
  constexpr VkExternalSemaphoreFeatureFlags kBoth =
      VK_EXTERNAL_SEMAPHORE_FEATURE_EXPORTABLE_BIT | VK_EXTERNAL_SEMAPHORE_FEATURE_IMPORTABLE_BIT;
  return (found.externalSemaphoreFeatures & kBoth) == kBoth;
}

// Chooses the families of queues: of each kind the one with the most queues.
void ChooseFamilies(const InstanceCalls& calls, PhysicalDevice& device) {
  uint32_t count = 0;
  calls.GetPhysicalDeviceQueueFamilyProperties2(device.handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties2> families(
      count, Struct<VkQueueFamilyProperties2>(VK_STRUCTURE_TYPE_QUEUE_FAMILY_PROPERTIES_2));
  calls.GetPhysicalDeviceQueueFamilyProperties2(device.handle, &count, families.data());
  for (uint32_t i = 0; i < count; ++i) {
    const VkQueueFamilyProperties& family = families[i].queueFamilyProperties;
    const VkQueueFlags kinds =
        family.queueFlags & (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT);
    if (kinds == VK_QUEUE_TRANSFER_BIT && family.queueCount > device.transfer_queue_count) {
      device.transfer_family = i;
      device.transfer_queue_count = family.queueCount;
    }
    if ((kinds & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    if (family.queueCount <= device.queue_count) continue;
    device.family = i;
    device.queue_count = family.queueCount;
  }
}

}  // namespace

std::string_view DeviceTypeName(DeviceType type) {
  switch (type) {
    case DeviceType::kDiscrete:
      return "discrete";
    case DeviceType::kIntegrated:
      return "integrated";
    case DeviceType::kVirtual:
      return "virtual";
    case DeviceType::kCpu:
      return "cpu";
    case DeviceType::kOther:
      break;
  }
  return "other";
}

bool PhysicalDevice::HasExtension(std::string_view name) const {
  return std::find(extensions.begin(), extensions.end(), name) != extensions.end();
}

absl::StatusOr<std::shared_ptr<Instance>> Instance::Default() {
  ABSL_CONST_INIT static absl::Mutex mutex(absl::kConstInit);
  static std::weak_ptr<Instance>* known ABSL_GUARDED_BY(mutex) = nullptr;
  absl::MutexLock lock(&mutex);
  if (known == nullptr) known = new std::weak_ptr<Instance>;
  if (std::shared_ptr<Instance> instance = known->lock()) return instance;
  TENURE_ASSIGN_OR_RETURN(PFN_vkGetInstanceProcAddr get, OpenLoader());
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance,
                          Create(get, {.validation = IsAskedForByEnvironment()}));
  *known = instance;
  return instance;
}

absl::StatusOr<std::shared_ptr<Instance>> Instance::Create(PFN_vkGetInstanceProcAddr get,
                                                           Options options) {
  TENURE_ASSIGN_OR_RETURN(const GlobalCalls calls, LoadGlobalCalls(get));
  std::shared_ptr<Instance> made(new Instance);
  made->options_ = std::move(options);
  // The version is a promise of what is used; drivers of Vulkan 1.0 may refuse a newer one.
  auto version =
      reinterpret_cast<PFN_vkEnumerateInstanceVersion>(get(nullptr, "vkEnumerateInstanceVersion"));
  uint32_t found = VK_API_VERSION_1_0;
  if (version != nullptr)
    TENURE_RETURN_IF_ERROR(StatusOfResult(version(&found), "vkEnumerateInstanceVersion"));
  if (found < kOldestApi) {
    return absl::UnavailableError(
        absl::StrCat("the Vulkan loader is of version ", VersionText(found),
                     "; version 1.2 or newer is needed: install a newer libvulkan1"));
  }
  auto application = Struct<VkApplicationInfo>(VK_STRUCTURE_TYPE_APPLICATION_INFO);
  application.pEngineName = "tenure";
  application.apiVersion = std::min<uint32_t>(found, VK_API_VERSION_1_3);
  auto info = Struct<VkInstanceCreateInfo>(VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO);
  info.pApplicationInfo = &application;
  VkDebugUtilsMessengerCreateInfoEXT messenger = MessengerInfo(&made->options_);
  const char* layer = kValidationLayer;
  const char* extension = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  if (made->options_.validation) {
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &extension;
    info.pNext = &messenger;  // for messages of vkCreateInstance and vkDestroyInstance themselves
  }
  absl::Status status = TENURE_VK(calls, CreateInstance, &info, nullptr, &made->handle_);
  if (!status.ok()) {
    made->handle_ = VK_NULL_HANDLE;
    if (!absl::IsUnavailable(status)) return status;
    return absl::UnavailableError(absl::StrCat(
        "Vulkan does not start: ", status.message(),
        made->options_.validation
            ? "; install vulkan-validationlayers, or unset TENURE_VULKAN_VALIDATION"
            : "; install a driver (mesa-vulkan-drivers has one for the CPU), or use another memory "
              "space"));
  }
  absl::StatusOr<InstanceCalls> instance_calls = LoadInstanceCalls(get, made->handle_);
  if (!instance_calls.ok()) return instance_calls.status();
  made->calls_ = *instance_calls;
  if (made->options_.validation) made->AddMessenger(get);
  TENURE_RETURN_IF_ERROR(made->Describe());
  return made;
}

absl::StatusOr<std::shared_ptr<Instance>> Instance::Adopt(PFN_vkGetInstanceProcAddr get,
                                                          VkInstance handle) {
  std::shared_ptr<Instance> made(new Instance);
  made->handle_ = handle;
  made->adopted_ = true;
  TENURE_ASSIGN_OR_RETURN(made->calls_, LoadInstanceCalls(get, handle));
  TENURE_RETURN_IF_ERROR(made->Describe());
  return made;
}

void Instance::AddMessenger(PFN_vkGetInstanceProcAddr get) {
  auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
      get(handle_, "vkCreateDebugUtilsMessengerEXT"));
  destroy_messenger_ = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
      get(handle_, "vkDestroyDebugUtilsMessengerEXT"));
  if (create == nullptr || destroy_messenger_ == nullptr) return;
  const VkDebugUtilsMessengerCreateInfoEXT info = MessengerInfo(&options_);
  if (create(handle_, &info, nullptr, &messenger_) != VK_SUCCESS) messenger_ = VK_NULL_HANDLE;
}

Instance::~Instance() {
  if (messenger_ != VK_NULL_HANDLE) destroy_messenger_(handle_, messenger_, nullptr);
  if (handle_ != VK_NULL_HANDLE && !adopted_ && calls_.DestroyInstance != nullptr) {
    calls_.DestroyInstance(handle_, nullptr);
  }
}

absl::Status Instance::Describe() {
  TENURE_ASSIGN_OR_RETURN(const std::vector<VkPhysicalDevice> handles,
                          Enumerate<VkPhysicalDevice>("vkEnumeratePhysicalDevices",
                                                      [&](uint32_t* count, VkPhysicalDevice* all) {
                                                        return calls_.EnumeratePhysicalDevices(
                                                            handle_, count, all);
                                                      }));
  for (VkPhysicalDevice handle : handles) {
    PhysicalDevice device;
    device.handle = handle;
    VkPhysicalDeviceProperties properties = {};
    calls_.GetPhysicalDeviceProperties(handle, &properties);
    device.limits = properties.limits;
    device.info.name = properties.deviceName;
    device.info.type = TypeOf(properties.deviceType);
    device.info.api_version = properties.apiVersion;
    if (properties.apiVersion < kOldestApi) {
      device.info.missing = absl::StrCat(
          "its driver has Vulkan ", VersionText(properties.apiVersion), "; 1.2 or newer is needed");
      devices_.push_back(std::move(device));
      continue;
    }
    TENURE_ASSIGN_OR_RETURN(
        const std::vector<VkExtensionProperties> extensions,
        Enumerate<VkExtensionProperties>("vkEnumerateDeviceExtensionProperties",
                                         [&](uint32_t* count, VkExtensionProperties* all) {
                                           return calls_.EnumerateDeviceExtensionProperties(
                                               handle, nullptr, count, all);
                                         }));
    for (const VkExtensionProperties& e : extensions)
      device.extensions.emplace_back(e.extensionName);

    auto vulkan12 = Struct<VkPhysicalDeviceVulkan12Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_PROPERTIES);
    auto vulkan11 = Struct<VkPhysicalDeviceVulkan11Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES, &vulkan12);
    auto properties2 = Struct<VkPhysicalDeviceProperties2>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &vulkan11);
    auto host_memory = Struct<VkPhysicalDeviceExternalMemoryHostPropertiesEXT>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT);
    const bool imports_host = device.HasExtension(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
    if (imports_host) vulkan12.pNext = &host_memory;
    auto maintenance4 = Struct<VkPhysicalDeviceMaintenance4Properties>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES);
    const bool tells_buffer_size = properties.apiVersion >= VK_API_VERSION_1_3 ||
                                   device.HasExtension(VK_KHR_MAINTENANCE_4_EXTENSION_NAME);
    if (tells_buffer_size) {
      maintenance4.pNext = properties2.pNext;
      properties2.pNext = &maintenance4;
    }
    calls_.GetPhysicalDeviceProperties2(handle, &properties2);
    auto memory = Struct<VkPhysicalDeviceMemoryProperties2>(
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
    calls_.GetPhysicalDeviceMemoryProperties2(handle, &memory);
    device.memory = memory.memoryProperties;

    DeviceInfo& info = device.info;
    info.uuid = UuidText(vulkan11.deviceUUID);
    info.driver = absl::StrCat(vulkan12.driverName, " ", vulkan12.driverInfo);
    info.unified = IsUnified(properties.deviceType, device.memory);
    info.max_allocation_bytes = vulkan11.maxMemoryAllocationSize;
    if (tells_buffer_size) {
      info.max_allocation_bytes = std::min(info.max_allocation_bytes, maintenance4.maxBufferSize);
    }
    info.max_binding_bytes = device.limits.maxStorageBufferRange;
    info.alignment_bytes = std::max({device.limits.minStorageBufferOffsetAlignment,
                                     device.limits.minUniformBufferOffsetAlignment,
                                     device.limits.minTexelBufferOffsetAlignment});
    info.coherence_atom_bytes = device.limits.nonCoherentAtomSize;
    info.max_allocation_count = device.limits.maxMemoryAllocationCount;
    info.memory_budget = device.HasExtension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    info.external_memory_host = imports_host;
    info.external_memory_fd = device.HasExtension(VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
    info.external_semaphore_fd = device.HasExtension(VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME);
    if (info.external_semaphore_fd && SharesTimelines(calls_, handle)) {
      device.shared_card = CardOfUuid(info.uuid);
    }
    if (imports_host)
      device.host_pointer_alignment_bytes = host_memory.minImportedHostPointerAlignment;

    const Features features = FeaturesOf(calls_, handle);
    device.byte_kernels = features.core.features.shaderInt64 != VK_FALSE &&
                          features.vulkan12.shaderInt8 != VK_FALSE &&
                          features.vulkan12.storageBuffer8BitAccess != VK_FALSE;
    ChooseFamilies(calls_, device);
    std::vector<std::string> missing;
    if (features.vulkan12.timelineSemaphore == VK_FALSE) missing.push_back("timelineSemaphore");
    if (features.vulkan12.bufferDeviceAddress == VK_FALSE) missing.push_back("bufferDeviceAddress");
    if (device.queue_count == 0) missing.push_back("a queue that computes");
    if (!missing.empty()) info.missing = absl::StrCat("it lacks ", absl::StrJoin(missing, ", "));
    info.heaps = Heaps(device);
    devices_.push_back(std::move(device));
  }
  std::stable_sort(
      devices_.begin(), devices_.end(),
      [](const PhysicalDevice& a, const PhysicalDevice& b) { return a.info.type < b.info.type; });
  for (size_t i = 0; i < devices_.size(); ++i) devices_[i].info.ordinal = static_cast<uint32_t>(i);
  return absl::OkStatus();
}

std::vector<MemoryHeap> Instance::Heaps(const PhysicalDevice& device) const {
  auto budget = Struct<VkPhysicalDeviceMemoryBudgetPropertiesEXT>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT);
  auto memory = Struct<VkPhysicalDeviceMemoryProperties2>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2);
  if (device.info.memory_budget) {
    memory.pNext = &budget;
    calls_.GetPhysicalDeviceMemoryProperties2(device.handle, &memory);
  }
  std::vector<MemoryHeap> heaps;
  for (uint32_t i = 0; i < device.memory.memoryHeapCount; ++i) {
    const VkMemoryHeap& heap = device.memory.memoryHeaps[i];
    MemoryHeap& described = heaps.emplace_back();
    described.size_bytes = heap.size;
    described.device_local = (heap.flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    described.budget_bytes =
        device.info.memory_budget ? budget.heapBudget[i] : BudgetWithoutExtension(heap.size);
    described.usage_bytes = device.info.memory_budget ? budget.heapUsage[i] : 0;
  }
  return heaps;
}

}  // namespace tenure::vulkan
