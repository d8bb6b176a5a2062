// Measures copies and fills of 64 B to 1 GiB, beside memcpy and memset on the same bytes.
//
//   bazel run -c opt //bench:copy_bench
//
// A case's name holds the size and max_threads (0: as many as pay off). Every row holds both
// results (pair.h): ours in time and bytes_per_second, the rival's in `rival`, and the ratio in
// `of_rival` (wall time) and `cpu` (CPU time of the calling thread, for copies with one thread).
// "Fresh" cases write to untouched pages of the same allocator on both sides.

#include <sys/mman.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/workers.h"
#include "tenure/bench/pair.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace {

using bench::Check;
using bench::MeasurePair;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kLargest = uint64_t{1} << 30;

Allocator& Cpu() {
  static auto* const cpu = new CpuAllocator;
  return *cpu;
}

Buffer MakeBuffer(uint64_t bytes) {
  absl::StatusOr<Buffer> made =
      Buffer::Create(Cpu(), DType::kUInt8, Shape::Vector(bytes), {.immediate = true});
  Check(made.status());
  return *std::move(made);
}

std::byte* BytesOf(const Buffer& buffer) {
  absl::StatusOr<void*> pointer = buffer.MutableHostPointer();
  Check(pointer.status());
  return static_cast<std::byte*>(*pointer);
}

// Two filled buffers of a size, from one allocator, so that both sides have equally good pages.
// They are kept between cases of one size.
struct Pair {
  Buffer a, b;

  static Pair& Of(uint64_t bytes) {
    static Pair pair;
    if (pair.a.size() != bytes) {
      pair = Pair();
      pair = Pair{MakeBuffer(bytes), MakeBuffer(bytes)};
      std::memset(BytesOf(pair.a), 1, bytes);
      std::memset(BytesOf(pair.b), 2, bytes);
    }
    return pair;
  }
};

TransferOptions Threads(const benchmark::State& state) {
  TransferOptions options;
  options.max_threads = static_cast<int>(state.range(1));
  return options;
}

void BM_CopyIn(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  const std::byte* from = BytesOf(pair.a);
  std::byte* to = BytesOf(pair.b);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.b.CopyIn(from, bytes, options)); },
      [&] { std::memcpy(to, from, bytes); });
}

void BM_CopyOut(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  const std::byte* from = BytesOf(pair.a);
  std::byte* to = BytesOf(pair.b);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.a.CopyOut(to, bytes, options)); },
      [&] { std::memcpy(to, from, bytes); });
}

void BM_CopyFrom(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  const std::byte* from = BytesOf(pair.a);
  std::byte* to = BytesOf(pair.b);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.b.CopyFrom(pair.a, options)); },
      [&] { std::memcpy(to, from, bytes); });
}

// Copies between the halves of one buffer.
void BM_CopyWithinApart(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0)) / 2;
  Pair& pair = Pair::Of(2 * bytes);
  std::byte* base = BytesOf(pair.a);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.a.CopyWithin(0, bytes, bytes, options)); },
      [&] { std::memcpy(base + bytes, base, bytes); });
}

// Moves bytes by a quarter of the buffer, towards its end.
void BM_CopyWithinOverlapping(benchmark::State& state) {
  const auto all = static_cast<uint64_t>(state.range(0));
  const uint64_t bytes = all / 4 * 3;
  Pair& pair = Pair::Of(all);
  std::byte* base = BytesOf(pair.a);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.a.CopyWithin(0, all - bytes, bytes, options)); },
      [&] { std::memmove(base + (all - bytes), base, bytes); });
}

void BM_FillByte(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  std::byte* to = BytesOf(pair.b);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.b.FillWith(uint8_t{7}, options)); },
      [&] { std::memset(to, 7, bytes); });
}

// Fills with a pattern of 4 bytes. The rival is still memset, which has less to do.
void BM_FillFloat(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  std::byte* to = BytesOf(pair.b);
  const auto pattern = std::bit_cast<std::array<std::byte, 4>>(1.5f);
  const TransferOptions options = Threads(state);
  MeasurePair(
      state, bytes, [&] { Check(pair.b.Fill(pattern, options)); },
      [&] { std::memset(to, 7, bytes); });
}

// Copies into untouched pages: new allocations each time, made outside the timed part.
void BM_CopyInFresh(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  const std::byte* from = BytesOf(pair.a);
  const TransferOptions options = Threads(state);
  Buffer fresh;
  auto prepare = [&] {
    fresh = Buffer();
    fresh = MakeBuffer(bytes);
  };
  MeasurePair(
      state, bytes, [&] { Check(fresh.CopyIn(from, bytes, options)); },
      [&] { std::memcpy(BytesOf(fresh), from, bytes); }, prepare, prepare, 1);
}

// The same towards the host: into memory as malloc gives it for this size (mapped, small pages).
void BM_CopyOutFresh(benchmark::State& state) {
  const auto bytes = static_cast<uint64_t>(state.range(0));
  Pair& pair = Pair::Of(bytes);
  const std::byte* from = BytesOf(pair.a);
  const TransferOptions options = Threads(state);
  void* to = MAP_FAILED;
  auto drop = [&] {
    if (to != MAP_FAILED) munmap(to, bytes);
  };
  auto prepare = [&] {
    drop();
    to = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED) std::abort();
  };
  MeasurePair(
      state, bytes, [&] { Check(pair.a.CopyOut(to, bytes, options)); },
      [&] { std::memcpy(to, from, bytes); }, prepare, prepare, 1);
  drop();
}

// Sizes below 1 MiB grow by factors of four, with one thread. Larger sizes grow by factors of two,
// with one thread, two, four and so on, and with as many as pay off.
void AllSizes(benchmark::internal::Benchmark* b) {
  b->UseManualTime()->ArgNames({"bytes", "max_threads"});
  for (uint64_t bytes = 64; bytes < kMiB; bytes *= 4) b->Args({static_cast<int64_t>(bytes), 0});
  for (uint64_t bytes = kMiB; bytes <= kLargest; bytes *= 2) {
    b->Args({static_cast<int64_t>(bytes), 0});
    b->Args({static_cast<int64_t>(bytes), 1});
  }
  b->Args({40 << 20, 1})->Args({48 << 20, 1});
  for (int threads = 2; threads < host::UsableCpus(); threads *= 2) {
    for (uint64_t bytes = 32 * kMiB; bytes <= kLargest; bytes *= 2) {
      b->Args({static_cast<int64_t>(bytes), threads});
    }
  }
}
void LargeSizes(benchmark::internal::Benchmark* b) {
  b->UseManualTime()->ArgNames({"bytes", "max_threads"});
  for (uint64_t bytes = kMiB; bytes <= kLargest; bytes *= 2) {
    b->Args({static_cast<int64_t>(bytes), 0});
    b->Args({static_cast<int64_t>(bytes), 1});
  }
}
BENCHMARK(BM_CopyIn)->Apply(AllSizes);
BENCHMARK(BM_CopyOut)->Apply(AllSizes);
BENCHMARK(BM_CopyFrom)->Apply(AllSizes);
BENCHMARK(BM_CopyWithinApart)->Apply(AllSizes);
BENCHMARK(BM_CopyWithinOverlapping)->Apply(LargeSizes);
BENCHMARK(BM_FillByte)->Apply(AllSizes);
BENCHMARK(BM_FillFloat)->Apply(LargeSizes);
BENCHMARK(BM_CopyInFresh)->Apply(LargeSizes);
BENCHMARK(BM_CopyOutFresh)->Apply(LargeSizes);

}  // namespace
}  // namespace tenure
