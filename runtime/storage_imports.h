// StorageImports: the allocations of other allocators that have the bytes of one storage too: memory
// of a card that two APIs use.
//
// Cost: one lock to find an allocation. Thread safety: thread-safe. An import is made with the lock
// held, so that threads that ask for the same one wait and get it.
// Ownership: owns the allocations; borrows their allocators.
// Errors: those of the import, which may be tried again.

#ifndef TENURE_RUNTIME_STORAGE_IMPORTS_H_
#define TENURE_RUNTIME_STORAGE_IMPORTS_H_

#include <list>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class StorageImports {
 public:
  // That of `allocator`, made by `import` if there is none yet. It stays where it is.
  absl::StatusOr<const Allocation*> Of(Allocator& allocator,
                                       absl::FunctionRef<absl::StatusOr<Allocation>()> import)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const Import& made : imports_) {
      if (made.allocator == &allocator) return &made.allocation;
    }
    // The entry comes first: what has been imported is then in the list without a further step.
    imports_.push_back({&allocator, Allocation()});
    absl::Cleanup forget = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { imports_.pop_back(); };
    absl::StatusOr<Allocation> allocation = import();
    if (!allocation.ok()) return allocation.status();
    imports_.back().allocation = *allocation;
    std::move(forget).Cancel();
    return &imports_.back().allocation;
  }

  // Frees all of them, once. They stay until the fences are reached. Allocates no memory.
  void Deallocate(absl::Span<const Fence> fences) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    for (const Import& made : imports_) made.allocator->Deallocate(made.allocation, fences);
    imports_.clear();
  }

 private:
  struct Import {
    Allocator* allocator = nullptr;
    Allocation allocation;
  };

  absl::Mutex mutex_;
  std::list<Import> imports_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_STORAGE_IMPORTS_H_
