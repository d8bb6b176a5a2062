// Plans as values, fingerprints, and the validator: every planted error is found.

#include "tenure/planner/plan.h"

#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/validate_plan.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

TEST(PlanTest, ModeNames) {
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    const auto parsed = ParsePlanMode(PlanModeName(mode));
    ASSERT_OK(parsed);
    EXPECT_EQ(*parsed, mode);
  }
  const auto unknown = ParsePlanMode("best");
  EXPECT_CODE(InvalidArgument, unknown);
  EXPECT_TRUE(absl::StrContains(unknown.status().message(), "'best'"));
}

// --- fingerprints
// ---------------------------------------------------------------------------------

struct Variant {
  OrderKind order = OrderKind::kTotal;
  uint64_t size = 64;
  BufferOptions options;
  std::string window = "a";
  uint32_t queue = 0;
  std::vector<InPlace> in_place;
  bool input = false, output = false, cuda = false, swapped = false, longer = false;
  std::vector<uint32_t> after;
};

uint64_t FingerprintOf(const Variant& v) {
  NullAllocator cuda(NullAllocator::DefaultTraits(), *MemorySpace::Parse("cuda:0"));
  Sketch sketch(v.order);
  sketch.Add("a", v.size, v.options, v.cuda ? &cuda : nullptr);
  sketch.Add("b", 64);
  sketch.Step("s0", {}, {v.window, "b"});
  sketch.Step("s1", {v.swapped ? "b" : "a"}, {v.swapped ? "a" : "b"},
              {.after = v.after, .queue = v.queue, .in_place = v.in_place});
  if (v.longer) sketch.Step("s2", {}, {});
  if (v.input) sketch.schedule.MarkInput(sketch["a"]);
  if (v.output) sketch.schedule.MarkOutput(sketch["a"]);
  return Fingerprint(sketch.schedule);
}

TEST(PlanTest, FingerprintsTellSchedulesApart) {
  std::vector<Variant> variants(14);
  variants[1].order = OrderKind::kDependencies;
  variants[2].size = 65;
  variants[3].options.alignment_bytes = 128;
  variants[4].options.zeroed = true;
  variants[5].window = "a[0:32]";
  variants[6].window = "a[32:64]";
  variants[7].queue = 1;
  variants[8].in_place = {{0, 0}};
  variants[9].input = true;
  variants[10].output = true;
  variants[11].cuda = true;
  variants[12].swapped = true;
  variants[13].longer = true;
  std::set<uint64_t> fingerprints;
  for (const Variant& v : variants) {
    EXPECT_EQ(FingerprintOf(v), FingerprintOf(v));  // ids differ, the schedule is the same
    fingerprints.insert(FingerprintOf(v));
  }
  Variant edges = variants[1];
  edges.after = {0};
  fingerprints.insert(FingerprintOf(edges));
  EXPECT_EQ(fingerprints.size(), variants.size() + 1);
}

// The same in every process and for all time: stored plans depend on it.
TEST(PlanTest, FingerprintIsStable) { EXPECT_EQ(FingerprintOf(Variant()), 5165736943235793425u); }

// --- the validator
// ----------------------------------------------------------------------------------

// Two queues, a fill, an in-place write, and things not planned.
class ValidatorTest : public testing::TestWithParam<std::pair<OrderKind, PlanMode>> {
 protected:
  void SetUp() override {
    // No structured binding: C++20 compilers differ in whether a lambda may capture one.
    const OrderKind order = GetParam().first;
    sketch_ = std::make_unique<Sketch>(order);
    Sketch& s = *sketch_;
    for (const char* name : {"in", "a", "b", "c", "d", "out", "copy"}) s.Add(name, 100);
    s.Add("z", 200, {.zeroed = true});
    s.Add("big", 300, {.alignment_bytes = 256});
    uint32_t number = 0;
    const auto step = [&](const std::vector<std::string>& reads,
                          const std::vector<std::string>& writes, StepExtras extras = {}) {
      if (order == OrderKind::kDependencies && number > 0) extras.after = {number - 1};
      number = s.Step("s", reads, writes, extras) + 1;
    };
    step({"in"}, {"a"});
    step({"a"}, {"b"});
    step({"b"}, {"c"}, {.in_place = {{0, 0}}});
    step({"c"}, {"z[0:50]"});
    step({"z"}, {"d"});
    step({"d"}, {"big"});
    step({"big"}, {"copy"}, {.queue = 1});
    step({"copy"}, {"out"}, {.queue = 1});
    s.schedule.MarkInput(s["in"]);
    s.schedule.MarkOutput(s["out"]);
    s.Release();
    PlanOptions options;
    options.mode = GetParam().second;
    options.fill_zeroed = true;
    auto plan = MakePlan(s.schedule, options);
    ASSERT_OK(plan);
    plan_ = *std::move(plan);
    ASSERT_OK(ValidatePlan(plan_, s.schedule));
    ASSERT_GE(plan_.arenas.size(), 2u);
    ASSERT_EQ(plan_.fills.size(), 1u);
    ASSERT_EQ(plan_.in_place.size(), 1u);
    ASSERT_EQ(plan_.placements.size(), 7u);
    ASSERT_EQ(plan_.not_planned.size(), 2u);
  }

  void ExpectWrong(const std::string& what, const std::function<void(Plan&)>& change) {
    Plan plan = plan_;
    change(plan);
    if (plan == plan_) return;  // it was so already
    const absl::Status status = ValidatePlan(plan, sketch_->schedule);
    EXPECT_FALSE(status.ok()) << what;
    EXPECT_TRUE(status.code() == absl::StatusCode::kInternal ||
                status.code() == absl::StatusCode::kFailedPrecondition)
        << status;
    EXPECT_FALSE(PlacePlan(plan, sketch_->schedule).ok());
  }

  // Changes of a number that a plan might come with.
  template <typename T>
  void ExpectWrongNumbers(const std::string& what, const std::function<T&(Plan&)>& field) {
    using Limits = std::numeric_limits<T>;
    const std::vector<std::function<T(T)>> changes = {
        [](T v) { return static_cast<T>(v + 1); },
        [](T v) { return static_cast<T>(v - 1); },
        [](T v) { return static_cast<T>(v + 64); },
        [](T v) { return static_cast<T>(v - 64); },
        [](T v) { return static_cast<T>(v ^ (Limits::max() / 2 + 1)); },
        [](T) { return T{0}; },
        [](T) { return Limits::max(); },
        [](T) { return static_cast<T>(Limits::max() - 63); },
    };
    for (const auto& change : changes) {
      ExpectWrong(what, [&](Plan& plan) { field(plan) = change(field(plan)); });
    }
  }

  std::unique_ptr<Sketch> sketch_;
  Plan plan_;
};

TEST_P(ValidatorTest, HeadAndSums) {
  ExpectWrongNumbers<uint64_t>("fingerprint", [](Plan& p) -> uint64_t& { return p.fingerprint; });
  ExpectWrongNumbers<uint64_t>("alignment", [](Plan& p) -> uint64_t& { return p.alignment_bytes; });
  ExpectWrongNumbers<uint64_t>("unplanned", [](Plan& p) -> uint64_t& { return p.unplanned_bytes; });
  ExpectWrongNumbers<uint64_t>("bytes", [](Plan& p) -> uint64_t& { return p.arena_bytes; });
  ASSERT_TRUE(plan_.optimal);  // so any other bound contradicts it
  ExpectWrongNumbers<uint64_t>("bound", [](Plan& p) -> uint64_t& { return p.lower_bound_bytes; });
  ExpectWrong("optimal", [](Plan& p) { p.optimal = !p.optimal; });
  ExpectWrong("mode", [](Plan& p) { p.mode = PlanMode::kNone; });
  if (plan_.mode == PlanMode::kArena)
    ExpectWrong("mode", [](Plan& p) { p.mode = PlanMode::kRemap; });
}

TEST_P(ValidatorTest, Arenas) {
  for (size_t i = 0; i < plan_.arenas.size(); ++i) {
    ExpectWrongNumbers<uint32_t>("queue", [i](Plan& p) -> uint32_t& { return p.arenas[i].queue; });
    ExpectWrongNumbers<uint64_t>("size",
                                 [i](Plan& p) -> uint64_t& { return p.arenas[i].size_bytes; });
    ExpectWrongNumbers<uint64_t>("alignment",
                                 [i](Plan& p) -> uint64_t& { return p.arenas[i].alignment_bytes; });
    ExpectWrong("space", [i](Plan& p) { p.arenas[i].space = MemorySpace::Cpu(); });
    ExpectWrong("one less", [i](Plan& p) { p.arenas.erase(p.arenas.begin() + i); });
    ExpectWrong("one more", [i](Plan& p) { p.arenas.push_back(p.arenas[i]); });
    ExpectWrong("an empty one more", [i](Plan& p) {
      p.arenas.push_back(p.arenas[i]);
      p.arenas.back().size_bytes = 0;
    });
  }
}

TEST_P(ValidatorTest, Placements) {
  for (size_t i = 0; i < plan_.placements.size(); ++i) {
    ExpectWrongNumbers<uint32_t>("storage",
                                 [i](Plan& p) -> uint32_t& { return p.placements[i].storage; });
    ExpectWrongNumbers<uint32_t>("arena",
                                 [i](Plan& p) -> uint32_t& { return p.placements[i].arena; });
    ExpectWrongNumbers<uint64_t>("size",
                                 [i](Plan& p) -> uint64_t& { return p.placements[i].size_bytes; });
    ExpectWrongNumbers<uint32_t>("first",
                                 [i](Plan& p) -> uint32_t& { return p.placements[i].first_step; });
    ExpectWrongNumbers<uint32_t>("last",
                                 [i](Plan& p) -> uint32_t& { return p.placements[i].last_step; });
    ExpectWrong("exclusive",
                [i](Plan& p) { p.placements[i].exclusive = !p.placements[i].exclusive; });
    ExpectWrong("one less", [i](Plan& p) { p.placements.erase(p.placements.begin() + i); });
    ExpectWrong("twice", [i](Plan& p) { p.placements.push_back(p.placements[i]); });
    // Elsewhere: out of the arena or unaligned, or upon somebody else.
    for (uint64_t delta : {uint64_t{1}, ~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 40})
      ExpectWrong("offset", [i, delta](Plan& p) { p.placements[i].offset_bytes += delta; });
  }
}

// Every pair that is laid upon each other although both live is found; every other is not blamed.
TEST_P(ValidatorTest, Overlaps) {
  int pairs = 0;
  for (size_t i = 0; i < plan_.placements.size(); ++i) {
    for (size_t k = 0; k < plan_.placements.size(); ++k) {
      const Placement &a = plan_.placements[i], &b = plan_.placements[k];
      const bool both_live = a.first_step <= b.last_step && b.first_step <= a.last_step;
      if (i == k || a.arena != b.arena || ShareBytes(a, b) || !both_live) continue;
      ++pairs;
      Plan plan = plan_;
      plan.placements[i].offset_bytes = b.offset_bytes;
      const absl::Status status = ValidatePlan(plan, sketch_->schedule);
      EXPECT_CODE(Internal, status);
    }
  }
  EXPECT_TRUE(plan_.mode != PlanMode::kArena || pairs > 2);
}

TEST_P(ValidatorTest, NotPlanned) {
  for (size_t i = 0; i < plan_.not_planned.size(); ++i) {
    ExpectWrongNumbers<uint32_t>("storage",
                                 [i](Plan& p) -> uint32_t& { return p.not_planned[i].storage; });
    ExpectWrongNumbers<uint64_t>("size",
                                 [i](Plan& p) -> uint64_t& { return p.not_planned[i].size_bytes; });
    ExpectWrong("reason", [i](Plan& p) { p.not_planned[i].reason = PlanReason::kPlanned; });
    ExpectWrong("one less", [i](Plan& p) { p.not_planned.erase(p.not_planned.begin() + i); });
    ExpectWrong("twice", [i](Plan& p) { p.not_planned.push_back(p.not_planned[i]); });
  }
}

TEST_P(ValidatorTest, FillsInPlaceWritesAndEdges) {
  ExpectWrongNumbers<uint32_t>("fill", [](Plan& p) -> uint32_t& { return p.fills[0].step; });
  ExpectWrongNumbers<uint32_t>("fill", [](Plan& p) -> uint32_t& { return p.fills[0].storage; });
  ExpectWrong("no fill", [](Plan& p) { p.fills.clear(); });
  ExpectWrong("twice", [](Plan& p) { p.fills.push_back(p.fills[0]); });
  ExpectWrong("needless", [](Plan& p) {
    p.fills.push_back({p.placements[0].first_step, p.placements[0].storage});
  });
  ExpectWrongNumbers<uint32_t>("step", [](Plan& p) -> uint32_t& { return p.in_place[0].step; });
  ExpectWrongNumbers<uint32_t>("input", [](Plan& p) -> uint32_t& { return p.in_place[0].input; });
  ExpectWrongNumbers<uint32_t>("output", [](Plan& p) -> uint32_t& { return p.in_place[0].output; });
  ExpectWrong("not in place", [](Plan& p) { p.in_place.clear(); });
  ExpectWrong("twice", [](Plan& p) { p.in_place.push_back(p.in_place[0]); });
  ExpectWrong("one more", [](Plan& p) { p.reuse_edges.push_back({0, 7}); });
  for (size_t i = 0; i < plan_.reuse_edges.size(); ++i) {
    ExpectWrong("one less", [i](Plan& p) { p.reuse_edges.erase(p.reuse_edges.begin() + i); });
    ExpectWrongNumbers<uint32_t>("edge",
                                 [i](Plan& p) -> uint32_t& { return p.reuse_edges[i].before; });
    ExpectWrongNumbers<uint32_t>("edge",
                                 [i](Plan& p) -> uint32_t& { return p.reuse_edges[i].after; });
  }
}

// What nothing rests on.
TEST_P(ValidatorTest, LabelsAreNotJudged) {
  plan_.name = "another";
  plan_.deadline_hit = true;
  plan_.not_planned[0].name = "another";
  plan_.not_planned[0].detail = "another";
  plan_.not_planned[0].reason = PlanReason::kHeld;
  EXPECT_OK(ValidatePlan(plan_, sketch_->schedule));
}

TEST_P(ValidatorTest, PlansOfOtherSchedules) {
  Sketch other;
  other.Add("a", 64);
  other.Step("s", {}, {"a"});
  other.Release();
  EXPECT_CODE(FailedPrecondition, ValidatePlan(plan_, other.schedule));
  EXPECT_CODE(FailedPrecondition, ValidatePlan(Plan(), other.schedule));
  Plan forged = plan_;
  forged.fingerprint = Fingerprint(other.schedule);
  EXPECT_FALSE(ValidatePlan(forged, other.schedule).ok());
  EXPECT_FALSE(PlacePlan(forged, other.schedule).ok());
}

INSTANTIATE_TEST_SUITE_P(All, ValidatorTest,
                         testing::Values(std::pair(OrderKind::kTotal, PlanMode::kArena),
                                         std::pair(OrderKind::kTotal, PlanMode::kRemap),
                                         std::pair(OrderKind::kDependencies, PlanMode::kArena),
                                         std::pair(OrderKind::kDependencies, PlanMode::kRemap)));

// An arena larger than the space's largest allocation, as from another machine's plan.
TEST(ValidatePlanTest, ArenasBeyondTheLargestAllocation) {
  SpaceTraits small = NullAllocator::DefaultTraits();
  small.max_allocation_bytes = 128;
  NullAllocator here(small), there;
  Plan plan;
  for (NullAllocator* device : {&there, &here}) {
    Sketch sketch;
    for (const char* name : {"a", "b", "c"}) sketch.Add(name, 64, {}, device);
    sketch.Step("s", {}, {"a", "b", "c"});
    sketch.Release();
    if (device == &there) {
      plan = MakePlan(sketch.schedule).value();
      EXPECT_OK(ValidatePlan(plan, sketch.schedule));
    } else {
      const absl::Status status = ValidatePlan(plan, sketch.schedule);
      EXPECT_CODE(FailedPrecondition, status);
      EXPECT_TRUE(absl::StrContains(status.message(), "largest allocation of null (128)"));
    }
  }
}

}  // namespace
}  // namespace tenure
