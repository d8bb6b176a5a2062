// UseList: who is still using which bytes of one allocation.
//
// Kept per root allocation and by byte range, because storages that a plan has placed share an
// arena: a host read of one of them must wait for the kernel that writes those bytes, whatever
// storage the kernel knew them by, and for nothing else.
//
// Cost: recording and asking are linear in the uses not reached yet; reached ones are dropped on
// the way. Thread safety: thread-safe. Nobody waits with the lock held.

#ifndef TENURE_RUNTIME_USE_LIST_H_
#define TENURE_RUNTIME_USE_LIST_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// What somebody does with bytes; kWrite allows reading too.
enum class Access : uint8_t { kRead, kWrite };

class UseList {
 public:
  // Bytes [begin, end) are in use until `fence`.
  void Record(uint64_t begin, uint64_t end, Access access, const Fence& fence)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The unreached fences that an `access` to [begin, end) has to wait for: all writers, and for a
  // write all readers too.
  std::vector<Fence> Conflicts(uint64_t begin, uint64_t end, Access access)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for these. A use that ended with an error gives that error, once: it is forgotten then.
  // The error of a timeline that failed stays.
  absl::Status Wait(uint64_t begin, uint64_t end, Access access, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Every unreached fence.
  std::vector<Fence> All() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Use {
    uint64_t begin;
    uint64_t end;
    Access access;
    Fence fence;
  };
  static bool Conflicting(const Use& use, uint64_t begin, uint64_t end, Access access) {
    return use.begin < end && begin < use.end &&
           (use.access == Access::kWrite || access == Access::kWrite);
  }
  void DropReached() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::vector<Use> uses_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_USE_LIST_H_
