#include "tenure/runtime/buffer_errors.h"

#include "absl/strings/str_cat.h"

namespace tenure {
namespace internal {

absl::Status NullBufferError() {
  return absl::FailedPreconditionError(
      "the buffer is null: it was default-constructed or moved from");
}

absl::Status WrongTypeError(std::string_view what, DType dtype, DType wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " holds ", Name(dtype), ", not ", Name(wanted), "; use ",
                   IsByteSized(dtype) ? absl::StrCat("the C++ type of ", Name(dtype))
                                      : absl::StrCat("Get and Set with its C++ type"),
                   ", Bytes, or Reinterpret the buffer"));
}

absl::Status MisalignedError(std::string_view what, DType dtype, uint64_t alignment_bytes) {
  return absl::InvalidArgumentError(absl::StrCat(
      what, " does not begin at a multiple of ", alignment_bytes, " bytes, as C++ values of ",
      Name(dtype), " must; use Get and Set, Bytes, or copy it out"));
}

absl::Status CheckHostMemory(const void* host, uint64_t size_bytes) {
  if (host != nullptr || size_bytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("null host memory for a copy of ", size_bytes, " bytes"));
}

}  // namespace internal
}  // namespace tenure
