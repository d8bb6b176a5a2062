#include "tenure/planner/place_plan.h"

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

std::byte* Address(const Buffer& buffer) {
  absl::StatusOr<void*> pointer = buffer.MutableHostPointer();
  EXPECT_TRUE(pointer.ok()) << pointer.status();
  return pointer.ok() ? static_cast<std::byte*>(*pointer) : nullptr;
}

class PlacePlanTest : public testing::Test {
 protected:
  // a and c share bytes; b lies between them in time. Queue 1 has an arena of its own.
  void SetUp() override {
    for (const char* name : {"a", "b", "c", "other"}) sketch_.Add(name, 64, {}, &cpu_);
    view_ = sketch_.Window("a[16:32]").storage_id();
    sketch_.Step("s0", {}, {"a"});
    sketch_.Step("s1", {"a[16:32]"}, {"b"});
    sketch_.Step("s2", {"b"}, {"c"});
    sketch_.Step("s3", {"c"}, {"other"}, {.queue = 1});
    for (const Step& step : sketch_.schedule.steps()) {
      for (const Buffer& b : step.reads) ids_.push_back({b.id(), b.storage_id()});
    }
    sketch_.Release();
    plan_ = MakePlan(sketch_.schedule).value();
    ASSERT_EQ(plan_.arenas.size(), 2u);
  }
  const Step& step(size_t number) const { return sketch_.schedule.steps()[number]; }
  const Buffer& a() const { return step(0).writes[0]; }
  const Buffer& b() const { return step(1).writes[0]; }
  const Buffer& c() const { return step(2).writes[0]; }
  const Buffer& other() const { return step(3).writes[0]; }
  bool AnyAllocated() const {
    return a().is_allocated() || b().is_allocated() || c().is_allocated() || other().is_allocated();
  }

  CpuAllocator cpu_;
  Sketch sketch_;
  Plan plan_;
  StorageId view_;
  std::vector<std::pair<BufferId, StorageId>> ids_;
};

TEST_F(PlacePlanTest, StoragesLieWhereThePlanSays) {
  const uint64_t before = cpu_.Stats().in_use_count;
  const auto placed = PlacePlan(plan_, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(cpu_.Stats().in_use_count - before, 2u);  // the arenas
  ASSERT_EQ(placed->arenas.size(), 2u);
  EXPECT_EQ(placed->arenas[0].name(), "arena 0 of sketch");
  ASSERT_EQ(placed->storages.size(), 4u);
  const std::map<std::string, const Buffer*> buffers = {
      {"a", &a()}, {"b", &b()}, {"c", &c()}, {"other", &other()}};
  for (const auto& [name, buffer] : buffers) {
    const Placement p = sketch_.At(plan_, name);
    EXPECT_TRUE(buffer->storage()->is_placed()) << name;
    EXPECT_EQ(Address(*buffer), Address(placed->arenas[p.arena]) + p.offset_bytes) << name;
  }
  EXPECT_EQ(Address(a()), Address(c()));
  EXPECT_TRUE(a().Overlaps(c()));
  EXPECT_FALSE(a().Overlaps(b()));
  // Views are windows of the placed bytes.
  EXPECT_EQ(Address(step(1).reads[0]), Address(a()) + 16);
}

TEST_F(PlacePlanTest, IdsStayWhatTheyWere) {
  ASSERT_OK(PlacePlan(plan_, sketch_.schedule));
  size_t i = 0;
  for (const Step& step : sketch_.schedule.steps()) {
    for (const Buffer& buffer : step.reads)
      EXPECT_EQ(ids_[i++], std::make_pair(buffer.id(), buffer.storage_id()));
  }
  EXPECT_EQ(a().storage_id(), view_);
}

// A handle that the planner never heard of, because it was made after the plan was checked.
TEST_F(PlacePlanTest, HandlesFromElsewherePointAtTheArena) {
  const auto placed = [&]() -> absl::StatusOr<PlacedPlan> {
    // Held when placing: refused. So place first, with a keep-alive that counts for nobody.
    const StorageKeepAlive alive(a().storage());
    return PlacePlan(plan_, sketch_.schedule);
  }();
  ASSERT_OK(placed);
  const Buffer copy = a();
  const Buffer view = copy.View(8, 8).value();
  EXPECT_EQ(copy.id(), a().id());
  EXPECT_EQ(Address(view), Address(placed->arenas[0]) + sketch_.At(plan_, "a").offset_bytes + 8);
}

TEST_F(PlacePlanTest, HandlesCopiedBeforePlanningPointAtTheArena) {
  const Buffer early = b();
  EXPECT_CODE(FailedPrecondition, PlacePlan(plan_, sketch_.schedule));
  const auto placed = internal::PlaceUnchecked(plan_, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(early.id(), b().id());
  EXPECT_EQ(Address(early), Address(b()));
  EXPECT_EQ(Address(early), Address(placed->arenas[0]) + sketch_.At(plan_, "b").offset_bytes);
}

TEST_F(PlacePlanTest, TheArenaLivesAsLongAsWhatIsPlacedInIt) {
  Buffer kept;
  {
    auto placed = PlacePlan(plan_, sketch_.schedule);
    ASSERT_OK(placed);
    kept = a();
  }
  sketch_.schedule.TakeSteps();
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  std::memset(Address(kept), 7, 64);
  EXPECT_EQ(Address(kept)[63], std::byte{7});
  kept = Buffer();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(PlacePlanTest, UnplaceAndPlaceAgain) {
  for (int round = 0; round < 3; ++round) {
    auto placed = PlacePlan(plan_, sketch_.schedule);
    ASSERT_OK(placed);
    EXPECT_CODE(FailedPrecondition, PlacePlan(plan_, sketch_.schedule));  // placed already
    EXPECT_TRUE(a().is_allocated());
    ASSERT_OK(UnplacePlan(*std::move(placed)));
    EXPECT_FALSE(AnyAllocated());
    EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
  }
  // What is unplaced can get memory of its own.
  ASSERT_OK(a().EnsureAllocated());
  EXPECT_FALSE(a().storage()->is_placed());
}

TEST_F(PlacePlanTest, UnplaceKeepsWhatIsSealedOrMapped) {
  auto placed = PlacePlan(plan_, sketch_.schedule);
  ASSERT_OK(placed);
  ASSERT_OK(other().Seal());  // exclusive
  EXPECT_CODE(FailedPrecondition, UnplacePlan(*std::move(placed)));
  EXPECT_TRUE(other().is_allocated());
  EXPECT_FALSE(a().is_allocated());
}

TEST_F(PlacePlanTest, StalePlansAreRefused) {
  const auto expect_refused = [&](const std::string& why) {
    const absl::Status status = PlacePlan(plan_, sketch_.schedule).status();
    EXPECT_CODE(FailedPrecondition, status);
    EXPECT_TRUE(absl::StrContains(status.message(), why)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "'c'")) << status;
    EXPECT_FALSE(a().is_allocated());
  };
  {
    const Buffer held = c();
    expect_refused("held, 1 handle outside");
  }
  sketch_.schedule.Hold(c(), "watched");
  expect_refused("held, watched");
}

TEST_F(PlacePlanTest, StaleBecauseAllocated) {
  ASSERT_OK(c().EnsureAllocated());
  const absl::Status status = PlacePlan(plan_, sketch_.schedule).status();
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "allocated")) << status;
}

TEST_F(PlacePlanTest, StaleBecauseSealed) {
  ASSERT_OK(c().Seal());
  const absl::Status status = PlacePlan(plan_, sketch_.schedule).status();
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "sealed")) << status;
  EXPECT_CODE(FailedPrecondition, internal::PlaceUnchecked(plan_, sketch_.schedule));
  EXPECT_FALSE(AnyAllocated());
}

TEST_F(PlacePlanTest, StaleBecauseMarkedOrLonger) {
  Schedule& schedule = sketch_.schedule;
  schedule.MarkOutput(c());
  EXPECT_CODE(FailedPrecondition, PlacePlan(plan_, schedule));  // another fingerprint
}

TEST_F(PlacePlanTest, StaleBecauseStepsWereAdded) {
  ASSERT_OK(sketch_.schedule.AddStep({.name = "more", .reads = {c()}}));
  const absl::Status status = PlacePlan(plan_, sketch_.schedule).status();
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "another schedule")) << status;
}

// Allocated behind the validator's back: everything is taken out again.
TEST_F(PlacePlanTest, AllOrNothing) {
  ASSERT_OK(c().EnsureAllocated());
  EXPECT_CODE(FailedPrecondition, internal::PlaceUnchecked(plan_, sketch_.schedule));
  EXPECT_FALSE(a().is_allocated());
  EXPECT_FALSE(b().is_allocated());
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);  // c's own
}

TEST_F(PlacePlanTest, ExclusiveMayBeSealed) {
  EXPECT_TRUE(sketch_.At(plan_, "other").exclusive);
  EXPECT_TRUE(sketch_.At(plan_, "b").exclusive);
  EXPECT_FALSE(sketch_.At(plan_, "a").exclusive);
  EXPECT_FALSE(sketch_.At(plan_, "c").exclusive);
  const auto placed = PlacePlan(plan_, sketch_.schedule);
  ASSERT_OK(placed);
  const absl::Status status = a().Seal();
  EXPECT_CODE(FailedPrecondition, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "gives its bytes to other storages too"));
  EXPECT_OK(b().Seal());
  EXPECT_OK(other().Seal());
  EXPECT_CODE(FailedPrecondition, other().MutableHostPointer());
}

TEST(PlacePlanFailureTest, AnArenaThatCanNotBeAllocated) {
  for (uint64_t nth = 1; nth <= 4; ++nth) {
    FaultInjectingAllocator device(std::make_unique<CpuAllocator>(), {.nth = nth});
    Sketch sketch;
    for (uint32_t queue = 0; queue < 3; ++queue) {
      sketch.Add(absl::StrCat("x", queue), 64, {}, &device);
      sketch.Step("s", {}, {absl::StrCat("x", queue)}, {.queue = queue});
    }
    sketch.Release();
    const auto plan = MakePlan(sketch.schedule);
    ASSERT_OK(plan);
    auto placed = PlacePlan(*plan, sketch.schedule);
    if (nth == 4) {
      EXPECT_OK(placed);
      continue;
    }
    EXPECT_CODE(ResourceExhausted, placed);
    EXPECT_TRUE(absl::StrContains(placed.status().message(), absl::StrCat("arena ", nth - 1)))
        << placed.status();
    for (const Step& step : sketch.schedule.steps())
      EXPECT_FALSE(step.writes[0].is_allocated()) << nth;
    EXPECT_EQ(device.Stats().in_use_count, 0u);
    // The next try finds everything as it was.
    EXPECT_OK(PlacePlan(*plan, sketch.schedule));
  }
}

TEST(PlacePlanFailureTest, StoragesWithoutBytesNeedNone) {
  CpuAllocator cpu;
  Sketch sketch;
  sketch.Add("empty", 0, {}, &cpu);
  sketch.Step("s", {}, {"empty"});
  sketch.Release();
  const auto plan = MakePlan(sketch.schedule);
  ASSERT_OK(plan);
  EXPECT_OK(PlacePlan(*plan, sketch.schedule));
}

}  // namespace
}  // namespace tenure
