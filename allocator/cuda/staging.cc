#include "tenure/allocator/cuda/staging.h"

#include <utility>

#include "tenure/allocator/cuda/stream.h"

namespace tenure::cuda {

absl::StatusOr<std::unique_ptr<StagingLane>> CudaStagingLane::Make(std::shared_ptr<Device> device) {
  std::unique_ptr<CudaStagingLane> lane(new CudaStagingLane(std::move(device)));
  if (absl::Status status = lane->Prepare(); !status.ok()) return status;
  return lane;
}

StagingRing::Options CudaStagingLane::RingOptions(std::shared_ptr<Device> device) {
  return {.make_lane = [device = std::move(device)] { return Make(device); },
          .no_thread =
              "no thread can be made to copy through page-locked memory; end some threads, or copy "
              "from a buffer of 'cuda-pinned'"};
}

absl::Status CudaStagingLane::Prepare() {
  Device::Scope scope(*device_);
  const Driver& driver = device_->driver();
  absl::Status status = scope.status();
  if (status.ok()) status = TENURE_CU(driver, StreamCreate, &stream_, CU_STREAM_NON_BLOCKING);
  for (CUevent& event : events_) {
    if (status.ok()) status = TENURE_CU(driver, EventCreate, &event, CU_EVENT_DISABLE_TIMING);
  }
  if (!status.ok()) return status;
  void* memory = nullptr;
  status = TENURE_CU(driver, MemHostAlloc, &memory, 2 * kSlotBytes, CU_MEMHOSTALLOC_PORTABLE);
  if (status.ok()) slots_ = static_cast<std::byte*>(memory);
  return status;
}

CudaStagingLane::~CudaStagingLane() {
  Device::Scope scope(*device_);
  if (!scope.status().ok()) return;  // lost
  const Driver& driver = device_->driver();
  for (CUevent event : events_) {
    if (event != nullptr) (void)driver->EventDestroy(event);
  }
  if (stream_ != nullptr) (void)driver->StreamDestroy(stream_);
  if (slots_ != nullptr) (void)driver->MemFreeHost(slots_);
}

absl::Status CudaStagingLane::Begin() {
  scope_.emplace(*device_);
  absl::Status status = scope_->status();
  if (!status.ok()) scope_.reset();
  return status;
}

absl::Status CudaStagingLane::Send(int slot, DevicePlace to, uint64_t size_bytes) {
  const Driver& driver = device_->driver();
  absl::Status status =
      TENURE_CU(driver, MemcpyHtoDAsync, to.offset, this->slot(slot), size_bytes, stream_);
  if (status.ok()) status = TENURE_CU(driver, EventRecord, events_[slot], stream_);
  return status;
}

absl::Status CudaStagingLane::Receive(int slot, DevicePlace from, uint64_t size_bytes) {
  const Driver& driver = device_->driver();
  absl::Status status =
      TENURE_CU(driver, MemcpyDtoHAsync, this->slot(slot), from.offset, size_bytes, stream_);
  if (status.ok()) status = TENURE_CU(driver, EventRecord, events_[slot], stream_);
  return status;
}

absl::Status CudaStagingLane::WaitFor(int slot) {
  return TENURE_CU(device_->driver(), EventSynchronize, events_[slot]);
}

absl::Status CudaStagingLane::Finish() {
  absl::Status status = EndWork(*device_, stream_);
  scope_.reset();
  return status;
}

}  // namespace tenure::cuda
