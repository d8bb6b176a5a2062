#include "tenure/planner/planner.h"

#include <atomic>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/validate_plan.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

Plan PlanOf(const Sketch& sketch, const PlanOptions& options = {}) {
  absl::StatusOr<Plan> plan = MakePlan(sketch.schedule, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  if (!plan.ok()) return Plan();
  if (!options.ignore_outside_handles) EXPECT_OK(ValidatePlan(*plan, sketch.schedule));
  const absl::StatusOr<Plan> again = MakePlan(sketch.schedule, options);
  EXPECT_TRUE(again.ok() && *again == *plan) << "not deterministic";
  return *std::move(plan);
}

PlanOptions Mode(PlanMode mode) {
  PlanOptions options;
  options.mode = mode;
  return options;
}

// x0 -> x1 -> ... -> x(n-1): each step reads one and writes the next.
void AddChain(Sketch& sketch, int n, uint64_t bytes) {
  for (int i = 0; i < n; ++i) {
    sketch.Add(absl::StrCat("x", i), bytes);
    std::vector<std::string> reads;
    if (i > 0) reads.push_back(absl::StrCat("x", i - 1));
    sketch.Step(absl::StrCat("s", i), reads, {absl::StrCat("x", i)});
  }
}

TEST(PlannerTest, AChainNeedsTwo) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    Sketch sketch;
    AddChain(sketch, 10, 100);
    sketch.Release();
    const Plan plan = PlanOf(sketch, Mode(mode));
    EXPECT_EQ(plan.placements.size(), 10u);
    EXPECT_EQ(plan.unplanned_bytes, 1280u);
    EXPECT_EQ(plan.arena_bytes, 256u);
    EXPECT_EQ(plan.lower_bound_bytes, 256u);
    EXPECT_TRUE(plan.optimal);
    EXPECT_FALSE(plan.deadline_hit);
    EXPECT_EQ(plan.arenas.size(), mode == PlanMode::kArena ? 1u : 2u);
    EXPECT_EQ(plan.arenas[0].alignment_bytes, 64u);
    EXPECT_EQ(plan.arenas[0].space, MemorySpace::Null());
    EXPECT_EQ(plan.name, "sketch");
    EXPECT_EQ(plan.mode, mode);
    EXPECT_FALSE(ShareBytes(sketch.At(plan, "x3"), sketch.At(plan, "x4")));
    EXPECT_EQ(sketch.At(plan, "x3").first_step, 3u);
    EXPECT_EQ(sketch.At(plan, "x3").last_step, 4u);
  }
}

TEST(PlannerTest, ModeNonePlacesNothing) {
  Sketch sketch;
  AddChain(sketch, 4, 100);
  sketch.schedule.MarkOutput(sketch["x3"]);
  sketch.Release();
  const Plan plan = PlanOf(sketch, Mode(PlanMode::kNone));
  EXPECT_TRUE(plan.placements.empty());
  EXPECT_TRUE(plan.arenas.empty());
  EXPECT_EQ(plan.not_planned.size(), 4u);
  EXPECT_EQ(Sketch::Why(plan, "x0").reason, PlanReason::kModeNone);
  EXPECT_EQ(Sketch::Why(plan, "x3").reason, PlanReason::kOutput);
  EXPECT_EQ(plan.arena_bytes, 0u);
  EXPECT_TRUE(plan.optimal);
}

TEST(PlannerTest, ArenaSplitsAndRemapDoesNot) {
  // Two small ones live after a large one: only an arena may put both into its bytes.
  Sketch sketch;
  sketch.Add("large", 256);
  sketch.Add("a", 128);
  sketch.Add("b", 128);
  sketch.Step("s0", {}, {"large"});
  sketch.Step("s1", {}, {"a", "b"});
  sketch.Step("s2", {"a", "b"}, {});
  sketch.Release();
  EXPECT_EQ(PlanOf(sketch).arena_bytes, 256u);
  const Plan remap = PlanOf(sketch, Mode(PlanMode::kRemap));
  EXPECT_EQ(remap.arena_bytes, 512u);
  EXPECT_EQ(remap.lower_bound_bytes, 512u);
  EXPECT_EQ(remap.arenas.size(), 3u);
}

// A slot has the largest alignment of the storages that use it.
TEST(PlannerTest, RemapReusesSlotsWhateverTheAlignment) {
  Sketch sketch;
  sketch.Add("a", 64);
  sketch.Add("b", 64, {.alignment_bytes = 128});
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {}, {"b"});
  sketch.Release();
  const Plan plan = PlanOf(sketch, Mode(PlanMode::kRemap));
  ASSERT_EQ(plan.arenas.size(), 1u);
  EXPECT_EQ(plan.arenas[0].size_bytes, 64u);
  EXPECT_EQ(plan.arenas[0].alignment_bytes, 128u);
  EXPECT_TRUE(plan.optimal);
}

TEST(PlannerTest, RemapGoesByRoundedSize) {
  Sketch sketch;
  sketch.Add("a", 100);
  sketch.Add("b", 128);
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {}, {"b"});
  sketch.Release();
  const Plan plan = PlanOf(sketch, Mode(PlanMode::kRemap));
  EXPECT_EQ(plan.arenas.size(), 1u);
  EXPECT_TRUE(ShareBytes(sketch.At(plan, "a"), sketch.At(plan, "b")));
}

TEST(PlannerTest, NothingToPlan) {
  Schedule empty("empty");
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    const auto plan = MakePlan(empty, Mode(mode));
    ASSERT_OK(plan);
    EXPECT_TRUE(plan->optimal);
    EXPECT_TRUE(plan->arenas.empty());
    EXPECT_OK(ValidatePlan(*plan, empty));
  }
}

TEST(PlannerTest, StoragesWithoutBytes) {
  for (PlanMode mode : {PlanMode::kRemap, PlanMode::kArena}) {
    Sketch sketch;
    sketch.Add("empty", 0);
    sketch.Add("a", 64);
    sketch.Step("s0", {}, {"a", "empty"});
    sketch.Step("s1", {"a", "empty"}, {});
    sketch.Release();
    const Plan plan = PlanOf(sketch, Mode(mode));
    EXPECT_EQ(plan.arena_bytes, 64u);
    EXPECT_EQ(sketch.At(plan, "empty").size_bytes, 0u);
    EXPECT_TRUE(sketch.At(plan, "a").exclusive);
  }
}

TEST(PlannerTest, Options) {
  Sketch sketch;
  AddChain(sketch, 2, 10);
  for (uint64_t alignment : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 33, ~uint64_t{0}}) {
    PlanOptions options;
    options.alignment_bytes = alignment;
    EXPECT_CODE(InvalidArgument, MakePlan(sketch.schedule, options));
  }
  PlanOptions options;
  options.max_threads = 0;
  EXPECT_CODE(InvalidArgument, MakePlan(sketch.schedule, options));
  options.max_threads = 1;
  options.alignment_bytes = 1;
  sketch.Release();
  EXPECT_EQ(PlanOf(sketch, options).arena_bytes, 20u);
  options.alignment_bytes = 4096;
  EXPECT_EQ(PlanOf(sketch, options).arena_bytes, 8192u);
}

TEST(PlannerTest, StoragesMayAskForMoreAlignment) {
  for (PlanMode mode : {PlanMode::kRemap, PlanMode::kArena}) {
    Sketch sketch;
    sketch.Add("small", 64);
    sketch.Add("strict", 64, {.alignment_bytes = 1024});
    sketch.Add("loose", 64, {.alignment_bytes = 8});
    sketch.Step("s", {}, {"small", "strict", "loose"});
    sketch.Release();
    const Plan plan = PlanOf(sketch, Mode(mode));
    const Placement strict = sketch.At(plan, "strict");
    EXPECT_EQ(strict.offset_bytes % 1024, 0u);
    EXPECT_EQ(plan.arenas[strict.arena].alignment_bytes, 1024u);
    EXPECT_EQ(sketch.At(plan, "loose").offset_bytes % 64, 0u);
  }
}

TEST(PlannerTest, WhatIsHeldIsListedWithTheReason) {
  Sketch sketch;
  AddChain(sketch, 4, 100);
  sketch.Release({"x1"});
  const Plan plan = PlanOf(sketch);
  ASSERT_EQ(plan.not_planned.size(), 1u);
  const NotPlanned& n = plan.not_planned[0];
  EXPECT_EQ(n.name, "x1");
  EXPECT_EQ(n.reason, PlanReason::kOutsideHandles);
  EXPECT_EQ(n.detail, "1 handle outside the schedule");
  EXPECT_EQ(n.size_bytes, 100u);
  EXPECT_EQ(sketch.Find(plan, "x1"), nullptr);

  PlanOptions options;
  options.ignore_outside_handles = true;
  const Plan looked_at = PlanOf(sketch, options);
  EXPECT_NE(sketch.Find(looked_at, "x1"), nullptr);
  EXPECT_CODE(FailedPrecondition, PlacePlan(looked_at, sketch.schedule));
}

TEST(PlannerTest, RefusesWhatLivenessRefuses) {
  Sketch sketch;
  sketch.Add("h", 64);
  sketch.Step("matmul", {"h"}, {});
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena})
    EXPECT_CODE(InvalidArgument, MakePlan(sketch.schedule, Mode(mode)));
}

// --- taking over in place ------------------------------------------------------------------------

// x -> relu -> y, with the permission.
struct InPlaceSketch {
  explicit InPlaceSketch(OrderKind order = OrderKind::kTotal) : sketch(order) {}
  void Build(const BufferOptions& in = {}, const BufferOptions& out = {}, uint64_t out_bytes = 64) {
    sketch.Add("x", 64, in);
    sketch.Add("y", out_bytes, out);
    sketch.Step("make", {}, {"x"});
  }
  void Relu(const std::vector<std::string>& reads, const std::vector<std::string>& writes,
            uint32_t queue = 0) {
    StepExtras extras{.queue = queue, .in_place = {{0, 0}}};
    if (sketch.schedule.order() == OrderKind::kDependencies) extras.after = {0};
    sketch.Step("relu", reads, writes, extras);
  }
  // Whether y was written in place of x.
  bool Plan(const PlanOptions& options = {}) {
    sketch.Release();
    const tenure::Plan plan = PlanOf(sketch, options);
    if (plan.in_place.empty()) return false;
    EXPECT_EQ(plan.in_place[0].step, 1u);
    EXPECT_EQ(plan.in_place[0].input, sketch.Number("x"));
    EXPECT_EQ(plan.in_place[0].output, sketch.Number("y"));
    EXPECT_EQ(sketch.At(plan, "x").offset_bytes, sketch.At(plan, "y").offset_bytes);
    EXPECT_EQ(sketch.At(plan, "x").arena, sketch.At(plan, "y").arena);
    EXPECT_FALSE(sketch.At(plan, "x").exclusive);
    EXPECT_EQ(plan.arena_bytes, 64u);
    return true;
  }
  Sketch sketch;
};

TEST(PlannerInPlaceTest, Legal) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    InPlaceSketch t;
    t.Build();
    t.Relu({"x"}, {"y"});
    EXPECT_TRUE(t.Plan(Mode(mode)));
  }
  InPlaceSketch t(OrderKind::kDependencies);
  t.Build();
  t.Relu({"x"}, {"y"});
  EXPECT_TRUE(t.Plan());
}

TEST(PlannerInPlaceTest, OnlyWhenAllowed) {
  InPlaceSketch t;
  t.Build();
  t.Relu({"x"}, {"y"});
  PlanOptions options;
  options.in_place = false;
  EXPECT_FALSE(t.Plan(options));
  InPlaceSketch without;
  without.Build();
  without.sketch.Step("relu", {"x"}, {"y"});
  EXPECT_FALSE(without.Plan());
}

TEST(PlannerInPlaceTest, NotBeforeTheLastUse) {
  InPlaceSketch t;
  t.Build();
  t.Relu({"x"}, {"y"});
  t.sketch.Step("later", {"x", "y"}, {});
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotWithAnOutputThatWasUsedBefore) {
  InPlaceSketch t;
  t.Build();
  t.sketch.buffers.at("y");
  t.sketch.Step("early", {}, {"y"});
  t.sketch.Step("relu", {"x"}, {"y"}, {.in_place = {{0, 0}}});
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotBesideAnUnorderedUse) {
  // A sibling reads x at the same time, though it stands before in the list.
  InPlaceSketch t(OrderKind::kDependencies);
  t.Build();
  t.sketch.Add("z", 64);
  t.sketch.Step("sibling", {"x"}, {"z"}, {.after = {0}});
  t.sketch.Step("relu", {"x"}, {"y"}, {.after = {0}, .in_place = {{0, 0}}});
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotOfAnotherSize) {
  InPlaceSketch t;
  t.Build({}, {}, 63);  // the same when rounded up
  t.Relu({"x"}, {"y"});
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotByPieces) {
  for (const auto& [read, write] :
       std::vector<std::pair<std::string, std::string>>{{"x[0:32]", "y"}, {"x", "y[0:32]"}}) {
    InPlaceSketch t;
    t.Build();
    t.Relu({read}, {write});
    EXPECT_FALSE(t.Plan());
  }
}

TEST(PlannerInPlaceTest, NotWhenTheStepTouchesOneTwice) {
  for (const auto& reads : std::vector<std::vector<std::string>>{{"x", "x"}, {"x", "x[0:1]"}}) {
    InPlaceSketch t;
    t.Build();
    t.Relu(reads, {"y"});
    EXPECT_FALSE(t.Plan());
  }
  InPlaceSketch t;
  t.Build();
  t.Relu({"x"}, {"y", "y[0:8]"});
  EXPECT_FALSE(t.Plan());
  InPlaceSketch both;
  both.Build();
  both.Relu({"x"}, {"y", "x"});
  EXPECT_FALSE(both.Plan());
}

TEST(PlannerInPlaceTest, NotAcrossQueues) {
  InPlaceSketch t;
  t.Build();
  t.Relu({"x"}, {"y"}, 1);
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotAcrossAllocators) {
  NullAllocator other;
  InPlaceSketch t;
  t.sketch.Add("x", 64);
  t.sketch.Add("y", 64, {}, &other);
  t.sketch.Step("make", {}, {"x"});
  t.Relu({"x"}, {"y"});
  EXPECT_FALSE(t.Plan());
}

TEST(PlannerInPlaceTest, NotWhatIsNotPlanned) {
  for (int which = 0; which < 5; ++which) {
    InPlaceSketch t;
    t.Build();
    t.Relu({"x"}, {"y"});
    const Buffer x = t.sketch["x"], y = t.sketch["y"];
    if (which == 0) t.sketch.schedule.MarkInput(x);
    if (which == 1) t.sketch.schedule.MarkOutput(y);
    if (which == 2) t.sketch.schedule.Hold(x, "why not");
    if (which == 3) {
      ASSERT_OK(y.Seal());
    }
    // 4: held by this test
    EXPECT_FALSE(t.Plan()) << which;
  }
}

TEST(PlannerInPlaceTest, NotAnOutputThatIsFilledFirst) {
  InPlaceSketch t;
  t.Build({}, {.zeroed = true});
  t.sketch.Step("relu", {"x", "y[0:8]"}, {"y"}, {.in_place = {{0, 0}}});
  PlanOptions options;
  options.fill_zeroed = true;
  EXPECT_FALSE(t.Plan(options));
}

TEST(PlannerInPlaceTest, Chains) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    Sketch sketch;
    for (int i = 0; i < 6; ++i) sketch.Add(absl::StrCat("x", i), 64, {.alignment_bytes = 1u << i});
    sketch.Step("make", {}, {"x0"});
    for (int i = 1; i < 6; ++i) {
      sketch.Step("op", {absl::StrCat("x", i - 1)}, {absl::StrCat("x", i)}, {.in_place = {{0, 0}}});
    }
    sketch.Release();
    const Plan plan = PlanOf(sketch, Mode(mode));
    EXPECT_EQ(plan.in_place.size(), 5u);
    EXPECT_EQ(plan.arena_bytes, 64u);
    EXPECT_EQ(plan.unplanned_bytes, 6 * 64u);
    EXPECT_TRUE(plan.optimal);
    for (const ReuseEdge& e : plan.reuse_edges) EXPECT_LT(e.before, e.after);
  }
}

TEST(PlannerInPlaceTest, OneTakerForEachInput) {
  Sketch sketch;
  for (const char* name : {"x", "y", "z"}) sketch.Add(name, 64);
  sketch.Step("make", {}, {"x"});
  sketch.Step("split", {"x"}, {"y", "z"}, {.in_place = {{0, 0}, {0, 1}}});
  sketch.Step("use", {"y", "z"}, {});
  sketch.Release();
  const Plan plan = PlanOf(sketch);
  EXPECT_EQ(plan.in_place.size(), 1u);
  EXPECT_EQ(plan.arena_bytes, 128u);
  EXPECT_FALSE(ShareBytes(sketch.At(plan, "y"), sketch.At(plan, "z")));
}

// --- queues, spaces, limits ----------------------------------------------------------------------

TEST(PlannerArenasTest, QueuesHaveArenasOfTheirOwn) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    Sketch sketch;
    for (int i = 0; i < 4; ++i) {
      sketch.Add(absl::StrCat("x", i), 64);
      sketch.Step("s", {}, {absl::StrCat("x", i)}, {.queue = static_cast<uint32_t>(i % 2)});
    }
    // Touched by both queues: belongs to the first one.
    sketch.Step("both", {"x1"}, {}, {.queue = 0});
    sketch.Release();
    const Plan plan = PlanOf(sketch, Mode(mode));
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(plan.arenas[sketch.At(plan, absl::StrCat("x", i)).arena].queue,
                static_cast<uint32_t>(i % 2));
    }
    EXPECT_EQ(sketch.At(plan, "x0").arena, sketch.At(plan, "x2").arena);
    EXPECT_EQ(plan.arena_bytes, 64 + 128u);
    EXPECT_EQ(plan.lower_bound_bytes, 64 + 128u);
  }
}

TEST(PlannerArenasTest, SpacesAreApart) {
  NullAllocator card(NullAllocator::DefaultTraits(), *MemorySpace::Parse("cuda:0"));
  NullAllocator twin(NullAllocator::DefaultTraits(), *MemorySpace::Parse("cuda:0"));
  Sketch sketch;
  sketch.Add("host", 64);
  sketch.Add("card", 64, {}, &card);
  sketch.Add("card2", 64, {}, &card);
  sketch.Add("twin", 64, {}, &twin);  // the same space by another allocator
  for (const char* name : {"host", "card", "card2", "twin"}) sketch.Step("s", {}, {name});
  sketch.Release();
  const Plan plan = PlanOf(sketch);
  ASSERT_EQ(plan.arenas.size(), 3u);
  EXPECT_EQ(plan.arenas[sketch.At(plan, "host").arena].space, MemorySpace::Null());
  EXPECT_EQ(plan.arenas[sketch.At(plan, "card").arena].space.ToString(), "cuda:0");
  EXPECT_EQ(sketch.At(plan, "card").arena, sketch.At(plan, "card2").arena);
  EXPECT_NE(sketch.At(plan, "card").arena, sketch.At(plan, "twin").arena);
  const auto placed = PlacePlan(plan, sketch.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(card.Stats().in_use_bytes, 64u);
  EXPECT_EQ(twin.Stats().in_use_bytes, 64u);
  // Before the allocators go.
  PlacedPlan given = *placed;
  ASSERT_OK(UnplacePlan(std::move(given)));
}

SpaceTraits Limited(uint64_t bytes) {
  SpaceTraits traits = NullAllocator::DefaultTraits();
  traits.max_allocation_bytes = bytes;
  return traits;
}

TEST(PlannerArenasTest, BeyondTheLargestAllocationArenasAreSplit) {
  for (OrderKind kind : {OrderKind::kTotal, OrderKind::kDependencies}) {
    for (uint32_t max_searched : {0u, 2000u}) {
      NullAllocator device(Limited(256));
      Sketch sketch(kind);
      std::vector<std::string> all;
      for (int i = 0; i < 10; ++i) {
        all.push_back(absl::StrCat("x", i));
        sketch.Add(all.back(), 64 + 64 * static_cast<uint64_t>(i % 3), {}, &device);
      }
      sketch.Step("make", {}, all);
      sketch.Release();
      PlanOptions options;
      options.max_searched = max_searched;
      const Plan plan = PlanOf(sketch, options);
      EXPECT_TRUE(plan.not_planned.empty());
      uint64_t sum = 0;
      for (const PlanArena& arena : plan.arenas) {
        EXPECT_LE(arena.size_bytes, 256u);
        sum += arena.size_bytes;
      }
      EXPECT_EQ(sum, plan.arena_bytes);
      EXPECT_EQ(plan.unplanned_bytes, 64 * (4 * 1 + 3 * 2 + 3 * 3u));
      EXPECT_EQ(plan.arena_bytes, plan.unplanned_bytes);
      EXPECT_TRUE(plan.optimal);
      EXPECT_LE(plan.arenas.size(), 6u);
      const auto placed = PlacePlan(plan, sketch.schedule);
      ASSERT_OK(placed);
      EXPECT_EQ(device.Stats().in_use_bytes, sum);
      PlacedPlan given = *placed;
      ASSERT_OK(UnplacePlan(std::move(given)));
    }
  }
}

TEST(PlannerArenasTest, TooLarge) {
  NullAllocator device(Limited(256));
  Sketch sketch;
  sketch.Add("fits", 256, {}, &device);
  sketch.Add("large", 257, {}, &device);
  sketch.Step("s", {}, {"fits", "large"});
  sketch.Release();
  for (PlanMode mode : {PlanMode::kRemap, PlanMode::kArena}) {
    const Plan plan = PlanOf(sketch, Mode(mode));
    EXPECT_EQ(Sketch::Why(plan, "large").reason, PlanReason::kTooLarge);
    EXPECT_TRUE(absl::StrContains(Sketch::Why(plan, "large").detail, "256"));
    EXPECT_NE(sketch.Find(plan, "fits"), nullptr);
  }
  // Also when only rounding makes it too large.
  PlanOptions options;
  options.alignment_bytes = 512;
  EXPECT_EQ(Sketch::Why(PlanOf(sketch, options), "fits").reason, PlanReason::kTooLarge);
}

TEST(PlannerArenasTest, SizesNearTheEndOfNumbers) {
  NullAllocator device;
  std::vector<Buffer> buffers;
  for (uint64_t bytes : {~uint64_t{0}, ~uint64_t{0} - 63, uint64_t{1} << 63, uint64_t{1} << 62,
                         uint64_t{1} << 61, uint64_t{1} << 61, uint64_t{64}}) {
    const StorageHandle storage = Storage::Make(device, bytes, {.name = absl::StrCat(bytes)});
    buffers.push_back(Buffer::OfStorage(*storage));
  }
  const StorageHandle strict =
      Storage::Make(device, 64, {.alignment_bytes = uint64_t{1} << 63, .name = "strict"});
  buffers.push_back(Buffer::OfStorage(*strict));
  Schedule schedule;
  Step step{.name = "s"};
  step.writes = std::move(buffers);
  ASSERT_OK(schedule.AddStep(std::move(step)));
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    PlanOptions options = Mode(mode);
    options.ignore_outside_handles = true;
    const auto plan = MakePlan(schedule, options);
    ASSERT_OK(plan);
    if (mode == PlanMode::kNone) continue;
    EXPECT_EQ(plan->placements.size(), 2u);  // one of 2^61, and 64
    EXPECT_EQ(Sketch::Why(*plan, "strict").reason, PlanReason::kTooLarge);
  }
}

TEST(PlannerArenasTest, Deadline) {
  Sketch sketch;
  AddChain(sketch, 200, 100);
  sketch.Release();
  PlanOptions options;
  options.deadline = absl::Now() - absl::Seconds(1);
  const auto late = MakePlan(sketch.schedule, options);
  ASSERT_OK(late);
  EXPECT_OK(ValidatePlan(*late, sketch.schedule));
  std::atomic<bool> cancel{true};
  options = {};
  options.cancel = &cancel;
  const auto cancelled = MakePlan(sketch.schedule, options);
  ASSERT_OK(cancelled);
  EXPECT_TRUE(cancelled->deadline_hit || cancelled->optimal);
}

// --- zeros --------------------------------------------------------------------------------------

TEST(PlannerFillTest, Fills) {
  Sketch sketch;
  AddChain(sketch, 4, 64);
  sketch.Add("partly", 64, {.zeroed = true});
  sketch.Add("wholly", 64, {.zeroed = true});
  sketch.Step("s4", {"partly[0:8]"}, {"wholly"});
  sketch.Step("s5", {"partly", "wholly"}, {});
  sketch.Release();
  Plan plan = PlanOf(sketch);
  EXPECT_EQ(Sketch::Why(plan, "partly").reason, PlanReason::kZeroed);
  EXPECT_NE(sketch.Find(plan, "wholly"), nullptr);
  EXPECT_TRUE(plan.fills.empty());
  PlanOptions options;
  options.fill_zeroed = true;
  plan = PlanOf(sketch, options);
  ASSERT_EQ(plan.fills.size(), 1u);
  EXPECT_EQ(plan.fills[0].step, 4u);
  EXPECT_EQ(plan.fills[0].storage, sketch.Number("partly"));
  const auto placed = PlacePlan(plan, sketch.schedule);
  ASSERT_OK(placed);
  ASSERT_EQ(placed->fills.size(), 1u);
  EXPECT_EQ(placed->fills[0].step, 4u);
  EXPECT_EQ(placed->fills[0].storage.name(), "partly");
  EXPECT_EQ(placed->fills[0].storage.size(), 64u);
}

// --- dependencies -------------------------------------------------------------------------------

// root, then two branches of `n` steps each that know nothing of each other, then a join.
void AddBranches(Sketch& sketch, int n, bool joined) {
  const bool dependencies = sketch.schedule.order() == OrderKind::kDependencies;
  auto step = [&](const std::string& name, const std::vector<std::string>& reads,
                  const std::vector<std::string>& writes, const std::vector<uint32_t>& after) {
    return sketch.Step(name, reads, writes,
                       {.after = dependencies ? after : std::vector<uint32_t>{}});
  };
  sketch.Add("root", 64);
  const uint32_t root = step("root", {}, {"root"}, {});
  std::vector<uint32_t> ends;
  std::vector<std::string> last;
  for (const std::string branch : {"l", "r"}) {
    uint32_t before = root;
    std::string from = "root";
    for (int i = 0; i < n; ++i) {
      const std::string to = absl::StrCat(branch, i);
      sketch.Add(to, 64);
      before = step(to, {from}, {to}, {before});
      from = to;
    }
    ends.push_back(before);
    last.push_back(from);
  }
  sketch.Add("after", 64);
  if (joined) step("join", last, {"after"}, ends);
}

TEST(PlannerOrderTest, SiblingBranchesNeverShare) {
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
    for (uint32_t max_searched : {0u, 2000u}) {
      Sketch sketch(OrderKind::kDependencies);
      AddBranches(sketch, 6, true);
      sketch.Release();
      PlanOptions options = Mode(mode);
      options.max_searched = max_searched;
      const Plan plan = PlanOf(sketch, options);
      EXPECT_TRUE(plan.reuse_edges.empty());
      bool reused = false;
      for (int i = 0; i < 6; ++i) {
        for (int k = 0; k < 6; ++k) {
          const Placement l = sketch.At(plan, absl::StrCat("l", i));
          EXPECT_FALSE(ShareBytes(l, sketch.At(plan, absl::StrCat("r", k))));
          if (i != k) reused = reused || ShareBytes(l, sketch.At(plan, absl::StrCat("l", k)));
        }
      }
      EXPECT_TRUE(reused);  // within a branch they do
      EXPECT_LE(plan.arena_bytes, 5 * 64u);
    }
    // In total order the second branch has the bytes of the first.
    Sketch total;
    AddBranches(total, 6, true);
    total.Release();
    const Plan plan = PlanOf(total, Mode(mode));
    EXPECT_LE(plan.arena_bytes, 4 * 64u);
    EXPECT_FALSE(plan.reuse_edges.empty());
  }
}

TEST(PlannerOrderTest, UnorderedConflictsAreRefused) {
  Sketch sketch(OrderKind::kDependencies);
  sketch.Add("a", 64);
  sketch.Step("left", {}, {"a"});
  sketch.Step("right", {}, {"a"});
  const absl::Status status = MakePlan(sketch.schedule).status();
  EXPECT_CODE(InvalidArgument, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "'left'")) << status;
}

// --- large ones
// -----------------------------------------------------------------------------------

constexpr int kMany = 6000;

TEST(PlannerLargeTest, WideAndDeepAndTouchedByAll) {
  for (OrderKind kind : {OrderKind::kTotal, OrderKind::kDependencies}) {
    const bool dependencies = kind == OrderKind::kDependencies;
    Sketch wide(kind), deep(kind), one(kind);
    const Buffer all = one.Add("all", 1 << 20);
    for (int i = 0; i < kMany; ++i) {
      const uint32_t before = i == 0 ? 0 : static_cast<uint32_t>(i - 1);
      StepExtras chain, star;
      if (dependencies && i > 0) chain.after = {before}, star.after = {0};
      const std::string x = absl::StrCat("x", i), last = absl::StrCat("x", before);
      const auto reads = i == 0 ? std::vector<std::string>{} : std::vector<std::string>{last};
      for (Sketch* sketch : {&wide, &deep, &one}) sketch->Add(x, 100);
      wide.Step("s", i == 0 ? reads : std::vector<std::string>{"x0"}, {x}, star);
      deep.Step("s", reads, {x}, chain);
      one.Step("s", {}, {x, absl::StrCat("all[", 8 * i, ":", 8 * i + 8, "]")}, chain);
    }
    for (Sketch* sketch : {&wide, &deep, &one}) sketch->Release();
    const uint64_t n = kMany;
    for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap}) {
      EXPECT_EQ(MakePlan(deep.schedule, Mode(mode))->arena_bytes, 256u);
      // Unordered ones share nothing; in order they all do.
      EXPECT_EQ(MakePlan(wide.schedule, Mode(mode))->arena_bytes, dependencies ? 128 * n : 256);
      const auto plan = MakePlan(one.schedule, Mode(mode));
      ASSERT_OK(plan);
      EXPECT_EQ(plan->arena_bytes, 128u);
      EXPECT_LE(plan->reuse_edges.size(), 4 * n);
    }
  }
}

}  // namespace
}  // namespace tenure
