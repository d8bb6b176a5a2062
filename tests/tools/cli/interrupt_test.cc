#include "tenure/tools/cli/interrupt.h"

#include <csignal>
#include <cstdint>
#include <cstdio>

#include "gtest/gtest.h"

namespace tenure::cli {
namespace {

int64_t now = 1000;
int64_t Now() { return now; }

TEST(Interrupt, TheFirstIsNotedAndWhatWasThereComesBack) {
  static int calls = 0;
  const auto before = std::signal(SIGINT, [](int) { ++calls; });
  {
    const Interrupt interrupt;
    EXPECT_FALSE(interrupt.happened());
    std::raise(SIGINT);
    EXPECT_TRUE(interrupt.happened());
    EXPECT_TRUE(interrupt.flag()->load());
  }
  EXPECT_EQ(calls, 0);
  std::raise(SIGINT);
  EXPECT_EQ(calls, 1);
  const Interrupt another;
  EXPECT_FALSE(another.happened());
  std::signal(SIGINT, before);
}

TEST(Interrupt, WhatIsIgnoredStaysIgnored) {
  const auto before = std::signal(SIGINT, SIG_IGN);
  {
    const Interrupt interrupt;
    std::raise(SIGINT);
    EXPECT_FALSE(interrupt.happened());
  }
  std::signal(SIGINT, before);
}

TEST(InterruptDeathTest, TwoAtOnceAreOneAndTheNextEndsTheProcess) {
  EXPECT_EXIT(
      {
        const Interrupt interrupt(Now);
        std::raise(SIGINT);
        now += Interrupt::kTogether;
        std::raise(SIGINT);
        std::fputs("still here", stderr);
        now += 1;
        std::raise(SIGINT);
        std::fputs("too long", stderr);
      },
      testing::KilledBySignal(SIGINT), "^still here$");
}

}  // namespace
}  // namespace tenure::cli
