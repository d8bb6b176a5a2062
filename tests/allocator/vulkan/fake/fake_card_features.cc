// Features that a FakeProfile hides.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

// A feature and a structure that has it.
struct FeaturePlace {
  std::string_view name;
  VkStructureType type;
  size_t offset;
};

#define TENURE_FAKE_FEATURE(structure, type, name) \
  { #name, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_##type, offsetof(VkPhysicalDevice##structure, name) }
#define TENURE_FAKE_BASIC(name)                                                                  \
  {                                                                                              \
#name, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,                                         \
        offsetof(VkPhysicalDeviceFeatures2, features) + offsetof(VkPhysicalDeviceFeatures, name) \
  }

static constexpr FeaturePlace kFeaturePlaces[] = {
    TENURE_FAKE_BASIC(shaderInt64),
    TENURE_FAKE_BASIC(shaderInt16),
    TENURE_FAKE_BASIC(shaderFloat64),
    TENURE_FAKE_BASIC(robustBufferAccess),
    TENURE_FAKE_FEATURE(Vulkan11Features, VULKAN_1_1_FEATURES, storageBuffer16BitAccess),
    TENURE_FAKE_FEATURE(16BitStorageFeatures, 16BIT_STORAGE_FEATURES, storageBuffer16BitAccess),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, timelineSemaphore),
    TENURE_FAKE_FEATURE(TimelineSemaphoreFeatures, TIMELINE_SEMAPHORE_FEATURES, timelineSemaphore),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, bufferDeviceAddress),
    TENURE_FAKE_FEATURE(BufferDeviceAddressFeatures, BUFFER_DEVICE_ADDRESS_FEATURES,
                        bufferDeviceAddress),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, storageBuffer8BitAccess),
    TENURE_FAKE_FEATURE(8BitStorageFeatures, 8BIT_STORAGE_FEATURES, storageBuffer8BitAccess),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, shaderInt8),
    TENURE_FAKE_FEATURE(ShaderFloat16Int8Features, SHADER_FLOAT16_INT8_FEATURES, shaderInt8),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, shaderFloat16),
    TENURE_FAKE_FEATURE(ShaderFloat16Int8Features, SHADER_FLOAT16_INT8_FEATURES, shaderFloat16),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, scalarBlockLayout),
    TENURE_FAKE_FEATURE(ScalarBlockLayoutFeatures, SCALAR_BLOCK_LAYOUT_FEATURES, scalarBlockLayout),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, hostQueryReset),
    TENURE_FAKE_FEATURE(HostQueryResetFeatures, HOST_QUERY_RESET_FEATURES, hostQueryReset),
    TENURE_FAKE_FEATURE(Vulkan12Features, VULKAN_1_2_FEATURES, vulkanMemoryModel),
    TENURE_FAKE_FEATURE(VulkanMemoryModelFeatures, VULKAN_MEMORY_MODEL_FEATURES, vulkanMemoryModel),
    TENURE_FAKE_FEATURE(Vulkan13Features, VULKAN_1_3_FEATURES, synchronization2),
    TENURE_FAKE_FEATURE(Synchronization2Features, SYNCHRONIZATION_2_FEATURES, synchronization2),
    TENURE_FAKE_FEATURE(Vulkan13Features, VULKAN_1_3_FEATURES, maintenance4),
    TENURE_FAKE_FEATURE(Maintenance4Features, MAINTENANCE_4_FEATURES, maintenance4),
};

#undef TENURE_FAKE_FEATURE
#undef TENURE_FAKE_BASIC

static VkBool32* FeatureIn(VkBaseOutStructure* structure, const FeaturePlace& place) {
  return reinterpret_cast<VkBool32*>(reinterpret_cast<std::byte*>(structure) + place.offset);
}

// Calls back for each hidden feature that a structure of the chain has.
template <typename Callback>
static void ForHidden(const FakeProfile& profile, const void* chain, Callback callback) {
  // The chain is Vulkan's own; only what the caller gave as an output is changed by callbacks.
  for (auto* next = static_cast<VkBaseOutStructure*>(const_cast<void*>(chain)); next != nullptr;
       next = next->pNext) {
    for (const FeaturePlace& place : kFeaturePlaces) {
      if (place.type == next->sType && profile.hidden_features.contains(std::string(place.name))) {
        callback(FeatureIn(next, place));
      }
    }
  }
}

void CheckHiddenFeatures(const FakeProfile& profile) {
  for (const std::string& name : profile.hidden_features) {
    const bool known = std::any_of(std::begin(kFeaturePlaces), std::end(kFeaturePlaces),
                                   [&](const FeaturePlace& place) { return place.name == name; });
    if (known) continue;
    std::fprintf(stderr, "FakeCard has no feature '%s'; see fake_card_features.cc\n", name.c_str());
    std::abort();
  }
}

bool EnablesHiddenFeature(const FakeProfile& profile, const VkDeviceCreateInfo* info) {
  bool enables = false;
  const auto look = [&](const VkBool32* feature) { enables |= *feature == VK_TRUE; };
  ForHidden(profile, info->pNext, look);
  if (info->pEnabledFeatures != nullptr) {
    VkPhysicalDeviceFeatures2 basic = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr,
                                       *info->pEnabledFeatures};
    ForHidden(profile, &basic, look);
  }
  return enables;
}

static FakeProfile ProfileWithFeatures(State& state, VkPhysicalDevice device) {
  absl::MutexLock lock(&state.mutex);
  return state.CardOf(device).profile;
}

static VKAPI_ATTR void VKAPI_CALL GetFeatures2(VkPhysicalDevice device,
                                               VkPhysicalDeviceFeatures2* out) {
  State& state = State::Current();
  const FakeProfile profile = ProfileWithFeatures(state, device);
  // Played where an extension that the driver lacks is said to be there.
  const bool priority = profile.added_extensions.contains(VK_EXT_MEMORY_PRIORITY_EXTENSION_NAME) &&
                        !profile.hidden_extensions.contains(VK_EXT_MEMORY_PRIORITY_EXTENSION_NAME);
  {
    std::vector<VkStructureType> played;
    if (priority) {
      played.push_back(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PRIORITY_FEATURES_EXT);
    }
    const Unlinked without(out, played);
    state.real.GetPhysicalDeviceFeatures2(state.RealOf(device), out);
  }
  if (priority) {
    for (auto* next = static_cast<VkBaseOutStructure*>(out->pNext); next != nullptr;
         next = next->pNext) {
      if (next->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PRIORITY_FEATURES_EXT) {
        reinterpret_cast<VkPhysicalDeviceMemoryPriorityFeaturesEXT*>(next)->memoryPriority =
            VK_TRUE;
      }
    }
  }
  ForHidden(profile, out, [](VkBool32* feature) { *feature = VK_FALSE; });
}

static VKAPI_ATTR void VKAPI_CALL GetFeatures(VkPhysicalDevice device,
                                              VkPhysicalDeviceFeatures* out) {
  VkPhysicalDeviceFeatures2 all = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, nullptr, {}};
  GetFeatures2(device, &all);
  *out = all.features;
}

void FillFeatures(Entries* own) {
  own->GetPhysicalDeviceFeatures = &GetFeatures;
  own->GetPhysicalDeviceFeatures2 = &GetFeatures2;
}

}  // namespace tenure::vulkan::fake
