#include "tenure/runtime/host_span.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {

absl::StatusOr<uint64_t> FlatIndex(const Shape& shape, absl::Span<const int64_t> index) {
  if (index.size() != static_cast<size_t>(shape.rank())) {
    return absl::InvalidArgumentError(absl::StrCat("index [", absl::StrJoin(index, ","), "] has ",
                                                   index.size(), " numbers; shape ",
                                                   shape.ToString(), " needs ", shape.rank()));
  }
  uint64_t at = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const int64_t i = index[static_cast<size_t>(axis)];
    if (i < 0 || i >= shape.dim(axis)) {
      return absl::OutOfRangeError(absl::StrCat("index [", absl::StrJoin(index, ","),
                                                "] does not lie in shape ", shape.ToString(),
                                                ": dimension ", axis, " has ", shape.dim(axis)));
    }
    // Can't wrap: every dimension so far is at least 1, so the sum stays below the elements.
    at = at * static_cast<uint64_t>(shape.dim(axis)) + static_cast<uint64_t>(i);
  }
  return at;
}

}  // namespace tenure
