// Two questions that lists of fences ask before they forget one.
//
//   std::erase_if(fences, IsSettled);
//
// Cost: a look at the timeline. Thread safety: as of fences.

#ifndef TENURE_ALLOCATOR_TIMELINE_FENCE_STATE_H_
#define TENURE_ALLOCATOR_TIMELINE_FENCE_STATE_H_

#include "absl/time/time.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

// Whether there is nothing to wait for any more: reached, or it never will be.
inline bool IsOver(const Fence& fence) { return fence.IsReached() || fence.IsFailed(); }

// Whether the work has ended and has no error that somebody has still to be told.
inline bool IsSettled(const Fence& fence) {
  return fence.IsReached() && (fence.WasTold() || fence.WaitUntil(absl::InfinitePast()).ok());
}

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_TIMELINE_FENCE_STATE_H_
