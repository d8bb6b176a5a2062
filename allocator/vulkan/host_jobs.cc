#include "tenure/allocator/vulkan/host_jobs.h"

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

// Up to this size, the host copies at once even for a caller that does not wait.
constexpr uint64_t kAtOnceBytes = uint64_t{64} << 10;

bool IsReached(const Fence& fence) { return fence.IsReached(); }

}  // namespace

absl::StatusOr<Fence> HostJobs::Run(const CopyOptions& options, uint64_t size_bytes,
                                    std::function<absl::Status()> work) {
  const bool is_due = std::all_of(options.after.begin(), options.after.end(), IsReached);
  if (options.may_block || (is_due && size_bytes <= kAtOnceBytes)) {
    for (const Fence& fence : options.after) TENURE_RETURN_IF_ERROR(fence.Wait());
    TENURE_RETURN_IF_ERROR(work());
    return Fence();
  }
  auto if_open = [jobs = shared_from_this(), work = std::move(work)]() -> absl::Status {
    absl::ReaderMutexLock lock(&jobs->open_mutex_);
    if (jobs->closed_) {
      return absl::FailedPreconditionError(
          "the allocator ended before the turn of this copy came; keep allocators until their "
          "copies are over");
    }
    return work();
  };
  absl::MutexLock lock(&mutex_);
  std::erase_if(queued_, IsReached);
  queued_.emplace_back();
  absl::StatusOr<Fence> fence = HostWorker::Default().Submit(
      {options.after.begin(), options.after.end()}, absl::InfiniteFuture(), std::move(if_open));
  if (fence.ok()) {
    queued_.back() = *fence;
  } else {
    queued_.pop_back();
  }
  return fence;
}

absl::Status HostJobs::Synchronize() {
  std::vector<Fence> queued;
  {
    absl::MutexLock lock(&mutex_);
    queued = queued_;
  }
  // An error is told to those that wait for the copy that it ended.
  for (const Fence& fence : queued) {
    fence.Wait().IgnoreError();
    if (!fence.IsReached()) {
      return absl::FailedPreconditionError("queued copies of the host can't be waited for here");
    }
  }
  return absl::OkStatus();
}

void HostJobs::Close() {
  absl::MutexLock lock(&open_mutex_);
  closed_ = true;
}

}  // namespace tenure::vulkan
