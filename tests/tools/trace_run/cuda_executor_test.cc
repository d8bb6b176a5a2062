// Recorded schedules on a fake CUDA device: the same bytes as on the host, and nothing is freed or
// reused under a kernel.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/tests/tools/fake_kernels.h"
#include "tenure/tests/tools/trace_run/demo_schedule.h"
#include "tenure/tools/trace/reference_kernel_image.h"
#include "tenure/tools/trace_run/trace_run.h"

namespace tenure::cli {
namespace {

using cuda::Device;
using cuda::Driver;
using cuda::FakeDriver;
using cuda::FakeOptions;
using testing::IsEmpty;

absl::StatusOr<RunResult> RunOn(const Trace& trace, Allocator& allocator, const Plan* plan,
                                bool check_plan = true) {
  const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
  return RunTrace(trace, allocator, *weights, {.plan = plan, .check_plan = check_plan});
}

// A fake device and an allocator of one of its spaces.
class Gpu {
 public:
  explicit Gpu(SpaceKind kind, FakeOptions options = {}) : fake_(std::move(options)) {
    RegisterReferenceKernels(fake_);
    absl::StatusOr<Driver> driver = Driver::FromTable(fake_.table());
    EXPECT_TRUE(driver.ok()) << driver.status();
    driver_ = std::make_unique<Driver>(*driver);
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*driver_, 0);
    EXPECT_TRUE(device.ok()) << device.status();
    absl::StatusOr<std::unique_ptr<Allocator>> made =
        cuda::MakeAllocatorOn(*std::move(device), kind, {});
    EXPECT_TRUE(made.ok()) << made.status();
    allocator_ = *std::move(made);
  }

  // Whatever happened, it gave back what it took.
  ~Gpu() {
    EXPECT_EQ(allocator_->Stats().in_use_bytes, 0u);
    allocator_.reset();
    EXPECT_THAT(fake_.Violations(), IsEmpty());
    EXPECT_THAT(fake_.LeakReport(), IsEmpty());
  }

  FakeDriver& fake() { return fake_; }
  Allocator& allocator() { return *allocator_; }

 private:
  FakeDriver fake_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<Allocator> allocator_;
};

class CudaExecutorTest : public testing::Test {
 protected:
  void SetUp() override {
    const EmbeddedImage& image = ReferenceKernelImage();
    if (image.size == 0) GTEST_SKIP() << image.why_missing;
  }
};

class CudaRunTest : public CudaExecutorTest,
                    public testing::WithParamInterface<std::pair<SpaceKind, const char*>> {};

TEST_P(CudaRunTest, GivesTheBytesOfTheHost) {
  const Trace trace = DemoTrace(GetParam().second);
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  EXPECT_EQ(host->executor, "host");
  // Delays make the host run ahead of the device.
  Gpu gpu(GetParam().first, {.random_delay = absl::Microseconds(30)});
  const Plan plan = PlanOf(trace, gpu.allocator());
  for (const Plan* with : {static_cast<const Plan*>(nullptr), &plan}) {
    const absl::StatusOr<RunResult> run = RunOn(trace, gpu.allocator(), with);
    ASSERT_TRUE(run.ok()) << run.status();
    EXPECT_EQ(run->executor, "Fake H200");
    EXPECT_EQ(run->digests, host->digests);
    const absl::Status same = CompareRuns(trace, *host, *run);
    EXPECT_TRUE(same.ok()) << same;
  }
}

INSTANTIATE_TEST_SUITE_P(Spaces, CudaRunTest,
                         testing::Values(std::pair(cuda::kDeviceSpace, "odd_shapes"),
                                         std::pair(cuda::kDeviceSpace, "tiny_transformer"),
                                         std::pair(cuda::kUnifiedSpace, "odd_shapes"),
                                         std::pair(cuda::kPinnedSpace, "odd_shapes")),
                         [](const auto& param) {
                           return absl::StrCat(
                               absl::StrReplaceAll(param.param.first.name(), {{"-", ""}}), "_",
                               param.param.second);
                         });

// All arena bytes at one place: only the order of the kernels can save that, and it can't.
TEST_F(CudaExecutorTest, AWrongPlanIsCaughtByName) {
  const Trace trace = DemoTrace("tiny_transformer");
  Gpu gpu(cuda::kDeviceSpace);
  const Plan right = PlanOf(trace, gpu.allocator());
  const absl::StatusOr<RunResult> apart = RunOn(trace, gpu.allocator(), nullptr);
  ASSERT_TRUE(apart.ok()) << apart.status();
  Plan wrong = right;
  for (Placement& placement : wrong.placements) placement.offset_bytes = 0;
  const absl::StatusOr<RunResult> run = RunOn(trace, gpu.allocator(), &wrong, /*check_plan=*/false);
  ASSERT_TRUE(run.ok()) << run.status();
  const absl::Status caught = CompareRuns(trace, *apart, *run);
  EXPECT_EQ(caught.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StartsWith(caught.message(), "op ")) << caught;
  EXPECT_TRUE(absl::StrContains(caught.message(), "read other bytes")) << caught;
}

TEST_F(CudaExecutorTest, MappedWeightsAreCopied) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  Gpu gpu(cuda::kDeviceSpace);
  absl::StatusOr<std::unique_ptr<WeightSource>> weights =
      MappedWeights(trace, Registry::Default(), 1);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const absl::StatusOr<RunResult> run = RunTrace(trace, gpu.allocator(), **weights, {});
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->digests, host->digests);
}

// Less memory than all steps of the unplanned run take together: what is dropped must come back.
TEST_F(CudaExecutorTest, RunningAheadEndsWhereMemoryDoes) {
  const Trace trace = DemoTrace("tiny_convnet_train");
  CpuAllocator cpu;
  const absl::StatusOr<RunResult> host = RunOn(trace, cpu, nullptr);
  ASSERT_TRUE(host.ok()) << host.status();
  const uint64_t needed = cpu.Stats().peak_in_use_bytes;
  FakeOptions options;
  options.devices[0].memory_bytes = 3 * needed + (64 << 20);
  options.random_delay = absl::Microseconds(200);
  Gpu gpu(cuda::kDeviceSpace, options);
  const absl::StatusOr<RunResult> run = RunOn(trace, gpu.allocator(), nullptr);
  ASSERT_TRUE(run.ok()) << run.status();
  EXPECT_EQ(run->digests, host->digests);
}

// Whatever call of the driver fails, the run ends with an error and nothing is left behind.
TEST_F(CudaExecutorTest, EveryFailedCallIsToldAndLeaksNothing) {
  const Trace trace = DemoTrace("odd_shapes");
  Gpu gpu(cuda::kDeviceSpace);
  const Plan plan = PlanOf(trace, gpu.allocator());
  ASSERT_TRUE(RunOn(trace, gpu.allocator(), &plan).ok());
  for (const char* call :
       {"ModuleLoadData", "ModuleGetFunction", "StreamCreate", "MemAlloc", "MemsetD8Async",
        "LaunchKernel", "EventRecord", "MemcpyDtoHAsync", "StreamSynchronize"}) {
    int failures = 0;
    for (uint64_t nth = 1;; nth = nth < 6 ? nth + 1 : 2 * nth) {
      gpu.fake().FailCall(call, nth, CUDA_ERROR_NOT_PERMITTED);
      const absl::Status status = RunOn(trace, gpu.allocator(), &plan).status();
      gpu.fake().ClearFailures();
      if (status.ok()) break;
      ++failures;
      EXPECT_TRUE(absl::StrContains(status.message(), "(800)"))
          << call << " " << nth << ": " << status;
      EXPECT_EQ(gpu.allocator().Stats().in_use_bytes, 0u) << call << " " << nth;
    }
    EXPECT_GT(failures, 0) << call;
  }
}

TEST_F(CudaExecutorTest, AllocatorsOfOthersHaveNoDevice) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator cpu;
  const absl::Status status = MakeCudaExecutor(trace, cpu).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace tenure::cli
