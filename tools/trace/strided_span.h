// Computes how far a strided window reaches.
//
// Thread safety: pure functions.

#ifndef TENURE_TOOLS_TRACE_STRIDED_SPAN_H_
#define TENURE_TOOLS_TRACE_STRIDED_SPAN_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace tenure::internal_trace {

// Returns the number of elements from the first to the last one that shape and strides reach;
// nothing if the count wraps.
inline std::optional<uint64_t> Span(const std::vector<uint64_t>& shape,
                                    const std::vector<uint64_t>& strides) {
  uint64_t span = 1;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == 0) return 0;
  }
  for (size_t d = 0; d < shape.size(); ++d) {
    uint64_t reach = 0;
    if (__builtin_mul_overflow(shape[d] - 1, strides[d], &reach)) return std::nullopt;
    if (__builtin_add_overflow(span, reach, &span)) return std::nullopt;
  }
  return span;
}

}  // namespace tenure::internal_trace

#endif  // TENURE_TOOLS_TRACE_STRIDED_SPAN_H_
