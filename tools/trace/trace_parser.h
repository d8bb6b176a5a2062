// From JSON text to an unchecked Trace: syntax, keys and types. What the numbers mean is checked in
// trace.cc.
//
// Thread safety: a free function without state.

#ifndef TENURE_TOOLS_TRACE_TRACE_PARSER_H_
#define TENURE_TOOLS_TRACE_TRACE_PARSER_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "tenure/tools/trace/trace.h"

namespace tenure::internal_trace {

// `name` is the file's, for messages. Ids are as written: not yet known to be in range.
absl::StatusOr<Trace> ParseTraceText(std::string_view text, std::string_view name);

}  // namespace tenure::internal_trace

#endif  // TENURE_TOOLS_TRACE_TRACE_PARSER_H_
