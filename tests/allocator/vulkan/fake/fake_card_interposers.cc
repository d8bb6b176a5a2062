// The functions that FakeCard hands out: each counts, fails when told to, and calls the fake's own
// function or the driver's.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan::fake {

using State = FakeCard::State;

// ---- What else an entry does because of its name and its arguments -------------------------------

constexpr bool Creates(std::string_view name) {
  return name == "AllocateMemory" || (name.substr(0, 6) == "Create" &&
                                      name != "CreateComputePipelines" && name != "CreateInstance");
}
constexpr bool Destroys(std::string_view name) {
  return name == "FreeMemory" || name.substr(0, 7) == "Destroy";
}
constexpr bool kCreates[] = {
#define TENURE_FAKE_X(name, ...) Creates(#name),
    TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
};
constexpr bool kDestroys[] = {
#define TENURE_FAKE_X(name, ...) Destroys(#name),
    TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
};

template <typename T>
T ForDriver(State&, T argument) {
  return argument;
}
inline VkPhysicalDevice ForDriver(State& state, VkPhysicalDevice device) {
  return state.RealOf(device);
}

template <typename T>
VkCommandBuffer CommandsOf(T) {
  return VK_NULL_HANDLE;
}
inline VkCommandBuffer CommandsOf(VkCommandBuffer commands) { return commands; }

// Vulkan promises null handles when these calls fail. Others leave their outputs as they were.
template <typename... A>
void ClearOutputs(A...) {}
inline void ClearOutputs(VkDevice, const VkCommandBufferAllocateInfo* info, VkCommandBuffer* out) {
  for (uint32_t i = 0; i < info->commandBufferCount; ++i) out[i] = VK_NULL_HANDLE;
}
inline void ClearOutputs(VkDevice, const VkDescriptorSetAllocateInfo* info, VkDescriptorSet* out) {
  for (uint32_t i = 0; i < info->descriptorSetCount; ++i) out[i] = VK_NULL_HANDLE;
}
inline void ClearOutputs(VkDevice, VkPipelineCache, uint32_t count,
                         const VkComputePipelineCreateInfo*, const VkAllocationCallbacks*,
                         VkPipeline* out) {
  for (uint32_t i = 0; i < count; ++i) out[i] = VK_NULL_HANDLE;
}

template <typename Out, typename Parent>
void NoteCreated(State& state, Parent parent, Out out) {
  absl::MutexLock lock(&state.mutex);
  state.AddObject(kKind<std::remove_pointer_t<Out>>, Number(*out), Number(parent));
}

template <typename Handle>
void NoteDestroyed(State& state, Entry entry, Handle handle) {
  if (handle == VK_NULL_HANDLE) return;
  const char* call = InfoOf(entry).name.data();
  absl::MutexLock lock(&state.mutex);
  state.RemoveObject(call, kKind<Handle>, Number(handle));
  state.RemoveChildren(call, Number(handle),
                       std::is_same_v<Handle, VkDevice> || std::is_same_v<Handle, VkInstance>);
}

// ---- The functions -------------------------------------------------------------------------------

template <Entry kEntry, auto kMember, typename Function>
struct Interposer;

template <Entry kEntry, auto kMember, typename R, typename... A>
struct Interposer<kEntry, kMember, R(VKAPI_PTR*)(A...)> {
  static VKAPI_ATTR R VKAPI_CALL Call(A... args) {
    State& state = State::Current();
    const auto all = std::make_tuple(args...);
    const VkResult injected = state.Enter(kEntry, CommandsOf(std::get<0>(all)));
    if constexpr (std::is_same_v<R, VkResult>) {
      if (injected != VK_SUCCESS) {
        if (injected == VK_ERROR_DEVICE_LOST) state.Lose();
        ClearOutputs(args...);
        return injected;
      }
    }
    if constexpr (kDestroys[kEntry]) {
      NoteDestroyed(state, kEntry, std::get<sizeof...(A) - 2>(all));
    }
    if constexpr (std::is_void_v<R>) {
      Run(state, args...);
    } else {
      const R result = Run(state, args...);
      if constexpr (kCreates[kEntry]) {
        if (result == VK_SUCCESS) {
          NoteCreated(state, std::get<0>(all), std::get<sizeof...(A) - 1>(all));
        }
      }
      return result;
    }
  }

  static R Run(State& state, A... args) {
    if (const auto own = state.own.*kMember; own != nullptr) return own(args...);
    return (state.real.*kMember)(ForDriver(state, args)...);
  }
};

const EntryInfo& InfoOf(int entry) {
  static const auto* const kInfos = new std::vector<EntryInfo>{
#define TENURE_FAKE_X(name, ...)                  \
  EntryInfo{"vk" #name,                           \
            {__VA_ARGS__},                        \
            reinterpret_cast<PFN_vkVoidFunction>( \
                &Interposer<k##name, &Entries::name, PFN_vk##name>::Call)},
      TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
  };
  return (*kInfos)[static_cast<size_t>(entry)];
}

int FindEntry(std::string_view name) {
  static const auto* const kNames = [] {
    auto* names = new std::map<std::string_view, int>;
    for (int entry = 0; entry < kEntryCount; ++entry) (*names)[InfoOf(entry).name] = entry;
#define TENURE_FAKE_X(name, suffix) (*names)["vk" #name #suffix] = k##name;
    TENURE_FAKE_ALIASES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
    return names;
  }();
  const auto found = kNames->find(name);
  return found == kNames->end() ? -1 : found->second;
}

Entry NamedEntry(std::string_view name) {
  const int entry = FindEntry(name);
  if (entry >= 0) return static_cast<Entry>(entry);
  std::fprintf(stderr, "FakeCard has no entry '%.*s'; see fake_card_entries.h\n",
               static_cast<int>(name.size()), name.data());
  std::abort();
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL GetInstanceProcAddr(VkInstance instance,
                                                                    const char* name) {
  return State::Current().Find(instance, VK_NULL_HANDLE, name);
}
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL GetDeviceProcAddr(VkDevice device,
                                                                  const char* name) {
  return State::Current().Find(VK_NULL_HANDLE, device, name);
}

}  // namespace tenure::vulkan::fake

namespace tenure::vulkan {

PFN_vkGetInstanceProcAddr FakeCard::loader() const { return &fake::GetInstanceProcAddr; }

PFN_vkVoidFunction FakeCard::State::Find(VkInstance instance, VkDevice device, const char* name) {
  const std::string_view wanted = name;
  if (options.missing_entries.contains(std::string(wanted))) return nullptr;
  if (wanted == "vkGetInstanceProcAddr") {
    return reinterpret_cast<PFN_vkVoidFunction>(&fake::GetInstanceProcAddr);
  }
  const PFN_vkVoidFunction driver =
      device != VK_NULL_HANDLE ? get_device(device, name) : get(instance, name);
  if (driver == nullptr) return nullptr;
  if (wanted == "vkGetDeviceProcAddr") {
    return reinterpret_cast<PFN_vkVoidFunction>(&fake::GetDeviceProcAddr);
  }
  if (const int entry = fake::FindEntry(wanted); entry >= 0) return fake::InfoOf(entry).interposer;
  // These take or give physical devices that the driver does not know.
  const bool physical = wanted.starts_with("vkGetPhysicalDevice");
  if (wanted.starts_with("vkEnumeratePhysicalDeviceGroups") ||
      (physical && options.cards.size() != 1)) {
    return nullptr;
  }
  return driver;
}

void FakeCard::State::Resolve(VkInstance instance) {
  absl::MutexLock lock(&mutex);
#define TENURE_FAKE_X(name, ...)                                             \
  if (real.name == nullptr) {                                                \
    const PFN_vkVoidFunction found = get(instance, "vk" #name);              \
    if (found != nullptr) real.name = reinterpret_cast<PFN_vk##name>(found); \
  }
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
  if (instance != VK_NULL_HANDLE && get_device == nullptr) {
    get_device = reinterpret_cast<PFN_vkGetDeviceProcAddr>(get(instance, "vkGetDeviceProcAddr"));
  }
}

VkResult FakeCard::State::Enter(fake::Entry entry, VkCommandBuffer commands) {
  absl::MutexLock lock(&mutex);
  ++calls[entry];
  if (commands != VK_NULL_HANDLE) ++command_buffers[commands].commands[entry];
  VkResult result = VK_SUCCESS;
  for (fake::Failure& failure : failures[entry]) {
    if (failure.in > 0) --failure.in;
    const bool now = failure.in == 0 && failure.error != VK_SUCCESS;
    if (now && result == VK_SUCCESS) result = failure.error;
    if (now && !failure.and_later) failure.error = VK_SUCCESS;
  }
  if (result != VK_SUCCESS) ++failures_given;
  return result;
}

}  // namespace tenure::vulkan
