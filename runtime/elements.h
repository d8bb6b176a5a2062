// Typed access to the elements of a buffer, in place and by copy. Buffer has a thin method for each
// of these functions.
//
// In place (As, AsMutable, AsShaped, AsShapedMutable): spans onto host memory. They wait for the
// uses in conflict.
// By copy (GetItem, GetElement, SetElement, FillWith): work in every space.
//
// Example:
//   TENURE_RETURN_IF_ERROR(FillWith(x, 1.0f));
//   TENURE_RETURN_IF_ERROR(SetElement(x, {0, 2}, 3.0f));
//   TENURE_ASSIGN_OR_RETURN(NdSpan<const float> m, AsShaped<float>(x));
//   m(0, 2);  // 3
//
// Packed elements (int4, uint2, ...) share bytes. SetElement rewrites the whole byte, so threads
// that set neighbours must take turns.
//
// Cost: spans cost a check of dtype, allocation and alignment. GetElement and SetElement are a copy
// of one element each.
// Thread safety: thread-safe; two threads that write the same bytes race, as with any memory.
// Ownership: spans are valid while a buffer of the same storage lives.
// Errors: InvalidArgument (the dtype is not T's, a wrong number of indices), OutOfRange (an index),
// and those of buffer.h.

#ifndef TENURE_RUNTIME_ELEMENTS_H_
#define TENURE_RUNTIME_ELEMENTS_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/runtime/buffer_options.h"
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/element_types.h"
#include "tenure/runtime/host_span.h"
#include "tenure/runtime/shape.h"
#include "tenure/runtime/use_list.h"

namespace tenure {

class Buffer;

// Types that a tensor can be seen as an array of, for writing.
template <typename T>
concept WritableElement = ByteSizedElement<T> && !std::is_const_v<T>;

namespace internal {

// The whole window, on the host. `shape` is the buffer's own.
struct HostView {
  std::byte* data = nullptr;
  size_t size_bytes = 0;
  const Shape* shape = nullptr;

  template <typename T>
  absl::Span<T> Elements() const {
    return absl::Span<T>(reinterpret_cast<T*>(data), size_bytes / sizeof(T));
  }
};

// All of these refuse a buffer whose dtype is not `wanted`. `to` and `from` hold one element as
// ElementBytes does.
absl::StatusOr<HostView> ViewElements(const Buffer& buffer, Access access, DType wanted,
                                      size_t alignment_bytes, absl::Duration timeout);
absl::Status ReadItem(const Buffer& buffer, DType wanted, std::byte* to);
absl::Status ReadElement(const Buffer& buffer, DType wanted, absl::Span<const int64_t> index,
                         std::byte* to);
absl::Status WriteElement(const Buffer& buffer, DType wanted, absl::Span<const int64_t> index,
                          const std::byte* from);
absl::Status FillElements(const Buffer& buffer, DType wanted, absl::Span<const std::byte> element,
                          const TransferOptions& options);
absl::Status CopyElementsIn(const Buffer& to, DType wanted, const void* from, uint64_t size_bytes,
                            const TransferOptions& options);
absl::Status CopyElementsOut(const Buffer& from, DType wanted, void* to, uint64_t size_bytes,
                             const TransferOptions& options);

}  // namespace internal

template <typename T>
absl::StatusOr<absl::Span<const T>> As(const Buffer& buffer,
                                       absl::Duration timeout = absl::InfiniteDuration()) {
  static_assert(ByteSizedElement<T>,
                "As takes the C++ type of a dtype whose elements take whole bytes; packed ones are "
                "read with Get, raw bytes with Bytes");
  absl::StatusOr<internal::HostView> view =
      internal::ViewElements(buffer, Access::kRead, kDTypeOf<T>, alignof(T), timeout);
  if (!view.ok()) return view.status();
  return view->template Elements<const T>();
}

template <typename T>
absl::StatusOr<absl::Span<T>> AsMutable(const Buffer& buffer,
                                        absl::Duration timeout = absl::InfiniteDuration()) {
  static_assert(WritableElement<T>,
                "AsMutable takes the C++ type of a dtype whose elements take whole bytes; packed "
                "ones are written with Set, raw bytes with MutableBytes");
  absl::StatusOr<internal::HostView> view =
      internal::ViewElements(buffer, Access::kWrite, kDTypeOf<T>, alignof(T), timeout);
  if (!view.ok()) return view.status();
  return view->template Elements<T>();
}

template <ByteSizedElement T>
absl::StatusOr<NdSpan<const T>> AsShaped(const Buffer& buffer,
                                         absl::Duration timeout = absl::InfiniteDuration()) {
  absl::StatusOr<internal::HostView> view =
      internal::ViewElements(buffer, Access::kRead, kDTypeOf<T>, alignof(T), timeout);
  if (!view.ok()) return view.status();
  return NdSpan<const T>(view->template Elements<const T>().data(), *view->shape);
}

template <WritableElement T>
absl::StatusOr<NdSpan<T>> AsShapedMutable(const Buffer& buffer,
                                          absl::Duration timeout = absl::InfiniteDuration()) {
  absl::StatusOr<internal::HostView> view =
      internal::ViewElements(buffer, Access::kWrite, kDTypeOf<T>, alignof(T), timeout);
  if (!view.ok()) return view.status();
  return NdSpan<T>(view->template Elements<T>().data(), *view->shape);
}

// The value of a tensor of one element.
template <Element T>
absl::StatusOr<T> GetItem(const Buffer& buffer) {
  internal::ElementBytes<T> raw;
  absl::Status status = internal::ReadItem(buffer, kDTypeOf<T>, raw.bytes);
  if (!status.ok()) return status;
  return raw.ToValue();
}

template <Element T>
absl::StatusOr<T> GetElement(const Buffer& buffer, absl::Span<const int64_t> index) {
  internal::ElementBytes<T> raw;
  absl::Status status = internal::ReadElement(buffer, kDTypeOf<T>, index, raw.bytes);
  if (!status.ok()) return status;
  return raw.ToValue();
}
template <Element T>
absl::StatusOr<T> GetElement(const Buffer& buffer, std::initializer_list<int64_t> index) {
  return GetElement<T>(buffer, absl::MakeConstSpan(index.begin(), index.size()));
}

template <Element T>
absl::Status SetElement(const Buffer& buffer, absl::Span<const int64_t> index, T value) {
  const internal::ElementBytes<T> raw(value);
  return internal::WriteElement(buffer, kDTypeOf<T>, index, raw.bytes);
}
template <Element T>
absl::Status SetElement(const Buffer& buffer, std::initializer_list<int64_t> index, T value) {
  return SetElement<T>(buffer, absl::MakeConstSpan(index.begin(), index.size()), value);
}

// Sets every element of the window to `value`.
template <Element T>
absl::Status FillWith(const Buffer& buffer, T value, const TransferOptions& options = {}) {
  const internal::ElementBytes<T> raw(value);
  return internal::FillElements(buffer, kDTypeOf<T>, raw.bytes, options);
}

}  // namespace tenure

#endif  // TENURE_RUNTIME_ELEMENTS_H_
