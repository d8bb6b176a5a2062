// Measures CUDA's spaces on a real device, beside the driver's own calls and, if it is available,
// PyTorch's caching allocator, in one run. The cases are in cuda_allocation_bench.cc,
// cuda_copy_bench.cc and cuda_release_bench.cc.
//
//   bazel run -c opt //bench:cuda_bench
//   TENURE_TORCH_RIVAL=torch_rival.so cuda_bench       (bench/torch_rival.cc says how to build it)

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tenure/bench/cuda_bench_support.h"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  absl::StatusOr<const tenure::cuda::Driver*> driver = tenure::cuda::Driver::Default();
  absl::Status status = driver.status();
  std::shared_ptr<tenure::cuda::Device> device;
  if (status.ok()) {
    absl::StatusOr<std::shared_ptr<tenure::cuda::Device>> opened =
        tenure::cuda::Device::Open(**driver, 0);
    status = opened.status();
    if (status.ok()) device = *opened;
  }
  if (device == nullptr) {
    std::printf("skipped: %s\n", std::string(status.message()).c_str());
    return 0;
  }
  benchmark::AddCustomContext("gpu", device->info().name);
  benchmark::AddCustomContext("cuda_driver", absl::StrCat(device->info().driver_version));
  const bool torch = tenure::cuda::Torch::Get().alloc != nullptr;
  benchmark::AddCustomContext("pytorch", torch ? "yes" : "no");
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
