// Limits the work of a stage: by a deadline, a cancel flag and a count of steps.
//
// Why: reading the clock costs more than placing an item. Loops therefore count steps down and read
// the clock only now and then.
//
//   if (!budget.Spend(1)) return false;   // out of steps, out of time, or cancelled
//
// Cost: a decrement. The clock is read every 256 steps. Thread safety: single-threaded; each thread
// has a budget of its own. Ownership: borrows the cancel flag and the stop function. Errors: none.

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
  // `cancel` and `stop` may be null. The work should end when *cancel is true or stop() returns
  // true.
  explicit Budget(absl::Time deadline, const std::atomic<bool>* cancel = nullptr,
                  const std::function<bool()>* stop = nullptr)
      : deadline_nanos_(deadline == absl::InfiniteFuture() ? kNever : absl::ToUnixNanos(deadline)),
        cancel_(cancel),
        stop_(stop != nullptr && *stop ? stop : nullptr) {}

  // Returns a budget with the same deadline and flags, and with `steps` steps of its own.
  Budget WithSteps(uint64_t steps) const {
    Budget b = *this;
    b.steps_left_ = steps;
    return b;
  }

  // Returns a budget with the same flags and a deadline that is earlier by `time`.
  Budget Earlier(absl::Duration time) const {
    Budget b = *this;
    if (b.has_deadline()) b.deadline_nanos_ -= absl::ToInt64Nanoseconds(time);
    return b;
  }

  // Takes steps from the budget. Returns false when the work should end.
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

  // Accounts for time that no step stands for: the clock is read earlier by so many steps.
  void Hasten(uint64_t steps) { until_look_ -= static_cast<int64_t>(steps); }

  // Ends the budget, because the deadline comes too soon for the next piece of work.
  void Stop() { interrupted_ = true; }

  // Reads the clock and the flags now.
  bool Interrupted() {
    if (interrupted_) return true;
    if (cancel_ != nullptr && cancel_->load(std::memory_order_relaxed)) interrupted_ = true;
    if (stop_ != nullptr && (*stop_)()) interrupted_ = true;
    if (deadline_nanos_ != kNever && absl::GetCurrentTimeNanos() >= deadline_nanos_) {
      interrupted_ = true;
    }
    return interrupted_;
  }

  // Returns whether at least this much time is left before the deadline. Reads the clock.
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
