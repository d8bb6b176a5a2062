// Timeline: a counter of a device or of the host that only grows. Fence: a point on a timeline.
//
// Why: code needs to say "these bytes are in use until then" without a lock, a driver's type or a
// thread. CUDA events, Vulkan timeline semaphores and host work all become a pair (timeline,
// value).
//
//   value  0 ----- 1 ----- 2 ----- 3 ----->
//                          ^
//                          Reached() == 2: fences at 0, 1 and 2 are reached,
//                          one at 3 is not yet
//
// Example:
//   auto timeline = std::make_shared<HostTimeline>();
//   Fence done(timeline, 1);
//   std::thread worker([timeline] { timeline->Signal(1); });
//   const absl::Status status = done.Wait(absl::Seconds(5));
//   worker.join();
//
// Cost: a Fence is a shared pointer and a number; IsReached() on the host timeline is one acquire
// load. Thread safety: Timeline and HostTimeline are thread-safe; Fence is a thread-compatible
// value. Ownership: a Fence shares its timeline. Errors: Wait returns DeadlineExceeded at the
// deadline, or the error that the timeline failed with.

#ifndef TENURE_ALLOCATOR_TIMELINE_TIMELINE_H_
#define TENURE_ALLOCATOR_TIMELINE_TIMELINE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace tenure {

class Timeline {
 public:
  virtual ~Timeline() = default;

  // The largest value reached so far. Cheap; never blocks.
  virtual uint64_t Reached() const = 0;

  // Blocks until `value` is reached, the timeline fails, or `deadline` passes. Work that ended with
  // an error has reached its value, because it no longer touches its bytes; Wait then returns that
  // error. With absl::InfinitePast(), Wait only looks, and an error that it returns does not count
  // as told (WasTold).
  virtual absl::Status Wait(uint64_t value, absl::Time deadline) = 0;

  // Whether a wait has already returned the error of the work at `value` to a caller.
  virtual bool WasTold(uint64_t /*value*/) const { return false; }

  // OK, or the reason why values beyond Reached() will never come. It is then unknown whether the
  // work has ended, and a faulted device may still touch its bytes, so the bytes that this timeline
  // guards are quarantined.
  virtual absl::Status Failure() const = 0;

  // What does the work, for messages: "a stream of CUDA device 0". Never blocks.
  virtual std::string Describe() const { return "a timeline"; }
};

class Fence {
 public:
  Fence() = default;  // reached already
  Fence(std::shared_ptr<Timeline> timeline, uint64_t value)
      : timeline_(std::move(timeline)), value_(value) {}

  bool IsReached() const { return timeline_ == nullptr || timeline_->Reached() >= value_; }

  // Not reached, and never will be.
  bool IsFailed() const { return !IsReached() && !timeline_->Failure().ok(); }

  absl::Status Wait(absl::Duration timeout = absl::InfiniteDuration()) const {
    return WaitUntil(timeout == absl::InfiniteDuration() ? absl::InfiniteFuture()
                                                         : absl::Now() + timeout);
  }
  absl::Status WaitUntil(absl::Time deadline) const {
    return timeline_ == nullptr ? absl::OkStatus() : timeline_->Wait(value_, deadline);
  }

  // Whether a wait has already returned the error of this work to a caller (Timeline::WasTold).
  bool WasTold() const { return timeline_ != nullptr && timeline_->WasTold(value_); }

  const std::shared_ptr<Timeline>& timeline() const { return timeline_; }  // null: reached
  uint64_t value() const { return value_; }

 private:
  std::shared_ptr<Timeline> timeline_;
  uint64_t value_ = 0;
};

// One piece of host work. Value 1 is reached when the work ends, with success or an error.
class Completion final : public Timeline {
 public:
  // Ends the work with `status`, which every wait then returns. Must be called once.
  void Finish(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t Reached() const override { return done_.load(std::memory_order_acquire) ? 1 : 0; }
  absl::Status Wait(uint64_t value, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mutex_);
  bool WasTold(uint64_t) const override { return told_.load(std::memory_order_acquire); }
  absl::Status Failure() const override { return absl::OkStatus(); }
  std::string Describe() const override { return "work of the host"; }

 private:
  absl::Mutex mutex_;
  std::atomic<bool> done_{false};  // written under mutex_
  std::atomic<bool> told_{false};  // whether a wait has returned status_, an error
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// A timeline that host code advances.
class HostTimeline final : public Timeline {
 public:
  // Advances to `value`. A value that is smaller than Reached() changes nothing.
  void Signal(uint64_t value) ABSL_LOCKS_EXCLUDED(mutex_);

  // Declares that no further value will come, and why (must not be OK). Only the first failure is
  // kept.
  void Fail(absl::Status why) ABSL_LOCKS_EXCLUDED(mutex_);

  uint64_t Reached() const override { return reached_.load(std::memory_order_acquire); }
  absl::Status Wait(uint64_t value, absl::Time deadline) override ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Failure() const override ABSL_LOCKS_EXCLUDED(mutex_);
  std::string Describe() const override { return "a timeline that the program signals"; }

 private:
  mutable absl::Mutex mutex_;
  std::atomic<uint64_t> reached_{0};  // written under mutex_
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_TIMELINE_TIMELINE_H_
