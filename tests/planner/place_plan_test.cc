#include "tenure/planner/place_plan.h"

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/observer.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/work_counts.h"
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
    expect_refused("outside_handles, 1 handle outside");
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

// Allocated although the plan places it: then none of the others may be placed.
TEST_F(PlacePlanTest, AllOrNothing) {
  ASSERT_OK(c().EnsureAllocated());
  EXPECT_CODE(FailedPrecondition, internal::PlaceUnchecked(plan_, sketch_.schedule));
  EXPECT_FALSE(a().is_allocated());
  EXPECT_FALSE(b().is_allocated());
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);  // c's own
}

// A placement that is undone could be in use by another thread already.
TEST_F(PlacePlanTest, AFailureIsNeverVisible) {
  struct Counter : Observer {
    void OnEvent(const Event& event) override {
      if (event.kind == Event::Kind::kPlace || event.kind == Event::Kind::kUnplace) ++count;
    }
    std::atomic<int> count{0};
  };
  ASSERT_OK(c().EnsureAllocated());
  {
    Counter counter;
    const ScopedObserver scope(&counter);
    EXPECT_CODE(FailedPrecondition, internal::PlaceUnchecked(plan_, sketch_.schedule));
    EXPECT_EQ(counter.count, 0);
  }
  // Whoever needs the bytes meanwhile gets some that stay.
  std::atomic<bool> done{false};
  std::thread user([&] {
    std::byte* const bytes = Address(a());
    for (int i = 0; !done || i < 10; ++i) std::memset(bytes, i, 64);
  });
  for (int round = 0; round < 200; ++round) {
    EXPECT_CODE(FailedPrecondition, internal::PlaceUnchecked(plan_, sketch_.schedule));
  }
  done = true;
  user.join();
  EXPECT_FALSE(a().storage()->is_placed());
  EXPECT_FALSE(b().is_allocated());
}

TEST_F(PlacePlanTest, AnObserverMayUseWhatIsPlaced) {
  struct User : Observer {
    void OnEvent(const Event& event) override {
      if (event.kind != Event::Kind::kPlace) return;
      for (const Buffer* buffer : buffers) EXPECT_OK(buffer->EnsureAllocated());
    }
    std::vector<const Buffer*> buffers;
  };
  User user;
  user.buffers = {&a(), &b(), &c(), &other()};
  const ScopedObserver scope(&user);
  ASSERT_OK(PlacePlan(plan_, sketch_.schedule));
  EXPECT_TRUE(other().storage()->is_placed());
}

// --- a plan that was checked a moment ago is not checked again

struct Work {
  static Work Now() {
    const internal::WorkCounts& counts = internal::work_counts;
    return {counts.step_orders, counts.liveness_analyses, counts.validations};
  }
  Work operator-(const Work& before) const {
    return {orders - before.orders, analyses - before.analyses, validations - before.validations};
  }
  friend bool operator==(const Work&, const Work&) = default;
  friend void PrintTo(const Work& w, std::ostream* out) {
    *out << w.orders << " orders, " << w.analyses << " analyses, " << w.validations
         << " validations";
  }
  uint64_t orders = 0, analyses = 0, validations = 0;
};
constexpr Work kNothing{0, 0, 0}, kOnce{1, 1, 1};

TEST_F(PlacePlanTest, MakingAndPlacingAPlanCheckItOnce) {
  const Work before = Work::Now();
  const Plan plan = MakePlan(sketch_.schedule).value();
  auto placed = PlacePlan(plan, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(Work::Now() - before, kOnce);
  // Placed again, also as a copy or with another label.
  ASSERT_OK(UnplacePlan(*std::move(placed)));
  Plan copy = plan;
  copy.name = "copy";
  placed = PlacePlan(copy, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(Work::Now() - before, kOnce);
  ASSERT_OK(UnplacePlan(*std::move(placed)));
  // The schedule as another object.
  const Schedule moved = std::move(sketch_.schedule);
  ASSERT_OK(PlacePlan(plan, moved));
  EXPECT_EQ(Work::Now() - before, kOnce);
  EXPECT_CODE(FailedPrecondition, PlacePlan(plan, sketch_.schedule));  // has no steps now
}

TEST_F(PlacePlanTest, LoadingAndPlacingAPlanCheckItOnce) {
  const std::string json = PlanToJson(plan_);
  Work before = Work::Now();
  const auto loaded = LoadPlan(json, sketch_.schedule);
  ASSERT_OK(loaded);
  auto placed = PlacePlan(*loaded, sketch_.schedule);
  ASSERT_OK(placed);
  EXPECT_EQ(Work::Now() - before, kOnce);
  ASSERT_OK(UnplacePlan(*std::move(placed)));
  // Read, but not checked.
  before = Work::Now();
  EXPECT_OK(PlacePlan(PlanFromJson(json).value(), sketch_.schedule));
  EXPECT_EQ(Work::Now() - before, kOnce);
}

TEST_F(PlacePlanTest, AnotherScheduleOfTheSameFormIsChecked) {
  Sketch twin;
  for (const char* name : {"a", "b", "c", "other"}) twin.Add(name, 64, {}, &cpu_);
  twin.Step("s0", {}, {"a"});
  twin.Step("s1", {"a[16:32]"}, {"b"});
  twin.Step("s2", {"b"}, {"c"});
  twin.Step("s3", {"c"}, {"other"}, {.queue = 1});
  twin.Release();
  const Work before = Work::Now();
  ASSERT_OK(PlacePlan(plan_, twin.schedule));
  EXPECT_EQ(Work::Now() - before, kOnce);
  EXPECT_TRUE(twin.schedule.steps()[0].writes[0].storage()->is_placed());
  EXPECT_FALSE(AnyAllocated());
}

TEST_F(PlacePlanTest, AChangedPlanIsChecked) {
  Plan wrong = plan_;
  wrong.placements[1].offset_bytes = wrong.placements[0].offset_bytes;  // a and b live at once
  EXPECT_CODE(Internal, PlacePlan(wrong, sketch_.schedule));
  EXPECT_FALSE(AnyAllocated());
}

TEST_F(PlacePlanTest, AChangedScheduleIsChecked) {
  const Work before = Work::Now();
  sketch_.schedule.MarkInput(c());
  EXPECT_CODE(FailedPrecondition, PlacePlan(plan_, sketch_.schedule));
  EXPECT_EQ(Work::Now() - before, (Work{1, 1, 0}));  // the fingerprint differs
  EXPECT_FALSE(AnyAllocated());
}

// Nothing writes x before the step that reads it. That is right only as long as x has bytes.
TEST_F(PlacePlanTest, BytesThatAreLostAreNoticed) {
  const Buffer arena =
      Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(64), {.immediate = true}).value();
  Sketch sketch;
  Storage& x = *sketch.Add("x", 64, {}, &cpu_).storage();
  sketch.Add("y", 64, {}, &cpu_);
  ASSERT_OK(x.Place(*arena.storage(), 0, true));
  sketch.Step("s", {"x"}, {"y"});
  sketch.Release();
  const Plan plan = MakePlan(sketch.schedule).value();
  EXPECT_EQ(plan.placements.size(), 1u);
  ASSERT_OK(x.Unplace());
  EXPECT_CODE(InvalidArgument, PlacePlan(plan, sketch.schedule));
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
