// CopyInMany, CopyOutMany: many small copies with host memory, waited for once.
//
// Why: a copy to a device that is waited for takes 6 to 7 us, whatever its size up to some KiB. A
// step's hundred scalars one by one take 0.63 ms, together 0.24 (docs/cuda.md).
//
// Example:
//   TENURE_RETURN_IF_ERROR(
//       CopyInMany({{lr, &lr_value, 4}, {step, &step_value, 8}, {mask, bits, 512}}));
//
// Parts of one space go together where its allocator can do that (BatchCapability), in their order;
// the others one by one.
//
// Cost: on CUDA about 2.4 us a part of up to 64 KiB, and one wait for each MiB of them.
// Thread safety: thread-safe, as Buffer's copies are. Ownership: borrows host memory and buffers
// for the call. Errors: Buffer's, with the number of the part; parts before it may have been
// copied. Options: timeout counts for all together; queue is Unimplemented.

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
