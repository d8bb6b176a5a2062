// The start of every access to the bytes of a buffer: it checks the window, allocates the storage,
// and waits for the uses in conflict. Not for users of the library.
//
// Every way to the bytes goes through here: spans and mappings (elements.h), single elements, and
// copies (transfer.h). The functions do more from top to bottom; each includes the one before it.
//
//   CheckAccess     is the window inside the buffer, and may it be written?
//   PrepareAccess   ... and allocate the storage
//   BeginAccess     ... and wait for the uses in conflict
//   HostAccess      ... and give the address on the host, for a span: refused where memory is not
//                   coherent
//   MapAccess       ... and give the address on the host, for a mapping
//
// Thread safety: thread-safe, as Buffer is. Errors: as buffer.h lists them.

#ifndef TENURE_RUNTIME_ACCESS_H_
#define TENURE_RUNTIME_ACCESS_H_

#include <cstddef>
#include <cstdint>

#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/allocator/allocation.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/storage.h"

namespace tenure {
namespace internal {

inline absl::Time DeadlineAfter(absl::Duration timeout) {
  return timeout == absl::InfiniteDuration() ? absl::InfiniteFuture() : absl::Now() + timeout;
}

// Returns whether an access inside the window needs no check and no wait, which is the usual case.
inline bool IsFree(const Buffer& buffer, Access access) {
  Storage* storage = buffer.storage();
  return storage != nullptr && storage->is_allocated() && !storage->has_uses() &&
         (access == Access::kRead || (!storage->sealed() && !storage->root().read_only));
}

// Returns the region of bytes [offset, offset + size) of the window. The buffer must be allocated.
inline SubRegion RegionOf(const Buffer& buffer, uint64_t offset_bytes, uint64_t size_bytes) {
  const Storage& storage = *buffer.storage();
  return {&storage.root(), storage.root_offset() + buffer.offset() + offset_bytes, size_bytes};
}

// Of the window's first byte; null if the host has no address of it. The buffer must be allocated.
inline std::byte* HostAddress(const Buffer& buffer) {
  const Storage& storage = *buffer.storage();
  auto* host = static_cast<std::byte*>(storage.root().host);
  return host == nullptr ? nullptr : host + storage.root_offset() + buffer.offset();
}

// Refuses sealed storages and read-only memory. The buffer must not be null.
absl::Status CheckWritable(const Buffer& buffer);

absl::Status CheckAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                         uint64_t size_bytes);
// Allocates nothing if the size is 0.
absl::Status PrepareAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                           uint64_t size_bytes);
absl::Status BeginAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                         uint64_t size_bytes, absl::Time deadline);
// Bytes [begin, end) of `storage` with all of the coherence atoms that they touch, in terms of its
// root_storage().
struct RootRange {
  uint64_t begin;
  uint64_t end;
};
RootRange WholeAtoms(const Storage& storage, uint64_t begin, uint64_t end);
// Why there is no span or pointer onto memory that is not coherent. The buffer must be allocated.
absl::Status NotCoherentError(const Buffer& buffer);
absl::StatusOr<std::byte*> MapAccessSlowly(const Buffer& buffer, Access access,
                                           absl::Time deadline);
absl::StatusOr<std::byte*> HostAccessSlowly(const Buffer& buffer, Access access,
                                            absl::Time deadline);
// Both return the host address of the whole window, null if it has no bytes. The usual case is
// inline, for typed spans.
inline absl::StatusOr<std::byte*> MapAccess(const Buffer& buffer, Access access,
                                            absl::Time deadline) {
  if (ABSL_PREDICT_TRUE(IsFree(buffer, access) && buffer.size() > 0)) {
    if (std::byte* host = HostAddress(buffer); ABSL_PREDICT_TRUE(host != nullptr)) return host;
  }
  return MapAccessSlowly(buffer, access, deadline);
}
inline absl::StatusOr<std::byte*> HostAccess(const Buffer& buffer, Access access,
                                             absl::Time deadline) {
  if (ABSL_PREDICT_TRUE(IsFree(buffer, access) && buffer.size() > 0 &&
                        buffer.storage()->is_coherent())) {
    if (std::byte* host = HostAddress(buffer); ABSL_PREDICT_TRUE(host != nullptr)) return host;
  }
  return HostAccessSlowly(buffer, access, deadline);
}

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_ACCESS_H_
