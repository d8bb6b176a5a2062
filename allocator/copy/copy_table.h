// CopyTable: how bytes get from one memory space to another.
//
// Why a table and not a method of the allocators: the allocators of two drivers do not know how to
// exchange bytes with each other. A route does, and is registered here for a pair of drivers. All
// other copies take a default route, which combines what each allocator can do alone:
//
//   within    one allocator               its CopyWithin, which may overlap
//   direct    host memory to host memory  by the host, on several threads when large
//   in, out   one side is host memory     the other allocator's CopyIn or CopyOut
//   staged    neither is                  out to host memory and in from there, piece by piece
//
// Some spaces must not be read in place, because a mapped file may have shrunk
// (SpaceTraits::host_reads_may_fault). Their allocator reads them (out), and returns an error in
// that case.
//
// Which table: each registry has one. A copy uses the table that the destination's allocator is
// bound to (Allocator::copy_table). Without one it uses the table of the source's allocator, and
// then Default().
//
// With CopyOptions::queue, the allocator that has QueueCapability does the copy, even between host
// memories (such as pinned and ordinary memory). Routes in which the host takes part cannot keep a
// queue's order and are refused: staged copies, files, and pairs in which neither space has that
// capability.
//
// Decorators see every copy. A route starts at the allocators of the buffers: each decorator of
// both stacks is asked to admit the copy (Allocator::AdmitTransfer). A registered route then gets
// the allocators at the bottom of the stacks, which own the memory, and regions of their
// allocations.
//
// Example, of a driver that copies host memory into its spaces:
//   class HostToToy final : public CopyRoute {
//     absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
//                                const CopyOptions& options) override {
//       return CopyToToy(to.region, from.region.host(), options);
//     }
//   };
//   table.Register("host", "toy", std::make_shared<HostToToy>());
//
// Cost: an acquire load, and a comparison for each registered pair. Staged copies use 4 MiB of host
// memory.
// Thread safety: thread-safe. Ownership: shares its routes with the tables that they were copied
// to. It also keeps replaced routes, because copies may still be using them. Allocators and regions
// are borrowed until the fence is reached. Errors: Unimplemented (an allocator cannot copy that
// way, or not in a queue's order) and FailedPrecondition (a space without bytes), which name both
// sides and an alternative; and the errors of the allocators.

#ifndef TENURE_ALLOCATOR_COPY_COPY_TABLE_H_
#define TENURE_ALLOCATOR_COPY_COPY_TABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// One side of a copy. Borrows the allocator and the region's allocation.
struct CopyEnd {
  Allocator* allocator = nullptr;
  SubRegion region;
};

// A driver's own way to copy from its spaces to those of another driver, or within its own spaces.
class CopyRoute {
 public:
  virtual ~CopyRoute() = default;
  // Whether the route can copy between these two. False leaves the copy to the default route, for
  // example because the route would be no better. Allocators and regions are as for Copy.
  virtual bool Supports(const CopyEnd& /*to*/, const CopyEnd& /*from*/) const { return true; }
  // The allocators are at the bottom of their stacks. The regions have the same size, are not empty
  // and lie inside their allocations. Unimplemented leaves this copy to the default route.
  virtual absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                                     const CopyOptions& options) = 0;
  // Whether CopyOptions::after of a copy between these two may contain this fence.
  virtual bool CanWaitFor(const CopyEnd& /*to*/, const CopyEnd& /*from*/, const Fence&) const {
    return false;
  }
};

class CopyTable {
 public:
  enum class RouteKind : uint8_t { kRegistered, kWithin, kDirect, kIn, kOut, kStaged };

  CopyTable() = default;
  CopyTable(const CopyTable&) = delete;
  CopyTable& operator=(const CopyTable&) = delete;

  // The table of Registry::Default() and of allocators that belong to no registry. It is never
  // destroyed.
  static CopyTable& Default();
  // The table that a copy between these two uses.
  static const CopyTable& For(const CopyEnd& to, const CopyEnd& from);

  // Registers `route` for copies from spaces of one driver to spaces of another
  // (SpaceKind::driver), and replaces an earlier route. Null removes the route; the pair then takes
  // the default routes. Copies within one driver, and within one allocator, use the route from the
  // driver to itself.
  void Register(std::string_view from_driver, std::string_view to_driver,
                std::shared_ptr<CopyRoute> route) ABSL_LOCKS_EXCLUDED(mutex_);
  // Adds the routes of `other` for those pairs of drivers that have no route here.
  void AddMissing(const CopyTable& other) ABSL_LOCKS_EXCLUDED(mutex_);

  // The kind of route that Copy would take between these two, as far as this is known before
  // trying.
  absl::StatusOr<RouteKind> RouteBetween(const CopyEnd& to, const CopyEnd& from) const;

  // Whether a copy between these two can wait for this fence on the device (QueueCapability). With
  // `queue`: in that queue's order.
  bool CanWaitFor(const CopyEnd& to, const CopyEnd& from, const Fence& fence,
                  const Queue* queue = nullptr) const;

  // Whether a copy between these two, in no queue's order, is done by the host's threads within
  // Copy: the call then lasts as long as the copy.
  bool RunsOnHost(const CopyEnd& to, const CopyEnd& from) const;

  // Copies. The fence is reached when the copy is done. The caller (Buffer) has checked that both
  // sizes are equal and within the allocations, and that `to` is writable.
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) const;

 private:
  struct Pair {
    std::string from, to;  // drivers
    std::shared_ptr<CopyRoute> route;
  };
  using Pairs = std::vector<Pair>;

  static Pair* FindPair(Pairs& pairs, std::string_view from, std::string_view to);
  void Publish(Pairs pairs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The registered route that covers these two, or null.
  CopyRoute* Find(const CopyEnd& to, const CopyEnd& from) const;
  absl::StatusOr<RouteKind> DefaultRoute(const CopyEnd& to, const CopyEnd& from) const;
  absl::StatusOr<Fence> CopyByDefault(const CopyEnd& to, const CopyEnd& from,
                                      const CopyOptions& options) const;

  const Pairs none_ = {};
  std::atomic<const Pairs*> pairs_{&none_};  // the newest version
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<const Pairs>> versions_
      ABSL_GUARDED_BY(mutex_);  // replaced routes too
};

// "within", "direct", ...
std::string_view RouteName(CopyTable::RouteKind kind);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_COPY_TABLE_H_
