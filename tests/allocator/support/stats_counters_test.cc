#include "tenure/allocator/support/stats_counters.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

TEST(StatsCounters, CountsAndRemembersThePeak) {
  StatsCounters counters;
  counters.OnAllocate(10, 64);
  counters.OnAllocate(20, 64);
  counters.OnDeallocate(10);
  counters.OnAllocate(5, 0);
  counters.OnRelease(64);
  counters.OnFailure();
  AllocatorStats stats;
  counters.AddTo(stats);
  EXPECT_EQ(stats.in_use_bytes, 25u);
  EXPECT_EQ(stats.in_use_count, 2u);
  EXPECT_EQ(stats.peak_in_use_bytes, 30u);
  EXPECT_EQ(stats.reserved_bytes, 64u);
  EXPECT_EQ(stats.allocation_count, 3u);
  EXPECT_EQ(stats.failure_count, 1u);
}

TEST(StatsCounters, ExactWithThreads) {
  StatsCounters counters;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20000; ++i) {
        counters.OnAllocate(3, 8);
        EXPECT_LE(counters.in_use_count(), 80000u);
        counters.OnDeallocate(3);
        counters.OnRelease(8);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  AllocatorStats stats;
  counters.AddTo(stats);
  EXPECT_EQ(stats.in_use_bytes, 0u);
  EXPECT_EQ(stats.in_use_count, 0u);
  EXPECT_EQ(stats.reserved_bytes, 0u);
  EXPECT_EQ(stats.allocation_count, 80000u);
  EXPECT_GE(stats.peak_in_use_bytes, 3u);
  EXPECT_LE(stats.peak_in_use_bytes, 12u);
}

}  // namespace
}  // namespace tenure
