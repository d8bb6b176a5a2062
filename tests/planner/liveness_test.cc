#include "tenure/planner/liveness.h"

#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/byte_ranges.h"
#include "tenure/tests/testing/sketch.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

absl::StatusOr<Liveness> Analyze(const Sketch& sketch, const LivenessOptions& options = {}) {
  return AnalyzeLiveness(sketch.schedule, StepOrder(sketch.schedule), options);
}

const StorageLife& Life(const Liveness& liveness, const std::string& name) {
  for (const StorageLife& life : liveness.storages) {
    if (life.storage->name() == name) return life;
  }
  ADD_FAILURE() << name;
  return liveness.storages.front();
}

void ExpectRefused(const absl::Status& status, const std::vector<std::string>& parts) {
  EXPECT_CODE(InvalidArgument, status);
  for (const std::string& part : parts)
    EXPECT_TRUE(absl::StrContains(status.message(), part)) << part << " in: " << status;
}

TEST(LivenessTest, ViewsShareOneLife) {
  Sketch sketch;
  sketch.Add("a", 128);
  sketch.Add("b", 64);
  sketch.Step("s0", {}, {"a[0:64]"});
  sketch.Step("s1", {}, {"a[64:128]"});
  sketch.Step("s2", {"a[32:96]"}, {"b"});
  sketch.Step("s3", {"b"}, {});
  sketch.Release();
  const auto liveness = Analyze(sketch);
  ASSERT_OK(liveness);
  ASSERT_EQ(liveness->storages.size(), 2u);
  const StorageLife& a = liveness->storages[0];
  EXPECT_EQ(a.storage->name(), "a");
  EXPECT_EQ(a.reason, PlanReason::kPlanned);
  EXPECT_EQ(a.first_step, 0u);
  EXPECT_EQ(a.last_step, 2u);
  EXPECT_EQ(a.handles, 3u);
  ASSERT_EQ(a.touches.size(), 3u);
  EXPECT_EQ(a.touches[1].step, 1u);
  EXPECT_EQ(a.touches[1].access, Access::kWrite);
  EXPECT_EQ(a.touches[1].begin, 64u);
  EXPECT_EQ(a.touches[1].end, 128u);
  EXPECT_EQ(a.touches[2].access, Access::kRead);
  EXPECT_EQ(liveness->storages[1].first_step, 2u);
  EXPECT_EQ(liveness->storages[1].last_step, 3u);
  EXPECT_EQ(liveness->index_of.at(a.storage->id()), 0u);
}

TEST(LivenessTest, ReadsOfAStepComeBeforeItsWrites) {
  Sketch sketch;
  sketch.Add("w", 64);
  sketch.Add("r", 64, {.zeroed = true});
  sketch.Step("s", {"r"}, {"w", "r"});
  sketch.Release();
  const auto liveness = Analyze(sketch, {.fill_zeroed = true});
  ASSERT_OK(liveness);
  EXPECT_EQ(liveness->storages[0].storage->name(), "r");
  EXPECT_EQ(liveness->storages[0].touches[0].access, Access::kRead);
  EXPECT_EQ(liveness->storages[0].touches[1].access, Access::kWrite);
}

TEST(LivenessTest, RefusesReadsBeforeAnyWrite) {
  Sketch sketch;
  sketch.Add("h0", 64);
  sketch.Add("out", 64);
  sketch.Step("embed", {}, {"out"});
  sketch.Step("matmul", {"h0"}, {"out"});
  ExpectRefused(Analyze(sketch).status(),
                {"step 1 ('matmul')", "buffer 'h0'", "before any step has written"});
  sketch.schedule.MarkInput(sketch["h0"]);
  EXPECT_OK(Analyze(sketch));
}

TEST(LivenessTest, AReadOfTheWritingStepItselfComesTooEarly) {
  Sketch sketch;
  sketch.Add("h", 64);
  sketch.Step("accumulate", {"h"}, {"h"});
  ExpectRefused(Analyze(sketch).status(), {"step 0 ('accumulate')", "buffer 'h'"});
}

TEST(LivenessTest, WhatMayBeReadAtOnce) {
  CpuAllocator cpu;
  Sketch sketch;
  sketch.Add("zeros", 64, {.zeroed = true});
  sketch.Add("there", 64, {.immediate = true}, &cpu);
  sketch.Add("empty", 0);
  sketch.Step("s", {"zeros", "there", "empty"}, {});
  EXPECT_OK(Analyze(sketch));
}

TEST(LivenessTest, NamelessStoragesAreNamedByTheirId) {
  Sketch sketch;
  Buffer buffer = Buffer::Create(sketch.device, DType::kUInt8, Shape::Vector(64)).value();
  Step step{.name = "s", .reads = {buffer}};
  ASSERT_OK(sketch.schedule.AddStep(std::move(step)));
  ExpectRefused(Analyze(sketch).status(), {absl::StrCat("storage ", buffer.storage_id().value())});
}

TEST(LivenessTest, Reasons) {
  CpuAllocator cpu;
  Sketch sketch;
  for (const char* name : {"planned", "input", "output", "sealed", "held", "hold", "view"})
    sketch.Add(name, 64);
  sketch.Add("allocated", 64, {.immediate = true}, &cpu);
  sketch.Add("zeroed", 64, {.zeroed = true});
  sketch.Step("s", {},
              {"planned", "input", "output", "sealed", "held", "hold", "view", "allocated",
               "zeroed[0:32]"});
  sketch.schedule.MarkInput(sketch["input"]);
  sketch.schedule.MarkOutput(sketch["output"]);
  sketch.schedule.Hold(sketch["hold"], "printed by the debugger");
  ASSERT_OK(sketch["sealed"].Seal());
  const Buffer view = sketch.Window("view[8:16]");
  sketch.Release({"held"});
  const Buffer again = sketch["held"];
  const auto liveness = Analyze(sketch);
  ASSERT_OK(liveness);
  EXPECT_EQ(Life(*liveness, "planned").reason, PlanReason::kPlanned);
  EXPECT_EQ(Life(*liveness, "input").reason, PlanReason::kInput);
  EXPECT_EQ(Life(*liveness, "output").reason, PlanReason::kOutput);
  EXPECT_EQ(Life(*liveness, "allocated").reason, PlanReason::kAllocated);
  EXPECT_EQ(Life(*liveness, "sealed").reason, PlanReason::kSealed);
  EXPECT_EQ(Life(*liveness, "zeroed").reason, PlanReason::kZeroed);
  EXPECT_EQ(Life(*liveness, "held").reason, PlanReason::kOutsideHandles);
  EXPECT_EQ(Life(*liveness, "held").detail, "2 handles outside the schedule");
  EXPECT_EQ(Life(*liveness, "view").reason, PlanReason::kOutsideHandles);
  EXPECT_EQ(Life(*liveness, "view").detail, "1 handle outside the schedule");
  EXPECT_EQ(Life(*liveness, "hold").reason, PlanReason::kHeld);
  EXPECT_EQ(Life(*liveness, "hold").detail, "printed by the debugger");

  const auto ignoring = Analyze(sketch, {.fill_zeroed = true, .ignore_outside_handles = true});
  ASSERT_OK(ignoring);
  EXPECT_EQ(Life(*ignoring, "held").reason, PlanReason::kPlanned);
  EXPECT_EQ(Life(*ignoring, "hold").reason, PlanReason::kHeld);
  EXPECT_EQ(Life(*ignoring, "zeroed").reason, PlanReason::kPlanned);
  EXPECT_TRUE(Life(*ignoring, "zeroed").needs_fill);
}

TEST(LivenessTest, InternalReferencesHoldNothing) {
  Sketch sketch;
  const StorageKeepAlive alive(sketch.Add("a", 64).storage());
  sketch.Step("s", {}, {"a"});
  sketch.Release();
  const auto liveness = Analyze(sketch);
  ASSERT_OK(liveness);
  EXPECT_EQ(liveness->storages[0].reason, PlanReason::kPlanned);
}

TEST(LivenessTest, ReasonNames) {
  std::set<std::string_view> names;
  for (int i = 0; i < kPlanReasonCount; ++i) names.insert(PlanReasonName(PlanReason(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kPlanReasonCount));
  EXPECT_EQ(names.count("?"), 0u);
}

// Zeroed storages whose first step writes every byte need no fill.
TEST(LivenessTest, FillsAreElided) {
  struct Case {
    std::vector<std::string> reads, writes;
    bool needs_fill;
  };
  const std::vector<Case> cases = {
      {{}, {"z"}, false},
      {{}, {"z[0:40]", "z[40:64]"}, false},
      {{}, {"z[32:64]", "z[0:48]"}, false},
      {{}, {"z[0:40]", "z[48:64]"}, true},
      {{}, {"z[1:64]"}, true},
      {{"z"}, {"z"}, true},
      {{"z[0:1]"}, {"z"}, true},
      {{"z[8:8]"}, {"z"}, false},  // no bytes read
      {{}, {"z[0:0]"}, true},
  };
  for (const Case& c : cases) {
    Sketch sketch;
    sketch.Add("z", 64, {.zeroed = true});
    sketch.Step("s0", c.reads, c.writes);
    sketch.Step("s1", {"z"}, {});
    sketch.Release();
    for (bool fill : {false, true}) {
      const auto liveness = Analyze(sketch, {.fill_zeroed = fill});
      ASSERT_OK(liveness);
      const StorageLife& z = liveness->storages[0];
      const bool planned = fill || !c.needs_fill;
      EXPECT_EQ(z.reason, planned ? PlanReason::kPlanned : PlanReason::kZeroed);
      EXPECT_EQ(z.needs_fill, fill && c.needs_fill);
    }
  }
}

// With dependencies the fill needs one step that precedes all others.
TEST(LivenessTest, NoOneMomentToFill) {
  for (bool ordered : {false, true}) {
    Sketch sketch(OrderKind::kDependencies);
    sketch.Add("z", 64, {.zeroed = true});
    sketch.Step("s0", {}, {"z[0:32]"});
    sketch.Step("s1", {}, {"z[32:48]"},
                {.after = ordered ? std::vector<uint32_t>{0} : std::vector<uint32_t>{}});
    sketch.Release();
    const auto liveness = Analyze(sketch, {.fill_zeroed = true});
    ASSERT_OK(liveness);
    EXPECT_EQ(liveness->storages[0].reason, ordered ? PlanReason::kPlanned : PlanReason::kZeroed);
  }
}

TEST(LivenessTest, UnorderedConflictsAreRefused) {
  struct Case {
    std::vector<std::string> first_reads, first_writes, second_reads, second_writes;
    bool conflict;
  };
  const std::vector<Case> cases = {
      {{}, {"a"}, {"a"}, {}, true},                // read after write
      {{"a"}, {}, {}, {"a"}, true},                // write after read
      {{}, {"a"}, {}, {"a"}, true},                // write after write
      {{"a"}, {}, {"a"}, {}, false},               // two reads
      {{}, {"a[0:32]"}, {}, {"a[32:64]"}, false},  // apart
      {{}, {"a[0:33]"}, {}, {"a[32:64]"}, true},   // one byte
      {{"a[0:10]"}, {"a[10:20]"}, {"a[20:30]"}, {"a[30:40]"}, false},
      {{"a[0:10]"}, {"a[10:20]"}, {"a[19:30]"}, {}, true},
      {{}, {"a[10:10]"}, {}, {"a"}, false},  // no bytes
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Case& c = cases[i];
    for (bool ordered : {false, true}) {
      Sketch sketch(OrderKind::kDependencies);
      sketch.Add("a", 64);
      sketch.schedule.MarkInput(sketch["a"]);
      sketch.Step("root", {}, {});
      sketch.Step("left", c.first_reads, c.first_writes, {.after = {0}});
      sketch.Step("right", c.second_reads, c.second_writes,
                  {.after = ordered ? std::vector<uint32_t>{0, 1} : std::vector<uint32_t>{0}});
      const absl::Status status = Analyze(sketch).status();
      if (c.conflict && !ordered) {
        ExpectRefused(status, {"step 1 ('left')", "step 2 ('right')", "buffer 'a'",
                               "neither is ordered", "add a dependency"});
      } else {
        EXPECT_TRUE(status.ok()) << i << ": " << status;
      }
    }
  }
}

// Against every pair of touches, on random schedules.
TEST(LivenessTest, OrderCheckFindsWhatEveryPairSays) {
  std::mt19937 random(5);
  int refused = 0, taken = 0;
  for (int round = 0; round < 2000; ++round) {
    Sketch sketch(OrderKind::kDependencies);
    sketch.Add("a", 16);
    sketch.schedule.MarkInput(sketch["a"]);
    const uint32_t n = 2 + random() % 6;
    struct Mine {
      uint32_t step;
      bool write;
      uint64_t begin, end;
    };
    std::vector<Mine> touches;
    for (uint32_t s = 0; s < n; ++s) {
      StepExtras extras;
      for (uint32_t b = 0; b < s; ++b) {
        if (random() % 3 != 0) extras.after.push_back(b);
      }
      std::vector<std::string> reads, writes;
      for (uint32_t k = random() % 3; k > 0; --k) {
        const uint64_t begin = random() % 16, end = begin + random() % (17 - begin);
        const bool write = random() % 2 == 0;
        (write ? writes : reads).push_back(absl::StrCat("a[", begin, ":", end, "]"));
        touches.push_back({s, write, begin, end});
      }
      sketch.Step("s", reads, writes, extras);
    }
    const StepOrder order(sketch.schedule);
    bool conflict = false;
    for (const Mine& x : touches) {
      for (const Mine& y : touches) {
        conflict = conflict || (x.step < y.step && (x.write || y.write) &&
                                std::max(x.begin, y.begin) < std::min(x.end, y.end) &&
                                !order.Precedes(x.step, y.step));
      }
    }
    EXPECT_EQ(Analyze(sketch).ok(), !conflict) << round;
    ++(conflict ? refused : taken);
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(taken, 100);
}

// --- the order of steps
// ---------------------------------------------------------------------------

TEST(StepOrderTest, TotalOrderIsTheList) {
  Sketch sketch;
  for (int i = 0; i < 4; ++i) sketch.Step("s", {}, {});
  const StepOrder order(sketch.schedule);
  EXPECT_TRUE(order.total());
  EXPECT_TRUE(order.Precedes(0, 3));
  EXPECT_FALSE(order.Precedes(3, 0));
  EXPECT_FALSE(order.Precedes(2, 2));
}

// Random graphs against their closure, with the table and without.
TEST(StepOrderTest, KnowsTheClosure) {
  std::mt19937 random(7);
  int stages = 0;
  for (int round = 0; round < 400; ++round) {
    const uint32_t n = 1 + random() % 24, odds = 1 + random() % 8;
    Schedule schedule("graph", OrderKind::kDependencies);
    std::vector<std::vector<bool>> before(n, std::vector<bool>(n, false));
    for (uint32_t s = 0; s < n; ++s) {
      Step step;
      for (uint32_t b = 0; b < s; ++b) {
        if (random() % odds != 0) continue;
        step.after.push_back(b);
        if (random() % 4 == 0) step.after.push_back(b);  // twice
        before[b][s] = true;
        for (uint32_t c = 0; c < b; ++c) before[c][s] = before[c][s] || before[c][b];
      }
      ASSERT_OK(schedule.AddStep(std::move(step)));
    }
    const StepOrder table(schedule), search(schedule, 0);
    for (uint32_t a = 0; a < n; ++a) {
      for (uint32_t b = 0; b < n; ++b) {
        ASSERT_EQ(table.Precedes(a, b), before[a][b]) << round << ": " << a << ", " << b;
        ASSERT_EQ(table.SurelyPrecedes(a, b), before[a][b]);
        ASSERT_EQ(search.Precedes(a, b), before[a][b]) << round << ": " << a << ", " << b;
        ASSERT_LE(search.SurelyPrecedes(a, b), before[a][b]) << round << ": " << a << ", " << b;
        stages += search.SurelyPrecedes(a, b) ? 1 : 0;
      }
    }
    // Sets of steps.
    std::vector<uint32_t> x, y;
    for (uint32_t s = 0; s < n; ++s) {
      if (random() % 4 == 0) x.push_back(s);
      if (random() % 4 == 0) y.push_back(s);
    }
    if (x.empty() || y.empty()) continue;
    bool all = true;
    for (uint32_t a : x) {
      for (uint32_t b : y) all = all && before[a][b];
    }
    EXPECT_EQ(table.Precede(table.Ends(x), table.Ends(y)), all);
    EXPECT_EQ(search.Precede(search.Ends(x), search.Ends(y)), all);
    EXPECT_LE(search.SurelyPrecede(search.Ends(x), search.Ends(y)), all);
  }
  EXPECT_GT(stages, 1000);
}

// --- byte ranges
// ------------------------------------------------------------------------------------

TEST(ByteRangesTest, CoverageIsASet) {
  std::mt19937 random(11);
  for (int round = 0; round < 300; ++round) {
    Coverage coverage;
    std::set<uint64_t> bytes;
    for (int k = 0; k < 12; ++k) {
      const uint64_t begin = random() % 40, end = begin + random() % 8;
      bool all = true, any = false;
      for (uint64_t b = begin; b < end; ++b) {
        all = all && bytes.count(b) != 0;
        any = any || bytes.count(b) != 0;
      }
      ASSERT_EQ(coverage.Covers(begin, end), all);
      ASSERT_EQ(coverage.Intersects(begin, end), any);
      const uint64_t from = random() % 40, to = from + random() % 8;
      coverage.Add(from, to);
      for (uint64_t b = from; b < to; ++b) bytes.insert(b);
    }
  }
}

TEST(ByteRangesTest, TenantsOfEachByte) {
  std::mt19937 random(13);
  for (int round = 0; round < 300; ++round) {
    Tenants tenants;
    std::vector<int64_t> owner(48, -1);
    for (uint32_t t = 0; t < 20; ++t) {
      const uint64_t begin = random() % 40, end = begin + random() % 8;
      std::set<uint32_t> displaced, expected;
      tenants.Assign(begin, end, t, [&](uint32_t old) { displaced.insert(old); });
      for (uint64_t b = begin; b < end; ++b) {
        if (owner[b] >= 0) expected.insert(static_cast<uint32_t>(owner[b]));
        owner[b] = t;
      }
      ASSERT_EQ(displaced, expected);
    }
  }
}

}  // namespace
}  // namespace tenure
