// The order that an execution keeps: whatever the queues do, steps read what they read when every
// storage has memory of its own and one step runs after the other.

#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "held_queue.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/execution/execution.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/random_schedule.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using HeldQueues = std::vector<std::shared_ptr<HeldQueue>>;

HeldQueues MakeQueues(int count) {
  HeldQueues queues;
  for (int q = 0; q < count; ++q) queues.push_back(std::make_shared<HeldQueue>());
  return queues;
}

std::vector<std::shared_ptr<Queue>> AsQueues(const HeldQueues& queues) {
  return {queues.begin(), queues.end()};
}

// Gives a step's reads and writes to its queue, as two pieces. `read` has a place for each step.
absl::Status GiveStep(const StepContext& at, std::vector<uint64_t>& read) {
  auto& queue = static_cast<HeldQueue&>(at.queue);
  queue.Enqueue(
      [&at_step = at.step, number = at.number, &read] { read[number] = DoReads(number, at_step); });
  queue.Enqueue(
      [&at_step = at.step, number = at.number, &read] { DoWrites(at_step, read[number]); });
  return absl::OkStatus();
}

// Fresh arenas may be zeros, which would hide what is missing.
void SpoilArenas(const PlacedPlan& placed) {
  for (const Buffer& arena : placed.arenas) {
    if (arena.size() != 0) ASSERT_OK(arena.FillWith<uint8_t>(0xa5));
  }
}

// Two storages that take turns with the same bytes, written by queue 0 and read by queue 1.
Spec Turns() {
  Spec spec;
  spec.storages = {
      {.size = 64}, {.size = 64, .output = true}, {.size = 64}, {.size = 64, .output = true}};
  spec.steps.resize(4);
  spec.steps[0].writes = {{0, 0, 64}};
  spec.steps[1] = {.reads = {{0, 0, 64}}, .writes = {{1, 0, 64}}, .queue = 1};
  spec.steps[2].writes = {{2, 0, 64}};
  spec.steps[3] = {.reads = {{2, 0, 64}}, .writes = {{3, 0, 64}}, .queue = 1};
  return spec;
}

TEST(ExecutionOrderTest, AReuseEdgeHoldsTheSecondTenantBack) {
  CpuAllocator cpu;
  const Spec spec = Turns();
  const Job reference = MakeJob(spec, cpu);
  const Results expected = Execute(reference, OneByOne(4), {});

  Job job = MakeJob(spec, cpu);
  const absl::StatusOr<Plan> plan = MakePlan(job.schedule);
  ASSERT_OK(plan);
  ASSERT_EQ(plan->reuse_edges, (std::vector<ReuseEdge>{{1, 2}}));
  const absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, job.schedule);
  ASSERT_OK(placed);
  const HeldQueues queues = MakeQueues(2);
  absl::StatusOr<Execution> execution =
      Execution::Create(std::move(job.schedule), *placed, AsQueues(queues));
  ASSERT_OK(execution);
  std::vector<uint64_t> read(4);
  ASSERT_OK(execution->Run([&](const StepContext& at) { return GiveStep(at, read); }));
  // Everything is launched, and nothing has run.
  EXPECT_EQ(read, std::vector<uint64_t>(4));
  queues[1]->RunAll();
  EXPECT_EQ(read[1], 0u) << "step 1 has read what step 0 has not written";
  queues[0]->RunAll();
  EXPECT_NE(read[0], 0u);
  EXPECT_EQ(read[2], 0u) << "step 2 has written over what step 1 has not read";
  queues[1]->RunAll();
  EXPECT_EQ(read[1], expected.read[1]);
  EXPECT_EQ(read[3], 0u);
  queues[0]->RunAll();
  queues[1]->RunAll();
  EXPECT_EQ(read, expected.read);
  EXPECT_EQ(ContentsOfKept(job), expected.end);
  EXPECT_OK(execution->Wait());
}

struct Tally {
  size_t fills = 0, edges = 0;
};

void CheckRandom(uint64_t seed, bool dependencies, Tally& tally) {
  std::mt19937_64 random(seed);
  CpuAllocator cpu;
  const Spec spec = RandomSteps(random, {.dependencies = dependencies,
                                         .steps = static_cast<uint32_t>(4 + random() % 40),
                                         .queues = static_cast<uint32_t>(2 + random() % 2)});
  const auto count = static_cast<uint32_t>(spec.steps.size());
  const Results expected = Execute(MakeJob(spec, cpu), OneByOne(count), {});
  Job job = MakeJob(spec, cpu);
  PlacedPlan placed;
  if (random() % 8 != 0) {
    const absl::StatusOr<Plan> plan = MakePlan(job.schedule, {.fill_zeroed = true});
    ASSERT_OK(plan);
    absl::StatusOr<PlacedPlan> made = PlacePlan(*plan, job.schedule);
    ASSERT_OK(made);
    placed = *std::move(made);
    SpoilArenas(placed);
  }
  tally.fills += placed.fills.size();
  tally.edges += placed.reuse_edges.size();
  const HeldQueues queues = MakeQueues(3);
  absl::StatusOr<Execution> execution =
      Execution::Create(std::move(job.schedule), placed, AsQueues(queues));
  ASSERT_OK(execution);
  std::vector<uint64_t> read(count);
  ASSERT_OK(execution->Run([&](const StepContext& at) { return GiveStep(at, read); }));
  Drain(queues, random);
  ASSERT_EQ(read, expected.read) << "seed " << seed;
  ASSERT_EQ(ContentsOfKept(job), expected.end) << "seed " << seed;
}

TEST(ExecutionOrderTest, RandomSchedulesInTotalOrder) {
  Tally tally;
  for (uint64_t seed = 0; seed < 200 && !HasFatalFailure(); ++seed) CheckRandom(seed, false, tally);
  EXPECT_GT(tally.fills, 50u);
  EXPECT_GT(tally.edges, 500u);
}

TEST(ExecutionOrderTest, RandomSchedulesWithDependencies) {
  Tally tally;
  for (uint64_t seed = 0; seed < 200 && !HasFatalFailure(); ++seed) CheckRandom(seed, true, tally);
  EXPECT_GT(tally.fills, 50u);
}

// The second run is launched while the first has not begun, and both use the same bytes.
TEST(ExecutionOrderTest, TheSamePlacedPlanTwice) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    std::mt19937_64 random(seed);
    CpuAllocator cpu;
    const Spec spec = RandomSteps(random, {.steps = 20, .queues = 3});
    // Zeroed storages are not planned here: they keep their contents from run to run, as in the
    // reference.
    const Job reference = MakeJob(spec, cpu);
    const Results first = Execute(reference, OneByOne(20), {});
    const Results second = Execute(reference, OneByOne(20), {});
    Job job = MakeJob(spec, cpu);
    const absl::StatusOr<Plan> plan = MakePlan(job.schedule);
    ASSERT_OK(plan);
    const absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, job.schedule);
    ASSERT_OK(placed);
    SpoilArenas(*placed);
    const HeldQueues queues = MakeQueues(3);
    absl::StatusOr<Execution> execution =
        Execution::Create(std::move(job.schedule), *placed, AsQueues(queues));
    ASSERT_OK(execution);
    std::vector<uint64_t> read[2] = {std::vector<uint64_t>(20), std::vector<uint64_t>(20)};
    for (auto& of_run : read) {
      ASSERT_OK(execution->Run([&](const StepContext& at) { return GiveStep(at, of_run); }));
    }
    Drain(queues, random);
    ASSERT_EQ(read[0], first.read) << seed;
    ASSERT_EQ(read[1], second.read) << seed;
    ASSERT_EQ(ContentsOfKept(job), second.end) << seed;
    ASSERT_OK(execution->Wait());
  }
}

// A plan without fills reads what an earlier tenant has left: the fills are what makes zeros.
TEST(ExecutionOrderTest, StoragesPromisedAsZerosAreZeroed) {
  CpuAllocator cpu;
  Spec spec;
  spec.storages = {{.size = 64}, {.size = 64, .zeroed = true}, {.size = 64, .output = true}};
  spec.steps.resize(3);
  spec.steps[0].writes = {{0, 0, 64}};
  spec.steps[1] = {.reads = {{0, 0, 64}}, .writes = {{2, 0, 8}}, .queue = 1};
  spec.steps[2] = {.reads = {{1, 0, 64}}, .writes = {{2, 8, 64}}};
  const Results expected = Execute(MakeJob(spec, cpu), OneByOne(3), {});
  Job job = MakeJob(spec, cpu);
  const absl::StatusOr<Plan> plan = MakePlan(job.schedule, {.fill_zeroed = true});
  ASSERT_OK(plan);
  ASSERT_EQ(plan->arena_bytes, 64u);
  const absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, job.schedule);
  ASSERT_OK(placed);
  const HeldQueues queues = MakeQueues(2);
  absl::StatusOr<Execution> execution =
      Execution::Create(std::move(job.schedule), *placed, AsQueues(queues));
  ASSERT_OK(execution);
  std::vector<uint64_t> read(3);
  ASSERT_OK(execution->Run([&](const StepContext& at) { return GiveStep(at, read); }));
  std::mt19937_64 random(1);
  Drain(queues, random);
  EXPECT_EQ(read, expected.read);
}

TEST(ExecutionOrderTest, OneQueueForSeveralLanesAndNoWaits) {
  CpuAllocator cpu;
  const Spec spec = Turns();
  const Results expected = Execute(MakeJob(spec, cpu), OneByOne(4), {});
  Job job = MakeJob(spec, cpu);
  const HeldQueues queues = MakeQueues(1);
  queues[0]->RefuseWaits();
  absl::StatusOr<Execution> execution =
      Execution::Create(std::move(job.schedule), {}, {queues[0], queues[0]});
  ASSERT_OK(execution);
  std::vector<uint64_t> read(4);
  ASSERT_OK(execution->Run([&](const StepContext& at) { return GiveStep(at, read); }));
  queues[0]->RunAll();
  EXPECT_EQ(read, expected.read);
}

}  // namespace
}  // namespace tenure
