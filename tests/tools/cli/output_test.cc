// Progress shows itself on terminals only, and only when work is long.

#include "tenure/tools/cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace tenure::cli {
namespace {

// What is written to stderr while `work` runs, with stderr being the other end of `reader`.
template <typename Work>
std::string Written(int reader, int writer, Work work) {
  std::fflush(stderr);
  const int before = dup(STDERR_FILENO);
  dup2(writer, STDERR_FILENO);
  work();
  std::fflush(stderr);
  dup2(before, STDERR_FILENO);
  close(before);
  close(writer);
  fcntl(reader, F_SETFL, O_NONBLOCK);
  std::string text;
  char part[256];
  for (ssize_t got = 0; (got = read(reader, part, sizeof part)) > 0;) {
    text.append(part, static_cast<size_t>(got));
  }
  close(reader);
  return text;
}

template <typename Work>
std::string OnATerminal(Work work) {
  const int reader = posix_openpt(O_RDWR | O_NOCTTY);
  EXPECT_GE(reader, 0);
  EXPECT_EQ(grantpt(reader), 0);
  EXPECT_EQ(unlockpt(reader), 0);
  const int writer = open(ptsname(reader), O_RDWR | O_NOCTTY);
  EXPECT_GE(writer, 0);
  return Written(reader, writer, work);
}

void LongWork() {
  Progress progress("working");
  progress.At(1, 4);  // too early
  absl::SleepFor(absl::Milliseconds(550));
  progress.At(2, 4);
  progress.Say("too soon after the last");
  absl::SleepFor(absl::Milliseconds(150));
  progress.Say("hard");
}

TEST(ProgressTest, IsRewrittenOnATerminalAndWipedAtTheEnd) {
  EXPECT_EQ(OnATerminal(LongWork), "\r\033[Kworking  50%\r\033[Kworking hard\r\033[K");
}

TEST(ProgressTest, ShortWorkShowsNone) {
  EXPECT_EQ(OnATerminal([] { Progress("working").At(1, 2); }), "");
}

TEST(ProgressTest, NothingButATerminalSeesIt) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  EXPECT_EQ(Written(ends[0], ends[1], LongWork), "");
}

TEST(FailTest, IsOneLineAndTellsDeadlinesApart) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Fail("plan", absl::InvalidArgumentError("a\nb\x1b[0m")), kFailed);
  EXPECT_EQ(Fail("plan", absl::DeadlineExceededError("late")), kNoAnswer);
  EXPECT_EQ(FailUsage("", std::string(10000, 'x')), kUsage);
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(absl::StartsWith(text, "tenure plan: a b [0m\ntenure plan: late\ntenure: xxx"))
      << text;
  EXPECT_LT(text.size(), 5000u);
}

void Packing(bool always, absl::Duration time) {
  Ticker ticker("pack", "packing", always);
  ticker.Say("best 5");
  absl::SleepFor(time);
}

TEST(TickerTest, ShowsWhatWasSaidLastAndWipesItself) {
  const std::string text = OnATerminal([] { Packing(false, absl::Milliseconds(1200)); });
  EXPECT_TRUE(absl::StrContains(text, " s, best 5")) << text;
  EXPECT_TRUE(absl::EndsWith(text, "\r\033[K")) << text;
}

TEST(TickerTest, SaysNothingElsewhereUnlessAsked) {
  for (bool always : {false, true}) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const std::string text =
        Written(ends[0], ends[1], [always] { Packing(always, absl::Milliseconds(50)); });
    EXPECT_EQ(text.empty(), !always) << text;
    if (!always) continue;
    EXPECT_TRUE(absl::StartsWith(text, "tenure pack: packing: ")) << text;
    EXPECT_TRUE(absl::EndsWith(text, "best 5\n")) << text;
  }
}

}  // namespace
}  // namespace tenure::cli
