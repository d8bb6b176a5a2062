// ShaderDevice: a Vulkan device for tests of shaders: the first one of the machine, which is Mesa's
// CPU driver where there is no GPU. The validation layer is on, and the destructor expects that it
// had nothing to say.
//
//   absl::StatusOr<std::unique_ptr<ShaderDevice>> gpu = ShaderDevice::Make();
//   if (absl::IsUnavailable(gpu.status())) GTEST_SKIP() << gpu.status().message();
//   absl::Status status = (*gpu)->Run([&](VkCommandBuffer commands) { ... });
//
// Thread safety: single-threaded. Ownership: owns its memory; objects made from device() must be
// gone before it.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_SHADERS_SHADER_DEVICE_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_SHADERS_SHADER_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/tests/testing/vulkan_validation.h"

namespace tenure {

class ShaderDevice {
 public:
  // Memory that shaders may use by address. It begins at a multiple of 256 bytes.
  struct Memory {
    uint64_t address = 0;
    uint8_t* bytes = nullptr;  // for the host; null if the host can't reach it
  };

  // Unavailable: there is no loader, driver or device.
  static absl::StatusOr<std::unique_ptr<ShaderDevice>> Make(
      bool validation = vulkan::kWithValidation);
  ~ShaderDevice();

  const std::shared_ptr<vulkan::Device>& device() const { return device_; }
  // Both stay until the object goes. The first kind is the host's, the second the device's own.
  absl::StatusOr<Memory> Allocate(uint64_t size_bytes);
  absl::StatusOr<Memory> AllocateLocal(uint64_t size_bytes);
  // Records, submits, and waits.
  absl::Status Run(vulkan::DeviceQueue::Recorder record);

 private:
  struct Messages {
    absl::Mutex mutex;
    std::vector<std::string> texts;
  };
  struct Owned {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    uint32_t type = 0;
    uint64_t size_bytes = 0;
  };
  ShaderDevice() = default;
  absl::StatusOr<Memory> AllocateOf(uint64_t size_bytes,
                                    absl::Span<const VkMemoryPropertyFlags> kinds);
  // The first permitted type of memory that has all flags of a kind. Earlier kinds come first.
  absl::StatusOr<uint32_t> TypeFor(uint32_t permitted,
                                   absl::Span<const VkMemoryPropertyFlags> kinds) const;

  const std::shared_ptr<Messages> messages_ = std::make_shared<Messages>();
  std::shared_ptr<vulkan::Device> device_;
  std::shared_ptr<vulkan::DeviceQueue> queue_;
  std::vector<Owned> owned_;
};

}  // namespace tenure

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_SHADERS_SHADER_DEVICE_H_
