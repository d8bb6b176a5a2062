// Observers that call the library from inside of OnEvent, and observers at the end of threads.

#include "tenure/allocator/observer.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/copy_many.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

class Calling : public Observer {
 public:
  explicit Calling(std::function<void(const Event&)> call) : call_(std::move(call)) {}
  void OnEvent(const Event& event) override { call_(event); }

 private:
  const std::function<void(const Event&)> call_;
};

class RefusingBatches final : public Decorator, public BatchCapability {
 public:
  using Decorator::Decorator;
  absl::Status CopyInMany(absl::Span<const In>) override {
    return absl::DataLossError("no batch into this memory");
  }
  absl::Status CopyOutMany(absl::Span<const Out>) override {
    return absl::DataLossError("no batch out of this memory");
  }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == BatchCapability::kName) return static_cast<BatchCapability*>(this);
    return Decorator::FindCapability(name);
  }
};

class ObserverTest : public ::testing::Test {
 protected:
  Buffer Make(uint64_t size, const BufferOptions& options = {}) {
    return *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(size), options);
  }
  CpuAllocator cpu_;
};

TEST_F(ObserverTest, WhatWasAllocatedIsThereInOnEvent) {
  const Buffer x = Make(64);
  int seen = 0;
  Calling observer([&](const Event& event) {
    if (event.kind != Event::Kind::kAllocate) return;
    ++seen;
    EXPECT_TRUE(x.is_allocated());
    EXPECT_OK(x.Bytes(absl::Seconds(1)));
  });
  const ScopedObserver watch(&observer);
  EXPECT_OK(x.EnsureAllocated());
  EXPECT_EQ(seen, 1);
}

TEST_F(ObserverTest, WhatWasPlacedIsThereInOnEvent) {
  const Buffer arena = Make(64, {.immediate = true}), x = Make(64);
  std::vector<bool> allocated;
  Calling observer([&](const Event&) { allocated.push_back(x.is_allocated()); });
  const ScopedObserver watch(&observer);
  ASSERT_OK(x.storage()->Place(*arena.storage(), 0, true));
  ASSERT_OK(x.storage()->Unplace());
  EXPECT_EQ(allocated, (std::vector<bool>{true, false}));
}

TEST_F(ObserverTest, AQueuedCopyCanBeWaitedForInOnEvent) {
  const Buffer x = Make(8, {.immediate = true});
  auto kernel = std::make_shared<HostTimeline>();
  ASSERT_OK(x.RecordUse(Access::kRead, Fence(kernel, 1)));
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  std::atomic<int> first_byte{-1};
  Calling observer([&](const Event& event) {
    if (event.kind != Event::Kind::kCopyIn) return;
    kernel->Signal(1);
    absl::StatusOr<absl::Span<const uint8_t>> bytes = x.As<uint8_t>();
    EXPECT_OK(bytes);
    if (bytes.ok()) first_byte = (*bytes)[0];
  });
  const ScopedObserver watch(&observer);
  absl::StatusOr<Fence> copy = x.CopyInAsync(host, 8);
  ASSERT_OK(copy);
  kernel->Signal(1);
  EXPECT_OK(copy->Wait(absl::Seconds(10)));
  EXPECT_EQ(first_byte, 1);
}

// The thread that does queued copies may be the one that drops a storage. To wait there for a
// queued copy would never end.
TEST_F(ObserverTest, WaitingOnTheQueuesOwnThreadIsAnError) {
  const Buffer slow = Make(8, {.immediate = true});
  auto kernel = std::make_shared<HostTimeline>(), later = std::make_shared<HostTimeline>();
  ASSERT_OK(slow.RecordUse(Access::kRead, Fence(later, 1)));
  const uint8_t host[8] = {};
  const absl::StatusOr<Fence> waiting = slow.CopyInAsync(host, 8);
  ASSERT_OK(waiting);
  absl::Status in_event;
  Calling observer([&](const Event& event) {
    if (event.kind == Event::Kind::kFree) in_event = waiting->Wait();
  });
  const ScopedObserver watch(&observer);
  Buffer x = Make(8, {.immediate = true});
  ASSERT_OK(x.RecordUse(Access::kRead, Fence(kernel, 1)));
  const absl::StatusOr<Fence> copy = x.CopyInAsync(host, 8);
  ASSERT_OK(copy);
  x = Buffer();
  kernel->Signal(1);
  EXPECT_OK(copy->Wait());
  EXPECT_CODE(FailedPrecondition, in_event);
  later->Signal(1);
  EXPECT_OK(waiting->Wait());
}

TEST_F(ObserverTest, CopiesComeWithTheirOutcomeAndBothEnds) {
  FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), {.nth_copy = 2});
  const Buffer from = Make(16, {.immediate = true});
  const Buffer to = *Buffer::Create(faulty, DType::kUInt8, Shape::Vector(16), {.immediate = true});
  std::vector<Event> seen;
  Calling observer([&](const Event& event) { seen.push_back(event); });
  const ScopedObserver watch(&observer);
  EXPECT_OK(to.CopyRegionFrom(from, 2, 8, 4));
  EXPECT_FALSE(to.CopyRegionFrom(from, 2, 8, 4).ok());
  EXPECT_CODE(OutOfRange, to.CopyRegionFrom(from, 14, 8, 4));  // no allocator was asked
  ASSERT_EQ(seen.size(), 2u);
  for (const Event& event : seen) {
    EXPECT_EQ(event.kind, Event::Kind::kCopy);
    EXPECT_EQ(event.allocation, to.storage()->root().id);
    EXPECT_EQ(event.source_allocation, from.storage()->root().id);
    EXPECT_EQ(event.source_storage, from.storage()->id());
    EXPECT_EQ(event.offset_bytes, 8u);
    EXPECT_EQ(event.source_offset_bytes, 2u);
    EXPECT_EQ(event.size_bytes, 4u);
  }
  EXPECT_EQ(seen[0].status, absl::StatusCode::kOk);
  EXPECT_EQ(seen[1].status, absl::StatusCode::kResourceExhausted);
}

TEST_F(ObserverTest, PartsOfABatchThatFailedAreSeen) {
  RefusingBatches refusing(std::make_unique<CpuAllocator>());
  const Buffer to = *Buffer::Create(refusing, DType::kUInt8, Shape::Vector(4), {.immediate = true});
  std::vector<absl::StatusCode> seen;
  Calling observer([&](const Event& event) { seen.push_back(event.status); });
  const ScopedObserver watch(&observer);
  const uint8_t host[4] = {};
  EXPECT_CODE(DataLoss, CopyInMany({{to, host, 4}, {to, host, 4}}));
  EXPECT_EQ(seen, (std::vector{absl::StatusCode::kDataLoss, absl::StatusCode::kDataLoss}));
}

TEST(HostWorkerTest, WorkMayNotWaitForLaterWork) {
  auto gate = std::make_shared<HostTimeline>();
  absl::StatusOr<Fence> later = HostWorker::Default().Submit(
      {Fence(gate, 1)}, absl::InfiniteFuture(), [] { return absl::OkStatus(); });
  ASSERT_OK(later);
  absl::StatusOr<Fence> waiting =
      HostWorker::Default().Submit({}, absl::InfiniteFuture(), [later] { return later->Wait(); });
  ASSERT_OK(waiting);
  EXPECT_CODE(FailedPrecondition, waiting->Wait());
  gate->Signal(1);
  EXPECT_OK(later->Wait());
}

// A buffer in a thread_local variable is dropped after younger variables of the thread are gone.
// Seals the buffer that it is told of a copy into.
class Sealer final : public Observer {
 public:
  explicit Sealer(const Buffer& buffer) : buffer_(buffer) {}
  void OnEvent(const Event& event) override {
    if (event.kind == Event::Kind::kCopyIn) EXPECT_OK(buffer_.Seal());
  }

 private:
  const Buffer buffer_;
};

TEST_F(ObserverTest, WhatWasCopiedCanBeSealedInOnEvent) {
  const uint8_t host[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (const bool later : {false, true}) {
    const Buffer x = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(8));
    Sealer sealer(x);
    ScopedObserver watch(&sealer);
    if (later) {
      EXPECT_OK(x.CopyInAsync(host, 8));
    } else {
      EXPECT_OK(x.CopyIn(host, 8));
    }
    EXPECT_TRUE(x.is_sealed());
  }
}

TEST_F(ObserverTest, ThreadsMayDropBuffersAtTheirEnd) {
  std::atomic<int> frees{0};
  Calling outer([&](const Event& event) {
    // An event inside of an event, which the other observer sees.
    if (event.kind == Event::Kind::kFree && event.name == "last") Make(8, {.immediate = true});
  });
  Calling inner([&](const Event& event) { frees += event.kind == Event::Kind::kFree ? 1 : 0; });
  const ScopedObserver watch_outer(&outer), watch_inner(&inner);
  std::thread([this] {
    thread_local Buffer last;
    last = Make(8, {.name = "last", .immediate = true});
  }).join();
  EXPECT_EQ(frees, 2);
}

TEST_F(ObserverTest, AnExceptionInOnEventEndsNothingElse) {
  int calls = 0;
  Calling observer([&](const Event&) {
    if (++calls == 1) throw std::bad_alloc();
  });
  const Buffer x = Make(8), y = Make(8);
  {
    const ScopedObserver watch(&observer);
    EXPECT_THROW(x.EnsureAllocated().IgnoreError(), std::bad_alloc);
    EXPECT_TRUE(x.is_allocated());
    EXPECT_OK(y.EnsureAllocated());
    EXPECT_EQ(calls, 2);
  }
  EXPECT_OK(y.FillWith<uint8_t>(1));
  EXPECT_EQ(calls, 2);
}

}  // namespace
}  // namespace tenure
