// CopyInMany, CopyOutMany: many small copies with host memory, waited for once.
//
// Why: a copy to a device, with the wait for its end, takes 6 to 7 us for any size up to some KiB.
// A hundred scalars of a step take 0.63 ms one by one, and 0.24 ms together (docs/cuda.md).
//
// Example:
//   TENURE_RETURN_IF_ERROR(
//       CopyInMany({{lr, &lr_value, 4}, {step, &step_value, 8}, {mask, bits, 512}}));
//
// Neighbouring parts of one allocator go together if it has a BatchCapability. All others are
// copied one by one. The order of the parts is kept.
//
// Cost: on CUDA about 2.4 us a part of up to 64 KiB, and one wait for each MiB of them.
// Thread safety: thread-safe, as Buffer's copies are. Ownership: borrows host memory and buffers
// for the call. Errors: those of Buffer's copies, with the number of the part; parts before it may
// have been copied. Options: the timeout is for all parts together; a queue is Unimplemented.

#ifndef TENURE_RUNTIME_COPY_MANY_H_
#define TENURE_RUNTIME_COPY_MANY_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

struct CopyInPart {
  Buffer to;  // all of it
  const void* from = nullptr;
  uint64_t size_bytes = 0;  // must be to.size()
};

struct CopyOutPart {
  void* to = nullptr;
  Buffer from;  // all of it
  uint64_t size_bytes = 0;
};

absl::Status CopyInMany(absl::Span<const CopyInPart> parts, const TransferOptions& options = {});
absl::Status CopyOutMany(absl::Span<const CopyOutPart> parts, const TransferOptions& options = {});

}  // namespace tenure

#endif  // TENURE_RUNTIME_COPY_MANY_H_
