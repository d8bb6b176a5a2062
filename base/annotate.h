// Annotate: says where an error happened, in front of its message.
//
// Example:
//   // "weights.bin: the header is cut off"
//   absl::Status CheckHeader(std::string_view bytes, std::string_view path) {
//     if (bytes.size() >= 8) return absl::OkStatus();
//     return Annotate(absl::DataLossError("the header is cut off"), path);
//   }
//
// Cost: none for OK; a copy of the message otherwise. Thread safety: a pure function.
// Errors: the status that it is given. The code and the payloads stay as they are.

#ifndef TENURE_BASE_ANNOTATE_H_
#define TENURE_BASE_ANNOTATE_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace tenure {

// OK stays OK.
inline absl::Status Annotate(const absl::Status& status, std::string_view where) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(where, ": ", status.message()));
  status.ForEachPayload([&](std::string_view type, const absl::Cord& payload) {
    annotated.SetPayload(type, payload);
  });
  return annotated;
}

}  // namespace tenure

#endif  // TENURE_BASE_ANNOTATE_H_
