// What handles cost: ids, lazy creation, views, copies, the allocated check, typed access; with the
// floors beside them.
//
//   bazel run -c opt //bench:handles_bench
//
// Floors: a bare atomic increment and decrement on a line of one's own (what any shared handle must
// pay), and malloc+free of a storage's size.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/buffer.h"

namespace tenure {
namespace {

Allocator& Cpu() {
  static auto* const cpu = new CpuAllocator;
  return *cpu;
}

Buffer MakeBuffer(bool immediate = false) {
  return *Buffer::Create(Cpu(), DType::kFloat32, *Shape::Of({64, 64}),
                         {.name = "", .immediate = immediate});
}

void BM_FloorAtomicIncrementDecrement(benchmark::State& state) {
  // As a reference count is: allocated, so that nothing is folded away, and of this thread alone.
  const auto count = std::make_unique<std::atomic<uint64_t>[]>(16);
  for (auto _ : state) {
    count[8].fetch_add(1, std::memory_order_relaxed);
    benchmark::ClobberMemory();
    if (count[8].fetch_sub(1, std::memory_order_acq_rel) == 0) std::abort();
  }
}
BENCHMARK(BM_FloorAtomicIncrementDecrement)->ThreadRange(1, 2);

void BM_FloorMallocFreeOfAStorage(benchmark::State& state) {
  for (auto _ : state) {
    void* p = std::malloc(sizeof(Storage));
    benchmark::DoNotOptimize(p);
    std::free(p);
  }
}
BENCHMARK(BM_FloorMallocFreeOfAStorage)->ThreadRange(1, 2);

void BM_FloorSharedPtrCopyAndDrop(benchmark::State& state) {
  const auto shared = std::make_shared<uint64_t>(1);
  for (auto _ : state) {
    std::shared_ptr<uint64_t> copy = shared;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_FloorSharedPtrCopyAndDrop)->ThreadRange(1, 2);

void BM_MintId(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(BufferId::Mint());
}
BENCHMARK(BM_MintId)->ThreadRange(1, 2);

void BM_LazyCreateAndDrop(benchmark::State& state) {
  const Shape shape = *Shape::Of({64, 64});
  for (auto _ : state) {
    absl::StatusOr<Buffer> buffer = Buffer::Create(Cpu(), DType::kFloat32, shape);
    benchmark::DoNotOptimize(buffer);
  }
}
BENCHMARK(BM_LazyCreateAndDrop)->ThreadRange(1, 2);

void BM_ViewAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    absl::StatusOr<Buffer> view = buffer.View(256, 1024);
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(BM_ViewAndDrop)->ThreadRange(1, 2);

void BM_CopyHandleAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    Buffer copy = buffer;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_CopyHandleAndDrop)->ThreadRange(1, 2);

void BM_SliceAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    absl::StatusOr<Buffer> rows = buffer.Slice(8, 16);
    benchmark::DoNotOptimize(rows);
  }
}
BENCHMARK(BM_SliceAndDrop);

void BM_AllocatedCheck(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    bool allocated = buffer.is_allocated();
    benchmark::DoNotOptimize(allocated);
  }
}
BENCHMARK(BM_AllocatedCheck);

void BM_EnsureAllocated(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    if (!buffer.EnsureAllocated().ok()) state.SkipWithError("not allocated");
  }
}
BENCHMARK(BM_EnsureAllocated);

void BM_TypedAccess(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    absl::StatusOr<absl::Span<const float>> span = buffer.As<float>();
    benchmark::DoNotOptimize(span);
  }
}
BENCHMARK(BM_TypedAccess);

void BM_KernelPointer(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    absl::StatusOr<void*> pointer = buffer.MutableHostPointer();
    benchmark::DoNotOptimize(pointer);
  }
}
BENCHMARK(BM_KernelPointer);

}  // namespace
}  // namespace tenure
