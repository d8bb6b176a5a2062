// HostWorker: host work that has to wait for fences, done by one thread.
//
// Why: an asynchronous copy between host memories whose bytes a kernel still uses has nobody else
// to do it. While there is such work, one task of the library's pool (base/thread_pool.h) does it;
// copies that need not wait never get here.
//
// Work that has nothing to wait for gets a thread to itself, for as many at a time as there are
// CPUs. All other work is done in the order in which it becomes ready, and of what is ready, in the
// order in which it was given. So work whose fence is late holds up nobody else; work on the same
// bytes is kept in order by its fences (Buffer records every copy as a use).
//
//   given      a(after F)   b   c(after G)   d(after c)
//   F late         .        b       c            d         a    -> time
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(Fence done,
//                           HostWorker::Default().Submit({kernel}, absl::InfiniteFuture(),
//                                                        [=] { return CopyBytes(to, from); }));
//
// Cost: a lock and some allocations each; while something waits, the thread looks 1,000 times a
// second.
// Thread safety: thread-safe. Ownership: owns the work until it is done or given up, and destroys
// it before the fence is reached. A forked child has a worker of its own, and none of its parent's
// work.
// Errors: ResourceExhausted (no thread can be made). The fence gives the error of the work, of a
// fence that it was to follow (then it is not done), or DeadlineExceeded (nor then). Waiting for a
// fence of the worker inside of its work, or of what that destroys, is FailedPrecondition. So is,
// in a forked child, waiting for work that was given before the fork and not done by then.

#ifndef TENURE_ALLOCATOR_COPY_HOST_WORKER_H_
#define TENURE_ALLOCATOR_COPY_HOST_WORKER_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/base/per_process.h"

namespace tenure {

class HostWorker {
 public:
  HostWorker(const HostWorker&) = delete;
  HostWorker& operator=(const HostWorker&) = delete;

  // The process's own.
  static HostWorker& Default();

  // Does `work` once all of `after` are reached, unless that takes until `deadline` or one of them
  // ended with an error.
  absl::StatusOr<Fence> Submit(std::vector<Fence> after, absl::Time deadline,
                               std::function<absl::Status()> work) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  class JobEnd;
  struct Job {
    std::vector<Fence> after;
    absl::Time deadline;
    std::function<absl::Status()> work;
    std::shared_ptr<JobEnd> end;
  };

  friend class host::PerProcess<HostWorker>;

  HostWorker() = default;
  // Does what there is, and ends when nothing is left.
  void Serve() ABSL_LOCKS_EXCLUDED(mutex_);
  // Does the job, or gives it up, if it is time for one of them; false if it must wait.
  static bool TryJob(Job& job);
  // Does work that has nothing to wait for on a thread of its own; false: there is none for it.
  bool StartAlone(std::list<Job>& job);

  std::atomic<int> alone_{0};  // jobs with a thread of their own
  absl::Mutex mutex_;
  std::list<Job> given_ ABSL_GUARDED_BY(mutex_);  // not yet seen by the thread
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_COPY_HOST_WORKER_H_
