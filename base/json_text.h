// CheckJsonText: whether a text is JSON that every reader understands in the same way.
//
// Why: the parser that is used here takes a zero byte for the end of the text, and of several equal
// keys it keeps the last one. Other parsers do otherwise, so such a text could say one thing to a
// check and another to a program. Check a text from outside before you parse it.
//
//   TENURE_RETURN_IF_ERROR(CheckJsonText(text));
//   // "not JSON: unexpected '}' at byte 17", "the key size stands twice in one object"
//
// Cost: linear time and no tree; the keys of the objects that are open are kept. Thread safety: safe
// to call from any thread. Ownership: borrows the text for the call. Errors: InvalidArgument in one
// line, without the name of the text.

#ifndef TENURE_BASE_JSON_TEXT_H_
#define TENURE_BASE_JSON_TEXT_H_

#include <string_view>

#include "absl/status/status.h"

namespace tenure {

absl::Status CheckJsonText(std::string_view text);

}  // namespace tenure

#endif  // TENURE_BASE_JSON_TEXT_H_
