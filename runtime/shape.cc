#include "tenure/runtime/shape.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/base/checked.h"

namespace tenure {

absl::StatusOr<Shape> Shape::Of(absl::Span<const int64_t> dims) {
  if (dims.size() > kMaxRank) {
    return absl::InvalidArgumentError(
        absl::StrCat("a shape of rank ", dims.size(), " is not supported; at most ", kMaxRank));
  }
  Shape shape;
  uint64_t elements = 1;
  bool empty = false, wraps = false;
  for (int64_t dim : dims) {
    if (dim < 0) {
      return absl::InvalidArgumentError(absl::StrCat("dimension ", shape.rank_, " of shape [",
                                                     absl::StrJoin(dims, ","), "] is negative"));
    }
    empty = empty || dim == 0;
    wraps = !CheckedMul(elements, static_cast<uint64_t>(dim), &elements) || wraps;
    shape.dims_[shape.rank_++] = dim;
  }
  if (!empty && (wraps || elements > std::numeric_limits<int64_t>::max())) {
    return absl::OutOfRangeError(
        absl::StrCat("shape [", absl::StrJoin(dims, ","), "] has more than 2^63-1 elements"));
  }
  return shape;
}

uint64_t Shape::elements() const {
  // The product of the other dimensions may wrap if one of them is 0.
  uint64_t n = 1;
  for (int64_t dim : dims()) {
    if (dim == 0) return 0;
    n *= static_cast<uint64_t>(dim);
  }
  return n;
}

std::string Shape::ToString() const { return absl::StrCat("[", absl::StrJoin(dims(), ","), "]"); }

}  // namespace tenure
