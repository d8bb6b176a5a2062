// Timelines that devices of two APIs wait for without the host. Both sides use a semaphore that one
// of them shares by a file descriptor. Drivers do not know each other: they find these interfaces
// with a dynamic_cast of Fence::timeline().
//
//   ExportableTimeline   is kept in a semaphore that others can import; they wait for its values
//                        themselves. Vulkan's timelines are so.
//   SignallingTimeline   can't be exported, but its device can raise a semaphore of somebody else's
//                        when it has come to a value. CUDA's timelines are so.
//
//   Vulkan queue: value 7 ------ the semaphore, imported ------> CUDA stream waits
//   CUDA stream:  value 3 -> raises a semaphore of the Vulkan queue's to 3 -> Vulkan queue waits
//
// Thread safety: thread-safe, as Timeline is. Ownership: as Timeline's.
// Errors: Unimplemented (the device can't share semaphores), and those of the driver.

#ifndef TENURE_ALLOCATOR_TIMELINE_SHARED_TIMELINE_H_
#define TENURE_ALLOCATOR_TIMELINE_SHARED_TIMELINE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure {

class ExportableTimeline : public Timeline {
 public:
  // The card whose devices can import it, as the card's UUID (external_memory.h); empty: none can.
  virtual const std::string& card() const = 0;
  // A new descriptor of the semaphore, which the caller closes. A fence's value is the semaphore's.
  virtual absl::StatusOr<int> ExportFd() = 0;
  // Whether the semaphore says everything about `value`. False while the host has a part of it to
  // do: others must then wait with Wait.
  virtual bool IsOfDeviceAlone(uint64_t value) const = 0;
};

class SignallingTimeline : public Timeline {
 public:
  // The card whose semaphores it can raise; empty: none.
  virtual const std::string& card() const = 0;
  // The device raises `semaphore` to `value`, or to a later value of this timeline, when it has come
  // to it. The host does not wait. False: the value is reached, and nothing is raised.
  virtual absl::StatusOr<bool> SignalAt(uint64_t value,
                                        const std::shared_ptr<ExportableTimeline>& semaphore) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_TIMELINE_SHARED_TIMELINE_H_
