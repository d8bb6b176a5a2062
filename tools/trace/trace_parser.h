// Parses JSON text into an unchecked Trace: syntax, keys and types. read_trace.cc checks the
// meaning of the numbers.
//
// Thread safety: a free function without state.

#ifndef TENURE_TOOLS_TRACE_TRACE_PARSER_H_
#define TENURE_TOOLS_TRACE_TRACE_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "tenure/tools/trace/trace.h"

namespace tenure::internal_trace {

// `name` is the file's name in messages. Ids are not yet known to be in range.
absl::StatusOr<Trace> ParseTraceText(std::string_view text, std::string_view name);

}  // namespace tenure::internal_trace

#endif  // TENURE_TOOLS_TRACE_TRACE_PARSER_H_
