// DebugFillAllocator: makes memory bugs visible.
//
// New bytes are filled with 0xa5 and freed bytes with 0xdd, so that code which reads uninitialised
// or freed memory computes nonsense at once. Each allocation has guard bytes (0xfb) before and
// behind it that nothing may write. They are checked when the bytes are freed, after the last
// fence.
//
//   upstream's   [ guard, up to the alignment | the allocation | guard ]
//   filled         fb fb fb fb fb fb fb fb fb | a5 a5 a5 a5 a5 | fb fb
//
// If the host can't reach the bytes, the space's own Fill and CopyOut do the work. A space without
// bytes (`null`) has nothing to fill, and applies() is false. Imports are left unchanged because
// their bytes belong to others. Memory that is shared with other processes or write-combined is
// left unchanged because it must begin where its memory begins.
//
// Example:
//   DebugFillAllocator checked(std::make_unique<CpuAllocator>(), {});
//
// Cost: every byte is written twice, and each allocation takes at least 2 * guard_bytes more; this
// is a debugging tool. Put it above a CachingAllocator to keep freed bytes poisoned until they are
// reused. Thread safety: thread-safe.
// Ownership: owns its upstream. Errors: its upstream's. Damage is reported to Options::on_damage,
// on the thread that reaps, with no lock held.

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
    // The offset of the first changed guard byte from the start of the allocation. It is negative
    // before the allocation, and at least size_bytes behind it.
    int64_t offset_bytes = 0;
    uint64_t changed_bytes = 0;  // changed guard bytes, before and behind
    uint8_t found = 0;           // the value at offset_bytes now
    std::string ToString() const;
  };
  struct Options {
    uint64_t guard_bytes = 64;  // at least, on each side; 0: none
    uint8_t allocated = 0xa5;
    uint8_t freed = 0xdd;
    uint8_t guard = 0xfb;
    // Empty: writes a line to stderr.
    std::function<void(const Damage&)> on_damage = {};
  };

  DebugFillAllocator(std::unique_ptr<Allocator> upstream, const Options& options);

  // Whether this decorator has an effect in its space.
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
  // One record per allocation; its address is the allocation's token.
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

  // Fills a range of an upstream allocation, and waits for the fill.
  absl::Status Paint(const Allocation& upstream, uint64_t offset_bytes, uint64_t size_bytes,
                     uint8_t value);
  // Checks one guard; adds its changed bytes to `damage`.
  void Inspect(const Record& record, uint64_t offset_bytes, uint64_t size_bytes, Damage& damage);
  void CheckAndPaint(const Record& record);
  void Free(Record* record) noexcept;

  const Options options_;
  const SpaceTraits traits_;
  std::atomic<uint64_t> damaged_{0};
  StatsCounters counters_;
  DeferredQueue deferred_;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_DECORATORS_DEBUG_FILL_H_
