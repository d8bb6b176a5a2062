#include "tenure/runtime/mapping.h"

#include "tenure/runtime/buffer_errors.h"

namespace tenure {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  storage_ = std::move(other.storage_);
  unsealed_ = std::move(other.unsealed_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  access_ = other.access_;
  dtype_ = other.dtype_;
  shape_ = std::exchange(other.shape_, Shape::Vector(0));
  return *this;
}

void Mapping::Unmap() {
  if (!storage_) return;
  unsealed_ = WritableHold();
  storage_ = StorageHandle();
  data_ = nullptr;
  size_ = 0;
  shape_ = Shape::Vector(0);
}

absl::Status Mapping::CheckAccess(Access access) const {
  if (!is_mapped()) {
    return absl::FailedPreconditionError(
        "the mapping has ended: it was unmapped, moved from or never made; call Buffer::Map");
  }
  if (access == Access::kWrite && access_ != Access::kWrite) {
    return absl::FailedPreconditionError(
        "the mapping is for reading; map the buffer with Access::kWrite to write");
  }
  return absl::OkStatus();
}

absl::Status Mapping::Check(Access access, DType wanted, uint64_t alignment_bytes) const {
  if (absl::Status status = CheckAccess(access); !status.ok()) return status;
  if (wanted != dtype_) return internal::WrongTypeError("the mapping", dtype_, wanted);
  if (reinterpret_cast<uintptr_t>(data_) % alignment_bytes != 0) {
    return internal::MisalignedError("the mapping", dtype_, alignment_bytes);
  }
  return absl::OkStatus();
}

absl::StatusOr<absl::Span<std::byte>> Mapping::MutableBytes() const {
  if (absl::Status status = CheckAccess(Access::kWrite); !status.ok()) return status;
  return absl::Span<std::byte>(data_, static_cast<size_t>(size_));
}

}  // namespace tenure
