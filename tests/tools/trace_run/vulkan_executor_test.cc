// Recorded schedules on Mesa's CPU driver for Vulkan, as shaders: the same bytes as on the host, and
// nothing for the validation layer to say.

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/tools/trace_run/demo_schedule.h"
#include "tenure/tools/trace/shaders/reference_kernel_shaders.h"
#include "tenure/tools/trace_run/executor.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {
namespace {

using vulkan::CpuDevice;

absl::StatusOr<RunResult> RunOn(const Trace& trace, Allocator& allocator, const Plan* plan,
                                bool check_plan = true) {
  const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
  return RunTrace(trace, allocator, *weights, {.plan = plan, .check_plan = check_plan});
}

class VulkanExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    const EmbeddedImage& shader = vulkan::DigestShader();
    if (shader.size == 0) GTEST_SKIP() << shader.why_missing;
  }
};

class VulkanRunTest : public VulkanExecutorTest,
                      public testing::WithParamInterface<std::pair<SpaceKind, const char*>> {};

TEST_P(VulkanRunTest, GivesTheBytesOfTheHost) {
  const Trace trace = DemoTrace(GetParam().second);
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->executor, "host");
  const std::unique_ptr<Allocator> allocator = CpuDevice::Get().Make(GetParam().first);
  const Plan plan = PlanOf(trace, *allocator);
  for (const Plan* with : {static_cast<const Plan*>(nullptr), &plan}) {
    const absl::StatusOr<RunResult> run = RunOn(trace, *allocator, with);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_EQ(run->executor, CpuDevice::Get().device()->info().name);
    EXPECT_EQ(run->digests, host->digests);
    const absl::Status same = CompareRuns(trace, *host, *run);
    EXPECT_TRUE(same.ok()) << same;
  }
  EXPECT_EQ(allocator->Stats().in_use_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Spaces, VulkanRunTest,
                         testing::Values(std::pair(vulkan::kDeviceSpace, "odd_shapes"),
                                         std::pair(vulkan::kDeviceSpace, "tiny_transformer"),
                                         std::pair(vulkan::kDeviceSpace, "tiny_convnet_train"),
                                         std::pair(vulkan::kUploadSpace, "odd_shapes"),
                                         std::pair(vulkan::kReadbackSpace, "odd_shapes")),
                         [](const auto& param) {
                           return absl::StrCat(
                               absl::StrReplaceAll(param.param.first.name(), {{"-", ""}}), "_",
                               param.param.second);
                         });

// All arena bytes at one place: only the order of the kernels can save that, and it can't.
TEST_F(VulkanExecutorTest, AWrongPlanIsCaughtByName) {
  const Trace trace = DemoTrace("tiny_transformer");
  const std::unique_ptr<Allocator> allocator = CpuDevice::Get().Make(vulkan::kDeviceSpace);
  const absl::StatusOr<RunResult> apart = RunOn(trace, *allocator, nullptr);
  ASSERT_TRUE(apart.ok()) << apart.status();
  Plan wrong = PlanOf(trace, *allocator);
  for (Placement& placement : wrong.placements) placement.offset_bytes = 0;
  const absl::StatusOr<RunResult> run = RunOn(trace, *allocator, &wrong, /*check_plan=*/false);
  ASSERT_TRUE(run.ok()) << run.status();
  const absl::Status caught = CompareRuns(trace, *apart, *run);
  EXPECT_EQ(caught.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StrContains(caught.message(), "read other bytes")) << caught;
}

TEST_F(VulkanExecutorTest, AllocatorsOfOthersHaveNoDevice) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator cpu;
  const absl::Status status = MakeVulkanExecutor(trace, cpu).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tenure::cli
