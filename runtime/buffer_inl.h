// Templates and inline functions of buffer.h: included by it, and by nobody else.

#ifndef TENURE_RUNTIME_BUFFER_INL_H_
#define TENURE_RUNTIME_BUFFER_INL_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/base/checked.h"
#include "tenure/base/ids.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/element_types.h"
#include "tenure/runtime/host_span.h"

namespace tenure {
namespace internal {

// Whether `data` may be read as T; `size_bytes` is a whole number of elements, because the dtype is
// T's and a buffer's size is what dtype and shape say.
template <typename T>
bool IsAlignedFor(const std::byte* data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(T) == 0;
}

}  // namespace internal

inline Buffer::Buffer(Tag, StorageHandle storage, uint64_t offset, uint64_t size, DType dtype,
                      const Shape& shape)
    : storage_(std::move(storage)),
      id_(BufferId::Mint()),
      offset_(offset),
      size_(size),
      dtype_(dtype),
      shape_(shape) {}

inline Buffer::Buffer(Tag, const Buffer& of, uint64_t offset, uint64_t size, uint64_t elements)
    : storage_(of.storage_),
      id_(BufferId::Mint()),
      offset_(offset),
      size_(size),
      dtype_(of.dtype_),
      shape_(Shape::Vector(elements)) {}

inline Buffer::Buffer(Buffer&& other) noexcept
    : storage_(std::move(other.storage_)),
      id_(other.id_),
      offset_(other.offset_),
      size_(other.size_),
      dtype_(other.dtype_) {
  shape_.SetFromRecent(other.shape_);
}

// The fast path of the commonest view, inline: one increment, one id, no call. Always, because a
// call would cost half as much again as the two atomic operations of a view's life.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::StatusOr<Buffer> Buffer::View(uint64_t offset_bytes,
                                                                        uint64_t size_bytes) const {
  uint64_t elements = 0;
  bool whole;
  if (const uint64_t item = ItemSize(dtype_); IsByteSized(dtype_)) {
    whole = IsPowerOfTwo(item) && (size_bytes & (item - 1)) == 0;
    elements = size_bytes >> __builtin_ctzll(item);
  } else {
    whole = size_bytes < (uint64_t{1} << 60);
    elements = size_bytes * (8 / BitWidth(dtype_));
  }
  if (ABSL_PREDICT_FALSE(is_null() || !WindowFits(offset_bytes, size_bytes, size_) || !whole)) {
    return ViewError(offset_bytes, size_bytes);
  }
  return absl::StatusOr<Buffer>(absl::in_place, Tag(), *this, offset_ + offset_bytes, size_bytes,
                                elements);
}

template <typename T>
absl::StatusOr<absl::Span<const T>> Buffer::As() const {
  static_assert(ByteSizedElement<T>,
                "As takes the C++ type of a dtype whose elements take whole bytes; packed ones are "
                "read with Get, raw bytes with Bytes");
  if (dtype_ != kDTypeOf<T>) return WrongType(kDTypeOf<T>);
  absl::StatusOr<std::byte*> data = HostAccess(Access::kRead, absl::InfiniteFuture());
  if (!data.ok()) return data.status();
  if (!internal::IsAlignedFor<T>(*data)) return Misaligned(alignof(T));
  return absl::Span<const T>(reinterpret_cast<const T*>(*data),
                             static_cast<size_t>(size_ / sizeof(T)));
}

template <typename T>
absl::StatusOr<absl::Span<T>> Buffer::AsMutable() const {
  static_assert(ByteSizedElement<T> && !std::is_const_v<T>,
                "AsMutable takes the C++ type of a dtype whose elements take whole bytes; packed "
                "ones are written with Set, raw bytes with MutableBytes");
  if (dtype_ != kDTypeOf<T>) return WrongType(kDTypeOf<T>);
  absl::StatusOr<std::byte*> data = HostAccess(Access::kWrite, absl::InfiniteFuture());
  if (!data.ok()) return data.status();
  if (!internal::IsAlignedFor<T>(*data)) return Misaligned(alignof(T));
  return absl::Span<T>(reinterpret_cast<T*>(*data), static_cast<size_t>(size_ / sizeof(T)));
}

template <typename T>
absl::StatusOr<NdSpan<const T>> Buffer::AsShaped() const {
  absl::StatusOr<absl::Span<const T>> flat = As<T>();
  if (!flat.ok()) return flat.status();
  return NdSpan<const T>(flat->data(), shape_);
}

template <typename T>
absl::StatusOr<NdSpan<T>> Buffer::AsShapedMutable() const {
  absl::StatusOr<absl::Span<T>> flat = AsMutable<T>();
  if (!flat.ok()) return flat.status();
  return NdSpan<T>(flat->data(), shape_);
}

template <typename T>
absl::StatusOr<T> Buffer::Item() const {
  if (dtype_ != kDTypeOf<T>) return WrongType(kDTypeOf<T>);
  internal::ElementBytes<T> raw;
  if (absl::Status status = GetItem(raw.bytes); !status.ok()) return status;
  return raw.ToValue();
}

template <typename T>
absl::StatusOr<T> Buffer::Get(absl::Span<const int64_t> index) const {
  if (dtype_ != kDTypeOf<T>) return WrongType(kDTypeOf<T>);
  internal::ElementBytes<T> raw;
  if (absl::Status status = GetElement(index, raw.bytes); !status.ok()) return status;
  return raw.ToValue();
}

template <typename T>
absl::Status Buffer::Set(absl::Span<const int64_t> index, T value) const {
  if (dtype_ != kDTypeOf<T>) return WrongType(kDTypeOf<T>);
  internal::ElementBytes<T> raw(value);
  return SetElement(index, raw.bytes);
}

}  // namespace tenure

#endif  // TENURE_RUNTIME_BUFFER_INL_H_
