// Implements cuda.h and allocators.h for builds without the CUDA Toolkit's headers.

#include <string>
#include <vector>

#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/cuda/cuda.h"

namespace tenure::cuda {
namespace {

absl::Status NotBuilt() {
  return absl::UnimplementedError(
      "this was built without CUDA: the CUDA Toolkit's header cuda.h was not found. Install the "
      "toolkit (or set CUDA_HOME to it) and build again; a GPU is not needed for building");
}

}  // namespace

struct Timestamp::Recorded {};

absl::StatusOr<absl::Duration> Timestamp::Since(const Timestamp&) const { return NotBuilt(); }
absl::StatusOr<std::vector<DeviceInfo>> Devices() { return NotBuilt(); }
absl::StatusOr<uint32_t> FindDevice(std::string_view) { return NotBuilt(); }
absl::StatusOr<std::shared_ptr<Stream>> Stream::Create(uint32_t) { return NotBuilt(); }
absl::StatusOr<std::shared_ptr<Stream>> Stream::Wrap(uint32_t, uint64_t) { return NotBuilt(); }
absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocator(const MemorySpace&,
                                                         const AllocatorOptions&) {
  return NotBuilt();
}

SpaceDriver CudaDriver() {
  return {.name = std::string(kDriverName),
          .spaces = {kDeviceSpace, kUnifiedSpace, kPinnedSpace},
          .factory = [](const MemorySpace& space) { return MakeAllocator(space); },
          .devices = []() -> absl::StatusOr<std::vector<SpaceDevice>> { return NotBuilt(); }};
}

}  // namespace tenure::cuda
