#include "tenure/tools/cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/json_value.h"
#include "tenure/tools/trace/text_file.h"

namespace tenure::cli {
namespace {

constexpr size_t kLongestMessage = 4000;
constexpr char kWipeLine[] = "\r\033[K";

int Say(std::string_view command, std::string_view message, int code) {
  const std::string line =
      absl::StrCat("tenure", command.empty() ? "" : " ", command, ": ",
                   internal_trace::OneLine(message.empty() ? "failed, without a reason" : message,
                                           kLongestMessage),
                   "\n");
  std::fputs(line.c_str(), stderr);
  return code;
}

}  // namespace

int Fail(std::string_view command, const absl::Status& status) {
  return Say(command, status.message(), absl::IsDeadlineExceeded(status) ? kNoAnswer : kFailed);
}

int FailUsage(std::string_view command, std::string_view message) {
  return Say(command, message, kUsage);
}

void Warn(std::string_view command, std::string_view message) {
  Say(command, absl::StrCat("warning: ", message), kDone);
}

int Print(std::string_view command, std::string_view text, int code) {
  const size_t put = std::fwrite(text.data(), 1, text.size(), stdout);
  if (put == text.size() && std::fflush(stdout) == 0) return code;
  return Say(command, absl::StrCat("writing to stdout: ", std::strerror(errno)), kFailed);
}

std::string JsonLine(const JsonValue& json) { return json.ToString() + "\n"; }

Progress::Progress(std::string what)
    : what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(absl::Now()),
      shown_(start_) {}

Progress::~Progress() {
  if (any_) std::fputs(kWipeLine, stderr);
}

bool Progress::Due() {
  if (!terminal_) return false;
  const absl::Time now = absl::Now();
  if (now - start_ < absl::Milliseconds(500) || now - shown_ < absl::Milliseconds(100)) {
    return false;
  }
  shown_ = now;
  return any_ = true;
}

void Progress::At(uint64_t done, uint64_t total) {
  if (!Due()) return;
  std::fprintf(stderr, "%s%s %3d%%", kWipeLine, what_.c_str(),
               static_cast<int>(total == 0 ? 100 : 100 * done / total));
}

void Progress::Say(std::string_view text) {
  if (!Due()) return;
  std::fputs(absl::StrCat(kWipeLine, what_, " ", text).c_str(), stderr);
}

Ticker::Ticker(std::string command, std::string what, bool always)
    : command_(std::move(command)),
      what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) != 0),
      always_(always),
      start_(absl::Now()) {
  if (terminal_ || always_) thread_ = std::thread([this] { Run(); });
}

Ticker::~Ticker() {
  if (!thread_.joinable()) return;
  {
    const absl::MutexLock lock(&mutex_);
    over_ = true;
  }
  thread_.join();
}

void Ticker::Say(std::string text) {
  const absl::MutexLock lock(&mutex_);
  text_ = std::move(text);
}

void Ticker::Show(bool line) const {
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start_);
  std::fprintf(stderr, "%s%s%s: %.1f s%s%s%s", line ? "tenure " : kWipeLine,
               line ? (command_ + ": ").c_str() : "", what_.c_str(), seconds,
               text_.empty() ? "" : ", ", text_.c_str(), line ? "\n" : "");
}

void Ticker::Run() {
  const absl::MutexLock lock(&mutex_);
  bool any = false;
  absl::Duration wait = terminal_ ? absl::Milliseconds(500) : absl::Seconds(1);
  while (!mutex_.AwaitWithTimeout(absl::Condition(&over_), wait)) {
    Show(/*line=*/!terminal_);
    any = true;
    if (terminal_) wait = absl::Milliseconds(100);
  }
  if (terminal_ && any) std::fputs(kWipeLine, stderr);
  if (always_) Show(/*line=*/true);
}

}  // namespace tenure::cli
