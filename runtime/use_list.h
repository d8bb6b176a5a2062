// UseList: the uses of one allocation: which bytes are in use, and until when.
//
// It is kept per root allocation and by byte range, because storages that a plan has placed share
// an arena. A host read of one of them must wait for the kernel that writes those bytes, under
// whatever storage, and for nothing else.
//
// Cost: recording and asking are linear in the uses not reached yet; reached ones are dropped on
// the way. Thread safety: thread-safe. No thread waits for a fence with the lock held.

#ifndef TENURE_RUNTIME_USE_LIST_H_
#define TENURE_RUNTIME_USE_LIST_H_

#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// How bytes are used. kWrite allows reading too.
enum class Access : uint8_t { kRead, kWrite };

class UseList {
 public:
  // Bytes [begin, end) of the allocation, and what is done with them.
  struct Range {
    uint64_t begin;
    uint64_t end;
    Access access;
  };

  // All of these are in use until `fence`.
  void Record(absl::Span<const Range> ranges, const Fence& fence) ABSL_LOCKS_EXCLUDED(mutex_);

  // The unreached fences that an `access` to [begin, end) has to wait for: all writers, and for a
  // write all readers too.
  std::vector<Fence> Conflicts(uint64_t begin, uint64_t end, Access access)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The same. If one of the uses has ended with an error that nobody has been told, gives
  // that error instead, and drops the use.
  absl::StatusOr<std::vector<Fence>> Pending(uint64_t begin, uint64_t end, Access access)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits for these. A use that ended with an error gives that error, once, and is dropped. It
  // gives none if a wait for its fence has told the error already. The error of a timeline that
  // failed stays.
  absl::Status Wait(uint64_t begin, uint64_t end, Access access, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Every unreached fence, at the end of the allocation: the list is then empty. Allocates no
  // memory, because a handle that is dropped must not fail.
  std::vector<Fence> Finish() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Use {
    Range range;
    Fence fence;
  };
  static bool Conflicting(const Range& use, uint64_t begin, uint64_t end, Access access) {
    return begin < end && use.begin < end && begin < use.end &&
           (use.access == Access::kWrite || access == Access::kWrite);
  }
  // Drops the uses that are over, except those with an error to report.
  void DropReached() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(const Fence& fence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::vector<Use> uses_ ABSL_GUARDED_BY(mutex_);
  std::vector<Fence> room_ ABSL_GUARDED_BY(mutex_);  // empty, and large enough for Finish
};

}  // namespace tenure

#endif  // TENURE_RUNTIME_USE_LIST_H_
