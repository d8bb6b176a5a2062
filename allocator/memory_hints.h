// MemoryHints: what a caller knows about the memory that it requests, besides its size. The same
// value passes from BufferOptions through the storage to the allocator.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(
//       Buffer upload,
//       Buffer::Create(*pinned, dtype, shape, {.hints = {.write_combined = true}}));
//
// Thread safety: thread-compatible value. Ownership: shares the queue, because a lazy buffer may
// allocate long after it was made.

#ifndef TENURE_ALLOCATOR_MEMORY_HINTS_H_
#define TENURE_ALLOCATOR_MEMORY_HINTS_H_

#include <cstdint>
#include <memory>

#include "tenure/allocator/queue.h"

namespace tenure {

// How other processes can get access to the bytes. Only for spaces that have the ShareCapability
// (capabilities.h).
enum class Sharing : uint8_t {
  kNone,
  kPosixFd,  // through a file descriptor
  kIpc,      // through a handle of the driver's, which is bytes
};

// What the host does with the bytes. (The device may always do both.)
enum class AccessMode : uint8_t {
  kBySpace,    // what the kind of memory is made for
  kReadOnly,   // reads what the device wrote
  kWriteOnly,  // writes, in order, and never reads
  kReadWrite,
};

// Where memory that host and device both reach should be, and how it will be used.
enum class AccessHint : uint8_t {
  kNone,             // the driver's own judgement, as in the beginning
  kDevicePreferred,  // stays on the device; the host reads it over the bus
  kHostPreferred,    // stays on the host; kernels read it over the bus
  kReadMostly,       // read often by both, written rarely
  kStreaming,        // used once, from one end to the other
  kCoherent,         // host and device see each other's writes without a flush
};

struct MemoryHints {
  // If not kNone, the memory is dedicated and can be exported to other processes.
  Sharing sharing = Sharing::kNone;

  // For page-locked memory: devices read it fast and the host writes it fast in order, but the host
  // reads it slowly. The memory is dedicated. Other spaces ignore this.
  bool write_combined = false;

  // How the bytes will be used. Spaces with a choice of memory take what suits, and give the
  // allocation memory of its own if that is not what their pool has. What the hardware lacks is
  // replaced by the pool's memory, and counted (AllocatorStats::unmet_hint_count). Other spaces
  // ignore this. In every space, plans leave out storages with such hints.
  //   vulkan*      both choose the type of memory (vulkan/memory_source.h)
  //   cuda-pinned  kWriteOnly is write_combined
  // Hints for parts of managed memory are given later (ResidencyCapability::Hint).
  AccessMode mode = AccessMode::kBySpace;
  AccessHint access = AccessHint::kNone;

  // The queue that will use the memory first, if known. The allocation may then reuse freed bytes
  // that other work still uses: either the queue already comes after that work, or it is made to
  // wait for it on the device. Null: no such reuse.
  std::shared_ptr<Queue> queue = nullptr;

  // Whether the memory must be dedicated: it is outside of all slabs, and never reused for a
  // request of another kind.
  bool needs_dedicated() const {
    return sharing != Sharing::kNone || write_combined || mode != AccessMode::kBySpace ||
           access != AccessHint::kNone;
  }
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_MEMORY_HINTS_H_
