#include "tenure/allocator/observer.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace tenure {
namespace {

// An observer in scope. Shared with the dispatches under way, so that the end
// of a scope can wait for them without a lock held during the callback.
struct Watch {
  explicit Watch(Observer* o) : observer(o) {}
  Observer* const observer;
  absl::Mutex mutex;
  int running ABSL_GUARDED_BY(mutex) = 0;
  bool over ABSL_GUARDED_BY(mutex) = false;
};

ABSL_CONST_INIT absl::Mutex watches_mutex(absl::kConstInit);

std::vector<std::shared_ptr<Watch>>& Watches() ABSL_EXCLUSIVE_LOCKS_REQUIRED(watches_mutex) {
  static auto* watches = new std::vector<std::shared_ptr<Watch>>;
  return *watches;
}

// Callbacks of each observer that this thread is inside of: a scope may end
// within one.
thread_local std::vector<Watch*> inside;

}  // namespace

std::atomic<int> internal::observer_count{0};

void internal::DispatchEvent(const Event& event) {
  std::vector<std::shared_ptr<Watch>> watches;
  {
    absl::MutexLock lock(&watches_mutex);
    watches = Watches();
  }
  for (const std::shared_ptr<Watch>& watch : watches) {
    // What an observer does inside its callback is not shown to itself.
    if (std::find(inside.begin(), inside.end(), watch.get()) != inside.end()) continue;
    {
      absl::MutexLock lock(&watch->mutex);
      if (watch->over) continue;
      ++watch->running;
    }
    inside.push_back(watch.get());
    watch->observer->OnEvent(event);
    inside.pop_back();
    absl::MutexLock lock(&watch->mutex);
    --watch->running;
  }
}

ScopedObserver::ScopedObserver(Observer* observer) : observer_(observer) {
  absl::MutexLock lock(&watches_mutex);
  Watches().push_back(std::make_shared<Watch>(observer));
  internal::observer_count.fetch_add(1, std::memory_order_relaxed);
}

ScopedObserver::~ScopedObserver() {
  std::shared_ptr<Watch> watch;
  {
    absl::MutexLock lock(&watches_mutex);
    auto& watches = Watches();
    // The youngest with this observer: scopes end in the opposite order.
    auto it = std::find_if(watches.rbegin(), watches.rend(),
                           [this](const auto& w) { return w->observer == observer_; });
    watch = *it;
    watches.erase(std::next(it).base());
    internal::observer_count.fetch_sub(1, std::memory_order_relaxed);
  }
  const int own = std::find(inside.begin(), inside.end(), watch.get()) != inside.end() ? 1 : 0;
  auto idle = [&watch, own]()
                  ABSL_SHARED_LOCKS_REQUIRED(watch->mutex) { return watch->running <= own; };
  absl::MutexLock lock(&watch->mutex);
  watch->over = true;
  watch->mutex.Await(absl::Condition(&idle));
}

std::string_view EventKindName(Event::Kind kind) {
  switch (kind) {
    case Event::Kind::kAllocate:
      return "allocate";
    case Event::Kind::kAllocateFailed:
      return "allocate_failed";
    case Event::Kind::kFree:
      return "free";
    case Event::Kind::kCopyIn:
      return "copy_in";
    case Event::Kind::kCopyOut:
      return "copy_out";
    case Event::Kind::kCopy:
      return "copy";
    case Event::Kind::kFill:
      return "fill";
    case Event::Kind::kPlace:
      return "place";
    case Event::Kind::kUnplace:
      return "unplace";
    case Event::Kind::kPlan:
      return "plan";
  }
  return "?";
}

}  // namespace tenure
