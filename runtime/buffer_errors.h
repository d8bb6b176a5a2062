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
// "buffer 'weights'", "buffer 17".
std::string Describe(const Buffer& buffer);
// `what` holds elements of `dtype`, which were asked for as `wanted`.
absl::Status WrongTypeError(std::string_view what, DType dtype, DType wanted);
// `what` begins at an address that its elements, as C++ values, can't have.
absl::Status MisalignedError(std::string_view what, DType dtype, uint64_t alignment_bytes);

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_ERRORS_H_
