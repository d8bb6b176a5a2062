// Outputs in the arena, reused outputs and donated inputs: their lives, where they and others lie,
// and what the validator, the fingerprint, stored plans and placing know of them.

#include <cstddef>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/validate_plan.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// in -> a -> b -> out (written in two halves) -> late
class OutputsTest : public testing::Test {
 protected:
  void SetUp() override { Build(sketch_); }
  void Build(Sketch& sketch, uint64_t in_bytes = 64, uint64_t out_bytes = 128) {
    sketch.Add("in", in_bytes, {}, &cpu_);
    for (const char* name : {"a", "b", "late"}) sketch.Add(name, 64, {}, &cpu_);
    sketch.Add("out", out_bytes, {}, &cpu_);
    sketch.Step("read", {"in"}, {"a"});
    sketch.Step("work", {"a"}, {"b"});
    sketch.Step("first half", {"b"}, {"out[64:128]"});
    sketch.Step("second half", {"b"}, {"out[0:64]"});
    sketch.Step("after", {}, {"late"});
    sketch.schedule.MarkInput(sketch["in"]);
  }
  static std::optional<uint32_t> Owner(const Plan& plan, const Placement& p) {
    return plan.arenas[p.arena].memory_of;
  }

  CpuAllocator cpu_;
  Sketch sketch_;
};

TEST_F(OutputsTest, AnOutputInTheArenaLivesToTheEnd) {
  sketch_.schedule.MarkOutput(sketch_["out"], OutputPlacement::kInArena);
  sketch_.Release({"out"});  // a handle outside does not matter
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  const Placement out = sketch_.At(*plan, "out");
  EXPECT_EQ(out.first_step, 2u);  // the first of the two partial writes
  EXPECT_EQ(out.last_step, 4u);
  EXPECT_FALSE(ShareBytes(out, sketch_.At(*plan, "late")));
  EXPECT_FALSE(ShareBytes(out, sketch_.At(*plan, "b")));
  EXPECT_EQ(plan->arenas.size(), 1u);
  EXPECT_EQ(plan->arena_bytes, 192u);  // b or late, and out
  EXPECT_TRUE(plan->optimal);
  const auto placed = PlacePlan(*plan, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_TRUE(sketch_["out"].storage()->is_placed());
}

TEST_F(OutputsTest, AReusedOutputLendsItsMemoryBeforeItsFirstWrite) {
  sketch_.schedule.MarkOutput(sketch_["out"], OutputPlacement::kReused);
  const Buffer out = sketch_["out"];
  sketch_.Release();
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "out")), sketch_.Number("out"));
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "a")), sketch_.Number("out"));
  // b is needed while out is written, and late when it is written already.
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "b")), std::nullopt);
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "late")), std::nullopt);
  EXPECT_EQ(plan->arena_bytes, 128u + 64u);
  EXPECT_TRUE(plan->optimal);
  EXPECT_EQ(plan->reuse_edges, (std::vector<ReuseEdge>{{1, 2}, {1, 3}, {2, 4}, {3, 4}}));
  for (const bool allocated : {false, true}) {
    if (allocated) ASSERT_OK(out.EnsureAllocated());
    auto placed = PlacePlan(*plan, sketch_.schedule);
    ASSERT_OK(placed);
    EXPECT_EQ(out.storage()->is_placed(), !allocated);
    const Buffer& a = sketch_.schedule.steps()[0].writes[0];
    EXPECT_EQ(a.HostPointer().value(), out.HostPointer().value());
    // What lies in its memory would change a sealed output.
    EXPECT_CODE(FailedPrecondition, out.Seal());
    ASSERT_OK(UnplacePlan(*std::move(placed)));
  }
  EXPECT_OK(out.Seal());
}

TEST_F(OutputsTest, ADonatedInputLendsItsMemoryAfterItsLastUse) {
  sketch_.schedule.MarkInput(sketch_["in"], InputUse::kDonated);
  const Buffer in = sketch_["in"];
  ASSERT_OK(in.EnsureAllocated());
  const void* const bytes = in.HostPointer().value();
  sketch_.Release();
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  EXPECT_EQ(sketch_.At(*plan, "in").first_step, 0u);
  EXPECT_EQ(sketch_.At(*plan, "in").last_step, 0u);
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "b")), sketch_.Number("in"));
  EXPECT_EQ(Owner(*plan, sketch_.At(*plan, "a")), std::nullopt);  // written while in is read
  auto placed = PlacePlan(*plan, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(in.HostPointer().value(), bytes);  // it stays where it is
  EXPECT_EQ(sketch_.schedule.steps()[1].writes[0].HostPointer().value(), bytes);
}

TEST_F(OutputsTest, AnInputThatIsTouchedLateLivesFromTheStart) {
  Sketch sketch;
  for (const char* name : {"x", "y", "in"}) sketch.Add(name, 64);
  sketch.Step("s0", {}, {"x"});
  sketch.Step("s1", {"in"}, {"y"});
  sketch.Step("s2", {"y"}, {});
  sketch.schedule.MarkInput(sketch["in"], InputUse::kDonated);
  sketch.Release();
  const auto plan = MakePlan(sketch.schedule);
  ASSERT_OK(plan);
  EXPECT_EQ(Owner(*plan, sketch.At(*plan, "x")), std::nullopt);
  EXPECT_EQ(Owner(*plan, sketch.At(*plan, "y")), std::nullopt);
}

TEST_F(OutputsTest, WithDependenciesNothingComesBeforeAnInputOrAfterAnOutput) {
  Sketch sketch(OrderKind::kDependencies);
  for (const char* name : {"in", "a", "b", "out", "c"}) sketch.Add(name, 64);
  sketch.Step("s0", {}, {"c"});
  sketch.Step("s1", {"in"}, {"a"});
  sketch.Step("s2", {"a"}, {"b"}, {.after = {1}});
  sketch.Step("s3", {"b"}, {"out"}, {.after = {2}});
  sketch.Step("s4", {"c"}, {}, {.after = {0, 3}});
  sketch.schedule.MarkInput(sketch["in"], InputUse::kDonated);
  sketch.schedule.MarkOutput(sketch["out"], OutputPlacement::kReused);
  sketch.Release();
  const auto plan = MakePlan(sketch.schedule);
  ASSERT_OK(plan);
  const uint32_t in = sketch.Number("in"), out = sketch.Number("out");
  EXPECT_EQ(Owner(*plan, sketch.At(*plan, "a")), out);
  EXPECT_EQ(Owner(*plan, sketch.At(*plan, "b")), in);
  EXPECT_EQ(Owner(*plan, sketch.At(*plan, "c")), std::nullopt);  // may run beside all of them
}

TEST_F(OutputsTest, OutputsAreWrittenInPlace) {
  for (const OutputPlacement placement : {OutputPlacement::kReused, OutputPlacement::kInArena}) {
    for (const bool donated : {false, true}) {
      Sketch sketch;
      for (const char* name : {"in", "x", "out"}) sketch.Add(name, 64);
      sketch.Step("s0", {"in"}, {"x"}, {.in_place = {{0, 0}}});
      sketch.Step("s1", {"x"}, {"out"}, {.in_place = {{0, 0}}});
      sketch.schedule.MarkInput(sketch["in"], donated ? InputUse::kDonated : InputUse::kKept);
      sketch.schedule.MarkOutput(sketch["out"], placement);
      sketch.Release();
      const auto plan = MakePlan(sketch.schedule);
      ASSERT_OK(plan);
      // Of a chain from a donated input to an output, one link is left out.
      EXPECT_EQ(plan->in_place.size(), 1u);
      EXPECT_EQ(plan->arena_bytes, donated ? 128u : 64u);
      const auto owner = Owner(*plan, sketch.At(*plan, "out"));
      if (placement == OutputPlacement::kReused) {
        EXPECT_EQ(owner, sketch.Number("out"));
      } else {
        EXPECT_EQ(owner, std::nullopt);
      }
    }
  }
}

// The input of the next run would erase it.
TEST_F(OutputsTest, NoOutputLiesInTheMemoryOfADonatedInput) {
  for (const OutputPlacement placement : {OutputPlacement::kReused, OutputPlacement::kInArena}) {
    for (const bool direct : {false, true}) {
      Sketch sketch;
      for (const char* name : {"in", "x", "out"}) sketch.Add(name, 64, {}, &cpu_);
      if (direct) {
        sketch.Step("s0", {"in"}, {"out"}, {.in_place = {{0, 0}}});
      } else {
        sketch.Step("s0", {"in"}, {"x"});
        sketch.Step("s1", {"x"}, {"out"});
      }
      sketch.schedule.MarkInput(sketch["in"], InputUse::kDonated);
      sketch.schedule.MarkOutput(sketch["out"], placement);
      const Buffer in = sketch["in"], out = sketch["out"];
      ASSERT_OK(in.EnsureAllocated());
      if (placement == OutputPlacement::kReused) ASSERT_OK(out.EnsureAllocated());
      sketch.Release();
      auto plan = MakePlan(sketch.schedule);
      ASSERT_OK(plan);
      EXPECT_TRUE(plan->in_place.empty());
      const Placement at_in = sketch.At(*plan, "in"), at_out = sketch.At(*plan, "out");
      EXPECT_NE(at_in.arena, at_out.arena);
      auto placed = PlacePlan(*plan, sketch.schedule);
      ASSERT_OK(placed);
      EXPECT_FALSE(in.Overlaps(out));
      ASSERT_OK(UnplacePlan(*std::move(placed)));

      EXPECT_OK(ValidatePlan(*plan, sketch.schedule));
      for (Placement& p : plan->placements) {
        if (p.storage == at_out.storage) p.arena = at_in.arena;
      }
      EXPECT_CODE(Internal, ValidatePlan(*plan, sketch.schedule));
    }
  }
}

TEST_F(OutputsTest, NothingIsWrittenInPlaceOfAnOutputOrOverAnInput) {
  Sketch sketch;
  for (const char* name : {"in", "x", "out"}) sketch.Add(name, 64);
  sketch.Step("s0", {}, {"out"});
  sketch.Step("s1", {"out"}, {"x"}, {.in_place = {{0, 0}}});  // also the last step
  sketch.schedule.MarkOutput(sketch["out"], OutputPlacement::kInArena);
  sketch.Release();
  const auto plan = MakePlan(sketch.schedule);
  ASSERT_OK(plan);
  EXPECT_TRUE(plan->in_place.empty());
  EXPECT_EQ(plan->arena_bytes, 128u);

  Sketch over;
  for (const char* name : {"z", "in"}) over.Add(name, 64);
  over.Step("s0", {"z"}, {"in"}, {.in_place = {{0, 0}}});
  over.schedule.MarkInput(over["z"], InputUse::kDonated);
  over.schedule.MarkInput(over["in"], InputUse::kDonated);
  over.Release();
  const auto second = MakePlan(over.schedule);
  ASSERT_OK(second);
  EXPECT_TRUE(second->in_place.empty());
}

// Only whole units of the alignment are lent, so that the plan also holds for an output that has
// memory of exactly its size.
TEST_F(OutputsTest, MemoryThatIsNoMultipleOfTheAlignment) {
  for (const uint64_t bytes : {100u, 128u, 160u, 192u}) {
    Sketch sketch;
    for (const char* name : {"a", "b"}) sketch.Add(name, 64, {}, &cpu_);
    sketch.Add("out", bytes, {}, &cpu_);
    sketch.Step("s0", {}, {"a", "b"});
    sketch.Step("s1", {"a", "b"}, {});
    sketch.Step("s2", {}, {"out"});
    sketch.schedule.MarkOutput(sketch["out"], OutputPlacement::kReused);
    const Buffer out = sketch["out"];
    ASSERT_OK(out.EnsureAllocated());
    sketch.Release();
    const auto plan = MakePlan(sketch.schedule);
    ASSERT_OK(plan);
    EXPECT_EQ(plan->arenas.size(), bytes < 128 ? 2u : 1u) << bytes;
    EXPECT_OK(PlacePlan(*plan, sketch.schedule));
  }
}

TEST_F(OutputsTest, WhatCanNotBeLentIsKept) {
  const auto reason = [this](BufferOptions options, bool input, const PlanOptions& plan_options,
                             bool seal = false) {
    Sketch sketch;
    sketch.Add("x", 64, options, &cpu_);
    sketch.Add("y", 64, {}, &cpu_);
    sketch.Step("s0", {}, {"y"});
    sketch.Step("s1", {"y", input ? "x" : "y"}, {input ? "y" : "x"});
    if (input) sketch.schedule.MarkInput(sketch["x"], InputUse::kDonated);
    if (!input) sketch.schedule.MarkOutput(sketch["x"], OutputPlacement::kReused);
    if (seal) EXPECT_OK(sketch["x"].Seal());
    sketch.Release();
    const auto plan = MakePlan(sketch.schedule, plan_options);
    EXPECT_OK(plan);
    return sketch.Find(*plan, "x") != nullptr ? PlanReason::kPlanned
                                              : Sketch::Why(*plan, "x").reason;
  };
  EXPECT_EQ(reason({}, true, {}), PlanReason::kPlanned);
  EXPECT_EQ(reason({}, false, {}), PlanReason::kPlanned);
  EXPECT_EQ(reason({}, true, {.mode = PlanMode::kRemap}), PlanReason::kInput);
  EXPECT_EQ(reason({}, false, {.mode = PlanMode::kRemap}), PlanReason::kOutput);
  EXPECT_EQ(reason({.zeroed = true}, true, {}), PlanReason::kInput);  // has no bytes yet
  EXPECT_EQ(reason({.zeroed = true, .immediate = true}, true, {}), PlanReason::kPlanned);
  EXPECT_EQ(reason({}, true, {}, /*seal=*/true), PlanReason::kInput);
}

// Foreign memory may be aligned to less than the plan needs.
TEST_F(OutputsTest, MemoryThatIsNotAlignedIsNotLent) {
  alignas(64) static std::byte memory[192];
  for (const size_t begin : {size_t{0}, size_t{8}}) {
    Sketch sketch;
    for (const char* name : {"a", "b"}) sketch.Add(name, 64, {}, &cpu_);
    sketch.buffers["in"] =
        Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(64), {.data = memory + begin}, 64).value();
    sketch.Step("s0", {"in"}, {"a"});
    sketch.Step("s1", {"a"}, {"b"});
    sketch.schedule.MarkInput(sketch["in"], InputUse::kDonated);
    sketch.Release();
    const auto plan = MakePlan(sketch.schedule);
    ASSERT_OK(plan);
    EXPECT_EQ(plan->arenas.size(), begin == 0 ? 2u : 1u);
    EXPECT_OK(PlacePlan(*plan, sketch.schedule));
  }
}

TEST_F(OutputsTest, AReusedOutputHasNoContentsBeforeItsFirstWrite) {
  Sketch sketch;
  sketch.Add("out", 64, {.immediate = true}, &cpu_);
  sketch.Add("x", 64, {}, &cpu_);
  sketch.Step("s0", {"out"}, {"x"});
  sketch.schedule.MarkOutput(sketch["out"]);
  EXPECT_OK(MakePlan(sketch.schedule));
  sketch.schedule.MarkOutput(sketch["out"], OutputPlacement::kReused);
  EXPECT_CODE(InvalidArgument, MakePlan(sketch.schedule));
}

TEST_F(OutputsTest, FingerprintsAndStoredPlansTellThemApart) {
  std::set<uint64_t> fingerprints;
  std::vector<std::string> stored;
  for (const InputUse use : {InputUse::kKept, InputUse::kDonated}) {
    for (const OutputPlacement placement :
         {OutputPlacement::kOwn, OutputPlacement::kReused, OutputPlacement::kInArena}) {
      Sketch sketch;
      Build(sketch);
      sketch.schedule.MarkInput(sketch["in"], use);
      sketch.schedule.MarkOutput(sketch["out"], placement);
      sketch.Release();
      fingerprints.insert(Fingerprint(sketch.schedule));
      const auto plan = MakePlan(sketch.schedule);
      ASSERT_OK(plan);
      const std::string json = PlanToJson(*plan);
      const auto loaded = LoadPlan(json, sketch.schedule);
      ASSERT_OK(loaded);
      EXPECT_EQ(*loaded, *plan);
      for (const std::string& other : stored)
        EXPECT_CODE(FailedPrecondition, LoadPlan(other, sketch.schedule));
      stored.push_back(json);
    }
  }
  EXPECT_EQ(fingerprints.size(), 6u);
}

TEST_F(OutputsTest, TheValidatorFindsPlantedErrors) {
  sketch_.schedule.MarkOutput(sketch_["out"], OutputPlacement::kReused);
  sketch_.schedule.MarkInput(sketch_["in"], InputUse::kDonated);
  sketch_.Release();
  const auto plan = MakePlan(sketch_.schedule);
  ASSERT_OK(plan);
  EXPECT_OK(ValidatePlan(*plan, sketch_.schedule));
  const auto number = [this](const char* name) { return sketch_.Number(name); };
  const auto at = [&](Plan& p, const char* name) -> Placement& {
    for (Placement& placement : p.placements) {
      if (placement.storage == number(name)) return placement;
    }
    return p.placements[0];
  };
  const auto expect_wrong = [&](std::string_view why, const std::function<void(Plan&)>& plant) {
    Plan wrong = *plan;
    plant(wrong);
    const absl::Status status = ValidatePlan(wrong, sketch_.schedule);
    EXPECT_CODE(Internal, status);
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
  };
  expect_wrong("is not in memory of its own",
               [&](Plan& p) { p.arenas[at(p, "out").arena].memory_of.reset(); });
  expect_wrong("may not lend its memory",
               [&](Plan& p) { p.arenas[at(p, "out").arena].memory_of = number("a"); });
  expect_wrong("may not lend its memory",
               [&](Plan& p) { p.arenas[at(p, "out").arena].memory_of = 99; });
  // The two have exchanged their memories.
  expect_wrong("sticks out", [&](Plan& p) {
    std::swap(p.arenas[at(p, "out").arena].memory_of, p.arenas[at(p, "in").arena].memory_of);
  });
  expect_wrong("lives at other steps", [&](Plan& p) { at(p, "out").last_step = 3; });
  // Written while the output's memory is already the output's.
  expect_wrong("share bytes", [&](Plan& p) {
    at(p, "b").arena = at(p, "out").arena;
    at(p, "b").offset_bytes = 0;
  });
}

TEST_F(OutputsTest, TheCapacityCountsOwnMemory) {
  sketch_.schedule.MarkOutput(sketch_["out"], OutputPlacement::kReused);
  sketch_.Release();
  EXPECT_OK(MakePlan(sketch_.schedule, {.capacity_bytes = 192}));
  EXPECT_CODE(ResourceExhausted, MakePlan(sketch_.schedule, {.capacity_bytes = 191}));
}

// It comes after no other step, and touches nothing. So nothing depends on it.
TEST_F(OutputsTest, AnEmptyLastStepChangesNothing) {
  std::mt19937 random(1);
  const auto below = [&random](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  struct Made {
    uint64_t bytes;
    std::vector<uint32_t> after;
    bool output;
  };
  for (int round = 0; round < 400; ++round) {
    std::vector<Made> made;
    for (uint32_t s = 0; s < 8; ++s) {
      Made& m = made.emplace_back(Made{64 * (1 + uint64_t{below(4)}), {}, below(3) == 0});
      for (uint32_t before = s > 3 ? s - 3 : 0; before < s; ++before) {
        if (below(2) == 0) m.after.push_back(before);
      }
    }
    std::vector<Plan> plans;
    for (const bool longer : {false, true}) {
      Sketch sketch(OrderKind::kDependencies);
      for (uint32_t s = 0; s < made.size(); ++s) {
        const std::string name = absl::StrCat("b", s);
        sketch.Add(name, made[s].bytes);
        std::vector<std::string> reads;
        for (uint32_t before : made[s].after) reads.push_back(absl::StrCat("b", before));
        sketch.Step("s", reads, {name}, {.after = made[s].after});
        if (made[s].output) sketch.schedule.MarkOutput(sketch[name], OutputPlacement::kInArena);
      }
      if (longer) sketch.Step("empty", {}, {});
      sketch.Release();
      const auto plan = MakePlan(sketch.schedule, {.effort = packing::Effort::kOptimal});
      ASSERT_OK(plan);
      plans.push_back(*plan);
    }
    EXPECT_EQ(plans[0].arena_bytes, plans[1].arena_bytes) << round;
    EXPECT_EQ(plans[0].lower_bound_bytes, plans[1].lower_bound_bytes) << round;
    EXPECT_EQ(plans[0].optimal, plans[1].optimal) << round;
  }
}

}  // namespace
}  // namespace tenure
