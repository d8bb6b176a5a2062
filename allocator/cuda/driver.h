// Driver: CUDA's driver, opened at run time, as a table of entry points.
//
// Why a table: one binary must run on machines without a GPU, so nothing of CUDA is linked. Tests
// replace the table to make calls fail, or to run without a GPU. The table holds only the calls
// that this project makes. Each entry point is requested by the version of its interface, so that a
// newer driver with another default still returns the interface that was compiled against.
//
//   TENURE_ASSIGN_OR_RETURN(const Driver* driver, Driver::Default());      // libcuda.so.1, once
//   TENURE_RETURN_IF_ERROR(TENURE_CU(*driver, MemAlloc, &address, size));
//
// For this directory, its tests and the tools that launch kernels. It includes CUDA's cuda.h, which
// public headers do not.
//
// Cost: opening the driver takes 0.1 s, once. A call costs one indirection.
// Thread safety: thread-safe. Ownership: the default driver is never closed; devices borrow their
// driver.
// Errors: Unavailable (no driver, a driver that is too old, no device), and those of StatusOf.

#ifndef TENURE_ALLOCATOR_CUDA_DRIVER_H_
#define TENURE_ALLOCATOR_CUDA_DRIVER_H_

#include <cuda.h>
#include <cudaTypedefs.h>

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tenure::cuda {

// All entry points: the name without "cu", and the CUDA version of the interface. GetProcAddress is
// found first, by dlsym, and finds the others.
#define TENURE_CUDA_ENTRY_POINTS(X)         \
  X(Init, 2000)                             \
  X(DriverGetVersion, 2020)                 \
  X(GetErrorName, 6000)                     \
  X(GetErrorString, 6000)                   \
  X(DeviceGetCount, 2000)                   \
  X(DeviceGet, 2000)                        \
  X(DeviceGetName, 2000)                    \
  X(DeviceGetUuid, 11040)                   \
  X(DeviceTotalMem, 3020)                   \
  X(DeviceGetAttribute, 2000)               \
  X(DeviceGetPCIBusId, 4010)                \
  X(DeviceCanAccessPeer, 4000)              \
  X(DevicePrimaryCtxRetain, 7000)           \
  X(DevicePrimaryCtxRelease, 11000)         \
  X(CtxGetCurrent, 4000)                    \
  X(CtxPushCurrent, 4000)                   \
  X(CtxPopCurrent, 4000)                    \
  X(MemGetInfo, 3020)                       \
  X(MemAlloc, 3020)                         \
  X(MemFree, 3020)                          \
  X(MemAllocManaged, 6000)                  \
  X(MemHostAlloc, 2020)                     \
  X(MemFreeHost, 2000)                      \
  X(MemHostRegister, 6050)                  \
  X(MemHostUnregister, 4000)                \
  X(MemGetAddressRange, 3020)               \
  X(PointerGetAttributes, 7000)             \
  X(MemGetAllocationGranularity, 10020)     \
  X(MemAddressReserve, 10020)               \
  X(MemAddressFree, 10020)                  \
  X(MemCreate, 10020)                       \
  X(MemRelease, 10020)                      \
  X(MemMap, 10020)                          \
  X(MemUnmap, 10020)                        \
  X(MemSetAccess, 10020)                    \
  X(MemExportToShareableHandle, 10020)      \
  X(MemImportFromShareableHandle, 10020)    \
  X(IpcGetMemHandle, 4010)                  \
  X(IpcOpenMemHandle, 11000)                \
  X(IpcCloseMemHandle, 4010)                \
  X(ImportExternalMemory, 10000)            \
  X(ExternalMemoryGetMappedBuffer, 10000)   \
  X(DestroyExternalMemory, 10000)           \
  X(ImportExternalSemaphore, 10000)         \
  X(SignalExternalSemaphoresAsync, 10000)   \
  X(WaitExternalSemaphoresAsync, 10000)     \
  X(DestroyExternalSemaphore, 10000)        \
  X(MemPrefetchAsync, 12020)                \
  X(MemAdvise, 12020)                       \
  X(MemcpyAsync, 4000)                      \
  X(MemcpyHtoDAsync, 3020)                  \
  X(MemcpyDtoHAsync, 3020)                  \
  X(MemcpyDtoDAsync, 3020)                  \
  X(MemsetD8Async, 3020)                    \
  X(MemsetD16Async, 3020)                   \
  X(MemsetD32Async, 3020)                   \
  X(StreamCreate, 2000)                     \
  X(StreamDestroy, 4000)                    \
  X(StreamSynchronize, 2000)                \
  X(StreamWaitEvent, 3020)                  \
  X(MemAllocAsync, 11020)                   \
  X(MemFreeAsync, 11020)                    \
  X(StreamIsCapturing, 10000)               \
  X(ThreadExchangeStreamCaptureMode, 10010) \
  X(StreamGetCtx, 9020)                     \
  X(EventCreate, 2000)                      \
  X(EventDestroy, 4000)                     \
  X(EventRecord, 2000)                      \
  X(EventQuery, 2000)                       \
  X(EventSynchronize, 2000)                 \
  X(EventElapsedTime, 2000)                 \
  X(ModuleLoadData, 2000)                   \
  X(ModuleUnload, 2000)                     \
  X(ModuleGetFunction, 2000)                \
  X(LaunchKernel, 4000)

struct DriverTable {
#define TENURE_X(name, version) PFN_cu##name##_v##version name = nullptr;
  TENURE_CUDA_ENTRY_POINTS(TENURE_X)
#undef TENURE_X
};

// The oldest driver that has all entry points: CUDA 12.2.
inline constexpr int kOldestDriver = 12020;

class Driver {
 public:
  // The driver of libcuda.so.1. The first call opens and initialises it. After a failure, the next
  // call tries again.
  static absl::StatusOr<const Driver*> Default();

  // A driver whose calls go to the given table. Initialises it. The table must have every entry.
  static absl::StatusOr<Driver> FromTable(const DriverTable& table);

  const DriverTable& table() const { return table_; }
  const DriverTable* operator->() const { return &table_; }
  int version() const { return version_; }  // 12020 is CUDA 12.2

  // OK, or an error with the name of the call and the driver's name and text for the error.
  // ResourceExhausted: out of memory. Unavailable: there is no driver, device or context any more.
  // InvalidArgument. Unimplemented: not supported. FailedPrecondition: not allowed while a stream
  // is captured. Internal: a kernel or the device failed, and nothing on this device works from
  // then on.
  absl::Status StatusOf(CUresult result, std::string_view call) const {
    return result == CUDA_SUCCESS ? absl::OkStatus() : ErrorOf(result, call);
  }

 private:
  explicit Driver(const DriverTable& table) : table_(table) {}
  absl::Status ErrorOf(CUresult result, std::string_view call) const;
  absl::Status Initialize();

  DriverTable table_;
  int version_ = 0;
};

// TENURE_CU(driver, MemAlloc, &p, n) calls cuMemAlloc(&p, n) and returns its status. It is a macro
// because the error contains the name of the call.
#define TENURE_CU(driver, name, ...) \
  (driver).StatusOf((driver).table().name(__VA_ARGS__), "cu" #name)

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_DRIVER_H_
