// CopyTable: how bytes get from one memory space to another; a place for every pair of spaces.
//
// Why a table and not a method of the allocators: how two drivers exchange bytes is known by
// neither allocator, but by who knows both. Such pairs register here; all others take a default
// route made of what each allocator can do alone:
//
//   within    one allocator               its CopyWithin, which may overlap
//   direct    host memory to host memory  by the host, on several threads when large
//   in, out   one side is host memory     the other allocator's CopyIn or CopyOut
//   staged    neither is                  out to host memory and in from there, piece by piece
//
// Files are read by their allocator (out), which notices when they have shrunk, and not by way of
// the mapping.
//
// With CopyOptions::queue the allocator that has QueueCapability does the copy, also between
// host memories (pinned and other). Ways on which the host has a part keep no such order and are
// refused: staged ones, files, spaces of which neither has that capability.
//
// Decorators see every copy. A route starts at the allocators that the buffers have: each decorator
// of both stacks is asked to admit the copy (Allocator::AdmitTransfer). A registered route then
// gets the allocators at the end of the stacks, which have the memory, and regions in their terms.
//
// Example, of a driver that copies between two of its own spaces:
//   class PeerRoute : public CopyRoute { ... };
//   CopyTable::Default().Register(SpaceKind::kCuda, SpaceKind::kCudaUnified,
//                                 std::make_unique<PeerRoute>());
//
// Cost: an acquire load and some comparisons a copy; staged copies hold 4 MiB of host memory.
// Thread safety: thread-safe. Ownership: owns the routes, and keeps replaced ones, because copies
// may be on their way through them. Allocators and regions are borrowed until the fence.
// Errors: Unimplemented (an allocator that can't copy that way, or not in a queue's order) and
// FailedPrecondition (a space without bytes), which name both sides and what would work, and
// whatever the allocators say.

#ifndef TENURE_ALLOCATOR_COPY_COPY_TABLE_H_
#define TENURE_ALLOCATOR_COPY_COPY_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// One side of a copy. Borrows both.
struct CopyEnd {
  Allocator* allocator = nullptr;
  SubRegion region;
};

// A driver's own way from one kind of space to another.
class CopyRoute {
 public:
  virtual ~CopyRoute() = default;
  // Whether it can copy between these two. False leaves the copy to the default route (two devices
  // that can't reach each other, say).
  virtual bool Supports(const CopyEnd& /*to*/, const CopyEnd& /*from*/) const { return true; }
  // Allocators are those at the end of their stacks. Regions are of equal size, not empty and
  // inside their allocations. Unimplemented leaves this copy to the default route.
  virtual absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                                     const CopyOptions& options) = 0;
  // Whether CopyOptions::after may hold this fence.
  virtual bool CanWaitFor(const Fence&) const { return false; }
};

class CopyTable {
 public:
  enum class RouteKind : uint8_t { kRegistered, kWithin, kDirect, kIn, kOut, kStaged };

  CopyTable() = default;
  CopyTable(const CopyTable&) = delete;
  CopyTable& operator=(const CopyTable&) = delete;

  // The process's own, used by Buffer; never destroyed.
  static CopyTable& Default();

  // Makes `route` the way from spaces of one kind to those of another; an earlier one is replaced.
  // Copies within one allocator go by it too.
  void Register(SpaceKind from, SpaceKind to, std::unique_ptr<CopyRoute> route)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The way that Copy takes between these two, as far as it can be told before trying.
  absl::StatusOr<RouteKind> RouteBetween(const CopyEnd& to, const CopyEnd& from) const;

  // Whether the way between these two can put a copy, in that queue's order if it is not null,
  // behind this fence (QueueCapability).
  bool CanWaitFor(const CopyEnd& to, const CopyEnd& from, const Fence& fence,
                  const Queue* queue = nullptr) const;

  // Copies; what is still under way is guarded by the fence. Sizes must be equal and within the
  // allocations (checked by the caller: Buffer), and `to` writable.
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) const;

 private:
  absl::StatusOr<RouteKind> DefaultRoute(const CopyEnd& to, const CopyEnd& from) const;

  std::atomic<CopyRoute*> routes_[kSpaceKindCount][kSpaceKindCount] = {};  // [from][to]
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<CopyRoute>> owned_ ABSL_GUARDED_BY(mutex_);
};

// "within", "direct", ...
std::string_view RouteName(CopyTable::RouteKind kind);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_COPY_TABLE_H_
