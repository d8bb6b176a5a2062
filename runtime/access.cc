#include "tenure/runtime/access.h"

#include <algorithm>

#include "absl/base/optimization.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/runtime/buffer_errors.h"

namespace tenure {
namespace internal {

absl::Status CheckWritable(const Buffer& buffer) {
  const Storage& storage = *buffer.storage();
  if (storage.sealed()) {
    return absl::FailedPreconditionError(
        absl::StrCat(Describe(buffer), " is sealed; write to a fork of it (ForkViews)"));
  }
  if (storage.is_allocated() && storage.root().read_only) {
    return absl::FailedPreconditionError(absl::StrCat(
        Describe(buffer), " is read-only memory of ", buffer.allocator().space().ToString(),
        "; copy it to a buffer of 'cpu' and write there"));
  }
  return absl::OkStatus();
}

absl::Status CheckAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                         uint64_t size_bytes) {
  if (buffer.is_null()) return NullBufferError();
  if (!WindowFits(offset_bytes, size_bytes, buffer.size())) {
    return absl::OutOfRangeError(absl::StrCat(size_bytes, " bytes at ", offset_bytes,
                                              " do not lie in ", Describe(buffer), " of ",
                                              buffer.size(), " bytes"));
  }
  return access == Access::kWrite ? CheckWritable(buffer) : absl::OkStatus();
}

absl::Status PrepareAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                           uint64_t size_bytes) {
  absl::Status status = CheckAccess(buffer, access, offset_bytes, size_bytes);
  if (!status.ok() || size_bytes == 0 || buffer.is_allocated()) return status;
  if (status = buffer.EnsureAllocated(); !status.ok()) return status;
  // Whether memory is read-only is known only once it is allocated.
  return access == Access::kWrite ? CheckWritable(buffer) : absl::OkStatus();
}

absl::Status BeginAccess(const Buffer& buffer, Access access, uint64_t offset_bytes,
                         uint64_t size_bytes, absl::Time deadline) {
  if (ABSL_PREDICT_TRUE(IsFree(buffer, access) &&
                        WindowFits(offset_bytes, size_bytes, buffer.size()))) {
    return absl::OkStatus();
  }
  absl::Status status = PrepareAccess(buffer, access, offset_bytes, size_bytes);
  if (!status.ok() || size_bytes == 0) return status;
  Storage& storage = *buffer.storage();
  const uint64_t begin = buffer.offset() + offset_bytes;
  status = storage.WaitForUses(begin, begin + size_bytes, access, deadline);
  if (ABSL_PREDICT_TRUE(storage.is_coherent()) || access != Access::kWrite || !status.ok()) {
    return status;
  }
  // What the host writes is flushed with all of its atoms, so nobody else may be writing to them.
  const RootRange atoms = WholeAtoms(storage, begin, begin + size_bytes);
  return storage.root_storage().WaitForUses(atoms.begin, atoms.end, Access::kRead, deadline);
}

RootRange WholeAtoms(const Storage& storage, uint64_t begin, uint64_t end) {
  const uint64_t atom = storage.allocator().traits().coherence_atom_bytes;
  const uint64_t first = storage.root_offset() + begin, last = storage.root_offset() + end;
  const uint64_t missing = (atom - last % atom) % atom;
  return {first - first % atom, last + std::min(missing, storage.root().size_bytes - last)};
}

absl::Status NotCoherentError(const Buffer& buffer) {
  return absl::UnimplementedError(absl::StrCat(
      Describe(buffer), " is in '", buffer.allocator().space().ToString(),
      "', whose memory is not coherent: there is no span or pointer onto it without an "
      "end; use Map, or CopyIn and CopyOut"));
}

absl::StatusOr<std::byte*> HostAccessSlowly(const Buffer& buffer, Access access,
                                            absl::Time deadline) {
  if (buffer.size() > 0) {
    absl::Status status = PrepareAccess(buffer, access, 0, buffer.size());
    if (!status.ok()) return status;
    if (!buffer.storage()->is_coherent() && buffer.storage()->root().host != nullptr) {
      return NotCoherentError(buffer);
    }
  }
  return MapAccess(buffer, access, deadline);
}

absl::StatusOr<std::byte*> MapAccessSlowly(const Buffer& buffer, Access access,
                                           absl::Time deadline) {
  absl::Status status = BeginAccess(buffer, access, 0, buffer.size(), deadline);
  if (!status.ok()) return status;
  if (buffer.size() == 0) return static_cast<std::byte*>(nullptr);
  const Storage& storage = *buffer.storage();
  if (storage.root().host == nullptr) {
    const std::string space = buffer.allocator().space().ToString();
    if (!buffer.allocator().traits().has_bytes) {
      return absl::UnimplementedError(
          absl::StrCat(Describe(buffer), " is in '", space,
                       "', which has sizes and no bytes: it is for planning; run with another "
                       "space"));
    }
    return absl::UnimplementedError(
        absl::StrCat(Describe(buffer), " is in '", space,
                     "', where the host can't reach it in place; copy with CopyIn and CopyOut, or "
                     "use Get and Set"));
  }
  return HostAddress(buffer);
}

}  // namespace internal
}  // namespace tenure
