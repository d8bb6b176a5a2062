// PerProcess<T>: the T of this process. It is made when it is first asked for and never destroyed.
//
// Why not a static variable: a forked child has a copy of its parent's T, maybe with a locked mutex,
// but none of the threads that worked for it. So a child makes a T of its own.
//
// Cost: an acquire load. Thread safety: thread-safe, if T's constructor may run twice at once: of
// two threads that race for the first use, one throws its T away. Errors: none.

#ifndef TENURE_BASE_PER_PROCESS_H_
#define TENURE_BASE_PER_PROCESS_H_

#include <pthread.h>

#include <atomic>

#include "absl/base/call_once.h"
#include "absl/base/optimization.h"

namespace tenure::host {

template <typename T>
class PerProcess {
 public:
  static T& Get() {
    Holder* holder = current_.load(std::memory_order_acquire);
    return ABSL_PREDICT_TRUE(holder != nullptr) ? holder->value : Make();
  }

 private:
  struct Holder {
    explicit Holder(Holder* before) : parents(before) {}
    [[maybe_unused]] Holder* const parents;  // keeps it reachable for leak checkers
    T value;
  };

  static T& Make() {
    static absl::once_flag once;
    absl::call_once(once, [] {
      pthread_atfork(nullptr, nullptr, [] {
        Holder* of_parent = current_.exchange(nullptr);
        if (of_parent != nullptr) parents_.store(of_parent);
      });
    });
    auto* fresh = new Holder(parents_.load());
    Holder* other = nullptr;
    if (current_.compare_exchange_strong(other, fresh)) return fresh->value;
    delete fresh;
    return other->value;
  }

  inline static std::atomic<Holder*> current_{nullptr};
  inline static std::atomic<Holder*> parents_{nullptr};
};

}  // namespace tenure::host

#endif  // TENURE_BASE_PER_PROCESS_H_
