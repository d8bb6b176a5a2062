// InSpace: one storage under two APIs of the same card, as Vulkan and CUDA. The bytes exist once.
//
// The buffer is made in the space of one API, with memory that can be exported. InSpace gives its
// address in the space of the other API. The storage stays what it is: one StorageId, one list of
// uses, one allocation that a plan may have given to several buffers.
//
//   TENURE_ASSIGN_OR_RETURN(Buffer x, Buffer::Create(*vulkan, dtype, shape,
//                                                    {.hints = {.sharing = Sharing::kPosixFd}}));
//   TENURE_ASSIGN_OR_RETURN(SpaceView seen, InSpace(x, *cuda, Access::kWrite));
//   TENURE_RETURN_IF_ERROR(stream->WaitFor(x.PendingUses(Access::kWrite)));
//   ... launch a CUDA kernel that writes at seen.device_address ...
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//   TENURE_RETURN_IF_ERROR(x.RecordUse(Access::kWrite, done));
//
// The next copy or kernel of Vulkan on `x` then waits for the CUDA kernel on the device, where the
// two share timelines (allocator/timeline/shared_timeline.h); elsewhere the host waits.
//
// Cost: the first call for a storage, or for the arena that it is placed in, exports and imports the
// whole allocation (0.5 ms on an H200). Later ones take a lock.
// Thread safety: thread-safe. Ownership: the import lives as long as the storage's bytes, and until
// the recorded uses of them are over. `other` must outlive the storage.
// Errors: FailedPrecondition (the memory was not made for sharing; a sealed storage for writing),
// Unimplemented (a space that shares nothing; two cards), and those of both drivers.

#ifndef TENURE_RUNTIME_INTEROP_IN_SPACE_H_
#define TENURE_RUNTIME_INTEROP_IN_SPACE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/use_list.h"

namespace tenure {

// Where the bytes of a buffer are in a space. Forms that do not apply are 0 or null.
struct SpaceView {
  uint64_t device_address = 0;
  Buffer::Binding binding = {};  // the driver's object, and the place in it
  void* host = nullptr;
};

// Allocates the buffer if needed, waits for nothing and records nothing, as Buffer::DeviceAddress.
absl::StatusOr<SpaceView> InSpace(const Buffer& buffer, Allocator& other,
                                  Access access = Access::kRead);

}  // namespace tenure

#endif  // TENURE_RUNTIME_INTEROP_IN_SPACE_H_
