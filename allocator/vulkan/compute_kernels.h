// ComputeKernels: copies and fills of device memory by compute shaders.
//
// Why shaders, when there are copy commands: a shader fills from every byte address and to every
// size, where the command wants multiples of 4; and it may be much faster (on an H200, a shader
// fills at over 2,700 GB/s, and the copy command copies at 415).
//
//   TENURE_ASSIGN_OR_RETURN(std::unique_ptr<ComputeKernels> kernels,
//                           ComputeKernels::Create(*device));
//   kernels->RecordCopy(commands, from, to, size_bytes);
//   RecordBarrier(*device, commands);                     // if one needs what the other writes
//   kernels->RecordFill(commands, to, size_bytes, pattern);
//
// Cost: a dispatch for each call. Large windows run near the speed of the memory if both windows
// have the same address modulo 16, and somewhat below it otherwise.
// Thread safety: thread-safe; a command buffer is recorded by one thread at a time. Ownership:
// borrows the device, which must outlive it. All recorded work must be done when it is destroyed.
// Errors: those of ComputePipeline.

#ifndef TENURE_ALLOCATOR_VULKAN_COMPUTE_KERNELS_H_
#define TENURE_ALLOCATOR_VULKAN_COMPUTE_KERNELS_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "tenure/allocator/vulkan/compute_pipeline.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/base/fill_pattern.h"

namespace tenure::vulkan {

class ComputeKernels {
 public:
  static absl::StatusOr<std::unique_ptr<ComputeKernels>> Create(const Device& device);

  // Windows are device addresses of any alignment, of memory that shaders may access by address.

  // The windows must not overlap.
  void RecordCopy(VkCommandBuffer commands, uint64_t from, uint64_t to, uint64_t size_bytes) const;
  // The pattern begins at `to`; the last one is cut off at the end of the window.
  void RecordFill(VkCommandBuffer commands, uint64_t to, uint64_t size_bytes,
                  const FillPattern& pattern) const;

 private:
  ComputeKernels(std::unique_ptr<ComputePipeline> copy, std::unique_ptr<ComputePipeline> fill)
      : copy_(std::move(copy)), fill_(std::move(fill)) {}

  const std::unique_ptr<ComputePipeline> copy_;
  const std::unique_ptr<ComputePipeline> fill_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_COMPUTE_KERNELS_H_
