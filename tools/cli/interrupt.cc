#include "tenure/tools/cli/interrupt.h"

#include <ctime>

namespace tenure::cli {
namespace {

// A signal handler needs lock-free atomics.
std::atomic<bool> happened_flag{false};
std::atomic<int64_t> first_at{0};
std::atomic<int64_t (*)()> clock_now{nullptr};
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int64_t>::is_always_lock_free &&
              std::atomic<int64_t (*)()>::is_always_lock_free);

void OnSignal(int) {
  const int64_t now = clock_now.load()();
  if (!happened_flag.exchange(true)) {
    first_at.store(now);
  } else if (now - first_at.load() > Interrupt::kTogether) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);  // delivered when this handler returns
  }
}

}  // namespace

int64_t Interrupt::Clock() {
  struct timespec time {};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1000000;
}

Interrupt::Interrupt(int64_t (*clock)()) {
  happened_flag.store(false);
  clock_now.store(clock);
  if (::sigaction(SIGINT, nullptr, &before_) != 0 || before_.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  installed_ = ::sigaction(SIGINT, &action, nullptr) == 0;
}

Interrupt::~Interrupt() {
  if (installed_) ::sigaction(SIGINT, &before_, nullptr);
}

const std::atomic<bool>* Interrupt::flag() const { return &happened_flag; }

}  // namespace tenure::cli
