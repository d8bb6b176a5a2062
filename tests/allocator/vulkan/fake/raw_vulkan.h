// RawVulkan: an instance, a device and a queue for tests that make Vulkan's calls themselves,
// through a FakeCard, with the validation layer below it where that is installed.
//
//   FakeCard card;
//   RawVulkan vk(card);
//   EXPECT_EQ(vk.Start(), VK_SUCCESS);
//   const RawVulkan::Piece x = vk.NewPiece(FakeProfile::kCached, 4096);
//
// Everything that the New functions made is destroyed by Stop(), last first. They give null handles
// and remember the error in result() when a call fails.
// Thread safety: thread-compatible. Ownership: does not own the card.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_RAW_VULKAN_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_RAW_VULKAN_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_entries.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan {

class RawVulkan {
 public:
  // A buffer in memory of its own, mapped where it can be.
  struct Piece {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    std::byte* bytes = nullptr;
  };

  explicit RawVulkan(FakeCard& card);
  ~RawVulkan();
  RawVulkan(const RawVulkan&) = delete;
  RawVulkan& operator=(const RawVulkan&) = delete;

  // An instance, and a device of the first card with a queue, a command pool and a timeline
  // semaphore.
  VkResult Start(const std::vector<const char*>& extensions = {});
  VkResult StartInstance();
  void Stop();
  bool has_layer() const { return has_layer_; }
  // Warnings and errors of the layer.
  const std::vector<std::string>& messages() const { return messages_; }
  // The first error of a call, for good.
  VkResult result() const { return result_; }
  bool Ok(VkResult result);

  std::vector<VkPhysicalDevice> PhysicalDevices();
  VkBuffer NewBuffer(uint64_t size);
  // Allocates without looking at result(), and does not free.
  VkResult Allocate(uint32_t type, uint64_t size, VkDeviceMemory* out, const void* next = nullptr);
  Piece NewPiece(uint32_t type, uint64_t size);
  // Records what `record` does.
  VkCommandBuffer NewCommands(const std::function<void(VkCommandBuffer)>& record);
  VkCommandBuffer NewCopy(const Piece& from, const Piece& to, uint64_t size);
  // Submits to signal timeline at `value`.
  VkResult Submit(VkCommandBuffer commands, uint64_t value, VkFence fence = VK_NULL_HANDLE);
  VkResult Wait(uint64_t value, uint64_t timeout_ns = UINT64_MAX);
  uint64_t Value();
  // A dispatch of triple_shader.h over the piece, which holds 64 numbers for each group.
  VkCommandBuffer NewDispatch(const Piece& piece, uint32_t groups);
  void Later(std::function<void()> undo) { undo_.push_back(std::move(undo)); }

#define TENURE_FAKE_X(name, ...) PFN_vk##name name = nullptr;
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X

  VkInstance instance = VK_NULL_HANDLE;
  VkPhysicalDevice physical = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkQueue queue = VK_NULL_HANDLE;
  VkCommandPool pool = VK_NULL_HANDLE;
  VkSemaphore timeline = VK_NULL_HANDLE;

 private:
  VkResult StartDevice(const std::vector<const char*>& extensions);

  PFN_vkGetInstanceProcAddr get_ = nullptr;
  bool has_layer_ = false;
  VkResult result_ = VK_SUCCESS;
  std::vector<std::string> messages_;
  std::vector<std::function<void()>> undo_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_FAKE_RAW_VULKAN_H_
