// MemoryHints: what a caller knows about the memory that it asks for, beyond its size. One value
// goes from BufferOptions through the storage to the allocator.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(
//       Buffer upload,
//       Buffer::Create(*pinned, dtype, shape, {.hints = {.write_combined = true}}));
//
// Thread safety: thread-compatible value. Ownership: shares the queue, so that a lazy buffer may be
// allocated long after it was made.

#ifndef TENURE_ALLOCATOR_MEMORY_HINTS_H_
#define TENURE_ALLOCATOR_MEMORY_HINTS_H_

#include <cstdint>
#include <memory>

#include "tenure/allocator/queue.h"

namespace tenure {

// How other processes can come by the bytes; of spaces that have the ShareCapability
// (capabilities.h).
enum class Sharing : uint8_t {
  kNone,
  kPosixFd,  // through a file descriptor
  kIpc,      // through a handle of the driver's, which is bytes
};

struct MemoryHints {
  // Not kNone: the memory is dedicated, and can be exported to other processes.
  Sharing sharing = Sharing::kNone;

  // Of page-locked memory: fast for devices to read and for the host to write in order, slow for
  // the host to read. The memory is dedicated. Other spaces ignore it.
  bool write_combined = false;

  // The queue that uses the memory first, if that is known. The allocation may then reuse freed
  // bytes that other work still uses: the queue comes after that work, or is made to wait for it on
  // its device. Null: no such reuse.
  std::shared_ptr<Queue> queue = nullptr;

  // Whether the memory has to be dedicated: in no slab, never given to another request of another
  // kind.
  bool needs_dedicated() const { return sharing != Sharing::kNone || write_combined; }
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_MEMORY_HINTS_H_
