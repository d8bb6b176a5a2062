#include "tenure/runtime/access.h"

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
  const uint64_t begin = buffer.offset() + offset_bytes;
  return buffer.storage()->WaitForUses(begin, begin + size_bytes, access, deadline);
}

absl::StatusOr<std::byte*> HostAccessSlowly(const Buffer& buffer, Access access,
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
  return static_cast<std::byte*>(storage.root().host) + storage.root_offset() + buffer.offset();
}

}  // namespace internal
}  // namespace tenure
