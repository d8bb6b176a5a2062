// Buffer's host access without a copy, mappings and single elements.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/mapping.h"

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

}  // namespace internal

namespace {

absl::Time DeadlineAfter(absl::Duration timeout) {
  return timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
}

// Where element `position` of a packed tensor is.
struct PackedPlace {
  PackedPlace(DType dtype, uint64_t position) {
    const uint64_t bits = BitWidth(dtype);
    const uint64_t per_byte = 8 / bits;
    byte = position / per_byte;
    shift = static_cast<unsigned>(position % per_byte * bits);
    mask = (1u << bits) - 1;
  }

  uint64_t byte;
  unsigned shift;
  unsigned mask;
};

}  // namespace

absl::Status Buffer::CheckAccess(Access access, uint64_t offset_bytes, uint64_t size_bytes) const {
  if (is_null()) return internal::NullBufferError();
  if (!WindowFits(offset_bytes, size_bytes, size_)) {
    return absl::OutOfRangeError(absl::StrCat(size_bytes, " bytes at ", offset_bytes,
                                              " do not lie in ", internal::Describe(*this), " of ",
                                              size_, " bytes"));
  }
  return access == Access::kWrite ? CheckWritable() : absl::OkStatus();
}

absl::Status Buffer::PrepareAccess(Access access, uint64_t offset_bytes,
                                   uint64_t size_bytes) const {
  absl::Status status = CheckAccess(access, offset_bytes, size_bytes);
  // Nobody needs memory for nothing.
  if (!status.ok() || size_bytes == 0 || storage_->is_allocated()) return status;
  if (status = storage_->EnsureAllocated(); !status.ok()) return status;
  // Fresh bytes may turn out to be read-only.
  return access == Access::kWrite ? CheckWritable() : absl::OkStatus();
}

absl::Status Buffer::BeginAccess(Access access, uint64_t offset_bytes, uint64_t size_bytes,
                                 absl::Time deadline) const {
  if (ABSL_PREDICT_TRUE(IsFree(access) && WindowFits(offset_bytes, size_bytes, size_))) {
    return absl::OkStatus();
  }
  absl::Status status = PrepareAccess(access, offset_bytes, size_bytes);
  if (!status.ok() || size_bytes == 0) return status;
  const uint64_t begin = offset_ + offset_bytes;
  return storage_->WaitForUses(begin, begin + size_bytes, access, deadline);
}

absl::StatusOr<std::byte*> Buffer::HostAccess(Access access, absl::Time deadline) const {
  if (ABSL_PREDICT_FALSE(!IsFree(access))) {
    if (absl::Status status = BeginAccess(access, 0, size_, deadline); !status.ok()) return status;
  }
  if (ABSL_PREDICT_FALSE(size_ == 0)) return static_cast<std::byte*>(nullptr);
  const Allocation& root = storage_->root();
  if (root.host == nullptr) {
    const MemorySpace& space = allocator().space();
    if (!allocator().traits().has_bytes) {
      return absl::UnimplementedError(absl::StrCat(
          internal::Describe(*this), " is in '", space.ToString(),
          "', which has sizes and no bytes: it is for planning; run with another space"));
    }
    return absl::UnimplementedError(
        absl::StrCat(internal::Describe(*this), " is in '", space.ToString(),
                     "', where the host can't reach it in place; copy with CopyIn and CopyOut, or "
                     "use Get and Set"));
  }
  return static_cast<std::byte*>(root.host) + storage_->root_offset() + offset_;
}

absl::Status Buffer::WrongType(DType wanted) const {
  if (is_null()) return internal::NullBufferError();
  return internal::WrongTypeError(internal::Describe(*this), dtype_, wanted);
}

absl::Status Buffer::Misaligned(uint64_t alignment_bytes) const {
  return internal::MisalignedError(internal::Describe(*this), dtype_, alignment_bytes);
}

absl::StatusOr<absl::Span<const std::byte>> Buffer::Bytes(absl::Duration timeout) const {
  absl::StatusOr<std::byte*> data = HostAccess(Access::kRead, DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  return absl::Span<const std::byte>(*data, static_cast<size_t>(size_));
}

absl::StatusOr<absl::Span<std::byte>> Buffer::MutableBytes(absl::Duration timeout) const {
  absl::StatusOr<std::byte*> data = HostAccess(Access::kWrite, DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  return absl::Span<std::byte>(*data, static_cast<size_t>(size_));
}

absl::StatusOr<Mapping> Buffer::Map(Access access, absl::Duration timeout) const {
  if (is_null()) return internal::NullBufferError();
  // Counted before the checks: a seal comes before it or waits for it.
  if (access == Access::kWrite) {
    if (absl::Status status = storage_->BeginWritableMapping(); !status.ok()) return status;
  }
  absl::StatusOr<std::byte*> data = HostAccess(access, DeadlineAfter(timeout));
  if (!data.ok()) {
    if (access == Access::kWrite) storage_->EndWritableMapping();
    return data.status();
  }
  return Mapping(storage_, access, *data, size_, dtype_, shape_);
}

// ------------------------------------------------------------------------------------------------
// elements

absl::Status Buffer::ReadElement(uint64_t position, std::byte* to) const {
  if (IsByteSized(dtype_)) {
    return CopyOutAt(position * ItemSize(dtype_), to, ItemSize(dtype_));
  }
  const PackedPlace place(dtype_, position);
  std::byte byte;
  if (absl::Status status = CopyOutAt(place.byte, &byte, 1); !status.ok()) return status;
  *to = std::byte(
      static_cast<uint8_t>((std::to_integer<unsigned>(byte) >> place.shift) & place.mask));
  return absl::OkStatus();
}

absl::Status Buffer::GetItem(std::byte* to) const {
  if (is_null()) return internal::NullBufferError();
  if (shape_.elements() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Item is the value of a tensor of one element; ", internal::Describe(*this), " of shape ",
        shape_.ToString(), " has ", shape_.elements(), "; use Get with an index"));
  }
  return ReadElement(0, to);
}

absl::Status Buffer::GetElement(absl::Span<const int64_t> index, std::byte* to) const {
  if (is_null()) return internal::NullBufferError();
  absl::StatusOr<uint64_t> position = FlatIndex(shape_, index);
  return position.ok() ? ReadElement(*position, to) : position.status();
}

absl::Status Buffer::SetElement(absl::Span<const int64_t> index, const std::byte* from) const {
  if (is_null()) return internal::NullBufferError();
  absl::StatusOr<uint64_t> position = FlatIndex(shape_, index);
  if (!position.ok()) return position.status();
  if (IsByteSized(dtype_)) {
    return CopyInAt(*position * ItemSize(dtype_), from, ItemSize(dtype_));
  }
  // Checked first, so that a refused write neither allocates nor reads.
  const PackedPlace place(dtype_, *position);
  absl::Status status = BeginAccess(Access::kWrite, place.byte, 1, absl::InfiniteFuture());
  if (!status.ok()) return status;
  std::byte byte;
  if (status = CopyOutAt(place.byte, &byte, 1); !status.ok()) return status;
  const unsigned value = std::to_integer<unsigned>(*from) & place.mask;
  const unsigned others = std::to_integer<unsigned>(byte) & ~(place.mask << place.shift);
  byte = std::byte(static_cast<uint8_t>(others | value << place.shift));
  return CopyInAt(place.byte, &byte, 1);
}

}  // namespace tenure
