#include "tenure/base/ids.h"

#include <algorithm>
#include <thread>
#include <type_traits>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

static_assert(!std::is_convertible_v<uint64_t, StorageId>);
static_assert(!std::is_convertible_v<StorageId, BufferId>);

TEST(StrongId, NoneIsNotMinted) {
  EXPECT_FALSE(StorageId());
  EXPECT_TRUE(StorageId::Mint());
  EXPECT_TRUE(BufferId::Mint());
  EXPECT_TRUE(AllocationId::Mint());
}

TEST(StrongId, UniqueAcrossThreadsAndBlocks) {
  constexpr int kThreads = 4;
  constexpr int kEach = 150000;  // more than two blocks
  std::vector<std::vector<uint64_t>> minted(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : minted) {
    threads.emplace_back([&mine] {
      for (int i = 0; i < kEach; ++i) mine.push_back(BufferId::Mint().value());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<uint64_t> all;
  for (auto& mine : minted) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

}  // namespace
}  // namespace tenure
