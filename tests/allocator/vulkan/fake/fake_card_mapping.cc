// FakeCard's mapped memory. Of memory that is not coherent, the host sees a copy of its own: bytes go
// to the device by a flush and come from it by an invalidate, and not otherwise.

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

// A flush carries bytes of other threads along, as hardware does, which is no race in Vulkan.
// Volatile, so that no compiler makes a memcpy of it that ThreadSanitizer looks at.
#if defined(__clang__) || defined(__GNUC__)
__attribute__((no_sanitize("thread")))
#endif
static void
CopyUnwatched(std::byte* to, const std::byte* from, uint64_t size) {
  uint64_t at = 0;
  if ((reinterpret_cast<uint64_t>(to) | reinterpret_cast<uint64_t>(from)) % 8 == 0) {
    for (; at + 8 <= size; at += 8) {
      *reinterpret_cast<volatile uint64_t*>(to + at) =
          *reinterpret_cast<const volatile uint64_t*>(from + at);
    }
  }
  for (; at < size; ++at) {
    *reinterpret_cast<volatile unsigned char*>(to + at) =
        *reinterpret_cast<const volatile unsigned char*>(from + at);
  }
}

static VKAPI_ATTR VkResult VKAPI_CALL MapMemory(VkDevice device, VkDeviceMemory handle,
                                                VkDeviceSize offset, VkDeviceSize size,
                                                VkMemoryMapFlags, void** out) {
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  const auto refuse = [&](std::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
    state.Violate(absl::StrCat("vkMapMemory: ", why));
    return VK_ERROR_MEMORY_MAP_FAILED;
  };
  const auto found = state.memories.find(handle);
  if (found == state.memories.end()) return refuse("no such memory lives");
  Memory& memory = found->second;
  const FakeMemoryType& type = state.CardOf(device).profile.types[memory.info.type];
  if ((type.flags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) == 0) {
    return refuse(absl::StrCat("memory of type ", memory.info.type, " is not host-visible"));
  }
  if (memory.info.mapped) return refuse("it is mapped already");
  if (offset >= memory.info.size_bytes) return refuse("the offset lies behind the end");
  const uint64_t left = memory.info.size_bytes - offset;
  if (size != VK_WHOLE_SIZE && (size == 0 || size > left)) return refuse("a bad size");
  memory.info.mapped = true;
  memory.mapped_offset = offset;
  memory.mapped_bytes = size == VK_WHOLE_SIZE ? left : size;
  *out = (memory.shadow != nullptr ? memory.shadow : memory.bytes) + offset;
  return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL UnmapMemory(VkDevice, VkDeviceMemory handle) {
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  const auto found = state.memories.find(handle);
  if (found == state.memories.end() || !found->second.info.mapped) {
    state.Violate("vkUnmapMemory: the memory is not mapped");
    return;
  }
  found->second.info.mapped = false;
}

// Why a range can't be flushed or invalidated; empty: it can. Gives its size.
static std::string CheckRange(const Memory& memory, const VkMappedMemoryRange& range, uint64_t atom,
                              uint64_t* size) {
  const uint64_t end_of_map = memory.mapped_offset + memory.mapped_bytes;
  if (!memory.info.mapped) return "the memory is not mapped";
  if (range.offset < memory.mapped_offset || range.offset > end_of_map) {
    return "the offset lies outside of the mapped range";
  }
  const uint64_t left = end_of_map - range.offset;
  if (range.size != VK_WHOLE_SIZE && range.size > left) {
    return "the range ends outside of the mapped range";
  }
  *size = range.size == VK_WHOLE_SIZE ? left : range.size;
  const uint64_t end = range.offset + *size;
  if (range.offset % atom != 0 || (end % atom != 0 && end != memory.info.size_bytes)) {
    return absl::StrCat("not whole atoms of ", atom, " bytes");
  }
  return "";
}

static VkResult MoveRanges(VkDevice device, uint32_t count, const VkMappedMemoryRange* ranges,
                           bool flush) {
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  const std::string call = flush ? "vkFlushMappedMemoryRanges" : "vkInvalidateMappedMemoryRanges";
  for (uint32_t i = 0; i < count; ++i) {
    const VkMappedMemoryRange& range = ranges[i];
    const auto found = state.memories.find(range.memory);
    if (found == state.memories.end()) {
      state.Violate(call + ": no such memory lives");
      continue;
    }
    const Memory& memory = found->second;
    const FakeProfile& profile = state.CardOf(device).profile;
    uint64_t size = 0;
    const std::string wrong = CheckRange(memory, range, profile.non_coherent_atom_bytes, &size);
    if (!wrong.empty()) {
      state.Violate(absl::StrCat(call, ": ", wrong, ": offset ", range.offset, ", size ",
                                 range.size == VK_WHOLE_SIZE ? "whole" : absl::StrCat(range.size),
                                 ", memory of ", memory.info.size_bytes));
      continue;
    }
    const bool coherent =
        (profile.types[memory.info.type].flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
    state.ranges.push_back({flush, range.memory, range.offset, size, coherent});
    if (memory.shadow == nullptr) continue;
    std::byte* host = memory.shadow + range.offset;
    std::byte* device_bytes = memory.bytes + range.offset;
    if (flush) {
      CopyUnwatched(device_bytes, host, size);
    } else {
      CopyUnwatched(host, device_bytes, size);
    }
  }
  return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL Flush(VkDevice device, uint32_t count,
                                            const VkMappedMemoryRange* ranges) {
  return MoveRanges(device, count, ranges, true);
}
static VKAPI_ATTR VkResult VKAPI_CALL Invalidate(VkDevice device, uint32_t count,
                                                 const VkMappedMemoryRange* ranges) {
  return MoveRanges(device, count, ranges, false);
}

void FillMapping(Entries* own) {
  own->MapMemory = &MapMemory;
  own->UnmapMemory = &UnmapMemory;
  own->FlushMappedMemoryRanges = &Flush;
  own->InvalidateMappedMemoryRanges = &Invalidate;
}

}  // namespace tenure::vulkan::fake

namespace tenure::vulkan {

std::vector<std::byte> FakeCard::DeviceBytes(VkDeviceMemory memory, uint64_t offset_bytes,
                                             uint64_t size_bytes) const {
  absl::MutexLock lock(&state_->mutex);
  const fake::Memory& found = state_->memories.at(memory);
  std::vector<std::byte> bytes(size_bytes);
  const uint64_t size = found.info.size_bytes;
  if (offset_bytes > size || size_bytes > size - offset_bytes) {
    state_->Violate("DeviceBytes: outside of the memory");
    return bytes;
  }
  std::copy_n(found.bytes + offset_bytes, size_bytes, bytes.begin());
  return bytes;
}

}  // namespace tenure::vulkan
