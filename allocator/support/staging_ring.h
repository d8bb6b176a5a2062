// StagingRing: ordinary host memory to and from a device that can't reach it, through memory that
// both can reach, on several threads. It knows no driver: what a driver can do is a StagingLane
// (staging_lane.h), of which each thread has one.
//
// Why: a device reads and writes memory of its own kind only (page-locked, say). A driver that
// copies other memory goes by way of a buffer of its own, on one thread, at a third or less of what
// the bus does. Here each thread has a lane with two slots: while one slot is on the bus the other
// is filled. Pieces are claimed one at a time, so that no thread waits for a slower one.
//
//   thread 1   fill A | fill B | fill A ...        the bus is busy all the time
//   lane 1            | send A | send B | ...
//
// The bytes come from a function, so that files are read straight into the slots.
//
// A copy that has to follow unreached fences takes no thread before they are reached: one thread
// with nothing else to do asks for them, so that a late kernel holds up what follows it and nothing
// else. A thread that can't have a lane (there is no page-locked memory left, say) leaves the work
// to those that have one, and tries again at the next copy.
//
// Cost: waking the threads takes some tens of microseconds; what follows a fence begins up to
// 0.3 ms after it. The threads are tasks of the library's pool (base/thread_pool.h), from the first
// copy that needs them until the ring's end; they sleep in between, and each keeps its lane.
// Thread safety: thread-safe; what several callers ask for is done in turn, as it becomes ready.
// Ownership: owns the lanes; memory of the caller's is borrowed until the fence. The destructor
// waits until nothing is under way.
// Errors: ResourceExhausted (no thread); the fence gives those of the lanes and of the reader.

#ifndef TENURE_ALLOCATOR_SUPPORT_STAGING_RING_H_
#define TENURE_ALLOCATOR_SUPPORT_STAGING_RING_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/support/staging_lane.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class StagingRing {
 public:
  // More threads bring nothing: the bus is the limit.
  static constexpr int kMostThreads = 12;

  struct Options {
    // Makes the lane of a thread, on that thread.
    std::function<absl::StatusOr<std::unique_ptr<StagingLane>>()> make_lane;
    // The message of the error if no thread can be made.
    std::string no_thread = "no thread can be made to copy; end some threads";
    // How many threads a large copy uses, at most one for each CPU. More do not make the bus faster.
    int usual_threads = 8;
  };

  // Brings bytes [offset, offset + size) of what is copied to `to`. Called from several threads.
  using Reader = std::function<absl::Status(uint64_t offset, void* to, uint64_t size)>;

  explicit StagingRing(Options options) : options_(std::move(options)) {}
  ~StagingRing();

  // On at most `max_threads` threads; 0: as many as pay off. They begin when `after` are over.
  absl::StatusOr<Fence> ToDevice(DevicePlace to, uint64_t size_bytes, Reader read,
                                 std::vector<Fence> after, int max_threads);
  absl::StatusOr<Fence> ToHost(void* to, DevicePlace from, uint64_t size_bytes,
                               std::vector<Fence> after, int max_threads);
  // Waits for all copies.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Job;

  absl::StatusOr<Fence> Submit(std::shared_ptr<Job> job, int max_threads)
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool StartWorker() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Serve() ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for the next job that has nothing to wait for, and takes it. Makes the lane if there is
  // none. `able` says whether this worker can do the job, or why no worker can. Null: the ring is
  // closing, and nothing is left.
  std::shared_ptr<Job> Next(std::unique_ptr<StagingLane>& lane, absl::Status* able)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Puts those of these jobs into the queue whose fences are over.
  void Release(const std::vector<std::shared_ptr<Job>>& waiting) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of a worker without a lane: true if others may have one; then there is a new job, or the end.
  bool LeaveToOthers() ABSL_LOCKS_EXCLUDED(mutex_);
  // Says that one worker has done its part of the job.
  void EndPart(Job& job, absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  int unfinished_ ABSL_GUARDED_BY(mutex_) = 0;                         // jobs
  std::deque<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);      // that want more threads
  std::vector<std::shared_ptr<Job>> waiting_ ABSL_GUARDED_BY(mutex_);  // for their fences
  bool watched_ ABSL_GUARDED_BY(mutex_) = false;  // a worker sleeps until it looks at those
  uint64_t submitted_ ABSL_GUARDED_BY(mutex_) = 0;
  int workers_ ABSL_GUARDED_BY(mutex_) = 0;  // tasks of the pool that are not over
  int serving_ ABSL_GUARDED_BY(mutex_) = 0;  // workers that may take a job
  int unable_ ABSL_GUARDED_BY(mutex_) = 0;   // those of them in LeaveToOthers
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_STAGING_RING_H_
