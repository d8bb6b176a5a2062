// Release: microseconds to drop the last handle of a buffer behind 65 ms of kernels, with cuMemFree
// for comparison; the cost of growing and trimming the pool during that time; and the driver's
// calls that ours consist of.

#include <cstdint>
#include <memory>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/bench/cuda_bench_support.h"

namespace tenure::cuda {
namespace {

using bench::Check;
using bench::Clocks;
using bench::Median;

constexpr char kSpin[] = R"(
.version 7.0
.target sm_70
.address_size 64
.visible .entry spin(.param .u64 nanoseconds)
{
  .reg .u64 %limit, %begin, %now, %passed;
  .reg .pred %again;
  ld.param.u64 %limit, [nanoseconds];
  mov.u64 %begin, %globaltimer;
loop:
  mov.u64 %now, %globaltimer;
  sub.u64 %passed, %now, %begin;
  setp.lt.u64 %again, %passed, %limit;
  @%again bra loop;
  ret;
}
)";

void Spin(CUstream stream, uint64_t nanoseconds) {
  static CUfunction const spin = [] {
    CUmodule module = nullptr;
    CUfunction function = nullptr;
    Check(TENURE_CU(Cu(), ModuleLoadData, &module, kSpin));
    Check(TENURE_CU(Cu(), ModuleGetFunction, &function, module, "spin"));
    return function;
  }();
  void* params[] = {&nanoseconds};
  Check(TENURE_CU(Cu(), LaunchKernel, spin, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr));
}

void BM_Release(benchmark::State& state) {
  Device::Scope scope(*Gpu());
  std::shared_ptr<DeviceStream> stream = Must(DeviceStream::Create(Gpu()));
  Spin(stream->get(), 1000);
  std::vector<double> ours, rivals;
  for (auto _ : state) {
    Buffer buffer = MakeBuffer(Space(kDeviceSpace), 16 * kMiB);
    for (int i = 0; i < 65; ++i) Spin(stream->get(), 1000000);
    Check(buffer.RecordUse(Access::kWrite, Must(stream->Record())));
    const Clocks begin = Clocks::Now();
    buffer = Buffer();
    const double passed = Clocks::Now().wall - begin.wall;
    ours.push_back(passed * 1e6);
    state.SetIterationTime(passed);
    Check(stream->Synchronize());
    Space(kDeviceSpace).Poll();
    CUdeviceptr address = 0;
    Check(TENURE_CU(Cu(), MemAlloc, &address, 16 * kMiB));
    for (int i = 0; i < 65; ++i) Spin(stream->get(), 1000000);
    const Clocks before = Clocks::Now();
    Check(TENURE_CU(Cu(), MemFree, address));
    rivals.push_back((Clocks::Now().wall - before.wall) * 1e6);
    Check(stream->Synchronize());
  }
  state.counters["release_us"] = Median(ours);
  state.counters["cuMemFree_us"] = Median(rivals);
}
BENCHMARK(BM_Release)->Name("Release_behind_65ms")->Iterations(9)->UseManualTime();

// The pool's calls of the driver while unrelated kernels are queued.
void BM_GrowAndTrim(benchmark::State& state) {
  Device::Scope scope(*Gpu());
  std::shared_ptr<DeviceStream> stream = Must(DeviceStream::Create(Gpu()));
  Spin(stream->get(), 1000);
  std::vector<double> growing, trimming;
  for (auto _ : state) {
    auto allocator = Must(MakeAllocatorOn(Gpu(), kDeviceSpace, {}));
    for (int i = 0; i < 65; ++i) Spin(stream->get(), 1000000);
    const Clocks begin = Clocks::Now();
    const Allocation a = *allocator->Allocate({.size_bytes = 256 * kMiB});
    const Clocks middle = Clocks::Now();
    allocator->Deallocate(a, {});
    const Clocks freed = Clocks::Now();
    allocator->Trim(0);
    const Clocks end = Clocks::Now();
    growing.push_back((middle.wall - begin.wall) * 1e6);
    trimming.push_back((end.wall - freed.wall) * 1e6);
    state.SetIterationTime(middle.wall - begin.wall);
    Check(stream->Synchronize());
  }
  state.counters["grow_us"] = Median(growing);
  state.counters["trim_us"] = Median(trimming);
}
BENCHMARK(BM_GrowAndTrim)->Name("Grow_and_trim_behind_65ms")->Iterations(9)->UseManualTime();

void BM_Fence(benchmark::State& state) {
  std::shared_ptr<DeviceStream> stream = Must(DeviceStream::Create(Gpu()));
  Device::Scope scope(*Gpu());
  for (auto _ : state) benchmark::DoNotOptimize(Must(stream->Record()));
}
BENCHMARK(BM_Fence);

// The driver's calls that our calls consist of.
void BM_Scope(benchmark::State& state, bool current) {
  std::unique_ptr<Device::Scope> outer;
  if (current) outer = std::make_unique<Device::Scope>(*Gpu());
  for (auto _ : state) {
    Device::Scope scope(*Gpu());
    benchmark::DoNotOptimize(scope.status().ok());
  }
}
BENCHMARK_CAPTURE(BM_Scope, context_current, true);
BENCHMARK_CAPTURE(BM_Scope, context_not_current, false);

void BM_CaptureMode(benchmark::State& state) {
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  for (auto _ : state) (void)Cu()->ThreadExchangeStreamCaptureMode(&mode);
}
BENCHMARK(BM_CaptureMode);

}  // namespace
}  // namespace tenure::cuda
