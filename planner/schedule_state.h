// ScheduleState: tells whether a schedule is the same object as before, and unchanged. Internal to
// the planner.
//
// Cost: an increment for each change. Thread safety: thread-compatible.

#ifndef TENURE_PLANNER_SCHEDULE_STATE_H_
#define TENURE_PLANNER_SCHEDULE_STATE_H_

#include <cstdint>
#include <utility>

namespace tenure::internal {

// Equal values mean the same schedule with the same contents. A value is never used again.
struct ScheduleState {
  uint64_t id = 0;  // unique in the process; 0: no schedule
  uint64_t changes = 0;
  friend bool operator==(const ScheduleState&, const ScheduleState&) = default;
};

// The state of one schedule. It moves together with the contents of the schedule, and leaves a
// fresh state behind.
class ScheduleStateCounter {
 public:
  ScheduleStateCounter() : state_{NewId(), 0} {}
  ScheduleStateCounter(ScheduleStateCounter&& other) noexcept
      : state_(std::exchange(other.state_, ScheduleState{NewId(), 0})) {}
  ScheduleStateCounter& operator=(ScheduleStateCounter&& other) noexcept {
    if (this != &other) state_ = std::exchange(other.state_, ScheduleState{NewId(), 0});
    return *this;
  }

  void Change() { ++state_.changes; }
  const ScheduleState& state() const { return state_; }

 private:
  static uint64_t NewId();

  ScheduleState state_;
};

}  // namespace tenure::internal

#endif  // TENURE_PLANNER_SCHEDULE_STATE_H_
