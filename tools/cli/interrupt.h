// Ctrl-C ends long work, not the answer: the first SIGINT sets a flag for SolveOptions::cancel, the
// next ends the process at once, as without this. Those that come within kTogether are one:
// timeout(1) sends two, to the process and to its group.
//
//   Interrupt interrupt;
//   options.cancel = interrupt.flag();
//   ... Solve ...
//   if (interrupt.happened()) ...
//
// Why in the command only: a library leaves the handlers of its process alone.
//
// Thread safety: one at a time; flag and happened from any thread. Ownership: the flag is static.
// Errors: none; a SIGINT that the parent has us ignore stays ignored.

#ifndef TENURE_TOOLS_CLI_INTERRUPT_H_
#define TENURE_TOOLS_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>
#include <cstdint>

namespace tenure::cli {

class Interrupt {
 public:
  static constexpr int64_t kTogether = 200;  // ms
  // `clock`: ms from anywhere, async-signal-safe. Another one is for tests.
  explicit Interrupt(int64_t (*clock)() = Clock);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  const std::atomic<bool>* flag() const;
  bool happened() const { return flag()->load(std::memory_order_relaxed); }

 private:
  static int64_t Clock();

  struct sigaction before_ {};
  bool installed_ = false;
};

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_INTERRUPT_H_
