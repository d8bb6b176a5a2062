#include "tenure/allocator/timeline/timeline.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace tenure {

void Completion::Finish(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  status_ = std::move(status);
  done_.store(true, std::memory_order_release);
}

absl::Status Completion::Wait(uint64_t, absl::Time deadline) {
  auto done = [this] { return done_.load(std::memory_order_relaxed); };
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithDeadline(absl::Condition(&done), deadline)) {
    return absl::DeadlineExceededError("host work did not end before the deadline");
  }
  if (!status_.ok() && deadline != absl::InfinitePast()) {
    told_.store(true, std::memory_order_release);
  }
  return status_;
}

void HostTimeline::Signal(uint64_t value) {
  absl::MutexLock lock(&mutex_);
  if (value > reached_.load(std::memory_order_relaxed)) {
    reached_.store(value, std::memory_order_release);
  }
}

void HostTimeline::Fail(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) {
    failure_ =
        why.ok() ? absl::InternalError("timeline failed without saying why") : std::move(why);
  }
}

absl::Status HostTimeline::Wait(uint64_t value, absl::Time deadline) {
  auto over = [this, value]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return reached_.load(std::memory_order_relaxed) >= value || !failure_.ok();
  };
  if (Reached() >= value) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  const bool in_time = mutex_.AwaitWithDeadline(absl::Condition(&over), deadline);
  if (Reached() >= value) return absl::OkStatus();
  if (!in_time) {
    return absl::DeadlineExceededError(absl::StrCat("a host timeline did not reach ", value,
                                                    " before the deadline; it is at ", Reached()));
  }
  return failure_;
}

absl::Status HostTimeline::Failure() const {
  absl::MutexLock lock(&mutex_);
  return failure_;
}

}  // namespace tenure
