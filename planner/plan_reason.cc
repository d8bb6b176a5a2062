#include "tenure/planner/plan_reason.h"

namespace tenure {

std::string_view PlanReasonName(PlanReason reason) {
  switch (reason) {
    case PlanReason::kPlanned:
      return "planned";
    case PlanReason::kInput:
      return "input";
    case PlanReason::kOutput:
      return "output";
    case PlanReason::kAllocated:
      return "allocated";
    case PlanReason::kSealed:
      return "sealed";
    case PlanReason::kZeroed:
      return "zeroed";
    case PlanReason::kHeld:
      return "held";
    case PlanReason::kTooLarge:
      return "too_large";
    case PlanReason::kModeNone:
      return "mode_none";
    case PlanReason::kOutsideHandles:
      return "outside_handles";
  }
  return "?";
}

}  // namespace tenure
