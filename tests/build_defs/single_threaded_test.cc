// A test that says in its BUILD file that it has one thread ends when it starts another one.

#include <gtest/gtest.h>

#include <thread>

#if defined(__has_feature)
#define TENURE_HAS_FEATURE(x) __has_feature(x)
#else
#define TENURE_HAS_FEATURE(x) 0
#endif

// The sanitizers have a pthread_create of their own, so that ours is not linked there.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                 \
    !TENURE_HAS_FEATURE(address_sanitizer) && !TENURE_HAS_FEATURE(thread_sanitizer) && \
    !TENURE_HAS_FEATURE(undefined_behavior_sanitizer)

TEST(SingleThreadedDeathTest, AThreadEndsTheTest) {
  EXPECT_DEATH(std::thread([] {}).join(), "single_threaded = True");
}

#else

TEST(SingleThreadedTest, WithASanitizerThreadsRun) {
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  EXPECT_TRUE(ran);
}

#endif
