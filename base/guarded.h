// Guarded: runs work on a thread that must not end by an exception of the work's.
//
// Thread safety: as the work. Errors: the work's; ResourceExhausted for std::bad_alloc, and Internal
// for any other std::exception.

#ifndef TENURE_BASE_GUARDED_H_
#define TENURE_BASE_GUARDED_H_

#include <exception>
#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace tenure::host {

template <typename Work>
absl::Status Guarded(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no host memory was left for queued work");
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("an exception ended queued work: ", error.what()));
  }
}

}  // namespace tenure::host

#endif  // TENURE_BASE_GUARDED_H_
