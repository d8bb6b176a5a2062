// How long a stage may still work: a deadline, a cancel flag, and a count of steps.
//
// Why: looking at the clock costs more than a placement, so loops count down and look now and then.
//
//   if (!budget.Spend(1)) return false;   // out of steps, out of time, or cancelled
//
// Cost: a decrement; the clock is read every 256 steps. Thread safety: single-threaded; one budget
// a thread. Ownership: borrows the cancel flag and the stop function. Errors: none.

#ifndef TENURE_PLANNER_PACKING_BUDGET_H_
#define TENURE_PLANNER_PACKING_BUDGET_H_

#include <atomic>
#include <cstdint>
#include <functional>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

class Budget {
 public:
  // `cancel` and `stop` may be null. The work ends when *cancel is true or stop() returns true.
  explicit Budget(absl::Time deadline, const std::atomic<bool>* cancel = nullptr,
                  const std::function<bool()>* stop = nullptr)
      : deadline_nanos_(deadline == absl::InfiniteFuture() ? kNever : absl::ToUnixNanos(deadline)),
        cancel_(cancel),
        stop_(stop != nullptr && *stop ? stop : nullptr) {}

  // The same deadline and flag, and `steps` steps of its own.
  Budget WithSteps(uint64_t steps) const {
    Budget b = *this;
    b.steps_left_ = steps;
    return b;
  }

  // The same flag, and a deadline that comes so much earlier.
  Budget Earlier(absl::Duration time) const {
    Budget b = *this;
    if (b.has_deadline()) b.deadline_nanos_ -= absl::ToInt64Nanoseconds(time);
    return b;
  }

  // False when the work should end.
  bool Spend(uint64_t steps) {
    if (steps_left_ != kUnlimited) {
      if (steps_left_ < steps) {
        steps_left_ = 0;
        return false;
      }
      steps_left_ -= steps;
    }
    until_look_ -= static_cast<int64_t>(steps);
    if (until_look_ > 0) return !interrupted_;
    until_look_ = kStride;
    return !Interrupted();
  }

  // Time that no step stands for: the clock is looked at earlier.
  void Hasten(uint64_t steps) { until_look_ -= static_cast<int64_t>(steps); }

  // The deadline comes too soon for what is next.
  void Stop() { interrupted_ = true; }

  // Looks at the clock and the flag now.
  bool Interrupted() {
    if (interrupted_) return true;
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) interrupted_ = true;
    if (stop_ != nullptr && (*stop_)()) interrupted_ = true;
    if (deadline_nanos_ != kNever && absl::GetCurrentTimeNanos() >= deadline_nanos_) {
      interrupted_ = true;
    }
    return interrupted_;
  }

  // Whether the deadline leaves this much time. Looks at the clock.
  bool Leaves(absl::Duration time) const {
    return deadline_nanos_ == kNever ||
           deadline_nanos_ >= absl::GetCurrentTimeNanos() + absl::ToInt64Nanoseconds(time);
  }

  bool has_deadline() const { return deadline_nanos_ != kNever; }
  absl::Time deadline() const {
    return has_deadline() ? absl::FromUnixNanos(deadline_nanos_) : absl::InfiniteFuture();
  }
  const std::atomic<bool>* cancel() const { return cancel_; }
  const std::function<bool()>* stop() const { return stop_; }
  uint64_t steps_left() const { return steps_left_; }

 private:
  static constexpr int64_t kStride = 256;
  static constexpr int64_t kNever = INT64_MAX;

  int64_t deadline_nanos_;
  const std::atomic<bool>* cancel_;
  const std::function<bool()>* stop_;
  uint64_t steps_left_ = kUnlimited;
  int64_t until_look_ = 0;
  bool interrupted_ = false;
};

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_BUDGET_H_
