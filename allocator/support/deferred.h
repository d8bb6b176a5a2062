// DeferredQueue: allocations that were given back while a fence still guards their bytes.
//
// Why: dropping the last handle must neither block nor free bytes that a device may still touch,
// and there is no hidden thread. So what was given back waits here, and whoever allocates, trims or
// polls takes out what has become due.
//
//   Retire(a, {t@3})      t: 0 --- 1 --- 2 --- 3 ->   Reap() frees a
//   Retire(b, {t@9,u@1})  waits for t@9, then for u@1
//   Retire(c, {v@2})      v failed at 1: c is quarantined, for good
//
// Each entry waits for one fence at a time, in a heap of its timeline, so that reaping looks at one
// counter a timeline and at what is due, not at all that waits.
//
// Example:
//   DeferredQueue queue([](const Allocation& a) { std::free(a.host); });
//   queue.Retire(allocation, {fence});  // frees it now if the fence is reached
//   queue.Reap();                       // later: frees what has become due
//
// Cost: Retire of what no fence guards: a call of `release`. Reap with nothing waiting: one load.
// Otherwise a lock and a logarithm for each entry that moves. Thread safety: thread-safe.
// `release`, `give_up` and the timelines are called with no lock held. Ownership: shares the
// timelines of the fences; borrows the allocations' bytes. Errors: none.
//
// What is quarantined, and what still waits when the queue is destroyed (which reaps once more),
// goes to `give_up`: a decorator hands it to its upstream, fences and all. Without one those bytes
// are never freed, which is the only safe thing left to do; ask waiting_count() first and tell
// somebody.

#ifndef TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_
#define TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
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

  // Calls `release` for the allocation once every fence is reached: now, if that is so already, or
  // in a later Reap.
  void Retire(const Allocation& allocation, absl::Span<const Fence> users)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Releases what has become due and quarantines what never will.
  void Reap() {
    if (waiting_count_.load(std::memory_order_relaxed) != 0) ReapWaiting();
  }

  // Waits for every fence of what waits (quarantined ones excepted) until `deadline`, and reaps.
  // False: some is still waiting.
  bool Drain(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // What waits, and what was quarantined (nothing where `give_up` took it), by
  // Allocation::reserved_bytes.
  uint64_t waiting_count() const { return waiting_count_.load(std::memory_order_relaxed); }
  uint64_t waiting_bytes() const { return waiting_bytes_.load(std::memory_order_relaxed); }
  uint64_t quarantined_count() const { return quarantined_count_.load(std::memory_order_relaxed); }
  uint64_t quarantined_bytes() const { return quarantined_bytes_.load(std::memory_order_relaxed); }

  struct Entry {
    Allocation allocation;
    absl::InlinedVector<Fence, 2> users;  // not reached when last looked at; the last is waited for
    uint64_t value() const { return users.back().value(); }
  };
  // For who can give bytes again before their fences are reached, because whoever gets them comes
  // after: lets `revise` have what waits for `wanted` fences alone (which must depend on a fence's
  // timeline only). It may make an entry's allocation a part of it or none, which then waits no
  // more, and add others with the same users to `more`. Both are called under the lock: they must
  // not call the timelines or the queue. Cost: linear in what waits.
  void Revise(absl::FunctionRef<bool(const Fence&)> wanted,
              absl::FunctionRef<void(absl::Span<Entry* const>, std::vector<Entry>& more)> revise)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A heap by value, the smallest first.
  struct Line {
    std::shared_ptr<Timeline> timeline;
    std::vector<Entry> heap;
  };

  void ReapWaiting() ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases the entry if its fences are reached, or files it under one that is not.
  void Settle(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same where none of its fences was reached a moment ago.
  void SettleUnreached(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  void NoLongerWaiting(uint64_t bytes);
  void File(Entry entry) ABSL_LOCKS_EXCLUDED(mutex_);
  void FileLocked(Entry entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Release release_;
  const GiveUp give_up_;
  std::atomic<uint64_t> waiting_count_{0};
  std::atomic<uint64_t> waiting_bytes_{0};
  std::atomic<uint64_t> quarantined_count_{0};
  std::atomic<uint64_t> quarantined_bytes_{0};
  absl::Mutex mutex_;
  absl::flat_hash_map<const Timeline*, Line> lines_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_DEFERRED_H_
