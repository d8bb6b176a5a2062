// Plans how a device walks a window with strides: which elements may be written side by side, and
// which must take turns because they share bytes.
//
// Elements lie at multiples of their size, so two of them share all of their bytes or none. Of
// elements that share bytes, the last in row-major order stays:
//
//   shape [3, 2], strides [1, 1]     bytes   | e0 | e1 |    |    |     row 0
//   (a sliding window)                       |    | e2 | e3 |    |     row 1 wins over e1
//                                            |    |    | e4 | e5 |     row 2 wins over e3
//
// Dimensions are grouped accordingly (reference_kernel_params.h). A dimension of stride 0 only
// repeats elements. Its last index stays, so the dimension is left out.
//
// Thread safety: a free function. Errors: InvalidArgument as for CheckStrided; Unimplemented for
// more dimensions than OrderedWindow has room for.

#ifndef TENURE_TOOLS_TRACE_STRIDED_WALK_H_
#define TENURE_TOOLS_TRACE_STRIDED_WALK_H_

#include <cstdint>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/tools/trace/reference_kernel_params.h"

namespace tenure {

struct StridedWalk {
  uint64_t seed_plus = 0;  // of the dimensions that were left out
  // The cases are: no elements, elements that share no bytes, and any elements.
  std::variant<std::monostate, tenure_kernel::ApartWindow, tenure_kernel::OrderedWindow> window;
};

absl::StatusOr<StridedWalk> PlanStridedWalk(uint64_t size_bytes, absl::Span<const uint64_t> shape,
                                            absl::Span<const uint64_t> strides,
                                            uint64_t item_bytes);

}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_STRIDED_WALK_H_
