// Measures mapped files: windows, zero-copy reads and copies out, beside mmap and read(2) by hand.
//
//   bazel run -c opt //bench:file_bench        # needs 1 GiB in TMPDIR, and as much page cache
//
// The file is in the page cache, so this measures our code and not the disk. Rows are as in pair.h.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/bench/pair.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace {

using bench::Check;
using bench::MeasurePair;

constexpr uint64_t kFileBytes = uint64_t{1} << 30;

// A file of numbers that is removed at the end of the program.
class TestFile {
 public:
  TestFile() : path_(std::filesystem::temp_directory_path() / "tenure_file_bench.XXXXXX") {
    const int file = mkstemp(path_.data());
    if (file < 0) Check(absl::ErrnoToStatus(errno, "can't make " + path_));
    std::vector<uint64_t> numbers(uint64_t{1} << 17);
    for (uint64_t done = 0; done < kFileBytes; done += numbers.size() * sizeof(uint64_t)) {
      for (uint64_t& n : numbers) n = ++last_;
      const auto bytes = static_cast<ssize_t>(numbers.size() * sizeof(uint64_t));
      if (write(file, numbers.data(), numbers.size() * sizeof(uint64_t)) != bytes) {
        Check(absl::ErrnoToStatus(errno, "can't write 1 GiB to " + path_));
      }
    }
    close(file);
  }
  ~TestFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

  static TestFile& Get() {
    static TestFile file;
    return file;
  }

 private:
  std::string path_;
  uint64_t last_ = 0;
};

std::unique_ptr<MmapAllocator> Open() {
  absl::StatusOr<std::unique_ptr<MmapAllocator>> disk = MmapAllocator::Open(TestFile::Get().path());
  Check(disk.status());
  return *std::move(disk);
}

Buffer WindowOf(Allocator& disk, uint64_t offset, uint64_t bytes) {
  absl::StatusOr<Buffer> window =
      Buffer::FromFile(disk, DType::kUInt64, Shape::Vector(bytes / sizeof(uint64_t)), offset);
  Check(window.status());
  return *std::move(window);
}

// The same by hand.
class Mapped {
 public:
  explicit Mapped(uint64_t bytes) : bytes_(bytes) {
    file_ = open(TestFile::Get().path().c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (file_ < 0 || fstat(file_, &info) != 0) std::abort();
    at_ = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file_, 0);
    if (at_ == MAP_FAILED) std::abort();
  }
  ~Mapped() {
    munmap(at_, bytes_);
    close(file_);
  }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  const uint64_t* data() const { return static_cast<const uint64_t*>(at_); }
  int file() const { return file_; }

 private:
  uint64_t bytes_;
  int file_;
  void* at_;
};

uint64_t Sum(const uint64_t* numbers, uint64_t bytes) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < bytes / sizeof(uint64_t); ++i) sum += numbers[i];
  return sum;
}

// Opens a file and a window of 1 MiB in it, and closes both. The rival maps that 1 MiB alone.
void BM_OpenWindowClose(benchmark::State& state) {
  MeasurePair(
      state, 0,
      [] {
        std::unique_ptr<MmapAllocator> disk = Open();
        Buffer window = WindowOf(*disk, 0, uint64_t{1} << 20);
        benchmark::DoNotOptimize(window);
      },
      [] {
        Mapped mapped(uint64_t{1} << 20);
        benchmark::DoNotOptimize(mapped);
      });
}
BENCHMARK(BM_OpenWindowClose)->UseManualTime();

// Makes one more window of an open file.
void BM_Window(benchmark::State& state) {
  const std::unique_ptr<MmapAllocator> disk = Open();
  for (auto _ : state) {
    Buffer window = WindowOf(*disk, 4096, uint64_t{1} << 20);
    benchmark::DoNotOptimize(window);
  }
}
BENCHMARK(BM_Window);

// Sums the numbers in a window, in place.
void BM_ZeroCopySum(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  const std::unique_ptr<MmapAllocator> disk = Open();
  const Buffer window = WindowOf(*disk, 0, bytes);
  const Mapped mapped(kFileBytes);
  uint64_t ours = 0, theirs = 0;
  MeasurePair(
      state, bytes,
      [&] {
        absl::StatusOr<absl::Span<const uint64_t>> numbers = window.As<uint64_t>();
        ours = Sum(numbers->data(), numbers->size() * sizeof(uint64_t));
        benchmark::DoNotOptimize(ours);
      },
      [&] {
        theirs = Sum(mapped.data(), bytes);
        benchmark::DoNotOptimize(theirs);
      });
  if (ours != theirs) state.SkipWithError("the sums differ");
}

// The same from opening to closing, page faults included.
void BM_OpenZeroCopySumClose(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  uint64_t ours = 0, theirs = 0;
  MeasurePair(
      state, bytes,
      [&] {
        const std::unique_ptr<MmapAllocator> disk = Open();
        const Buffer window = WindowOf(*disk, 0, bytes);
        ours = Sum(window.As<uint64_t>()->data(), bytes);
        benchmark::DoNotOptimize(ours);
      },
      [&] {
        const Mapped mapped(bytes);
        theirs = Sum(mapped.data(), bytes);
        benchmark::DoNotOptimize(theirs);
      });
  if (ours != theirs) state.SkipWithError("the sums differ");
}

struct Target {
  explicit Target(uint64_t bytes)
      : buffer(*Buffer::Create(Cpu(), DType::kUInt64, Shape::Vector(bytes / sizeof(uint64_t)),
                               {.immediate = true})),
        data(static_cast<std::byte*>(*buffer.MutableHostPointer())) {
    std::memset(data, 1, bytes);
  }
  static Allocator& Cpu() {
    static auto* const cpu = new CpuAllocator;
    return *cpu;
  }
  Buffer buffer;
  std::byte* data;
};

void ReadAll(int file, std::byte* to, uint64_t bytes) {
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(file, to + done, bytes - done, static_cast<off_t>(done));
    if (got <= 0) std::abort();
    done += static_cast<uint64_t>(got);
  }
}

// CopyOut (which uses pread, so that a file that shrank is an error) beside a single read(2).
void BM_CopyOutBesideRead(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  const std::unique_ptr<MmapAllocator> disk = Open();
  const Buffer window = WindowOf(*disk, 0, bytes);
  const Mapped mapped(kFileBytes);
  const Target to(bytes);
  TransferOptions options;
  options.max_threads = static_cast<int>(state.range(1));
  MeasurePair(
      state, bytes, [&] { Check(window.CopyOut(to.data, bytes, options)); },
      [&] { ReadAll(mapped.file(), to.data, bytes); });
}

// The same beside memcpy from a mapping that stays: its pages are mapped after the first round.
void BM_CopyOutBesideMappedMemcpy(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  const std::unique_ptr<MmapAllocator> disk = Open();
  const Buffer window = WindowOf(*disk, 0, bytes);
  const Mapped mapped(kFileBytes);
  const Target to(bytes);
  TransferOptions options;
  options.max_threads = static_cast<int>(state.range(1));
  MeasurePair(
      state, bytes, [&] { Check(window.CopyOut(to.data, bytes, options)); },
      [&] { std::memcpy(to.data, mapped.data(), bytes); });
}

// Loads once: open, window, copy to a buffer and close, beside open, mmap, memcpy and munmap.
void BM_LoadBesideMmap(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  const Target to(bytes);
  TransferOptions options;
  options.max_threads = static_cast<int>(state.range(1));
  MeasurePair(
      state, bytes,
      [&] {
        const std::unique_ptr<MmapAllocator> disk = Open();
        Check(to.buffer.CopyFrom(WindowOf(*disk, 0, bytes), options));
      },
      [&] {
        const Mapped mapped(bytes);
        std::memcpy(to.data, mapped.data(), bytes);
      });
}

void Sizes(benchmark::internal::Benchmark* b) {
  b->UseManualTime()->ArgNames({"bytes"});
  for (uint64_t bytes = 64 << 10; bytes <= kFileBytes; bytes *= 4) {
    b->Args({static_cast<int64_t>(bytes)});
  }
}
void SizesAndThreads(benchmark::internal::Benchmark* b) {
  b->UseManualTime()->ArgNames({"bytes", "max_threads"});
  for (uint64_t bytes = 64 << 10; bytes <= kFileBytes; bytes *= 4) {
    b->Args({static_cast<int64_t>(bytes), 0});
    if (bytes >= uint64_t{32} << 20) b->Args({static_cast<int64_t>(bytes), 1});
  }
}
BENCHMARK(BM_ZeroCopySum)->Apply(Sizes);
BENCHMARK(BM_OpenZeroCopySumClose)->Apply(Sizes);
BENCHMARK(BM_CopyOutBesideRead)->Apply(SizesAndThreads);
BENCHMARK(BM_CopyOutBesideMappedMemcpy)->Apply(SizesAndThreads);
BENCHMARK(BM_LoadBesideMmap)->Apply(SizesAndThreads);

}  // namespace
}  // namespace tenure
