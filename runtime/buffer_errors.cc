#include "tenure/runtime/buffer_errors.h"

#include "absl/strings/str_cat.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace internal {

absl::Status NullBufferError() {
  return absl::FailedPreconditionError(
      "the buffer is null: it was default-constructed or moved from");
}

std::string Describe(const Buffer& buffer) {
  return buffer.name().empty() ? absl::StrCat("buffer ", buffer.id().value())
                               : absl::StrCat("buffer '", buffer.name(), "'");
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

absl::Status WrongSizeError(const Buffer& buffer, uint64_t size_bytes, std::string_view part_of) {
  if (buffer.is_null()) return NullBufferError();
  return absl::InvalidArgumentError(absl::StrCat(size_bytes, " bytes for ", Describe(buffer),
                                                 " of ", buffer.size(), " bytes; copy all of it, ",
                                                 "or use ", part_of));
}

absl::Status CheckHostMemory(const void* host, uint64_t size_bytes) {
  if (host != nullptr || size_bytes == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("null host memory for a copy of ", size_bytes, " bytes"));
}

}  // namespace internal
}  // namespace tenure
