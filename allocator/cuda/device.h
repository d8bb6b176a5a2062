// Device: one CUDA device, as the allocators, streams and copies of this directory use it.
//
// It retains the primary context, which the CUDA runtime, PyTorch and all other code in the process
// use too, so addresses are valid everywhere. A Scope makes the context current, unless it is
// already, and restores the previous one at its end. Meanwhile the thread may make calls that are
// forbidden while another thread captures a stream (querying an event, allocating), because none of
// them affects the captured work.
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Device::Open(*driver, 0));
//   Device::Scope scope(*device);
//   TENURE_RETURN_IF_ERROR(scope.status());
//   TENURE_RETURN_IF_ERROR(TENURE_CU(device->driver(), MemAlloc, &address, size));
//
// Cost: opening a device takes 0.1 s the first time. A Scope takes 25 ns if the context is current.
// Events come from a pool. Thread safety: thread-safe; a Scope belongs to its thread. Ownership:
// shared by all users; the last one releases the context. The driver is borrowed and must outlive
// the device. Errors: Unavailable (no such device, or it can't be used), and the driver's.

#ifndef TENURE_ALLOCATOR_CUDA_DEVICE_H_
#define TENURE_ALLOCATOR_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/driver.h"
#include "tenure/allocator/cuda/semaphore_imports.h"
#include "tenure/allocator/external_memory.h"

namespace tenure::cuda {

class Device {
 public:
  // Opens the device. Returns the same object for as long as anybody holds it.
  static absl::StatusOr<std::shared_ptr<Device>> Open(const Driver& driver, uint32_t ordinal);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  class Scope {
   public:
    explicit Scope(const Device& device);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    const absl::Status& status() const { return status_; }

   private:
    const Device& device_;
    bool pushed_ = false;                                        // false: it was current already
    CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;  // the thread's previous mode
    absl::Status status_;
  };

  const Driver& driver() const { return driver_; }
  uint32_t ordinal() const { return ordinal_; }
  CUdevice handle() const { return handle_; }
  CUcontext context() const { return context_; }
  const DeviceInfo& info() const { return info_; }  // without memory_free_bytes

  // Counts memory of the device that this process takes from the driver. Managed memory may be on
  // the device or not, and all of it must fit there beside the device memory of this process and of
  // others, because devices have been seen to hang beyond that. ResourceExhausted: it would not fit.
  // Device memory alone is not checked, because the driver does that. Call TakeMemory before the
  // driver's call, and ReturnMemory if that fails or when the memory is freed.
  enum class MemoryKind { kDevice, kManaged };
  absl::Status TakeMemory(MemoryKind kind, uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(memory_mutex_);
  void ReturnMemory(MemoryKind kind, uint64_t size_bytes) ABSL_LOCKS_EXCLUDED(memory_mutex_);
  // The card that the device is (CardOfUuid).
  const std::string& card() const { return card_; }
  // The card, if other APIs of it can share timelines with the device; empty: none can.
  const std::string& shared_card() const { return shared_card_; }
  SemaphoreImports& semaphores() const { return *semaphores_; }

  // An event without timing. Release it when nobody will query it any more.
  absl::StatusOr<CUevent> AcquireEvent() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseEvent(CUevent event) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Device(const Driver& driver, uint32_t ordinal, CUdevice handle, CUcontext context,
         DeviceInfo info, bool shares_timelines)
      : driver_(driver),
        ordinal_(ordinal),
        handle_(handle),
        context_(context),
        info_(std::move(info)),
        card_(CardOfUuid(info_.uuid)),
        shared_card_(shares_timelines ? card_ : ""),
        semaphores_(std::make_unique<SemaphoreImports>(driver, ordinal)) {}

  const Driver& driver_;
  const uint32_t ordinal_;
  CUdevice handle_;
  CUcontext context_;
  const DeviceInfo info_;
  const std::string card_;
  const std::string shared_card_;
  std::unique_ptr<SemaphoreImports> semaphores_;
  absl::Mutex mutex_;
  std::vector<CUevent> events_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex memory_mutex_;
  uint64_t device_bytes_ ABSL_GUARDED_BY(memory_mutex_) = 0;
  uint64_t managed_bytes_ ABSL_GUARDED_BY(memory_mutex_) = 0;
  // The most that others used while managed memory was taken.
  uint64_t others_bytes_ ABSL_GUARDED_BY(memory_mutex_) = 0;
};

// The driver's description of a device. Only DescribeDevices fills in memory_free_bytes.
absl::StatusOr<DeviceInfo> DescribeDevice(const Driver& driver, uint32_t ordinal);
absl::StatusOr<std::vector<DeviceInfo>> DescribeDevices(const Driver& driver);

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_DEVICE_H_
