// Allocate: nanoseconds of an allocation and of a free that need no call of the driver, 100 of a
// size at a time (8 of 1 GiB). It compares ours through the virtual interface, cuMemAllocAsync with
// the pool's release threshold at its maximum, and PyTorch's raw_alloc and raw_delete. Mixed: sizes
// from 512 B to 16 MiB, with each doubling equally likely, and 500 alive; a step frees one at
// random and allocates another.

#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/bench/cuda_bench_support.h"

namespace tenure::cuda {
namespace {

using bench::Check;
using bench::Clocks;
using bench::Median;

constexpr int kLive = 500;

// Returns the medians over `rounds` of allocating `count` blocks and freeing them, in nanoseconds
// each.
template <typename Handle, typename Allocate, typename Free>
std::pair<double, double> TimeBoth(int count, int rounds, const Allocate& allocate,
                                   const Free& free) {
  std::vector<double> allocating, freeing;
  std::vector<Handle> held(static_cast<size_t>(count));
  for (int round = 0; round < rounds + 2; ++round) {
    const Clocks begin = Clocks::Now();
    for (Handle& handle : held) handle = allocate();
    const Clocks middle = Clocks::Now();
    for (Handle& handle : held) free(handle);
    const Clocks end = Clocks::Now();
    if (round < 2) continue;  // the first rounds bring memory in
    allocating.push_back((middle.wall - begin.wall) * 1e9 / count);
    freeing.push_back((end.wall - middle.wall) * 1e9 / count);
  }
  return {Median(allocating), Median(freeing)};
}

void SetThreshold() {
  CUmemoryPool pool = nullptr;
  uint64_t most = ~uint64_t{0};
  Device::Scope scope(*Gpu());
  Check(Cu().StatusOf(DriverCalls::Get().Pool(&pool, Gpu()->handle()), "pool"));
  Check(Cu().StatusOf(
      DriverCalls::Get().SetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &most), "pool"));
}

void BM_Allocate(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const int count = size >= kGiB ? 8 : 100;
  const int rounds = 200;
  for (auto _ : state) {
    {
      auto allocator = Must(MakeAllocatorOn(Gpu(), kDeviceSpace, {}));
      auto [allocate, free] = TimeBoth<Allocation>(
          count, rounds, [&] { return *allocator->Allocate({.size_bytes = size}); },
          [&](const Allocation& a) { allocator->Deallocate(a, {}); });
      state.counters["alloc_ns"] = allocate;
      state.counters["free_ns"] = free;
      state.SetIterationTime(allocate * 1e-9);
    }
    {
      SetThreshold();
      Device::Scope scope(*Gpu());
      CUstream stream = RivalStream();
      auto [allocate, free] = TimeBoth<CUdeviceptr>(
          count, rounds,
          [&] {
            CUdeviceptr p = 0;
            (void)Cu()->MemAllocAsync(&p, size, stream);
            return p;
          },
          [&](CUdeviceptr p) { (void)Cu()->MemFreeAsync(p, stream); });
      (void)Cu()->StreamSynchronize(stream);
      state.counters["async_alloc_ns"] = allocate;
      state.counters["async_free_ns"] = free;
    }
    if (Torch::Get().alloc != nullptr) {
      const Torch& torch = Torch::Get();
      auto [allocate, free] = TimeBoth<void*>(
          count, rounds, [&] { return torch.alloc(size); }, [&](void* p) { torch.free(p); });
      state.counters["torch_alloc_ns"] = allocate;
      state.counters["torch_free_ns"] = free;
      torch.empty(nullptr);
    }
  }
}
BENCHMARK(BM_Allocate)
    ->Name("Allocate")
    ->Arg(4 * kKiB)
    ->Arg(64 * kKiB)
    ->Arg(kMiB)
    ->Arg(16 * kMiB)
    ->Arg(256 * kMiB)
    ->Arg(kGiB)
    ->Iterations(1)
    ->UseManualTime();

uint64_t MixedSize(std::mt19937_64& random) {
  const double power = 9 + 15 * std::uniform_real_distribution<double>()(random);
  return static_cast<uint64_t>(std::exp2(power));
}

template <typename Handle, typename Allocate, typename Free>
double MixedStep(const Allocate& allocate, const Free& free) {
  std::mt19937_64 random(7);
  constexpr int kSteps = 200000;
  // The steps are drawn beforehand, so that only the allocator is timed.
  std::vector<std::pair<int, uint64_t>> steps(kSteps);
  for (auto& [slot, size] : steps) {
    slot = static_cast<int>(random() % kLive);
    size = MixedSize(random);
  }
  std::vector<Handle> live;
  for (int i = 0; i < kLive; ++i) live.push_back(allocate(MixedSize(random)));
  const int warm = kSteps / 2;
  Clocks begin;
  for (int i = 0; i < kSteps; ++i) {
    if (i == warm) begin = Clocks::Now();
    auto [slot, size] = steps[static_cast<size_t>(i)];
    free(live[static_cast<size_t>(slot)]);
    live[static_cast<size_t>(slot)] = allocate(size);
  }
  const double seconds = Clocks::Now().wall - begin.wall;
  for (Handle& handle : live) free(handle);
  return seconds * 1e9 / (kSteps - warm);
}

void BM_Mixed(benchmark::State& state) {
  for (auto _ : state) {
    {
      auto allocator = Must(MakeAllocatorOn(Gpu(), kDeviceSpace, {}));
      const double step = MixedStep<Allocation>(
          [&](uint64_t size) { return *allocator->Allocate({.size_bytes = size}); },
          [&](const Allocation& a) { allocator->Deallocate(a, {}); });
      state.counters["step_ns"] = step;
      state.counters["reserved_MiB"] =
          static_cast<double>(allocator->Stats().reserved_bytes) / static_cast<double>(kMiB);
      state.SetIterationTime(step * 1e-9);
    }
    if (Torch::Get().alloc != nullptr) {
      const Torch& torch = Torch::Get();
      torch.empty(nullptr);
      state.counters["torch_step_ns"] = MixedStep<void*>(
          [&](uint64_t size) { return torch.alloc(size); }, [&](void* p) { torch.free(p); });
      state.counters["torch_reserved_MiB"] =
          static_cast<double>(torch.reserved()) / static_cast<double>(kMiB);
      torch.empty(nullptr);
    }
  }
}
BENCHMARK(BM_Mixed)->Name("Mixed")->Iterations(1)->UseManualTime();

}  // namespace
}  // namespace tenure::cuda
