#include <memory>
#include <utility>

#include "tenure/allocator/support/coherent_access.h"
#include "tenure/runtime/access.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/buffer_operations.h"
#include "tenure/runtime/hazards.h"
#include "tenure/runtime/mapping.h"
#include "tenure/runtime/transfer.h"

namespace tenure {

// --- Uses and hazards

bool BufferOperations::Overlaps(const Buffer& other) const {
  return tenure::Overlaps(self(), other);
}

absl::Status BufferOperations::RecordUse(Access access, const Fence& fence) const {
  const Use use{&self(), access};
  return RecordUses({&use, 1}, fence);
}

std::vector<Fence> BufferOperations::PendingUses(Access access) const {
  const Buffer& buffer = self();
  if (!buffer.is_allocated()) return {};
  return buffer.storage()->ConflictingUses(buffer.offset(), buffer.offset() + buffer.size(),
                                           access);
}

absl::Status BufferOperations::Synchronize(absl::Duration timeout) const {
  const Buffer& buffer = self();
  if (buffer.is_null()) return internal::NullBufferError();
  if (!buffer.is_allocated()) return absl::OkStatus();
  return buffer.storage()->WaitForUses(buffer.offset(), buffer.offset() + buffer.size(),
                                       Access::kWrite, internal::DeadlineAfter(timeout));
}

// --- Host access

absl::StatusOr<absl::Span<const std::byte>> BufferOperations::Bytes(absl::Duration timeout) const {
  absl::StatusOr<std::byte*> data =
      internal::HostAccess(self(), Access::kRead, internal::DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  return absl::Span<const std::byte>(*data, static_cast<size_t>(self().size()));
}

absl::StatusOr<absl::Span<std::byte>> BufferOperations::MutableBytes(absl::Duration timeout) const {
  absl::StatusOr<std::byte*> data =
      internal::HostAccess(self(), Access::kWrite, internal::DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  return absl::Span<std::byte>(*data, static_cast<size_t>(self().size()));
}

absl::StatusOr<Mapping> BufferOperations::Map(Access access, absl::Duration timeout) const {
  const Buffer& buffer = self();
  if (buffer.is_null()) return internal::NullBufferError();
  // Held before the checks, so that no seal can come between them and the mapping.
  WritableHold unsealed;
  if (access == Access::kWrite) {
    absl::StatusOr<WritableHold> hold = WritableHold::Of(buffer.storage());
    if (!hold.ok()) return hold.status();
    unsealed = *std::move(hold);
  }
  absl::StatusOr<std::byte*> data =
      internal::MapAccess(buffer, access, internal::DeadlineAfter(timeout));
  if (!data.ok()) return data.status();
  std::unique_ptr<CoherentAccess> coherent;
  if (*data != nullptr && !buffer.storage()->is_coherent()) {
    absl::StatusOr<CoherentAccess> begun = CoherentAccess::Begin(
        buffer.storage()->root_storage().allocator(), internal::RegionOf(buffer, 0, buffer.size()),
        access == Access::kWrite ? CoherentAccess::Kind::kWrite : CoherentAccess::Kind::kRead);
    if (!begun.ok()) return begun.status();
    coherent = std::make_unique<CoherentAccess>(*std::move(begun));
  }
  return Mapping(StorageHandle(buffer.storage()), std::move(unsealed), std::move(coherent), access,
                 *data, buffer.size(), buffer.dtype(), buffer.shape());
}

// --- Copies and fills

absl::Status BufferOperations::CopyIn(const void* from, uint64_t size_bytes,
                                      const TransferOptions& options) const {
  return tenure::CopyIn(self(), from, size_bytes, options);
}

absl::Status BufferOperations::CopyOut(void* to, uint64_t size_bytes,
                                       const TransferOptions& options) const {
  return tenure::CopyOut(self(), to, size_bytes, options);
}

absl::Status BufferOperations::CopyInAt(uint64_t offset_bytes, const void* from,
                                        uint64_t size_bytes, const TransferOptions& options) const {
  return tenure::CopyInAt(self(), offset_bytes, from, size_bytes, options);
}

absl::Status BufferOperations::CopyOutAt(uint64_t offset_bytes, void* to, uint64_t size_bytes,
                                         const TransferOptions& options) const {
  return tenure::CopyOutAt(self(), offset_bytes, to, size_bytes, options);
}

absl::Status BufferOperations::CopyFrom(const Buffer& source,
                                        const TransferOptions& options) const {
  return tenure::CopyFrom(self(), source, options);
}

absl::Status BufferOperations::CopyRegionFrom(const Buffer& source, uint64_t source_offset_bytes,
                                              uint64_t offset_bytes, uint64_t size_bytes,
                                              const TransferOptions& options) const {
  return tenure::CopyRegionFrom(self(), source, source_offset_bytes, offset_bytes, size_bytes,
                                options);
}

absl::Status BufferOperations::CopyWithin(uint64_t from_offset_bytes, uint64_t to_offset_bytes,
                                          uint64_t size_bytes,
                                          const TransferOptions& options) const {
  return tenure::CopyRegionFrom(self(), self(), from_offset_bytes, to_offset_bytes, size_bytes,
                                options);
}

absl::Status BufferOperations::Fill(absl::Span<const std::byte> pattern,
                                    const TransferOptions& options) const {
  return tenure::Fill(self(), pattern, options);
}

absl::StatusOr<Fence> BufferOperations::CopyInAsync(const void* from, uint64_t size_bytes,
                                                    const TransferOptions& options) const {
  return tenure::CopyInAsync(self(), from, size_bytes, options);
}

absl::StatusOr<Fence> BufferOperations::CopyOutAsync(void* to, uint64_t size_bytes,
                                                     const TransferOptions& options) const {
  return tenure::CopyOutAsync(self(), to, size_bytes, options);
}

absl::StatusOr<Fence> BufferOperations::CopyFromAsync(const Buffer& source,
                                                      const TransferOptions& options) const {
  return tenure::CopyFromAsync(self(), source, options);
}

absl::StatusOr<Fence> BufferOperations::FillAsync(absl::Span<const std::byte> pattern,
                                                  const TransferOptions& options) const {
  return tenure::FillAsync(self(), pattern, options);
}

}  // namespace tenure
