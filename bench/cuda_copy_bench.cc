// Copies and fills: GB/s of ours and of the driver's best call for the same operation.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/bench/cuda_bench_support.h"
#include "tenure/runtime/copy_many.h"

namespace tenure::cuda {
namespace {

using bench::Check;
using bench::MeasurePair;

enum class HostKind { kTouched, kFresh, kPinned };

// Host memory of one kind. In "fresh" cases it is mapped again for each copy.
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

// A file in the page cache. The rival copies from a plain mapping of it.
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

// The driver's synchronous copy of pageable memory returns when it has read the bytes, which may
// not be on the device yet. The others return when they are.
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

// A hundred copies of 256 bytes to as many buffers, one by one and together.
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
