// PyTorch's caching allocator as a library that cuda_bench can open. It is built on a machine that
// has PyTorch, against it (tools/dev/cuda_bundle's runner does this):
//
//   root=$(python3 -c 'import torch, os; print(os.path.dirname(torch.__file__))')
//   abi=$(python3 -c 'import torch; print(int(torch._C._GLIBCXX_USE_CXX11_ABI))')
//   g++ -O2 -std=c++17 -shared -fPIC -D_GLIBCXX_USE_CXX11_ABI=$abi bench/torch_rival.cc
//       -I$root/include -I/usr/local/cuda/include -L$root/lib -lc10 -lc10_cuda
//       -Wl,-rpath,$root/lib -o torch_rival.so

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>

namespace {

void Start() {
  static const bool started = [] {
    c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
    c10::cuda::set_device(0);
    return true;
  }();
  (void)started;
}

}  // namespace

extern "C" {

void* torch_rival_alloc(size_t size) {
  Start();
  return c10::cuda::CUDACachingAllocator::raw_alloc(size);
}

void torch_rival_free(void* pointer) { c10::cuda::CUDACachingAllocator::raw_delete(pointer); }

size_t torch_rival_reserved() {
  Start();
  return static_cast<size_t>(
      c10::cuda::CUDACachingAllocator::getDeviceStats(0).reserved_bytes[0].current);
}

void torch_rival_empty(void*) {
  Start();
  c10::cuda::CUDACachingAllocator::emptyCache();
}
}
