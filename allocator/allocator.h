// Allocator: allocates and frees bytes in one memory space, and copies bytes to, from and within
// it.
//
// The interface is small, so that a new space takes a day to write and a decorator an hour.
// Features that only some spaces have are capabilities (capabilities.h), which callers ask for by
// type.
//
// Decorators (allocator/decorators/) own their upstream, wrap every capability, and stack in any
// order:
//
//   LimitingAllocator( CachingAllocator( RecordingAllocator( CpuAllocator )))
//
// Cost: one virtual call per request; the statistics are atomic counters.
// Thread safety: every member of every allocator is thread-safe.
// Ownership: callers borrow allocators, which must outlive their allocations (Registry ensures
// this). An allocator that is destroyed while allocations are in use reports it on stderr and
// leaves their bytes untouched.
// Errors: ResourceExhausted (errors.h lists what the message contains), InvalidArgument,
// Unimplemented, DataLoss, Unavailable.

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

// The properties of a space. Sizes are in bytes; kUnlimited means that there is no limit.
struct SpaceTraits {
  static constexpr uint64_t kUnlimited = ~uint64_t{0};

  uint64_t max_allocation_bytes = kUnlimited;  // the largest single allocation
  uint64_t max_binding_bytes = kUnlimited;     // the largest range that a kernel can bind
  uint64_t min_alignment_bytes = 64;           // every allocation has at least this
  // 1: host and device see the same bytes at any time. More: the memory is not
  // coherent, and is flushed and invalidated in units of so many bytes
  // (CoherenceCapability). The host then uses it through mappings and copies, and
  // has no spans of it. min_alignment_bytes is a multiple of it, so that no two
  // allocations have bytes of one atom.
  uint64_t coherence_atom_bytes = 1;
  bool has_bytes = true;      // false: `null`
  bool host_readable = true;  // through Allocation::host
  bool host_writable = true;
  // Reading in place may fault: the space maps a file, which may have shrunk since. Copies then
  // read through CopyOut, which returns an error instead.
  bool host_reads_may_fault = false;
  bool device_readable = false;  // by kernels of the space's device
  bool device_writable = false;
};

// Counters since the allocator was made. Each is exact, but they are not read at one instant.
struct AllocatorStats {
  uint64_t in_use_bytes = 0;  // allocated now, as requested
  uint64_t in_use_count = 0;
  uint64_t peak_in_use_bytes = 0;
  uint64_t reserved_bytes = 0;      // taken from the system or driver, used or not
  uint64_t cached_bytes = 0;        // reserved, not in use, ready for reuse
  uint64_t deferred_bytes = 0;      // freed, waiting for a fence
  uint64_t quarantined_bytes = 0;   // freed, but guarded by a timeline that failed
  uint64_t largest_free_bytes = 0;  // size of the largest cached block
  uint64_t limit_bytes = SpaceTraits::kUnlimited;
  uint64_t allocation_count = 0;  // successful requests
  uint64_t failure_count = 0;     // failed requests
  uint64_t unmet_hint_count = 0;  // successful requests without the memory that their hints ask for
};

struct CopyOptions {
  // The most threads that a large copy may use, including the calling thread. 0: as many as make it
  // faster, at most one per CPU.
  int max_threads = 0;
  // True: the caller will wait for the fence anyway, so the call may block until the copy is done.
  // False: the call returns soon, even while earlier work is still running. Allocators without a
  // QueueCapability still move the bytes within the call; transfers of buffers
  // (runtime/transfer.h) therefore queue their large copies on the host.
  bool may_block = true;
  // Fences that the copy must wait for. Only allocators with a QueueCapability accept them, and
  // only fences that they can wait for.
  absl::Span<const Fence> after = {};
  // The queue that runs the copy, in that queue's order. It is borrowed for the call. Null: the
  // allocator uses a queue of its own. Only allocators with a QueueCapability accept a queue.
  Queue* queue = nullptr;
};

// The direction of a transfer, as seen by one allocation.
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

  // Frees an allocation. Never fails and never blocks. The bytes stay untouched until every fence
  // of `users` is reached; a later Allocate, Trim, Poll or the destructor then frees them.
  virtual void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) = 0;
  void Deallocate(const Allocation& allocation) { Deallocate(allocation, {}); }

  // Copies bytes. The caller (Buffer) has checked that ranges lie within their allocations. The
  // host memory must stay valid and unchanged until the returned fence is reached, which it may be
  // already.
  virtual absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                                       const CopyOptions& options) = 0;
  virtual absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                        const CopyOptions& options) = 0;
  // Both ranges belong to this space and have the same size. They may overlap in any way.
  virtual absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                           const CopyOptions& options) = 0;
  // Repeats the pattern. The last repetition is cut off at the end of the range.
  virtual absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                                     const CopyOptions& options) = 0;

  // Waits until all work that this allocator has queued is done.
  virtual absl::Status Synchronize() { return absl::OkStatus(); }

  // Returns cached bytes to the system until at most `keep_bytes` are cached. The result is the
  // number of bytes returned.
  virtual uint64_t Trim(uint64_t keep_bytes) = 0;

  // Frees allocations whose fences are now reached.
  virtual void Poll() {}

  virtual AllocatorStats Stats() const = 0;

  // The allocator below this one in a stack of decorators; null at the bottom.
  virtual Allocator* upstream() { return nullptr; }

  // The allocator at the bottom of the stack, which owns the memory.
  Allocator& root();

  // For copy routes, which move bytes without CopyIn and the other calls above
  // (allocator/copy/copy_table.h). A route asks the allocator of the buffer to admit the transfer,
  // so that every decorator of the stack sees it and may refuse it. The route then works on the
  // root's region, and reports the result. It also reports a transfer that was admitted here and
  // is refused elsewhere; a transfer that is refused here is over.
  virtual absl::Status AdmitTransfer(TransferKind, const SubRegion&) { return absl::OkStatus(); }
  virtual void ReportTransfer(TransferKind, const SubRegion&, const absl::Status&) {}
  // The same bytes, expressed as a region of an allocation of root().
  virtual SubRegion RootRegion(const SubRegion& region) { return region; }

  // The table of routes for copies between buffers of this allocator and those of other allocators
  // (copy/copy_table.h). It is the table that this allocator was bound to; without one, the table
  // of its upstream; null if neither has one. Registry binds its allocators to its own table.
  const CopyTable* copy_table();
  // The table is borrowed and must outlive the allocator.
  void BindCopyTable(const CopyTable* table) {
    copy_table_.store(table, std::memory_order_release);
  }

  // The capability object, or null. It is borrowed and lives as long as the allocator.
  template <typename C>
  C* Capability() {
    return static_cast<C*>(FindCapability(C::kName));
  }

 protected:
  // The address of the capability object called `name`, already converted to its capability class;
  // null if there is none.
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
