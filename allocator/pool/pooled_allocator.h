// PooledAllocator: hands out blocks of slabs that it takes from a driver. For authors of device
// allocators.
//
// Why: drivers take microseconds to milliseconds for an allocation, and freeing often waits for the
// whole device. So the pool takes slabs rarely and keeps them. Blocks are parts of slabs
// (range_heap.h), in units of a granule of 256 bytes; sizes are not rounded to classes.
//
//   Allocate -> [ free block that fits ] -> block          ~0.1 us
//        none -> [ freed, used by earlier work of the request's queue ]
//        none -> [ source: new slab ]                      the driver's time
//        none -> [ freed, used by work that the queue can wait for ]
//        none -> [ reap, release free slabs, new slab of exact size ]
//        none -> [ freed, once the work that uses it is over: the host waits, at most max_wait ]
//        none -> ResourceExhausted, whose message lists these attempts
//
// Small blocks have a heap of their own. Its chunks are blocks of the large heap. Most blocks of a
// program are small; scattered among the large ones, they would keep the holes between those from
// merging.
//
//   slabs    [ large |      free      | chunk |  large  |    free    ]
//                                      |s|s| |s|  |s|
//
// Example:
//   class PinnedAllocator final : public PooledAllocator {
//    public:
//     explicit PinnedAllocator(std::unique_ptr<SlabSource> source)
//         : PooledAllocator(kSpace, kTraits, std::move(source), {}) {}
//     ~PinnedAllocator() override { ClosePool(); }
//    protected:
//     absl::Status Zero(const Allocation& a) override;
//     // And the copies, and FindCapability.
//   };
//
// How it grows: slabs that join (slab_source.h) grow the pool by exactly the missing bytes. Slabs
// that stand alone grow it by an eighth of its size, within min_slab_bytes and max_slab_bytes. A
// request of exact_slab_bytes or more gets a slab of exactly its size, which is later divided and
// reused like any other. When more bytes are free than the slack allows, free slabs move: they are
// released, and taken again at the tail to continue there.
//
// Cost: Allocate and Deallocate of cached blocks take about 0.1 us each: a lock, the counters and
// the search. Trim looks at the free blocks that could hold a slab. Thread safety: thread-safe, if
// Zero and the imports are. While the source works, no lock is held that an allocation of a cached
// block needs. Threads that need the source take turns. A thread whose turn comes first checks
// whether an earlier thread has brought enough. An exhausted request that waits for freed bytes
// holds no lock, and also takes what other threads free meanwhile. It does not begin to wait
// if the cached, deferred and still permitted bytes together are too few. Deallocate never waits.
// Ownership: owns the source and its slabs. The destructor waits at most max_wait for deferred
// bytes. Slabs that then still contain bytes in use, deferred or quarantined are never released
// (RootAllocator reports them on stderr).
// Errors: ResourceExhausted with the driver's own message; the errors of Zero, MakeImport and the
// source.

#ifndef TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_
#define TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/pool/range_heap.h"
#include "tenure/allocator/pool/slab_source.h"
#include "tenure/allocator/support/root_allocator.h"

namespace tenure {

class PooledAllocator : public RootAllocator {
 public:
  static constexpr uint32_t kNever = ~uint32_t{0};

  struct Options {
    uint64_t granule_bytes = RangeHeap::kDefaultGranule;
    // Requests of at most small_bytes are served from chunks. With small_bytes 0, none are.
    uint64_t small_bytes = uint64_t{512} << 10;
    uint64_t chunk_bytes = uint64_t{2} << 20;
    // For slabs that stand alone. All sizes are rounded up to the source's granularity.
    uint64_t min_slab_bytes = uint64_t{2} << 20;
    uint64_t max_slab_bytes = uint64_t{64} << 20;
    uint64_t exact_slab_bytes = uint64_t{8} << 20;
    // The minimum size of slabs that join, if the budget permits it. 0: exactly the missing bytes.
    uint64_t min_joining_bytes = 0;
    // If growing would leave reserved bytes more than this percentage above bytes in use (and by
    // more than max_slab_bytes), release free slabs and take them again at the tail instead.
    // kNever: free slabs stay until the source is exhausted.
    uint32_t joining_slack_percent = 12;
    uint32_t alone_slack_percent = kNever;
    // The most bytes that may be reserved, used or not, in slabs and dedicated memory together.
    uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
    // Wholly free slabs are released while more than this is cached. Freeing an allocation may then
    // take as long as the driver takes to free a slab. With the default, only growing and trimming
    // release slabs.
    uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
    // The longest that the host waits for work that still uses freed bytes: in an exhausted request
    // (AllocationRequest::may_wait), and in the destructor. Zero: it does not wait.
    absl::Duration max_wait = absl::Seconds(10);
  };

  ~PooledAllocator() override;

  // Reaps deferred allocations, then releases wholly free slabs, the largest first, until at most
  // `keep_bytes` are cached.
  uint64_t Trim(uint64_t keep_bytes) override;
  // limit_bytes is the budget. 1 - largest_free_bytes / cached_bytes is a measure of fragmentation.
  AllocatorStats Stats() const override;

  const Options& pool_options() const { return options_; }
  // Changes the budget. Bytes that are already reserved beyond it stay until they are trimmed.
  void SetMaxReservedBytes(uint64_t bytes) { max_reserved_bytes_.store(bytes); }
  // Changes Options::max_wait, for requests from now on and for the destructor.
  void SetMaxWait(absl::Duration wait) { max_wait_ns_.store(absl::ToInt64Nanoseconds(wait)); }
  absl::Duration max_wait() const { return absl::Nanoseconds(max_wait_ns_.load()); }
  uint64_t slab_count() const;

 protected:
  PooledAllocator(MemorySpace space, const SpaceTraits& traits, std::unique_ptr<SlabSource> source,
                  const Options& options);

  // The destructor of every derived class must call this first, in place of Close(). False: some
  // bytes are still in use.
  bool ClosePool();

  // Sets every byte of a new allocation to zero. On return the work is done, or is ordered before
  // any later use.
  virtual absl::Status Zero(const Allocation& allocation) = 0;

  // Makes and releases foreign memory and windows of files (AllocationRequest::imports()), for
  // allocators that have those capabilities. The caller sets `imported` afterwards.
  virtual absl::StatusOr<Allocation> MakeImport(const AllocationRequest& request);
  virtual void ReleaseImport(const Allocation& allocation);

  // Whether the request needs a dedicated slab: it holds no block of another request, and is
  // released when its block is freed.
  virtual bool NeedsDedicatedSlab(const AllocationRequest& request) const;

  // A derived class that overrides these must call them too.
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation& allocation) override;

  // Called when a block is reused without having been released.
  virtual void OnReused(const Allocation&) {}

  SlabSource& source() { return *source_; }

  // Accounts for memory that a derived class takes from the driver itself, outside of slabs but
  // under the same budget. Call TryReserveDedicated before taking the memory and UnreserveDedicated
  // after freeing it. False: it would exceed the budget.
  bool TryReserveDedicated(uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void UnreserveDedicated(uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases unused dedicated memory that the derived class keeps, and returns the number of bytes.
  // Called when the budget or the source is exhausted, with no lock held.
  virtual uint64_t ReleaseKeptDedicated() { return 0; }
  // For exhausted requests of `size_bytes`: waits on the host, at most max_wait, for work that uses
  // freed bytes. Calls `attempt` whenever such bytes have become free, and `look`, which must be
  // cheap, between its sleeps. Returns true as soon as one of them does. Appends to `tried` that it
  // waited. `settled`: DeferredQueue::settled_count before the last attempt.
  bool WaitForDeferred(uint64_t size_bytes, uint64_t settled, absl::FunctionRef<bool()> look,
                       absl::FunctionRef<bool()> attempt, std::string& tried)
      ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  // Allocation::token of allocations that are not blocks; Release ignores them.
  static constexpr uint64_t kNotABlock = 3;

 private:
  // A request, as sizes and alignments of the heaps.
  struct Need {
    uint64_t size_bytes;  // whole granules
    uint64_t alignment_bytes;
    bool small;
    // The block that the large heap must provide: the block itself, or a chunk.
    uint64_t large_bytes;
    uint64_t large_alignment_bytes;
  };
  enum class Growth { kByPolicy, kExactly };

  absl::StatusOr<Allocation> MakeDedicatedSlab(const AllocationRequest& request, const Need& need);
  absl::StatusOr<Allocation> Grow(const AllocationRequest& request, const Need& need)
      ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  // The attempts of an exhausted request that do not wait on the host. Appends to `tried` what they
  // were.
  absl::StatusOr<Allocation> ReclaimFor(const AllocationRequest& request, const Need& need,
                                        std::string& tried)
      ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  // Takes slabs from the source until the block fits.
  absl::StatusOr<Allocation> AcquireSlabsFor(const Need& need, Growth growth)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Releases free slabs that should be taken again at the tail, if the slack says so.
  void MoveSlabs(const Need& need) ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes a slab from the source and counts it as reserved. ResourceExhausted: the budget or the
  // source is exhausted.
  absl::StatusOr<Slab> AcquireSlab(uint64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns an unusable slab to the source, and the error that says why.
  absl::Status Misfit(const Slab& slab, std::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The size that a new slab needs for this request. `tail`: the address where it will begin, or 0
  // if unknown.
  uint64_t MissingBytes(const Need& need, uint64_t tail, bool use_free_bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t SlabBytes(const Need& need, uint64_t missing, bool joins) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // Fills in `made` and returns true if a free block fits.
  bool FromCache(const Need& need, Allocation& made) ABSL_LOCKS_EXCLUDED(mutex_);
  bool FromHeap(const Need& need, Allocation& made) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tries the heap that does not normally serve this size. Returns `refusal` if that fails too.
  absl::StatusOr<Allocation> FromOtherHeap(const Need& need, absl::Status refusal)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Reuses bytes that are freed but still wait for fences that the request's queue comes after.
  // These are the queue's own fences and, with `by_waiting`, also fences that the queue can be made
  // to wait for. False: there are no such bytes.
  absl::StatusOr<bool> ReuseDeferred(const AllocationRequest& request, const Need& need,
                                     bool by_waiting, Allocation& made) ABSL_LOCKS_EXCLUDED(mutex_);
  bool CutFromDeferred(const Need& need, absl::Span<DeferredQueue::Entry* const> waiting,
                       std::vector<DeferredQueue::Entry>& more, Allocation& made,
                       std::vector<Fence>& fences) ABSL_LOCKS_EXCLUDED(mutex_);
  bool MayFollow(const AllocationRequest& request) const {
    return request.hints.queue != nullptr && request.pending != nullptr && !request.zeroed &&
           request.hints.queue->AcceptsWaits();
  }
  uint64_t TokenOf(const RangeHeap::Block& block, bool small) const;
  void HandOut(const RangeHeap::Block& block, bool small, const Need& need, Allocation& made) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns an empty chunk to the large heap.
  RangeHeap::Block DropChunk(uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropFreeChunks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The bytes that may still be reserved under the budget.
  uint64_t Headroom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t CachedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return large_.free_bytes() + small_.free_bytes();
  }
  // Moves wholly free slabs, the largest first, to retired_. Stops when at most `keep_bytes` are
  // cached, `enough_bytes` have been moved, or no slab is free. Skips slabs in the free block that
  // ends at `except_before`.
  uint64_t Retire(uint64_t keep_bytes, uint64_t enough_bytes, uint64_t except_before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Releases the slabs in retired_ and returns the number of bytes. TryReleaseRetiredSlabs leaves
  // the work to the thread that is using the source, if there is one.
  void TryReleaseRetiredSlabs() ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  uint64_t ReleaseRetiredSlabs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  const std::unique_ptr<SlabSource> source_;
  std::atomic<uint64_t> max_reserved_bytes_;
  std::atomic<int64_t> max_wait_ns_;
  absl::Mutex source_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // held while the source works
  mutable absl::Mutex mutex_;                              // never held while the source works
  RangeHeap large_ ABSL_GUARDED_BY(mutex_);                // of slabs
  RangeHeap small_ ABSL_GUARDED_BY(mutex_);                // of chunks
  absl::flat_hash_map<uint64_t, uint32_t> chunks_
      ABSL_GUARDED_BY(mutex_);                         // address: node of large_
  std::vector<Slab> slabs_ ABSL_GUARDED_BY(mutex_);    // in the large heap, by address
  std::vector<Slab> retired_ ABSL_GUARDED_BY(mutex_);  // to be given back
  // Slabs of all kinds, including those being taken and those in retired_.
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dedicated_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> any_retired_{false};
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_
