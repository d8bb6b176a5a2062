// Shared by the benchmarks of CUDA's spaces: the device, buffers on it, and the rivals.
//
// Thread safety: single-threaded. Ownership: all returned objects live as long as the process.
// Errors: the process ends, because a benchmark can't continue.

#ifndef TENURE_BENCH_CUDA_BENCH_SUPPORT_H_
#define TENURE_BENCH_CUDA_BENCH_SUPPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/device.h"
#include "tenure/bench/pair.h"
#include "tenure/runtime/buffer.h"

namespace tenure::cuda {

inline constexpr uint64_t kKiB = uint64_t{1} << 10;
inline constexpr uint64_t kMiB = uint64_t{1} << 20;
inline constexpr uint64_t kGiB = uint64_t{1} << 30;

template <typename T>
T Must(absl::StatusOr<T> value) {
  bench::Check(value.status());
  return *std::move(value);
}

// Driver calls that only the rivals make.
struct DriverCalls {
  PFN_cuMemcpyHtoD_v3020 HtoD;
  PFN_cuMemcpyDtoH_v3020 DtoH;
  PFN_cuStreamQuery_v2000 Query;
  PFN_cuDeviceGetDefaultMemPool_v11020 Pool;
  PFN_cuMemPoolSetAttribute_v11020 SetAttribute;

  static const DriverCalls& Get();
};

// PyTorch's caching allocator. Its pointers are null if TENURE_TORCH_RIVAL names no library.
struct Torch {
  void* (*alloc)(size_t) = nullptr;
  void (*free)(void*) = nullptr;
  size_t (*reserved)() = nullptr;
  void (*empty)(void*) = nullptr;

  static const Torch& Get();
};

const std::shared_ptr<Device>& Gpu();
const Driver& Cu();
// The stream on which the rivals' work is queued.
CUstream RivalStream();

// Returns the allocator of a space. It is made when it is first needed.
Allocator& Space(SpaceKind kind);
Buffer MakeBuffer(Allocator& allocator, uint64_t size);

}  // namespace tenure::cuda

#endif  // TENURE_BENCH_CUDA_BENCH_SUPPORT_H_
