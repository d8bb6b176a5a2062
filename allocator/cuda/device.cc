#include "tenure/allocator/cuda/device.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "absl/base/const_init.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// "GPU-" and 8-4-4-4-12 hexadecimal digits, as in nvidia-smi.
std::string UuidText(const CUuuid& uuid) {
  std::string hex = absl::BytesToHexString({uuid.bytes, sizeof(uuid.bytes)});
  for (const size_t dash : {20, 16, 12, 8}) hex.insert(dash, "-");
  return "GPU-" + hex;
}

absl::Status NoSuchDevice(uint32_t ordinal, int count) {
  return absl::UnavailableError(
      absl::StrCat("there is no CUDA device ", ordinal, ": the driver sees ", count,
                   count == 1 ? " device" : " devices",
                   " (CUDA_VISIBLE_DEVICES limits them); 'tenure devices' lists "
                   "them"));
}

absl::StatusOr<CUdevice> HandleOf(const Driver& driver, uint32_t ordinal) {
  int count = 0;
  const CUresult counted = driver->DeviceGetCount(&count);
  if (counted != CUDA_SUCCESS && counted != CUDA_ERROR_NO_DEVICE) {
    return driver.StatusOf(counted, "cuDeviceGetCount");
  }
  if (ordinal >= static_cast<uint32_t>(count)) return NoSuchDevice(ordinal, count);
  CUdevice device = 0;
  TENURE_RETURN_IF_ERROR(TENURE_CU(driver, DeviceGet, &device, static_cast<int>(ordinal)));
  return device;
}

// The devices that are open.
struct OpenDevices {
  absl::Mutex mutex;
  std::map<std::pair<const Driver*, uint32_t>, std::weak_ptr<Device>> devices
      ABSL_GUARDED_BY(mutex);
};
OpenDevices& Opened() {
  static auto* const opened = new OpenDevices;
  return *opened;
}

}  // namespace

absl::StatusOr<DeviceInfo> DescribeDevice(const Driver& driver, uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(CUdevice device, HandleOf(driver, ordinal));
  DeviceInfo info;
  info.ordinal = ordinal;
  info.driver_version = driver.version();
  char text[256] = {};
  absl::Status status = TENURE_CU(driver, DeviceGetName, text, sizeof(text) - 1, device);
  info.name = text;
  CUuuid uuid;
  if (status.ok()) status = TENURE_CU(driver, DeviceGetUuid, &uuid, device);
  if (status.ok()) info.uuid = UuidText(uuid);
  size_t total = 0;
  if (status.ok()) status = TENURE_CU(driver, DeviceTotalMem, &total, device);
  info.memory_total_bytes = total;
  std::memset(text, 0, sizeof(text));
  if (status.ok()) {
    status = TENURE_CU(driver, DeviceGetPCIBusId, text, sizeof(text) - 1, device);
    info.pci_bus_id = text;
  }
  auto attribute = [&](CUdevice_attribute which) {
    int value = 0;
    if (status.ok()) status = TENURE_CU(driver, DeviceGetAttribute, &value, which, device);
    return value;
  };
  info.compute_major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
  info.compute_minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  info.multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
  info.copy_engines = attribute(CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT);
  info.integrated = attribute(CU_DEVICE_ATTRIBUTE_INTEGRATED) != 0;
  info.virtual_memory = attribute(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED) != 0;
  info.managed_memory = attribute(CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY) != 0;
  info.concurrent_managed_access = attribute(CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS) != 0;
  info.pageable_memory_access = attribute(CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS) != 0;
  if (!status.ok()) return status;
  return info;
}

absl::StatusOr<std::vector<DeviceInfo>> DescribeDevices(const Driver& driver) {
  int count = 0;
  const CUresult counted = driver->DeviceGetCount(&count);
  if (counted != CUDA_ERROR_NO_DEVICE) {
    TENURE_RETURN_IF_ERROR(driver.StatusOf(counted, "cuDeviceGetCount"));
  }
  std::vector<DeviceInfo> all;
  for (int i = 0; i < count; ++i) {
    TENURE_ASSIGN_OR_RETURN(DeviceInfo info, DescribeDevice(driver, static_cast<uint32_t>(i)));
    // The driver reports free memory only within a context. A device that can't provide one is
    // still listed.
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(driver, info.ordinal);
    if (device.ok()) {
      Device::Scope scope(**device);
      size_t free = 0, total = 0;
      if (scope.status().ok() && driver->MemGetInfo(&free, &total) == CUDA_SUCCESS) {
        info.memory_free_bytes = free;
      }
    }
    all.push_back(std::move(info));
  }
  return all;
}

Device::Scope::Scope(const Device& device) : device_(device) {
  const Driver& driver = device.driver_;
  CUcontext current = nullptr;
  if (driver->CtxGetCurrent(&current) != CUDA_SUCCESS || current != device.context_) {
    status_ = TENURE_CU(driver, CtxPushCurrent, device.context_);
    if (!status_.ok()) return;
    pushed_ = true;
  }
  // If even this fails, the following calls report the reason.
  (void)driver->ThreadExchangeStreamCaptureMode(&mode_);
}

Device::Scope::~Scope() {
  if (!status_.ok()) return;
  (void)device_.driver_->ThreadExchangeStreamCaptureMode(&mode_);
  CUcontext popped = nullptr;
  if (pushed_) (void)device_.driver_->CtxPopCurrent(&popped);
}

absl::StatusOr<std::shared_ptr<Device>> Device::Open(const Driver& driver, uint32_t ordinal) {
  OpenDevices& opened = Opened();
  // Held while the device is opened, so that it is opened only once. This is rare.
  absl::MutexLock lock(&opened.mutex);
  std::weak_ptr<Device>& slot = opened.devices[{&driver, ordinal}];
  if (std::shared_ptr<Device> device = slot.lock()) return device;
  TENURE_ASSIGN_OR_RETURN(CUdevice handle, HandleOf(driver, ordinal));
  TENURE_ASSIGN_OR_RETURN(DeviceInfo info, DescribeDevice(driver, ordinal));
  CUcontext context = nullptr;
  absl::Status status = TENURE_CU(driver, DevicePrimaryCtxRetain, &context, handle);
  if (!status.ok()) {
    return absl::Status(status.code(), absl::StrCat("CUDA device ", ordinal, " (", info.name,
                                                    ") can't be used: ", status.message()));
  }
  // Not in DeviceInfo: a driver that does not know the question has no such semaphores.
  int shares_timelines = 0;
  if (driver->DeviceGetAttribute(&shares_timelines,
                                 CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED,
                                 handle) != CUDA_SUCCESS) {
    shares_timelines = 0;
  }
  std::shared_ptr<Device> device(
      new Device(driver, ordinal, handle, context, std::move(info), shares_timelines != 0));
  slot = device;
  return device;
}

Device::~Device() {
  {
    Scope scope(*this);
    semaphores_.reset();
    absl::MutexLock lock(&mutex_);
    for (CUevent event : events_) (void)driver_->EventDestroy(event);
  }
  if (driver_->DevicePrimaryCtxRelease(handle_) != CUDA_SUCCESS) {
    ReportToStderr(absl::StrCat("the context of CUDA device ", ordinal_, " could not be released"));
  }
}

absl::Status Device::TakeMemory(MemoryKind kind, uint64_t size_bytes) {
  absl::MutexLock lock(&memory_mutex_);
  if (kind == MemoryKind::kManaged || managed_bytes_ > 0) {
    Scope scope(*this);
    TENURE_RETURN_IF_ERROR(scope.status());
    size_t free = 0, total = 0;
    TENURE_RETURN_IF_ERROR(TENURE_CU(driver_, MemGetInfo, &free, &total));
    // Used bytes beyond those that were taken here belong to others. How much of the managed memory
    // is among the used bytes is not known, so the most that was ever seen counts.
    const uint64_t used = total - std::min(free, total);
    const uint64_t taken = device_bytes_ + managed_bytes_;
    const uint64_t others = used - std::min(used, taken);
    others_bytes_ = managed_bytes_ == 0 ? others : std::max(others_bytes_, others);
    const uint64_t room = total - std::min<uint64_t>(total, others_bytes_);
    if (size_bytes > room - std::min(room, taken)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the device has ", total, " bytes: others use ", others_bytes_, ", and this process has ",
          device_bytes_, " bytes of device memory and ", managed_bytes_,
          " of managed memory; no more is taken than fits, because devices hang beyond that"));
    }
  }
  (kind == MemoryKind::kManaged ? managed_bytes_ : device_bytes_) += size_bytes;
  return absl::OkStatus();
}

void Device::ReturnMemory(MemoryKind kind, uint64_t size_bytes) {
  absl::MutexLock lock(&memory_mutex_);
  (kind == MemoryKind::kManaged ? managed_bytes_ : device_bytes_) -= size_bytes;
}

absl::StatusOr<CUevent> Device::AcquireEvent() {
  {
    absl::MutexLock lock(&mutex_);
    if (!events_.empty()) {
      CUevent event = events_.back();
      events_.pop_back();
      return event;
    }
  }
  Scope scope(*this);
  TENURE_RETURN_IF_ERROR(scope.status());
  CUevent event = nullptr;
  TENURE_RETURN_IF_ERROR(TENURE_CU(driver_, EventCreate, &event, CU_EVENT_DISABLE_TIMING));
  return event;
}

void Device::ReleaseEvent(CUevent event) {
  absl::MutexLock lock(&mutex_);
  events_.push_back(event);
}

}  // namespace tenure::cuda
