// DebugFillAllocator: makes mistakes with memory show.
//
// Fresh bytes are filled with 0xa5 and freed ones with 0xdd, so that what reads uninitialised or
// freed memory computes nonsense at once and not one day. In front of and behind each allocation
// stand guard bytes (0xfb) that nobody may touch; they are checked when the bytes are freed, after
// the last fence.
//
//   upstream's   [ guard, up to the alignment | the allocation | guard ]
//   filled         fb fb fb fb fb fb fb fb fb | a5 a5 a5 a5 a5 | fb fb
//
// Where the host can't reach the bytes, the space's own Fill and CopyOut do the work. Where there
// are none (`null`) there is nothing to do, and applies() says so. Imports, whose bytes belong to
// others, and what is shared with other processes or write-combined, which begins where its memory
// does, are left as they are.
//
// Example:
//   DebugFillAllocator checked(std::make_unique<CpuAllocator>(), {});
//
// Cost: every byte is written twice; a debugging tool. At least 2 * guard_bytes more for each
// allocation. Put it above a CachingAllocator to have freed bytes stay poisoned until they are
// given again. Thread safety: thread-safe.
// Ownership: owns its upstream. Errors: its upstream's. Damage goes to Options::on_damage, from
// whichever thread reaps, with no lock held.

#ifndef TENURE_ALLOCATOR_DECORATORS_DEBUG_FILL_H_
#define TENURE_ALLOCATOR_DECORATORS_DEBUG_FILL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/support/deferred.h"
#include "tenure/base/ids.h"

namespace tenure {

class DebugFillAllocator final : public Decorator {
 public:
  struct Damage {
    std::string name;  // of the request
    AllocationId allocation;
    StorageId storage;
    uint64_t size_bytes = 0;
    // The first guard byte that changed, from the start of the allocation: negative in front of it,
    // at least size_bytes behind it.
    int64_t offset_bytes = 0;
    uint64_t changed_bytes = 0;  // guard bytes that changed, in front and behind
    uint8_t found = 0;           // what stands there now
    std::string ToString() const;
  };
  struct Options {
    uint64_t guard_bytes = 64;  // on each side, at least; 0: none
    uint8_t allocated = 0xa5;
    uint8_t freed = 0xdd;
    uint8_t guard = 0xfb;
    // Empty: a line on stderr.
    std::function<void(const Damage&)> on_damage = {};
  };

  DebugFillAllocator(std::unique_ptr<Allocator> upstream, const Options& options);

  // Whether it does anything in this space.
  bool applies() const { return up().traits().has_bytes; }
  uint64_t damaged_count() const { return damaged_.load(std::memory_order_relaxed); }

  const SpaceTraits& traits() const override { return traits_; }
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override;
  using Allocator::Deallocate;
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override;
  uint64_t Trim(uint64_t keep_bytes) override;
  void Poll() override;
  AllocatorStats Stats() const override;

 protected:
  SubRegion ToUpstream(const SubRegion& region) const override;

 private:
  // Of each allocation; its token is the address.
  struct Record {
    Allocation upstream;
    uint64_t front_bytes;
    uint64_t size_bytes;
    AllocationId id;
    StorageId storage;
    std::string name;
  };
  static Record* RecordOf(const Allocation& allocation) {
    return reinterpret_cast<Record*>(allocation.token);
  }

  // Fills a range of what the upstream gave, and waits for it.
  absl::Status Paint(const Allocation& upstream, uint64_t offset_bytes, uint64_t size_bytes,
                     uint8_t value);
  // Looks at one guard; adds what changed to `damage`.
  void Inspect(const Record& record, uint64_t offset_bytes, uint64_t size_bytes, Damage& damage);
  void Free(Record* record);

  const Options options_;
  const SpaceTraits traits_;
  std::atomic<uint64_t> damaged_{0};
  StatsCounters counters_;
  DeferredQueue deferred_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_DEBUG_FILL_H_
