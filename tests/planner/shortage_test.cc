#include "tenure/planner/shortage.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/validate_plan.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// Three live at step "join"; a fourth, twice as large, lives later with one other.
void AddJoined(Sketch& sketch) {
  for (const char* name : {"a", "b", "c", "d"}) sketch.Add(name, name[0] == 'd' ? 2048 : 1024);
  sketch.Step("first", {}, {"a"});
  sketch.Step("second", {}, {"b"});
  sketch.Step("join", {"a", "b"}, {"c"});
  sketch.Step("last", {"c"}, {"d"});
  sketch.Release();
}

TEST(ShortageTest, TheMessageNamesStepAndStorages) {
  Sketch sketch;
  AddJoined(sketch);
  Shortage shortage;
  EXPECT_TRUE(MakePlan(sketch.schedule, {.capacity_bytes = 3072}, &shortage).ok());
  EXPECT_FALSE(shortage.happened());
  EXPECT_FALSE(FindConflict({}, shortage).ok());
  const absl::StatusOr<Plan> plan = MakePlan(sketch.schedule, {.capacity_bytes = 3000}, &shortage);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(
      plan.status().message(),
      "the arenas of null need at least 3072 bytes, 72 more than the capacity 3000; most live "
      "at step 2 (join): a (1024 bytes), b (1024 bytes), c (1024 bytes)");
  EXPECT_EQ(MakePlan(sketch.schedule, {.capacity_bytes = 0}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(ShortageTest, TheConflictIsIrreducible) {
  Sketch sketch;
  AddJoined(sketch);
  Shortage shortage;
  EXPECT_FALSE(MakePlan(sketch.schedule, {.capacity_bytes = 2000}, &shortage).ok());
  ASSERT_TRUE(shortage.happened());
  EXPECT_TRUE(shortage.proven);
  EXPECT_OK(FindConflict({.deadline = absl::InfinitePast()}, shortage));
  EXPECT_TRUE(shortage.why.irreducible);
  ASSERT_EQ(shortage.why.conflict.size(), 2u);
  const std::string text = ShortageText(shortage, sketch.schedule);
  EXPECT_TRUE(absl::StrContains(text,
                                "Arenas of null: 4 items need at least 3072 bytes, 1072 more than "
                                "the capacity 2000.\nPeak of 3072 bytes at step 2 (join), 3 items "
                                "live:\n  a: 1024 bytes, lives steps 0 to 2 (first to join)"))
      << text;
}

TEST(ShortageTest, QueuesShareTheCapacityAndSpacesDoNot) {
  NullAllocator other(NullAllocator::DefaultTraits(), MemorySpace::Parse("cuda:0").value());
  Sketch sketch;
  sketch.Add("a", 1024);
  sketch.Add("b", 512);
  sketch.Add("c", 4096, {}, &other);
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {}, {"b"}, {.queue = 1});
  sketch.Step("s2", {}, {"c"});
  sketch.Release();
  EXPECT_EQ(MakePlan(sketch.schedule, {.capacity_bytes = 4096}).value().arena_bytes, 5632u);
  Shortage shortage;
  EXPECT_FALSE(MakePlan(sketch.schedule, {.capacity_bytes = 4095}, &shortage).ok());
  EXPECT_EQ(shortage.space.ToString(), "cuda:0");
  // To queue 0 what is left beside queue 1.
  EXPECT_FALSE(MakePlan(sketch.schedule, {.capacity_bytes = 1500}, &shortage).ok());
  EXPECT_EQ(shortage.queue, 0u);
  EXPECT_EQ(shortage.capacity_bytes, 1500u - 512u);
  EXPECT_FALSE(
      MakePlan(sketch.schedule, {.mode = PlanMode::kRemap, .capacity_bytes = 1500}, &shortage)
          .ok());
}

TEST(ShortageTest, QueuesThatNeedMoreThanTheirBound) {
  // Nothing is ordered, so that each queue takes twice what lives at once in the list.
  Sketch sketch(OrderKind::kDependencies);
  for (const char* name : {"a", "b"}) sketch.Add(name, 1024);
  for (const char* name : {"c", "d"}) sketch.Add(name, 512);
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {}, {"b"});
  sketch.Step("s2", {}, {"c"}, {.queue = 1});
  sketch.Step("s3", {}, {"d"}, {.queue = 1});
  sketch.Release();
  EXPECT_TRUE(MakePlan(sketch.schedule, {.capacity_bytes = 3072}).ok());
  Shortage shortage;
  EXPECT_FALSE(MakePlan(sketch.schedule, {.capacity_bytes = 2560}, &shortage).ok());
  EXPECT_EQ(shortage.queue, 1u);
  EXPECT_EQ(shortage.capacity_bytes, 512u);
}

TEST(ShortageTest, WhatIsNotProvenIsSaidSo) {
  // With dependencies the bound is what lives at once in the list, and less than what is taken.
  Sketch sketch(OrderKind::kDependencies);
  sketch.Add("a", 1024);
  sketch.Add("b", 1024);
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {}, {"b"});
  sketch.Release();
  Shortage shortage;
  const absl::StatusOr<Plan> plan =
      MakePlan(sketch.schedule, {.capacity_bytes = 1024, .max_searched = 0}, &shortage);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(absl::StrContains(plan.status().message(), "no plan within the capacity 1024"));
  ASSERT_TRUE(shortage.happened());
  EXPECT_FALSE(shortage.proven);
  EXPECT_FALSE(FindConflict({}, shortage).ok());
}

// A schedule whose tensors all have `scale` times their size.
void AddScaled(uint64_t scale, Sketch& sketch) {
  uint32_t random = 1;
  for (int i = 0; i < 60; ++i) {
    random = random * 1664525 + 1013904223;
    const std::string name = "x" + std::to_string(i);
    sketch.Add(name, (64 + (random >> 24) * 64) * (i % 10 == 0 ? scale : 1));
    std::vector<std::string> reads;
    for (int back : {1, 3, 7}) {
      if (i >= back) reads.push_back("x" + std::to_string(i - back));
    }
    sketch.Step("s" + std::to_string(i), reads, {name});
  }
  sketch.Release();
}

size_t Kept(const Plan& a, const Plan& b) {
  size_t kept = 0;
  EXPECT_EQ(a.placements.size(), b.placements.size());
  for (size_t i = 0; i < a.placements.size() && i < b.placements.size(); ++i) {
    kept += a.placements[i].offset_bytes == b.placements[i].offset_bytes;
  }
  return kept;
}

TEST(KeepTest, OffsetsAreKeptWherePossible) {
  Sketch before, after;
  AddScaled(1, before);
  AddScaled(2, after);
  const Plan old = MakePlan(before.schedule).value();
  const Plan same = MakePlan(before.schedule, {.keep = &old}).value();
  EXPECT_EQ(Kept(old, same), old.placements.size());
  const Plan anew = MakePlan(after.schedule).value();
  const Plan kept = MakePlan(after.schedule, {.keep = &old}).value();
  EXPECT_OK(ValidatePlan(kept, after.schedule));
  EXPECT_GT(Kept(old, kept), old.placements.size() * 2 / 3);
  EXPECT_GT(Kept(old, kept), Kept(old, anew));
  // The capacity goes before what is kept.
  PlanOptions tight{.capacity_bytes = anew.arena_bytes, .keep = &old};
  const Plan low = MakePlan(after.schedule, tight).value();
  EXPECT_LE(low.arena_bytes, anew.arena_bytes);
}

TEST(KeepTest, PlansOfOthersDoNoHarm) {
  Sketch sketch;
  AddScaled(1, sketch);
  Plan odd = MakePlan(sketch.schedule).value();
  for (Placement& p : odd.placements) {
    p.offset_bytes += p.storage % 3 == 0 ? 1 : 0;                 // not aligned
    p.arena = p.storage % 5 == 0 ? 7 : 0;                         // no such arena
    if (p.storage % 7 == 0) p.storage += 1000000;                 // no such storage
    if (p.storage % 11 == 0) p.offset_bytes = ~uint64_t{0} - 63;  // no such address
  }
  const Plan plan = MakePlan(sketch.schedule, {.keep = &odd}).value();
  EXPECT_OK(ValidatePlan(plan, sketch.schedule));
  odd.arenas[0].queue = 3;
  EXPECT_EQ(MakePlan(sketch.schedule, {.keep = &odd}).value(), MakePlan(sketch.schedule).value());
}

TEST(KeepTest, DependenciesToo) {
  Sketch sketch(OrderKind::kDependencies);
  for (const char* name : {"a", "b", "c", "d"}) sketch.Add(name, 1024);
  sketch.Step("s0", {}, {"a"});
  sketch.Step("s1", {"a"}, {"b"}, {.after = {0}});
  sketch.Step("s2", {"a"}, {"c"}, {.after = {0}});
  sketch.Step("s3", {"b", "c"}, {"d"}, {.after = {1, 2}});
  sketch.Release();
  Plan old = MakePlan(sketch.schedule).value();
  for (Placement& p : old.placements) p.offset_bytes = 3072 - p.offset_bytes;
  const Plan kept = MakePlan(sketch.schedule, {.keep = &old}).value();
  EXPECT_OK(ValidatePlan(kept, sketch.schedule));
  EXPECT_EQ(Kept(old, kept), 4u);
}

}  // namespace
}  // namespace tenure
