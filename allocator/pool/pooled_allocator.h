// PooledAllocator: blocks out of slabs that were taken from a driver, for who writes the allocator
// of such a space.
//
// Why: drivers take microseconds to milliseconds for an allocation, and many wait for the whole
// device when one is freed. So slabs are taken seldom and kept, and blocks are parts of them
// (range_heap.h), to a granule of 256 bytes: nothing is rounded to a class.
//
//   Allocate -> [ free block that fits ] -> block          ~0.1 us
//        none -> [ freed, but in use until the request's queue gets there ]
//        none -> [ source: new slab ]                      the driver's time
//        none -> [ freed, but in use by what that queue can wait for ]
//        none -> [ reap what is due, give back free slabs, take exactly ]
//        none -> ResourceExhausted, which tells all of that
//
// Small blocks have a heap of their own, in chunks that are blocks of the large one: most blocks of
// a program are small, and strewn about would keep the holes that large ones leave from growing
// together.
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
// How it grows: where slabs join (slab_source.h) by what is missing to the request; where they
// stand alone, by an eighth of what there is, within min_slab_bytes and max_slab_bytes, and from
// exact_slab_bytes on a request has a slab of exactly its size (which is cut up and reused like any
// other). But where more is free than the slack allows, slabs that are free move: they are given
// back, and taken again where the request continues.
//
// Cost: Allocate and Deallocate of what is cached about 0.1 us each: a lock, the counters and the
// search. Trim looks at the free blocks that could hold a slab. Thread safety: thread-safe, if Zero
// and the imports are. No lock that a cached allocation takes is held while the source works;
// threads that need the source take turns, and who finds on its turn that another has brought
// enough takes from that. Ownership: owns the source and its slabs. Slabs of which something is
// still in use, deferred or quarantined when the pool is closed are never given back (RootAllocator
// says so on stderr).
// Errors: ResourceExhausted with the driver's own message; what Zero, MakeImport and the source
// give.

#ifndef TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_
#define TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
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
    // Requests of at most small_bytes come out of chunks. small_bytes 0: none does.
    uint64_t small_bytes = uint64_t{512} << 10;
    uint64_t chunk_bytes = uint64_t{2} << 20;
    // Slabs that stand alone. All are rounded up to the source's granularity.
    uint64_t min_slab_bytes = uint64_t{2} << 20;
    uint64_t max_slab_bytes = uint64_t{64} << 20;
    uint64_t exact_slab_bytes = uint64_t{8} << 20;
    // Slabs that join have at least this many bytes where so many may be reserved. 0: exactly what
    // is missing.
    uint64_t min_joining_bytes = 0;
    // Free slabs move rather than that more is taken, if the latter would leave more bytes reserved
    // than are in use by so many percent (and more than max_slab_bytes). kNever: they stay until
    // the source is exhausted.
    uint32_t joining_slack_percent = 12;
    uint32_t alone_slack_percent = kNever;
    // The budget: no more is reserved, in use or not, in slabs or beside them.
    uint64_t max_reserved_bytes = SpaceTraits::kUnlimited;
    // Slabs that are wholly free go back while more than this is cached. Then freeing may cost what
    // giving back costs; growing and trimming only, otherwise.
    uint64_t max_cached_bytes = SpaceTraits::kUnlimited;
  };

  ~PooledAllocator() override;

  // Reaps, then gives back slabs that are wholly free, the largest first, until at most
  // `keep_bytes` are cached.
  uint64_t Trim(uint64_t keep_bytes) override;
  // limit_bytes is the budget; 1 - largest_free_bytes / cached_bytes tells how fragmented what is
  // free is.
  AllocatorStats Stats() const override;

  const Options& pool_options() const { return options_; }
  // The budget from now on; what is reserved beyond it already stays until trimmed.
  void SetMaxReservedBytes(uint64_t bytes) { max_reserved_bytes_.store(bytes); }
  uint64_t slab_count() const;

 protected:
  PooledAllocator(MemorySpace space, const SpaceTraits& traits, std::unique_ptr<SlabSource> source,
                  const Options& options);

  // To be called first by the destructor of every derived class, in place of Close(). False: some
  // bytes are still in use.
  bool ClosePool();

  // Makes every byte of a new allocation zero; done, or ordered before whatever can use it, when it
  // returns.
  virtual absl::Status Zero(const Allocation& allocation) = 0;

  // Foreign memory and windows of files (AllocationRequest::imports()), for who has the
  // capabilities. `imported` is set afterwards.
  virtual absl::StatusOr<Allocation> MakeImport(const AllocationRequest& request);
  virtual void ReleaseImport(const Allocation& allocation);

  // Whether a request must have a slab of its own, that no block of another request is ever in and
  // that goes back when it is freed.
  virtual bool NeedsDedicatedSlab(const AllocationRequest& request) const;

  // A derived class that has more to do for a block calls these too.
  absl::StatusOr<Allocation> Make(const AllocationRequest& request) override;
  void Release(const Allocation& allocation) override;

  // A block was given again without having been released.
  virtual void OnReused(const Allocation&) {}

  SlabSource& source() { return *source_; }

  // Memory that a derived class takes from the driver itself, beside the slabs and under the same
  // budget: counted as reserved from before it is taken until after it was given back. False: it
  // would pass the budget.
  bool TryReserveDedicated(uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  void UnreserveDedicated(uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives back what the derived class keeps of that without using it; how many bytes. Called when
  // the budget or the source is exhausted, with no lock held.
  virtual uint64_t ReleaseKeptDedicated() { return 0; }
  // Allocation::token of what is not a block; Release leaves it alone.
  static constexpr uint64_t kNotABlock = 3;

 private:
  // A request in the pool's terms.
  struct Need {
    uint64_t size_bytes;  // whole granules
    uint64_t alignment_bytes;
    bool small;
    // What the large heap must have for it.
    uint64_t large_bytes;
    uint64_t large_alignment_bytes;
  };
  enum class Growth { kByPolicy, kExactly };

  absl::StatusOr<Allocation> MakeDedicatedSlab(const AllocationRequest& request, const Need& need);
  absl::StatusOr<Allocation> Grow(const AllocationRequest& request, const Need& need)
      ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  // Takes slabs until the block is there.
  absl::StatusOr<Allocation> AcquireSlabsFor(const Need& need, Growth growth)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives free slabs back that are to be taken again elsewhere, if there is reason to.
  void MoveSlabs(const Need& need) ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // A slab of the source's, counted as reserved. ResourceExhausted: over the budget, or the
  // source's own.
  absl::StatusOr<Slab> AcquireSlab(uint64_t size_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // A slab that can't be used goes back.
  absl::Status Misfit(const Slab& slab, std::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How large a slab must be, that begins at `tail` if that is not 0.
  uint64_t MissingBytes(const Need& need, uint64_t tail, bool use_free_bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t SlabBytes(const Need& need, uint64_t missing, bool joins) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // The block, if there is one free; in that case `made` is filled in.
  bool FromCache(const Need& need, Allocation& made) ABSL_LOCKS_EXCLUDED(mutex_);
  bool FromHeap(const Need& need, Allocation& made) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // From the heap that is not meant for it, or `refusal`.
  absl::StatusOr<Allocation> FromOtherHeap(const Need& need, absl::Status refusal)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  // Bytes that wait for fences which the request's queue comes after: for its own fences, or
  // (`by_waiting`) also for those that it can be made to wait for. False: there are no such bytes.
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
  // Returns a chunk without blocks to the large heap.
  RangeHeap::Block DropChunk(uint64_t address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DropFreeChunks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // What may still be taken.
  uint64_t Headroom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t CachedBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return large_.free_bytes() + small_.free_bytes();
  }
  // Moves wholly free slabs, the largest first, to retired_: until at most `keep_bytes` are cached,
  // or `enough_bytes` have been moved, or no more is free. `except_before`: not those in the free
  // block that ends there.
  uint64_t Retire(uint64_t keep_bytes, uint64_t enough_bytes, uint64_t except_before)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Gives back what is in retired_; how many bytes. The first leaves it to who is at the source, if
  // somebody is.
  void TryReleaseRetiredSlabs() ABSL_LOCKS_EXCLUDED(source_mutex_, mutex_);
  uint64_t ReleaseRetiredSlabs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(source_mutex_)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  const std::unique_ptr<SlabSource> source_;
  std::atomic<uint64_t> max_reserved_bytes_;
  absl::Mutex source_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);  // held while the source works
  mutable absl::Mutex mutex_;                              // never held while the source works
  RangeHeap large_ ABSL_GUARDED_BY(mutex_);                // of slabs
  RangeHeap small_ ABSL_GUARDED_BY(mutex_);                // of chunks
  absl::flat_hash_map<uint64_t, uint32_t> chunks_
      ABSL_GUARDED_BY(mutex_);                         // address: node of large_
  std::vector<Slab> slabs_ ABSL_GUARDED_BY(mutex_);    // in the large heap, by address
  std::vector<Slab> retired_ ABSL_GUARDED_BY(mutex_);  // to be given back
  // Slabs of all kinds, those that are being taken and retired_ too.
  uint64_t reserved_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dedicated_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> any_retired_{false};
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_POOL_POOLED_ALLOCATOR_H_
