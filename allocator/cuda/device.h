// Device: one CUDA device as the allocators, streams and copies of this directory see it.
//
// It retains the primary context, the one that the CUDA runtime, PyTorch and everybody else in the
// process use too, once; addresses are therefore good everywhere. Nothing is made current behind
// the caller's back: Enter() pushes the context, unless it is current already, and the Scope pops
// it again. Meanwhile the thread may call what a stream capture elsewhere forbids to it (asking an
// event, allocating): none of it touches what is captured.
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Device::Open(*driver, 0));
//   Device::Scope scope(*device);
//   TENURE_RETURN_IF_ERROR(scope.status());
//   TENURE_RETURN_IF_ERROR(TENURE_CU(device->driver(), MemAlloc, &address, size));
//
// Cost: opening one takes 0.1 s, the first time. A Scope: 25 ns where the context is current.
// Events come from a pool. Thread safety: thread-safe; a Scope belongs to its thread. Ownership:
// shared by all that use it; the last one releases the context. The driver is borrowed and must
// outlive it. Errors: Unavailable (no such device, or it can't be used), and the driver's.

#ifndef TENURE_ALLOCATOR_CUDA_DEVICE_H_
#define TENURE_ALLOCATOR_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/driver.h"

namespace tenure::cuda {

class Device {
 public:
  // The same object for as long as anybody holds it.
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
    bool pushed_ = false;                                        // not: it was current already
    CUstreamCaptureMode mode_ = CU_STREAM_CAPTURE_MODE_RELAXED;  // the thread's own
    absl::Status status_;
  };

  const Driver& driver() const { return driver_; }
  uint32_t ordinal() const { return ordinal_; }
  CUdevice handle() const { return handle_; }
  CUcontext context() const { return context_; }
  const DeviceInfo& info() const { return info_; }  // without memory_free_bytes

  // An event without timing, to be given back when nobody will ask it any more.
  absl::StatusOr<CUevent> AcquireEvent() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReleaseEvent(CUevent event) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Device(const Driver& driver, uint32_t ordinal, CUdevice handle, CUcontext context,
         DeviceInfo info)
      : driver_(driver),
        ordinal_(ordinal),
        handle_(handle),
        context_(context),
        info_(std::move(info)) {}

  const Driver& driver_;
  const uint32_t ordinal_;
  CUdevice handle_;
  CUcontext context_;
  const DeviceInfo info_;
  absl::Mutex mutex_;
  std::vector<CUevent> events_ ABSL_GUARDED_BY(mutex_);
};

// What the driver tells of a device, memory_free_bytes only of all.
absl::StatusOr<DeviceInfo> DescribeDevice(const Driver& driver, uint32_t ordinal);
absl::StatusOr<std::vector<DeviceInfo>> DescribeDevices(const Driver& driver);

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_DEVICE_H_
