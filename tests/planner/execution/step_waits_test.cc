#include "tenure/planner/execution/step_waits.h"

#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/tests/testing/random_schedule.h"

namespace tenure {
namespace {

using Waits = std::vector<std::vector<uint32_t>>;

SpecWindow Window(uint32_t storage, uint64_t begin = 0, uint64_t end = 64) {
  return {storage, begin, end};
}

// What each step waits for; storages have 64 bytes.
Waits WaitsOf(std::vector<SpecStep> steps, const std::vector<uint32_t>& queues,
              const std::vector<ReuseEdge>& edges = {}, OrderKind order = OrderKind::kTotal) {
  Spec spec{.order = order, .storages = std::vector<SpecStorage>(8), .steps = std::move(steps)};
  for (SpecStorage& storage : spec.storages) storage.size = 64;
  NullAllocator null;
  const Job job = MakeJob(spec, null);
  const StepWaits waits(job.schedule.steps(), order, edges, queues);
  Waits all;
  for (uint32_t s = 0; s < queues.size(); ++s) {
    all.emplace_back(waits.Of(s).begin(), waits.Of(s).end());
  }
  for (uint32_t s = 0; s < queues.size(); ++s) {
    bool waited_for = false;
    for (const auto& some : all) {
      for (uint32_t before : some) waited_for = waited_for || before == s;
    }
    EXPECT_EQ(waits.IsWaitedFor(s), waited_for) << s;
  }
  return all;
}

TEST(StepWaitsTest, OneQueueNeedsNone) {
  EXPECT_EQ(WaitsOf({{.writes = {Window(0)}}, {.reads = {Window(0)}}}, {0, 0}, {{0, 1}}),
            Waits({{}, {}}));
}

TEST(StepWaitsTest, HazardsAcrossQueues) {
  // Read after write, write after read, write after write; two reads are no hazard.
  EXPECT_EQ(WaitsOf({{.writes = {Window(0)}},
                     {.reads = {Window(0)}},
                     {.reads = {Window(0)}},
                     {.writes = {Window(0)}},
                     {.writes = {Window(0)}}},
                    {0, 1, 0, 1, 0}),
            Waits({{}, {0}, {}, {2}, {3}}));
}

TEST(StepWaitsTest, OnlyBytesThatAreShared) {
  EXPECT_EQ(WaitsOf({{.writes = {Window(0, 0, 32)}},
                     {.writes = {Window(0, 32, 64)}},
                     {.reads = {Window(0, 0, 32)}},
                     {.reads = {Window(0, 31, 33)}},
                     {.writes = {Window(0, 10, 10)}}},
                    {0, 1, 1, 2, 2}),
            Waits({{}, {}, {0}, {1, 0}, {}}));
}

TEST(StepWaitsTest, AWriteStandsForWhatItCovers) {
  // Step 3 waits for the write of step 2, which waited for both reads.
  EXPECT_EQ(WaitsOf({{.reads = {Window(0)}},
                     {.reads = {Window(0, 0, 8)}},
                     {.writes = {Window(0)}},
                     {.writes = {Window(0)}}},
                    {0, 1, 2, 0}),
            Waits({{}, {}, {1, 0}, {2}}));
}

TEST(StepWaitsTest, WaitsThatOthersImplyAreLeftOut) {
  // Step 2 needs steps 0 and 1, and step 1 has waited for step 0. Step 3 comes after step 2.
  EXPECT_EQ(WaitsOf({{.writes = {Window(0)}},
                     {.reads = {Window(0)}, .writes = {Window(1)}},
                     {.reads = {Window(0), Window(1)}},
                     {.reads = {Window(1)}}},
                    {0, 1, 2, 2}),
            Waits({{}, {0}, {1}, {}}));
}

TEST(StepWaitsTest, OfOneQueueTheLatestIsEnough) {
  EXPECT_EQ(
      WaitsOf({{.writes = {Window(0)}}, {.writes = {Window(1)}}, {.reads = {Window(0), Window(1)}}},
              {0, 0, 1}),
      Waits({{}, {}, {1}}));
}

TEST(StepWaitsTest, ReuseEdges) {
  const std::vector<SpecStep> steps = {
      {.writes = {Window(0)}}, {.writes = {Window(1)}}, {.writes = {Window(2)}}};
  EXPECT_EQ(WaitsOf(steps, {0, 1, 0}), Waits({{}, {}, {}}));
  EXPECT_EQ(WaitsOf(steps, {0, 1, 0}, {{1, 2}, {0, 1}}), Waits({{}, {0}, {1}}));
  EXPECT_EQ(WaitsOf(steps, {0, 1, 0}, {{0, 2}}), Waits({{}, {}, {}}));  // the queue's own order
}

TEST(StepWaitsTest, DependenciesAlone) {
  EXPECT_EQ(WaitsOf({{.writes = {Window(0)}},
                     {.writes = {Window(1)}, .after = {0}},
                     {.reads = {Window(0)}},
                     {.after = {0, 1, 2}}},
                    {0, 1, 1, 0}, {}, OrderKind::kDependencies),
            Waits({{}, {0}, {}, {2}}));
}

}  // namespace
}  // namespace tenure
