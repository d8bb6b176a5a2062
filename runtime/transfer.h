// Transfers: bytes in and out of buffers, between them, and fills. Buffer has a thin method for
// each of these functions; many small copies with host memory together are in copy_many.h.
//
//   host memory  -- CopyIn -->  buffer  -- CopyOut -->  host memory
//                               buffer  -- CopyFrom ->  buffer of any space
//
// Example:
//   TENURE_RETURN_IF_ERROR(CopyIn(x, values.data(), values.size() * sizeof(float)));
//   TENURE_ASSIGN_OR_RETURN(Fence done, CopyOutAsync(x, host.data(), x.size()));
//   TENURE_RETURN_IF_ERROR(done.Wait());
//
// A transfer waits for the uses in conflict, and only for those. It is checked as a whole before a
// byte is moved.
// Asynchronous ones return at once. If a use has to be waited for, the work is queued behind it.
// Large copies and fills that the host itself does (1 MiB or more) are queued too; smaller ones are
// done within the call.
// Until the fence is reached, host memory that was given belongs to the copy, and the bytes of the
// buffers stay, also if the handles go. The fence also gives the copy's error. An error
// that nobody has waited for is given to the next access to these bytes, once. A timeout ends the
// copy and not what it waited for.
//
// A buffer can't be sealed while a transfer into it is under way, and one that is sealed takes
// none.
//
// Cost: what the route takes (docs/benchmarks.md), and some 20 ns, or 30 into a buffer.
// Thread safety: thread-safe. Ownership: borrows host memory until the end of the copy.
// Errors: InvalidArgument (sizes that differ, null host memory, a pattern's size), and those of
// buffer.h.

#ifndef TENURE_RUNTIME_TRANSFER_H_
#define TENURE_RUNTIME_TRANSFER_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/runtime/buffer_options.h"

namespace tenure {

class Buffer;

// The whole window: size_bytes must equal size().
absl::Status CopyIn(const Buffer& to, const void* from, uint64_t size_bytes,
                    const TransferOptions& options = {});
absl::Status CopyOut(const Buffer& from, void* to, uint64_t size_bytes,
                     const TransferOptions& options = {});
absl::StatusOr<Fence> CopyInAsync(const Buffer& to, const void* from, uint64_t size_bytes,
                                  const TransferOptions& options = {});
absl::StatusOr<Fence> CopyOutAsync(const Buffer& from, void* to, uint64_t size_bytes,
                                   const TransferOptions& options = {});

// A part of the window, from `offset_bytes` on.
absl::Status CopyInAt(const Buffer& to, uint64_t offset_bytes, const void* from,
                      uint64_t size_bytes, const TransferOptions& options = {});
absl::Status CopyOutAt(const Buffer& from, uint64_t offset_bytes, void* to, uint64_t size_bytes,
                       const TransferOptions& options = {});

// Between two buffers of any spaces, which must be of the same size. They may overlap if they are
// of the same storage.
absl::Status CopyFrom(const Buffer& to, const Buffer& source, const TransferOptions& options = {});
absl::StatusOr<Fence> CopyFromAsync(const Buffer& to, const Buffer& source,
                                    const TransferOptions& options = {});
absl::Status CopyRegionFrom(const Buffer& to, const Buffer& source, uint64_t source_offset_bytes,
                            uint64_t offset_bytes, uint64_t size_bytes,
                            const TransferOptions& options = {});

// Repeats 1, 2, 4, 8 or 16 bytes. The last repetition is cut off at the end of the window.
absl::Status Fill(const Buffer& buffer, absl::Span<const std::byte> pattern,
                  const TransferOptions& options = {});
absl::StatusOr<Fence> FillAsync(const Buffer& buffer, absl::Span<const std::byte> pattern,
                                const TransferOptions& options = {});

}  // namespace tenure

#endif  // TENURE_RUNTIME_TRANSFER_H_
