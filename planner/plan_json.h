// Plans as JSON text, to store beside a compiled program, to look at, and to load again.
//
//   {"format": "tenure-plan-1", "name": ..., "fingerprint": "16 hex digits",
//    "mode": "arena", "alignment": 64,
//    "arenas": [{"space": "cpu", "queue": 0, "size": ..., "alignment": ...,
//                "memory_of": 5}],                  (only of an arena that is a storage's own)
//    "placements": [{"storage": 3, "arena": 0, "offset": 0, "size": 4096,
//                    "first": 0, "last": 7, "exclusive": false, "name": "h0"}],
//    "not_planned": [{"storage": 0, "name": ..., "size": ...,
//                     "reason": "input", "detail": ...}],
//    "reuse_edges": [[before, after]],
//    "fills": [[step, storage]],
//    "in_place": [[step, input, output]],
//    "unplanned_bytes": ..., "arena_bytes": ..., "lower_bound_bytes": ...,
//    "optimal": true, "deadline_hit": false}
//
// Plans from before these two keys had their names say "lane" for "queue" and "taken_over" for
// "in_place". They can be read.
//
// Thread safety: pure functions. Errors: InvalidArgument naming the key (malformed text),
// FailedPrecondition (another schedule).

#ifndef TENURE_PLANNER_PLAN_JSON_H_
#define TENURE_PLANNER_PLAN_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"

namespace tenure {

std::string PlanToJson(const Plan& plan);

// Reads a plan. Does not check whether it is right for any schedule.
absl::StatusOr<Plan> PlanFromJson(std::string_view json);

// Reads a plan and checks that it is right for this schedule. Of the lower bound and of `optimal`,
// only as much is kept as the lives of the storages prove: a file can't prove what a search found.
absl::StatusOr<Plan> LoadPlan(std::string_view json, const Schedule& schedule);

}  // namespace tenure

#endif  // TENURE_PLANNER_PLAN_JSON_H_
