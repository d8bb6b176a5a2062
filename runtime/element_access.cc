#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/access.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/elements.h"
#include "tenure/runtime/transfer.h"

namespace tenure {
namespace internal {
namespace {

absl::Status CheckDType(const Buffer& buffer, DType wanted) {
  if (ABSL_PREDICT_FALSE(buffer.is_null())) return NullBufferError();
  if (ABSL_PREDICT_TRUE(buffer.dtype() == wanted)) return absl::OkStatus();
  return WrongTypeError(Describe(buffer), buffer.dtype(), wanted);
}

// The byte that holds element `position` of a packed tensor, and the element's bits in it.
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

absl::Status ReadAt(const Buffer& buffer, uint64_t position, std::byte* to) {
  if (const uint64_t item = ItemSize(buffer.dtype()); IsByteSized(buffer.dtype())) {
    return CopyOutAt(buffer, position * item, to, item);
  }
  const PackedPlace place(buffer.dtype(), position);
  std::byte byte;
  TENURE_RETURN_IF_ERROR(CopyOutAt(buffer, place.byte, &byte, 1));
  *to = std::byte(
      static_cast<uint8_t>((std::to_integer<unsigned>(byte) >> place.shift) & place.mask));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HostView> ViewElements(const Buffer& buffer, Access access, DType wanted,
                                      size_t alignment_bytes, absl::Duration timeout) {
  if (ABSL_PREDICT_FALSE(buffer.dtype() != wanted)) return CheckDType(buffer, wanted);
  absl::StatusOr<std::byte*> data = HostAccess(buffer, access, DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  if (ABSL_PREDICT_FALSE(reinterpret_cast<uintptr_t>(*data) % alignment_bytes != 0)) {
    return MisalignedError(Describe(buffer), buffer.dtype(), alignment_bytes);
  }
  return HostView{*data, static_cast<size_t>(buffer.size()), &buffer.shape()};
}

absl::Status ReadItem(const Buffer& buffer, DType wanted, std::byte* to) {
  TENURE_RETURN_IF_ERROR(CheckDType(buffer, wanted));
  if (buffer.shape().elements() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "Item is the value of a tensor of one element; ", Describe(buffer), " of shape ",
        buffer.shape().ToString(), " has ", buffer.shape().elements(), "; use Get with an index"));
  }
  return ReadAt(buffer, 0, to);
}

absl::Status ReadElement(const Buffer& buffer, DType wanted, absl::Span<const int64_t> index,
                         std::byte* to) {
  TENURE_RETURN_IF_ERROR(CheckDType(buffer, wanted));
  absl::StatusOr<uint64_t> position = FlatIndex(buffer.shape(), index);
  return position.ok() ? ReadAt(buffer, *position, to) : position.status();
}

absl::Status WriteElement(const Buffer& buffer, DType wanted, absl::Span<const int64_t> index,
                          const std::byte* from) {
  TENURE_RETURN_IF_ERROR(CheckDType(buffer, wanted));
  TENURE_ASSIGN_OR_RETURN(uint64_t position, FlatIndex(buffer.shape(), index));
  if (const uint64_t item = ItemSize(buffer.dtype()); IsByteSized(buffer.dtype())) {
    return CopyInAt(buffer, position * item, from, item);
  }
  // A refused write must neither allocate nor read.
  const PackedPlace place(buffer.dtype(), position);
  absl::Status status = BeginAccess(buffer, Access::kWrite, place.byte, 1, absl::InfiniteFuture());
  if (!status.ok()) return status;
  std::byte byte;
  if (status = CopyOutAt(buffer, place.byte, &byte, 1); !status.ok()) return status;
  const unsigned value = std::to_integer<unsigned>(*from) & place.mask;
  const unsigned others = std::to_integer<unsigned>(byte) & ~(place.mask << place.shift);
  byte = std::byte(static_cast<uint8_t>(others | value << place.shift));
  return CopyInAt(buffer, place.byte, &byte, 1);
}

absl::Status FillElements(const Buffer& buffer, DType wanted, absl::Span<const std::byte> element,
                          const TransferOptions& options) {
  TENURE_RETURN_IF_ERROR(CheckDType(buffer, wanted));
  if (IsByteSized(wanted)) return Fill(buffer, element, options);
  const auto bits = static_cast<unsigned>(BitWidth(wanted));
  const unsigned value = std::to_integer<unsigned>(element[0]) & ((1u << bits) - 1);
  unsigned packed = 0;
  for (unsigned shift = 0; shift < 8; shift += bits) packed |= value << shift;
  const std::byte byte[1] = {std::byte(static_cast<uint8_t>(packed))};
  return Fill(buffer, byte, options);
}

absl::Status CopyElementsIn(const Buffer& to, DType wanted, const void* from, uint64_t size_bytes,
                            const TransferOptions& options) {
  TENURE_RETURN_IF_ERROR(CheckDType(to, wanted));
  return CopyIn(to, from, size_bytes, options);
}

absl::Status CopyElementsOut(const Buffer& from, DType wanted, void* to, uint64_t size_bytes,
                             const TransferOptions& options) {
  TENURE_RETURN_IF_ERROR(CheckDType(from, wanted));
  absl::Status status = CopyOut(from, to, size_bytes, options);
  if (status.ok() && wanted == DType::kBool) {
    // No C++ bool holds anything but 0 and 1, and a tensor's byte may.
    auto* bytes = static_cast<uint8_t*>(to);
    for (uint64_t i = 0; i < size_bytes; ++i) bytes[i] = bytes[i] != 0 ? 1 : 0;
  }
  return status;
}

}  // namespace internal
}  // namespace tenure
