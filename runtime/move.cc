#include "tenure/runtime/move.h"

#include "absl/strings/str_cat.h"
#include "tenure/allocator/capabilities.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/runtime/access.h"

namespace tenure {
namespace internal {

Move::Move(Event::Kind kind, const Buffer& buffer, uint64_t offset_bytes, uint64_t size_bytes)
    : kind_(kind),
      storage_(buffer.storage()),
      allocator_(&storage_->root_storage().allocator()),
      region_(RegionOf(buffer, offset_bytes, size_bytes)) {}

Move Move::In(const Buffer& to, uint64_t offset_bytes, const void* from, uint64_t size_bytes) {
  Move move(Event::Kind::kCopyIn, to, offset_bytes, size_bytes);
  move.host_from_ = from;
  return move;
}

Move Move::Out(const Buffer& from, uint64_t offset_bytes, void* to, uint64_t size_bytes) {
  Move move(Event::Kind::kCopyOut, from, offset_bytes, size_bytes);
  move.host_to_ = to;
  return move;
}

Move Move::Between(const Buffer& to, uint64_t offset_bytes, const Buffer& from,
                   uint64_t from_offset_bytes, uint64_t size_bytes) {
  Move move(Event::Kind::kCopy, to, offset_bytes, size_bytes);
  move.source_ = from.storage();
  move.source_allocator_ = &move.source_->root_storage().allocator();
  move.source_region_ = RegionOf(from, from_offset_bytes, size_bytes);
  return move;
}

Move Move::Filling(const Buffer& to, const FillPattern& pattern) {
  Move move(Event::Kind::kFill, to, 0, to.size());
  move.pattern_ = pattern;
  return move;
}

absl::Status Move::CheckQueue(const CopyOptions& options) const {
  if (options.queue == nullptr || allocator().Capability<QueueCapability>() != nullptr ||
      (source_ != nullptr && source_allocator().Capability<QueueCapability>() != nullptr)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a transfer of '", allocator().space().ToString(),
                   "' can't be put into a device's queue; leave TransferOptions::queue null"));
}

absl::StatusOr<Fence> Move::Start(const CopyOptions& options) const {
  if (absl::Status status = CheckQueue(options); !status.ok()) return status;
  switch (kind_) {
    case Event::Kind::kCopyIn:
      return allocator().CopyIn(region_, host_from_, options);
    case Event::Kind::kCopyOut:
      return allocator().CopyOut(host_to_, region_, options);
    case Event::Kind::kFill:
      return allocator().Fill(region_, pattern_, options);
    default: {
      const CopyEnd to{&allocator(), region_}, from{&source_allocator(), source_region_};
      return CopyTable::For(to, from).Copy(to, from, options);
    }
  }
}

bool Move::RunsOnHost() const {
  if (source_ == nullptr) {
    return allocator().traits().has_bytes && allocator().Capability<QueueCapability>() == nullptr;
  }
  const CopyEnd to{&allocator(), region_}, from{&source_allocator(), source_region_};
  return CopyTable::For(to, from).RunsOnHost(to, from);
}

bool Move::CanWaitFor(const Fence& fence, const Queue* queue) const {
  if (source_ != nullptr) {
    const CopyEnd to{&allocator(), region_}, from{&source_allocator(), source_region_};
    return CopyTable::For(to, from).CanWaitFor(to, from, fence, queue);
  }
  auto* queues = allocator().Capability<QueueCapability>();
  return queues != nullptr && queues->CanWaitFor(fence);
}

Event Move::MakeEvent(const absl::Status& outcome) const {
  Event event = MovedEvent(kind_, *storage_, region_, outcome);
  if (source_ != nullptr) {
    event.source_allocation = source_region_.allocation->id;
    event.source_storage = source_->id();
    event.source_offset_bytes = source_region_.offset_bytes;
  }
  return event;
}

void Move::NotifyMoved(const absl::Status& outcome) const {
  Notify([&] { return MakeEvent(outcome); });
}

Event MovedEvent(Event::Kind kind, const Storage& storage, const SubRegion& region,
                 const absl::Status& outcome) {
  return {.kind = kind,
          .status = outcome.code(),
          .space = storage.allocator().space(),
          .allocation = region.allocation->id,
          .storage = storage.id(),
          .size_bytes = region.size_bytes,
          .offset_bytes = region.offset_bytes,
          .name = storage.name()};
}

}  // namespace internal
}  // namespace tenure
