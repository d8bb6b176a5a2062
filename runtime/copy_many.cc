#include "tenure/runtime/copy_many.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/observer.h"
#include "tenure/base/annotate.h"
#include "tenure/runtime/access.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/move.h"

namespace tenure {
namespace {

absl::Status OfPart(const absl::Status& status, size_t number) {
  return Annotate(status, absl::StrCat("part ", number));
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

// The bytes of the part, once the access may begin; an empty region for an empty part.
template <typename Part>
absl::StatusOr<SubRegion> Prepare(const Part& part, Access access, absl::Time deadline) {
  const Buffer& buffer = BufferOf(part);
  if (buffer.is_null() || part.size_bytes != buffer.size()) {
    return internal::WrongSizeError(buffer, part.size_bytes, "a view");
  }
  absl::Status status = internal::CheckHostMemory(HostOf(part), part.size_bytes);
  if (!status.ok()) return status;
  if (part.size_bytes == 0) return SubRegion();
  status = internal::BeginAccess(buffer, access, 0, buffer.size(), deadline);
  if (!status.ok()) return status;
  return internal::RegionOf(buffer, 0, buffer.size());
}

template <typename Part, typename Batched, typename Batch, typename Single>
absl::Status CopyMany(absl::Span<const Part> parts, Access access, const TransferOptions& options,
                      const Batch& batch, const Single& single) {
  if (options.queue != nullptr) {
    return absl::UnimplementedError(
        "a batch can't be put into a device's queue; queue its parts one by one");
  }
  const absl::Time deadline = internal::DeadlineAfter(options.timeout);
  const Event::Kind kind = access == Access::kWrite ? Event::Kind::kCopyIn : Event::Kind::kCopyOut;
  for (size_t next = 0; next < parts.size();) {
    const Buffer& first = BufferOf(parts[next]);
    Allocator* allocator = first.is_null() ? nullptr : &first.storage()->root_storage().allocator();
    auto* capability = allocator == nullptr ? nullptr : allocator->Capability<BatchCapability>();
    if (capability == nullptr) {
      // The timeout is for all parts together.
      TransferOptions rest = options;
      if (deadline != absl::InfiniteFuture()) {
        rest.timeout = std::max(absl::ZeroDuration(), deadline - absl::Now());
      }
      absl::Status status = OfPart(single(parts[next], rest), next);
      if (!status.ok()) return status;
      ++next;
      continue;
    }
    std::vector<Batched> together;
    std::vector<WritableHold> unsealed;
    const size_t begin = next;
    for (; next < parts.size(); ++next) {
      const Buffer& buffer = BufferOf(parts[next]);
      if (buffer.is_null() || &buffer.storage()->root_storage().allocator() != allocator) break;
      absl::StatusOr<SubRegion> region = Prepare(parts[next], access, deadline);
      if (!region.ok()) return OfPart(region.status(), next);
      if (access == Access::kWrite) {
        absl::StatusOr<WritableHold> hold = WritableHold::Of(buffer.storage());
        if (!hold.ok()) return OfPart(hold.status(), next);
        unsealed.push_back(*std::move(hold));
      }
      if (region->size_bytes > 0) together.push_back(InRegion(parts[next], *region));
    }
    absl::Status status = batch(*capability, together);
    unsealed.clear();
    for (size_t i = begin; i < next; ++i) {
      if (parts[i].size_bytes == 0) continue;
      const Buffer& buffer = BufferOf(parts[i]);
      const SubRegion region = internal::RegionOf(buffer, 0, buffer.size());
      Notify([&] { return internal::MovedEvent(kind, *buffer.storage(), region, status); });
    }
    if (!status.ok()) return OfPart(status, begin);
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
      [](const CopyInPart& part, const TransferOptions& rest) {
        return part.to.CopyIn(part.from, part.size_bytes, rest);
      });
}

absl::Status CopyOutMany(absl::Span<const CopyOutPart> parts, const TransferOptions& options) {
  return CopyMany<CopyOutPart, BatchCapability::Out>(
      parts, Access::kRead, options,
      [](BatchCapability& capability, const std::vector<BatchCapability::Out>& together) {
        return capability.CopyOutMany(together);
      },
      [](const CopyOutPart& part, const TransferOptions& rest) {
        return part.from.CopyOut(part.to, part.size_bytes, rest);
      });
}

}  // namespace tenure
