#include "tenure/runtime/copy_many.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/observer.h"

namespace tenure {
namespace {

absl::Status OfPart(const absl::Status& status, size_t number) {
  return status.ok()
             ? status
             : absl::Status(status.code(), absl::StrCat("part ", number, ": ", status.message()));
}

void NotifyMoved(Event::Kind kind, const Buffer& buffer) {
  if (!Observed()) return;
  const Storage& storage = *buffer.storage();
  Notify({.kind = kind,
          .space = &storage.allocator().space(),
          .name = storage.name(),
          .storage = storage.id(),
          .source = {},
          .allocation = storage.root().id,
          .offset_bytes = storage.root_offset() + buffer.offset(),
          .size_bytes = buffer.size()});
}

const Buffer& BufferOf(const CopyInPart& part) { return part.to; }
const Buffer& BufferOf(const CopyOutPart& part) { return part.from; }

BatchCapability::In InRegion(const CopyInPart& part, const SubRegion& region) {
  return {region, part.from};
}
BatchCapability::Out InRegion(const CopyOutPart& part, const SubRegion& region) {
  return {part.to, region};
}

const void* HostOf(const CopyInPart& part) { return part.from; }
const void* HostOf(const CopyOutPart& part) { return part.to; }

// The bytes of the part, once they may be used in this way; an empty region for an empty part.
template <typename Part>
absl::StatusOr<SubRegion> Prepare(const Part& part, Access access, absl::Time deadline) {
  const Buffer& buffer = BufferOf(part);
  if (buffer.is_null()) return absl::FailedPreconditionError("a null buffer has no bytes to copy");
  if (part.size_bytes != buffer.size()) {
    return absl::InvalidArgumentError(absl::StrCat(part.size_bytes, " bytes for a buffer of ",
                                                   buffer.size(), "; copy all of it, or a view"));
  }
  if (HostOf(part) == nullptr && part.size_bytes > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("null host memory for a copy of ", part.size_bytes, " bytes"));
  }
  if (part.size_bytes == 0) return SubRegion();
  // Allocates, and refuses what is sealed or read-only.
  const absl::Status status = access == Access::kWrite ? buffer.MutableDeviceAddress().status()
                                                       : buffer.DeviceAddress().status();
  if (!status.ok()) return status;
  Storage& storage = *buffer.storage();
  absl::Status waited =
      storage.WaitForUses(buffer.offset(), buffer.offset() + buffer.size(), access, deadline);
  if (!waited.ok()) return waited;
  return SubRegion{&storage.root(), storage.root_offset() + buffer.offset(), buffer.size()};
}

template <typename Part, typename Batched, typename Batch, typename Single>
absl::Status CopyMany(absl::Span<const Part> parts, Access access, const TransferOptions& options,
                      const Batch& batch, const Single& single) {
  if (options.queue != nullptr) {
    return absl::UnimplementedError(
        "a batch can't be put into a device's queue; queue its parts one by one");
  }
  const absl::Time deadline = options.timeout == absl::InfiniteDuration()
                                  ? absl::InfiniteFuture()
                                  : absl::Now() + options.timeout;
  for (size_t next = 0; next < parts.size();) {
    const Buffer& first = BufferOf(parts[next]);
    Allocator* allocator = first.is_null() ? nullptr : &first.storage()->root_storage().allocator();
    auto* capability = allocator == nullptr ? nullptr : allocator->Capability<BatchCapability>();
    if (capability == nullptr) {
      absl::Status status = OfPart(single(parts[next]), next);
      if (!status.ok()) return status;
      ++next;
      continue;
    }
    std::vector<Batched> together;
    const size_t begin = next;
    for (; next < parts.size(); ++next) {
      const Buffer& buffer = BufferOf(parts[next]);
      if (buffer.is_null() || &buffer.storage()->root_storage().allocator() != allocator) break;
      absl::StatusOr<SubRegion> region = Prepare(parts[next], access, deadline);
      if (!region.ok()) return OfPart(region.status(), next);
      if (region->size_bytes > 0) together.push_back(InRegion(parts[next], *region));
    }
    absl::Status status = batch(*capability, together);
    if (!status.ok()) return OfPart(status, begin);
    for (size_t i = begin; i < next; ++i) {
      if (parts[i].size_bytes == 0) continue;
      NotifyMoved(access == Access::kWrite ? Event::Kind::kCopyIn : Event::Kind::kCopyOut,
                  BufferOf(parts[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CopyInMany(absl::Span<const CopyInPart> parts, const TransferOptions& options) {
  return CopyMany<CopyInPart, BatchCapability::In>(
      parts, Access::kWrite, options,
      [](BatchCapability& capability, const std::vector<BatchCapability::In>& together) {
        return capability.CopyInMany(together);
      },
      [&](const CopyInPart& part) { return part.to.CopyIn(part.from, part.size_bytes, options); });
}

absl::Status CopyOutMany(absl::Span<const CopyOutPart> parts, const TransferOptions& options) {
  return CopyMany<CopyOutPart, BatchCapability::Out>(
      parts, Access::kRead, options,
      [](BatchCapability& capability, const std::vector<BatchCapability::Out>& together) {
        return capability.CopyOutMany(together);
      },
      [&](const CopyOutPart& part) {
        return part.from.CopyOut(part.to, part.size_bytes, options);
      });
}

}  // namespace tenure
