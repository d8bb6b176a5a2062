// Errors of buffers and mappings, worded in one place. Not for users of the library.
//
// Thread safety: pure functions.

#ifndef TENURE_RUNTIME_BUFFER_ERRORS_H_
#define TENURE_RUNTIME_BUFFER_ERRORS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tenure/runtime/dtype.h"

namespace tenure {

class Buffer;

namespace internal {

absl::Status NullBufferError();
// "buffer 'weights'", or "buffer 17" if it has no name.
std::string Describe(const Buffer& buffer);
// `what` holds elements of `dtype`, and the caller asked for `wanted`.
absl::Status WrongTypeError(std::string_view what, DType dtype, DType wanted);
// `what` begins at an address that is not aligned for C++ values of its dtype.
absl::Status MisalignedError(std::string_view what, DType dtype, uint64_t alignment_bytes);
// A copy of all of `buffer` was given `size_bytes`; `part_of` names the call that copies a part.
absl::Status WrongSizeError(const Buffer& buffer, uint64_t size_bytes, std::string_view part_of);
// InvalidArgument if there are bytes to copy and no memory for them.
absl::Status CheckHostMemory(const void* host, uint64_t size_bytes);

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_ERRORS_H_
