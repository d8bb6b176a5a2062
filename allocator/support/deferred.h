// DeferredQueue: freed allocations whose bytes are still guarded by fences.
//
// Why: dropping the last handle must neither block nor free bytes that a device may still touch,
// and the library has no hidden thread. So freed allocations wait here. Later calls that allocate,
// trim or poll release those whose fences are reached.
//
//   Retire(a, {t@3})      t: 0 --- 1 --- 2 --- 3 ->   Reap() frees a
//   Retire(b, {t@9,u@1})  waits for t@9, then for u@1
//   Retire(c, {v@2})      v failed at 1: c is quarantined, for good
//
// Each entry waits for one fence at a time, in a heap for that fence's timeline. Reaping therefore
// reads one counter per timeline and visits only the entries that are ready.
//
// Example:
//   DeferredQueue queue([](const Allocation& a) { std::free(a.host); });
//   queue.Retire(allocation, {fence});  // frees it now if the fence is reached
//   queue.Reap();                       // later: frees what has become due
//
// Cost: Retire without unreached fences calls `release` and does nothing else. Reap with nothing
// waiting is one load. Otherwise a lock, and logarithmic time for each entry that moves. ReapSome
// looks at no more than four timelines, however many there are. If no host
// memory is left to note an entry in, Retire and Reap wait for its fences. Thread
// safety: thread-safe. `release`, `give_up` and the timelines are called with no lock held.
// Ownership: shares the timelines of the fences; borrows the allocations' bytes. Errors: none.
//
// Quarantined entries, and entries that still wait when the queue is destroyed (after a last reap),
// go to `give_up`. A decorator passes them to its upstream, with their fences. Without `give_up`
// those bytes are never freed, which is the only safe choice. Check waiting_count() before
// destruction and report it.

#ifndef TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_
#define TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class DeferredQueue {
 public:
  using Release = std::function<void(const Allocation&)>;
  using GiveUp = std::function<void(const Allocation&, absl::Span<const Fence> users)>;

  explicit DeferredQueue(Release release, GiveUp give_up = nullptr)
      : release_(std::move(release)), give_up_(std::move(give_up)) {}
  ~DeferredQueue();
  DeferredQueue(const DeferredQueue&) = delete;
  DeferredQueue& operator=(const DeferredQueue&) = delete;

  // Calls `release` for the allocation once every fence is reached: now, if all are reached
  // already, or in a later Reap.
  void Retire(const Allocation& allocation, absl::Span<const Fence> users) noexcept
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Releases entries whose fences are reached, and quarantines entries whose timeline has failed.
  void Reap() {
    if (waiting_count_.load(std::memory_order_relaxed) != 0) ReapWaiting(kAllTimelines);
  }
  // The same, for a few of the timelines that entries wait for, in turn.
  void ReapSome() {
    if (waiting_count_.load(std::memory_order_relaxed) != 0) ReapWaiting(kSomeTimelines);
  }

  // Waits until the fences of all entries, except quarantined ones, are reached or `deadline`
  // passes, and reaps. False: some entries still wait.
  bool Drain(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Entries that wait, plus quarantined entries that `give_up` did not take. Bytes are counted by
  // Allocation::reserved_bytes.
  uint64_t waiting_count() const { return waiting_count_.load(std::memory_order_acquire); }
  uint64_t waiting_bytes() const { return waiting_bytes_.load(std::memory_order_relaxed); }
  uint64_t quarantined_count() const { return quarantined_count_.load(std::memory_order_relaxed); }
  uint64_t quarantined_bytes() const { return quarantined_bytes_.load(std::memory_order_relaxed); }

  // How many entries have been released or quarantined after a wait. A caller that finds no entry
  // waiting, and then this number unchanged, has missed no release.
  uint64_t settled_count() const { return settled_count_.load(std::memory_order_acquire); }

  // What waits and behind what, for messages: "30 bytes in 3 freed allocations, behind a stream of
  // CUDA device 0 (20 bytes in 2) and work of the host (10 bytes in 1)". Empty if nothing waits.
  std::string Describe() const ABSL_LOCKS_EXCLUDED(mutex_);

  struct Entry {
    Allocation allocation;
    // Fences that were unreached when last checked. The entry waits for the last one.
    absl::InlinedVector<Fence, 2> users;
    uint64_t value() const { return users.back().value(); }
  };
  // For allocators that can reuse bytes before their fences are reached, because the new user comes
  // after the old one. Passes to `revise` the entries that wait only for fences for which `wanted`
  // is true. `wanted` must depend only on a fence's timeline. `revise` may shrink an entry's
  // allocation to a part of it, or empty it, which ends its wait. It may add new entries with the
  // same users to `more`. Both functions run under the lock, and must not call the timelines or the
  // queue. Cost: linear in the waiting entries.
  void Revise(absl::FunctionRef<bool(const Fence&)> wanted,
              absl::FunctionRef<void(absl::Span<Entry* const>, std::vector<Entry>& more)> revise)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The entries of one timeline: a heap, smallest value first.
  struct Line {
    std::shared_ptr<Timeline> timeline;
    std::vector<Entry> heap;
  };

  static constexpr size_t kSomeTimelines = 4;
  static constexpr size_t kAllTimelines = ~size_t{0};

  void ReapWaiting(size_t most_timelines) ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases the entry if its fences are reached; otherwise adds it to the heap of an unreached
  // one.
  void Settle(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, for an entry whose fences were all unreached a moment ago.
  void SettleUnreached(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoLongerWaiting(uint64_t bytes);
  void File(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases the bytes when all of these are reached, without noting anything.
  void WaitAndRelease(const Allocation& allocation, absl::Span<const Fence> users);
  // False, and nothing is done, if no host memory is left.
  bool FileLocked(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Moves entries whose wait is over to `due`.
  void TakeDue(size_t most_timelines, std::vector<Entry>& due) ABSL_LOCKS_EXCLUDED(mutex_);
  // For bytes that a failed device may still touch.
  void Quarantine(const Allocation& allocation, absl::Span<const Fence> users);

  const Release release_;
  const GiveUp give_up_;
  std::atomic<uint64_t> waiting_count_{0};
  std::atomic<uint64_t> waiting_bytes_{0};
  std::atomic<uint64_t> settled_count_{0};
  std::atomic<uint64_t> quarantined_count_{0};
  std::atomic<uint64_t> quarantined_bytes_{0};
  mutable absl::Mutex mutex_;
  // Not absl's: that one is broken if it finds no memory to grow.
  std::unordered_map<const Timeline*, Line> lines_ ABSL_GUARDED_BY(mutex_);
  size_t next_bucket_ ABSL_GUARDED_BY(mutex_) = 0;  // of lines_, at which ReapSome continues
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_
