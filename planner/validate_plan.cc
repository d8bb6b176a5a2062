#include "tenure/planner/validate_plan.h"

#include "tenure/planner/plan_validator.h"

namespace tenure {

absl::Status ValidatePlan(const Plan& plan, const Schedule& schedule) {
  return internal::ValidateFromScratch(plan, schedule).status();
}

}  // namespace tenure
