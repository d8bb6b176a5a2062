// CopyTable: how bytes get from one memory space to another.
//
// Why a table and not a method of the allocators: neither of two drivers' allocators knows how to
// exchange bytes with the other. A route does, and is registered here for a pair of drivers. All
// other copies take a default route, made of what each allocator can do alone:
//
//   within    one allocator               its CopyWithin, which may overlap
//   direct    host memory to host memory  by the host, on several threads when large
//   in, out   one side is host memory     the other allocator's CopyIn or CopyOut
//   staged    neither is                  out to host memory and in from there, piece by piece
//
// Spaces whose bytes must not be read in place (SpaceTraits::host_reads_may_fault: files, which may
// have shrunk) are read by their allocator (out), which returns an error then.
//
// Which table: each registry has one. A copy goes by the table that the destination's allocator is
// bound to (Allocator::copy_table), else by that of the source's allocator, else by Default().
//
// With CopyOptions::queue the allocator that has QueueCapability does the copy, also between host
// memories (pinned and other). Ways on which the host has a part keep no such order and are
// refused: staged ones, files, spaces of which neither has that capability.
//
// Decorators see every copy. A route starts at the allocators that the buffers have: each decorator
// of both stacks is asked to admit the copy (Allocator::AdmitTransfer). A registered route then
// gets the allocators at the end of the stacks, which have the memory, and regions in their terms.
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
// Cost: an acquire load and a comparison for each registered pair; staged copies hold 4 MiB of host
// memory.
// Thread safety: thread-safe. Ownership: shares the routes with the tables that were given them,
// and keeps replaced ones, because copies may be on their way through them. Allocators and regions
// are borrowed until the fence. Errors: Unimplemented (an allocator that can't copy that way, or
// not in a queue's order) and FailedPrecondition (a space without bytes), which name both sides and
// what would work, and whatever the allocators say.

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

// One side of a copy. Borrows both.
struct CopyEnd {
  Allocator* allocator = nullptr;
  SubRegion region;
};

// A driver's own way from its spaces to those of a driver, which may be the same.
class CopyRoute {
 public:
  virtual ~CopyRoute() = default;
  // Whether it can copy between these two. False leaves the copy to the default route (spaces of
  // the two drivers that it has nothing better for, say). Allocators and regions as for Copy.
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

  // The table of Registry::Default() and of allocators that no registry has; never destroyed.
  static CopyTable& Default();
  // The table that a copy between these two goes by.
  static const CopyTable& For(const CopyEnd& to, const CopyEnd& from);

  // Makes `route` the way from spaces of one driver to those of another (SpaceKind::driver); an
  // earlier one is replaced. Null: they take the default routes. Copies within one driver, and
  // within one allocator, go by the route from the driver to itself.
  void Register(std::string_view from_driver, std::string_view to_driver,
                std::shared_ptr<CopyRoute> route) ABSL_LOCKS_EXCLUDED(mutex_);
  // Adds the routes of `other` for pairs of drivers that nothing has been registered for here.
  void AddMissing(const CopyTable& other) ABSL_LOCKS_EXCLUDED(mutex_);

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

  const Pairs none_ = {};
  std::atomic<const Pairs*> pairs_{&none_};  // the newest version
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<const Pairs>> versions_
      ABSL_GUARDED_BY(mutex_);  // all: see Ownership
};

// "within", "direct", ...
std::string_view RouteName(CopyTable::RouteKind kind);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_COPY_TABLE_H_
