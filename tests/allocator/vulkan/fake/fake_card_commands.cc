// FakeCard's command buffers and pipelines: which commands and buffers a command buffer has.

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

static void NoteBuffers(VkCommandBuffer commands, std::initializer_list<VkBuffer> used) {
  State& state = State::Current();
  absl::MutexLock lock(&state.mutex);
  for (VkBuffer buffer : used) state.command_buffers[commands].Use(buffer);
}

// ---- Recording -----------------------------------------------------------------------------------

static VKAPI_ATTR void VKAPI_CALL CopyBuffer(VkCommandBuffer commands, VkBuffer src, VkBuffer dst,
                                             uint32_t count, const VkBufferCopy* regions) {
  NoteBuffers(commands, {src, dst});
  State::Current().real.CmdCopyBuffer(commands, src, dst, count, regions);
}
static VKAPI_ATTR void VKAPI_CALL FillBuffer(VkCommandBuffer commands, VkBuffer dst,
                                             VkDeviceSize offset, VkDeviceSize size,
                                             uint32_t value) {
  NoteBuffers(commands, {dst});
  State::Current().real.CmdFillBuffer(commands, dst, offset, size, value);
}
static VKAPI_ATTR void VKAPI_CALL UpdateBuffer(VkCommandBuffer commands, VkBuffer dst,
                                               VkDeviceSize offset, VkDeviceSize size,
                                               const void* data) {
  NoteBuffers(commands, {dst});
  State::Current().real.CmdUpdateBuffer(commands, dst, offset, size, data);
}
static VKAPI_ATTR void VKAPI_CALL CopyToImage(VkCommandBuffer commands, VkBuffer src, VkImage dst,
                                              VkImageLayout layout, uint32_t count,
                                              const VkBufferImageCopy* regions) {
  NoteBuffers(commands, {src});
  State::Current().real.CmdCopyBufferToImage(commands, src, dst, layout, count, regions);
}
static VKAPI_ATTR void VKAPI_CALL CopyFromImage(VkCommandBuffer commands, VkImage src,
                                                VkImageLayout layout, VkBuffer dst, uint32_t count,
                                                const VkBufferImageCopy* regions) {
  NoteBuffers(commands, {dst});
  State::Current().real.CmdCopyImageToBuffer(commands, src, layout, dst, count, regions);
}

static VKAPI_ATTR void VKAPI_CALL BindSets(VkCommandBuffer commands, VkPipelineBindPoint point,
                                           VkPipelineLayout layout, uint32_t first, uint32_t count,
                                           const VkDescriptorSet* sets, uint32_t offset_count,
                                           const uint32_t* offsets) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    CommandBuffer& record = state.command_buffers[commands];
    for (uint32_t i = 0; i < count; ++i) record.Use(sets[i]);
  }
  state.real.CmdBindDescriptorSets(commands, point, layout, first, count, sets, offset_count,
                                   offsets);
}

static VKAPI_ATTR void VKAPI_CALL BindPipeline(VkCommandBuffer commands, VkPipelineBindPoint point,
                                               VkPipeline pipeline) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    state.command_buffers[commands].Use(pipeline);
  }
  state.real.CmdBindPipeline(commands, point, pipeline);
}

// A shader reaches what the constants hold the address of.
static VKAPI_ATTR void VKAPI_CALL PushConstants(VkCommandBuffer commands, VkPipelineLayout layout,
                                                VkShaderStageFlags stages, uint32_t offset,
                                                uint32_t size, const void* values) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t at = 0; at + sizeof(uint64_t) <= size; at += 4) {
      uint64_t word = 0;
      std::memcpy(&word, static_cast<const char*>(values) + at, sizeof(word));
      for (const auto& [handle, buffer] : state.buffers) {
        if (buffer.address != 0 && word >= buffer.address &&
            word - buffer.address < buffer.size_bytes) {
          state.command_buffers[commands].Use(handle);
        }
      }
    }
  }
  state.real.CmdPushConstants(commands, layout, stages, offset, size, values);
}

static VKAPI_ATTR void VKAPI_CALL Dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y,
                                           uint32_t z) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    // A command buffer's parent is its pool, whose parent is the device.
    const uint64_t pool = state.objects[{"VkCommandBuffer", Number(commands)}];
    const uint64_t device = state.objects[{"VkCommandPool", pool}];
    const uint32_t limit = state.CardOf(reinterpret_cast<VkDevice>(device)).profile.max_groups;
    if (x > limit || y > limit || z > limit) {
      state.Violate(absl::StrCat("vkCmdDispatch: ", x, " x ", y, " x ", z,
                                 " groups are above the limit of ", limit));
    }
  }
  state.real.CmdDispatch(commands, x, y, z);
}

// ---- Command buffers -----------------------------------------------------------------------------

static VKAPI_ATTR VkResult VKAPI_CALL AllocateCommands(VkDevice device,
                                                       const VkCommandBufferAllocateInfo* info,
                                                       VkCommandBuffer* out) {
  State& state = State::Current();
  const VkResult result = state.real.AllocateCommandBuffers(device, info, out);
  if (result != VK_SUCCESS) return result;
  absl::MutexLock lock(&state.mutex);
  for (uint32_t i = 0; i < info->commandBufferCount; ++i) {
    state.AddObject("VkCommandBuffer", Number(out[i]), Number(info->commandPool));
    state.command_buffers[out[i]] = {};
  }
  return result;
}

static VKAPI_ATTR void VKAPI_CALL FreeCommands(VkDevice device, VkCommandPool pool, uint32_t count,
                                               const VkCommandBuffer* all) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t i = 0; i < count; ++i) {
      if (all[i] == VK_NULL_HANDLE) continue;
      state.RemoveObject("vkFreeCommandBuffers", "VkCommandBuffer", Number(all[i]));
    }
  }
  state.real.FreeCommandBuffers(device, pool, count, all);
}

static void Clear(State& state, const char* call, VkCommandBuffer commands)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
  if (state.HeldUses("VkCommandBuffer", Number(commands))) {
    state.Violate(absl::StrCat(call, ": held work uses the command buffer"));
  }
  state.command_buffers[commands] = {};
}

static VKAPI_ATTR VkResult VKAPI_CALL BeginCommands(VkCommandBuffer commands,
                                                    const VkCommandBufferBeginInfo* info) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    Clear(state, "vkBeginCommandBuffer", commands);
  }
  return state.real.BeginCommandBuffer(commands, info);
}

static VKAPI_ATTR VkResult VKAPI_CALL ResetCommands(VkCommandBuffer commands,
                                                    VkCommandBufferResetFlags flags) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    Clear(state, "vkResetCommandBuffer", commands);
  }
  return state.real.ResetCommandBuffer(commands, flags);
}

static VKAPI_ATTR VkResult VKAPI_CALL ResetPool(VkDevice device, VkCommandPool pool,
                                                VkCommandPoolResetFlags flags) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (const auto& [object, parent] : state.objects) {
      if (parent != Number(pool) || object.first != "VkCommandBuffer") continue;
      Clear(state, "vkResetCommandPool", reinterpret_cast<VkCommandBuffer>(object.second));
    }
  }
  return state.real.ResetCommandPool(device, pool, flags);
}

// ---- Pipelines -----------------------------------------------------------------------------------

static VKAPI_ATTR VkResult VKAPI_CALL CreatePipelines(VkDevice device, VkPipelineCache cache,
                                                      uint32_t count,
                                                      const VkComputePipelineCreateInfo* infos,
                                                      const VkAllocationCallbacks* callbacks,
                                                      VkPipeline* out) {
  State& state = State::Current();
  const VkResult result =
      state.real.CreateComputePipelines(device, cache, count, infos, callbacks, out);
  absl::MutexLock lock(&state.mutex);
  for (uint32_t i = 0; i < count; ++i) {  // some may be there although others failed
    if (out[i] != VK_NULL_HANDLE) state.AddObject("VkPipeline", Number(out[i]), Number(device));
  }
  return result;
}

void FillCommands(Entries* own) {
  own->CmdCopyBuffer = &CopyBuffer;
  own->CmdFillBuffer = &FillBuffer;
  own->CmdUpdateBuffer = &UpdateBuffer;
  own->CmdCopyBufferToImage = &CopyToImage;
  own->CmdCopyImageToBuffer = &CopyFromImage;
  own->CmdBindDescriptorSets = &BindSets;
  own->CmdBindPipeline = &BindPipeline;
  own->CmdPushConstants = &PushConstants;
  own->CmdDispatch = &Dispatch;
  own->AllocateCommandBuffers = &AllocateCommands;
  own->FreeCommandBuffers = &FreeCommands;
  own->BeginCommandBuffer = &BeginCommands;
  own->ResetCommandBuffer = &ResetCommands;
  own->ResetCommandPool = &ResetPool;
  own->CreateComputePipelines = &CreatePipelines;
}

}  // namespace tenure::vulkan::fake
