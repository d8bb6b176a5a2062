// Recorded schedules as shaders, on Mesa's CPU driver for Vulkan and on a discrete card that is
// played over it: the same bytes as on the host, and nothing for the validation layer to say.

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/testing/vulkan_validation.h"
#include "tenure/tests/tools/trace_run/demo_schedule.h"
#include "tenure/tools/trace/shaders/reference_kernel_shaders.h"
#include "tenure/tools/trace_run/executor.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {
namespace {

using vulkan::CpuDevice;
using vulkan::Device;
using vulkan::FakeCard;
using vulkan::FakeCardOptions;
using vulkan::Instance;

absl::StatusOr<RunResult> RunOn(const Trace& trace, Allocator& allocator, const Plan* plan,
                                bool check_plan = true) {
  const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
  return RunTrace(trace, allocator, *weights, {.plan = plan, .check_plan = check_plan});
}

// A card that is played, and the allocator of its memory.
class Card {
 public:
  explicit Card(FakeCardOptions options = {}) : card_(std::move(options)) {
    absl::StatusOr<std::shared_ptr<Instance>> instance = Instance::Create(
        card_.loader(),
        {.validation = vulkan::kWithValidation,
         .on_message = [](std::string_view text) { ADD_FAILURE() << "validation: " << text; }});
    EXPECT_TRUE(instance.ok()) << instance.status();
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*std::move(instance), 0);
    EXPECT_TRUE(device.ok()) << device.status();
    absl::StatusOr<std::shared_ptr<vulkan::CopyEngine>> engine =
        vulkan::CopyEngine::Of(*std::move(device));
    EXPECT_TRUE(engine.ok()) << engine.status();
    auto made = vulkan::VulkanAllocator::Create(vulkan::kDeviceSpace, {}, *std::move(engine));
    EXPECT_TRUE(made.ok()) << made.status();
    allocator_ = *std::move(made);
  }

  // Whatever happened, it gave back what it took.
  ~Card() {
    EXPECT_EQ(allocator_->Stats().in_use_bytes, 0u);
    allocator_.reset();
    // The library's thread for host work holds the last fences until it has seen them.
    for (int i = 0; i < 5000 && !card_.LiveObjects().empty(); ++i) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    for (const std::string& violation : card_.Violations()) ADD_FAILURE() << violation;
    for (const auto& [kind, count] : card_.LiveObjects()) {
      ADD_FAILURE() << count << " of " << kind << " are left";
    }
  }

  FakeCard& fake() { return card_; }
  Allocator& allocator() { return *allocator_; }

 private:
  FakeCard card_;
  std::unique_ptr<Allocator> allocator_;
};

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

TEST_F(VulkanExecutorTest, ADiscreteCardRunsOpsAsShaders) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  Card card;
  const Plan plan = PlanOf(trace, card.allocator());
  const uint64_t before = card.fake().Executed("vkCmdDispatch");
  const absl::StatusOr<RunResult> run = RunOn(trace, card.allocator(), &plan);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->digests, host->digests);
  uint64_t operations = 0;  // a digest for each read, a chain, and a fill for each write
  for (const TraceOp& op : trace.ops) {
    if (!op.reads.empty()) ++operations;
    for (const uint32_t b : op.reads) operations += trace.buffers[b].bytes != 0 ? 1 : 0;
    for (const uint32_t b : op.writes) operations += trace.buffers[b].bytes != 0 ? 1 : 0;
  }
  EXPECT_GE(card.fake().Executed("vkCmdDispatch") - before, operations);
}

// Less memory than all steps of the unplanned run take together: what is dropped must come back.
TEST_F(VulkanExecutorTest, RunningAheadEndsWhereMemoryDoes) {
  const Trace trace = DemoTrace("tiny_convnet_train");
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  FakeCardOptions options;
  options.cards[0].heaps[0].size_bytes = 3 * cpu.Stats().peak_in_use_bytes + (64 << 20);
  Card card(options);
  const absl::StatusOr<RunResult> run = RunOn(trace, card.allocator(), nullptr);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->digests, host->digests);
}

// Whatever call of the driver fails, the run ends with an error and nothing is left behind.
TEST_F(VulkanExecutorTest, EveryFailedCallIsToldAndLeaksNothing) {
  const Trace trace = DemoTrace("odd_shapes");
  Card card;
  const Plan plan = PlanOf(trace, card.allocator());
  ASSERT_TRUE(RunOn(trace, card.allocator(), &plan).ok());
  for (const char* call :
       {"vkCreatePipelineLayout", "vkCreateShaderModule", "vkCreateComputePipelines",
        "vkCreateSemaphore", "vkCreateCommandPool", "vkAllocateCommandBuffers",
        "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkQueueSubmit"}) {
    int failures = 0;
    for (uint64_t nth = 1;; nth = nth < 3 ? nth + 1 : 4 * nth) {
      const uint64_t before = card.fake().FailuresGiven();
      card.fake().FailCall(call, VK_ERROR_OUT_OF_HOST_MEMORY, nth);
      const absl::Status status = RunOn(trace, card.allocator(), &plan).status();
      card.fake().ClearFailures();
      if (card.fake().FailuresGiven() == before) break;
      EXPECT_EQ(card.allocator().Stats().in_use_bytes, 0u) << call << " " << nth;
      if (status.ok()) continue;  // it was tried again
      ++failures;
      EXPECT_TRUE(absl::StrContains(status.message(), call)) << nth << ": " << status;
    }
    EXPECT_GT(failures, 0) << call;
  }
}

TEST_F(VulkanExecutorTest, AllocatorsOfOthersHaveNoDevice) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator cpu;
  const absl::Status status = MakeVulkanExecutor(trace, cpu).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tenure::cli
