// Vulkan's spaces beside what a program would do without tenure: the driver's own objects, and memcpy.
//
//   vulkan_bench --benchmark_filter=Copy
//
// The device is vulkan:0; TENURE_BENCH_VULKAN names another (a number, UUID or part of a name).
// Floors: an allocation is some cache misses; a copy is its bytes over the bandwidth of the bus or of
// the device's memory.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/memory_source.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/bench/pair.h"
#include "tenure/runtime/buffer.h"

namespace tenure::vulkan {
namespace {

constexpr uint64_t kKiB = uint64_t{1} << 10;
constexpr uint64_t kMiB = uint64_t{1} << 20;

template <typename T>
T Must(absl::StatusOr<T> value) {
  bench::Check(value.status());
  return *std::move(value);
}

const std::shared_ptr<Device>& Gpu() {
  static const auto* const device = [] {
    const char* wanted = std::getenv("TENURE_BENCH_VULKAN");
    const uint32_t ordinal = wanted == nullptr ? 0 : Must(FindDevice(wanted));
    return new std::shared_ptr<Device>(Must(Device::Open(Must(Instance::Default()), ordinal)));
  }();
  return *device;
}

Allocator& Space(SpaceKind kind) {
  static auto* const all = new std::vector<std::unique_ptr<Allocator>>;
  for (const auto& one : *all) {
    if (one->space().kind() == kind) return *one;
  }
  all->push_back(Must(VulkanAllocator::Create(kind, {}, Must(CopyEngine::Of(Gpu())))));
  return *all->back();
}

Buffer MakeBuffer(Allocator& allocator, uint64_t size) {
  return Must(Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size), {.immediate = true}));
}

// --- Allocations

void BM_AllocateAndFree(benchmark::State& state) {
  Allocator& space = Space(kDeviceSpace);
  const auto size = static_cast<uint64_t>(state.range(0));
  const Allocation kept = Must(space.Allocate({.size_bytes = size}));
  for (auto _ : state) {
    const Allocation made = Must(space.Allocate({.size_bytes = size}));
    space.Deallocate(made);
  }
  space.Deallocate(kept);
}
BENCHMARK(BM_AllocateAndFree)->Arg(4 * kKiB)->Arg(64 * kKiB)->Arg(kMiB);

void BM_BufferMadeAndDropped(benchmark::State& state) {
  Allocator& space = Space(kDeviceSpace);
  const auto size = static_cast<uint64_t>(state.range(0));
  const Buffer kept = MakeBuffer(space, size);
  for (auto _ : state) benchmark::DoNotOptimize(MakeBuffer(space, size));
}
BENCHMARK(BM_BufferMadeAndDropped)->Arg(4 * kKiB)->Arg(64 * kKiB)->Arg(kMiB);

// The driver's own: a VkBuffer with memory of its own.
void BM_DriverBufferMadeAndDropped(benchmark::State& state) {
  MemorySource source(Gpu(), ChooseMemory(Gpu()->physical(), Purpose::kDevice));
  const auto size = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) source.Release(Must(source.Acquire(size)));
}
BENCHMARK(BM_DriverBufferMadeAndDropped)->Arg(4 * kKiB)->Arg(64 * kKiB)->Arg(kMiB);

// 100,000 operations of random lives. `waste` is 1 - largest free / all free at the end.
void BM_RandomLives(benchmark::State& state) {
  double waste = 0;
  for (auto _ : state) {
    std::unique_ptr<VulkanAllocator> space =
        Must(VulkanAllocator::Create(kDeviceSpace, {}, Must(CopyEngine::Of(Gpu()))));
    std::mt19937 random(1);
    std::vector<Allocation> live;
    uint64_t bytes = 0;
    for (int i = 0; i < 100000; ++i) {
      const uint64_t size = uint64_t{256} << random() % 13;
      if (!live.empty() && (random() % 2 == 0 || bytes + size > 256 * kMiB)) {
        std::swap(live[random() % live.size()], live.back());
        bytes -= live.back().size_bytes;
        space->Deallocate(live.back());
        live.pop_back();
      } else {
        live.push_back(Must(space->Allocate({.size_bytes = size + random() % size})));
        bytes += live.back().size_bytes;
      }
    }
    const AllocatorStats stats = space->Stats();
    waste = 1 - static_cast<double>(stats.largest_free_bytes) /
                    static_cast<double>(std::max<uint64_t>(1, stats.cached_bytes));
    for (const Allocation& one : live) space->Deallocate(one);
  }
  state.counters["waste"] = waste;
  state.SetItemsProcessed(state.iterations() * 100000);
}
BENCHMARK(BM_RandomLives)->Unit(benchmark::kMillisecond);

// --- Copies

void SetBytes(benchmark::State& state, uint64_t size) {
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(size));
}

void BM_Memcpy(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  std::vector<std::byte> from(size, std::byte{1}), to(size);
  for (auto _ : state) {
    std::memcpy(to.data(), from.data(), size);
    benchmark::ClobberMemory();
  }
  SetBytes(state, size);
}
BENCHMARK(BM_Memcpy)->Arg(64 * kMiB)->UseRealTime();

void BM_UploadPageable(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const std::vector<std::byte> from(size, std::byte{1});
  const Buffer to = MakeBuffer(Space(kDeviceSpace), size);
  for (auto _ : state) bench::Check(to.CopyIn(from.data(), size));
  SetBytes(state, size);
}
BENCHMARK(BM_UploadPageable)
    ->Arg(4 * kKiB)
    ->Arg(kMiB)
    ->Arg(64 * kMiB)
    ->Arg(512 * kMiB)
    ->UseRealTime();

void BM_ReadbackPageable(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  std::vector<std::byte> to(size);
  const Buffer from = MakeBuffer(Space(kDeviceSpace), size);
  for (auto _ : state) bench::Check(from.CopyOut(to.data(), size));
  SetBytes(state, size);
}
BENCHMARK(BM_ReadbackPageable)
    ->Arg(4 * kKiB)
    ->Arg(kMiB)
    ->Arg(64 * kMiB)
    ->Arg(512 * kMiB)
    ->UseRealTime();

void BM_CopyBetween(benchmark::State& state, SpaceKind target, SpaceKind source) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const Buffer from = MakeBuffer(Space(source), size);
  const Buffer to = MakeBuffer(Space(target), size);
  const std::byte value{1};
  bench::Check(from.Fill(absl::MakeConstSpan(&value, 1)));
  for (auto _ : state) bench::Check(to.CopyFrom(from));
  SetBytes(state, size);
}
BENCHMARK_CAPTURE(BM_CopyBetween, Upload, kDeviceSpace, kUploadSpace)
    ->Arg(kMiB)
    ->Arg(64 * kMiB)
    ->Arg(512 * kMiB)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_CopyBetween, Readback, kReadbackSpace, kDeviceSpace)
    ->Arg(kMiB)
    ->Arg(64 * kMiB)
    ->Arg(512 * kMiB)
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_CopyBetween, Device, kDeviceSpace, kDeviceSpace)
    ->Arg(kMiB)
    ->Arg(64 * kMiB)
    ->Arg(512 * kMiB)
    ->UseRealTime();

void BM_FillDevice(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const Buffer to = MakeBuffer(Space(kDeviceSpace), size);
  const std::vector<std::byte> pattern(static_cast<size_t>(state.range(1)), std::byte{7});
  std::vector<std::byte> mixed = pattern;
  mixed[0] = std::byte{1};
  for (auto _ : state) bench::Check(to.Fill(mixed));
  SetBytes(state, size);
}
BENCHMARK(BM_FillDevice)->Args({512 * kMiB, 4})->Args({512 * kMiB, 16})->UseRealTime();

// --- Submissions

// A fence behind nothing, waited for by the host.
void BM_RecordAndWait(benchmark::State& state) {
  const std::shared_ptr<DeviceQueue> queue = Must(DeviceQueue::Create(Gpu()));
  for (auto _ : state) bench::Check(Must(queue->Record()).Wait());
}
BENCHMARK(BM_RecordAndWait)->UseRealTime();

void BM_SubmitACopy(benchmark::State& state) {
  const std::shared_ptr<DeviceQueue> queue = Must(DeviceQueue::Create(Gpu()));
  const Buffer from = MakeBuffer(Space(kDeviceSpace), 4096),
               to = MakeBuffer(Space(kDeviceSpace), 4096);
  int ahead = 0;
  for (auto _ : state) {
    const Fence done = Must(to.CopyFromAsync(from, {.queue = queue.get()}));
    if (++ahead % 256 == 0) bench::Check(done.Wait());
  }
}
BENCHMARK(BM_SubmitACopy)->UseRealTime();

}  // namespace
}  // namespace tenure::vulkan
