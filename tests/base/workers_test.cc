#include "tenure/base/workers.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace tenure::host {
namespace {

TEST(IdleCpus, ReadsTheSystemsAnswer) {
  EXPECT_EQ(internal::RunningThreads("0.20 0.18 0.12 3/80 11206\n"), 3);
  EXPECT_EQ(internal::RunningThreads("0.00 0.00 0.00 0/0 0\n"), 1);
  for (const char* unclear : {"", " ", "1", "0.2 0.1", "0.2 0.1 0.1 ", "a b c d/e f", "   /"}) {
    EXPECT_EQ(internal::RunningThreads(unclear), 1) << unclear;
  }
  EXPECT_GE(IdleCpus(), 0);
}

TEST(RunChunks, EachOnce) {
  for (uint64_t chunks : {0u, 1u, 2u, 3u, 1000u}) {
    for (int threads : {-1, 0, 1, 2, 100}) {
      std::vector<std::atomic<int>> done(chunks);
      RunChunks(chunks, threads, [&](uint64_t i) { ++done[i]; });
      for (auto& d : done) ASSERT_EQ(d, 1);
    }
  }
}

TEST(RunChunks, OneThreadMeansTheCallers) {
  const auto self = std::this_thread::get_id();
  RunChunks(100, 1, [&](uint64_t) { EXPECT_EQ(std::this_thread::get_id(), self); });
}

TEST(RunChunks, NeverMoreThreadsThanAllowed) {
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  RunChunks(2000, 2, [&](uint64_t) {
    const int now = ++inside;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::yield();
    --inside;
  });
  EXPECT_LE(most, 2);
}

TEST(RunChunks, FromManyThreadsAndFromWithin) {
  std::atomic<int> sum{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back(
        [&] { RunChunks(20, 8, [&](uint64_t) { RunChunks(5, 8, [&](uint64_t) { ++sum; }); }); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum, 8 * 20 * 5);
}

#if defined(__SANITIZE_THREAD__)
#define TENURE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TENURE_TSAN 1
#endif
#endif
#ifndef TENURE_TSAN  // ThreadSanitizer lets no child of a threaded process make threads
TEST(RunChunks, WorksInAForkedChild) {
  std::atomic<int> sum{0};
  RunChunks(10, 4, [&](uint64_t) { ++sum; });
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    sum = 0;
    for (int i = 0; i < 50; ++i) RunChunks(10, 4, [&](uint64_t) { ++sum; });
    _exit(sum == 500 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}
#endif

}  // namespace
}  // namespace tenure::host
