// StagingRing: ordinary host memory to and from a device, through page-locked memory, on several
// threads.
//
// Why: a device reads and writes page-locked memory only; for other memory the driver copies by way
// of a buffer of its own, on one thread, at a third or less of what the bus does. Here each thread
// has two slots and a stream: while one slot is on the bus the other is filled, and pieces are
// claimed one at a time, so that no thread waits for a slower one.
//
//   thread 1   fill A | fill B | fill A ...        the bus is busy all the time
//   stream 1          | send A | send B | ...
//
// Where the bytes come from is a function, so that files are read straight into the slots.
//
// A copy that has to follow unreached fences takes no thread before they are reached: one thread
// with nothing else to do asks for them, so that a late kernel holds up what follows it and nothing
// else. A thread that gets no page-locked memory leaves the work to those that have some, and tries
// again at the next copy.
//
// Cost: waking the threads takes some tens of microseconds (copy_engine.h says from which size on
// that pays); what follows a fence begins up to 0.3 ms after it. GB/s with 1, 2, 4 and 8 threads on
// an H200: docs/cuda.md. The threads are made when first needed, and sleep in between; each holds
// 4 MiB of page-locked memory.
// Thread safety: thread-safe; what several callers ask for is done in turn, as it becomes ready.
// Ownership: shares the
// device; memory of the caller's is borrowed until the fence. Destroyed when nothing is under way:
// it waits. Errors: ResourceExhausted (no thread, no page-locked memory); the fence gives the
// driver's and the reader's.

#ifndef TENURE_ALLOCATOR_CUDA_STAGING_H_
#define TENURE_ALLOCATOR_CUDA_STAGING_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::cuda {

class StagingRing {
 public:
  static constexpr uint64_t kSlotBytes = uint64_t{2} << 20;
  // Threads beyond this bring nothing: the bus is the limit.
  static constexpr int kMostThreads = 12;

  // Brings bytes [offset, offset + size) of what is copied to `to`. Called from several threads.
  using Reader = std::function<absl::Status(uint64_t offset, void* to, uint64_t size)>;

  explicit StagingRing(std::shared_ptr<Device> device);
  ~StagingRing();

  // On at most `max_threads` threads, 0: as many as pay off. `after`: device fences.
  absl::StatusOr<Fence> ToDevice(CUdeviceptr to, uint64_t size_bytes, Reader read,
                                 std::vector<Fence> after, int max_threads);
  absl::StatusOr<Fence> ToHost(void* to, CUdeviceptr from, uint64_t size_bytes,
                               std::vector<Fence> after, int max_threads);
  // Waits for all of them.
  void Drain() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Job;
  struct Worker;

  absl::StatusOr<Fence> Submit(std::shared_ptr<Job> job, int max_threads)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Serve(Worker& worker) ABSL_LOCKS_EXCLUDED(mutex_);
  // The next job that has nothing to wait for, and in `able` whether this worker can do it or only
  // say why nobody can. Null: closing, and nothing is left.
  std::shared_ptr<Job> Next(Worker& worker, absl::Status* able) ABSL_LOCKS_EXCLUDED(mutex_);
  // Lets those of these jobs go ahead whose fences are reached or never will be.
  void LetGo(const std::vector<std::shared_ptr<Job>>& waiting) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of a worker that can't be prepared: true if others may; then there is a new job, or the end.
  bool LeaveToOthers() ABSL_LOCKS_EXCLUDED(mutex_);
  // A prepared worker's part of the job: pieces until none are left.
  absl::Status Work(Worker& worker, Job& job);
  absl::Status WorkIn(Worker& worker, Job& job);
  absl::Status WorkOut(Worker& worker, Job& job);
  absl::Status Prepare(Worker& worker);

  const std::shared_ptr<Device> device_;
  absl::Mutex mutex_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  int unfinished_ ABSL_GUARDED_BY(mutex_) = 0;                         // jobs
  std::deque<std::shared_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);      // that want more threads
  std::vector<std::shared_ptr<Job>> waiting_ ABSL_GUARDED_BY(mutex_);  // for their fences
  bool watched_ ABSL_GUARDED_BY(mutex_) = false;  // a worker sleeps until it looks at those
  uint64_t submitted_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Worker>> workers_ ABSL_GUARDED_BY(mutex_);
  int serving_ ABSL_GUARDED_BY(mutex_) = 0;  // workers
  int unable_ ABSL_GUARDED_BY(mutex_) = 0;   // those of them in LeaveToOthers
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_STAGING_H_
