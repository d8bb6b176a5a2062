#include "tenure/allocator/vulkan/compute_kernels.h"

#include <cstddef>

#include "tenure/allocator/vulkan/shaders/compute_shaders.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

constexpr uint64_t kVectorBytes = 16;  // the bytes that a thread handles at a time

// The push constants of shaders/copy.comp and shaders/fill.comp.
struct CopyOperands {
  uint64_t from, to, size;
};
struct FillOperands {
  uint64_t to, size;
  std::byte pattern[kVectorBytes];
};

}  // namespace

absl::StatusOr<std::unique_ptr<ComputeKernels>> ComputeKernels::Create(const Device& device) {
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<ComputePipeline> copy,
                          ComputePipeline::Create(device, CopyShader(), sizeof(CopyOperands)));
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<ComputePipeline> fill,
                          ComputePipeline::Create(device, FillShader(), sizeof(FillOperands)));
  return std::unique_ptr<ComputeKernels>(new ComputeKernels(std::move(copy), std::move(fill)));
}

void ComputeKernels::RecordCopy(VkCommandBuffer commands, uint64_t from, uint64_t to,
                                uint64_t size_bytes) const {
  if (size_bytes == 0) return;
  copy_->Record(commands, CopyOperands{from, to, size_bytes}, size_bytes / kVectorBytes);
}

void ComputeKernels::RecordFill(VkCommandBuffer commands, uint64_t to, uint64_t size_bytes,
                                const FillPattern& pattern) const {
  if (size_bytes == 0) return;
  FillOperands operands = {to, size_bytes, {}};
  // Every size of a pattern divides 16, so the bytes at an address depend on the address modulo 16.
  for (uint64_t i = 0; i < kVectorBytes; ++i) {
    operands.pattern[(to + i) % kVectorBytes] = pattern.bytes[i % pattern.size_bytes];
  }
  fill_->Record(commands, operands, size_bytes / kVectorBytes);
}

}  // namespace tenure::vulkan
