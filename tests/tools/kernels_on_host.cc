#include "tenure/tests/tools/kernels_on_host.h"

#include <cstring>

// What CUDA's compiler has built in, as far as the kernels need it.
#define __global__
#define __device__
#define __grid_constant__
#define __launch_bounds__(...)
#define __syncthreads() static_cast<void>(0)

namespace tenure_kernel {
namespace {

struct Coordinate {
  unsigned x = 0;
};
thread_local Coordinate gridDim, blockDim, blockIdx, threadIdx;

struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
void __stcg(ulonglong2* at, const ulonglong2& value) { *at = value; }

}  // namespace
}  // namespace tenure_kernel

#include "tools/trace/reference_kernel.cu"

namespace tenure {

void LaunchOnHost(unsigned blocks, unsigned threads, const std::function<void()>& kernel) {
  using namespace tenure_kernel;
  gridDim.x = blocks;
  blockDim.x = threads;
  for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel();
  }
}

}  // namespace tenure
