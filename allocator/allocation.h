// What is asked of an allocator (AllocationRequest) and what it hands out (Allocation, SubRegion).
//
// An Allocation is a value that says where bytes are, in every way in which somebody may need to
// name them: a host pointer, a device address, a driver's handle with an offset of its own. What
// does not exist is null. Drivers' types appear as opaque 64-bit numbers, so that this header needs
// no driver.
//
// Thread safety: thread-compatible values. Ownership: an Allocation borrows its bytes from the
// allocator that made it, to which it must be returned exactly once (Buffer and Storage do this for
// you). Units: bytes.

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

// Host memory that somebody else owns. `release` is called once, when the last user is gone; it may
// be empty.
struct ForeignMemory {
  void* data = nullptr;
  bool read_only = false;
  std::function<void()> release = {};
};

// A window of the file that a disk space maps.
struct FileWindow {
  uint64_t offset_bytes = 0;
};

struct AllocationRequest {
  uint64_t size_bytes = 0;       // 0 is allowed: a valid allocation without bytes
  uint64_t alignment_bytes = 0;  // a power of two, or 0: the space's default
  bool zeroed = false;           // every byte reads as zero
  MemoryHints hints = {};        // sharing, write-combining, the first queue
  std::string_view name = {};    // for errors, logs and events; borrowed for the call
  StorageId storage = {};        // whom it is for; none for slabs and arenas' own use
  // With hints.queue the allocation may get bytes that were freed while work on devices still uses
  // them. The fences of that work are added to `pending`. They are uses of the new allocation too:
  // the host and other queues must wait for them, and Deallocate must be given those that are not
  // reached. Null: no such bytes are given.
  std::vector<Fence>* pending = nullptr;
  // Where the bytes come from, if they exist already (at most one of the two). Wrapping foreign
  // memory and opening windows of files are allocations like any other, so decorators see them;
  // those that would change the geometry pass them through.
  std::optional<ForeignMemory> foreign = {};
  std::optional<FileWindow> file = {};

  bool imports() const { return foreign.has_value() || file.has_value(); }
  // Whether the bytes are of no slab: dedicated memory, or memory that exists already. Decorators
  // pass such requests through unchanged.
  bool is_dedicated() const { return imports() || hints.needs_dedicated(); }
};

struct Allocation {
  AllocationId id;               // none: an empty value, not an allocation
  uint64_t size_bytes = 0;       // usable bytes: what was asked for
  uint64_t reserved_bytes = 0;   // what it takes from its space; >= size_bytes,
                                 // or 0 for imported bytes
  uint64_t alignment_bytes = 1;  // of the addresses below
  void* host = nullptr;          // readable by the host; null: not mapped (or no bytes)
  uint64_t device_address = 0;   // for kernels; 0: none
  uint64_t native_handle = 0;    // the driver's object; 0: none
  uint64_t native_offset = 0;    // of the first byte within that object
  uint64_t native_size = 0;      // of the whole object
  uint64_t token = 0;            // the allocator's own; means nothing to others
  bool read_only = false;        // host writes are refused
  bool imported = false;         // foreign memory or a window of a file
  bool dedicated = false;        // the request was (AllocationRequest::is_dedicated)

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
