// Packing problems and packings as JSON, for other programs and for storage. It covers every
// feature of a Problem.
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
// Only items with first, last and size are required. Absent keys have their defaults; in
// particular, there is no limit if none is given (2^64 - 1 is refused, since it internally means
// "no limit"). Keys that are not listed here are refused, because they may be misspelt. In a
// packing, other keys are ignored:
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

// `file` is only used in messages. The problem has passed CheckProblem.
absl::StatusOr<Problem> ParseProblemJson(std::string_view text, std::string_view file);
std::string FormatProblemJson(const Problem& problem);

// A packing from a file is not necessarily valid: see validator.h.
absl::StatusOr<Packing> ParsePackingJson(std::string_view text, std::string_view file);
std::string FormatPackingJson(const Packing& packing);

// {"capacity": 8, "lower_bound": 10, "peak": {"bytes": 10, "first": 0, "last": 2, "items": [1, 0]},
//  "conflict": [0, 1], "irreducible": true}
std::string FormatExplanationJson(const Explanation& explanation);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_IO_JSON_H_
