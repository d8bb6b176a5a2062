// Hazards: tells which accesses to the same bytes must stay in order, and records the uses of these
// bytes by devices.
//
// Bytes are compared where they physically are (root allocation and range), because a plan may give
// the same bytes to several storages.
//
// The library records the uses of its own copies. A program that launches kernels records the uses
// of these, after the launch and before the host touches the bytes again. For a whole step at once:
//
//   std::vector<Use> uses = {{&x, Access::kRead}, {&y, Access::kWrite}};
//   for (const Fence& fence : PendingUses(uses)) TENURE_RETURN_IF_ERROR(stream->WaitFor(fence));
//   ... launch the kernel on the stream ...
//   TENURE_ASSIGN_OR_RETURN(Fence done, stream->Record());
//   TENURE_RETURN_IF_ERROR(RecordUses(uses, done));
//
// Cost: linear in the uses that are not reached yet; RecordUses takes one lock for each root
// allocation, which of a planned step is one arena.
// Thread safety: thread-safe. Ownership: borrows buffers for the call; fences share their timeline.
// Errors: FailedPrecondition (a null buffer, or one without bytes, which nobody can be using).

#ifndef TENURE_RUNTIME_HAZARDS_H_
#define TENURE_RUNTIME_HAZARDS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/use_list.h"

namespace tenure {

enum class Hazard : uint8_t { kNone, kReadAfterWrite, kWriteAfterRead, kWriteAfterWrite };

// Whether the two windows have a byte in common.
bool Overlaps(const Buffer& a, const Buffer& b);

// Returns the hazard if `second`, which comes later, does not wait for `first`.
Hazard HazardBetween(const Buffer& first, Access first_access, const Buffer& second,
                     Access second_access);

// One buffer that a step reads or writes. Borrows the buffer.
struct Use {
  const Buffer* buffer = nullptr;
  Access access = Access::kRead;
};

// Each of these windows is used in this way until `fence`. Records all of them or, after an error,
// none.
absl::Status RecordUses(absl::Span<const Use> uses, const Fence& fence);

// The fences that a step with these uses has to wait for: of each timeline the latest one. Buffers
// that are null or have no bytes have no pending uses.
std::vector<Fence> PendingUses(absl::Span<const Use> uses);

}  // namespace tenure

#endif  // TENURE_RUNTIME_HAZARDS_H_
