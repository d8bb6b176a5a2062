// Allocator: gives and takes back allocations in one memory space, and moves
// bytes in it.
//
// The interface is small so that a new space is a day's work and a decorator an
// hour's. What only some spaces can do is a capability (capabilities.h) that a
// caller asks for by type.
//
// Decorators (allocator/decorators/) own their upstream, wrap every capability,
// and stack in any order:
//
//   LimitingAllocator( CachingAllocator( RecordingAllocator( CpuAllocator )))
//
// Cost: one virtual call a request; statistics are atomic counters.
// Thread safety: every member of every allocator is thread-safe.
// Ownership: callers borrow allocators (they must outlive what they gave;
// Registry sees to it). An allocator that is destroyed while allocations are
// out says so on stderr and leaves their bytes alone.
// Errors: ResourceExhausted (see errors.h for what its message carries),
// InvalidArgument, Unimplemented, DataLoss, Unavailable.

#ifndef TENURE_ALLOCATOR_ALLOCATOR_H_
#define TENURE_ALLOCATOR_ALLOCATOR_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/capabilities.h"  // IWYU pragma: export
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class CopyTable;

// What a space is like. Numbers are bytes; kUnlimited where there is no limit.
struct SpaceTraits {
  static constexpr uint64_t kUnlimited = ~uint64_t{0};

  uint64_t max_allocation_bytes = kUnlimited;  // the largest single allocation
  uint64_t max_binding_bytes = kUnlimited;     // the largest range that a kernel can be given
  uint64_t min_alignment_bytes = 64;           // what every allocation has at least
  // 1: host and device see the same bytes at any time. More: the memory is not
  // coherent, and is flushed and invalidated in units of so many bytes
  // (CoherenceCapability). The host then uses it through mappings and copies, and
  // has no spans of it. min_alignment_bytes is a multiple of it, so that no two
  // allocations have bytes of one atom.
  uint64_t coherence_atom_bytes = 1;
  bool has_bytes = true;      // false: `null`
  bool host_readable = true;  // through Allocation::host
  bool host_writable = true;
  // Reading in place may fault (a mapping of a file that has shrunk since). Copies then read by
  // CopyOut, which returns an error instead.
  bool host_reads_may_fault = false;
  bool device_readable = false;  // by kernels of the space's device
  bool device_writable = false;
};

// Counters since the allocator was made; each is exact, together they are not a
// snapshot.
struct AllocatorStats {
  uint64_t in_use_bytes = 0;  // handed out, as asked for
  uint64_t in_use_count = 0;
  uint64_t peak_in_use_bytes = 0;
  uint64_t reserved_bytes = 0;      // taken from the system or driver, in use or not
  uint64_t cached_bytes = 0;        // reserved, not in use, ready to be given again
  uint64_t deferred_bytes = 0;      // given back, waiting for a fence
  uint64_t quarantined_bytes = 0;   // given back, guarded by a timeline that failed
  uint64_t largest_free_bytes = 0;  // largest cached block
  uint64_t limit_bytes = SpaceTraits::kUnlimited;
  uint64_t allocation_count = 0;  // ever made
  uint64_t failure_count = 0;     // refused
};

struct CopyOptions {
  // How many threads a large copy may use, the caller's included; 0: as many as
  // pay off, at most the machine's.
  int max_threads = 0;
  // The caller is going to wait for the fence anyway: the copy may use its thread
  // for as long as it likes. Otherwise it returns soon, whatever is under way.
  bool may_block = true;
  // Fences that the copy has to follow. Only for allocators that have a
  // QueueCapability, and only fences that it can wait for.
  absl::Span<const Fence> after = {};
  // The queue to copy in, borrowed for the call; the copy is then in that
  // queue's order. Null: a queue of the allocator's own. Only for allocators
  // that have a QueueCapability.
  Queue* queue = nullptr;
};

// What a transfer does to the bytes of one allocation.
enum class TransferKind : uint8_t {
  kIn,      // bytes come from host memory or from another allocator
  kOut,     // bytes go to host memory or to another allocator
  kWithin,  // both ends are of this allocator; the region is the destination
  kFill,
};

class Allocator {
 public:
  Allocator() = default;
  virtual ~Allocator() = default;
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  virtual const MemorySpace& space() const = 0;
  virtual const SpaceTraits& traits() const = 0;

  virtual absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) = 0;

  // Takes an allocation back. Never fails and never blocks: while one of
  // `users` is not reached the bytes stay untouched, and what has become due is
  // freed by a later Allocate, Trim, Poll or the destructor.
  virtual void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) = 0;
  void Deallocate(const Allocation& allocation) { Deallocate(allocation, {}); }

  // Moves bytes. Ranges are within their allocations (checked by the caller:
  // Buffer). The returned fence may be reached already; until it is, host
  // memory given must stay as it is.
  virtual absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                                       const CopyOptions& options) = 0;
  virtual absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                        const CopyOptions& options) = 0;
  // Both ranges of this space and of equal size; they may overlap in any way.
  virtual absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                           const CopyOptions& options) = 0;
  // Repeats the pattern; the last repetition is cut off at the end of the
  // range.
  virtual absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                                     const CopyOptions& options) = 0;

  // Waits until all work that this allocator has queued is done.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // Gives cached bytes back to the system until at most `keep_bytes` are
  // cached; returns how many bytes went.
  virtual uint64_t Trim(uint64_t keep_bytes) = 0;

  // Frees what has become due.
  virtual void Poll() {}

  virtual AllocatorStats Stats() const = 0;

  // The next allocator of a stack of decorators; null at its end.
  virtual Allocator* upstream() { return nullptr; }

  // The allocator at the end of the stack, which has the memory.
  Allocator& root();

  // For routes that move bytes themselves, without CopyIn and the other calls
  // above (allocator/copy/copy_table.h). A route starts at the allocator that the
  // buffer has and asks it to admit the transfer, so that every decorator of the
  // stack sees it and may refuse it. Then it works on the root's region, and
  // reports how it ended.
  virtual absl::Status AdmitTransfer(TransferKind, const SubRegion&) { return absl::OkStatus(); }
  virtual void ReportTransfer(TransferKind, const SubRegion&, const absl::Status&) {}
  // The bytes of `region` in terms of root().
  virtual SubRegion RootRegion(const SubRegion& region) { return region; }

  // The routes by which buffers of this allocator are copied to those of others
  // (copy/copy_table.h): what this allocator was bound to, or else its upstream. Null: nothing was
  // bound. Registry binds its allocators to its own table.
  const CopyTable* copy_table();
  // The table is borrowed and must outlive the allocator.
  void BindCopyTable(const CopyTable* table) {
    copy_table_.store(table, std::memory_order_release);
  }

  // The capability, or null. Borrowed; lives as long as the allocator.
  template <typename C>
  C* Capability() {
    return static_cast<C*>(FindCapability(C::kName));
  }

 protected:
  // The address of the capability object called `name` (already a C*), or null.
  virtual void* FindCapability(std::string_view name) = 0;
  static void* FindCapabilityIn(Allocator& allocator, std::string_view name) {
    return allocator.FindCapability(name);
  }

 private:
  std::atomic<const CopyTable*> copy_table_{nullptr};
};

inline Allocator& Allocator::root() {
  Allocator* allocator = this;
  while (Allocator* next = allocator->upstream()) allocator = next;
  return *allocator;
}

inline const CopyTable* Allocator::copy_table() {
  for (Allocator* allocator = this; allocator != nullptr; allocator = allocator->upstream()) {
    const CopyTable* table = allocator->copy_table_.load(std::memory_order_acquire);
    if (table != nullptr) return table;
  }
  return nullptr;
}

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_ALLOCATOR_H_
