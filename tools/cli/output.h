// The output of the subcommands of `tenure`: results on stdout, messages of one line on stderr, and
// an exit status.
//
// Example:
//   absl::StatusOr<Trace> trace = ReadTrace(path);
//   if (!trace.ok()) return Fail("plan", trace.status());     // "tenure plan: x.json: is empty"
//   return Print("plan", text);
//
// Thread safety: single-threaded, except for Progress (thread-compatible) and Ticker (thread-safe).

#ifndef TENURE_TOOLS_CLI_OUTPUT_H_
#define TENURE_TOOLS_CLI_OUTPUT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <thread>  // NOLINT(build/c++11)

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/base/json_value.h"

namespace tenure::cli {

// The exit status of the process.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kInfeasible = 3,  // proven
  kNoAnswer = 4,    // a deadline or budget ended the work first
};
inline constexpr std::string_view kExitStatusHelp =
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 proven infeasible, 4 a deadline or budget\n"
    "ended without an answer.\n";

// Prints the error on stderr, in one line, and returns the exit status for it.
int Fail(std::string_view command, const absl::Status& status);
int FailUsage(std::string_view command, std::string_view message);
// Prints a warning on stderr, in one line. The work goes on.
void Warn(std::string_view command, std::string_view message);

// Describes, for text output, why the work ended before it was done.
inline std::string_view CutShortBy(bool interrupted) {
  return interrupted ? "cut short by SIGINT" : "cut short by the deadline";
}

// Writes to stdout and returns `code`, or kFailed if writing fails (a full disk, a closed pipe).
int Print(std::string_view command, std::string_view text, int code = kDone);

// Returns one line of JSON. It is valid for any bytes in the strings.
std::string JsonLine(const JsonValue& json);

// A line on stderr that is rewritten while long work goes on. It is shown only if stderr is a
// terminal. It appears after half a second and is erased at the end.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void At(uint64_t done, uint64_t total);
  void Say(std::string_view text);

 private:
  bool Due();

  const std::string what_;
  const bool terminal_;
  const absl::Time start_;
  absl::Time shown_;
  bool any_ = false;
};

// The same for work that seldom reports its progress: a separate thread shows the elapsed time and
// the last report. With `always`, it also prints if stderr is not a terminal: a line every second
// and one at the end.
class Ticker {
 public:
  Ticker(std::string command, std::string what, bool always);
  ~Ticker();
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

  void Say(std::string text) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void Show(bool line) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string command_, what_;
  const bool terminal_, always_;
  const absl::Time start_;
  absl::Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // runs only if the output is shown
};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_OUTPUT_H_
