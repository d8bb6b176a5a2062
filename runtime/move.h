// Move: one movement of bytes, by the allocator or the route that can do it. Checks and waits come
// before it (access.h). Not for users of the library.
//
// Why a value: the same movement is either started at once, or kept until the uses in conflict are
// over (transfer.cc). It answers in one place which allocators take part.
//
//   Move move = Move::In(buffer, 0, data, size);
//   TENURE_ASSIGN_OR_RETURN(Fence done, move.Start(options));
//
// Thread safety: thread-compatible. Ownership: borrows everything, storages included.
// Errors: InvalidArgument (a device's queue for memory that no device copies), and those of
// allocators and routes.

#ifndef TENURE_RUNTIME_MOVE_H_
#define TENURE_RUNTIME_MOVE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/observer.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/base/ids.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace internal {

class Move {
 public:
  // Buffers must be allocated, and the ranges inside their windows and not empty.
  static Move In(const Buffer& to, uint64_t offset_bytes, const void* from, uint64_t size_bytes);
  static Move Out(const Buffer& from, uint64_t offset_bytes, void* to, uint64_t size_bytes);
  static Move Between(const Buffer& to, uint64_t offset_bytes, const Buffer& from,
                      uint64_t from_offset_bytes, uint64_t size_bytes);
  static Move Filling(const Buffer& to, const FillPattern& pattern);

  // Tells no observer: whoever calls it knows when the caller could go on (NotifyMoved).
  absl::StatusOr<Fence> Start(const CopyOptions& options) const;
  // Tells the observers of a move that was tried. To be called when the caller could go on, since
  // an observer may wait for the move.
  void NotifyMoved(const absl::Status& outcome) const;
  // The storage that it writes to; null if that is host memory.
  Storage* written() const { return kind_ == Event::Kind::kCopyOut ? nullptr : storage_; }
  // Whether it is the host's threads that move the bytes, within Start: that then takes as long as
  // the move.
  bool RunsOnHost() const;
  uint64_t size_bytes() const { return region_.size_bytes; }
  // Returns whether it can be started while this fence is not reached, and still run after it.
  bool CanWaitFor(const Fence& fence, const Queue* queue) const;

 private:
  Move(Event::Kind kind, const Buffer& buffer, uint64_t offset_bytes, uint64_t size_bytes);

  Allocator& allocator() const { return *allocator_; }
  Allocator& source_allocator() const { return *source_allocator_; }
  absl::Status CheckQueue(const CopyOptions& options) const;
  Event MakeEvent(const absl::Status& outcome) const;

  Event::Kind kind_;
  Storage* storage_;  // of the bytes that are written; of Out, of those that are read
  // Of the root, found when the move is made: a plan may be taken back before it runs.
  Allocator* allocator_;
  SubRegion region_;
  const void* host_from_ = nullptr;
  void* host_to_ = nullptr;
  Storage* source_ = nullptr;
  Allocator* source_allocator_ = nullptr;
  SubRegion source_region_;
  FillPattern pattern_;
};

// What observers hear of a move of these bytes of `storage`.
Event MovedEvent(Event::Kind kind, const Storage& storage, const SubRegion& region,
                 const absl::Status& outcome);

}  // namespace internal
}  // namespace tenure

#endif  // TENURE_RUNTIME_MOVE_H_
