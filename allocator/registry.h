// Registry: memory space -> allocator, each made once and kept for as long as
// the registry.
//
// Example:
//   Registry& all = Registry::Default();
//   TENURE_ASSIGN_OR_RETURN(Allocator* cpu, all.Get(MemorySpace::Cpu()));
//
//   auto small = std::make_unique<LimitingAllocator>(std::make_unique<CpuAllocator>(), 1 << 30);
//   TENURE_RETURN_IF_ERROR(my_registry.Register(std::move(small)).status());
//
// The default registry knows cpu, null, disk and CUDA's three spaces, and refuses the names of
// spaces that are not built. It is never destroyed, so its allocators outlive
// every storage. A registry of one's own must outlive the storages made with
// it; its allocators say on stderr when it does not.
//
// Cost: Get is a lock and a hash lookup; keep the pointer.
// Thread safety: thread-safe; an allocator that several threads ask for at once
// is made once, and all of them wait for it. Ownership: owns the allocators;
// callers borrow them. Errors: Unimplemented (a space that is not built),
// Unavailable (its device or driver is absent), AlreadyExists (Register after the
// space has its allocator), whatever making the allocator failed with (the next
// Get tries again).

#ifndef TENURE_ALLOCATOR_REGISTRY_H_
#define TENURE_ALLOCATOR_REGISTRY_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"

namespace tenure {

class Registry {
 public:
  using Factory =
      std::function<absl::StatusOr<std::unique_ptr<Allocator>>(const MemorySpace& space)>;

  // One with the factories of everything built into this library.
  Registry();
  // One that knows nothing yet.
  static std::unique_ptr<Registry> MakeEmpty();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // The process's own.
  static Registry& Default();

  // The allocator of `space`, made now if there is none yet.
  absl::StatusOr<Allocator*> Get(const MemorySpace& space) ABSL_LOCKS_EXCLUDED(mutex_);

  // Makes `allocator` the one of its space(). Refused once the space has one.
  absl::StatusOr<Allocator*> Register(std::unique_ptr<Allocator> allocator)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // How allocators of one kind of space are made from now on.
  void SetFactory(SpaceKind kind, Factory factory) ABSL_LOCKS_EXCLUDED(mutex_);

  // Every allocator made so far, in no particular order.
  std::vector<Allocator*> Allocators() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Empty {};
  explicit Registry(Empty) {}

  struct Entry {
    std::unique_ptr<Allocator> allocator;
    bool being_made = false;
  };

  mutable absl::Mutex mutex_;
  absl::CondVar made_;  // some entry is no longer being made
  absl::flat_hash_map<MemorySpace, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  Factory factories_[kSpaceKindCount] ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_REGISTRY_H_
