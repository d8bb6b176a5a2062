// Measures how close the reference kernel on a CUDA device comes to the speed of its memory: bytes
// per second of windows read (digest) and written (fill), beside the driver's fill and copy. Each
// iteration queues one operation. The benchmark waits for the device at the end of a batch.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tenure/allocator/cuda/device.h"
#include "tenure/base/status_macros.h"
#include "tenure/tests/tools/device_kernels.h"
#include "tenure/tools/trace/reference_kernel_image.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

// Returns the device's kernels, or the reason why there are none. They live as long as the program.
absl::StatusOr<DeviceKernels*> Kernels() {
  static absl::StatusOr<std::unique_ptr<DeviceKernels>>* const made = [] {
    const auto make = []() -> absl::StatusOr<std::unique_ptr<DeviceKernels>> {
      TENURE_ASSIGN_OR_RETURN(const cuda::Driver* driver, cuda::Driver::Default());
      TENURE_ASSIGN_OR_RETURN(std::shared_ptr<cuda::Device> device, cuda::Device::Open(*driver, 0));
      benchmark::AddCustomContext("gpu", device->info().name);
      benchmark::AddCustomContext("driver", std::to_string(driver->version()));
      return DeviceKernels::Make(device, ReferenceKernelImage());
    };
    return new absl::StatusOr<std::unique_ptr<DeviceKernels>>(make());
  }();
  if (!made->ok()) return made->status();
  return (*made)->get();
}

enum class Work { kDigest, kDigestUnaligned, kFill, kFillUnaligned, kFillHeads, kMemset, kCopy };

absl::Status Queue(Work work, DeviceKernels& device, uint64_t at, uint64_t size) {
  const CudaKernels& k = device.kernels();
  switch (work) {
    case Work::kDigest:
      return k.AddDigest(device.stream(), at, size, at + 2 * size);
    case Work::kDigestUnaligned:
      return k.AddDigest(device.stream(), at + 3, size, at + 2 * size);
    case Work::kFill:
      return k.Fill(device.stream(), at, size, {0, 1});
    case Work::kFillUnaligned:
      return k.Fill(device.stream(), at + 3, size, {0, 1});
    case Work::kFillHeads:  // attention heads, 2 bytes an element
      return k.FillStrided(device.stream(), at, size, {0, 1}, {12, size / 2 / 12 / 64, 64},
                           {64, 768, 1}, 2);
    case Work::kMemset:
      return k.Zero(device.stream(), at, size);
    case Work::kCopy:
      return device.CopyOnDevice(at + size, at, size);
  }
  return absl::InternalError("no such work");
}

void Run(benchmark::State& state, Work work) {
  const absl::StatusOr<DeviceKernels*> device = Kernels();
  if (!device.ok()) {
    state.SkipWithError(("not measured: " + std::string(device.status().message())).c_str());
    return;
  }
  const auto size = static_cast<uint64_t>(state.range(0)) * kMiB;
  const absl::StatusOr<uint64_t> at = (*device)->Allocate(2 * size + 256);
  if (!at.ok()) {
    state.SkipWithError(("not measured: " + std::string(at.status().message())).c_str());
    return;
  }
  absl::Status status = Queue(work, **device, *at, size);
  status.Update((*device)->Synchronize());
  for (auto _ : state) {
    for (int i = 0; i < 10; ++i) status.Update(Queue(work, **device, *at, size));
    status.Update((*device)->Synchronize());
  }
  if (!status.ok()) state.SkipWithError(std::string(status.message()).c_str());
  state.SetBytesProcessed(state.iterations() * 10 * static_cast<int64_t>(size));
  (*device)->Free(*at);
}

#define TENURE_KERNEL_BENCHMARK(name, work)                      \
  void name(benchmark::State& state) { Run(state, Work::work); } \
  BENCHMARK(name)->Arg(1)->Arg(16)->Arg(256)->Arg(1024)->ArgName("MiB")->UseRealTime()

TENURE_KERNEL_BENCHMARK(Digest, kDigest);
TENURE_KERNEL_BENCHMARK(DigestUnaligned, kDigestUnaligned);
TENURE_KERNEL_BENCHMARK(Fill, kFill);
TENURE_KERNEL_BENCHMARK(FillUnaligned, kFillUnaligned);
TENURE_KERNEL_BENCHMARK(FillHeads, kFillHeads);
TENURE_KERNEL_BENCHMARK(DriverMemset, kMemset);
TENURE_KERNEL_BENCHMARK(DriverCopy, kCopy);

}  // namespace
}  // namespace tenure
