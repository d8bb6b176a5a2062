// What only some memory spaces can do, each as an interface of its own. A caller
// asks an allocator for one by type and gets null where there is none:
//
//   auto* advice = allocator.Capability<AdviceCapability>();
//   if (advice != nullptr) advice->Advise(region, Advice::kSequential);
//
// Decorators hand out their own object for each capability, never their
// upstream's: regions are translated on the way, and what the decorator does to
// copies (counts, records, refuses) it does to batches too. A capability that is
// not in this file stops at a decorator; ask `allocator.root()` for it, with
// regions from Allocator::RootRegion.
//
// Thread safety: thread-safe, as allocators are. Ownership: borrowed from the
// allocator, and lives as long.

#ifndef TENURE_ALLOCATOR_CAPABILITIES_H_
#define TENURE_ALLOCATOR_CAPABILITIES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// The allocator's copies and fills run on queues of a device: CopyOptions::queue
// and CopyOptions::after are accepted.
class QueueCapability {
 public:
  static constexpr std::string_view kName = "queues";
  virtual ~QueueCapability() = default;
  // Whether the allocator's own queues can wait for this fence without the host
  // (Queue::CanWaitFor). CopyOptions::after may hold it then.
  virtual bool CanWaitFor(const Fence& fence) const = 0;
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
  // Whether the path names other bytes by now: another file, or one of another size. False if it
  // names no file.
  virtual bool IsReplaced() { return false; }
};

// Many small copies with host memory for the price of one wait.
class BatchCapability {
 public:
  static constexpr std::string_view kName = "batches of copies";
  virtual ~BatchCapability() = default;
  struct In {
    SubRegion to;
    const void* from = nullptr;
  };
  struct Out {
    void* to = nullptr;
    SubRegion from;
  };
  // All parts are done when they return; after an error, some may be.
  virtual absl::Status CopyInMany(absl::Span<const In> parts) = 0;
  virtual absl::Status CopyOutMany(absl::Span<const Out> parts) = 0;
};

// Moves pages between host and device, of memory that both reach by one address
// (CUDA's managed memory).
class ResidencyCapability {
 public:
  static constexpr std::string_view kName = "residency";
  virtual ~ResidencyCapability() = default;
  // Holds until another hint or until the allocation is freed. It goes by whole
  // pages (CUDA: 64 KiB or more), so it is for allocations with pages of their
  // own. With kReadMostly, each side keeps a copy of its own until somebody writes.
  // With kStreaming, the first 32 MiB move at once. kCoherent does nothing, because
  // such memory is coherent.
  virtual absl::Status Hint(const SubRegion& region, AccessHint hint) = 0;
  // Moves the bytes to the device or to the host, ahead of their use, on `queue`
  // (null: one of the allocator's own).
  enum class Side { kDevice, kHost };
  virtual absl::StatusOr<Fence> Prefetch(const SubRegion& region, Side to, Queue* queue) = 0;
};

// Brings the host's view of memory and the device's together, for memory that is
// not coherent by itself (SpaceTraits::coherence_atom_bytes above 1). Both calls
// act on whole atoms. Regions begin at one; where a region ends within an atom, the
// rest of that atom is nobody else's and is moved too. Callers go through CoherentAccess
// (support/coherent_access.h), which sees to that, and to neighbours in one atom.
class CoherenceCapability {
 public:
  static constexpr std::string_view kName = "coherence";
  virtual ~CoherenceCapability() = default;
  // The device sees what the host has written, from work on that begins later.
  virtual absl::Status FlushHostWrites(const SubRegion& region) = 0;
  // The host sees what the device has written. What the host wrote there without
  // a flush may be lost.
  virtual absl::Status InvalidateForHostReads(const SubRegion& region) = 0;
};

// Bytes that several processes use. An allocation that is to be shared is made
// with MemoryHints::sharing, which gives it dedicated memory.
//
//   one process                                    another
//   fd = ExportFd(allocation)      -- socket -->   memory = ImportFd(fd, size)
//   handle = ExportIpc(allocation) -- anything --> memory = ImportIpc(handle, size)
//                                                  Buffer::Wrap(cuda, dtype, shape, memory, size)
//
// With a descriptor the bytes live until the last process releases them. With an
// IPC handle they live as long as the exporting allocation: keep it until the
// others have closed theirs, because the same memory may be given to another
// allocation for Sharing::kIpc afterwards.
class ShareCapability {
 public:
  static constexpr std::string_view kName = "sharing between processes";
  virtual ~ShareCapability() = default;
  // A new descriptor of all bytes of the allocation (Sharing::kPosixFd), which
  // the caller closes.
  virtual absl::StatusOr<int> ExportFd(const Allocation& allocation) = 0;
  // The descriptor stays the caller's. The result's `release` gives the bytes
  // back.
  virtual absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) = 0;
  // 64 bytes (Sharing::kIpc), to be opened in another process.
  virtual absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) = 0;
  virtual absl::StatusOr<ForeignMemory> ImportIpc(std::string_view handle, uint64_t size_bytes) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_CAPABILITIES_H_
