// One plan, many times: placed into memory that exists, and for instances of a schedule.

#include <any>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

// in -> a -> b -> out, and c on queue 1, which has an arena of its own.
class InstanceTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"in", "a", "b", "out"}) sketch_.Add(name, 64, {}, &cpu_);
    sketch_.Add("c", 32, {}, &cpu_);
    sketch_.Step("s0", {"in"}, {"a"});
    sketch_.Step("s1", {"a[0:32]"}, {"b"});
    sketch_.Step("s2", {"b"}, {"out"});
    sketch_.Step("s3", {}, {"c"}, {.queue = 1});
    in_ = sketch_["in"];
    out_ = sketch_["out"];
    sketch_.schedule.MarkInput(in_);
    sketch_.schedule.MarkOutput(out_);
    sketch_.Release();
    plan_ = MakePlan(sketch_.schedule).value();
    ASSERT_EQ(plan_.arenas.size(), 2u);
  }
  Buffer New(uint64_t bytes, BufferOptions options = {}) {
    return Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(bytes), options).value();
  }
  static const char* Address(const Buffer& buffer) {
    return static_cast<const char*>(buffer.HostPointer().value());
  }
  const Buffer& a() const { return sketch_.schedule.steps()[0].writes[0]; }
  const Buffer& c() const { return sketch_.schedule.steps()[3].writes[0]; }
  void ExpectRefused(const Buffer& arena, std::string_view why) {
    const absl::Status status = PlacePlan(plan_, sketch_.schedule, {.arena = arena}).status();
    EXPECT_CODE(InvalidArgument, status);
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
    EXPECT_FALSE(a().is_allocated());
  }

  CpuAllocator cpu_;
  Sketch sketch_;
  Buffer in_, out_;
  Plan plan_;
};

TEST_F(InstanceTest, PlacesIntoAnArenaThatExistsAgainAndAgain) {
  const ArenaNeed need = ArenaOf(plan_, MemorySpace::Cpu());
  EXPECT_EQ(need.size_bytes, plan_.arena_bytes);
  EXPECT_EQ(need.alignment_bytes, 64u);
  EXPECT_EQ(ArenaOf(plan_, *MemorySpace::Parse("cuda:0")).size_bytes, 0u);
  const Buffer memory = New(512);
  const Buffer arena = memory.View(128, need.size_bytes).value();
  ASSERT_OK(memory.EnsureAllocated());
  const uint64_t allocations = cpu_.Stats().allocation_count;
  for (int round = 0; round < 3; ++round) {
    auto placed = PlacePlan(plan_, sketch_.schedule, {.arena = arena});
    ASSERT_OK(placed);
    EXPECT_EQ(Address(a()), Address(memory) + 128 + sketch_.At(plan_, "a").offset_bytes);
    EXPECT_EQ(Address(c()), Address(memory) + 128 + plan_.arenas[0].size_bytes);
    EXPECT_CODE(FailedPrecondition, memory.Seal());
    // Other plans may be placed in the same bytes.
    EXPECT_CODE(FailedPrecondition, c().Seal());
    ASSERT_OK(UnplacePlan(*std::move(placed)));
  }
  EXPECT_EQ(cpu_.Stats().allocation_count, allocations);
  EXPECT_OK(memory.Seal());
}

TEST_F(InstanceTest, TwoSchedulesShareAnArena) {
  Sketch other;
  other.Add("x", 96, {}, &cpu_);
  other.Step("s0", {}, {"x"});
  other.Release();
  const Plan plan = MakePlan(other.schedule).value();
  const Buffer arena = New(192);
  const auto first = PlacePlan(plan_, sketch_.schedule, {.arena = arena});
  ASSERT_OK(first);
  const auto second = PlacePlan(plan, other.schedule, {.arena = arena});
  ASSERT_OK(second);
  EXPECT_EQ(Address(other.schedule.steps()[0].writes[0]), Address(arena));
  EXPECT_TRUE(other.schedule.steps()[0].writes[0].Overlaps(a()));
}

TEST_F(InstanceTest, AnArenaThatDoesNotFitIsRefused) {
  ExpectRefused(New(128), "it has 128 bytes, and the plan needs 192");
  ExpectRefused(New(512).View(8, 192).value(), "not aligned to 64");
  ExpectRefused(in_, "it is a buffer of the schedule");
  ExpectRefused(sketch_.Add("null", 512), "space null");
  alignas(64) static std::byte memory[192];
  ExpectRefused(Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(192),
                             {.data = memory, .read_only = true}, 192)
                    .value(),
                "read-only");
  const Buffer sealed = New(192);
  ASSERT_OK(sealed.Seal());
  EXPECT_CODE(FailedPrecondition, PlacePlan(plan_, sketch_.schedule, {.arena = sealed}));
}

TEST_F(InstanceTest, OnePlanServesManyInstances) {
  std::vector<Schedule> instances;
  std::vector<PlacedPlan> placed;
  for (int i = 0; i < 3; ++i) {
    const Buffer in = New(64), out = New(64);
    auto instance = sketch_.schedule.Instance({{in_, in}, {out_, out}});
    ASSERT_OK(instance);
    EXPECT_EQ(Fingerprint(*instance), plan_.fingerprint);
    EXPECT_EQ(instance->steps()[0].reads[0].storage_id(), in.storage_id());
    EXPECT_EQ(instance->steps()[2].writes[0].storage_id(), out.storage_id());
    // Windows of one storage are windows of one storage again.
    const Buffer& a = instance->steps()[0].writes[0];
    EXPECT_NE(a.storage_id(), this->a().storage_id());
    EXPECT_EQ(instance->steps()[1].reads[0].storage_id(), a.storage_id());
    EXPECT_EQ(a.name(), "a");
    auto at = PlacePlan(plan_, *instance);
    ASSERT_OK(at);
    EXPECT_EQ(at->storages.size(), 3u);
    instances.push_back(*std::move(instance));
    placed.push_back(*std::move(at));
  }
  EXPECT_NE(Address(instances[0].steps()[0].writes[0]), Address(instances[1].steps()[0].writes[0]));
  EXPECT_FALSE(a().is_allocated());
}

TEST_F(InstanceTest, MarksAndPayloadsGoWithTheInstance) {
  Schedule schedule("marked");
  const Buffer x = New(64), y = New(64), z = New(64);
  ASSERT_OK(schedule.AddStep({.name = "s", .reads = {x}, .writes = {y, z}, .payload = 7}));
  schedule.MarkInput(x, InputUse::kDonated);
  schedule.MarkOutput(y, OutputPlacement::kReused);
  schedule.MarkIntermediate(z);
  const Buffer x2 = New(64), y2 = New(64);
  const auto instance = schedule.Instance({{x, x2}, {y, y2}});
  ASSERT_OK(instance);
  EXPECT_TRUE(instance->IsDonated(x2.storage_id()));
  EXPECT_FALSE(instance->IsInput(x.storage_id()));
  EXPECT_EQ(instance->PlacementOf(y2.storage_id()), OutputPlacement::kReused);
  EXPECT_TRUE(instance->IsIntermediate(instance->steps()[0].writes[1].storage_id()));
  EXPECT_EQ(std::any_cast<int>(instance->steps()[0].payload), 7);
}

TEST_F(InstanceTest, WhatDoesNotFitIsNotRebound) {
  const auto expect_refused = [this](const std::vector<Rebinding>& rebindings,
                                     std::string_view why) {
    const absl::Status status = sketch_.schedule.Instance(rebindings).status();
    EXPECT_CODE(InvalidArgument, status);
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
  };
  expect_refused({{in_, New(128)}}, "size, alignment");
  expect_refused({{out_, New(64, {.zeroed = true})}}, "promise of zeros");
  expect_refused({{in_, out_}}, "uses already");
  expect_refused({{in_, New(64)}, {in_, New(64)}}, "rebound twice");
  const Buffer both = New(64);
  expect_refused({{in_, both}, {out_, both}}, "stands for another buffer too");
  expect_refused({{New(64), New(64)}}, "no step uses");
  expect_refused({{in_, Buffer()}}, "null buffer");
  expect_refused({{in_, sketch_.Add("far", 64)}}, "they are in cpu and null");
  // Two may exchange their places.
  EXPECT_OK(sketch_.schedule.Instance({{in_, out_}, {out_, in_}}));
}

// An output of another plan in the arena is an input here. Nothing may be placed in its bytes.
TEST_F(InstanceTest, WhatIsKeptInTheArenaIsNotOverwritten) {
  Sketch other;
  other.Add("kept", 64, {}, &cpu_);
  other.Step("s0", {}, {"kept"});
  other.schedule.MarkOutput(other["kept"], OutputPlacement::kInArena);
  other.Release({"kept"});
  const Plan plan = MakePlan(other.schedule).value();
  const Buffer arena = New(512);
  const auto first = PlacePlan(plan, other.schedule, {.arena = arena});
  ASSERT_OK(first);
  const auto next = sketch_.schedule.Instance({{in_, other["kept"]}});
  ASSERT_OK(next);
  const absl::Status status = PlacePlan(plan_, *next, {.arena = arena}).status();
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "'kept'")) << status;
  EXPECT_FALSE(next->steps()[0].writes[0].is_allocated());
  // Beside it there is room.
  EXPECT_OK(PlacePlan(plan_, *next, {.arena = arena.View(64, 256).value()}));
}

TEST_F(InstanceTest, WhatIsKeptInOwnMemoryIsNotOverwritten) {
  const Buffer memory = New(256);
  ASSERT_OK(memory.EnsureAllocated());
  for (const uint64_t offset : {uint64_t{64}, uint64_t{128}}) {
    Sketch sketch;
    sketch.Add("donated", 128, {}, &cpu_);
    sketch.Add("kept", 64, {}, &cpu_);
    for (const char* name : {"x", "y"}) sketch.Add(name, 128, {}, &cpu_);
    ASSERT_OK(sketch["donated"].storage()->Place(*memory.storage(), 0, false));
    ASSERT_OK(sketch["kept"].storage()->Place(*memory.storage(), offset, false));
    sketch.Step("s0", {"donated"}, {"x"});
    sketch.Step("s1", {"x", "kept"}, {"y"});
    sketch.schedule.MarkInput(sketch["donated"], InputUse::kDonated);
    sketch.schedule.MarkInput(sketch["kept"]);
    sketch.Release();
    const auto plan = MakePlan(sketch.schedule);
    ASSERT_OK(plan);
    ASSERT_TRUE(ShareBytes(sketch.At(*plan, "y"), sketch.At(*plan, "donated")));
    const auto placed = PlacePlan(*plan, sketch.schedule);
    if (offset == 64) {
      EXPECT_CODE(FailedPrecondition, placed);
    } else {
      EXPECT_OK(placed);
    }
  }
}

}  // namespace
}  // namespace tenure
