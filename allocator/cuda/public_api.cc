// What cuda.h and allocators.h promise, by way of the process's own driver.

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

namespace tenure::cuda {
namespace {

absl::StatusOr<std::shared_ptr<Device>> OpenDefault(uint32_t ordinal) {
  absl::StatusOr<const Driver*> driver = Driver::Default();
  if (!driver.ok()) return driver.status();
  return Device::Open(**driver, ordinal);
}

}  // namespace

absl::StatusOr<std::vector<DeviceInfo>> Devices() {
  absl::StatusOr<const Driver*> driver = Driver::Default();
  if (!driver.ok()) return driver.status();
  return DescribeDevices(**driver);
}

absl::StatusOr<uint32_t> FindDevice(std::string_view selector) {
  absl::StatusOr<std::vector<DeviceInfo>> devices = Devices();
  if (!devices.ok()) return devices.status();
  return SelectDevice(*devices, selector);
}

absl::StatusOr<std::shared_ptr<Stream>> Stream::Create(uint32_t ordinal) {
  absl::StatusOr<std::shared_ptr<Device>> device = OpenDefault(ordinal);
  if (!device.ok()) return device.status();
  return DeviceStream::Create(*std::move(device));
}

absl::StatusOr<std::shared_ptr<Stream>> Stream::Wrap(uint32_t ordinal, uint64_t handle) {
  absl::StatusOr<std::shared_ptr<Device>> device = OpenDefault(ordinal);
  if (!device.ok()) return device.status();
  return DeviceStream::Wrap(*std::move(device), reinterpret_cast<CUstream>(handle));
}

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace& space,
                                                         const AllocatorOptions& options) {
  absl::StatusOr<std::shared_ptr<Device>> device = OpenDefault(space.ordinal());
  if (!device.ok()) return device.status();
  return MakeAllocatorOn(*std::move(device), space.kind(), options);
}

SpaceDriver CudaDriver() {
  return {.name = std::string(kDriverName),
          .spaces = {kDeviceSpace, kUnifiedSpace, kPinnedSpace},
          .factory = [](const MemorySpace& space) { return MakeAllocator(space); },
          .routes = RegisterCopyRoutes,
          .devices = []() -> absl::StatusOr<std::vector<SpaceDevice>> {
            absl::StatusOr<std::vector<DeviceInfo>> found = Devices();
            if (!found.ok()) return found.status();
            std::vector<SpaceDevice> devices;
            for (DeviceInfo& device : *found) {
              devices.push_back({device.ordinal, std::move(device.name)});
            }
            return devices;
          }};
}

}  // namespace tenure::cuda
