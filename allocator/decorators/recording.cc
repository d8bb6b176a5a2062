#include "tenure/allocator/decorators/recording.h"

#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace tenure {
namespace {

Event::Kind KindOf(TransferKind kind) {
  switch (kind) {
    case TransferKind::kIn:
      return Event::Kind::kCopyIn;
    case TransferKind::kOut:
      return Event::Kind::kCopyOut;
    case TransferKind::kWithin:
      return Event::Kind::kCopy;
    case TransferKind::kFill:
      return Event::Kind::kFill;
  }
  return Event::Kind::kFill;
}

}  // namespace

absl::StatusOr<Allocation> RecordingAllocator::Allocate(const AllocationRequest& request) {
  absl::StatusOr<Allocation> made = up().Allocate(request);
  // After an exception: nobody would give it back.
  absl::Cleanup give_back = [&] {
    if (made.ok()) up().Deallocate(*made);
  };
  log_.Add({.kind = Event::Kind::kAllocate,
            .status = made.status().code(),
            .space = space(),
            .allocation = made.ok() ? made->id : AllocationId(),
            .storage = request.storage,
            .size_bytes = request.size_bytes,
            .alignment_bytes = request.alignment_bytes,
            .zeroed = request.zeroed,
            .imported = request.imports(),
            .name = std::string(request.name)});
  std::move(give_back).Cancel();
  return made;
}

void RecordingAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  // First: once the upstream has the bytes back, others may get them.
  if (log_.Add({.kind = Event::Kind::kFree, .allocation = allocation.id})) {
    up().Deallocate(allocation, users);
    return;
  }
  log_.Report(absl::StrCat("allocation ", allocation.id.value(), " of ", allocation.size_bytes,
                           " bytes was given back to ", space().ToString(),
                           " twice, or is not of this allocator; nothing was done"));
}

void RecordingAllocator::LogTransfer(TransferKind kind, const SubRegion& region,
                                     const SubRegion* source, const absl::Status& status) {
  log_.Add({.kind = KindOf(kind),
            .status = status.code(),
            .space = space(),
            .allocation = region.allocation->id,
            .source_allocation = source != nullptr ? source->allocation->id : AllocationId(),
            .size_bytes = region.size_bytes,
            .offset_bytes = region.offset_bytes,
            .source_offset_bytes = source != nullptr ? source->offset_bytes : 0,
            .imported = region.allocation->imported});
}

absl::StatusOr<Fence> RecordingAllocator::CopyWithin(const SubRegion& to, const SubRegion& from,
                                                     const CopyOptions& options) {
  absl::StatusOr<Fence> fence = up().CopyWithin(to, from, options);
  LogTransfer(TransferKind::kWithin, to, &from, fence.status());
  return fence;
}

}  // namespace tenure
