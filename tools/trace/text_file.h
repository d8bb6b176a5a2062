// Reads the content of a text file, decompressed if it is gzip. The size is limited, and every
// error is one clear line.
//
// Thread safety: free functions without state. Ownership: results are owned by the caller.

#ifndef TENURE_TOOLS_TRACE_TEXT_FILE_H_
#define TENURE_TOOLS_TRACE_TEXT_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tenure::internal_trace {

// Returns `text` with control characters replaced and cut to `limit` bytes, so that a message stays
// one readable line.
std::string OneLine(std::string_view text, size_t limit = 200);

// Decides by content: the two magic bytes.
bool IsGzip(std::string_view content);

// Decompresses all members of a gzip file, one after the other. Truncation, damage and extra bytes
// after the last member are errors.
absl::StatusOr<std::string> Gunzip(std::string_view content, std::string_view name,
                                   uint64_t max_bytes);

}  // namespace tenure::internal_trace

#endif  // TENURE_TOOLS_TRACE_TEXT_FILE_H_
