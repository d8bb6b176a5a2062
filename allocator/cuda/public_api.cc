// Implements cuda.h and allocators.h with the process's default driver.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/copy_routes.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

absl::StatusOr<std::shared_ptr<Device>> OpenDefault(uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(const Driver* const driver, Driver::Default());
  return Device::Open(*driver, ordinal);
}

SpaceDevice Described(const DeviceInfo& info) {
  SpaceDevice device{.ordinal = info.ordinal, .name = info.name, .uuid = info.uuid, .summary = {}};
  const std::string capability = absl::StrCat(info.compute_major, ".", info.compute_minor);
  device.summary = absl::StrCat("compute capability ", capability);
  device.facts = {
      {"pci_bus_id", info.pci_bus_id},
      {"compute_capability", capability},
      {"memory_total_bytes", info.memory_total_bytes},
      {"memory_free_bytes", info.memory_free_bytes},
      {"driver", absl::StrCat(info.driver_version / 1000, ".", info.driver_version % 1000 / 10)},
  };
  return device;
}

absl::StatusOr<std::vector<SpaceDevice>> DescribedDevices() {
  TENURE_ASSIGN_OR_RETURN(const std::vector<DeviceInfo> found, Devices());
  std::vector<SpaceDevice> devices;
  devices.reserve(found.size());
  for (const DeviceInfo& info : found) devices.push_back(Described(info));
  return devices;
}

}  // namespace

absl::StatusOr<std::vector<DeviceInfo>> Devices() {
  TENURE_ASSIGN_OR_RETURN(const Driver* const driver, Driver::Default());
  return DescribeDevices(*driver);
}

absl::StatusOr<uint32_t> FindDevice(std::string_view selector) {
  TENURE_ASSIGN_OR_RETURN(const std::vector<SpaceDevice> devices, DescribedDevices());
  return SelectDevice(devices, "CUDA", selector);
}

absl::StatusOr<std::shared_ptr<Stream>> Stream::Create(uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, OpenDefault(ordinal));
  return DeviceStream::Create(std::move(device));
}

absl::StatusOr<std::shared_ptr<Stream>> Stream::Wrap(uint32_t ordinal, uint64_t handle) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, OpenDefault(ordinal));
  return DeviceStream::Wrap(std::move(device), reinterpret_cast<CUstream>(handle));
}

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, OpenDefault(space.ordinal()));
  return MakeAllocatorOn(std::move(device), space.kind(), options);
}

SpaceDriver CudaDriver() {
  return {.name = std::string(kDriverName),
          .spaces = {kDeviceSpace, kUnifiedSpace, kPinnedSpace},
          .factory = [](const MemorySpace& space) { return MakeAllocator(space); },
          .routes = RegisterCopyRoutes,
          .devices = DescribedDevices};
}

}  // namespace tenure::cuda
