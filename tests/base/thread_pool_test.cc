#include "tenure/base/thread_pool.h"

#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/base/cpus.h"
#include "tenure/base/per_process.h"

namespace tenure::host {
namespace {

// Pools are never destroyed. Their threads keep them reachable for leak checkers.
ThreadPool& FreshPool() { return *new ThreadPool; }

// Runs tasks that block until `until`, and returns when all of them do.
void Block(ThreadPool& pool, int tasks, absl::Notification& until, absl::BlockingCounter& ended) {
  absl::BlockingCounter begun(tasks);
  for (int i = 0; i < tasks; ++i) {
    ASSERT_TRUE(pool.Start([&] {
      begun.DecrementCount();
      until.WaitForNotification();
      ended.DecrementCount();
    }));
  }
  begun.Wait();
}

TEST(ThreadPool, EveryTaskHasAThreadAndMayBlock) {
  ThreadPool& pool = FreshPool();
  const int tasks = UsableCpus() + 5;
  absl::Notification until;
  absl::BlockingCounter ended(tasks);
  Block(pool, tasks, until, ended);
  EXPECT_EQ(pool.thread_count(), tasks);
  until.Notify();
  ended.Wait();
}

TEST(ThreadPool, ThreadsAreUsedAgain) {
  ThreadPool& pool = FreshPool();
  for (int i = 0; i < 100; ++i) {
    absl::BlockingCounter ended(1);
    // Its thread may not be free again when the next one comes, but the one before that is.
    ASSERT_TRUE(pool.Start([&] { ended.DecrementCount(); }));
    ended.Wait();
  }
  EXPECT_LT(pool.thread_count(), 50);
}

TEST(ThreadPool, TasksThatBlockTakeNoHelpers) {
  ThreadPool& pool = FreshPool();
  const int tasks = UsableCpus() + 2;
  absl::Notification until;
  absl::BlockingCounter ended(tasks);
  Block(pool, tasks, until, ended);
  // Each of these waits until all have begun, so each needs a thread.
  const int helpers = UsableCpus() - 1;
  std::atomic<int> begun{0};
  pool.RunChunks(static_cast<uint64_t>(helpers) + 1, helpers, [&](uint64_t) {
    ++begun;
    while (begun <= helpers) std::this_thread::yield();
  });
  EXPECT_LE(pool.thread_count(), tasks + helpers);
  until.Notify();
  ended.Wait();
}

TEST(ThreadPool, ChunksNeverHaveMoreThreadsThanCpus) {
  ThreadPool& pool = FreshPool();
  // Many sleeping threads.
  const int tasks = 2 * UsableCpus() + 4;
  absl::Notification until;
  absl::BlockingCounter ended(tasks);
  Block(pool, tasks, until, ended);
  until.Notify();
  ended.Wait();
  std::atomic<int> inside{0}, most{0};
  const auto work = [&](uint64_t) {
    const int now = ++inside;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    absl::SleepFor(absl::Microseconds(20));  // so that all threads that there are get inside
    --inside;
  };
  for (int i = 0; i < 5; ++i) pool.RunChunks(500, tasks, work);
  EXPECT_LE(most, UsableCpus());
}

TEST(ThreadPool, TasksAndChunksMix) {
  ThreadPool& pool = FreshPool();
  constexpr int kTasks = 50;
  std::atomic<int> sum{0};
  absl::BlockingCounter ended(kTasks);
  for (int i = 0; i < kTasks; ++i) {
    ASSERT_TRUE(pool.Start([&] {
      pool.RunChunks(20, 3, [&](uint64_t) { ++sum; });
      ended.DecrementCount();
    }));
    pool.RunChunks(20, 3, [&](uint64_t) { ++sum; });
  }
  ended.Wait();
  EXPECT_EQ(sum, kTasks * 40);
}

TEST(ThreadPool, SignalsAreForOtherThreads) {
  ThreadPool& pool = FreshPool();
  sigset_t mask;
  sigemptyset(&mask);
  absl::BlockingCounter ended(1);
  ASSERT_TRUE(pool.Start([&] {
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    ended.DecrementCount();
  }));
  ended.Wait();
  for (int number : {SIGINT, SIGTERM, SIGUSR1, SIGCHLD}) EXPECT_EQ(sigismember(&mask, number), 1);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGUSR1), 0);
}

TEST(ThreadPool, WhatATaskHoldsGoesWhenItEnds) {
  ThreadPool& pool = FreshPool();
  absl::Notification gone;
  auto held = std::shared_ptr<int>(new int(1), [&](const int* p) {
    delete p;
    gone.Notify();
  });
  ASSERT_TRUE(pool.Start([held] { EXPECT_EQ(*held, 1); }));
  held.reset();
  gone.WaitForNotification();
}

TEST(PerProcess, IsOne) {
  struct Counted {
    int value = 0;
  };
  PerProcess<Counted>::Get().value = 3;
  EXPECT_EQ(PerProcess<Counted>::Get().value, 3);
}

}  // namespace
}  // namespace tenure::host
