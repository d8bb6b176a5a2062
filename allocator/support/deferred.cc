#include "tenure/allocator/support/deferred.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <new>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/strings/str_cat.h"

namespace tenure {
namespace {

// The order for std heaps, whose front is the largest.
constexpr auto kLater = [](const auto& a, const auto& b) { return a.value() > b.value(); };

// Keeps allocations that are never released reachable, so that leak checkers do not report them.
void KeepForGood(const Allocation& allocation) {
  ABSL_CONST_INIT static absl::Mutex mutex(absl::kConstInit);
  absl::MutexLock lock(&mutex);
  try {
    static auto* kept = new std::vector<Allocation>;
    kept->push_back(allocation);
  } catch (const std::bad_alloc&) {  // a leak checker may then report it
  }
}

}  // namespace

DeferredQueue::~DeferredQueue() {
  Reap();
  std::unordered_map<const Timeline*, Line> rest;
  {
    absl::MutexLock lock(&mutex_);
    rest.swap(lines_);
  }
  for (const auto& [key, line] : rest) {
    for (const Entry& entry : line.heap) {
      if (give_up_ != nullptr) {
        give_up_(entry.allocation, entry.users);
      } else {
        KeepForGood(entry.allocation);
      }
    }
  }
}

void DeferredQueue::Retire(const Allocation& allocation, absl::Span<const Fence> users) noexcept {
  Entry entry{allocation, {}};
  try {
    // Each fence is queried once, because a query of a device takes a microsecond.
    for (const Fence& fence : users) {
      if (!fence.IsReached()) entry.users.push_back(fence);
    }
  } catch (const std::bad_alloc&) {
    return WaitAndRelease(allocation, users);
  }
  if (entry.users.empty()) {
    release_(allocation);
    return;
  }
  waiting_count_.fetch_add(1, std::memory_order_relaxed);
  waiting_bytes_.fetch_add(allocation.reserved_bytes, std::memory_order_relaxed);
  SettleUnreached(std::move(entry));
}

void DeferredQueue::Settle(Entry entry) {
  auto& users = entry.users;
  users.erase(
      std::remove_if(users.begin(), users.end(), [](const Fence& f) { return f.IsReached(); }),
      users.end());
  if (!users.empty()) return SettleUnreached(std::move(entry));
  release_(entry.allocation);
  NoLongerWaiting(entry.allocation.reserved_bytes);
}

void DeferredQueue::SettleUnreached(Entry entry) {
  // A later change to reached matters only if a timeline has failed.
  const bool failed = std::any_of(entry.users.begin(), entry.users.end(), [](const Fence& f) {
    return !f.timeline()->Failure().ok() && !f.IsReached();
  });
  if (!failed) return File(std::move(entry));
  Quarantine(entry.allocation, entry.users);
  NoLongerWaiting(entry.allocation.reserved_bytes);
}

void DeferredQueue::Quarantine(const Allocation& allocation, absl::Span<const Fence> users) {
  if (give_up_ != nullptr) {
    give_up_(allocation, users);
  } else {
    quarantined_count_.fetch_add(1, std::memory_order_relaxed);
    quarantined_bytes_.fetch_add(allocation.reserved_bytes, std::memory_order_relaxed);
    KeepForGood(allocation);
  }
}

void DeferredQueue::WaitAndRelease(const Allocation& allocation, absl::Span<const Fence> users) {
  for (const Fence& fence : users) {
    fence.Wait().IgnoreError();
    // The device has failed, or this thread can't wait. The bytes may be in use.
    if (!fence.IsReached()) return Quarantine(allocation, users);
  }
  release_(allocation);
}

void DeferredQueue::NoLongerWaiting(uint64_t bytes) {
  waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  settled_count_.fetch_add(1, std::memory_order_release);
  waiting_count_.fetch_sub(1, std::memory_order_release);
}

void DeferredQueue::File(Entry entry) {
  {
    absl::MutexLock lock(&mutex_);
    if (FileLocked(entry)) return;
  }
  const uint64_t bytes = entry.allocation.reserved_bytes;
  WaitAndRelease(entry.allocation, entry.users);
  NoLongerWaiting(bytes);
}

bool DeferredQueue::FileLocked(Entry& entry) {
  const std::shared_ptr<Timeline> timeline = entry.users.back().timeline();
  try {
    Line& line = lines_[timeline.get()];
    if (line.timeline == nullptr) line.timeline = timeline;
    line.heap.push_back(std::move(entry));
    std::push_heap(line.heap.begin(), line.heap.end(), kLater);
    return true;
  } catch (const std::bad_alloc&) {
    const auto line = lines_.find(timeline.get());
    if (line != lines_.end() && line->second.heap.empty()) lines_.erase(line);
    return false;
  }
}

void DeferredQueue::ReapWaiting(size_t most_timelines) {
  std::vector<Entry> due;
  try {
    TakeDue(most_timelines, due);
  } catch (const std::bad_alloc&) {  // the others come with a later call
  }
  for (Entry& entry : due) Settle(std::move(entry));
}

void DeferredQueue::TakeDue(size_t most_timelines, std::vector<Entry>& due) {
  struct Look {
    std::shared_ptr<Timeline> timeline;
    uint64_t reached;
    bool failed;
  };
  // This runs for every allocation while entries wait, so it must not allocate.
  absl::InlinedVector<Look, 4> looks;
  {
    absl::MutexLock lock(&mutex_);
    if (lines_.size() <= most_timelines) {
      for (auto& [key, line] : lines_) looks.push_back({line.timeline, 0, false});
    }
    // Bucket by bucket, from where the last call ended.
    for (size_t i = 0; lines_.size() > most_timelines && looks.size() < most_timelines; ++i) {
      if (i == lines_.bucket_count()) break;
      next_bucket_ = (next_bucket_ + 1) % lines_.bucket_count();
      for (auto it = lines_.begin(next_bucket_); it != lines_.end(next_bucket_); ++it) {
        looks.push_back({it->second.timeline, 0, false});
      }
    }
  }
  for (Look& look : looks) {
    // The order matters: a value that was reached before the failure still counts.
    look.failed = !look.timeline->Failure().ok();
    look.reached = look.timeline->Reached();
  }
  absl::MutexLock lock(&mutex_);
  for (const Look& look : looks) {
    auto it = lines_.find(look.timeline.get());
    if (it == lines_.end()) continue;
    std::vector<Entry>& heap = it->second.heap;
    while (!heap.empty() && (look.failed || heap.front().value() <= look.reached)) {
      // While the heap is in order: this may find no memory.
      if (due.size() == due.capacity()) due.reserve(2 * due.size() + 4);
      std::pop_heap(heap.begin(), heap.end(), kLater);
      due.push_back(std::move(heap.back()));
      heap.pop_back();
    }
    if (heap.empty()) lines_.erase(it);
  }
}

void DeferredQueue::Revise(
    absl::FunctionRef<bool(const Fence&)> wanted,
    absl::FunctionRef<void(absl::Span<Entry* const>, std::vector<Entry>&)> revise) {
  std::vector<Entry> more;
  std::vector<Entry> gone;  // destroyed without the lock, because it shares timelines
  absl::MutexLock lock(&mutex_);
  std::vector<Entry*> found;
  uint64_t bytes = 0;
  for (auto& [timeline, line] : lines_) {
    if (!wanted(line.heap.front().users.back())) continue;
    for (Entry& entry : line.heap) {
      if (!std::all_of(entry.users.begin(), entry.users.end() - 1, wanted)) continue;
      found.push_back(&entry);
      bytes += entry.allocation.reserved_bytes;
    }
  }
  if (found.empty()) return;
  revise(found, more);
  const uint64_t count = found.size();
  uint64_t left_count = more.size();
  uint64_t left_bytes = 0;
  for (const Entry& entry : more) left_bytes += entry.allocation.reserved_bytes;
  for (const Entry* entry : found) {
    if (!entry->allocation) continue;
    ++left_count;
    left_bytes += entry->allocation.reserved_bytes;
  }
  waiting_count_.fetch_add(left_count - count, std::memory_order_relaxed);
  waiting_bytes_.fetch_add(left_bytes - bytes, std::memory_order_relaxed);
  if (left_count - more.size() < count) {
    for (auto it = lines_.begin(); it != lines_.end();) {
      std::vector<Entry>& heap = it->second.heap;
      const auto end = std::partition(heap.begin(), heap.end(), [](const Entry& entry) {
        return static_cast<bool>(entry.allocation);
      });
      if (end != heap.end()) {
        gone.insert(gone.end(), std::make_move_iterator(end), std::make_move_iterator(heap.end()));
        heap.erase(end, heap.end());
        std::make_heap(heap.begin(), heap.end(), kLater);
      }
      // The timeline outlives this, because `gone` holds it.
      if (heap.empty()) {
        lines_.erase(it++);
      } else {
        ++it;
      }
    }
  }
  for (Entry& entry : more) {
    if (!FileLocked(entry)) throw std::bad_alloc();
  }
}

std::string DeferredQueue::Describe() const {
  struct Behind {
    uint64_t count = 0;
    uint64_t bytes = 0;
    uint64_t timelines = 0;
  };
  std::map<std::string, Behind> behind;
  Behind all;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [timeline, line] : lines_) {
      Behind& one = behind[timeline->Describe()];
      ++one.timelines;
      one.count += line.heap.size();
      for (const Entry& entry : line.heap) one.bytes += entry.allocation.reserved_bytes;
    }
  }
  std::string list;
  for (const auto& [what, one] : behind) {
    all.count += one.count;
    all.bytes += one.bytes;
    absl::StrAppend(&list, list.empty() ? "" : " and ", what);
    if (one.timelines > 1) absl::StrAppend(&list, ", ", one.timelines, " times");
    absl::StrAppend(&list, " (", one.bytes, " bytes in ", one.count, ")");
  }
  if (all.count == 0) return "";
  return absl::StrCat(all.bytes, " bytes in ", all.count, " freed allocations, behind ", list);
}

bool DeferredQueue::Drain(absl::Time deadline) {
  while (true) {
    Reap();
    Fence next;
    {
      absl::MutexLock lock(&mutex_);
      if (lines_.empty()) break;
      next = lines_.begin()->second.heap.front().users.back();
    }
    // A failed timeline ends the wait, and Reap quarantines the entry. Any other error would only
    // repeat.
    if (!next.WaitUntil(deadline).ok() && !next.IsFailed()) break;
  }
  Reap();
  return waiting_count() == 0;
}

}  // namespace tenure
