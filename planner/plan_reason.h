// PlanReason: why a plan places a storage, or leaves it with memory of its own.
//
// Thread safety: pure functions on values.

#ifndef TENURE_PLANNER_PLAN_REASON_H_
#define TENURE_PLANNER_PLAN_REASON_H_

#include <cstdint>
#include <string_view>

namespace tenure {

// Every reason but kPlanned means that the storage keeps memory of its own.
enum class PlanReason : uint8_t {
  kPlanned,
  kInput,      // has its contents before the schedule
  kOutput,     // outlives the schedule
  kAllocated,  // has bytes already
  kSealed,     // its contents must not change
  kZeroed,     // reads as zeros at first, and the plan may not fill it or no single step is first
  kHeld,       // Schedule::Hold was called, or its options ask for memory of its own
  kTooLarge,   // larger than the largest allocation of its space, or than offsets can count
  kModeNone,   // PlanMode::kNone
  kOutsideHandles,  // handles to it exist outside the schedule
};
inline constexpr int kPlanReasonCount = 10;
// "planned", "input", "output", "allocated", "sealed", "zeroed", "held", "too_large", "mode_none",
// "outside_handles".
std::string_view PlanReasonName(PlanReason reason);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLAN_REASON_H_
