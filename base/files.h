// Reads and writes whole files, with errors that name the file and the cause.
//
// Why not part of the parsers: they take text, so that fuzzers and tests need no files.
//
//   absl::StatusOr<std::string> text = ReadFile(path);
//
// Cost: one copy. Thread safety: safe to call from any thread. Ownership: by value. Errors:
// InvalidArgument for a path that cannot name a file; NotFound, PermissionDenied and other errors
// of the system; ResourceExhausted for a file that is longer than `max_bytes` (a device that never
// ends, for instance).

#ifndef TENURE_BASE_FILES_H_
#define TENURE_BASE_FILES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tenure {

// ReadFile refuses longer files unless its caller allows more. A gibibyte is some twenty million
// rows of CSV.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

// Memory grows with the bytes read, so a large `max_bytes` costs nothing.
absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes = kMaxFileBytes);

// Writes a new file beside the old one and renames it, so that readers see either the old text or
// the new one. Symbolic links and the mode of the old file are kept. A file is written in place if
// it is no regular file (a pipe, /dev/stdout), has several names, or belongs to another user or
// group.
absl::Status WriteFile(const std::string& path, std::string_view text);

}  // namespace tenure

#endif  // TENURE_BASE_FILES_H_
