#include "tenure/allocator/vulkan/memory_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

constexpr VkMemoryPropertyFlags kLocal = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
constexpr VkMemoryPropertyFlags kVisible = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
constexpr VkMemoryPropertyFlags kCached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
constexpr VkMemoryPropertyFlags kCoherent = VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

// How little the memory suits the purpose, or -1 if it does not serve it.
int PenaltyOf(VkMemoryPropertyFlags flags, Purpose purpose, bool unified) {
  // Protected memory, memory of tiled renderers, and memory that makes each access slow.
  if ((flags & ~(kLocal | kVisible | kCached | kCoherent)) != 0) return -1;
  const auto lacks = [flags](VkMemoryPropertyFlags wanted) {
    return (flags & wanted) == 0 ? 1 : 0;
  };
  const auto has = [flags](VkMemoryPropertyFlags unwanted) {
    return (flags & unwanted) != 0 ? 1 : 0;
  };
  switch (purpose) {
    case Purpose::kDevice:
      if (lacks(kLocal)) return -1;
      if (!unified) return has(kVisible);
      return lacks(kVisible) || lacks(kCached) || lacks(kCoherent) ? -1 : 0;
    case Purpose::kUpload:
      if (lacks(kVisible)) return -1;
      return 4 * (unified ? lacks(kLocal) : has(kLocal)) + 2 * lacks(kCoherent) + has(kCached);
    case Purpose::kReadback:
      if (lacks(kVisible)) return -1;
      return 4 * lacks(kCached) + 2 * (unified ? lacks(kLocal) : has(kLocal)) + lacks(kCoherent);
  }
  return -1;
}

}  // namespace

MemoryChoice ChooseMemory(const PhysicalDevice& device, Purpose purpose) {
  const VkPhysicalDeviceMemoryProperties& memory = device.memory;
  std::vector<std::pair<int, uint32_t>> ranked;
  for (uint32_t i = 0; i < memory.memoryTypeCount; ++i) {
    const int penalty =
        PenaltyOf(memory.memoryTypes[i].propertyFlags, purpose, device.info.unified);
    if (penalty >= 0) ranked.emplace_back(penalty, i);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  MemoryChoice choice;
  choice.mapped = purpose != Purpose::kDevice || device.info.unified;
  for (const auto& [penalty, type] : ranked) {
    choice.types.push_back(type);
    if (choice.mapped && (memory.memoryTypes[type].propertyFlags & kCoherent) == 0) {
      choice.coherent = false;
    }
  }
  return choice;
}

HintedChoice ChooseHinted(const PhysicalDevice& device, Purpose purpose, const MemoryChoice& pool,
                          const MemoryHints& hints) {
  // Flags that a type must have, and must not have.
  struct Wants {
    VkMemoryPropertyFlags with = 0, without = 0;
  };
  Wants hint, mode;
  const bool has_sides = !device.info.unified;  // host and device have memory of their own
  const auto prefer = [](Wants& wants, VkMemoryPropertyFlags flag, bool is_set) {
    (is_set ? wants.with : wants.without) |= flag;
  };
  switch (hints.access) {
    case AccessHint::kNone:
      break;
    case AccessHint::kDevicePreferred:
    case AccessHint::kHostPreferred:
      if (has_sides) prefer(hint, kLocal, hints.access == AccessHint::kDevicePreferred);
      break;
    case AccessHint::kReadMostly:
    case AccessHint::kStreaming:
      if (pool.mapped) prefer(hint, kCached, hints.access == AccessHint::kReadMostly);
      break;
    case AccessHint::kCoherent:
      if (pool.mapped) prefer(hint, kCoherent, true);
      break;
  }
  if (pool.mapped && hints.mode != AccessMode::kBySpace) {
    prefer(mode, kCached, hints.mode != AccessMode::kWriteOnly);
  }
  // All types that the purpose can live with; mapped ones keep the promise of the space's traits.
  std::vector<uint32_t> types = pool.types;
  if (!pool.mapped) {
    types = ChooseMemory(device, purpose).types;
    for (uint32_t i = 0; i < device.memory.memoryTypeCount; ++i) {
      const VkMemoryPropertyFlags flags = device.memory.memoryTypes[i].propertyFlags;
      if ((flags & ~(kVisible | kCached | kCoherent)) == 0) types.push_back(i);
    }
  }
  const auto suits = [&](uint32_t type, const Wants& wants) {
    const VkMemoryPropertyFlags flags = device.memory.memoryTypes[type].propertyFlags;
    return (flags & wants.with) == wants.with && (flags & wants.without) == 0;
  };
  HintedChoice choice;
  choice.memory.mapped = pool.mapped;
  for (const bool with_mode : {true, false}) {
    choice.is_met = with_mode;
    for (uint32_t type : types) {
      if (!suits(type, hint) || (with_mode && !suits(type, mode))) continue;
      choice.memory.types.push_back(type);
    }
    if (choice.memory.types.empty()) continue;
    // The pool may have to take its next types; only coherence must not depend on that.
    if (choice.memory.types.front() == pool.types.front() &&
        (pool.coherent || hints.access != AccessHint::kCoherent)) {
      choice.memory.types.clear();
    }
    return choice;
  }
  return choice;
}

VkBufferCreateInfo BufferInfo(const Device& device, uint64_t size_bytes, void* next) {
  auto info = Struct<VkBufferCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO, next);
  info.size = size_bytes;
  info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT |
               VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT | VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT |
               VK_BUFFER_USAGE_INDIRECT_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  if (device.families().size() > 1) {
    info.sharingMode = VK_SHARING_MODE_CONCURRENT;
    info.queueFamilyIndexCount = static_cast<uint32_t>(device.families().size());
    info.pQueueFamilyIndices = device.families().data();
  }
  return info;
}

absl::StatusOr<Slab> MemorySource::Acquire(uint64_t size_bytes, const MemoryChoice& choice) {
  TENURE_RETURN_IF_ERROR(device_->lost());
  if (size_bytes > device_->info().max_allocation_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(size_bytes, " bytes are more than the device gives in one piece (",
                     device_->info().max_allocation_bytes, ")"));
  }
  const VkBufferCreateInfo info = BufferInfo(*device_, size_bytes);
  VkBuffer buffer = VK_NULL_HANDLE;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, CreateBuffer, &info, nullptr, &buffer));
  absl::StatusOr<Memory> memory = AllocateFor(buffer, choice);
  Slab slab;
  slab.size_bytes = size_bytes;
  slab.native_handle = reinterpret_cast<uint64_t>(buffer);
  slab.native_size = size_bytes;
  absl::Status status = memory.status();
  if (status.ok()) status = Complete(buffer, *memory, choice.mapped, slab);
  if (!status.ok()) {
    device_->calls().DestroyBuffer(device_->handle(), buffer, nullptr);
    if (memory.ok()) device_->FreeMemory(memory->handle, memory->type, memory->size_bytes);
    return status;
  }
  absl::MutexLock lock(&mutex_);
  memories_[slab.native_handle] = *memory;
  return slab;
}

absl::StatusOr<MemorySource::Memory> MemorySource::AllocateFor(VkBuffer buffer,
                                                               const MemoryChoice& choice) const {
  VkMemoryRequirements needs = {};
  device_->calls().GetBufferMemoryRequirements(device_->handle(), buffer, &needs);
  auto flags = Struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO);
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  auto info = Struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &flags);
  // So that the last atom of what is mapped is whole.
  const uint64_t atom = std::max<uint64_t>(1, device_->info().coherence_atom_bytes);
  info.allocationSize = (needs.size + atom - 1) / atom * atom;
  absl::Status status = absl::ResourceExhaustedError("no type of memory serves this purpose");
  for (uint32_t type : choice.types) {
    if ((needs.memoryTypeBits >> type & 1) == 0) continue;
    info.memoryTypeIndex = type;
    absl::StatusOr<VkDeviceMemory> memory = device_->AllocateMemory(info);
    if (memory.ok()) {
      const VkMemoryPropertyFlags has = device_->physical().memory.memoryTypes[type].propertyFlags;
      return Memory{*memory, type, info.allocationSize, (has & kCoherent) != 0};
    }
    status = memory.status();
    if (!absl::IsResourceExhausted(status)) break;
  }
  return status;
}

absl::Status MemorySource::Complete(VkBuffer buffer, const Memory& memory, bool mapped,
                                    Slab& slab) const {
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, BindBufferMemory, buffer, memory.handle, 0));
  if (mapped) {
    TENURE_RETURN_IF_ERROR(
        TENURE_VKD(*device_, MapMemory, memory.handle, 0, VK_WHOLE_SIZE, 0, &slab.host));
  }
  auto which = Struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
  which.buffer = buffer;
  slab.device_address = device_->calls().GetBufferDeviceAddress(device_->handle(), &which);
  slab.address = slab.device_address;
  if (slab.address == 0) {
    return absl::InternalError("vkGetBufferDeviceAddress has given no address");
  }
  return absl::OkStatus();
}

MemorySource::~MemorySource() {
  absl::MutexLock lock(&mutex_);
  if (!memories_.empty()) Device::KeepForever(device_);
}

void MemorySource::Release(const Slab& slab) {
  Memory memory;
  {
    absl::MutexLock lock(&mutex_);
    auto it = memories_.find(slab.native_handle);
    if (it == memories_.end()) return;
    memory = it->second;
    memories_.erase(it);
  }
  device_->calls().DestroyBuffer(device_->handle(), reinterpret_cast<VkBuffer>(slab.native_handle),
                                 nullptr);
  device_->FreeMemory(memory.handle, memory.type, memory.size_bytes);
}

VkMappedMemoryRange MemorySource::AtomsOf(uint64_t buffer, uint64_t offset,
                                          uint64_t size_bytes) const {
  auto range = Struct<VkMappedMemoryRange>(VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE);
  if (choice_.coherent) return range;
  absl::MutexLock lock(&mutex_);
  auto it = memories_.find(buffer);
  if (it == memories_.end() || it->second.coherent) return range;
  const uint64_t atom = std::max<uint64_t>(1, device_->info().coherence_atom_bytes);
  const uint64_t end = (offset + size_bytes + atom - 1) / atom * atom;
  range.memory = it->second.handle;
  range.offset = offset / atom * atom;
  range.size = std::min(end, it->second.size_bytes) - range.offset;
  return range;
}

absl::Status MemorySource::Flush(uint64_t buffer, uint64_t offset, uint64_t size_bytes) const {
  const VkMappedMemoryRange range = AtomsOf(buffer, offset, size_bytes);
  if (range.memory == VK_NULL_HANDLE) return absl::OkStatus();
  return TENURE_VKD(*device_, FlushMappedMemoryRanges, 1, &range);
}

absl::Status MemorySource::Invalidate(uint64_t buffer, uint64_t offset, uint64_t size_bytes) const {
  const VkMappedMemoryRange range = AtomsOf(buffer, offset, size_bytes);
  if (range.memory == VK_NULL_HANDLE) return absl::OkStatus();
  return TENURE_VKD(*device_, InvalidateMappedMemoryRanges, 1, &range);
}

}  // namespace tenure::vulkan
