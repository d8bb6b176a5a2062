// The inside of FakeCard: the tables of entry points, and records of what lives.
//
// One mutex guards the records. It is not held while the driver runs, except for the time of a
// submission (submit_mutex_).

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_STATE_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_STATE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_entries.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan::fake {

#define TENURE_FAKE_X(name, ...) k##name,
enum Entry : int { TENURE_FAKE_ENTRIES(TENURE_FAKE_X) kEntryCount };
#undef TENURE_FAKE_X

struct Entries {
#define TENURE_FAKE_X(name, ...) PFN_vk##name name = nullptr;
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
};

struct EntryInfo {
  std::string_view name;  // "vkAllocateMemory"
  std::vector<VkResult> errors;
  PFN_vkVoidFunction interposer = nullptr;
};
const EntryInfo& InfoOf(int entry);
// The entry of that name, aliases included; -1: the fake has none.
int FindEntry(std::string_view name);
// The same for a name that a test wrote: ends the program if there is none.
Entry NamedEntry(std::string_view name);

// Fills in the own functions of a subject.
void FillDevices(Entries* own);
void FillFeatures(Entries* own);
void FillMemory(Entries* own);
void FillMapping(Entries* own);
void FillBuffers(Entries* own);
void FillCommands(Entries* own);
void FillQueue(Entries* own);
void FillWaits(Entries* own);

// Ends the program if a hidden feature is none that the fake knows.
void CheckHiddenFeatures(const FakeProfile& profile);
bool EnablesHiddenFeature(const FakeProfile& profile, const VkDeviceCreateInfo* info);

// Handles are pointers where these tests run.
template <typename Handle>
uint64_t Number(Handle handle) {
  static_assert(std::is_pointer_v<Handle>);
  return reinterpret_cast<uint64_t>(handle);
}
std::string Hex(uint64_t number);

template <typename Handle>
inline constexpr const char* kKind = nullptr;
#define TENURE_FAKE_KIND(type) \
  template <>                  \
  inline constexpr const char* kKind<type> = #type
TENURE_FAKE_KIND(VkInstance);
TENURE_FAKE_KIND(VkDebugUtilsMessengerEXT);
TENURE_FAKE_KIND(VkDevice);
TENURE_FAKE_KIND(VkDeviceMemory);
TENURE_FAKE_KIND(VkBuffer);
TENURE_FAKE_KIND(VkBufferView);
TENURE_FAKE_KIND(VkImage);
TENURE_FAKE_KIND(VkImageView);
TENURE_FAKE_KIND(VkSampler);
TENURE_FAKE_KIND(VkDescriptorSetLayout);
TENURE_FAKE_KIND(VkDescriptorPool);
TENURE_FAKE_KIND(VkDescriptorSet);
TENURE_FAKE_KIND(VkShaderModule);
TENURE_FAKE_KIND(VkPipelineLayout);
TENURE_FAKE_KIND(VkPipelineCache);
TENURE_FAKE_KIND(VkPipeline);
TENURE_FAKE_KIND(VkQueryPool);
TENURE_FAKE_KIND(VkSemaphore);
TENURE_FAKE_KIND(VkFence);
TENURE_FAKE_KIND(VkEvent);
TENURE_FAKE_KIND(VkCommandPool);
TENURE_FAKE_KIND(VkCommandBuffer);
#undef TENURE_FAKE_KIND

// A structure of a pNext chain, or null.
const VkBaseInStructure* FindInChain(const void* next, VkStructureType type);

// Takes structures out of a pNext chain for as long as it lives. The chain is the caller's, who
// waits for the call meanwhile.
class Unlinked {
 public:
  Unlinked(const void* first, const std::vector<VkStructureType>& types);
  ~Unlinked();
  Unlinked(const Unlinked&) = delete;
  Unlinked& operator=(const Unlinked&) = delete;

 private:
  std::vector<std::pair<VkBaseOutStructure*, VkBaseOutStructure*>> undo_;  // where, what was there
};

struct Card {
  FakeProfile profile;
  std::vector<uint64_t> heap_used;
  std::vector<uint64_t> heap_others;
};

// A VkPhysicalDevice as the code under test knows it.
struct Physical {
  uint32_t card = 0;
  VkPhysicalDevice real = VK_NULL_HANDLE;
  VkInstance instance = VK_NULL_HANDLE;
};

struct Device {
  uint32_t card = 0;
  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice real = VK_NULL_HANDLE;
  uint32_t memory_count = 0;
};

struct Memory {
  uint64_t sequence = 0;
  FakeMemory info;
  VkDevice device = VK_NULL_HANDLE;
  uint64_t heap_bytes = 0;     // what it takes from the heap
  std::byte* bytes = nullptr;  // the driver's mapping of all of it; null: it can't be mapped
  // What the host sees of memory that is not coherent: kept from allocation to free, like a cache
  // that never writes back by itself.
  std::unique_ptr<std::byte[]> shadow_storage;
  std::byte* shadow = nullptr;
  uint64_t mapped_offset = 0;
  uint64_t mapped_bytes = 0;
};

struct BufferRecord {
  VkDevice device = VK_NULL_HANDLE;
  uint64_t size_bytes = 0;
  VkBufferUsageFlags usage = 0;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  VkDeviceAddress address = 0;  // 0: nobody asked for it
};

struct CommandBuffer {
  std::map<int, uint64_t> commands;                      // by entry
  std::set<std::pair<std::string_view, uint64_t>> uses;  // objects, by kind and handle

  template <typename Handle>
  void Use(Handle handle) {
    uses.insert({kKind<Handle>, Number(handle)});
  }
};

// A submission, copied as deeply as it must be.
struct Submission {
  struct Batch {  // of vkQueueSubmit
    std::vector<VkSemaphore> waits;
    std::vector<VkPipelineStageFlags> stages;
    std::vector<VkCommandBuffer> commands;
    std::vector<VkSemaphore> signals;
    bool timeline = false;
    std::vector<uint64_t> wait_values;
    std::vector<uint64_t> signal_values;
  };
  struct Batch2 {  // of vkQueueSubmit2
    VkSubmitFlags flags = 0;
    std::vector<VkSemaphoreSubmitInfo> waits;
    std::vector<VkCommandBufferSubmitInfo> commands;
    std::vector<VkSemaphoreSubmitInfo> signals;
  };
  VkQueue queue = VK_NULL_HANDLE;
  VkFence fence = VK_NULL_HANDLE;
  bool second = false;  // vkQueueSubmit2
  std::vector<Batch> batches;
  std::vector<Batch2> batches2;

  std::vector<VkCommandBuffer> Commands() const;
  std::vector<VkSemaphore> Semaphores() const;
};

struct Failure {
  VkResult error = VK_SUCCESS;
  uint64_t in = 1;  // calls from now; 0: it has happened
  bool and_later = false;
};

}  // namespace tenure::vulkan::fake

namespace tenure::vulkan {

class FakeCard::State {
 public:
  explicit State(FakeCardOptions o);
  ~State();
  // The fake that lives; ends the program if there is none.
  static State& Current();

  // ---- fake_card_interposers.cc --------------------------------------------------------------------
  PFN_vkVoidFunction Find(VkInstance instance, VkDevice device, const char* name);
  // Looks up the driver's functions that an instance adds.
  void Resolve(VkInstance instance) ABSL_LOCKS_EXCLUDED(mutex);
  // Counts a call, and gives the error that it must return, or VK_SUCCESS.
  VkResult Enter(fake::Entry entry, VkCommandBuffer commands) ABSL_LOCKS_EXCLUDED(mutex);

  // ---- fake_card_state.cc ----------------------------------------------------------------------
  void Violate(std::string text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void AddObject(const char* kind, uint64_t handle, uint64_t parent)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // A violation if it does not live, or held work uses it.
  void RemoveObject(const char* call, const char* kind, uint64_t handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // What belongs to an object ends with it: silently for pools, as leaks for devices.
  void RemoveChildren(const char* call, uint64_t parent, bool leaks)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Of an object that has just ended.
  void EndRecords(const char* call, std::string_view kind, uint64_t handle)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void ForgetHeld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // ---- fake_card_devices.cc --------------------------------------------------------------------
  VkPhysicalDevice RealOf(VkPhysicalDevice handle) ABSL_LOCKS_EXCLUDED(mutex);
  fake::Card& CardOf(VkPhysicalDevice handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  fake::Card& CardOf(VkDevice handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  // ---- fake_card_queue.cc ----------------------------------------------------------------------
  bool HeldUses(std::string_view kind, uint64_t handle) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  // Gives it to the driver.
  VkResult SubmitNow(const fake::Submission& work) ABSL_LOCKS_EXCLUDED(mutex);
  void ReleaseHeld(uint64_t count) ABSL_LOCKS_EXCLUDED(mutex, submit_mutex);

  // ---- fake_card_waits.cc ----------------------------------------------------------------------
  // Gives held work to the driver, and waits until all work is done; a violation after hang_after.
  // The code under test may destroy everything when a device is lost, and the real one is not. So
  // work that is in flight ends first, and no more is taken until a device is created.
  void Lose() ABSL_LOCKS_EXCLUDED(mutex, submit_mutex);
  // Waits until no held submission has one of these fences, or until nothing is held if none is
  // given. False: not within the time.
  bool AwaitRelease(const std::vector<VkFence>& fences, absl::Duration time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const FakeCardOptions options;
  PFN_vkGetInstanceProcAddr get = nullptr;
  PFN_vkGetDeviceProcAddr get_device = nullptr;
  fake::Entries own;  // null: the driver's is called
  // Each is written once, before the first call that could use it.
  fake::Entries real;

  mutable absl::Mutex mutex;
  absl::Mutex submit_mutex ABSL_ACQUIRED_BEFORE(mutex);
  // Held work is released by one thread at a time, so that none is given to the driver twice.
  absl::Mutex release_mutex;
  std::vector<fake::Card> cards ABSL_GUARDED_BY(mutex);
  std::map<VkPhysicalDevice, fake::Physical> physicals ABSL_GUARDED_BY(mutex);
  std::vector<std::unique_ptr<uint64_t>> made_physicals ABSL_GUARDED_BY(mutex);
  std::map<VkDevice, fake::Device> devices ABSL_GUARDED_BY(mutex);
  std::map<VkDeviceMemory, fake::Memory> memories ABSL_GUARDED_BY(mutex);
  std::map<VkBuffer, fake::BufferRecord> buffers ABSL_GUARDED_BY(mutex);
  std::map<VkCommandBuffer, fake::CommandBuffer> command_buffers ABSL_GUARDED_BY(mutex);
  // The buffers that a set's bindings name, by binding and element.
  std::map<VkDescriptorSet, std::map<std::pair<uint32_t, uint32_t>, VkBuffer>> sets
      ABSL_GUARDED_BY(mutex);
  // By kind and handle: the parent.
  std::map<std::pair<std::string_view, uint64_t>, uint64_t> objects ABSL_GUARDED_BY(mutex);
  std::vector<std::string> violations ABSL_GUARDED_BY(mutex);
  bool violations_read ABSL_GUARDED_BY(mutex) = false;
  std::vector<FakeRange> ranges ABSL_GUARDED_BY(mutex);
  uint64_t calls[fake::kEntryCount] ABSL_GUARDED_BY(mutex) = {};
  uint64_t executed[fake::kEntryCount] ABSL_GUARDED_BY(mutex) = {};
  std::vector<fake::Failure> failures[fake::kEntryCount] ABSL_GUARDED_BY(mutex);
  uint64_t failures_given ABSL_GUARDED_BY(mutex) = 0;
  uint64_t refusals ABSL_GUARDED_BY(mutex) = 0;
  uint64_t next_sequence ABSL_GUARDED_BY(mutex) = 1;
  bool lost ABSL_GUARDED_BY(mutex) = false;
  bool holding ABSL_GUARDED_BY(mutex) = false;
  std::deque<fake::Submission> held ABSL_GUARDED_BY(mutex);
  std::map<VkQueue, VkDevice> queues ABSL_GUARDED_BY(mutex);
  std::set<VkQueue> queues_in_use ABSL_GUARDED_BY(mutex);
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_STATE_H_
