// The request to an allocator (AllocationRequest) and its result (Allocation, SubRegion).
//
// An Allocation says where bytes are, in every form that a caller may need: a host pointer, a
// device address, a driver's handle with an offset. Forms that do not apply are null. Driver types
// appear as opaque 64-bit numbers, so this header includes no driver's header.
//
// Thread safety: thread-compatible values. Ownership: an Allocation borrows its bytes from its
// allocator, and must be freed there exactly once (Buffer and Storage do this). Units: bytes.

#ifndef TENURE_ALLOCATOR_ALLOCATION_H_
#define TENURE_ALLOCATOR_ALLOCATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "tenure/allocator/memory_hints.h"  // IWYU pragma: export
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/base/fill_pattern.h"  // IWYU pragma: export
#include "tenure/base/ids.h"

namespace tenure {

class Allocator;

// Host memory that belongs to the caller. `release` is called once, after the last use; it may be
// empty.
struct ForeignMemory {
  void* data = nullptr;
  bool read_only = false;
  std::function<void()> release = {};
  // The driver's object that has the bytes, where `data` is an address of the device's that the
  // driver can't tell from one of the host's. Only of memory that an allocator has imported.
  uint64_t native_handle = 0;
};

// A window of the file that a disk space maps.
struct FileWindow {
  uint64_t offset_bytes = 0;
};

struct AllocationRequest {
  uint64_t size_bytes = 0;       // 0 is valid: an allocation without bytes
  uint64_t alignment_bytes = 0;  // a power of two, or 0: the space's default
  bool zeroed = false;           // every byte reads as zero
  MemoryHints hints = {};        // sharing, write-combining, the first queue to use it
  std::string_view name = {};    // for errors, logs and events; borrowed for the call
  StorageId storage = {};        // its owner; none for slabs and arenas
  // With hints.queue, the allocation may reuse freed bytes that device work still uses. The fences
  // of that work are added to `pending`. They count as uses of the new allocation: the host and
  // other queues must wait for them, and Deallocate must get those that are still unreached. Null:
  // no bytes are reused early.
  std::vector<Fence>* pending = nullptr;
  // Whether an exhausted allocator may wait on the host until work that uses freed bytes is over.
  // How long it waits at most is an option of the allocator. False: the request fails at once.
  bool may_wait = true;
  // Memory that exists already: the allocation wraps host memory or a window of a file (at most one
  // of the two). These are allocations like any other, so decorators see them. Decorators that
  // change sizes or alignments pass them through unchanged.
  std::optional<ForeignMemory> foreign = {};
  std::optional<FileWindow> file = {};

  bool imports() const { return foreign.has_value() || file.has_value(); }
  // Whether the bytes are outside of all slabs: dedicated memory, or memory that exists already.
  // Decorators pass such requests through unchanged.
  bool is_dedicated() const { return imports() || hints.needs_dedicated(); }
};

struct Allocation {
  AllocationId id;               // none: an empty value, not an allocation
  uint64_t size_bytes = 0;       // usable bytes: the size requested
  uint64_t reserved_bytes = 0;   // taken from the space: at least size_bytes,
                                 // or 0 for imported bytes
  uint64_t alignment_bytes = 1;  // of the addresses below
  void* host = nullptr;          // readable by the host; null: not mapped (or no bytes)
  uint64_t device_address = 0;   // for kernels; 0: none
  uint64_t native_handle = 0;    // the driver's object; 0: none
  uint64_t native_offset = 0;    // of the first byte within that object
  uint64_t native_size = 0;      // of the whole object
  uint64_t token = 0;            // private to the allocator
  bool read_only = false;        // host writes are refused
  bool imported = false;         // foreign memory or a window of a file
  bool dedicated = false;        // AllocationRequest::is_dedicated() of its request

  explicit operator bool() const { return static_cast<bool>(id); }
};

// A byte range of an allocation: the operand of copies and fills. Borrows the allocation.
struct SubRegion {
  const Allocation* allocation = nullptr;
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;

  std::byte* host() const {
    return allocation->host == nullptr ? nullptr
                                       : static_cast<std::byte*>(allocation->host) + offset_bytes;
  }
  uint64_t device_address() const {
    return allocation->device_address == 0 ? 0 : allocation->device_address + offset_bytes;
  }
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_ALLOCATION_H_
