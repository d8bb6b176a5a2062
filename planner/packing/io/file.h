// Whole files in and out, with errors that name the file and the cause.
//
// Why: readers here take text, so that fuzzers and tests need no files.
//
//   absl::StatusOr<std::string> text = ReadFile(path);
//
// Cost: one copy. Thread safety: safe to call from any thread. Ownership: by value. Errors:
// NotFound, PermissionDenied, DataLoss, Internal; ResourceExhausted for what is longer than asked
// for (a device that never ends, say).

#ifndef TENURE_PLANNER_PACKING_IO_FILE_H_
#define TENURE_PLANNER_PACKING_IO_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tenure::packing {

// The most that is read unless the caller says otherwise: some twenty million rows.
inline constexpr uint64_t kMaxFileBytes = uint64_t{1} << 30;

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t max_bytes = kMaxFileBytes);

// Written beside and renamed, so that a reader sees the old text or the new; symbolic links and the
// mode of what was there stay. Written in place: what is no regular file (a pipe, /dev/stdout), has
// several names, or belongs to another user or group.
absl::Status WriteFile(const std::string& path, std::string_view text);

}  // namespace tenure::packing

#endif  // TENURE_PLANNER_PACKING_IO_FILE_H_
