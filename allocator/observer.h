// Observer: one hook that sees every allocation, free, copy, fill, placement
// and plan of the process.
//
// The leak report, the event log, the trace for a viewer and the replay
// benchmark are all made from these events.
//
// Example:
//   class Printer : public Observer {
//     void OnEvent(const Event& e) override { std::cerr << e.name << "\n"; }
//   };
//   Printer printer;
//   ScopedObserver watch(&printer);
//
// Cost: one relaxed load at each event when nobody watches.
// Thread safety: events come from any thread, at the same time: OnEvent must be
// thread-safe. It is called with no lock of the library held, and may call the
// library. Ownership: the observer is borrowed (must outlive its scope); leaving
// the scope waits for calls still running in other threads.

#ifndef TENURE_ALLOCATOR_OBSERVER_H_
#define TENURE_ALLOCATOR_OBSERVER_H_

#include <atomic>
#include <cstdint>
#include <string_view>

#include "tenure/allocator/memory_space.h"
#include "tenure/base/ids.h"

namespace tenure {

struct Event {
  enum class Kind : uint8_t {
    kAllocate,        // `allocation` was made for `storage`
    kAllocateFailed,  // nothing was made
    kFree,            // `allocation` was given back by its owner (its bytes may be in use
                      // by a device yet)
    kCopyIn,          // host -> `storage`
    kCopyOut,         // `storage` -> host
    kCopy,            // `source` -> `storage`
    kFill,
    kPlace,  // `storage` got the range [offset, offset + size) of the arena
             // `allocation`
    kUnplace,
    kPlan,  // a plan was made: size_bytes is its arena bytes, `name` its name
  };
  Kind kind;
  const MemorySpace* space = nullptr;  // borrowed for the call
  std::string_view name;               // borrowed for the call
  StorageId storage = {};
  StorageId source = {};
  AllocationId allocation = {};
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
};

std::string_view EventKindName(Event::Kind kind);

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;
};

// Makes `observer` see events until the scope ends. Scopes nest across the
// process: all observers in scope see every event.
class ScopedObserver {
 public:
  explicit ScopedObserver(Observer* observer);
  ~ScopedObserver();
  ScopedObserver(const ScopedObserver&) = delete;
  ScopedObserver& operator=(const ScopedObserver&) = delete;

 private:
  Observer* observer_;
};

namespace internal {
extern std::atomic<int> observer_count;
void DispatchEvent(const Event& event);
}  // namespace internal

inline bool Observed() { return internal::observer_count.load(std::memory_order_relaxed) != 0; }

// For those who report: tells the observers, if there are any.
inline void Notify(const Event& event) {
  if (Observed()) [[unlikely]]
    internal::DispatchEvent(event);
}

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_OBSERVER_H_
