// Mapping: host access to the bytes of a buffer, until the mapping is dropped.
//
// Why, beside Buffer::As: a span does not say how long it is in use. A writable mapping keeps its
// buffer from being sealed meanwhile, and any mapping keeps its storage alive by itself. Where
// memory is not coherent there are no spans of buffers, only mappings: the host sees what the
// device wrote before the mapping began, and the device sees what the host wrote when it has ended.
// While a mapping for writing lives there, no kernel may write to bytes of the same coherence
// atoms.
//
// Example:
//   {
//     TENURE_ASSIGN_OR_RETURN(Mapping region, buffer.Map(Access::kWrite));
//     TENURE_ASSIGN_OR_RETURN(absl::Span<float> xs, region.AsMutable<float>());
//     xs[0] = 1;
//   }  // may be sealed from here on
//
// Cost: what As costs, and an atomic increment or two; where memory is not coherent, the driver's
// calls (allocator/support/coherent_access.h).
// Thread safety: thread-compatible. Ownership: shares the storage; its spans are valid while it
// lives, wherever it is moved to.
// Errors: InvalidArgument (wrong dtype, an address that a T can't have), FailedPrecondition
// (writing through a mapping for reading, or one that was moved from or unmapped), the driver's
// (Map and Flush). An error of the flush at the end of a mapping goes to the next access of the
// host's to these bytes, as the error of any recorded use does.

#ifndef TENURE_RUNTIME_MAPPING_H_
#define TENURE_RUNTIME_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/support/coherent_access.h"
#include "tenure/runtime/dtype.h"
#include "tenure/runtime/element_types.h"
#include "tenure/runtime/host_span.h"
#include "tenure/runtime/shape.h"
#include "tenure/runtime/storage.h"

namespace tenure {

class Mapping {
 public:
  Mapping() = default;  // of nothing
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { Unmap(); }

  // Whether there are bytes to use (there may be 0 of them).
  bool is_mapped() const { return static_cast<bool>(storage_); }
  Access access() const { return access_; }
  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }

  absl::Span<const std::byte> bytes() const { return {data_, static_cast<size_t>(size_)}; }
  absl::StatusOr<absl::Span<std::byte>> MutableBytes() const;

  template <typename T>
  absl::StatusOr<absl::Span<const T>> As() const {
    static_assert(ByteSizedElement<T>, "packed elements are read with Buffer::Get");
    if (absl::Status s = Check(Access::kRead, kDTypeOf<T>, alignof(T)); !s.ok()) return s;
    return absl::Span<const T>(reinterpret_cast<const T*>(data_),
                               static_cast<size_t>(size_ / sizeof(T)));
  }
  template <typename T>
  absl::StatusOr<absl::Span<T>> AsMutable() const {
    static_assert(ByteSizedElement<T>, "packed elements are written with Buffer::Set");
    if (absl::Status s = Check(Access::kWrite, kDTypeOf<T>, alignof(T)); !s.ok()) return s;
    return absl::Span<T>(reinterpret_cast<T*>(data_), static_cast<size_t>(size_ / sizeof(T)));
  }
  template <typename T>
  absl::StatusOr<NdSpan<const T>> AsShaped() const {
    absl::StatusOr<absl::Span<const T>> flat = As<T>();
    if (!flat.ok()) return flat.status();
    return NdSpan<const T>(flat->data(), shape_);
  }
  template <typename T>
  absl::StatusOr<NdSpan<T>> AsShapedMutable() const {
    absl::StatusOr<absl::Span<T>> flat = AsMutable<T>();
    if (!flat.ok()) return flat.status();
    return NdSpan<T>(flat->data(), shape_);
  }

  // Makes the device see what was written so far. Does nothing where memory is coherent.
  absl::Status Flush();
  // Ends it now, and flushes what was written. Does nothing if it has ended.
  void Unmap();

 private:
  friend class BufferOperations;
  // `unsealed` is of the storage if `access` is kWrite, and of nothing otherwise. `coherent` is
  // null where memory is coherent.
  Mapping(StorageHandle storage, WritableHold unsealed, std::unique_ptr<CoherentAccess> coherent,
          Access access, std::byte* data, uint64_t size, DType dtype, const Shape& shape)
      : storage_(std::move(storage)),
        bytes_(&storage_->root_storage()),
        unsealed_(std::move(unsealed)),
        coherent_(std::move(coherent)),
        data_(data),
        size_(size),
        access_(access),
        dtype_(dtype),
        shape_(shape) {}
  absl::Status Check(Access access, DType wanted, uint64_t alignment_bytes) const;
  absl::Status CheckAccess(Access access) const;

  StorageHandle storage_;
  StorageKeepAlive bytes_;  // the arena that it is placed in; or the same
  WritableHold unsealed_;
  std::unique_ptr<CoherentAccess> coherent_;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
  Access access_ = Access::kRead;
  DType dtype_ = DType::kUInt8;
  Shape shape_ = Shape::Vector(0);
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_MAPPING_H_
