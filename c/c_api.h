// What the sources of the C library share: handles, errors, structs that grow. See
// include/tenure/tenure.h, which is the reference.
//
// Every function of the library runs its body in Call: no exception leaves it, and an error becomes
// a number and the thread's text.
//
//   tenure_status tenure_buffer_seal(const tenure_buffer* buffer) {
//     return Call([&] {
//       TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
//       return buffer->value.Seal();
//     });
//   }
//
// Thread safety: as the header says.

#ifndef TENURE_C_C_API_H_
#define TENURE_C_C_API_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocator.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tenure.h"

struct tenure_buffer {
  tenure::Buffer value;
  const std::string space = value.is_null() ? "" : value.allocator().space().ToString();
  std::atomic<uint64_t> references{1};
};

namespace tenure::c {

// Keeps the text for tenure_error and returns the number. Not of an OK status.
tenure_status Failed(const absl::Status& status) noexcept;
tenure_status FailedWith(absl::StatusCode code, const char* text) noexcept;
const char* LastText() noexcept;

template <typename Body>
tenure_status Call(const Body& body) noexcept {
  try {
    const absl::Status status = body();
    return status.ok() ? TENURE_OK : Failed(status);
  } catch (const std::bad_alloc&) {
    return FailedWith(absl::StatusCode::kResourceExhausted,
                      "the host has no memory left for the library's own data");
  } catch (const std::exception& thrown) {
    return FailedWith(absl::StatusCode::kInternal, thrown.what());
  }
}

inline absl::Status NotNull(const void* argument, std::string_view name) {
  if (argument != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("the argument '", name, "' is null"));
}

inline absl::Time DeadlineOf(double timeout_seconds) {
  return timeout_seconds < 0 ? absl::InfiniteFuture()
                             : absl::Now() + absl::Seconds(timeout_seconds);
}
inline absl::Duration TimeoutOf(double timeout_seconds) {
  return timeout_seconds < 0 ? absl::InfiniteDuration() : absl::Seconds(timeout_seconds);
}

// The caller's options as this library knows them: members that an older header has not are at their
// defaults. InvalidArgument without a size.
template <typename Struct>
absl::StatusOr<Struct> Known(const Struct* given, const Struct& defaults, std::string_view name) {
  Struct known = defaults;
  if (given == nullptr) return known;
  if (given->struct_size < sizeof(size_t)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the struct_size of '", name, "' is not set; begin with the struct's _INIT macro"));
  }
  std::memcpy(&known, given, std::min(given->struct_size, sizeof(Struct)));
  known.struct_size = sizeof(Struct);
  return known;
}

// Writes as much of `result` as the caller's struct has room for.
template <typename Struct>
absl::Status Give(Struct result, Struct* to, std::string_view name) {
  TENURE_RETURN_IF_ERROR(NotNull(to, name));
  const size_t size = to->struct_size;
  if (size < sizeof(size_t)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the struct_size of '", name, "' is not set; begin with the struct's _INIT macro"));
  }
  result.struct_size = size;
  std::memcpy(static_cast<void*>(to), &result, std::min(size, sizeof(Struct)));
  return absl::OkStatus();
}

// A copy of the text that tenure_free frees.
absl::Status GiveText(std::string_view text, char** to);

// A value that the caller gave as a number. InvalidArgument beyond `last`.
template <typename Enum>
absl::StatusOr<Enum> EnumOf(int32_t given, int32_t last, std::string_view name) {
  if (given < 0 || given > last) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no value ", given, " of '", name, "'"));
  }
  return static_cast<Enum>(given);
}

absl::StatusOr<Allocator*> AllocatorOfSpace(const char* space);
absl::StatusOr<Shape> ShapeOf(int32_t rank, const int64_t* shape);
absl::StatusOr<DType> DTypeOf(tenure_dtype dtype);
absl::StatusOr<BufferOptions> BufferOptionsOf(const tenure_buffer_options* options);
absl::Status GiveBuffer(absl::StatusOr<Buffer> buffer, tenure_buffer** to);

}  // namespace tenure::c

#endif  // TENURE_C_C_API_H_
