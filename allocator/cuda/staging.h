// CudaStagingLane: how one thread of a StagingRing (allocator/support/staging_ring.h) moves bytes to
// a CUDA device and back: two slots of page-locked memory, a stream, and an event for each slot.
//
// Cost: 4 MiB of page-locked memory each. copy_engine.h says from which size on the ring pays off;
// GB/s with 1, 2, 4 and 8 threads on an H200: docs/cuda.md.
// Thread safety: as StagingLane. Ownership: shares the device. Errors: the driver's (no page-locked
// memory, for instance).

#ifndef TENURE_ALLOCATOR_CUDA_STAGING_H_
#define TENURE_ALLOCATOR_CUDA_STAGING_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/support/staging_lane.h"
#include "tenure/allocator/support/staging_ring.h"

namespace tenure::cuda {

class CudaStagingLane final : public StagingLane {
 public:
  static absl::StatusOr<std::unique_ptr<StagingLane>> Make(std::shared_ptr<Device> device);
  // Of a ring whose lanes go to this device. Places are device addresses.
  static StagingRing::Options RingOptions(std::shared_ptr<Device> device);
  ~CudaStagingLane() override;

  std::byte* slot(int number) override {
    return slots_ + static_cast<uint64_t>(number) * kSlotBytes;
  }
  absl::Status Begin() override;
  absl::Status Send(int slot, DevicePlace to, uint64_t size_bytes) override;
  absl::Status Receive(int slot, DevicePlace from, uint64_t size_bytes) override;
  absl::Status WaitFor(int slot) override;
  absl::Status Finish() override;

 private:
  explicit CudaStagingLane(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  absl::Status Prepare();

  const std::shared_ptr<Device> device_;
  std::optional<Device::Scope> scope_;  // from Begin to Finish
  CUstream stream_ = nullptr;
  CUevent events_[2] = {};
  std::byte* slots_ = nullptr;
};

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_STAGING_H_
