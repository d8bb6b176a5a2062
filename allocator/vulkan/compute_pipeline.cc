#include "tenure/allocator/vulkan/compute_pipeline.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
absl::StatusOr<std::unique_ptr<ComputePipeline>> ComputePipeline::Create(
    const Device& device, const EmbeddedImage& shader, uint32_t operands_bytes) {
  if (shader.size == 0) {
    return absl::UnimplementedError(
        absl::StrCat("this program was built without shaders for Vulkan: ", shader.why_missing,
                     "; build it where glslangValidator or glslc is (Debian: glslang-tools)"));
  }
  if (!device.physical().byte_kernels) {
    return absl::UnimplementedError(
        absl::StrCat("shaders on ", device.info().name,
                     " can't use 64-bit and 8-bit integers in buffers (shaderInt64, shaderInt8, "
                     "storageBuffer8BitAccess); use another device"));
  }
  std::unique_ptr<ComputePipeline> made(new ComputePipeline(device));
  TENURE_RETURN_IF_ERROR(made->Make(shader, operands_bytes));
  return made;
}

absl::Status ComputePipeline::Make(const EmbeddedImage& shader, uint32_t operands_bytes) {
  VkPushConstantRange operands = {VK_SHADER_STAGE_COMPUTE_BIT, 0, operands_bytes};
  auto layout = Struct<VkPipelineLayoutCreateInfo>(VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO);
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &operands;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(device_, CreatePipelineLayout, &layout, nullptr, &layout_));

  auto module = Struct<VkShaderModuleCreateInfo>(VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO);
  module.codeSize = shader.size;
  module.pCode = reinterpret_cast<const uint32_t*>(shader.bytes);  // aligned to 16
  auto info = Struct<VkComputePipelineCreateInfo>(VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO);
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.pName = "main";
  info.layout = layout_;
  TENURE_RETURN_IF_ERROR(
      TENURE_VKD(device_, CreateShaderModule, &module, nullptr, &info.stage.module));
  absl::Status status =
      TENURE_VKD(device_, CreateComputePipelines, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline_);
  if (!status.ok()) pipeline_ = VK_NULL_HANDLE;
  device_.calls().DestroyShaderModule(device_.handle(), info.stage.module, nullptr);
  return status;
}

ComputePipeline::~ComputePipeline() {
  const DeviceCalls& calls = device_.calls();
  if (pipeline_ != VK_NULL_HANDLE) calls.DestroyPipeline(device_.handle(), pipeline_, nullptr);
  if (layout_ != VK_NULL_HANDLE) calls.DestroyPipelineLayout(device_.handle(), layout_, nullptr);
}

void ComputePipeline::RecordBytes(VkCommandBuffer commands, const void* operands,
                                  uint32_t operands_bytes, uint64_t threads) const {
  const uint64_t wanted = threads / kThreads + (threads % kThreads != 0 ? 1 : 0);
  const auto groups = static_cast<uint32_t>(std::clamp<uint64_t>(wanted, 1, kMostGroups));
  const DeviceCalls& calls = device_.calls();
  calls.CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline_);
  calls.CmdPushConstants(commands, layout_, VK_SHADER_STAGE_COMPUTE_BIT, 0, operands_bytes,
                         operands);
  calls.CmdDispatch(commands, groups, 1, 1);
}

}  // namespace tenure::vulkan
