// FakeCard: a layer over a real Vulkan driver (Mesa's, for the CPU) that plays discrete cards for
// tests: heaps and memory types with real accounting, memory that is not coherent, small limits,
// failures, and work that stays in flight until a test releases it. Bytes are moved by the driver.
//
//   FakeCard card;                                    // one discrete card: kTypes below
//   auto instance = Instance::Create(card.loader(), {.validation = true});
//   ... code under test ...
//   card.Hold();                                      // submissions wait from here on
//   card.FailCall("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY);
//   EXPECT_EQ(card.Executed("vkCmdDispatch"), 3);
//   EXPECT_THAT(card.Violations(), IsEmpty());
//   EXPECT_THAT(card.LiveObjects(), IsEmpty());       // once all is destroyed
//
// Everything is reached by name through loader(). The names of fake_card_entries.h are the fake's
// own functions, which count, fail when told to, and otherwise change what the driver says or pass
// the call on; all other names are the driver's. What the fake plays and the driver lacks (an added
// extension, say) is taken out of the call before the driver and its layers see it.
//
// Cost: a call takes a microsecond more than the driver's. Thread safety: thread-safe; the fake's
// locks order threads that Vulkan does not, so it hides some races from ThreadSanitizer.
// Ownership: one FakeCard may live at a time (another aborts the program), longer than all that is
// made through it. Errors: the program ends with a message if there is no loader or no driver for
// the CPU, because a test must not pass without them. Incorrect use by the code under test is
// reported by Violations().

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan {

struct FakeHeap {
  uint64_t size_bytes = 0;
  bool device_local = false;
};
struct FakeMemoryType {
  VkMemoryPropertyFlags flags = 0;
  uint32_t heap = 0;
};

// How much of the card's memory the host can map.
enum class FakeBar {
  kNone,       // nothing: there is no such memory type
  kSmall,      // 16 MiB, as a heap of its own
  kResizable,  // everything: a memory type of heap 0
};

struct FakeProfile {
  // Memory types of Discrete(). The last one is missing with FakeBar::kNone.
  static constexpr uint32_t kDeviceLocal = 0;    // heap 0, 256 MiB; not mapped
  static constexpr uint32_t kWriteCombined = 1;  // heap 1, 512 MiB of the host; coherent
  static constexpr uint32_t kCached = 2;         // heap 1; cached, not coherent
  static constexpr uint32_t kMappedDevice = 3;   // device-local, mapped, coherent

  static FakeProfile Discrete(FakeBar bar = FakeBar::kResizable);
  // One heap, and one type that is device-local, mapped, coherent and cached.
  static FakeProfile Integrated();

  std::string name = "Fake discrete card";
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
  std::array<uint8_t, VK_UUID_SIZE> uuid = {};  // zeros: made from the card's position
  uint32_t api_version = 0;                     // 0: the driver's
  std::vector<FakeHeap> heaps;
  std::vector<FakeMemoryType> types;
  uint32_t buffer_types = ~0u;  // a bit for each memory type that buffers can be in
  // A bit for each type that host memory is imported as. None: host-visible coherent memory that is
  // not device-local, or device-local where there is nothing else.
  std::optional<uint32_t> host_pointer_types;

  // Limits.
  uint64_t buffer_alignment_bytes = 256;  // of memory requirements
  uint64_t non_coherent_atom_bytes = 256;
  uint32_t max_allocations = 64;
  uint64_t max_allocation_bytes = uint64_t{128} << 20;
  uint64_t max_buffer_bytes = uint64_t{128} << 20;
  uint32_t max_storage_range_bytes = uint32_t{32} << 20;
  uint64_t storage_alignment_bytes = 64;
  uint64_t uniform_alignment_bytes = 256;
  uint64_t texel_alignment_bytes = 64;
  uint32_t max_texel_elements = uint32_t{1} << 24;
  uint32_t max_groups = 65535;  // of a dispatch, in each dimension
  uint64_t host_pointer_alignment_bytes = 4096;
  // Changes any other property, last.
  std::function<void(VkPhysicalDeviceProperties*)> edit_properties;

  bool memory_budget = true;  // VK_EXT_memory_budget
  std::set<std::string> added_extensions = {"VK_EXT_memory_priority"};
  std::set<std::string> hidden_extensions;
  // By the names of their members: "timelineSemaphore", "bufferDeviceAddress",
  // "storageBuffer8BitAccess", "shaderInt64", ... fake_card_features.cc lists them.
  std::set<std::string> hidden_features;
};

struct FakeCardOptions {
  // The cards that are listed, in this order. All of them are the same real device. Calls that take
  // a VkPhysicalDevice and that the fake does not know are missing unless there is exactly one.
  std::vector<FakeProfile> cards = {FakeProfile::Discrete()};
  uint32_t instance_version = 0;               // of vkEnumerateInstanceVersion; 0: the loader's
  std::set<std::string> missing_entries;       // names that the loader does not find
  PFN_vkGetInstanceProcAddr loader = nullptr;  // of the real one; null: that of libvulkan.so.1
  // The first so many bytes of new memory are filled with 0xCD.
  uint64_t fill_bytes = uint64_t{4} << 20;
  // A wait for the device that takes longer is a violation, and gives VK_ERROR_DEVICE_LOST instead
  // of hanging.
  absl::Duration hang_after = absl::Seconds(20);
};

// A piece of memory that lives (vkAllocateMemory).
struct FakeMemory {
  VkDeviceMemory handle = VK_NULL_HANDLE;
  uint32_t type = 0;
  uint64_t size_bytes = 0;
  bool dedicated = false;
  bool imported = false;  // counts as an allocation, and takes nothing from the heap
  bool exportable = false;
  bool device_address = false;
  float priority = 0.5f;
  bool mapped = false;
};

// A range of vkFlushMappedMemoryRanges or vkInvalidateMappedMemoryRanges.
struct FakeRange {
  bool flush = false;  // else: invalidate
  VkDeviceMemory memory = VK_NULL_HANDLE;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  bool coherent = false;  // the memory did not need it
};

// A call that can fail, with the errors that Vulkan's registry lists for it.
struct FakeFallible {
  std::string_view entry;
  std::vector<VkResult> errors;
};

class FakeCard {
 public:
  explicit FakeCard(FakeCardOptions options = {});
  // Forgets held work. Prints violations that nobody asked for.
  ~FakeCard();
  FakeCard(const FakeCard&) = delete;
  FakeCard& operator=(const FakeCard&) = delete;

  PFN_vkGetInstanceProcAddr loader() const;

  // ---- What happened --------------------------------------------------------------------------
  // What correct code never does, each with the call. The validation layer below the fake sees the
  // driver's limits; these are about the card's.
  std::vector<std::string> Violations() const;
  void ClearViolations();
  // Calls of an entry, by its full name and failed ones included. Commands count when recorded.
  uint64_t Calls(std::string_view entry) const;
  // How often a command was in a command buffer when that was given to the driver.
  uint64_t Executed(std::string_view command) const;
  // Objects that were created and not destroyed: {"VkBuffer", 2}. Kinds without any are not there.
  std::map<std::string, uint64_t> LiveObjects() const;
  uint64_t Live(std::string_view kind) const;
  std::vector<FakeMemory> Memories() const;  // in the order of their allocation
  std::vector<FakeRange> Ranges() const;
  void ClearRanges();
  // The bytes as the device sees them.
  std::vector<std::byte> DeviceBytes(VkDeviceMemory memory, uint64_t offset_bytes,
                                     uint64_t size_bytes) const;
  uint64_t HeapUsedBytes(uint32_t heap, uint32_t card = 0) const;
  // Calls of vkAllocateMemory that the fake refused: heap full, too many, or too large.
  uint64_t Refusals() const;

  // ---- Failures -------------------------------------------------------------------------------
  // The nth call of the entry from now on gives `error` and does nothing; with `and_later`, every
  // call after it too. Several may be set for one entry.
  void FailCall(std::string_view entry, VkResult error, uint64_t nth = 1, bool and_later = false);
  void ClearFailures();
  uint64_t FailuresGiven() const;  // how many calls failed because of FailCall or LoseDevice
  static const std::vector<FakeFallible>& FallibleEntries();
  // From now on, every call that can give VK_ERROR_DEVICE_LOST gives it. Whenever the fake gives that
  // error, the driver first finishes all work, held work included, because the code under test may
  // then destroy what the work uses.
  void LoseDevice();

  // ---- Work in flight -------------------------------------------------------------------------
  // From now on, submissions succeed and wait. Until they are released, destroying or reusing what
  // they use is a violation, as far as the fake sees it: buffers and memory of copies, fills,
  // updates and descriptors, and buffers with an address in the push constants.
  void Hold();
  // Gives the first `count` held submissions to the driver, in order. After the last one, later
  // submissions are held no more.
  void ReleaseHeld(uint64_t count = UINT64_MAX);
  // As if the held submissions had never been made; later ones are held no more.
  void ForgetHeld();
  uint64_t HeldCount() const;

  // ---- Pressure -------------------------------------------------------------------------------
  // What other programs use of a heap. It lowers the budget; as with real drivers, memory can still
  // be allocated up to the size of the heap.
  void SetOtherPrograms(uint32_t heap, uint64_t bytes, uint32_t card = 0);

  class State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_FAKE_CARD_H_
