// Packing problems and packings as JSON: everything that a Problem can say, for other programs and
// for storing.
//
//   {"items": [{"first": 0, "last": 4, "size": 4096,          half-open [first, last), bytes
//               "alignment": 64, "fixed": 0, "hint": 128}],
//    "gaps": [{"item": 0, "first": 1, "last": 2,              it needs nothing then,
//              "window": [0, 1024]}],                         or only these of its bytes
//    "arenas": [{"limit": 1048576}],                          none given: one without a limit
//    "bindings": [[0, 0]],                                    item 0 lies in arena 0
//    "adjacent": [[0, 1]],                                    item 1 begins where item 0 ends
//    "order": {"steps": 3,                                    conflicts by a partial order,
//              "edges": [[0, 1]],                             step 0 before step 1,
//              "uses": [[0, 0]]},                             item 0 is used by step 0
//    "capacity": 1048576}                                     of all arenas together
//
// Only items with first, last and size are required; what is absent has its default, and no limit
// is an absent one (2^64 - 1 is refused: within, it stands for none). Keys that are not named here
// are refused, for they may be misspelt. A packing, of which other keys are passed over:
//
//   {"status": "optimal", "deadline_hit": false,
//    "height": 4096, "heights": [4096], "lower_bound": 4096,
//    "offsets": [0], "arena_of": [0], "winner": "greedy:TWA"}
//
// Cost: linear, about a microsecond an item. Thread safety: safe to call from any thread.
// Ownership: by value. Errors: InvalidArgument in one line, naming file, place and cause.

#ifndef TENURE_PLANNER_PACKING_IO_JSON_H_
#define TENURE_PLANNER_PACKING_IO_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/packing.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// `file` is for messages only. The problem has passed CheckProblem.
absl::StatusOr<Problem> ParseProblemJson(std::string_view text, std::string_view file);
std::string FormatProblemJson(const Problem& problem);

// A packing read from elsewhere is not yet valid: see validator.h.
absl::StatusOr<Packing> ParsePackingJson(std::string_view text, std::string_view file);
std::string FormatPackingJson(const Packing& packing);

// {"capacity": 8, "lower_bound": 10, "peak": {"bytes": 10, "first": 0, "last": 2, "items": [1, 0]},
//  "conflict": [0, 1], "irreducible": true}
std::string FormatExplanationJson(const Explanation& explanation);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_IO_JSON_H_
