// Lets Ctrl-C end long work without losing the answer. The first SIGINT sets a flag for
// SolveOptions::cancel. The next one ends the process at once, as it would without this class.
// Signals within kTogether of each other count as one, because timeout(1) sends two: one to the
// process and one to its group.
//
//   Interrupt interrupt;
//   options.cancel = interrupt.flag();
//   ... Solve ...
//   if (interrupt.happened()) ...
//
// Why only the command does this: a library must not change the signal handlers of its process.
//
// Thread safety: there may be one Interrupt at a time; flag and happened may be called from any
// thread. Ownership: the flag is static. Errors: none. If the parent process made us ignore SIGINT,
// it stays ignored.

#ifndef TENURE_TOOLS_CLI_INTERRUPT_H_
#define TENURE_TOOLS_CLI_INTERRUPT_H_

#include <atomic>
#include <csignal>
#include <cstdint>

namespace tenure::cli {

class Interrupt {
 public:
  static constexpr int64_t kTogether = 200;  // ms
  // `clock` returns milliseconds from any starting point and is async-signal-safe. Tests pass
  // another one.
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
