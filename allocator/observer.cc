#include "tenure/allocator/observer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"

namespace tenure {

// An observer in scope. Dispatches that are under way share it, so that the end of the scope can
// wait for them without a lock held during the callback.
struct internal::Watch {
  explicit Watch(Observer* o) : observer(o) {}
  Observer* const observer;
  absl::Mutex mutex;
  int running ABSL_GUARDED_BY(mutex) = 0;
  bool over ABSL_GUARDED_BY(mutex) = false;
};

namespace {

using internal::Watch;

ABSL_CONST_INIT absl::Mutex watches_mutex(absl::kConstInit);

std::vector<std::shared_ptr<Watch>>& Watches() ABSL_EXCLUSIVE_LOCKS_REQUIRED(watches_mutex) {
  static auto* watches = new std::vector<std::shared_ptr<Watch>>;
  return *watches;
}

// The callbacks that this thread is inside of, the innermost first. They live on the stack and
// the list has no destructor: a thread_local object would be gone before the last buffers of a
// thread are.
struct Inside {
  const Watch* watch;
  const Inside* outer;
};
constinit thread_local const Inside* innermost = nullptr;

bool IsInside(const Watch* watch) {
  const Inside* inside = innermost;
  while (inside != nullptr && inside->watch != watch) inside = inside->outer;
  return inside != nullptr;
}

}  // namespace

std::atomic<int> internal::observer_count{0};

void internal::DispatchEvent(Event event) {
  Stamp(event);
  std::vector<std::shared_ptr<Watch>> watches;
  {
    absl::MutexLock lock(&watches_mutex);
    watches = Watches();
  }
  for (const std::shared_ptr<Watch>& watch : watches) {
    // What an observer does inside its callback is not shown to itself.
    if (IsInside(watch.get())) continue;
    {
      absl::MutexLock lock(&watch->mutex);
      if (watch->over) continue;
      ++watch->running;
    }
    const Inside inside{watch.get(), innermost};
    innermost = &inside;
    // Also after an exception of the observer's: the end of its scope waits for this.
    const absl::Cleanup leave = [&] {
      innermost = inside.outer;
      absl::MutexLock lock(&watch->mutex);
      --watch->running;
    };
    watch->observer->OnEvent(event);
  }
}

ScopedObserver::ScopedObserver(Observer* observer) : watch_(std::make_shared<Watch>(observer)) {
  absl::MutexLock lock(&watches_mutex);
  Watches().push_back(watch_);
  internal::observer_count.fetch_add(1, std::memory_order_relaxed);
}

ScopedObserver::~ScopedObserver() {
  {
    absl::MutexLock lock(&watches_mutex);
    std::vector<std::shared_ptr<Watch>>& watches = Watches();
    watches.erase(std::find(watches.begin(), watches.end(), watch_));
    internal::observer_count.fetch_sub(1, std::memory_order_relaxed);
  }
  // The scope may end inside of the observer's own callback.
  const int own = IsInside(watch_.get()) ? 1 : 0;
  auto idle = [this, own]()
                  ABSL_SHARED_LOCKS_REQUIRED(watch_->mutex) { return watch_->running <= own; };
  absl::MutexLock lock(&watch_->mutex);
  watch_->over = true;
  watch_->mutex.Await(absl::Condition(&idle));
}

}  // namespace tenure
