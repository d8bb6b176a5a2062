// Observer: one hook that sees every allocation, free, copy, fill, placement and plan of the
// process, as an Event.
//
// Example:
//   class Printer : public Observer {
//     void OnEvent(const Event& e) override { std::cerr << e.name << "\n"; }
//   };
//   Printer printer;
//   ScopedObserver watch(&printer);
//
// An EventLog (event_log.h) is an observer that keeps a log of all of them.
//
// When an event is delivered: by the thread that made the call, when the call has had its effect
// and before it returns, with no lock held. kFree is the exception, as the bytes are gone after
// the effect: it comes just before the bytes are given back. A copy or a fill that is queued has
// had its effect when it is in the queue. Calls that are refused before an allocator is asked
// leave no event. The events of one thread come in their order. Between threads there is no such
// promise: a copy may be seen before the allocation that another thread has just made.
//
// What OnEvent may do: everything that the caller could do right after the call. It may use what
// was allocated and wait for a copy that was queued. What it does itself is seen by the other
// observers, and not by the observer that is inside of OnEvent.
// Some storages are freed by the thread that does queued copies of host memory, because the copy
// was the last user. To wait for a queued copy there would never end: it is FailedPrecondition.
//
// Cost: one relaxed load for each event when nobody watches.
// Thread safety: events come from any thread at the same time, so OnEvent must be thread-safe.
// Buffers may be dropped at any time, also while a thread or the process ends.
// Ownership: the observer is borrowed and must outlive its scope. Leaving the scope waits for the
// calls that still run in other threads.

#ifndef TENURE_ALLOCATOR_OBSERVER_H_
#define TENURE_ALLOCATOR_OBSERVER_H_

#include <atomic>
#include <memory>

#include "tenure/allocator/event.h"

namespace tenure {

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;
};

namespace internal {
struct Watch;
extern std::atomic<int> observer_count;
void DispatchEvent(Event event);
}  // namespace internal

// Makes `observer` see events until the scope ends. All observers in scope see every event.
class ScopedObserver {
 public:
  explicit ScopedObserver(Observer* observer);
  ~ScopedObserver();
  ScopedObserver(const ScopedObserver&) = delete;
  ScopedObserver& operator=(const ScopedObserver&) = delete;

 private:
  const std::shared_ptr<internal::Watch> watch_;
};

inline bool Observed() { return internal::observer_count.load(std::memory_order_relaxed) != 0; }

// For those who report: tells the observers, if there are any, of what `make` returns.
//   Notify([&] { return Event{.kind = Event::Kind::kFill, ...}; });
template <typename MakeEvent>
void Notify(const MakeEvent& make) {
  if (Observed()) [[unlikely]]
    internal::DispatchEvent(make());
}

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_OBSERVER_H_
