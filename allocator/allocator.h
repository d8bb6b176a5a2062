// Allocator: gives and takes back allocations in one memory space, and moves
// bytes in it.
//
// The interface is small so that a new space is a day's work and a decorator an
// hour's. What only some spaces can do is a capability that a caller asks for
// by type:
//
//   auto* advise = allocator.Capability<AdviceCapability>();
//   if (advise != nullptr) advise->Advise(region, Advice::kSequential);
//
// Decorators (allocator/decorators/) own their upstream, forward every
// capability, and stack in any order:
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

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// What a space is like. Numbers are bytes; kUnlimited where there is no limit.
struct SpaceTraits {
  static constexpr uint64_t kUnlimited = ~uint64_t{0};

  uint64_t max_allocation_bytes = kUnlimited;  // the largest single allocation
  uint64_t max_binding_bytes = kUnlimited;     // the largest range that a kernel can be given
  uint64_t min_alignment_bytes = 64;           // what every allocation has at least
  uint64_t coherence_atom_bytes = 1;           // granularity of flushing host writes
  bool has_bytes = true;                       // false: `null`
  bool host_readable = true;                   // zero-copy access through Allocation::host
  bool host_writable = true;
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
  // What the copy has to follow. Only of those with an OrderingCapability, and
  // only fences that it can follow.
  absl::Span<const Fence> after = {};
  // The device's queue to use (of CUDA a CUstream), in whose order the copy then
  // is; 0: the allocator's own. Only of those with an OrderingCapability.
  uint64_t queue = 0;
};

// Copies of devices that keep order among themselves, without the host's waiting.
class OrderingCapability {
 public:
  static constexpr std::string_view kName = "ordering";
  virtual ~OrderingCapability() = default;
  // Whether CopyOptions::after may hold this fence.
  virtual bool CanFollow(const Fence& fence) const = 0;
};

enum class Advice { kNormal, kSequential, kRandom, kWillNeed, kDontNeed };

// Tells the system how a range will be accessed.
class AdviceCapability {
 public:
  static constexpr std::string_view kName = "advice";
  virtual ~AdviceCapability() = default;
  virtual absl::Status Advise(const SubRegion& region, Advice advice) = 0;
};

// Accepts AllocationRequest::foreign.
class ForeignMemoryCapability {
 public:
  static constexpr std::string_view kName = "foreign memory";
  virtual ~ForeignMemoryCapability() = default;
};

// Accepts AllocationRequest::file.
class FileCapability {
 public:
  static constexpr std::string_view kName = "file windows";
  virtual ~FileCapability() = default;
  // The size of the file as it was mapped.
  virtual absl::StatusOr<uint64_t> FileSize() = 0;
};

// Many small copies with host memory for the price of one wait.
class BatchCapability {
 public:
  static constexpr std::string_view kName = "batches of copies";
  virtual ~BatchCapability() = default;
  struct In {
    uint64_t to = 0;  // a device address
    const void* from = nullptr;
    uint64_t size_bytes = 0;
  };
  struct Out {
    void* to = nullptr;
    uint64_t from = 0;  // a device address
    uint64_t size_bytes = 0;
  };
  // All is done when they return; after an error, some may be.
  virtual absl::Status CopyInMany(absl::Span<const In> parts) = 0;
  virtual absl::Status CopyOutMany(absl::Span<const Out> parts) = 0;
};

// Bytes that several processes use. What is to be shared is allocated with
// AllocationRequest::sharing, which gives it memory of its own in the driver.
//
//   one process                                    another
//   fd = ExportFd(allocation)      -- socket -->   memory = ImportFd(fd, size)
//   handle = ExportIpc(allocation) -- anything --> memory = ImportIpc(handle, size)
//                                                  Buffer::Wrap(cuda, dtype, shape, memory, size)
//
// With a descriptor the bytes live until the last process lets go of them. With an IPC handle they
// live as long as the exporting allocation: keep it until the others have closed theirs, as the
// same memory may be given to another allocation for Sharing::kIpc afterwards.
class ShareCapability {
 public:
  static constexpr std::string_view kName = "sharing between processes";
  virtual ~ShareCapability() = default;
  // A new descriptor of all bytes of the allocation (Sharing::kPosixFd), the caller's to close.
  virtual absl::StatusOr<int> ExportFd(const Allocation& allocation) = 0;
  // The descriptor stays the caller's. The result's `release` lets go of the bytes.
  virtual absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) = 0;
  // 64 bytes (Sharing::kIpc), to be opened in another process.
  virtual absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) = 0;
  virtual absl::StatusOr<ForeignMemory> ImportIpc(std::string_view handle, uint64_t size_bytes) = 0;
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
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_ALLOCATOR_H_
