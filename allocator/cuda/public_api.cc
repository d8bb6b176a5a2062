// Implements cuda.h and allocators.h with the process's default driver.

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tenure/allocator/cuda/copy_routes.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/allocator/cuda/select_device.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

absl::StatusOr<std::shared_ptr<Device>> OpenDefault(uint32_t ordinal) {
  TENURE_ASSIGN_OR_RETURN(const Driver* const driver, Driver::Default());
  return Device::Open(*driver, ordinal);
}

}  // namespace

absl::StatusOr<std::vector<DeviceInfo>> Devices() {
  TENURE_ASSIGN_OR_RETURN(const Driver* const driver, Driver::Default());
  return DescribeDevices(*driver);
}

absl::StatusOr<uint32_t> FindDevice(std::string_view selector) {
  TENURE_ASSIGN_OR_RETURN(std::vector<DeviceInfo> devices, Devices());
  return SelectDevice(devices, selector);
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
          .devices = []() -> absl::StatusOr<std::vector<SpaceDevice>> {
            TENURE_ASSIGN_OR_RETURN(std::vector<DeviceInfo> found, Devices());
            std::vector<SpaceDevice> devices;
            devices.reserve(found.size());
            for (DeviceInfo& device : found) {
              devices.push_back({device.ordinal, std::move(device.name)});
            }
            return devices;
          }};
}

}  // namespace tenure::cuda
