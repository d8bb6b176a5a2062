// CachingAllocator: keeps what was freed, to give it again.
//
// Why: mapping memory, and on devices allocating it, costs milliseconds for the large blocks that
// models use; schedules ask for the same sizes again and again. Sizes are rounded up to classes,
// sixteen to each doubling (so a sixteenth is lost at most), so that equal work finds equal blocks.
//
//   sizes   64 128 ... 1024 | 1088 1152 ... 2048 | 2176 ... 4096 | ...
//   freed   -> held in its class, newest first out; over the bound the least
//              recently freed of all classes goes back to the upstream
//
// Exhaustion is no error at first: everything cached goes back to the upstream, which is asked to
// trim too, and the allocation is tried once more, unrounded. If that fails, the error tells of
// both attempts.
//
// A block freed with fences is kept apart until they are reached; then it is cached as any other. A
// zeroed allocation of a cached block fills it. Imports, what is shared with other processes or
// write-combined, empty allocations and what is larger than the bound are not cached.
//
// Example:
//   CachingAllocator cache(std::make_unique<CpuAllocator>(),
//                          {.max_cached_bytes = uint64_t{1} << 30});
//
// Cost: a hit and its free 0.1 to 0.2 microseconds; an own mapping of 8 MiB, for comparison, 6 or
// more before it is touched. Each thread turns to a part of the cache of its own first, and into
// the others' before it asks the upstream: threads share no lock, only counters.
// Thread safety: thread-safe. No lock is held while the upstream works.
// Ownership: owns its upstream and the cached blocks. Errors: ResourceExhausted with both attempts;
// the upstream's.

#ifndef TENURE_ALLOCATOR_DECORATORS_CACHING_H_
#define TENURE_ALLOCATOR_DECORATORS_CACHING_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/support/deferred.h"

namespace tenure {

class CachingAllocator final : public Decorator {
 public:
  struct Options {
    // The most that is held while not in use; 0: nothing is.
    uint64_t max_cached_bytes = uint64_t{256} << 20;
  };

  CachingAllocator(std::unique_ptr<Allocator> upstream, const Options& options);
  // Gives back what is cached.
  ~CachingAllocator() override;

  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override;
  uint64_t Trim(uint64_t keep_bytes) override;
  void Poll() override;
  AllocatorStats Stats() const override;

  uint64_t hits() const;
  uint64_t misses() const { return misses_.load(std::memory_order_relaxed); }

  // The size of the class of `size_bytes`, or `size_bytes` itself where 64 bits do not hold it.
  // Exposed for tests and for who wants to know beforehand.
  static uint64_t RoundedSize(uint64_t size_bytes);

 protected:
  SubRegion ToUpstream(const SubRegion& region) const override;

 private:
  static constexpr int kShards = 16;
  static constexpr int kClasses = 16 + 16 * 54;

  // One block of the upstream, in use or cached. Allocation::token of what is handed out is its
  // address.
  struct Block {
    Allocation upstream;
    uint64_t bytes = 0;      // what it takes of the upstream's space
    uint64_t alignment = 0;  // as asked of the upstream
    bool cacheable = false;  // has the size of a class
    uint64_t freed_at = 0;
    Block* newer = nullptr;  // by freed_at, in its shard
    Block* older = nullptr;
    Block* above = nullptr;  // the stack of its class, in its shard
    Block* below = nullptr;
  };
  using Key = std::pair<uint64_t, uint64_t>;  // size, alignment

  struct alignas(64) Shard {
    mutable absl::Mutex mutex;
    std::atomic<uint64_t> bytes{0};  // written under mutex
    absl::flat_hash_map<Key, Block*> tops ABSL_GUARDED_BY(mutex);
    Block* newest ABSL_GUARDED_BY(mutex) = nullptr;
    Block* oldest ABSL_GUARDED_BY(mutex) = nullptr;
    uint64_t hits ABSL_GUARDED_BY(mutex) = 0;
    // Blocks by class, and which of those counts are not 0.
    std::array<uint32_t, kClasses> counts ABSL_GUARDED_BY(mutex) = {};
    std::array<uint64_t, (kClasses + 63) / 64> filled ABSL_GUARDED_BY(mutex) = {};

    void Insert(Block* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    void Remove(Block* block) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    Block* Find(const Key& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    uint64_t LargestBytes() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };

  static int ClassOf(uint64_t rounded_bytes);
  static uint64_t SizeOfClass(int index);
  static Block* BlockOf(const Allocation& allocation) {
    return reinterpret_cast<Block*>(allocation.token);
  }

  Block* TakeCached(const Key& key);
  absl::StatusOr<Block*> MakeBlock(const AllocationRequest& request, const Key& key);
  absl::Status Zero(const Block& block, uint64_t size_bytes);
  Allocation HandOut(Block* block, uint64_t size_bytes);
  // Caches a block that nobody uses, or gives it back.
  void Keep(Block* block);
  void GiveBack(Block* block);
  // Gives back the least recently freed until `keep_bytes` are left; how many blocks and bytes
  // went.
  std::pair<uint64_t, uint64_t> Evict(uint64_t keep_bytes);
  Block* TakeOldest();

  const Options options_;
  const std::unique_ptr<Shard[]> shards_;
  std::atomic<uint64_t> cached_bytes_{0};
  std::atomic<uint64_t> misses_{0};
  bool closing_ = false;  // in the destructor
  StatsCounters counters_;
  DeferredQueue deferred_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_CACHING_H_
