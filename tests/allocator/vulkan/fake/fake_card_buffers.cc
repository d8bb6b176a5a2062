// FakeCard's buffers: memory requirements, binding, and the limits of views and descriptors.

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

// ---- Buffers and their memory --------------------------------------------------------------------

static VKAPI_ATTR VkResult VKAPI_CALL CreateBuffer(VkDevice device, const VkBufferCreateInfo* info,
                                                   const VkAllocationCallbacks* callbacks,
                                                   VkBuffer* out) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    const uint64_t limit = state.CardOf(device).profile.max_buffer_bytes;
    if (info->size > limit) {
      state.Violate(
          absl::StrCat("vkCreateBuffer: ", info->size, " bytes are above the limit of ", limit));
      return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
  }
  const VkResult result = state.real.CreateBuffer(device, info, callbacks, out);
  if (result != VK_SUCCESS) return result;
  absl::MutexLock lock(&state.mutex);
  state.buffers[*out] = {device, info->size, info->usage, VK_NULL_HANDLE, 0};
  return result;
}

static uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

static void PlayRequirements(const FakeProfile& profile, uint32_t types,
                             VkMemoryRequirements* out) {
  out->alignment = std::max(out->alignment, profile.buffer_alignment_bytes);
  out->size = RoundUp(out->size, out->alignment);
  out->memoryTypeBits = types & static_cast<uint32_t>((uint64_t{1} << profile.types.size()) - 1);
}

static FakeProfile ProfileOfDevice(State& state, VkDevice device) {
  absl::MutexLock lock(&state.mutex);
  return state.CardOf(device).profile;
}

static VKAPI_ATTR void VKAPI_CALL BufferRequirements(VkDevice device, VkBuffer buffer,
                                                     VkMemoryRequirements* out) {
  State& state = State::Current();
  state.real.GetBufferMemoryRequirements(device, buffer, out);
  const FakeProfile profile = ProfileOfDevice(state, device);
  PlayRequirements(profile, profile.buffer_types, out);
}
static VKAPI_ATTR void VKAPI_CALL BufferRequirements2(VkDevice device,
                                                      const VkBufferMemoryRequirementsInfo2* info,
                                                      VkMemoryRequirements2* out) {
  State& state = State::Current();
  state.real.GetBufferMemoryRequirements2(device, info, out);
  const FakeProfile profile = ProfileOfDevice(state, device);
  PlayRequirements(profile, profile.buffer_types, &out->memoryRequirements);
}
static VKAPI_ATTR void VKAPI_CALL DeviceBufferRequirements(
    VkDevice device, const VkDeviceBufferMemoryRequirements* info, VkMemoryRequirements2* out) {
  State& state = State::Current();
  state.real.GetDeviceBufferMemoryRequirements(device, info, out);
  const FakeProfile profile = ProfileOfDevice(state, device);
  PlayRequirements(profile, profile.buffer_types, &out->memoryRequirements);
}
static VKAPI_ATTR void VKAPI_CALL ImageRequirements(VkDevice device, VkImage image,
                                                    VkMemoryRequirements* out) {
  State& state = State::Current();
  state.real.GetImageMemoryRequirements(device, image, out);
  PlayRequirements(ProfileOfDevice(state, device), ~0u, out);
}
static VKAPI_ATTR void VKAPI_CALL ImageRequirements2(VkDevice device,
                                                     const VkImageMemoryRequirementsInfo2* info,
                                                     VkMemoryRequirements2* out) {
  State& state = State::Current();
  state.real.GetImageMemoryRequirements2(device, info, out);
  PlayRequirements(ProfileOfDevice(state, device), ~0u, &out->memoryRequirements);
}

// Why a buffer can't be bound there; empty: it is.
static std::string Bind(State& state, VkDevice device, VkBuffer handle, VkDeviceMemory memory,
                        VkDeviceSize offset) {
  VkMemoryRequirements needs = {};
  BufferRequirements(device, handle, &needs);
  absl::MutexLock lock(&state.mutex);
  const auto buffer = state.buffers.find(handle);
  const auto found = state.memories.find(memory);
  if (buffer == state.buffers.end()) return "no such buffer lives";
  if (found == state.memories.end()) return "no such memory lives";
  if (buffer->second.memory != VK_NULL_HANDLE) return "the buffer is bound already";
  const FakeMemory& info = found->second.info;
  if ((needs.memoryTypeBits >> info.type & 1) == 0) {
    return absl::StrCat("buffers can't be in memory of type ", info.type);
  }
  if (offset % needs.alignment != 0) {
    return absl::StrCat("the offset ", offset, " is no multiple of ", needs.alignment);
  }
  // Imported memory is as large as what it came from, whatever the card would add.
  const uint64_t size = info.imported ? buffer->second.size_bytes : needs.size;
  if (offset > info.size_bytes || size > info.size_bytes - offset) {
    return absl::StrCat("the buffer needs ", size, " bytes at ", offset, ", and the memory has ",
                        info.size_bytes);
  }
  if ((buffer->second.usage & VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT) != 0 &&
      !info.device_address) {
    return "a buffer with an address needs memory of VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT";
  }
  buffer->second.memory = memory;
  return "";
}

static VKAPI_ATTR VkResult VKAPI_CALL BindBuffer(VkDevice device, VkBuffer buffer,
                                                 VkDeviceMemory memory, VkDeviceSize offset) {
  State& state = State::Current();
  if (const std::string wrong = Bind(state, device, buffer, memory, offset); !wrong.empty()) {
    absl::MutexLock lock(&state.mutex);
    state.Violate("vkBindBufferMemory: " + wrong);
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  return state.real.BindBufferMemory(device, buffer, memory, offset);
}

static VKAPI_ATTR VkResult VKAPI_CALL BindBuffers(VkDevice device, uint32_t count,
                                                  const VkBindBufferMemoryInfo* infos) {
  State& state = State::Current();
  for (uint32_t i = 0; i < count; ++i) {
    const std::string wrong =
        Bind(state, device, infos[i].buffer, infos[i].memory, infos[i].memoryOffset);
    if (wrong.empty()) continue;
    absl::MutexLock lock(&state.mutex);
    state.Violate("vkBindBufferMemory2: " + wrong);
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  }
  return state.real.BindBufferMemory2(device, count, infos);
}

static VKAPI_ATTR VkDeviceAddress VKAPI_CALL GetAddress(VkDevice device,
                                                        const VkBufferDeviceAddressInfo* info) {
  State& state = State::Current();
  const VkDeviceAddress address = state.real.GetBufferDeviceAddress(device, info);
  absl::MutexLock lock(&state.mutex);
  const auto found = state.buffers.find(info->buffer);
  if (found != state.buffers.end()) found->second.address = address;
  return address;
}

// ---- Views and descriptors -----------------------------------------------------------------------

// Of the formats up to the four-channel ones of 32 bits; 0: another one.
static uint64_t TexelBytes(VkFormat format) {
  struct Sizes {
    VkFormat last;
    uint64_t bytes;
  };
  static constexpr Sizes kSizes[] = {
      {VK_FORMAT_R4G4_UNORM_PACK8, 1},  {VK_FORMAT_A1R5G5B5_UNORM_PACK16, 2},
      {VK_FORMAT_R8_SRGB, 1},           {VK_FORMAT_R8G8_SRGB, 2},
      {VK_FORMAT_B8G8R8_SRGB, 3},       {VK_FORMAT_A2B10G10R10_SINT_PACK32, 4},
      {VK_FORMAT_R16_SFLOAT, 2},        {VK_FORMAT_R16G16_SFLOAT, 4},
      {VK_FORMAT_R16G16B16_SFLOAT, 6},  {VK_FORMAT_R16G16B16A16_SFLOAT, 8},
      {VK_FORMAT_R32_SFLOAT, 4},        {VK_FORMAT_R32G32_SFLOAT, 8},
      {VK_FORMAT_R32G32B32_SFLOAT, 12}, {VK_FORMAT_R32G32B32A32_SFLOAT, 16},
  };
  if (format == VK_FORMAT_UNDEFINED) return 0;
  for (const Sizes& sizes : kSizes) {
    if (format <= sizes.last) return sizes.bytes;
  }
  return 0;
}

static VKAPI_ATTR VkResult VKAPI_CALL CreateView(VkDevice device,
                                                 const VkBufferViewCreateInfo* info,
                                                 const VkAllocationCallbacks* callbacks,
                                                 VkBufferView* out) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    const FakeProfile& profile = state.CardOf(device).profile;
    if (info->offset % profile.texel_alignment_bytes != 0) {
      state.Violate(absl::StrCat("vkCreateBufferView: the offset ", info->offset,
                                 " is no multiple of ", profile.texel_alignment_bytes));
    }
    const auto buffer = state.buffers.find(info->buffer);
    const uint64_t texel = TexelBytes(info->format);
    if (buffer == state.buffers.end()) {
      state.Violate("vkCreateBufferView: no such buffer lives");
    } else if (texel != 0 && info->offset <= buffer->second.size_bytes) {
      const uint64_t range =
          info->range == VK_WHOLE_SIZE ? buffer->second.size_bytes - info->offset : info->range;
      if (range / texel > profile.max_texel_elements) {
        state.Violate(absl::StrCat("vkCreateBufferView: ", range / texel,
                                   " elements are above the limit of ",
                                   profile.max_texel_elements));
      }
    }
  }
  return state.real.CreateBufferView(device, info, callbacks, out);
}

static void CheckBinding(State& state, VkDevice device, const char* call, VkDescriptorType type,
                         const VkDescriptorBufferInfo& info)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
  if (info.buffer == VK_NULL_HANDLE) return;
  const FakeProfile& profile = state.CardOf(device).profile;
  const auto buffer = state.buffers.find(info.buffer);
  if (buffer == state.buffers.end()) return state.Violate(absl::StrCat(call, ": no such buffer"));
  const bool storage = type == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER ||
                       type == VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC;
  const uint64_t unit = storage ? profile.storage_alignment_bytes : profile.uniform_alignment_bytes;
  if (info.offset % unit != 0) {
    state.Violate(absl::StrCat(call, ": the offset ", info.offset, " is no multiple of ", unit));
  }
  const uint64_t size = buffer->second.size_bytes;
  const uint64_t range =
      info.range == VK_WHOLE_SIZE ? size - std::min(size, info.offset) : info.range;
  if (storage && range > profile.max_storage_range_bytes) {
    state.Violate(absl::StrCat(call, ": a range of ", range, " bytes is above the limit of ",
                               profile.max_storage_range_bytes));
  }
}

struct WrittenBuffer {
  uint32_t element;
  VkDescriptorBufferInfo info;
};
static std::vector<WrittenBuffer> BuffersOf(const VkWriteDescriptorSet& write) {
  std::vector<WrittenBuffer> buffers;
  switch (write.descriptorType) {
    case VK_DESCRIPTOR_TYPE_STORAGE_BUFFER:
    case VK_DESCRIPTOR_TYPE_STORAGE_BUFFER_DYNAMIC:
    case VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER:
    case VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER_DYNAMIC:
      for (uint32_t i = 0; i < write.descriptorCount; ++i) {
        buffers.push_back({write.dstArrayElement + i, write.pBufferInfo[i]});
      }
      break;
    default:
      break;
  }
  return buffers;
}

static VKAPI_ATTR void VKAPI_CALL UpdateSets(VkDevice device, uint32_t count,
                                             const VkWriteDescriptorSet* writes,
                                             uint32_t copy_count,
                                             const VkCopyDescriptorSet* copies) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t w = 0; w < count; ++w) {
      const VkWriteDescriptorSet& write = writes[w];
      if (state.HeldUses("VkDescriptorSet", Number(write.dstSet))) {
        state.Violate("vkUpdateDescriptorSets: held work uses the set");
      }
      for (const WrittenBuffer& written : BuffersOf(write)) {
        CheckBinding(state, device, "vkUpdateDescriptorSets", write.descriptorType, written.info);
        state.sets[write.dstSet][{write.dstBinding, written.element}] = written.info.buffer;
      }
    }
  }
  state.real.UpdateDescriptorSets(device, count, writes, copy_count, copies);
}

static VKAPI_ATTR void VKAPI_CALL PushSet(VkCommandBuffer commands, VkPipelineBindPoint point,
                                          VkPipelineLayout layout, uint32_t set, uint32_t count,
                                          const VkWriteDescriptorSet* writes) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t w = 0; w < count; ++w) {
      for (const WrittenBuffer& written : BuffersOf(writes[w])) {
        const auto buffer = state.buffers.find(written.info.buffer);
        if (buffer == state.buffers.end()) continue;
        CheckBinding(state, buffer->second.device, "vkCmdPushDescriptorSetKHR",
                     writes[w].descriptorType, written.info);
        state.command_buffers[commands].Use(written.info.buffer);
      }
    }
  }
  state.real.CmdPushDescriptorSetKHR(commands, point, layout, set, count, writes);
}

static VKAPI_ATTR VkResult VKAPI_CALL AllocateSets(VkDevice device,
                                                   const VkDescriptorSetAllocateInfo* info,
                                                   VkDescriptorSet* out) {
  State& state = State::Current();
  const VkResult result = state.real.AllocateDescriptorSets(device, info, out);
  if (result != VK_SUCCESS) return result;
  absl::MutexLock lock(&state.mutex);
  for (uint32_t i = 0; i < info->descriptorSetCount; ++i) {
    state.AddObject("VkDescriptorSet", Number(out[i]), Number(info->descriptorPool));
  }
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL FreeSets(VkDevice device, VkDescriptorPool pool,
                                               uint32_t count, const VkDescriptorSet* sets) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t i = 0; i < count; ++i) {
      if (sets[i] == VK_NULL_HANDLE) continue;
      state.RemoveObject("vkFreeDescriptorSets", "VkDescriptorSet", Number(sets[i]));
    }
  }
  return state.real.FreeDescriptorSets(device, pool, count, sets);
}

static VKAPI_ATTR VkResult VKAPI_CALL ResetSets(VkDevice device, VkDescriptorPool pool,
                                                VkDescriptorPoolResetFlags flags) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    state.RemoveChildren("vkResetDescriptorPool", Number(pool), false);
  }
  return state.real.ResetDescriptorPool(device, pool, flags);
}

void FillBuffers(Entries* own) {
  own->CreateBuffer = &CreateBuffer;
  own->GetBufferMemoryRequirements = &BufferRequirements;
  own->GetBufferMemoryRequirements2 = &BufferRequirements2;
  own->GetDeviceBufferMemoryRequirements = &DeviceBufferRequirements;
  own->GetImageMemoryRequirements = &ImageRequirements;
  own->GetImageMemoryRequirements2 = &ImageRequirements2;
  own->BindBufferMemory = &BindBuffer;
  own->BindBufferMemory2 = &BindBuffers;
  own->GetBufferDeviceAddress = &GetAddress;
  own->CreateBufferView = &CreateView;
  own->UpdateDescriptorSets = &UpdateSets;
  own->CmdPushDescriptorSetKHR = &PushSet;
  own->AllocateDescriptorSets = &AllocateSets;
  own->FreeDescriptorSets = &FreeSets;
  own->ResetDescriptorPool = &ResetSets;
}

}  // namespace tenure::vulkan::fake
