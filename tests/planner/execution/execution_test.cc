// Execution: errors, uses, memory and waits on the host.

#include "tenure/planner/execution/execution.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "held_queue.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure {
namespace {

constexpr uint64_t kSize = 1024;

std::shared_ptr<HostQueue> NewHostQueue() {
  absl::StatusOr<std::shared_ptr<HostQueue>> queue = HostQueue::Create();
  EXPECT_OK(queue);
  return queue.ok() ? *queue : nullptr;
}

// Step i reads buffer i and writes buffer i + 1, on queue i % queues.
Schedule Chain(const std::vector<Buffer>& buffers, uint32_t queues = 1) {
  Schedule schedule("chain");
  for (uint32_t i = 0; i + 1 < buffers.size(); ++i) {
    EXPECT_OK(schedule.AddStep({.name = absl::StrCat("copy", i),
                                .reads = {buffers[i]},
                                .writes = {buffers[i + 1]},
                                .queue = i % queues}));
  }
  return schedule;
}

std::vector<Buffer> LazyBuffers(Allocator& allocator, size_t count) {
  std::vector<Buffer> buffers;
  for (size_t i = 0; i < count; ++i) {
    buffers.push_back(Make(allocator, kSize, {.name = absl::StrCat("b", i)}));
  }
  return buffers;
}

// Copies the step's read to its write, and adds 1 to each byte. Holds no handle.
std::function<void()> CopyAndAddOne(const Step& step) {
  const auto* from = static_cast<const uint8_t*>(step.reads[0].HostPointer().value());
  auto* to = static_cast<uint8_t*>(step.writes[0].MutableHostPointer().value());
  return [from, to] {
    for (uint64_t i = 0; i < kSize; ++i) to[i] = static_cast<uint8_t>(from[i] + 1);
  };
}

absl::Status Hold(const StepContext& at) {
  static_cast<HeldQueue&>(at.queue).Enqueue(CopyAndAddOne(at.step));
  return absl::OkStatus();
}

absl::Status RunOnHost(const StepContext& at) {
  return static_cast<HostQueue&>(at.queue).Enqueue([work = CopyAndAddOne(at.step)] {
    work();
    return absl::OkStatus();
  });
}

TEST(ExecutionTest, HostReadsWaitForTheStepsThatWrite) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 3);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  const Buffer out = buffers[2];
  auto queue = std::make_shared<HeldQueue>();
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers), {}, {queue});
  ASSERT_OK(execution);
  ASSERT_OK(execution->Run(Hold));
  EXPECT_CODE(DeadlineExceeded, out.Bytes(absl::ZeroDuration()));
  // Reads alone leave readers alone.
  EXPECT_OK(buffers[0].Bytes(absl::ZeroDuration()));
  EXPECT_CODE(DeadlineExceeded, buffers[0].MutableBytes(absl::ZeroDuration()));
  const absl::Status early = execution->Wait(absl::ZeroDuration());
  EXPECT_CODE(DeadlineExceeded, early);
  EXPECT_TRUE(absl::StartsWith(early.message(), "step 0 ('copy0'): ")) << early;
  queue->RunAll();
  EXPECT_OK(execution->Wait(absl::ZeroDuration()));
  const auto bytes = out.Bytes(absl::ZeroDuration());
  ASSERT_OK(bytes);
  EXPECT_EQ((*bytes)[kSize - 1], std::byte{7});
}

TEST(ExecutionTest, UsesFromBeforeTheRunComeFirst) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 2);
  auto copies = std::make_shared<HostTimeline>();
  ASSERT_OK(buffers[0].EnsureAllocated());
  ASSERT_OK(buffers[1].EnsureAllocated());
  ASSERT_OK(buffers[0].RecordUse(Access::kWrite, Fence(copies, 1)));  // a copy in
  ASSERT_OK(buffers[1].RecordUse(Access::kRead, Fence(copies, 2)));   // a copy out
  auto queue = std::make_shared<HeldQueue>();
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers), {}, {queue});
  ASSERT_OK(execution);
  bool ran = false;
  ASSERT_OK(execution->Run([&](const StepContext& at) {
    static_cast<HeldQueue&>(at.queue).Enqueue([&ran] { ran = true; });
    return absl::OkStatus();
  }));
  queue->RunAll();
  EXPECT_FALSE(ran);
  copies->Signal(1);
  queue->RunAll();
  EXPECT_FALSE(ran);
  copies->Signal(2);
  queue->RunAll();
  EXPECT_TRUE(ran);
}

TEST(ExecutionTest, TheHostWaitsWhereAQueueCannot) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 3);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  auto first = NewHostQueue();
  auto second = std::make_shared<HeldQueue>();
  second->RefuseWaits();
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers, 2), {}, {first, second});
  ASSERT_OK(execution);
  std::atomic<bool> done{false};
  ASSERT_OK(execution->Run([&](const StepContext& at) {
    if (at.number == 0) {
      return first->Enqueue([&done] {
        absl::SleepFor(absl::Milliseconds(20));
        done = true;
        return absl::OkStatus();
      });
    }
    EXPECT_TRUE(done) << "launched before what it needs is over";
    return absl::OkStatus();
  }));
  second->RunAll();
}

// --- errors

TEST(ExecutionTest, AFailedLaunchEndsTheRunAndNothingIsFreedEarly) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 6);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  const auto* third = static_cast<const uint8_t*>(buffers[3].HostPointer().value());
  const HeldQueue* failing = nullptr;
  std::vector<std::shared_ptr<HeldQueue>> queues = {std::make_shared<HeldQueue>(),
                                                    std::make_shared<HeldQueue>()};
  int launched = 0;
  uint8_t seen = 0;
  {
    absl::StatusOr<Execution> execution =
        Execution::Create(Chain(buffers, 2), {}, {queues[0], queues[1]}, {.release_steps = true});
    ASSERT_OK(execution);
    buffers.clear();
    const absl::Status status = execution->Run([&](const StepContext& at) {
      ++launched;
      if (at.number < 3) return Hold(at);
      // A part of the step is under way when it fails.
      failing = &static_cast<HeldQueue&>(at.queue);
      static_cast<HeldQueue&>(at.queue).Enqueue([third, &seen] { seen = third[0]; });
      return absl::UnavailableError("no such kernel, in a test");
    });
    EXPECT_CODE(Unavailable, status);
    EXPECT_EQ(status.message(), "step 3 ('copy3'): no such kernel, in a test");
    EXPECT_EQ(launched, 4);
    EXPECT_CODE(FailedPrecondition, execution->Run(Hold));
  }
  EXPECT_EQ(failing, queues[1].get());
  // Nobody holds the storages any more, and all of them are still in use: b0 to b4.
  EXPECT_EQ(cpu.Stats().in_use_count, 0u);
  EXPECT_EQ(cpu.Stats().deferred_bytes, 5 * kSize);
  queues[0]->RunAll();
  queues[1]->RunAll();
  cpu.Poll();
  EXPECT_GT(cpu.Stats().deferred_bytes, 0u) << "queue 0 has not read what queue 1 has written";
  queues[0]->RunAll();
  queues[1]->RunAll();
  EXPECT_TRUE(queues[0]->empty() && queues[1]->empty());
  EXPECT_EQ(seen, 8);
  cpu.Poll();
  EXPECT_EQ(cpu.Stats().deferred_bytes, 0u);
}

TEST(ExecutionTest, AfterAnErrorWaitWaitsForWhatIsUnderWay) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 4);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  std::atomic<int> done{0};
  absl::StatusOr<Execution> execution =
      Execution::Create(Chain(buffers, 2), {}, {NewHostQueue(), NewHostQueue()});
  ASSERT_OK(execution);
  const auto launch = [&](const StepContext& at) {
    if (at.number == 2) return absl::UnavailableError("no such kernel, in a test");
    return static_cast<HostQueue&>(at.queue).Enqueue([&done, work = CopyAndAddOne(at.step)] {
      absl::SleepFor(absl::Milliseconds(10));
      work();
      ++done;
      return absl::OkStatus();
    });
  };
  EXPECT_CODE(Unavailable, execution->Run(launch));
  EXPECT_OK(execution->Wait());
  EXPECT_EQ(done, 2);
  // The steps are still there.
  ASSERT_OK(execution->Run(RunOnHost));
  ASSERT_OK(execution->Wait());
  EXPECT_EQ((*buffers[3].Bytes())[0], std::byte{8});
}

TEST(ExecutionTest, WorkThatFailsLaterIsNamed) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 5);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  const Buffer out = buffers[4];
  absl::StatusOr<Execution> execution =
      Execution::Create(Chain(buffers, 2), {}, {NewHostQueue(), NewHostQueue()});
  ASSERT_OK(execution);
  ASSERT_OK(execution->Run([&](const StepContext& at) {
    if (at.number != 1) return RunOnHost(at);
    return static_cast<HostQueue&>(at.queue).Enqueue(
        [] { return absl::DataLossError("the kernel found nonsense, in a test"); });
  }));
  const absl::Status status = execution->Wait();
  EXPECT_CODE(DataLoss, status);
  EXPECT_EQ(status.message(), "step 1 ('copy1'): the kernel found nonsense, in a test");
  EXPECT_CODE(DataLoss, out.Bytes());
}

// Without a fence nothing guards the bytes: the queue has to be drained.
TEST(ExecutionTest, WhereNoFenceCanBeRecordedTheWorkIsWaitedFor) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 2);
  auto queue = std::make_shared<HeldQueue>();
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers), {}, {queue});
  ASSERT_OK(execution);
  bool ran = false;
  const absl::Status status = execution->Run([&](const StepContext&) {
    queue->Enqueue([&ran] { ran = true; });
    queue->RefuseRecords();
    return absl::OkStatus();
  });
  EXPECT_CODE(Unavailable, status);
  EXPECT_TRUE(absl::StartsWith(status.message(), "step 0 ('copy0'): ")) << status;
  EXPECT_EQ(queue->synchronized(), 1);
  EXPECT_TRUE(ran);
}

TEST(ExecutionTest, ACancelEndsTheRunBetweenSteps) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 5);
  std::atomic<bool> cancel{false};
  std::vector<std::shared_ptr<HeldQueue>> queues = {std::make_shared<HeldQueue>(),
                                                    std::make_shared<HeldQueue>()};
  uint32_t last = 0;
  {
    absl::StatusOr<Execution> execution =
        Execution::Create(Chain(buffers, 2), {}, {queues[0], queues[1]}, {.cancel = &cancel});
    ASSERT_OK(execution);
    buffers.clear();
    const absl::Status status = execution->Run([&](const StepContext& at) {
      last = at.number;
      cancel = at.number == 1;
      return Hold(at);
    });
    EXPECT_CODE(Cancelled, status);
    EXPECT_TRUE(absl::StartsWith(status.message(), "step 2 ('copy2'): ")) << status;
    EXPECT_EQ(last, 1u);
  }
  EXPECT_EQ(cpu.Stats().deferred_bytes, 3 * kSize);
  queues[0]->RunAll();
  queues[1]->RunAll();
  cpu.Poll();
  EXPECT_EQ(cpu.Stats().deferred_bytes, 0u);
}

TEST(ExecutionTest, WhatDoesNotFitIsRefused) {
  CpuAllocator cpu;
  const std::vector<Buffer> buffers = LazyBuffers(cpu, 3);
  auto queue = std::make_shared<HeldQueue>();
  const absl::Status missing = Execution::Create(Chain(buffers, 2), {}, {queue}).status();
  EXPECT_CODE(InvalidArgument, missing);
  EXPECT_TRUE(absl::StrContains(missing.message(), "step 1 ('copy1') is of queue 1")) << missing;
  EXPECT_CODE(InvalidArgument, Execution::Create(Chain(buffers, 2), {}, {queue, nullptr}));
  PlacedPlan placed;
  placed.fills = {{.step = 2, .storage = buffers[0]}};
  EXPECT_CODE(InvalidArgument, Execution::Create(Chain(buffers), placed, {queue}));
  placed.fills.clear();
  placed.reuse_edges = {{1, 2}};
  EXPECT_CODE(InvalidArgument, Execution::Create(Chain(buffers), placed, {queue}));
  placed.reuse_edges = {{1, 0}};
  EXPECT_CODE(InvalidArgument, Execution::Create(Chain(buffers), placed, {queue}));
}

// --- memory, and how far the host is ahead

// What steps release is waited for where memory is short.
TEST(ExecutionTest, RunningAheadEndsWhereMemoryDoes) {
  LimitingAllocator small(std::make_unique<CpuAllocator>(), 4 * kSize);
  std::vector<Buffer> buffers = LazyBuffers(small, 40);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(0));
  const Buffer out = buffers.back();
  absl::StatusOr<Execution> execution =
      Execution::Create(Chain(buffers), {}, {NewHostQueue()}, {.release_steps = true});
  ASSERT_OK(execution);
  buffers.clear();
  ASSERT_OK(execution->Run([](const StepContext& at) {
    return static_cast<HostQueue&>(at.queue).Enqueue([work = CopyAndAddOne(at.step)] {
      absl::SleepFor(absl::Milliseconds(1));
      work();
      return absl::OkStatus();
    });
  }));
  EXPECT_EQ((*out.Bytes())[0], std::byte{39});
}

TEST(ExecutionTest, MissingMemoryNamesTheStepAndTheBuffer) {
  LimitingAllocator small(std::make_unique<CpuAllocator>(), 2 * kSize);
  std::vector<Buffer> buffers = LazyBuffers(small, 4);
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers), {}, {NewHostQueue()});
  ASSERT_OK(execution);
  const absl::Status status = execution->Run(RunOnHost);
  EXPECT_CODE(ResourceExhausted, status);
  EXPECT_TRUE(absl::StartsWith(status.message(), "step 1 ('copy1'): write 0 'b2': ")) << status;
}

TEST(ExecutionTest, NoStepIsAheadWhereNoneMayBe) {
  CpuAllocator cpu;
  const std::vector<Buffer> buffers = LazyBuffers(cpu, 10);
  absl::StatusOr<Execution> execution =
      Execution::Create(Chain(buffers), {}, {NewHostQueue()}, {.max_steps_ahead = 0});
  ASSERT_OK(execution);
  std::atomic<uint32_t> done{0};
  ASSERT_OK(execution->Run([&](const StepContext& at) {
    EXPECT_EQ(done, at.number);
    return static_cast<HostQueue&>(at.queue).Enqueue([&done] {
      absl::SleepFor(absl::Milliseconds(1));
      ++done;
      return absl::OkStatus();
    });
  }));
  EXPECT_EQ(done, 9u);
}

TEST(ExecutionTest, ACopyInThatFailedBeforeTheRunIsItsError) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 2);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  auto kernel = std::make_shared<HostTimeline>();
  ASSERT_OK(buffers[0].RecordUse(Access::kWrite, Fence(kernel, 1)));
  const std::vector<uint8_t> bytes(kSize, 9);
  absl::StatusOr<Fence> in =
      buffers[0].CopyInAsync(bytes.data(), kSize, {.timeout = absl::Milliseconds(2)});
  ASSERT_OK(in);
  while (!in->IsReached()) absl::SleepFor(absl::Milliseconds(1));
  kernel->Signal(1);
  auto queue = std::make_shared<HeldQueue>();
  absl::StatusOr<Execution> execution = Execution::Create(Chain(buffers), {}, {queue});
  ASSERT_OK(execution);
  const absl::Status status = execution->Run(Hold);
  EXPECT_CODE(DeadlineExceeded, status);
  EXPECT_TRUE(absl::StrContains(status.message(), "waiting for earlier uses of 'b0'")) << status;
  EXPECT_OK(execution->Run(Hold));  // it is told once
  queue->RunAll();
  EXPECT_OK(execution->Wait());
}

TEST(ExecutionTest, ARunThatReleasedNothingCanBeMadeAgain) {
  CpuAllocator cpu;
  std::vector<Buffer> buffers = LazyBuffers(cpu, 3);
  ASSERT_OK(buffers[0].FillWith<uint8_t>(5));
  auto queue = std::make_shared<HeldQueue>();
  absl::StatusOr<Execution> execution =
      Execution::Create(Chain(buffers), {}, {queue}, {.release_steps = true});
  ASSERT_OK(execution);
  EXPECT_CODE(Unavailable, execution->Run([](const StepContext&) {
    return absl::UnavailableError("the kernel is not compiled yet");
  }));
  EXPECT_OK(execution->Run(Hold));
  EXPECT_CODE(FailedPrecondition, execution->Run(Hold));
  queue->RunAll();
  EXPECT_OK(execution->Wait());
}

}  // namespace
}  // namespace tenure
