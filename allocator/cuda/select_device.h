// SelectDevice: finds the device that a user named. Thread safety: a free function.

#ifndef TENURE_ALLOCATOR_CUDA_SELECT_DEVICE_H_
#define TENURE_ALLOCATOR_CUDA_SELECT_DEVICE_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/allocator/cuda/cuda.h"

namespace tenure::cuda {

// FindDevice (cuda.h) among the given devices.
absl::StatusOr<uint32_t> SelectDevice(const std::vector<DeviceInfo>& devices,
                                      std::string_view selector);

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_SELECT_DEVICE_H_
