// FakeCard's queues: submissions that are held, and counts of what the driver was given.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

std::vector<VkCommandBuffer> Submission::Commands() const {
  std::vector<VkCommandBuffer> all;
  for (const Batch& batch : batches) {
    all.insert(all.end(), batch.commands.begin(), batch.commands.end());
  }
  for (const Batch2& batch : batches2) {
    for (const VkCommandBufferSubmitInfo& info : batch.commands) all.push_back(info.commandBuffer);
  }
  return all;
}

std::vector<VkSemaphore> Submission::Semaphores() const {
  std::vector<VkSemaphore> all;
  for (const Batch& batch : batches) {
    all.insert(all.end(), batch.waits.begin(), batch.waits.end());
    all.insert(all.end(), batch.signals.begin(), batch.signals.end());
  }
  for (const Batch2& batch : batches2) {
    for (const VkSemaphoreSubmitInfo& info : batch.waits) all.push_back(info.semaphore);
    for (const VkSemaphoreSubmitInfo& info : batch.signals) all.push_back(info.semaphore);
  }
  return all;
}

// ---- Copies of submissions -----------------------------------------------------------------------

template <typename T>
std::vector<T> Copied(const T* first, uint32_t count) {
  return first == nullptr ? std::vector<T>() : std::vector<T>(first, first + count);
}

static Submission Copy(VkQueue queue, uint32_t count, const VkSubmitInfo* infos, VkFence fence) {
  Submission work;
  work.queue = queue;
  work.fence = fence;
  for (uint32_t i = 0; i < count; ++i) {
    const VkSubmitInfo& info = infos[i];
    Submission::Batch& batch = work.batches.emplace_back();
    batch.waits = Copied(info.pWaitSemaphores, info.waitSemaphoreCount);
    batch.stages = Copied(info.pWaitDstStageMask, info.waitSemaphoreCount);
    batch.commands = Copied(info.pCommandBuffers, info.commandBufferCount);
    batch.signals = Copied(info.pSignalSemaphores, info.signalSemaphoreCount);
    const auto* timeline = reinterpret_cast<const VkTimelineSemaphoreSubmitInfo*>(
        FindInChain(info.pNext, VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO));
    if (timeline == nullptr) continue;
    batch.timeline = true;
    batch.wait_values = Copied(timeline->pWaitSemaphoreValues, timeline->waitSemaphoreValueCount);
    batch.signal_values =
        Copied(timeline->pSignalSemaphoreValues, timeline->signalSemaphoreValueCount);
  }
  return work;
}

static Submission Copy(VkQueue queue, uint32_t count, const VkSubmitInfo2* infos, VkFence fence) {
  Submission work;
  work.queue = queue;
  work.fence = fence;
  work.second = true;
  for (uint32_t i = 0; i < count; ++i) {
    const VkSubmitInfo2& info = infos[i];
    Submission::Batch2& batch = work.batches2.emplace_back();
    batch.flags = info.flags;
    batch.waits = Copied(info.pWaitSemaphoreInfos, info.waitSemaphoreInfoCount);
    batch.commands = Copied(info.pCommandBufferInfos, info.commandBufferInfoCount);
    batch.signals = Copied(info.pSignalSemaphoreInfos, info.signalSemaphoreInfoCount);
  }
  return work;
}

// Structures that the copies leave out.
template <typename Info>
bool HasMore(uint32_t count, const Info* infos) {
  for (uint32_t i = 0; i < count; ++i) {
    for (auto* next = static_cast<const VkBaseInStructure*>(infos[i].pNext); next != nullptr;
         next = next->pNext) {
      if (next->sType != VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO) return true;
    }
  }
  return false;
}

static VkResult Give(State& state, const Submission& work) {
  if (work.second) {
    std::vector<VkSubmitInfo2> infos;
    for (const Submission::Batch2& batch : work.batches2) {
      infos.push_back({VK_STRUCTURE_TYPE_SUBMIT_INFO_2, nullptr, batch.flags,
                       static_cast<uint32_t>(batch.waits.size()), batch.waits.data(),
                       static_cast<uint32_t>(batch.commands.size()), batch.commands.data(),
                       static_cast<uint32_t>(batch.signals.size()), batch.signals.data()});
    }
    return state.real.QueueSubmit2(work.queue, static_cast<uint32_t>(infos.size()), infos.data(),
                                   work.fence);
  }
  std::vector<VkSubmitInfo> infos;
  std::vector<VkTimelineSemaphoreSubmitInfo> timelines(work.batches.size());
  for (size_t i = 0; i < work.batches.size(); ++i) {
    const Submission::Batch& batch = work.batches[i];
    timelines[i] = {VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,  nullptr,
                    static_cast<uint32_t>(batch.wait_values.size()),   batch.wait_values.data(),
                    static_cast<uint32_t>(batch.signal_values.size()), batch.signal_values.data()};
    infos.push_back({VK_STRUCTURE_TYPE_SUBMIT_INFO, batch.timeline ? &timelines[i] : nullptr,
                     static_cast<uint32_t>(batch.waits.size()), batch.waits.data(),
                     batch.stages.data(), static_cast<uint32_t>(batch.commands.size()),
                     batch.commands.data(), static_cast<uint32_t>(batch.signals.size()),
                     batch.signals.data()});
  }
  return state.real.QueueSubmit(work.queue, static_cast<uint32_t>(infos.size()), infos.data(),
                                work.fence);
}

// ---- Entry points --------------------------------------------------------------------------------

template <typename Info>
VkResult SubmitOrHold(const char* call, VkQueue queue, uint32_t count, const Info* infos,
                      VkFence fence) {
  State& state = State::Current();
  Submission work = Copy(queue, count, infos, fence);
  bool alone = true;
  {
    absl::MutexLock lock(&state.mutex);
    if (HasMore(count, infos)) {
      state.Violate(absl::StrCat(call, ": a structure in pNext that FakeCard does not copy"));
    }
    if (state.lost) return VK_ERROR_DEVICE_LOST;
    if (state.holding) {
      state.held.push_back(std::move(work));
      return VK_SUCCESS;
    }
    alone = state.queues_in_use.insert(queue).second;
    if (!alone) state.Violate(absl::StrCat(call, ": another thread uses the queue"));
  }
  const VkResult result = state.SubmitNow(work);
  if (alone) {
    absl::MutexLock lock(&state.mutex);
    state.queues_in_use.erase(queue);
  }
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL Submit(VkQueue queue, uint32_t count,
                                             const VkSubmitInfo* infos, VkFence fence) {
  return SubmitOrHold("vkQueueSubmit", queue, count, infos, fence);
}
static VKAPI_ATTR VkResult VKAPI_CALL Submit2(VkQueue queue, uint32_t count,
                                              const VkSubmitInfo2* infos, VkFence fence) {
  return SubmitOrHold("vkQueueSubmit2", queue, count, infos, fence);
}

static VKAPI_ATTR void VKAPI_CALL GetQueue(VkDevice device, uint32_t family, uint32_t index,
                                           VkQueue* out) {
  State& state = State::Current();
  state.real.GetDeviceQueue(device, family, index, out);
  absl::MutexLock lock(&state.mutex);
  state.queues[*out] = device;
}
static VKAPI_ATTR void VKAPI_CALL GetQueue2(VkDevice device, const VkDeviceQueueInfo2* info,
                                            VkQueue* out) {
  State& state = State::Current();
  state.real.GetDeviceQueue2(device, info, out);
  absl::MutexLock lock(&state.mutex);
  state.queues[*out] = device;
}

void FillQueue(Entries* own) {
  own->GetDeviceQueue = &GetQueue;
  own->GetDeviceQueue2 = &GetQueue2;
  own->QueueSubmit = &Submit;
  own->QueueSubmit2 = &Submit2;
}

}  // namespace tenure::vulkan::fake

namespace tenure::vulkan {

void FakeCard::Hold() {
  absl::MutexLock lock(&state_->mutex);
  state_->holding = true;
}

void FakeCard::ReleaseHeld(uint64_t count) { state_->ReleaseHeld(count); }

void FakeCard::ForgetHeld() {
  absl::MutexLock lock(&state_->mutex);
  state_->ForgetHeld();
}

uint64_t FakeCard::HeldCount() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->held.size();
}

VkResult FakeCard::State::SubmitNow(const fake::Submission& work) {
  absl::MutexLock one(&submit_mutex);
  {
    absl::MutexLock lock(&mutex);
    if (lost) return VK_ERROR_DEVICE_LOST;
    for (VkCommandBuffer commands : work.Commands()) {
      for (const auto& [entry, times] : command_buffers[commands].commands) {
        executed[entry] += times;
      }
    }
  }
  return fake::Give(*this, work);
}

void FakeCard::State::ReleaseHeld(uint64_t count) {
  absl::MutexLock one(&release_mutex);
  for (; count > 0; --count) {
    fake::Submission work;
    {
      absl::MutexLock lock(&mutex);
      if (held.empty()) {
        holding = false;
        return;
      }
      work = held.front();
    }
    // It stays in front until the driver has it, so that whoever waits for it does not go on early.
    const VkResult result = SubmitNow(work);
    absl::MutexLock lock(&mutex);
    if (!held.empty()) held.pop_front();
    if (held.empty()) holding = false;
    if (result != VK_SUCCESS) {
      Violate(absl::StrCat("ReleaseHeld: the driver said ", static_cast<int>(result)));
    }
  }
}

bool FakeCard::State::HeldUses(std::string_view kind, uint64_t handle) const {
  const auto buffer_uses = [&](VkBuffer buffer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (kind == "VkBuffer") return fake::Number(buffer) == handle;
    const auto found = buffers.find(buffer);
    return kind == "VkDeviceMemory" && found != buffers.end() &&
           fake::Number(found->second.memory) == handle;
  };
  const auto set_uses = [&](VkDescriptorSet set) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    const auto found = sets.find(set);
    if (found == sets.end()) return false;
    for (const auto& [place, buffer] : found->second) {
      if (buffer_uses(buffer)) return true;
    }
    return false;
  };
  for (const fake::Submission& work : held) {
    if (kind == "VkFence" && fake::Number(work.fence) == handle) return true;
    if (kind == "VkSemaphore") {
      for (VkSemaphore used : work.Semaphores()) {
        if (fake::Number(used) == handle) return true;
      }
    }
    for (VkCommandBuffer commands : work.Commands()) {
      if (kind == "VkCommandBuffer" && fake::Number(commands) == handle) return true;
      const auto record = command_buffers.find(commands);
      if (record == command_buffers.end()) continue;
      for (const auto& [used_kind, used] : record->second.uses) {
        if (used_kind == kind && used == handle) return true;
        if (used_kind == "VkBuffer" && buffer_uses(reinterpret_cast<VkBuffer>(used))) return true;
        if (used_kind == "VkDescriptorSet" && set_uses(reinterpret_cast<VkDescriptorSet>(used))) {
          return true;
        }
      }
    }
  }
  return false;
}

}  // namespace tenure::vulkan
