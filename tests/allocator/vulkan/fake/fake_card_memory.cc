// FakeCard's memory types and heaps: what they are, and allocation within them.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

static constexpr int kFill = 0xCD;
static constexpr uint64_t kShadowAlignment = 4096;

// The real type that all types are: mapped, coherent, and device-local if there is one.
static uint32_t RealType(State& state, VkPhysicalDevice real) {
  constexpr VkMemoryPropertyFlags kNeeded =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  VkPhysicalDeviceMemoryProperties properties = {};
  state.real.GetPhysicalDeviceMemoryProperties(real, &properties);
  uint32_t best = 0;
  for (uint32_t type = properties.memoryTypeCount; type-- > 0;) {
    if ((properties.memoryTypes[type].propertyFlags & kNeeded) == kNeeded) best = type;
  }
  return best;
}

static VKAPI_ATTR void VKAPI_CALL GetMemoryProperties(VkPhysicalDevice device,
                                                      VkPhysicalDeviceMemoryProperties* out) {
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  const FakeProfile& profile = state.CardOf(device).profile;
  *out = {};
  out->memoryHeapCount = static_cast<uint32_t>(profile.heaps.size());
  for (size_t i = 0; i < profile.heaps.size(); ++i) {
    out->memoryHeaps[i].size = profile.heaps[i].size_bytes;
    if (profile.heaps[i].device_local) {
      out->memoryHeaps[i].flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
    }
  }
  out->memoryTypeCount = static_cast<uint32_t>(profile.types.size());
  for (size_t i = 0; i < profile.types.size(); ++i) {
    out->memoryTypes[i] = {profile.types[i].flags, profile.types[i].heap};
  }
}

static VKAPI_ATTR void VKAPI_CALL GetMemoryProperties2(VkPhysicalDevice device,
                                                       VkPhysicalDeviceMemoryProperties2* out) {
  GetMemoryProperties(device, &out->memoryProperties);
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  const Card& card = state.CardOf(device);
  if (!card.profile.memory_budget) return;
  for (auto* next = static_cast<VkBaseOutStructure*>(out->pNext); next != nullptr;
       next = next->pNext) {
    if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT) continue;
    auto* budget = reinterpret_cast<VkPhysicalDeviceMemoryBudgetPropertiesEXT*>(next);
    for (size_t i = 0; i < VK_MAX_MEMORY_HEAPS; ++i) {
      const bool there = i < card.profile.heaps.size();
      const uint64_t size = there ? card.profile.heaps[i].size_bytes : 0;
      budget->heapBudget[i] = there ? size - std::min(size, card.heap_others[i]) : 0;
      budget->heapUsage[i] = there ? card.heap_used[i] : 0;
    }
  }
}

// ---- Allocation ----------------------------------------------------------------------------------

static FakeMemory Describe(const VkMemoryAllocateInfo& info) {
  FakeMemory memory;
  memory.type = info.memoryTypeIndex;
  memory.size_bytes = info.allocationSize;
  for (auto* next = static_cast<const VkBaseInStructure*>(info.pNext); next != nullptr;
       next = next->pNext) {
    switch (static_cast<int>(next->sType)) {
      case VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO:
        memory.dedicated = true;
        break;
      case VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT:
        memory.imported =
            reinterpret_cast<const VkImportMemoryHostPointerInfoEXT*>(next)->handleType != 0;
        break;
      case VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR:
        memory.imported |= reinterpret_cast<const VkImportMemoryFdInfoKHR*>(next)->handleType != 0;
        break;
      case VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO:
        memory.exportable =
            reinterpret_cast<const VkExportMemoryAllocateInfo*>(next)->handleTypes != 0;
        break;
      case VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO:
        memory.device_address = (reinterpret_cast<const VkMemoryAllocateFlagsInfo*>(next)->flags &
                                 VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT) != 0;
        break;
      case VK_STRUCTURE_TYPE_MEMORY_PRIORITY_ALLOCATE_INFO_EXT:
        memory.priority = reinterpret_cast<const VkMemoryPriorityAllocateInfoEXT*>(next)->priority;
        break;
    }
  }
  return memory;
}

// Takes the bytes from the heap, or says why not.
static VkResult Reserve(State& state, VkDevice device, const FakeMemory& wanted, uint64_t* bytes)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
  Card& card = state.CardOf(device);
  const FakeProfile& profile = card.profile;
  if (wanted.type >= profile.types.size()) {
    state.Violate(absl::StrCat("vkAllocateMemory: there is no memory type ", wanted.type));
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  VkResult refusal = VK_SUCCESS;
  const uint32_t heap = profile.types[wanted.type].heap;
  const VkResult full = profile.heaps[heap].device_local ? VK_ERROR_OUT_OF_DEVICE_MEMORY
                                                         : VK_ERROR_OUT_OF_HOST_MEMORY;
  *bytes = wanted.imported ? 0 : wanted.size_bytes;
  if (wanted.size_bytes > profile.max_allocation_bytes && !wanted.imported) {
    refusal = VK_ERROR_OUT_OF_DEVICE_MEMORY;
  } else if (*bytes > profile.heaps[heap].size_bytes - card.heap_used[heap]) {
    refusal = full;
  } else if (state.devices.at(device).memory_count >= profile.max_allocations) {
    refusal = VK_ERROR_TOO_MANY_OBJECTS;
  }
  if (refusal != VK_SUCCESS) {
    ++state.refusals;
    return refusal;
  }
  card.heap_used[heap] += *bytes;
  ++state.devices.at(device).memory_count;
  return VK_SUCCESS;
}

static void Return(State& state, VkDevice device, uint32_t type, uint64_t bytes)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
  Card& card = state.CardOf(device);
  card.heap_used[card.profile.types[type].heap] -= bytes;
  --state.devices.at(device).memory_count;
}

static VkResult MapAll(State& state, VkDevice device, VkDeviceMemory memory, std::byte** bytes) {
  void* address = nullptr;
  const VkResult result = state.real.MapMemory(device, memory, 0, VK_WHOLE_SIZE, 0, &address);
  *bytes = static_cast<std::byte*>(address);
  return result;
}

static void MakeShadow(Memory* memory) {
  const uint64_t size = memory->info.size_bytes;
  memory->shadow_storage = std::make_unique<std::byte[]>(size + kShadowAlignment);
  const uint64_t start = reinterpret_cast<uint64_t>(memory->shadow_storage.get());
  memory->shadow = memory->shadow_storage.get() + (kShadowAlignment - start % kShadowAlignment);
}

static VKAPI_ATTR VkResult VKAPI_CALL AllocateMemory(VkDevice device,
                                                     const VkMemoryAllocateInfo* info,
                                                     const VkAllocationCallbacks* callbacks,
                                                     VkDeviceMemory* out) {
  State& state = State::Current();
  Memory memory;
  memory.info = Describe(*info);
  memory.device = device;
  VkPhysicalDevice real = VK_NULL_HANDLE;
  bool shadowed = false;
  {
    absl::MutexLock lock(&state.mutex);
    const VkResult refusal = Reserve(state, device, memory.info, &memory.heap_bytes);
    if (refusal != VK_SUCCESS) return refusal;
    real = state.devices.at(device).real;
    const VkMemoryPropertyFlags flags = state.CardOf(device).profile.types[memory.info.type].flags;
    const bool host_pointer =
        FindInChain(info->pNext, VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT) != nullptr;
    shadowed = (flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0 &&
               (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) == 0 && !host_pointer;
  }
  VkMemoryAllocateInfo passed = *info;
  passed.memoryTypeIndex = RealType(state, real);
  VkResult result = VK_SUCCESS;
  {
    const Unlinked without(&passed, {VK_STRUCTURE_TYPE_MEMORY_PRIORITY_ALLOCATE_INFO_EXT});
    result = state.real.AllocateMemory(device, &passed, callbacks, out);
  }
  if (result == VK_SUCCESS) {
    result = MapAll(state, device, *out, &memory.bytes);
    if (result != VK_SUCCESS) state.real.FreeMemory(device, *out, callbacks);
  }
  if (result != VK_SUCCESS) {
    absl::MutexLock lock(&state.mutex);
    Return(state, device, memory.info.type, memory.heap_bytes);
    return result;
  }
  const uint64_t filled = std::min(memory.info.size_bytes, state.options.fill_bytes);
  if (!memory.info.imported) std::memset(memory.bytes, kFill, filled);
  if (shadowed) {
    MakeShadow(&memory);
    std::memset(memory.shadow, kFill, filled);
  }
  absl::MutexLock lock(&state.mutex);
  memory.info.handle = *out;
  memory.sequence = state.next_sequence++;
  state.memories[*out] = std::move(memory);
  return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL FreeMemory(VkDevice device, VkDeviceMemory memory,
                                             const VkAllocationCallbacks* callbacks) {
  State& state = State::Current();
  Memory freed;  // its bytes go after the lock
  {
    absl::MutexLock lock(&state.mutex);
    const auto found = state.memories.find(memory);
    if (found != state.memories.end()) {
      freed = std::move(found->second);
      Return(state, device, freed.info.type, freed.heap_bytes);
      state.memories.erase(found);
    }
  }
  if (freed.bytes != nullptr) state.real.UnmapMemory(device, memory);
  state.real.FreeMemory(device, memory, callbacks);
}

// ---- External memory -----------------------------------------------------------------------------

static uint32_t AllTypes(const FakeProfile& profile) {
  return static_cast<uint32_t>((uint64_t{1} << profile.types.size()) - 1);
}

static uint32_t HostPointerTypes(const FakeProfile& profile) {
  if (profile.host_pointer_types.has_value()) return *profile.host_pointer_types;
  constexpr VkMemoryPropertyFlags kNeeded =
      VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  uint32_t host = 0;
  uint32_t local = 0;
  for (uint32_t type = 0; type < profile.types.size(); ++type) {
    const VkMemoryPropertyFlags flags = profile.types[type].flags;
    if ((flags & kNeeded) != kNeeded) continue;
    ((flags & VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT) != 0 ? local : host) |= uint32_t{1} << type;
  }
  return host != 0 ? host : local;
}

static VKAPI_ATTR VkResult VKAPI_CALL
GetHostPointerProperties(VkDevice device, VkExternalMemoryHandleTypeFlagBits handle_type,
                         const void* pointer, VkMemoryHostPointerPropertiesEXT* out) {
  State& state = State::Current();
  const VkResult result =
      state.real.GetMemoryHostPointerPropertiesEXT(device, handle_type, pointer, out);
  absl::MutexLock lock(&state.mutex);
  const FakeProfile& profile = state.CardOf(device).profile;
  if (reinterpret_cast<uint64_t>(pointer) % profile.host_pointer_alignment_bytes != 0) {
    state.Violate(absl::StrCat("vkGetMemoryHostPointerPropertiesEXT: the pointer ",
                               Hex(reinterpret_cast<uint64_t>(pointer)), " is not aligned to ",
                               profile.host_pointer_alignment_bytes));
  }
  if (result == VK_SUCCESS && out->memoryTypeBits != 0) {
    out->memoryTypeBits = HostPointerTypes(profile);
  }
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL
GetFdProperties(VkDevice device, VkExternalMemoryHandleTypeFlagBits handle_type, int fd,
                VkMemoryFdPropertiesKHR* out) {
  State& state = State::Current();
  const VkResult result = state.real.GetMemoryFdPropertiesKHR(device, handle_type, fd, out);
  absl::MutexLock lock(&state.mutex);
  if (result == VK_SUCCESS && out->memoryTypeBits != 0) {
    out->memoryTypeBits = AllTypes(state.CardOf(device).profile);
  }
  return result;
}

void FillMemory(Entries* own) {
  own->GetPhysicalDeviceMemoryProperties = &GetMemoryProperties;
  own->GetPhysicalDeviceMemoryProperties2 = &GetMemoryProperties2;
  own->AllocateMemory = &AllocateMemory;
  own->FreeMemory = &FreeMemory;
  own->GetMemoryHostPointerPropertiesEXT = &GetHostPointerProperties;
  own->GetMemoryFdPropertiesKHR = &GetFdProperties;
}

}  // namespace tenure::vulkan::fake
