// The cards of FakeCard: how they are listed, their properties and extensions, and devices of them.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan {

FakeProfile FakeProfile::Discrete(FakeBar bar) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  FakeProfile profile;
  profile.heaps = {{256 * kMiB, true}, {512 * kMiB, false}};
  profile.types = {{VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0},
                   {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT, 1},
                   {VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 1}};
  if (bar == FakeBar::kNone) return profile;
  uint32_t heap = 0;
  if (bar == FakeBar::kSmall) {
    profile.heaps.push_back({16 * kMiB, true});
    heap = 2;
  }
  profile.types.push_back({VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                               VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                               VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                           heap});
  return profile;
}

FakeProfile FakeProfile::Integrated() {
  FakeProfile profile;
  profile.name = "Fake integrated card";
  profile.type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  profile.heaps = {{uint64_t{512} << 20, true}};
  profile.types = {{VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                        VK_MEMORY_PROPERTY_HOST_COHERENT_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                    0}};
  return profile;
}

VkPhysicalDevice FakeCard::State::RealOf(VkPhysicalDevice handle) {
  absl::MutexLock lock(&mutex);
  const auto found = physicals.find(handle);
  return found == physicals.end() ? handle : found->second.real;
}

fake::Card& FakeCard::State::CardOf(VkPhysicalDevice handle) {
  return cards.at(physicals.at(handle).card);
}

fake::Card& FakeCard::State::CardOf(VkDevice handle) { return cards.at(devices.at(handle).card); }

}  // namespace tenure::vulkan

namespace tenure::vulkan::fake {

using State = FakeCard::State;

[[noreturn]] static void DieWithoutDriver() {
  std::fprintf(stderr, "FakeCard: no Vulkan driver for the CPU on this machine; run tools/setup\n");
  std::abort();
}

// Gives a list as Vulkan's two-call functions do.
template <typename T>
VkResult GiveList(const std::vector<T>& all, uint32_t* count, T* out) {
  const uint32_t there = static_cast<uint32_t>(all.size());
  if (out == nullptr) {
    *count = there;
    return VK_SUCCESS;
  }
  *count = std::min(*count, there);
  std::copy_n(all.begin(), *count, out);
  return *count < there ? VK_INCOMPLETE : VK_SUCCESS;
}

// ---- Instances -----------------------------------------------------------------------------------

static VKAPI_ATTR VkResult VKAPI_CALL EnumerateInstanceVersion(uint32_t* version) {
  State& state = State::Current();
  const VkResult result = state.real.EnumerateInstanceVersion(version);
  if (state.options.instance_version != 0) *version = state.options.instance_version;
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL CreateInstance(const VkInstanceCreateInfo* info,
                                                     const VkAllocationCallbacks* callbacks,
                                                     VkInstance* instance) {
  State& state = State::Current();
  const VkResult result = state.real.CreateInstance(info, callbacks, instance);
  if (result == VK_ERROR_INCOMPATIBLE_DRIVER) DieWithoutDriver();
  if (result != VK_SUCCESS) return result;
  state.Resolve(*instance);
  // An instance has no parent.
  absl::MutexLock lock(&state.mutex);
  state.AddObject("VkInstance", Number(*instance), 0);
  return result;
}

static VKAPI_ATTR void VKAPI_CALL DestroyInstance(VkInstance instance,
                                                  const VkAllocationCallbacks* callbacks) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (const auto& [handle, device] : state.devices) {
      if (device.instance == instance) {
        state.Violate(absl::StrCat("vkDestroyInstance: VkDevice ", Hex(Number(handle)), " lives"));
      }
    }
    std::erase_if(state.physicals,
                  [&](const auto& item) { return item.second.instance == instance; });
  }
  state.real.DestroyInstance(instance, callbacks);
}

// The real device that all cards are.
static VkPhysicalDevice FindReal(State& state, VkInstance instance, VkResult* result) {
  uint32_t count = 0;
  *result = state.real.EnumeratePhysicalDevices(instance, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  if (*result == VK_SUCCESS) {
    *result = state.real.EnumeratePhysicalDevices(instance, &count, devices.data());
  }
  if (*result != VK_SUCCESS) return VK_NULL_HANDLE;
  for (VkPhysicalDevice device : devices) {
    VkPhysicalDeviceProperties properties = {};
    state.real.GetPhysicalDeviceProperties(device, &properties);
    if (properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU) return device;
  }
  DieWithoutDriver();
}

static VKAPI_ATTR VkResult VKAPI_CALL EnumeratePhysicalDevices(VkInstance instance, uint32_t* count,
                                                               VkPhysicalDevice* out) {
  State& state = State::Current();
  VkResult result = VK_SUCCESS;
  VkPhysicalDevice real = FindReal(state, instance, &result);
  if (result != VK_SUCCESS) return result;
  absl::MutexLock lock(&state.mutex);
  std::map<uint32_t, VkPhysicalDevice> known;  // the same handles every time
  for (const auto& [handle, physical] : state.physicals) {
    if (physical.instance == instance) known[physical.card] = handle;
  }
  std::vector<VkPhysicalDevice> all;
  for (uint32_t card = 0; card < state.cards.size(); ++card) {
    VkPhysicalDevice& handle = known[card];
    if (handle == VK_NULL_HANDLE) {
      handle = real;
      if (card > 0) {
        state.made_physicals.push_back(std::make_unique<uint64_t>(card));
        handle = reinterpret_cast<VkPhysicalDevice>(state.made_physicals.back().get());
      }
      state.physicals[handle] = {card, real, instance};
    }
    all.push_back(handle);
  }
  return GiveList(all, count, out);
}

// ---- Properties ----------------------------------------------------------------------------------

static std::array<uint8_t, VK_UUID_SIZE> UuidOf(const FakeProfile& profile, uint32_t card) {
  if (profile.uuid != std::array<uint8_t, VK_UUID_SIZE>{}) return profile.uuid;
  std::array<uint8_t, VK_UUID_SIZE> uuid = {};
  std::memcpy(uuid.data(), "tenure fake 00\0", VK_UUID_SIZE);
  uuid[VK_UUID_SIZE - 1] = static_cast<uint8_t>(card);
  return uuid;
}

static void EditProperties(const FakeProfile& profile, uint32_t card,
                           VkPhysicalDeviceProperties* out) {
  if (profile.api_version != 0) out->apiVersion = profile.api_version;
  out->deviceType = profile.type;
  out->deviceID = 0xFA00 + card;
  std::snprintf(out->deviceName, sizeof(out->deviceName), "%s", profile.name.c_str());
  VkPhysicalDeviceLimits& limits = out->limits;
  limits.nonCoherentAtomSize = profile.non_coherent_atom_bytes;
  limits.maxMemoryAllocationCount = profile.max_allocations;
  limits.maxStorageBufferRange = profile.max_storage_range_bytes;
  limits.minStorageBufferOffsetAlignment = profile.storage_alignment_bytes;
  limits.minUniformBufferOffsetAlignment = profile.uniform_alignment_bytes;
  limits.minTexelBufferOffsetAlignment = profile.texel_alignment_bytes;
  limits.maxTexelBufferElements = profile.max_texel_elements;
  for (uint32_t& groups : limits.maxComputeWorkGroupCount) groups = profile.max_groups;
  if (profile.edit_properties) profile.edit_properties(out);
}

static void EditStructure(const FakeProfile& profile, uint32_t card, VkBaseOutStructure* out) {
  const auto uuid = UuidOf(profile, card);
  switch (static_cast<int>(out->sType)) {
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES:
      std::copy(uuid.begin(), uuid.end(),
                reinterpret_cast<VkPhysicalDeviceIDProperties*>(out)->deviceUUID);
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES: {
      auto* properties = reinterpret_cast<VkPhysicalDeviceVulkan11Properties*>(out);
      std::copy(uuid.begin(), uuid.end(), properties->deviceUUID);
      properties->maxMemoryAllocationSize = profile.max_allocation_bytes;
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES:
      reinterpret_cast<VkPhysicalDeviceMaintenance3Properties*>(out)->maxMemoryAllocationSize =
          profile.max_allocation_bytes;
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES:
      reinterpret_cast<VkPhysicalDeviceMaintenance4Properties*>(out)->maxBufferSize =
          profile.max_buffer_bytes;
      break;
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_PROPERTIES: {
      auto* properties = reinterpret_cast<VkPhysicalDeviceVulkan13Properties*>(out);
      properties->maxBufferSize = profile.max_buffer_bytes;
      properties->storageTexelBufferOffsetAlignmentBytes = profile.texel_alignment_bytes;
      properties->uniformTexelBufferOffsetAlignmentBytes = profile.texel_alignment_bytes;
      break;
    }
    case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT:
      reinterpret_cast<VkPhysicalDeviceExternalMemoryHostPropertiesEXT*>(out)
          ->minImportedHostPointerAlignment = profile.host_pointer_alignment_bytes;
      break;
  }
}

static std::pair<uint32_t, FakeProfile> ProfileOf(State& state, VkPhysicalDevice device) {
  absl::MutexLock lock(&state.mutex);
  const uint32_t card = state.physicals.at(device).card;
  return {card, state.cards[card].profile};
}

static VKAPI_ATTR void VKAPI_CALL GetProperties(VkPhysicalDevice device,
                                                VkPhysicalDeviceProperties* out) {
  State& state = State::Current();
  state.real.GetPhysicalDeviceProperties(state.RealOf(device), out);
  const auto [card, profile] = ProfileOf(state, device);
  EditProperties(profile, card, out);
}

static VKAPI_ATTR void VKAPI_CALL GetProperties2(VkPhysicalDevice device,
                                                 VkPhysicalDeviceProperties2* out) {
  State& state = State::Current();
  state.real.GetPhysicalDeviceProperties2(state.RealOf(device), out);
  const auto [card, profile] = ProfileOf(state, device);
  EditProperties(profile, card, &out->properties);
  for (auto* next = static_cast<VkBaseOutStructure*>(out->pNext); next != nullptr;
       next = next->pNext) {
    EditStructure(profile, card, next);
  }
}

// ---- Extensions and devices ----------------------------------------------------------------------

static std::set<std::string> Added(const FakeProfile& profile) {
  std::set<std::string> added = profile.added_extensions;
  if (profile.memory_budget) added.insert(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  return added;
}

static VkResult RealExtensions(State& state, VkPhysicalDevice real,
                               std::vector<VkExtensionProperties>* out) {
  uint32_t count = 0;
  VkResult result = state.real.EnumerateDeviceExtensionProperties(real, nullptr, &count, nullptr);
  if (result != VK_SUCCESS) return result;
  out->resize(count);
  result = state.real.EnumerateDeviceExtensionProperties(real, nullptr, &count, out->data());
  out->resize(count);
  return result;
}

static bool Lists(const std::vector<VkExtensionProperties>& list, std::string_view name) {
  return std::any_of(list.begin(), list.end(),
                     [&](const VkExtensionProperties& e) { return name == e.extensionName; });
}

static VKAPI_ATTR VkResult VKAPI_CALL EnumerateExtensions(VkPhysicalDevice device,
                                                          const char* layer, uint32_t* count,
                                                          VkExtensionProperties* out) {
  State& state = State::Current();
  VkPhysicalDevice real = state.RealOf(device);
  if (layer != nullptr) {
    return state.real.EnumerateDeviceExtensionProperties(real, layer, count, out);
  }
  const FakeProfile profile = ProfileOf(state, device).second;
  std::vector<VkExtensionProperties> all;
  if (const VkResult result = RealExtensions(state, real, &all); result != VK_SUCCESS) {
    return result;
  }
  for (const std::string& name : Added(profile)) {
    if (Lists(all, name)) continue;
    VkExtensionProperties added = {};
    std::snprintf(added.extensionName, sizeof(added.extensionName), "%s", name.c_str());
    added.specVersion = 1;
    all.push_back(added);
  }
  std::erase_if(all, [&](const VkExtensionProperties& e) {
    return profile.hidden_extensions.contains(e.extensionName);
  });
  return GiveList(all, count, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL CreateDevice(VkPhysicalDevice device,
                                                   const VkDeviceCreateInfo* info,
                                                   const VkAllocationCallbacks* callbacks,
                                                   VkDevice* out) {
  State& state = State::Current();
  VkPhysicalDevice real = state.RealOf(device);
  const auto [card, profile] = ProfileOf(state, device);
  std::vector<VkExtensionProperties> there;
  if (const VkResult result = RealExtensions(state, real, &there); result != VK_SUCCESS) {
    return result;
  }
  const std::set<std::string> added = Added(profile);
  std::vector<const char*> names;
  for (uint32_t i = 0; i < info->enabledExtensionCount; ++i) {
    const char* name = info->ppEnabledExtensionNames[i];
    if (profile.hidden_extensions.contains(name)) return VK_ERROR_EXTENSION_NOT_PRESENT;
    // What the driver lacks and nobody plays is its own error.
    if (Lists(there, name) || !added.contains(name)) names.push_back(name);
  }
  if (EnablesHiddenFeature(profile, info)) return VK_ERROR_FEATURE_NOT_PRESENT;

  std::vector<VkStructureType> unwanted;
  if (!Lists(there, VK_EXT_MEMORY_PRIORITY_EXTENSION_NAME)) {
    unwanted.push_back(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PRIORITY_FEATURES_EXT);
  }
  VkDeviceCreateInfo passed = *info;
  passed.enabledExtensionCount = static_cast<uint32_t>(names.size());
  passed.ppEnabledExtensionNames = names.data();
  const Unlinked without(&passed, unwanted);
  const VkResult result = state.real.CreateDevice(real, &passed, callbacks, out);
  if (result != VK_SUCCESS) return result;
  absl::MutexLock lock(&state.mutex);
  state.lost = false;
  state.devices[*out] = {card, state.physicals.at(device).instance, real, 0};
  return result;
}

static VKAPI_ATTR void VKAPI_CALL DestroyDevice(VkDevice device,
                                                const VkAllocationCallbacks* callbacks) {
  State& state = State::Current();
  if (device != VK_NULL_HANDLE) {
    absl::MutexLock lock(&state.mutex);
    if (!state.held.empty()) {
      state.Violate(absl::StrCat("vkDestroyDevice: ", state.held.size(), " submissions are held"));
      state.ForgetHeld();
    }
    // Memory that was left counts no more.
    Card& card = state.CardOf(device);
    for (auto it = state.memories.begin(); it != state.memories.end();) {
      if (it->second.device == device) {
        card.heap_used[card.profile.types[it->second.info.type].heap] -= it->second.heap_bytes;
        it = state.memories.erase(it);
      } else {
        ++it;
      }
    }
    state.devices.erase(device);
    std::erase_if(state.queues, [&](const auto& item) { return item.second == device; });
  }
  state.real.DestroyDevice(device, callbacks);
}

void FillDevices(Entries* own) {
  own->EnumerateInstanceVersion = &EnumerateInstanceVersion;
  own->CreateInstance = &CreateInstance;
  own->DestroyInstance = &DestroyInstance;
  own->EnumeratePhysicalDevices = &EnumeratePhysicalDevices;
  own->GetPhysicalDeviceProperties = &GetProperties;
  own->GetPhysicalDeviceProperties2 = &GetProperties2;
  own->EnumerateDeviceExtensionProperties = &EnumerateExtensions;
  own->CreateDevice = &CreateDevice;
  own->DestroyDevice = &DestroyDevice;
}

}  // namespace tenure::vulkan::fake
