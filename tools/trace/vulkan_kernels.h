// VulkanKernels: records the operations of the reference kernel into Vulkan command buffers.
//
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<VulkanKernels> kernels, VulkanKernels::Create(device));
//   queue->SubmitRecorded({}, [&](VkCommandBuffer commands) {
//     return kernels->Fill(VulkanKernels::Work(commands), address, size, {0, seed});
//   });
//
// Cost: a dispatch for each call; large windows run near the speed of the device's memory. Windows
// whose elements share some bytes are written in turn, which is much slower; such a window may take
// several dispatches. Thread safety: thread-safe; a command buffer is recorded by one thread at a
// time. Ownership: shares the device. All recorded work must be done when it is destroyed. Errors:
// those of ComputePipeline and OpKernels.

#ifndef TENURE_TOOLS_TRACE_VULKAN_KERNELS_H_
#define TENURE_TOOLS_TRACE_VULKAN_KERNELS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/vulkan/compute_kernels.h"
#include "tenure/allocator/vulkan/compute_pipeline.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/tools/trace/op_kernels.h"
#include "tenure/tools/trace/reference_kernel_params.h"

namespace tenure {

class VulkanKernels final : public OpKernels {
 public:
  static absl::StatusOr<std::unique_ptr<VulkanKernels>> Create(
      std::shared_ptr<vulkan::Device> device);

  static uint64_t Work(VkCommandBuffer commands) { return reinterpret_cast<uint64_t>(commands); }

  absl::Status AddDigest(uint64_t work, uint64_t window, uint64_t size_bytes,
                         uint64_t sum) const override;
  absl::Status Chain(uint64_t work, uint64_t op_index, uint64_t digests, uint64_t reads,
                     uint64_t chain) const override;
  absl::Status Fill(uint64_t work, uint64_t window, uint64_t size_bytes,
                    DeviceSeed seed) const override;
  absl::Status FillStrided(uint64_t work, uint64_t window, uint64_t size_bytes, DeviceSeed seed,
                           absl::Span<const uint64_t> shape, absl::Span<const uint64_t> strides,
                           uint64_t item_bytes) const override;
  absl::Status Zero(uint64_t work, uint64_t window, uint64_t size_bytes) const override;

 private:
  explicit VulkanKernels(std::shared_ptr<vulkan::Device> device);
  absl::Status FillOrdered(VkCommandBuffer commands, uint64_t window, DeviceSeed seed,
                           const tenure_kernel::OrderedWindow& ordered) const;

  const std::shared_ptr<vulkan::Device> device_;
  std::unique_ptr<vulkan::ComputeKernels> bytes_;
  std::unique_ptr<vulkan::ComputePipeline> digest_;
  std::unique_ptr<vulkan::ComputePipeline> chain_;
  std::unique_ptr<vulkan::ComputePipeline> fill_words_;
  std::unique_ptr<vulkan::ComputePipeline> fill_apart_;
  std::unique_ptr<vulkan::ComputePipeline> fill_ordered_;
};

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_VULKAN_KERNELS_H_
