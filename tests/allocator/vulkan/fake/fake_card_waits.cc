// Waits for FakeCard's work: they see held work as work that is not done, and they end.

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan {

bool FakeCard::State::AwaitRelease(const std::vector<VkFence>& fences, absl::Duration time) {
  const auto released = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    if (fences.empty()) return held.empty();
    return std::none_of(fences.begin(), fences.end(),
                        [&](VkFence fence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
                          return HeldUses("VkFence", fake::Number(fence));
                        });
  };
  return mutex.AwaitWithTimeout(absl::Condition(&released), time);
}

void FakeCard::State::Lose() {
  ReleaseHeld(UINT64_MAX);
  std::map<VkQueue, VkDevice> all;
  {
    // Whoever submits now has the driver's answer before this goes on, or sees that it is lost.
    absl::MutexLock one(&submit_mutex);
    absl::MutexLock lock(&mutex);
    lost = true;
    all = queues;
  }
  const uint64_t timeout = static_cast<uint64_t>(absl::ToInt64Nanoseconds(options.hang_after));
  for (const auto& [queue, device] : all) {
    VkFenceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
    VkFence fence = VK_NULL_HANDLE;
    VkResult result = real.CreateFence(device, &info, nullptr, &fence);
    if (result == VK_SUCCESS) {
      absl::MutexLock one(&submit_mutex);
      result = real.QueueSubmit(queue, 0, nullptr, fence);
    }
    if (result == VK_SUCCESS) result = real.WaitForFences(device, 1, &fence, VK_TRUE, timeout);
    if (result == VK_SUCCESS) {
      real.DestroyFence(device, fence, nullptr);
      continue;
    }
    absl::MutexLock lock(&mutex);
    Violate("the device was lost, and work in flight does not end");
  }
}

}  // namespace tenure::vulkan

namespace tenure::vulkan::fake {

using State = FakeCard::State;

// So often a wait looks whether the device was lost meanwhile.
static constexpr absl::Duration kSlice = absl::Milliseconds(10);

static VkResult Hangs(State& state, const char* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state.mutex) {
  state.Violate(absl::StrCat(call, ": it waited for longer than hang_after"));
  return VK_ERROR_DEVICE_LOST;
}

static absl::Duration FromNanoseconds(uint64_t timeout) {
  constexpr uint64_t kMax = INT64_MAX;
  return timeout > kMax ? absl::InfiniteDuration()
                        : absl::Nanoseconds(static_cast<int64_t>(timeout));
}

// Calls `wait` with short timeouts until it gives something else, or the time is up.
template <typename Wait>
VkResult WaitInSlices(const char* call, uint64_t timeout, Wait wait) {
  State& state = State::Current();
  const absl::Time start = absl::Now();
  const absl::Duration wanted = FromNanoseconds(timeout);
  while (true) {
    const absl::Duration left = std::min(wanted, state.options.hang_after) - (absl::Now() - start);
    const absl::Duration slice = std::clamp(left, absl::ZeroDuration(), kSlice);
    const VkResult result = wait(static_cast<uint64_t>(absl::ToInt64Nanoseconds(slice)));
    if (result != VK_TIMEOUT) return result;
    absl::MutexLock lock(&state.mutex);
    if (state.lost) return VK_ERROR_DEVICE_LOST;
    if (left > kSlice) continue;
    return wanted > state.options.hang_after ? Hangs(state, call) : VK_TIMEOUT;
  }
}

static VKAPI_ATTR VkResult VKAPI_CALL WaitSemaphores(VkDevice device,
                                                     const VkSemaphoreWaitInfo* info,
                                                     uint64_t timeout) {
  return WaitInSlices("vkWaitSemaphores", timeout, [&](uint64_t slice) {
    return State::Current().real.WaitSemaphores(device, info, slice);
  });
}

static VKAPI_ATTR VkResult VKAPI_CALL WaitForFences(VkDevice device, uint32_t count,
                                                    const VkFence* fences, VkBool32 all,
                                                    uint64_t timeout) {
  State& state = State::Current();
  return WaitInSlices("vkWaitForFences", timeout, [&](uint64_t slice) {
    const absl::Duration time = FromNanoseconds(slice);
    std::vector<VkFence> wanted;  // those that the driver knows of
    {
      absl::MutexLock lock(&state.mutex);
      if (all == VK_TRUE) {
        if (!state.AwaitRelease({fences, fences + count}, time)) return VK_TIMEOUT;
      }
      for (uint32_t i = 0; i < count; ++i) {
        if (!state.HeldUses("VkFence", Number(fences[i]))) wanted.push_back(fences[i]);
      }
      if (wanted.empty() && !state.AwaitRelease({fences[0]}, time)) return VK_TIMEOUT;
      if (wanted.empty()) wanted.push_back(fences[0]);
    }
    return state.real.WaitForFences(device, static_cast<uint32_t>(wanted.size()), wanted.data(),
                                    all, slice);
  });
}

static VKAPI_ATTR VkResult VKAPI_CALL GetFenceStatus(VkDevice device, VkFence fence) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    if (state.HeldUses("VkFence", Number(fence))) return VK_NOT_READY;
  }
  return state.real.GetFenceStatus(device, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL ResetFences(VkDevice device, uint32_t count,
                                                  const VkFence* fences) {
  State& state = State::Current();
  {
    absl::MutexLock lock(&state.mutex);
    for (uint32_t i = 0; i < count; ++i) {
      if (state.HeldUses("VkFence", Number(fences[i]))) {
        state.Violate("vkResetFences: held work uses the fence");
      }
    }
  }
  return state.real.ResetFences(device, count, fences);
}

// Until nothing is held; VK_SUCCESS, or why not.
static VkResult AwaitAll(State& state, const char* call) {
  return WaitInSlices(call, UINT64_MAX, [&](uint64_t slice) {
    absl::MutexLock lock(&state.mutex);
    return state.AwaitRelease({}, FromNanoseconds(slice)) ? VK_SUCCESS : VK_TIMEOUT;
  });
}

static VKAPI_ATTR VkResult VKAPI_CALL QueueWaitIdle(VkQueue queue) {
  State& state = State::Current();
  const VkResult result = AwaitAll(state, "vkQueueWaitIdle");
  return result != VK_SUCCESS ? result : state.real.QueueWaitIdle(queue);
}

static VKAPI_ATTR VkResult VKAPI_CALL DeviceWaitIdle(VkDevice device) {
  State& state = State::Current();
  const VkResult result = AwaitAll(state, "vkDeviceWaitIdle");
  return result != VK_SUCCESS ? result : state.real.DeviceWaitIdle(device);
}

void FillWaits(Entries* own) {
  own->WaitSemaphores = &WaitSemaphores;
  own->WaitForFences = &WaitForFences;
  own->GetFenceStatus = &GetFenceStatus;
  own->ResetFences = &ResetFences;
  own->QueueWaitIdle = &QueueWaitIdle;
  own->DeviceWaitIdle = &DeviceWaitIdle;
}

}  // namespace tenure::vulkan::fake
