#include "tenure/allocator/decorators/limiting.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/null/null_allocator.h"

namespace tenure {
namespace {

TEST(LimitingAllocator, TheBudgetIsExact) {
  LimitingAllocator limited(std::make_unique<CpuAllocator>(), 1000);
  auto one = limited.Allocate({.size_bytes = 600});
  ASSERT_TRUE(one.ok());
  auto beyond = limited.Allocate({.size_bytes = 401, .name = "kv cache"});
  ASSERT_TRUE(absl::IsResourceExhausted(beyond.status()));
  for (const char* word : {"kv cache", "requested 401", "in use 600", "limit 1000"}) {
    EXPECT_NE(beyond.status().message().find(word), std::string::npos) << beyond.status();
  }
  auto fits = limited.Allocate({.size_bytes = 400});
  ASSERT_TRUE(fits.ok());
  EXPECT_FALSE(limited.Allocate({.size_bytes = 1}).ok());
  EXPECT_TRUE(limited.Allocate({.size_bytes = ~uint64_t{0}}).status().code() ==
              absl::StatusCode::kResourceExhausted);
  limited.Deallocate(*one);
  EXPECT_EQ(limited.charged_bytes(), 400u);
  EXPECT_EQ(limited.Stats().limit_bytes, 1000u);
  EXPECT_EQ(limited.Stats().failure_count, 3u);
  limited.Deallocate(*fits);
  auto all = limited.Allocate({.size_bytes = 1000});
  EXPECT_TRUE(all.ok());
  limited.Deallocate(*all);
}

TEST(LimitingAllocator, ZeroAllowsOnlyEmptyAllocations) {
  LimitingAllocator limited(std::make_unique<CpuAllocator>(), 0);
  EXPECT_FALSE(limited.Allocate({.size_bytes = 1}).ok());
  auto empty = limited.Allocate({.size_bytes = 0});
  ASSERT_TRUE(empty.ok());
  limited.Deallocate(*empty);
}

TEST(LimitingAllocator, ChargedUntilTheLastFence) {
  LimitingAllocator limited(std::make_unique<CpuAllocator>(), 1000);
  auto one = limited.Allocate({.size_bytes = 1000});
  ASSERT_TRUE(one.ok());
  auto timeline = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(timeline, 1)};
  limited.Deallocate(*one, users);
  EXPECT_FALSE(limited.Allocate({.size_bytes = 1}).ok());
  timeline->Signal(1);
  auto two = limited.Allocate({.size_bytes = 1000});
  EXPECT_TRUE(two.ok()) << two.status();
  limited.Deallocate(*two);
}

TEST(LimitingAllocator, ImportsAndFailuresAreFree) {
  SpaceTraits traits;
  traits.max_allocation_bytes = 100;
  LimitingAllocator limited(std::make_unique<NullAllocator>(traits), 1000);
  EXPECT_FALSE(limited.Allocate({.size_bytes = 500}).ok());
  EXPECT_EQ(limited.charged_bytes(), 0u);
  char bytes[64];
  LimitingAllocator none(std::make_unique<CpuAllocator>(), 0);
  auto wrapped = none.Allocate({.size_bytes = 64, .foreign = ForeignMemory{bytes}});
  ASSERT_TRUE(wrapped.ok()) << wrapped.status();
  none.Deallocate(*wrapped);
  EXPECT_EQ(none.charged_bytes(), 0u);
}

TEST(LimitingAllocator, NeverExceededByRacingThreads) {
  LimitingAllocator limited(std::make_unique<NullAllocator>(), 1000);
  std::atomic<uint64_t> granted{0};
  std::atomic<bool> exceeded{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        auto made = limited.Allocate({.size_bytes = 170});
        if (!made.ok()) continue;
        if (granted.fetch_add(170) + 170 > 1000) exceeded = true;
        granted.fetch_sub(170);
        limited.Deallocate(*made);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(exceeded);
  EXPECT_EQ(limited.charged_bytes(), 0u);
}

}  // namespace
}  // namespace tenure
