// ComputePipeline: one compute shader whose operands are push constants, ready to be recorded.
//
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<ComputePipeline> fill,
//                           ComputePipeline::Create(*device, FillShader(), sizeof(FillOperands)));
//   fill->Record(commands, operands, /*threads=*/size_bytes / 16);
//
// Cost: making one takes the driver's compiler some milliseconds; recording takes three calls.
// Thread safety: thread-safe; a command buffer is recorded by one thread at a time. Ownership:
// borrows the device, which must outlive it. All recorded work must be done when it is destroyed.
// Errors: Unimplemented if the program was built without a shader compiler, or if the device lacks
// a feature that the shaders need (PhysicalDevice::byte_kernels); those of the driver.

#ifndef TENURE_ALLOCATOR_VULKAN_COMPUTE_PIPELINE_H_
#define TENURE_ALLOCATOR_VULKAN_COMPUTE_PIPELINE_H_

#include <cstdint>
#include <memory>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/build_defs/embedded_image.h"

namespace tenure::vulkan {

class ComputePipeline {
 public:
  // Of a workgroup. shaders/addresses.glsl has the same number.
  static constexpr uint32_t kThreads = 128;
  // More workgroups than this bring nothing: they fill the largest devices.
  static constexpr uint64_t kMostGroups = 4096;
  // Every device has room for push constants of this size.
  static constexpr uint32_t kMaxOperandsBytes = 128;

  static absl::StatusOr<std::unique_ptr<ComputePipeline>> Create(const Device& device,
                                                                 const EmbeddedImage& shader,
                                                                 uint32_t operands_bytes);
  ~ComputePipeline();
  ComputePipeline(const ComputePipeline&) = delete;
  ComputePipeline& operator=(const ComputePipeline&) = delete;

  // Records as many workgroups as have `threads` threads, or as fill a device; each thread then
  // does its share. `operands` has the layout of the shader's push constants.
  template <typename Operands>
  void Record(VkCommandBuffer commands, const Operands& operands, uint64_t threads) const {
    static_assert(std::is_trivially_copyable_v<Operands> && sizeof(Operands) <= kMaxOperandsBytes);
    RecordBytes(commands, &operands, sizeof(Operands), threads);
  }

 private:
  explicit ComputePipeline(const Device& device) : device_(device) {}
  absl::Status Make(const EmbeddedImage& shader, uint32_t operands_bytes);
  void RecordBytes(VkCommandBuffer commands, const void* operands, uint32_t operands_bytes,
                   uint64_t threads) const;

  const Device& device_;
  VkPipelineLayout layout_ = VK_NULL_HANDLE;
  VkPipeline pipeline_ = VK_NULL_HANDLE;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_COMPUTE_PIPELINE_H_
