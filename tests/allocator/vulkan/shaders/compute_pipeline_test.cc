// Making pipelines where a call fails, or where the device lacks a feature.

#include "tenure/allocator/vulkan/compute_pipeline.h"

#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/vulkan/compute_kernels.h"
#include "tenure/allocator/vulkan/shaders/compute_shaders.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/vulkan_validation.h"

namespace tenure {
namespace {

using vulkan::ComputeKernels;
using vulkan::Device;
using vulkan::FakeCard;
using vulkan::FakeCardOptions;
using vulkan::Instance;

std::shared_ptr<Device> Open(const FakeCard& card) {
  absl::StatusOr<std::shared_ptr<Instance>> instance = Instance::Create(
      card.loader(),
      {.validation = vulkan::kWithValidation,
       .on_message = [](std::string_view text) { ADD_FAILURE() << "validation: " << text; }});
  EXPECT_OK(instance);
  if (!instance.ok()) return nullptr;
  absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*std::move(instance), 0);
  EXPECT_OK(device);
  return device.ok() ? *std::move(device) : nullptr;
}

void ExpectNothingIsLeft(const FakeCard& card) {
  for (const auto& [kind, count] : card.LiveObjects()) {
    ADD_FAILURE() << count << " of " << kind << " are left";
  }
  for (const std::string& violation : card.Violations()) ADD_FAILURE() << violation;
}

class ComputePipelineTest : public testing::Test {
 protected:
  void SetUp() override {
    const EmbeddedImage& shader = vulkan::CopyShader();
    if (shader.size == 0) GTEST_SKIP() << shader.why_missing;
  }
};

TEST_F(ComputePipelineTest, EveryFailedCallIsToldAndLeavesNothing) {
  FakeCard card;
  std::shared_ptr<Device> device = Open(card);
  ASSERT_NE(device, nullptr);
  for (const char* call :
       {"vkCreatePipelineLayout", "vkCreateShaderModule", "vkCreateComputePipelines"}) {
    for (const uint64_t nth : {1, 2}) {
      card.FailCall(call, VK_ERROR_OUT_OF_DEVICE_MEMORY, nth);
      const absl::Status status = ComputeKernels::Create(*device).status();
      EXPECT_CODE(ResourceExhausted, status);
      EXPECT_TRUE(absl::StrContains(status.message(), call)) << status;
      for (const char* kind : {"VkPipelineLayout", "VkShaderModule", "VkPipeline"}) {
        EXPECT_EQ(card.Live(kind), 0u) << kind << " after " << call << " " << nth;
      }
      card.ClearFailures();
    }
  }
  EXPECT_OK(ComputeKernels::Create(*device));
  device.reset();
  ExpectNothingIsLeft(card);
}

TEST_F(ComputePipelineTest, WithoutAFeatureItSaysWhich) {
  for (const char* feature : {"shaderInt64", "shaderInt8", "storageBuffer8BitAccess"}) {
    FakeCardOptions options;
    options.cards[0].hidden_features = {feature};
    FakeCard card(options);
    std::shared_ptr<Device> device = Open(card);
    ASSERT_NE(device, nullptr);
    const absl::Status status = ComputeKernels::Create(*device).status();
    EXPECT_CODE(Unimplemented, status);
    EXPECT_TRUE(absl::StrContains(status.message(), feature)) << status;
    device.reset();
    ExpectNothingIsLeft(card);
  }
}

}  // namespace
}  // namespace tenure
