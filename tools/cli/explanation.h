// Explains why something does not fit, as an object in the output of --json. The text is that of
// planner/packing/explain.h and planner/shortage.h.
//
//   {"capacity": 11, "lower_bound": 12, "proven": true,
//    "peak": {"bytes": 12, "first": 0, "last": 3, "items": [{"id": "b1", "size": 4, ...}, ...]},
//    "conflict": [...], "irreducible": true}
//
// Thread safety: free functions.

#ifndef TENURE_TOOLS_CLI_EXPLANATION_H_
#define TENURE_TOOLS_CLI_EXPLANATION_H_

#include <atomic>

#include "absl/time/time.h"
#include "tenure/base/json_value.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/schedule.h"
#include "tenure/planner/shortage.h"
#include "tenure/tools/cli/packing_file.h"

namespace tenure::cli {

// How long a conflict is searched for, unless --explain gives another time.
inline constexpr absl::Duration kExplainTime = absl::Seconds(2);

// The limits of a search for a conflict that begins now: `time`, and the command's deadline and
// cancel flag.
packing::SolveOptions ExplainOptions(absl::Duration time, absl::Time deadline,
                                     const std::atomic<bool>* cancel);

JsonValue ExplanationJson(const ProblemFile& file, const packing::Explanation& why);
JsonValue ExplanationJson(const Shortage& shortage, const Schedule& schedule);

}  // namespace tenure::cli

#endif  // TENURE_TOOLS_CLI_EXPLANATION_H_
