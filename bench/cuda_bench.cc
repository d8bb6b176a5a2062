// CUDA's spaces on a real device, beside the driver's own calls and, where it is there, PyTorch's
// caching allocator, in one run.
//
//   bazel run -c opt //bench:cuda_bench
//   TENURE_TORCH_RIVAL=torch_rival.so cuda_bench       (bench/torch_rival.cc says how to build it)
//
// Allocate: nanoseconds of an allocation and of a free that need nothing from the driver, 100 of a
// size at a time (8 of 1 GiB): ours through the virtual interface, cuMemAllocAsync with the pool's
// release threshold at its maximum, PyTorch's raw_alloc and raw_delete. Mixed: sizes from 512 B to
// 16 MiB, each doubling as likely, 500 alive; a step frees one at random and allocates another.
// Copies: GB/s of ours and of the driver's best call for the same. Release: microseconds to drop
// the last handle of a buffer behind 65 ms of kernels, and cuMemFree for comparison.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/bench/pair.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/copy_many.h"

namespace tenure::cuda {
namespace {

using bench::Check;
using bench::Clocks;
using bench::MeasurePair;
using bench::Median;

constexpr uint64_t kKiB = uint64_t{1} << 10;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr int kLive = 500;

template <typename T>
T Must(absl::StatusOr<T> value) {
  Check(value.status());
  return *std::move(value);
}

// Calls that only rivals make.
struct DriverCalls {
  PFN_cuMemcpyHtoD_v3020 HtoD;
  PFN_cuMemcpyDtoH_v3020 DtoH;
  PFN_cuStreamQuery_v2000 Query;
  PFN_cuDeviceGetDefaultMemPool_v11020 Pool;
  PFN_cuMemPoolSetAttribute_v11020 SetAttribute;

  static const DriverCalls& Get() {
    static const DriverCalls calls = [] {
      void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
      auto find = [&](const char* name, auto& entry) {
        entry = reinterpret_cast<std::decay_t<decltype(entry)>>(dlsym(library, name));
        if (entry == nullptr) std::abort();
      };
      DriverCalls found;
      find("cuMemcpyHtoD_v2", found.HtoD);
      find("cuMemcpyDtoH_v2", found.DtoH);
      find("cuStreamQuery", found.Query);
      find("cuDeviceGetDefaultMemPool", found.Pool);
      find("cuMemPoolSetAttribute", found.SetAttribute);
      return found;
    }();
    return calls;
  }
};

const std::shared_ptr<Device>& Gpu() {
  static const auto* const gpu =
      new std::shared_ptr<Device>(Must(Device::Open(*Must(Driver::Default()), 0)));
  return *gpu;
}
const Driver& Cu() { return Gpu()->driver(); }

Allocator& Space(SpaceKind kind) {
  static auto* const all = new std::map<SpaceKind, std::unique_ptr<Allocator>>;
  std::unique_ptr<Allocator>& slot = (*all)[kind];
  if (slot == nullptr) slot = Must(MakeAllocatorOn(Gpu(), kind, {}));
  return *slot;
}

Buffer MakeBuffer(Allocator& allocator, uint64_t size) {
  return Must(Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size), {.immediate = true}));
}

// ------------------------------------------------------------------------------------------------
// allocation

using TorchAlloc = void* (*)(size_t);
using TorchFree = void (*)(void*);
using TorchReserved = size_t (*)();
struct Torch {
  TorchAlloc alloc = nullptr;
  TorchFree free = nullptr;
  TorchReserved reserved = nullptr;
  TorchFree empty = nullptr;

  static const Torch& Get() {
    static const Torch torch = [] {
      Torch found;
      const char* path = std::getenv("TENURE_TORCH_RIVAL");
      if (path == nullptr) return found;
      void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) {
        std::fprintf(stderr, "no PyTorch: %s\n", dlerror());
        return found;
      }
      found.alloc = reinterpret_cast<TorchAlloc>(dlsym(library, "torch_rival_alloc"));
      found.free = reinterpret_cast<TorchFree>(dlsym(library, "torch_rival_free"));
      found.reserved = reinterpret_cast<TorchReserved>(dlsym(library, "torch_rival_reserved"));
      found.empty = reinterpret_cast<TorchFree>(dlsym(library, "torch_rival_empty"));
      return found;
    }();
    return torch;
  }
};

// Medians of `rounds` of allocating `count` and freeing them, in nanoseconds each.
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
    if (round < 2) continue;  // brings memory in
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

CUstream RivalStream() {
  static CUstream const stream = [] {
    Device::Scope scope(*Gpu());
    CUstream made = nullptr;
    Check(TENURE_CU(Cu(), StreamCreate, &made, CU_STREAM_NON_BLOCKING));
    return made;
  }();
  return stream;
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
  // Drawn beforehand: what is timed is the allocator.
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

// ------------------------------------------------------------------------------------------------
// copies

enum class HostKind { kTouched, kFresh, kPinned };

// Host memory of a kind, mapped anew for each copy where it is to be fresh.
class HostMemory {
 public:
  HostMemory(uint64_t size, HostKind kind) : size_(size), kind_(kind) {
    if (kind == HostKind::kPinned) {
      Device::Scope scope(*Gpu());
      Check(TENURE_CU(Cu(), MemHostAlloc, &data_, size, CU_MEMHOSTALLOC_PORTABLE));
    } else {
      Map();
      if (kind == HostKind::kTouched) std::memset(data_, 1, size);
    }
  }
  ~HostMemory() {
    Device::Scope scope(*Gpu());
    if (kind_ == HostKind::kPinned) {
      (void)Cu()->MemFreeHost(data_);
    } else {
      munmap(data_, size_);
    }
  }
  void Renew() {
    if (kind_ != HostKind::kFresh) return;
    munmap(data_, size_);
    Map();
  }
  void* data() const { return data_; }

 private:
  void Map() {
    data_ = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data_ == MAP_FAILED) std::abort();
  }
  const uint64_t size_;
  const HostKind kind_;
  void* data_ = nullptr;
};

uint64_t TimesOf(uint64_t size) { return size >= 16 * kMiB ? 1 : size >= 256 * kKiB ? 10 : 100; }

void BM_In(benchmark::State& state, HostKind kind, SpaceKind space) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const int threads = static_cast<int>(state.range(1));
  HostMemory host(size, kind);
  Buffer ours = MakeBuffer(Space(space), size);
  Buffer rivals = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr rival = *rivals.MutableDeviceAddress();
  auto nothing = [] {};
  Device::Scope scope(*Gpu());
  MeasurePair(
      state, size, [&] { Check(ours.CopyIn(host.data(), size, {.max_threads = threads})); },
      [&] { (void)DriverCalls::Get().HtoD(rival, host.data(), size); }, nothing, nothing,
      TimesOf(size));
}
void BM_Out(benchmark::State& state, HostKind kind, SpaceKind space) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const int threads = static_cast<int>(state.range(1));
  HostMemory host(size, kind);
  Buffer ours = MakeBuffer(Space(space), size);
  Check(ours.FillWith<uint8_t>(3));
  Buffer rivals = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr rival = *rivals.DeviceAddress();
  Device::Scope scope(*Gpu());
  MeasurePair(
      state, size, [&] { Check(ours.CopyOut(host.data(), size, {.max_threads = threads})); },
      [&] { (void)DriverCalls::Get().DtoH(host.data(), rival, size); }, [&] { host.Renew(); },
      [&] { host.Renew(); }, kind == HostKind::kFresh ? 1 : TimesOf(size));
}
void Sizes(benchmark::internal::Benchmark* b) {
  for (const uint64_t size :
       {4 * kKiB, 64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB, 16 * kMiB, 256 * kMiB, kGiB}) {
    b->Args({static_cast<int64_t>(size), 0});
  }
  b->UseManualTime();
}
void Threads(benchmark::internal::Benchmark* b) {
  for (const int threads : {1, 2, 4, 8, 12}) b->Args({static_cast<int64_t>(kGiB), threads});
  b->UseManualTime();
}
void Large(benchmark::internal::Benchmark* b) {
  b->Args({static_cast<int64_t>(16 * kMiB), 0})->Args({static_cast<int64_t>(kGiB), 0});
  b->UseManualTime();
}
BENCHMARK_CAPTURE(BM_In, pageable, HostKind::kTouched, kDeviceSpace)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_In, pageable_threads, HostKind::kTouched, kDeviceSpace)->Apply(Threads);
BENCHMARK_CAPTURE(BM_In, pinned, HostKind::kPinned, kDeviceSpace)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_In, unified, HostKind::kTouched, kUnifiedSpace)->Apply(Large);
BENCHMARK_CAPTURE(BM_Out, touched, HostKind::kTouched, kDeviceSpace)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Out, touched_threads, HostKind::kTouched, kDeviceSpace)->Apply(Threads);
BENCHMARK_CAPTURE(BM_Out, fresh, HostKind::kFresh, kDeviceSpace)->Apply(Large);
BENCHMARK_CAPTURE(BM_Out, pinned, HostKind::kPinned, kDeviceSpace)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Out, unified, HostKind::kTouched, kUnifiedSpace)->Apply(Large);

void BM_Within(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  Buffer from = MakeBuffer(Space(kDeviceSpace), size), to = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr a = *from.MutableDeviceAddress(), b = *to.MutableDeviceAddress();
  CUstream stream = RivalStream();
  auto nothing = [] {};
  Device::Scope scope(*Gpu());
  MeasurePair(
      state, size, [&] { Check(to.CopyFrom(from)); },
      [&] {
        (void)Cu()->MemcpyDtoDAsync(b, a, size, stream);
        (void)Cu()->StreamSynchronize(stream);
      },
      nothing, nothing, TimesOf(size));
}
BENCHMARK(BM_Within)->Arg(64 * kKiB)->Arg(16 * kMiB)->Arg(kGiB)->Arg(4 * kGiB)->UseManualTime();

void BM_Fill(benchmark::State& state, uint32_t width) {
  const auto size = static_cast<uint64_t>(state.range(0));
  Buffer buffer = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr address = *buffer.MutableDeviceAddress();
  std::byte pattern[16];
  for (uint32_t i = 0; i < width; ++i) pattern[i] = static_cast<std::byte>(i + 1);
  CUstream stream = RivalStream();
  auto nothing = [] {};
  Device::Scope scope(*Gpu());
  MeasurePair(
      state, size,
      [&] {
        Check(buffer.Fill({pattern, width}));
      },
      [&] {
        (void)Cu()->MemsetD8Async(address, 1, size, stream);
        (void)Cu()->StreamSynchronize(stream);
      },
      nothing, nothing, TimesOf(size));
}
BENCHMARK_CAPTURE(BM_Fill, 1, 1)->Arg(kGiB)->UseManualTime();
BENCHMARK_CAPTURE(BM_Fill, 4, 4)->Arg(kGiB)->UseManualTime();
BENCHMARK_CAPTURE(BM_Fill, 16, 16)->Arg(kGiB)->UseManualTime();

// A file in the page cache; the rival copies from its mapping, plainly.
void BM_File(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  const char* folder = std::getenv("TMPDIR");
  const std::string path =
      absl::StrCat(folder != nullptr ? folder : "/tmp", "/tenure_cuda_bench.bin");
  {
    std::vector<char> chunk(16 * kMiB, 5);
    FILE* file = std::fopen(path.c_str(), "wb");
    if (file == nullptr) std::abort();
    for (uint64_t at = 0; at < size; at += chunk.size()) {
      if (std::fwrite(chunk.data(), 1, chunk.size(), file) != chunk.size()) std::abort();
    }
    std::fclose(file);
  }
  std::unique_ptr<MmapAllocator> disk = Must(MmapAllocator::Open(path));
  Buffer from = Must(Buffer::FromFile(*disk, DType::kUInt8, Shape::Vector(size), 0));
  Buffer to = MakeBuffer(Space(kDeviceSpace), size);
  Buffer rivals = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr rival = *rivals.MutableDeviceAddress();
  const int fd = open(path.c_str(), O_RDONLY);
  void* mapped = nullptr;
  auto renew = [&] {
    if (mapped != nullptr) munmap(mapped, size);
    mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  };
  Device::Scope scope(*Gpu());
  Check(to.CopyFrom(from));
  MeasurePair(
      state, size, [&] { Check(to.CopyFrom(from)); },
      [&] { (void)DriverCalls::Get().HtoD(rival, mapped, size); }, [] {}, renew, 1);
  munmap(mapped, size);
  close(fd);
  unlink(path.c_str());
}
BENCHMARK(BM_File)->Arg(64 * kMiB)->Arg(kGiB)->Arg(4 * kGiB)->UseManualTime();

// ------------------------------------------------------------------------------------------------
// release

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

// What the pool asks of the driver while kernels are queued that have nothing to do with it.
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

// The parts that our calls are made of.
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

// The driver's synchronous copy of pageable memory returns when it has taken the bytes, which need
// not be on the device yet; the others when they are.
enum class Small { kSynchronous, kStream, kPolled, kOurs };
void BM_SmallCopy(benchmark::State& state, Small how) {
  const auto size = static_cast<uint64_t>(state.range(0));
  Device::Scope scope(*Gpu());
  Buffer buffer = MakeBuffer(Space(kDeviceSpace), size);
  const CUdeviceptr address = *buffer.MutableDeviceAddress();
  std::vector<char> bytes(size, 1);
  CUstream stream = RivalStream();
  for (auto _ : state) {
    switch (how) {
      case Small::kSynchronous:
        (void)DriverCalls::Get().HtoD(address, bytes.data(), size);
        break;
      case Small::kStream:
        (void)Cu()->MemcpyHtoDAsync(address, bytes.data(), size, stream);
        (void)Cu()->StreamSynchronize(stream);
        break;
      case Small::kPolled:
        (void)Cu()->MemcpyHtoDAsync(address, bytes.data(), size, stream);
        while (DriverCalls::Get().Query(stream) == CUDA_ERROR_NOT_READY) {
        }
        break;
      case Small::kOurs:
        Check(buffer.CopyIn(bytes.data(), size));
        break;
    }
  }
}
BENCHMARK_CAPTURE(BM_SmallCopy, driver_synchronous, Small::kSynchronous)->Arg(4096)->Arg(1 << 18);
BENCHMARK_CAPTURE(BM_SmallCopy, driver_stream, Small::kStream)->Arg(4096)->Arg(1 << 18);
BENCHMARK_CAPTURE(BM_SmallCopy, driver_polled, Small::kPolled)->Arg(4096)->Arg(1 << 18);
BENCHMARK_CAPTURE(BM_SmallCopy, ours, Small::kOurs)->Arg(4096)->Arg(1 << 18);

// A hundred copies of 256 bytes to as many buffers: one by one, and together.
void BM_ManyIn(benchmark::State& state, bool together) {
  std::vector<char> bytes(256, 1);
  std::vector<CopyInPart> parts;
  for (int i = 0; i < 100; ++i) {
    parts.push_back({MakeBuffer(Space(kDeviceSpace), bytes.size()), bytes.data(), bytes.size()});
  }
  for (auto _ : state) {
    if (together) {
      Check(CopyInMany(parts));
    } else {
      for (const CopyInPart& part : parts) Check(part.to.CopyIn(part.from, part.size_bytes));
    }
  }
}
BENCHMARK_CAPTURE(BM_ManyIn, one_by_one, false);
BENCHMARK_CAPTURE(BM_ManyIn, together, true);

}  // namespace
}  // namespace tenure::cuda

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
