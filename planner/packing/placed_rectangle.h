// The bytes that a packed item holds during a part of its life, in the form that the validator
// works on.
//
// Thread safety: thread-compatible. Ownership: by value. Errors: none.

#ifndef TENURE_PLANNER_PACKING_PLACED_RECTANGLE_H_
#define TENURE_PLANNER_PACKING_PLACED_RECTANGLE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/problem.h"

namespace tenure::packing {

// The bytes of an item during a part of its life: a rectangle of addresses and time.
struct PlacedRectangle {
  uint64_t begin, end;  // addresses
  Time first, last;
  uint32_t item, arena;
};

// The error that every check returns; `what` says what is wrong with the packing.
inline absl::Status Wrong(const std::string& what) {
  return absl::InternalError(absl::StrCat("packing is wrong: ", what));
}

inline std::string Describe(const PlacedRectangle& p) {
  return absl::StrCat("item ", p.item, " [", p.begin, ", ", p.end, ")");
}

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_PLACED_RECTANGLE_H_
