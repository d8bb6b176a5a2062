#include "tenure/allocator/decorators/caching.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/null/null_allocator.h"

namespace tenure {
namespace {

std::unique_ptr<CachingAllocator> OverCpu(uint64_t bytes) {
  return std::make_unique<CachingAllocator>(std::make_unique<CpuAllocator>(),
                                            CachingAllocator::Options{.max_cached_bytes = bytes});
}

std::unique_ptr<CachingAllocator> OverNull(uint64_t bytes) {
  return std::make_unique<CachingAllocator>(std::make_unique<NullAllocator>(),
                                            CachingAllocator::Options{.max_cached_bytes = bytes});
}

TEST(CachingAllocator, ClassesWasteASixteenthAtMost) {
  EXPECT_EQ(CachingAllocator::RoundedSize(0), 0u);
  for (uint64_t size = 1; size <= 1024; ++size) {
    EXPECT_EQ(CachingAllocator::RoundedSize(size), (size + 63) / 64 * 64);
  }
  for (uint64_t power = 10; power < 63; ++power) {
    const uint64_t base = uint64_t{1} << power;
    EXPECT_EQ(CachingAllocator::RoundedSize(base), base);
    std::set<uint64_t> classes;
    for (uint64_t size = base + 1; size <= 2 * base; size += 1 + base / 100) {
      const uint64_t rounded = CachingAllocator::RoundedSize(size);
      EXPECT_GE(rounded, size);
      EXPECT_LE(rounded - size, base / 16);
      EXPECT_EQ(CachingAllocator::RoundedSize(rounded), rounded);
      classes.insert(rounded);
    }
    EXPECT_EQ(classes.size(), 16u);
  }
  EXPECT_EQ(CachingAllocator::RoundedSize(~uint64_t{0}), ~uint64_t{0});
}

TEST(CachingAllocator, GivesTheSameBlockAgainUnderANewId) {
  auto cache = OverCpu(1 << 20);
  auto one = cache->Allocate({.size_bytes = 5000});
  ASSERT_TRUE(one.ok());
  cache->Deallocate(*one);
  EXPECT_EQ(cache->Stats().cached_bytes, one->reserved_bytes);
  EXPECT_EQ(cache->Stats().largest_free_bytes, 5120u);
  auto two = cache->Allocate({.size_bytes = 5100});
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->host, one->host);
  EXPECT_NE(two->id, one->id);
  EXPECT_EQ(two->size_bytes, 5100u);
  EXPECT_EQ(cache->hits(), 1u);
  EXPECT_EQ(cache->misses(), 1u);
  EXPECT_EQ(cache->Stats().cached_bytes, 0u);
  EXPECT_EQ(cache->Stats().largest_free_bytes, 0u);
  auto aligned = cache->Allocate({.size_bytes = 5000, .alignment_bytes = 4096});
  ASSERT_TRUE(aligned.ok());
  EXPECT_NE(aligned->host, two->host);
  cache->Deallocate(*two);
  cache->Deallocate(*aligned);
}

TEST(CachingAllocator, EvictsTheLeastRecentlyFreed) {
  auto cache = OverNull(3000);
  std::vector<Allocation> all;
  for (uint64_t size : {512u, 640u, 768u, 896u}) {
    all.push_back(*cache->Allocate({.size_bytes = size}));
  }
  for (const Allocation& a : all) cache->Deallocate(a);  // 2816 in all
  EXPECT_EQ(cache->Stats().cached_bytes, 2816u);
  auto use = cache->Allocate({.size_bytes = 512});  // now the most recent
  cache->Deallocate(*use);
  EXPECT_EQ(cache->hits(), 1u);
  auto more = cache->Allocate({.size_bytes = 1024});
  cache->Deallocate(*more);  // 640 and 768 must go
  EXPECT_EQ(cache->Stats().cached_bytes, 512u + 896u + 1024u);
  for (uint64_t size : {512u, 896u, 1024u}) {
    auto hit = cache->Allocate({.size_bytes = size});
    cache->Deallocate(*hit);
  }
  EXPECT_EQ(cache->hits(), 4u);
  EXPECT_EQ(cache->upstream()->Stats().in_use_count, 3u);
}

TEST(CachingAllocator, TheBoundHolds) {
  auto cache = OverNull(10000);
  std::vector<Allocation> all;
  for (uint64_t i = 0; i < 100; ++i) all.push_back(*cache->Allocate({.size_bytes = 64 + 50 * i}));
  for (const Allocation& a : all) {
    cache->Deallocate(a);
    EXPECT_LE(cache->Stats().cached_bytes, 10000u);
  }
  auto large = cache->Allocate({.size_bytes = 10001});
  EXPECT_EQ(large->reserved_bytes, 10001u);  // not rounded either
  const uint64_t before = cache->Stats().cached_bytes;
  cache->Deallocate(*large);
  EXPECT_EQ(cache->Stats().cached_bytes, before);
  const uint64_t went = cache->Trim(6000);
  EXPECT_EQ(went, before - cache->Stats().cached_bytes);
  EXPECT_LE(cache->Stats().cached_bytes, 6000u);
  EXPECT_GT(cache->Stats().cached_bytes, 0u);
}

TEST(CachingAllocator, GuardedBlocksAreNotGivenAgain) {
  auto cache = OverCpu(1 << 20);
  auto one = cache->Allocate({.size_bytes = 1000});
  auto timeline = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(timeline, 1)};
  cache->Deallocate(*one, users);
  auto two = cache->Allocate({.size_bytes = 1000});
  EXPECT_NE(two->host, one->host);
  EXPECT_EQ(cache->hits(), 0u);
  timeline->Signal(1);
  auto three = cache->Allocate({.size_bytes = 1000});
  EXPECT_EQ(three->host, one->host);
  cache->Deallocate(*two);
  cache->Deallocate(*three);
}

TEST(CachingAllocator, ZeroedMeansZeroed) {
  auto cache = OverCpu(1 << 20);
  auto one = cache->Allocate({.size_bytes = 3000});
  std::memset(one->host, 0xff, 3000);
  cache->Deallocate(*one);
  auto two = cache->Allocate({.size_bytes = 3000, .zeroed = true});
  EXPECT_EQ(two->host, one->host);
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(static_cast<char*>(two->host)[i], 0);
  cache->Deallocate(*two);
}

TEST(CachingAllocator, GivesEverythingBackOnExhaustionAndTriesAgain) {
  CachingAllocator cache(
      std::make_unique<LimitingAllocator>(std::make_unique<NullAllocator>(), 10000),
      {.max_cached_bytes = 1 << 20});
  std::vector<Allocation> all;
  for (int i = 0; i < 9; ++i) all.push_back(*cache.Allocate({.size_bytes = 1024}));
  auto held = all.back();
  all.pop_back();
  for (const Allocation& a : all) cache.Deallocate(a);
  // 1024 in use, 8192 cached, 784 never taken: 8976 can be had, but not rounded.
  auto large = cache.Allocate({.size_bytes = 8976});
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_EQ(cache.Stats().cached_bytes, 0u);
  cache.Deallocate(*large);
  EXPECT_EQ(cache.Stats().cached_bytes, 0u);  // has no class's size
  auto beyond = cache.Allocate({.size_bytes = 8977, .name = "gradients"});
  ASSERT_TRUE(absl::IsResourceExhausted(beyond.status()));
  const std::string message(beyond.status().message());
  EXPECT_NE(message.find("gradients"), std::string::npos);
  EXPECT_NE(message.find("requested 8977"), std::string::npos) << message;
  EXPECT_NE(message.find("gave back"), std::string::npos) << message;
  // The budget's words, twice: once for each attempt.
  const size_t first = message.find("of the budget of 10000 bytes");
  ASSERT_NE(first, std::string::npos) << message;
  EXPECT_NE(message.find("of the budget of 10000 bytes", first + 1), std::string::npos) << message;
  cache.Deallocate(held);
}

TEST(CachingAllocator, AFailureThatDoesNotRepeatIsNotSeen) {
  auto faulty = std::make_unique<FaultInjectingAllocator>(std::make_unique<CpuAllocator>(),
                                                          FaultPlan{.nth = 1});
  CachingAllocator cache(std::move(faulty), {});
  auto a = cache.Allocate({.size_bytes = 100});
  EXPECT_TRUE(a.ok()) << a.status();
  cache.Deallocate(*a);
  EXPECT_EQ(cache.Stats().failure_count, 0u);
}

TEST(CachingAllocator, BlocksThatCannotBeZeroedAreReplaced) {
  auto faulty = std::make_unique<FaultInjectingAllocator>(std::make_unique<CpuAllocator>(),
                                                          FaultPlan{.every_nth_copy = 1});
  CachingAllocator cache(std::move(faulty), {});
  auto one = cache.Allocate({.size_bytes = 100});
  cache.Deallocate(*one);
  auto two = cache.Allocate({.size_bytes = 100, .zeroed = true});
  ASSERT_TRUE(two.ok()) << two.status();
  EXPECT_NE(two->host, one->host);
  cache.Deallocate(*two);
}

TEST(CachingAllocator, ThreadsFindWhatOthersFreed) {
  auto cache = OverCpu(1 << 20);
  auto one = cache->Allocate({.size_bytes = 1000});
  std::thread([&] { cache->Deallocate(*one); }).join();
  auto two = cache->Allocate({.size_bytes = 1000});
  EXPECT_EQ(two->host, one->host);
  cache->Deallocate(*two);
}

TEST(CachingAllocator, BoundedAndConsistentWithManyThreads) {
  auto cache = OverCpu(1 << 18);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      std::vector<Allocation> mine;
      for (uint64_t i = 0; i < 300; ++i) {
        auto a = cache->Allocate({.size_bytes = 100 + (i * 997 + t) % 30000});
        if (!a.ok()) {
          ++wrong;
          continue;
        }
        std::memset(a->host, t, 100);
        mine.push_back(*a);
        if (mine.size() > 5) {
          const Allocation& oldest = mine.front();
          if (static_cast<char*>(oldest.host)[99] != static_cast<char>(t)) ++wrong;
          cache->Deallocate(oldest);
          mine.erase(mine.begin());
        }
        if (cache->Stats().cached_bytes > 1 << 18) ++wrong;
      }
      for (const Allocation& a : mine) cache->Deallocate(a);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  const AllocatorStats stats = cache->Stats();
  EXPECT_EQ(stats.in_use_bytes, 0u);
  EXPECT_EQ(stats.cached_bytes, stats.reserved_bytes);
  cache->Trim(0);
  EXPECT_EQ(cache->Stats().reserved_bytes, 0u);
}

}  // namespace
}  // namespace tenure
