// Registry: memory space -> allocator, each made once and kept until it is dropped or the registry
// ends; and the routes by which these allocators copy to each other.
//
// Example:
//   Registry& all = Registry::Default();
//   TENURE_ASSIGN_OR_RETURN(Allocator* cpu, all.Get(MemorySpace::Cpu()));
//
//   auto small = std::make_unique<LimitingAllocator>(std::make_unique<CpuAllocator>(), 1 << 30);
//   TENURE_RETURN_IF_ERROR(my_registry.Register(std::move(small)).status());
//
// The default registry has the drivers that allocator/builtin/ names, and refuses the names of
// other spaces. It is never destroyed, so its allocators outlive every storage. A registry of one's
// own must outlive the storages made with it; its allocators say on stderr when it does not.
//
// Each registry has a copy table of its own, in which its drivers register their routes. Copies go
// by the table of the registry that the destination's allocator belongs to. The default registry's
// table is CopyTable::Default(). Registries share a table only where they are made with one.
//
// Files: if the file of a space (disk:/path) was replaced since it was mapped, Get maps the new
// one. Buffers of the old one keep its bytes. Each mapped file takes a descriptor of the process
// until its space is dropped.
//
// Cost: Get is a lock and a hash lookup, and asks the system about a file; keep the pointer.
// Thread safety: thread-safe; an allocator that several threads ask for at once is made once, and
// all of them wait for it. Ownership: owns the allocators; callers borrow them.
// Errors: Unimplemented (the registry has no driver for the space), Unavailable (its device or
// driver is absent), AlreadyExists (Register after the space has its allocator; AddDriver for a
// name that the registry has, or a space that another driver of the process declares), NotFound and
// FailedPrecondition (Drop), the error of making the allocator (the next Get tries again).

#ifndef TENURE_ALLOCATOR_REGISTRY_H_
#define TENURE_ALLOCATOR_REGISTRY_H_

#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/hash/hash.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/space_driver.h"
#include "tenure/allocator/space_kind.h"

namespace tenure {

class CopyTable;

class Registry {
 public:
  using Factory = AllocatorFactory;

  // A registry with the drivers that are built in.
  Registry();
  // A registry that knows nothing yet. Null: with a copy table of its own. A table that is given is
  // borrowed and must outlive the registry.
  static std::unique_ptr<Registry> MakeEmpty(CopyTable* shared = nullptr);
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The process's own.
  static Registry& Default();

  // Adds the driver's spaces, and its routes to this registry's table.
  absl::Status AddDriver(SpaceDriver driver) ABSL_LOCKS_EXCLUDED(mutex_);

  // The allocator of `space`, made now if there is none yet.
  absl::StatusOr<Allocator*> Get(const MemorySpace& space) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the allocators that Get has made of `space` or was given, also those of a file that was
  // replaced since; the next Get makes a new one. Nobody may use them any more: the caller sees to
  // it that there are no buffers and that no thread keeps a pointer. FailedPrecondition, and those
  // stay, if allocations of them are in use or wait for a fence. NotFound if there are none.
  absl::Status Drop(const MemorySpace& space) ABSL_LOCKS_EXCLUDED(mutex_);

  // A new allocator of `space`, which belongs to the caller. It copies by the registry's table, so
  // the registry must outlive it. For stacks of decorators, and for measurements.
  absl::StatusOr<std::unique_ptr<Allocator>> Make(const MemorySpace& space)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes `allocator` the one of its space(). Refused once the space has one.
  absl::StatusOr<Allocator*> Register(std::unique_ptr<Allocator> allocator)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How allocators of one kind of space are made from now on.
  void SetFactory(SpaceKind kind, Factory factory) ABSL_LOCKS_EXCLUDED(mutex_);

  // Every allocator made so far, in no particular order.
  std::vector<Allocator*> Allocators() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The kinds of space that Get can make allocators of, in the order of their drivers.
  std::vector<SpaceKind> Kinds() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The devices of a driver on this machine. NotFound if the registry has no such driver; the
  // driver's own error if it can't be used here.
  absl::StatusOr<std::vector<SpaceDevice>> Devices(std::string_view driver) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The routes between its allocators, for pairs that no driver has registered. Borrowed.
  CopyTable& copy_table() { return *copy_table_; }

 private:
  explicit Registry(CopyTable* shared);

  struct Entry {
    std::shared_ptr<Allocator> allocator;  // shared with calls that look at it without the lock
    bool by_factory = false;
    bool being_made = false;
  };

  // Makes copies to and from the allocator go by this registry's table.
  void Bind(Allocator& allocator);
  absl::Status NotBuilt(const MemorySpace& space) const ABSL_LOCKS_EXCLUDED(mutex_);

  const std::unique_ptr<CopyTable> own_copy_table_;  // null: shared with others
  CopyTable* const copy_table_;
  mutable absl::Mutex mutex_;
  absl::CondVar made_;  // some entry is no longer being made
  std::vector<SpaceDriver> drivers_ ABSL_GUARDED_BY(mutex_);
  std::vector<SpaceKind> kinds_ ABSL_GUARDED_BY(mutex_);  // that have a factory
  // Not absl's maps: those are broken if they find no memory to grow.
  std::unordered_map<SpaceKind, Factory, absl::Hash<SpaceKind>> factories_ ABSL_GUARDED_BY(mutex_);
  std::unordered_map<MemorySpace, Entry, absl::Hash<MemorySpace>> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Allocator>> replaced_ ABSL_GUARDED_BY(mutex_);  // of earlier files
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_REGISTRY_H_
