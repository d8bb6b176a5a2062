// Runs of recorded schedules: wrong plans are found out, and failures are told.

#include "tenure/tools/trace_run/trace_run.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/tests/tools/trace_run/demo_schedule.h"

namespace tenure::cli {
namespace {

RunResult RunDemo(const Trace& trace, Allocator& allocator, const RunOptions& options) {
  const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
  absl::StatusOr<RunResult> result = RunTrace(trace, allocator, *weights, options);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : RunResult();
}

// The ids of storages by the numbers that plans give them: in the order of their first use.
std::vector<uint32_t> StoragesByNumber(const Trace& trace) {
  std::vector<uint32_t> storages;
  for (const TraceOp& op : trace.ops) {
    for (const std::vector<uint32_t>* side : {&op.reads, &op.writes}) {
      for (uint32_t id : *side) {
        if (std::find(storages.begin(), storages.end(), trace.Base(id)) == storages.end()) {
          storages.push_back(trace.Base(id));
        }
      }
    }
  }
  return storages;
}

// Whether the op reads the storage, whole.
bool ReadsWhole(const Trace& trace, uint32_t op, uint32_t storage) {
  const std::vector<uint32_t>& reads = trace.ops[op].reads;
  return std::find(reads.begin(), reads.end(), storage) != reads.end();
}

class WrongPlanTest : public testing::TestWithParam<const char*> {};

TEST_P(WrongPlanTest, IsRefusedAndWhenForcedCaught) {
  const Trace trace = DemoTrace(GetParam());
  CpuAllocator cpu;
  const Plan right = PlanOf(trace, cpu);
  const RunResult apart = RunDemo(trace, cpu, {});
  const RunResult planned = RunDemo(trace, cpu, {.plan = &right});
  const absl::Status same = CompareRuns(trace, apart, planned);
  ASSERT_TRUE(same.ok()) << same;

  // `later` is laid over `victim`, which is read after the first write of `later`.
  const std::vector<uint32_t> storages = StoragesByNumber(trace);
  int tried = 0;
  for (size_t v = 0; v < right.placements.size() && tried < 12; ++v) {
    const Placement& victim = right.placements[v];
    if (!ReadsWhole(trace, victim.last_step, storages[victim.storage])) continue;
    for (size_t l = 0; l < right.placements.size(); ++l) {
      const Placement& later = right.placements[l];
      if (later.first_step <= victim.first_step || later.first_step >= victim.last_step ||
          later.arena != victim.arena || later.size_bytes == 0 ||
          later.size_bytes > victim.size_bytes) {
        continue;
      }
      ++tried;
      Plan wrong = right;
      wrong.placements[l].offset_bytes = victim.offset_bytes;
      const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
      const absl::Status refused = RunTrace(trace, cpu, *weights, {.plan = &wrong}).status();
      EXPECT_EQ(refused.code(), absl::StatusCode::kInternal) << refused;

      const RunResult run = RunDemo(trace, cpu, {.plan = &wrong, .check_plan = false});
      const absl::Status caught = CompareRuns(trace, apart, run);
      EXPECT_EQ(caught.code(), absl::StatusCode::kDataLoss) << caught;
      // The first op that goes wrong reads one of the two, or what else lay at that place.
      EXPECT_TRUE(absl::StartsWith(caught.message(), "op ")) << caught;
      EXPECT_TRUE(absl::StrContains(caught.message(), "read other bytes")) << caught;
      EXPECT_TRUE(absl::StrContains(caught.message(), "buffer ")) << caught;
      break;
    }
  }
  EXPECT_GT(tried, 3) << "the schedule has too few pairs to try";
}

INSTANTIATE_TEST_SUITE_P(Demos, WrongPlanTest,
                         testing::Values("tiny_transformer", "tiny_convnet_train"),
                         [](const auto& param) { return std::string(param.param); });

TEST(CompareRunsTest, NamesTheOpAndTheBufferExactly) {
  const Trace trace = DemoTrace("tiny_convnet_train");
  CpuAllocator cpu;
  const RunResult reference = RunDemo(trace, cpu, {});
  RunResult run = reference;
  ASSERT_GE(trace.ops[7].reads.size(), 1u);
  run.read_chain[7].back() ^= 1;
  const uint32_t read = trace.ops[7].reads.back();
  EXPECT_TRUE(absl::StartsWith(
      CompareRuns(trace, reference, run).message(),
      absl::StrCat("op 7 ('", trace.ops[7].name, "') read other bytes than in the unplanned run ",
                   "from ", DescribeTraceBuffer(trace, read))));

  run = reference;
  std::vector<uint8_t>& bytes = run.bytes.begin()->second;
  ASSERT_GT(bytes.size(), 5u);
  bytes[5] ^= 1;
  const absl::Status differs = CompareRuns(trace, reference, run);
  EXPECT_EQ(differs.code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(absl::StartsWith(differs.message(),
                               DescribeTraceBuffer(trace, reference.bytes.begin()->first)))
      << differs;
  EXPECT_TRUE(absl::StrContains(differs.message(), "from byte 5 on")) << differs;
}

TEST(RunTraceTest, SpacesThatTheHostCannotReachPointToThePlanAlone) {
  const Trace trace = DemoTrace("odd_shapes");
  NullAllocator null;
  const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
  const absl::Status status = RunTrace(trace, null, *weights, {}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(absl::StrContains(status.message(), "tenure plan --space=null")) << status;
}

// Fails each allocation of a run in turn: the run ends with an error that says where, and nothing
// is left allocated.
TEST(RunTraceTest, EveryFailedAllocationIsToldAndLeaksNothing) {
  const Trace trace = DemoTrace("odd_shapes");
  CpuAllocator plain;
  const Plan plan = PlanOf(trace, plain);
  for (const Plan* with : {static_cast<const Plan*>(nullptr), &plan}) {
    uint64_t n = 1;
    for (;; ++n) {
      FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), {.nth = n});
      const std::unique_ptr<WeightSource> weights = CopiedWeights(trace, 1);
      const absl::Status status = RunTrace(trace, faulty, *weights, {.plan = with}).status();
      EXPECT_EQ(faulty.Stats().in_use_bytes, 0u);
      EXPECT_EQ(faulty.Stats().in_use_count, 0u);
      if (faulty.faults() == 0) {
        EXPECT_TRUE(status.ok()) << status;
        break;
      }
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << n << ": " << status;
      EXPECT_GE(status.message().size(), 40u) << status;
    }
    EXPECT_GT(n, with == nullptr ? 20u : 5u);
  }
}

TEST(MappedWeightsTest, LongerThanAnyFileIsRefusedBeforeAByteIsWritten) {
  Trace trace;
  trace.name = "huge";
  for (uint32_t i = 0; i < 3; ++i) {
    TraceBuffer weight;
    weight.id = i;
    weight.bytes = uint64_t{3} << 62;
    weight.dtype = "uint8";
    weight.shape = {weight.bytes};
    weight.kind = TraceKind::kWeight;
    trace.buffers.push_back(weight);
  }
  for (uint64_t bytes : {uint64_t{3} << 62, uint64_t{1} << 60}) {
    for (TraceBuffer& weight : trace.buffers) weight.bytes = bytes;
    const absl::Status status = MappedWeights(trace, Registry::Default(), 1).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "--weights=copy")) << status;
  }
}

}  // namespace
}  // namespace tenure::cli
