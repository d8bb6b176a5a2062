#include "tenure/allocator/support/deferred.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

Allocation Block(uint64_t token) {
  Allocation allocation;
  allocation.id = AllocationId::Mint();
  allocation.reserved_bytes = 10;
  allocation.token = token;
  return allocation;
}

struct Freed {
  std::vector<uint64_t> tokens;
  DeferredQueue queue{[this](const Allocation& a) { tokens.push_back(a.token); }};
};

TEST(DeferredQueue, NothingToWaitForIsFreedAtOnce) {
  Freed freed;
  auto timeline = std::make_shared<HostTimeline>();
  timeline->Signal(5);
  const Fence reached[] = {Fence(), Fence(timeline, 5)};
  freed.queue.Retire(Block(1), {});
  freed.queue.Retire(Block(2), reached);
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(freed.queue.waiting_count(), 0u);
}

TEST(DeferredQueue, ReapsSomeTimelinesInTurn) {
  // Counts how often it is looked at.
  class Counted final : public Timeline {
   public:
    uint64_t Reached() const override {
      ++looks;
      return reached;
    }
    absl::Status Wait(uint64_t, absl::Time) override { return absl::OkStatus(); }
    absl::Status Failure() const override { return absl::OkStatus(); }
    mutable int looks = 0;
    uint64_t reached = 0;
  };
  Freed freed;
  std::vector<std::shared_ptr<Counted>> timelines;
  for (uint64_t i = 0; i < 100; ++i) {
    timelines.push_back(std::make_shared<Counted>());
    const Fence fence(timelines.back(), 1);
    freed.queue.Retire(Block(i), {&fence, 1});
    timelines.back()->looks = 0;
    timelines.back()->reached = i % 2;
  }
  freed.queue.ReapSome();
  int looks = 0;
  for (const auto& timeline : timelines) looks += timeline->looks;
  EXPECT_LE(looks, 20);
  for (int i = 0; i < 100; ++i) freed.queue.ReapSome();
  EXPECT_EQ(freed.tokens.size(), 50u);
  EXPECT_EQ(freed.queue.waiting_count(), 50u);
  for (const auto& timeline : timelines) timeline->reached = 1;
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens.size(), 100u);
}

TEST(DeferredQueue, SaysWhatWaitsBehindWhat) {
  Freed freed;
  EXPECT_EQ(freed.queue.Describe(), "");
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  auto work = std::make_shared<Completion>();
  for (const Fence& fence : {Fence(t, 1), Fence(u, 1), Fence(u, 2), Fence(work, 1)}) {
    freed.queue.Retire(Block(1), {&fence, 1});
  }
  EXPECT_EQ(freed.queue.Describe(),
            "40 bytes in 4 freed allocations, behind a timeline that the program signals, 2 times "
            "(30 bytes in 3) and work of the host (10 bytes in 1)");
  EXPECT_EQ(freed.queue.settled_count(), 0u);
  u->Signal(2);
  work->Finish(absl::OkStatus());
  freed.queue.Reap();
  EXPECT_EQ(freed.queue.settled_count(), 3u);
  t->Signal(1);
  freed.queue.Reap();
}

TEST(DeferredQueue, EveryFenceCounts) {
  Freed freed;
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  const Fence both[] = {Fence(t, 2), Fence(u, 1), Fence(t, 1)};
  freed.queue.Retire(Block(1), both);
  const Fence late[] = {Fence(t, 9)};
  freed.queue.Retire(Block(2), late);
  const Fence early[] = {Fence(t, 1)};
  freed.queue.Retire(Block(3), early);
  EXPECT_EQ(freed.queue.waiting_count(), 3u);
  EXPECT_EQ(freed.queue.waiting_bytes(), 30u);
  freed.queue.Reap();
  EXPECT_TRUE(freed.tokens.empty());
  t->Signal(1);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{3}));
  t->Signal(2);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens.size(), 1u);
  u->Signal(1);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{3, 1}));
  t->Signal(100);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{3, 1, 2}));
  EXPECT_EQ(freed.queue.waiting_bytes(), 0u);
}

TEST(DeferredQueue, FailedTimelinesQuarantine) {
  Freed freed;
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  const Fence one[] = {Fence(t, 1)};
  const Fence two[] = {Fence(t, 2)};
  const Fence mixed[] = {Fence(t, 2), Fence(u, 1)};
  freed.queue.Retire(Block(1), one);
  freed.queue.Retire(Block(2), two);
  freed.queue.Retire(Block(3), mixed);
  t->Signal(1);
  t->Fail(absl::UnavailableError("gone"));
  freed.queue.Reap();
  u->Signal(1);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{1}));
  EXPECT_EQ(freed.queue.quarantined_count(), 2u);
  EXPECT_EQ(freed.queue.quarantined_bytes(), 20u);
  EXPECT_EQ(freed.queue.waiting_count(), 0u);
  freed.queue.Retire(Block(4), two);  // failed already
  EXPECT_EQ(freed.queue.quarantined_count(), 3u);
}

TEST(DeferredQueue, WhatNeverBecomesDueIsGivenUpWithItsFences) {
  std::vector<std::pair<uint64_t, uint64_t>> given_up;  // token, value waited for
  std::vector<uint64_t> released;
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  {
    DeferredQueue queue([&](const Allocation& a) { released.push_back(a.token); },
                        [&](const Allocation& a, absl::Span<const Fence> users) {
                          given_up.emplace_back(a.token, users.back().value());
                        });
    const Fence users[] = {Fence(t, 1)};
    const Fence failing[] = {Fence(u, 7)};
    const Fence later[] = {Fence(t, 2)};
    queue.Retire(Block(1), users);
    queue.Retire(Block(2), failing);
    queue.Retire(Block(3), later);
    u->Fail(absl::InternalError("broken"));
    queue.Reap();
    EXPECT_EQ(given_up, (std::vector<std::pair<uint64_t, uint64_t>>{{2, 7}}));
    EXPECT_EQ(queue.quarantined_count(), 0u);
    t->Signal(1);
  }
  EXPECT_EQ(released, (std::vector<uint64_t>{1}));
  EXPECT_EQ(given_up, (std::vector<std::pair<uint64_t, uint64_t>>{{2, 7}, {3, 2}}));
}

TEST(DeferredQueue, WhatWaitsCanBeGivenInParts) {
  Freed freed;
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  auto block = [](uint64_t token) {
    Allocation made = Block(token);
    made.id = AllocationId::Mint();
    return made;
  };
  const Fence one[] = {Fence(t, 1)};
  const Fence two[] = {Fence(t, 2)};
  const Fence other[] = {Fence(u, 1)};
  const Fence mixed[] = {Fence(u, 1), Fence(t, 3)};
  freed.queue.Retire(block(1), two);
  freed.queue.Retire(block(2), one);
  freed.queue.Retire(block(3), other);
  freed.queue.Retire(block(4), mixed);
  auto of_t = [&](const Fence& fence) { return fence.timeline() == t; };
  std::vector<uint64_t> seen;
  freed.queue.Revise(of_t, [&](absl::Span<DeferredQueue::Entry* const> waiting,
                               std::vector<DeferredQueue::Entry>& more) {
    for (DeferredQueue::Entry* entry : waiting) {
      seen.push_back(entry->allocation.token);
      if (entry->allocation.token == 2) {
        entry->allocation = Allocation();  // taken
        continue;
      }
      // Its middle is taken.
      entry->allocation.reserved_bytes = 3;
      more.push_back(*entry);
      more.back().allocation.token = 10;
      more.back().allocation.reserved_bytes = 4;
    }
  });
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(freed.queue.waiting_count(), 4u);
  EXPECT_EQ(freed.queue.waiting_bytes(), 3u + 4 + 10 + 10);
  t->Signal(1);
  freed.queue.Reap();
  EXPECT_TRUE(freed.tokens.empty());
  t->Signal(2);
  freed.queue.Reap();
  std::sort(freed.tokens.begin(), freed.tokens.end());
  EXPECT_EQ(freed.tokens, (std::vector<uint64_t>{1, 10}));
  t->Signal(3);
  u->Signal(1);
  freed.queue.Reap();
  EXPECT_EQ(freed.tokens.size(), 4u);
  EXPECT_EQ(freed.queue.waiting_bytes(), 0u);
}

TEST(DeferredQueue, DrainWaits) {
  Freed freed;
  auto t = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(t, 1)};
  freed.queue.Retire(Block(1), users);
  EXPECT_FALSE(freed.queue.Drain(absl::Now() + absl::Milliseconds(1)));
  std::thread other([&] { t->Signal(1); });
  EXPECT_TRUE(freed.queue.Drain(absl::InfiniteFuture()));
  other.join();
  EXPECT_EQ(freed.tokens.size(), 1u);
  auto broken = std::make_shared<HostTimeline>();
  const Fence never[] = {Fence(broken, 1)};
  freed.queue.Retire(Block(2), never);
  broken->Fail(absl::InternalError("broken"));
  EXPECT_TRUE(freed.queue.Drain(absl::InfiniteFuture()));
  EXPECT_EQ(freed.queue.quarantined_count(), 1u);
}

TEST(DeferredQueue, ReleaseMayUseTheQueue) {
  int released = 0;
  auto t = std::make_shared<HostTimeline>();
  DeferredQueue* self = nullptr;
  DeferredQueue queue([&](const Allocation& a) {
    ++released;
    self->Reap();
    if (a.token == 1) self->Retire(Block(2), {});
  });
  self = &queue;
  const Fence users[] = {Fence(t, 1)};
  queue.Retire(Block(1), users);
  t->Signal(1);
  queue.Reap();
  EXPECT_EQ(released, 2);
}

TEST(DeferredQueue, RacingReapersReleaseEachOnce) {
  constexpr uint64_t kBlocks = 2000;
  std::vector<std::atomic<int>> released(kBlocks);
  DeferredQueue queue([&](const Allocation& a) { ++released[a.token]; });
  auto t = std::make_shared<HostTimeline>();
  auto u = std::make_shared<HostTimeline>();
  std::vector<std::thread> threads;
  for (uint64_t n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      for (uint64_t i = n; i < kBlocks; i += 4) {
        const Fence users[] = {Fence(t, i), Fence(u, kBlocks - i)};
        queue.Retire(Block(i), users);
        t->Signal(i);
        u->Signal(i);
        queue.Reap();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  t->Signal(kBlocks);
  u->Signal(kBlocks);
  queue.Reap();
  for (uint64_t i = 0; i < kBlocks; ++i) ASSERT_EQ(released[i], 1) << i;
  EXPECT_EQ(queue.waiting_count(), 0u);
  EXPECT_EQ(queue.waiting_bytes(), 0u);
}

}  // namespace
}  // namespace tenure
