// The code of docs/debugging.md: the lines between the marks stand there word for word
// (readme_test.py compares), and here they run.

#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/event.h"
#include "tenure/allocator/event_log.h"
#include "tenure/allocator/observer.h"
#include "tenure/allocator/registry.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/shortage.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace {

// [debug_stack]
// Instead of the allocator of `cpu` that the registry would make: one that records every
// allocation, behind one that fills fresh and freed bytes and guards the ends.
void DebugCpuMemory(Registry& registry) {
  registry
      .Register(std::make_unique<DebugFillAllocator>(
          std::make_unique<RecordingAllocator>(std::make_unique<CpuAllocator>(),
                                               RecordingAllocator::Options{}),
          DebugFillAllocator::Options{}))
      .value();
}
// [debug_stack end]

TEST(DebuggingDoc, FreshBytesAreFilled) {
  const std::unique_ptr<Registry> registry = Registry::MakeEmpty();
  DebugCpuMemory(*registry);
  Allocator* cpu = registry->Get(MemorySpace::Cpu()).value();
  const Buffer buffer = Buffer::Create(*cpu, DType::kUInt8, Shape::Vector(4)).value();
  EXPECT_EQ(buffer.Get<uint8_t>({0}).value(), 0xa5);
}

// [leaks]
// What is out now, oldest first, and which names have had the most.
void PrintLive(const RecordingAllocator& recording) {
  for (const Event& live : recording.log().Live()) {
    std::cerr << "live: " << live.name << ", " << live.size_bytes << " bytes\n";
  }
  for (const EventLog::NameStats& stats : recording.log().StatsByName()) {
    std::cerr << stats.name << ": " << stats.live_bytes << " bytes now, " << stats.peak_bytes
              << " at most, " << stats.allocations << " allocations\n";
  }
}
// [leaks end]

TEST(DebuggingDoc, LiveAllocationsHaveNames) {
  RecordingAllocator recording(std::make_unique<CpuAllocator>(), {});
  const Buffer kept =
      Buffer::Create(recording, DType::kUInt8, Shape::Vector(100), {.name = "kv cache"}).value();
  ASSERT_TRUE(kept.EnsureAllocated().ok());
  PrintLive(recording);
  ASSERT_EQ(recording.log().Live().size(), 1u);
  EXPECT_EQ(recording.log().Live()[0].name, "kv cache");
}

// [memory]
// Where the memory of one allocator is.
void PrintMemory(const Allocator& allocator) {
  const AllocatorStats stats = allocator.Stats();
  std::cerr << allocator.space() << ": " << stats.in_use_bytes << " bytes in use (at most "
            << stats.peak_in_use_bytes << "), " << stats.reserved_bytes << " reserved, "
            << stats.cached_bytes << " cached (largest free block " << stats.largest_free_bytes
            << "), " << stats.deferred_bytes << " wait for fences, " << stats.quarantined_bytes
            << " quarantined\n";
}
// [memory end]

// [not_planned]
// Which storages keep memory of their own, and why.
void PrintNotPlanned(const Plan& plan) {
  for (const NotPlanned& left : plan.not_planned) {
    std::cerr << left.name << ": " << left.size_bytes << " bytes, " << PlanReasonName(left.reason)
              << " " << left.detail << "\n";
  }
}
// [not_planned end]

// [shortage]
// Plans for a budget, and says what is in the way where it does not fit.
absl::StatusOr<Plan> PlanWithin(uint64_t budget_bytes, const Schedule& schedule) {
  Shortage shortage;
  absl::StatusOr<Plan> plan = MakePlan(schedule, {.capacity_bytes = budget_bytes}, &shortage);
  if (shortage.happened()) {
    FindConflict({.deadline = absl::Now() + absl::Seconds(2)}, shortage).IgnoreError();
    std::cerr << ShortageText(shortage, schedule);
  }
  return plan;
}
// [shortage end]

TEST(DebuggingDoc, PlansSayWhatIsMissing) {
  CpuAllocator cpu;
  const auto buffer = [&cpu](std::string name) {
    return Buffer::Create(cpu, DType::kUInt8, Shape::Vector(4096), {.name = std::move(name)})
        .value();
  };
  Schedule schedule;
  const Buffer in = buffer("in"), out = buffer("out");
  schedule.MarkInput(in);
  schedule.MarkOutput(out);
  Buffer a = buffer("a"), b = buffer("b");
  schedule.AddStep({.name = "first", .reads = {in}, .writes = {a}}).value();
  schedule.AddStep({.name = "second", .reads = {a}, .writes = {b}}).value();
  schedule.AddStep({.name = "third", .reads = {b}, .writes = {out}}).value();
  a = b = Buffer();
  const absl::StatusOr<Plan> plan = PlanWithin(uint64_t{1} << 20, schedule);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->not_planned.size(), 2u);
  PrintNotPlanned(*plan);
  EXPECT_EQ(PlanWithin(4096, schedule).status().code(), absl::StatusCode::kResourceExhausted);
  PrintMemory(cpu);
}

// [hang]
// Waits for everything that is recorded of a buffer, but not for ever. If the time passes, says
// how far the timelines are.
absl::Status WaitOrTell(const Buffer& buffer) {
  absl::Status status = buffer.Synchronize(absl::Milliseconds(10));
  if (!absl::IsDeadlineExceeded(status)) return status;
  for (const Fence& fence : buffer.PendingUses(Access::kWrite)) {
    std::cerr << buffer.name() << " waits for " << fence.value() << "; the timeline is at "
              << fence.timeline()->Reached() << ", " << fence.timeline()->Failure() << "\n";
  }
  return status;
}
// [hang end]

TEST(DebuggingDoc, WaitingHasAnEnd) {
  CpuAllocator cpu;
  const Buffer buffer = Buffer::Create(cpu, DType::kUInt8, Shape::Vector(4)).value();
  const auto timeline = std::make_shared<HostTimeline>();
  ASSERT_TRUE(buffer.EnsureAllocated().ok());
  ASSERT_TRUE(buffer.RecordUse(Access::kWrite, Fence(timeline, 1)).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(WaitOrTell(buffer)));
  timeline->Signal(1);
  EXPECT_TRUE(WaitOrTell(buffer).ok());
}

// [events]
// Prints what happens to storages while it is in scope: ScopedObserver watch(&printer);
class EventPrinter final : public Observer {
  void OnEvent(const Event& event) override {
    std::ostringstream line;  // events come from any thread
    line << EventKindName(event.kind) << " " << event.name << ": storage " << event.storage.value()
         << ", " << event.size_bytes << " bytes\n";
    std::cerr << line.str();
  }
};
// [events end]

TEST(DebuggingDoc, EventsArePrinted) {
  EventPrinter printer;
  ScopedObserver watch(&printer);
  CpuAllocator cpu;
  testing::internal::CaptureStderr();
  {
    const Buffer buffer =
        Buffer::Create(cpu, DType::kUInt8, Shape::Vector(4), {.name = "seen"}).value();
    ASSERT_TRUE(buffer.EnsureAllocated().ok());
  }
  const std::string printed = testing::internal::GetCapturedStderr();
  EXPECT_NE(printed.find("allocate seen: storage "), std::string::npos) << printed;
  EXPECT_NE(printed.find("free seen: storage "), std::string::npos) << printed;
}

}  // namespace
}  // namespace tenure
