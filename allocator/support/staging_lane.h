// StagingLane: how one thread of a StagingRing (staging_ring.h) moves bytes between the device and
// host memory that the device can reach. This is what a driver writes to have a ring.
//
// A lane has two slots of host memory, and a queue of the device on which it sends and receives
// them. While one slot is on its way, the ring's thread fills or empties the other. The ring calls
//
//   Begin, any number of Send and Receive and WaitFor, Finish
//
// for each part of a copy, all of it on one thread. Send, Receive and WaitFor may fail; Finish is
// called all the same. If Begin fails, nothing else is called for that part.
//
// Thread safety: used by one thread at a time, and destroyed by the thread that used it.
// Ownership: of the ring; owns its slots. Nothing is under way when it is destroyed.
// Errors: the driver's.

#ifndef TENURE_ALLOCATOR_SUPPORT_STAGING_LANE_H_
#define TENURE_ALLOCATOR_SUPPORT_STAGING_LANE_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace tenure {

// A byte on the device: at `offset` of one of the driver's objects, or, for drivers that have
// addresses, at the address `offset`.
struct DevicePlace {
  uint64_t object = 0;
  uint64_t offset = 0;
};

class StagingLane {
 public:
  static constexpr uint64_t kSlotBytes = uint64_t{2} << 20;

  virtual ~StagingLane() = default;

  // The memory of slot 0 or 1.
  virtual std::byte* slot(int number) = 0;

  // The thread is about to use the lane.
  virtual absl::Status Begin() = 0;
  // Queues a copy of the first `size_bytes` of the slot to the device, or from there.
  virtual absl::Status Send(int slot, DevicePlace to, uint64_t size_bytes) = 0;
  virtual absl::Status Receive(int slot, DevicePlace from, uint64_t size_bytes) = 0;
  // Waits for the last copy that was queued with this slot.
  virtual absl::Status WaitFor(int slot) = 0;
  // Waits until nothing is under way, also after an error. What was sent is visible on the device.
  virtual absl::Status Finish() = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SUPPORT_STAGING_LANE_H_
