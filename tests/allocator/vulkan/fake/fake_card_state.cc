#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tenure::vulkan::fake {

static std::atomic<FakeCard::State*> current_state{nullptr};

[[noreturn]] static void Die(const char* why) {
  std::fprintf(stderr, "FakeCard: %s\n", why);
  std::abort();
}

std::string Hex(uint64_t number) { return absl::StrCat("0x", absl::Hex(number)); }

const VkBaseInStructure* FindInChain(const void* next, VkStructureType type) {
  auto* structure = static_cast<const VkBaseInStructure*>(next);
  while (structure != nullptr && structure->sType != type) structure = structure->pNext;
  return structure;
}

Unlinked::Unlinked(const void* first, const std::vector<VkStructureType>& types) {
  auto* before = static_cast<VkBaseOutStructure*>(const_cast<void*>(first));
  while (before->pNext != nullptr) {
    VkBaseOutStructure* structure = before->pNext;
    bool unwanted = false;
    for (const VkStructureType type : types) unwanted |= structure->sType == type;
    if (unwanted) {
      undo_.emplace_back(before, structure);
      before->pNext = structure->pNext;
    } else {
      before = structure;
    }
  }
}

Unlinked::~Unlinked() {
  for (auto it = undo_.rbegin(); it != undo_.rend(); ++it) it->first->pNext = it->second;
}

}  // namespace tenure::vulkan::fake

namespace tenure::vulkan {

FakeCard::FakeCard(FakeCardOptions options) : state_(std::make_unique<State>(std::move(options))) {}

FakeCard::~FakeCard() = default;

FakeCard::State::State(FakeCardOptions o) : options(std::move(o)) {
  State* none = nullptr;
  if (!fake::current_state.compare_exchange_strong(none, this)) fake::Die("another one lives");
  get = options.loader;
  if (get == nullptr) {
    void* library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_NODELETE);
    if (library == nullptr) fake::Die("no libvulkan.so.1 on this machine; run tools/setup");
    get = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
    if (get == nullptr) fake::Die("libvulkan.so.1 has no vkGetInstanceProcAddr");
    // Kept in the process, because LeakSanitizer reports what a driver that was closed has left.
    dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
  }
  fake::FillDevices(&own);
  fake::FillFeatures(&own);
  fake::FillMemory(&own);
  fake::FillMapping(&own);
  fake::FillBuffers(&own);
  fake::FillCommands(&own);
  fake::FillQueue(&own);
  fake::FillWaits(&own);
  Resolve(VK_NULL_HANDLE);
  absl::MutexLock lock(&mutex);
  for (const FakeProfile& profile : options.cards) {
    fake::CheckHiddenFeatures(profile);
    const std::vector<uint64_t> zeros(profile.heaps.size());
    cards.push_back({profile, zeros, zeros});
  }
}

FakeCard::State::~State() {
  absl::MutexLock lock(&mutex);
  ForgetHeld();
  if (!violations_read) {
    for (const std::string& text : violations) {
      std::fprintf(stderr, "FakeCard: violation: %s\n", text.c_str());
    }
  }
  fake::current_state = nullptr;
}

FakeCard::State& FakeCard::State::Current() {
  State* state = fake::current_state;
  if (state == nullptr) fake::Die("a call of an entry point whose FakeCard is gone");
  return *state;
}

void FakeCard::State::Violate(std::string text) {
  violations.push_back(std::move(text));
  violations_read = false;
}

void FakeCard::State::AddObject(const char* kind, uint64_t handle, uint64_t parent) {
  objects[{kind, handle}] = parent;
}

void FakeCard::State::RemoveObject(const char* call, const char* kind, uint64_t handle) {
  if (objects.erase({kind, handle}) == 0) {
    Violate(absl::StrCat(call, ": no ", kind, " ", fake::Hex(handle), " lives"));
  }
  EndRecords(call, kind, handle);
}

void FakeCard::State::RemoveChildren(const char* call, uint64_t parent, bool leaks) {
  std::vector<std::pair<std::string_view, uint64_t>> children;
  std::map<std::string_view, uint64_t> counts;
  for (const auto& [object, its_parent] : objects) {
    if (its_parent != parent) continue;
    children.push_back(object);
    ++counts[object.first];
  }
  for (const auto& child : children) {
    objects.erase(child);
    EndRecords(call, child.first, child.second);
    RemoveChildren(call, child.second, false);
  }
  if (!leaks) return;
  for (const auto& [kind, count] : counts) {
    Violate(absl::StrCat(call, ": ", count, " ", kind, " left"));
  }
}

void FakeCard::State::EndRecords(const char* call, std::string_view kind, uint64_t handle) {
  if (HeldUses(kind, handle)) {
    Violate(absl::StrCat(call, ": held work uses the ", kind, " ", fake::Hex(handle)));
  }
  if (kind == "VkBuffer") buffers.erase(reinterpret_cast<VkBuffer>(handle));
  if (kind == "VkDescriptorSet") sets.erase(reinterpret_cast<VkDescriptorSet>(handle));
  if (kind == "VkCommandBuffer") {
    command_buffers.erase(reinterpret_cast<VkCommandBuffer>(handle));
  }
}

void FakeCard::State::ForgetHeld() {
  held.clear();
  holding = false;
}

}  // namespace tenure::vulkan
