// Plans, executed: whatever the schedule, the mode and the interleaving, the planned run reads what
// the unplanned one reads.

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/validate_plan.h"
#include "tenure/tests/testing/random_schedule.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tools/trace/trace.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure {
namespace {

uint32_t StepCount(const Job& job) { return static_cast<uint32_t>(job.schedule.steps().size()); }

std::vector<std::pair<uint32_t, Buffer>> FillsOf(const PlacedPlan& placed) {
  std::vector<std::pair<uint32_t, Buffer>> fills;
  for (const PlacedFill& fill : placed.fills) fills.push_back({fill.step, fill.storage});
  return fills;
}

Edges WithReuse(Edges edges, const Plan& plan) {
  for (const ReuseEdge& e : plan.reuse_edges) edges.push_back({e.before, e.after});
  return edges;
}

// What the schedule computes with every storage apart.
Results Unplanned(const Spec& spec, CpuAllocator& cpu) {
  const Job job = MakeJob(spec, cpu);
  return Execute(job, OneByOne(StepCount(job)), {});
}

struct Tally {
  int plans = 0, shared = 0, in_place = 0, fills = 0, edges = 0, in_own_memory = 0;
};

// Lends the memory of inputs and outputs, or puts outputs into the arena.
void Lend(std::mt19937_64& random, Spec& spec) {
  for (SpecStorage& storage : spec.storages) {
    if (storage.output) storage.placement = static_cast<OutputPlacement>(random() % 3);
    storage.donated = storage.input && random() % 2 == 0;
  }
}

void CheckAllModes(uint64_t seed, bool dependencies, bool lend, Tally& tally) {
  std::mt19937_64 random(seed);
  CpuAllocator cpu;
  Spec spec = RandomSteps(
      random, {.dependencies = dependencies, .steps = static_cast<uint32_t>(4 + random() % 40)});
  if (lend) Lend(random, spec);
  const Results expected = Unplanned(spec, cpu);
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    PlanOptions options;
    options.mode = mode;
    options.alignment_bytes = uint64_t{1} << (random() % 8);
    options.fill_zeroed = random() % 4 != 0;
    options.in_place = random() % 4 != 0;
    options.max_searched = random() % 2 == 0 ? 0 : 2000;
    options.effort = random() % 4 == 0 ? packing::Effort::kBalanced : packing::Effort::kFast;
    Job job = MakeJob(spec, cpu);
    const absl::StatusOr<Plan> plan = MakePlan(job.schedule, options);
    ASSERT_OK(plan);
    const Edges edges = WithReuse(EdgesOf(spec), *plan);
    for (int run = 0; run < 4; ++run) {
      absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, job.schedule);
      ASSERT_OK(placed);
      // Fresh arenas may be zeros, which would hide what is missing.
      for (const Buffer& arena : placed->arenas) {
        // The memory of an input has contents.
        if (arena.size() == 0 || !absl::StartsWith(arena.name(), "arena")) continue;
        ASSERT_OK(arena.FillWith<uint8_t>(0xa5));
      }
      const auto events =
          run == 0 ? OneByOne(StepCount(job)) : Interleave(StepCount(job), edges, random);
      const Results results = Execute(job, events, FillsOf(*placed));
      ASSERT_EQ(results.read, expected.read)
          << "seed " << seed << ", mode " << PlanModeName(mode) << ", run " << run;
      ASSERT_EQ(results.end, expected.end);
      placed = absl::UnknownError("dropped");
      job = MakeJob(spec, cpu);
    }
    ++tally.plans;
    tally.shared += plan->arena_bytes < plan->unplanned_bytes ? 1 : 0;
    tally.in_place += static_cast<int>(plan->in_place.size());
    tally.fills += static_cast<int>(plan->fills.size());
    tally.edges += static_cast<int>(plan->reuse_edges.size());
    for (const Placement& p : plan->placements) {
      const std::optional<uint32_t> owner = plan->arenas[p.arena].memory_of;
      tally.in_own_memory += owner.has_value() && owner != p.storage ? 1 : 0;
    }
  }
}

TEST(ExecutionTest, TotalOrder) {
  Tally tally;
  for (uint64_t seed = 0; seed < 400 && !HasFatalFailure(); ++seed)
    CheckAllModes(seed, false, false, tally);
  // The random schedules are worth something.
  EXPECT_GT(tally.shared, tally.plans / 4);
  EXPECT_GT(tally.in_place, 50);
  EXPECT_GT(tally.fills, 50);
  EXPECT_GT(tally.edges, 500);
}

TEST(ExecutionTest, Dependencies) {
  Tally tally;
  for (uint64_t seed = 0; seed < 400 && !HasFatalFailure(); ++seed)
    CheckAllModes(seed, true, false, tally);
  EXPECT_GT(tally.shared, tally.plans / 8);
  EXPECT_GT(tally.in_place, 50);
  EXPECT_GT(tally.fills, 50);
  EXPECT_EQ(tally.edges, 0);
}

TEST(ExecutionTest, LentMemory) {
  for (bool dependencies : {false, true}) {
    Tally tally;
    for (uint64_t seed = 0; seed < 400 && !HasFatalFailure(); ++seed)
      CheckAllModes(seed, dependencies, true, tally);
    EXPECT_GT(tally.in_own_memory, 80);
    EXPECT_GT(tally.in_place, 50);
    EXPECT_GT(tally.fills, 50);
  }
}

// Storages with many touches, and with many that no hazard orders.
TEST(ExecutionTest, ManyTouches) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    CpuAllocator cpu;
    Spec spec;
    spec.storages = {{.size = 64, .input = true}};
    std::vector<uint32_t> group;
    for (uint32_t s = 0; s < 120; ++s) {
      SpecStep step;
      if (s % 30 == 0) {
        group.push_back(static_cast<uint32_t>(spec.storages.size()));
        spec.storages.push_back({.size = 320, .zeroed = seed % 2 == 0});
        step.writes.push_back({group.back(), 0, 320});
      } else {
        const uint64_t begin = random() % 40 * 8;
        const SpecWindow window{group.back(), begin, begin + 8 * (1 + random() % 2)};
        const SpecWindow cut{window.storage, window.begin, std::min<uint64_t>(window.end, 320)};
        (random() % 3 == 0 || s % 30 < 12 ? step.reads : step.writes).push_back(cut);
        spec.storages.push_back({.size = 16, .output = true});
        step.writes.push_back({static_cast<uint32_t>(spec.storages.size() - 1), 0, 16});
      }
      spec.steps.push_back(step);
    }
    const Results expected = Unplanned(spec, cpu);
    const Job job = MakeJob(spec, cpu);
    PlanOptions options;
    options.in_place = false;
    const auto plan = MakePlan(job.schedule, options);
    ASSERT_OK(plan);
    EXPECT_LT(plan->reuse_edges.size(), 3 * 120u);
    ASSERT_OK(PlacePlan(*plan, job.schedule));
    const auto events = Interleave(120, WithReuse(EdgesOf(spec), *plan), random);
    ASSERT_EQ(Execute(job, events, {}).read, expected.read) << seed;
  }
}

// --- what is wrong must be seen
// ---------------------------------------------------------------------

// Two storages that take turns with the same bytes:
//   s0 writes a, s1 reads it; s2 writes b, s3 reads it; s1 and s3 write outputs
Spec Turns() {
  Spec spec;
  spec.storages = {
      {.size = 64}, {.size = 64, .output = true}, {.size = 64}, {.size = 64, .output = true}};
  spec.steps.resize(4);
  spec.steps[0].writes = {{0, 0, 64}};
  spec.steps[1].reads = {{0, 0, 64}};
  spec.steps[1].writes = {{1, 0, 64}};
  spec.steps[2].writes = {{2, 0, 64}};
  spec.steps[3].reads = {{2, 0, 64}};
  spec.steps[3].writes = {{3, 0, 64}};
  return spec;
}

// Whether some interleaving of the planned run differs from the unplanned one.
bool CanFail(const Spec& spec, const Plan& plan, const Edges& edges, int tries) {
  CpuAllocator cpu;
  const Results expected = Unplanned(spec, cpu);
  std::mt19937_64 random(17);
  for (int t = 0; t < tries; ++t) {
    const Job job = MakeJob(spec, cpu);
    const auto placed = internal::PlaceUnchecked(plan, job.schedule);
    EXPECT_OK(placed);
    if (!placed.ok()) return false;
    const auto events = Interleave(StepCount(job), edges, random);
    if (Execute(job, events, FillsOf(*placed)) != expected) return true;
  }
  return false;
}

TEST(ExecutionTest, WithoutItsReuseEdgeATurnGoesWrong) {
  CpuAllocator cpu;
  const Spec spec = Turns();
  const auto plan = MakePlan(MakeJob(spec, cpu).schedule);
  ASSERT_OK(plan);
  ASSERT_EQ(plan->arena_bytes, 64u);
  ASSERT_EQ(plan->reuse_edges, (std::vector<ReuseEdge>{{1, 2}}));
  EXPECT_FALSE(CanFail(spec, *plan, WithReuse(EdgesOf(spec), *plan), 50));
  EXPECT_TRUE(CanFail(spec, *plan, EdgesOf(spec), 50));
}

// No edge is there for nothing: of a random schedule's, each that others do not imply.
TEST(ExecutionTest, EveryReuseEdgeThatOthersDoNotImplyIsNeeded) {
  CpuAllocator cpu;
  int needed = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    std::mt19937_64 random(seed);
    const Spec spec = RandomSteps(random, {.steps = 14, .queues = 1, .max_size = 100});
    PlanOptions options;
    options.in_place = false;
    const auto plan = MakePlan(MakeJob(spec, cpu).schedule, options);
    ASSERT_OK(plan);
    for (size_t e = 0; e < plan->reuse_edges.size(); ++e) {
      Plan fewer = *plan;
      fewer.reuse_edges.erase(fewer.reuse_edges.begin() + static_cast<ptrdiff_t>(e));
      const Edges edges = WithReuse(EdgesOf(spec), fewer);
      // Reachable without it?
      std::vector<bool> reached(spec.steps.size(), false);
      reached[plan->reuse_edges[e].before] = true;
      Edges sorted = edges;
      std::sort(sorted.begin(), sorted.end());
      for (const auto& [before, after] : sorted) {
        if (reached[before]) reached[after] = true;
      }
      if (reached[plan->reuse_edges[e].after]) continue;
      EXPECT_CODE(Internal, ValidatePlan(fewer, MakeJob(spec, cpu).schedule));
      needed += CanFail(spec, fewer, edges, 40) ? 1 : 0;
    }
  }
  EXPECT_GT(needed, 20);
}

TEST(ExecutionTest, APlanMadeToOverlapIsSeen) {
  int seen = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (bool dependencies : {false, true}) {
      std::mt19937_64 random(seed);
      CpuAllocator cpu;
      Spec spec = RandomSteps(random, {.dependencies = dependencies, .steps = 20, .queues = 1});
      // Two that are written before either is read.
      const auto x = static_cast<uint32_t>(spec.storages.size());
      spec.storages.push_back({.size = 128});
      spec.storages.push_back({.size = 128});
      const auto n = static_cast<uint32_t>(spec.steps.size());
      spec.steps.push_back({.writes = {{x, 0, 128}}});
      spec.steps.push_back({.writes = {{x + 1, 0, 128}}});
      spec.steps.push_back({.reads = {{x, 0, 128}, {x + 1, 0, 128}}});
      if (dependencies) spec.steps.back().after = {n, n + 1};
      const Job job = MakeJob(spec, cpu);
      auto plan = MakePlan(job.schedule);
      ASSERT_OK(plan);
      Placement *a = nullptr, *b = nullptr;
      for (Placement& p : plan->placements) {
        if (p.first_step == n) a = &p;
        if (p.first_step == n + 1) b = &p;
      }
      ASSERT_TRUE(a != nullptr && b != nullptr);
      b->offset_bytes = a->offset_bytes;
      b->arena = a->arena;
      EXPECT_CODE(Internal, ValidatePlan(*plan, job.schedule));
      EXPECT_CODE(Internal, PlacePlan(*plan, job.schedule));
      seen += CanFail(spec, *plan, WithReuse(EdgesOf(spec), *plan), 5) ? 1 : 0;
    }
  }
  EXPECT_EQ(seen, 40);
}

// --- recorded schedules
// -----------------------------------------------------------------------------

TEST(ExecutionTest, RecordedSchedulesReachTheBound) {
  CpuAllocator cpu;
  for (const std::string name : {"odd_shapes", "tiny_convnet_train", "tiny_transformer"}) {
    const auto trace = ReadTrace("tools/demo_schedules/" + name + ".json.gz");
    ASSERT_OK(trace);
    const auto job = cli::MakeTraceJob(*trace, cpu);
    ASSERT_OK(job);
    for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
      PlanOptions options;
      options.mode = mode;
      options.fill_zeroed = true;
      const auto plan = MakePlan(job->schedule, options);
      ASSERT_OK(plan);
      EXPECT_TRUE(plan->optimal) << name;
      for (const NotPlanned& n : plan->not_planned) {
        EXPECT_TRUE(n.reason == PlanReason::kInput || n.reason == PlanReason::kOutput)
            << name << ": " << n.name << " " << PlanReasonName(n.reason);
      }
    }
  }
}

// Whatever the outputs do, all placed bytes together are at least those that live at once. Outputs
// in the arena reach that; reused ones come closer to it than outputs of their own.
TEST(ExecutionTest, OutputsInTheArenaReachTheLivePeak) {
  CpuAllocator cpu;
  for (const std::string name : {"odd_shapes", "tiny_convnet_train", "tiny_transformer"}) {
    const auto trace = ReadTrace("tools/demo_schedules/" + name + ".json.gz");
    ASSERT_OK(trace);
    const auto bytes_with = [&](OutputPlacement placement, bool& optimal) {
      const auto job = cli::MakeTraceJob(*trace, cpu, {}, OrderKind::kTotal, placement);
      const auto plan = MakePlan(job->schedule, {.fill_zeroed = true});
      optimal = plan->optimal;
      uint64_t bytes = plan->arena_bytes;
      for (const NotPlanned& n : plan->not_planned) {
        if (n.reason == PlanReason::kOutput) bytes += (n.size_bytes + 63) / 64 * 64;
      }
      return bytes;
    };
    bool optimal = false;
    const uint64_t own = bytes_with(OutputPlacement::kOwn, optimal);
    const uint64_t reused = bytes_with(OutputPlacement::kReused, optimal);
    const uint64_t in_arena = bytes_with(OutputPlacement::kInArena, optimal);
    EXPECT_TRUE(optimal) << name;
    EXPECT_LE(in_arena, own) << name;
    EXPECT_LE(in_arena, reused) << name;
    EXPECT_LE(reused, own) << name;
    EXPECT_TRUE(in_arena < own || name == "tiny_convnet_train") << name;
  }
}

}  // namespace
}  // namespace tenure
