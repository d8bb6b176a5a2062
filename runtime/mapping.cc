#include "tenure/runtime/mapping.h"

#include "tenure/allocator/timeline/timeline.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  storage_ = std::move(other.storage_);
  bytes_ = std::move(other.bytes_);
  unsealed_ = std::move(other.unsealed_);
  coherent_ = std::move(other.coherent_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  access_ = other.access_;
  dtype_ = other.dtype_;
  shape_ = std::exchange(other.shape_, Shape::Vector(0));
  return *this;
}

absl::Status Mapping::Flush() {
  return coherent_ == nullptr ? absl::OkStatus() : coherent_->Flush();
}

void Mapping::Unmap() {
  if (!storage_) return;
  if (coherent_ != nullptr) {
    absl::Status flushed = coherent_->End();
    coherent_.reset();
    if (!flushed.ok()) {
      auto failed = std::make_shared<Completion>();
      failed->Finish(std::move(flushed));
      const auto* host = static_cast<const std::byte*>(storage_->root().host);
      const uint64_t begin = static_cast<uint64_t>(data_ - host) - storage_->root_offset();
      storage_->RecordUse(begin, begin + size_, Access::kWrite, Fence(std::move(failed), 1));
    }
  }
  unsealed_ = WritableHold();
  bytes_ = StorageKeepAlive();
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
