// HostJobs: the transfers of one allocator that the host does itself, at once or when their turn
// comes (copy/host_worker.h).
//
// One that waits for its turn may outlive the allocator, which gives up waiting for freed bytes at
// some point (AllocatorOptions::max_wait). It is refused then instead of touching what is gone.
//
// Thread safety: thread-safe. Ownership: shared by the allocator and the jobs.

#ifndef TENURE_ALLOCATOR_VULKAN_HOST_JOBS_H_
#define TENURE_ALLOCATOR_VULKAN_HOST_JOBS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::vulkan {

class HostJobs : public std::enable_shared_from_this<HostJobs> {
 public:
  // Runs `work` if all of options.after is reached and it is small, or if the caller waits; otherwise
  // on a thread of the library's, behind them.
  absl::StatusOr<Fence> Run(const CopyOptions& options, uint64_t size_bytes,
                            std::function<absl::Status()> work);
  // Waits for all that were queued before this call.
  absl::Status Synchronize();
  // Waits for those that are being done, and refuses those whose turn has not come.
  void Close();

 private:
  absl::Mutex mutex_;
  std::vector<Fence> queued_ ABSL_GUARDED_BY(mutex_);
  // Held by the jobs that are being done, as readers.
  absl::Mutex open_mutex_;
  bool closed_ ABSL_GUARDED_BY(open_mutex_) = false;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_HOST_JOBS_H_
