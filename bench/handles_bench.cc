// Measures the cost of handles: ids, lazy creation, views, copies, the allocated check and typed
// access, with lower limits beside them.
//
//   bazel run -c opt //bench:handles_bench
//
// The lower limits are a bare atomic increment and decrement on a cache line of its own, which
// every shared handle must pay, and malloc and free of a storage's size.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/base/workers.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"

namespace tenure {
namespace {

// From one thread up to the machine's CPUs (at least two), each with storages of its own.
void AllThreads(benchmark::internal::Benchmark* b) {
  b->ThreadRange(1, std::max(2, host::UsableCpus()));
}

Allocator& Cpu() {
  static auto* const cpu = new CpuAllocator;
  return *cpu;
}

Buffer MakeBuffer(bool immediate = false) {
  return *Buffer::Create(Cpu(), DType::kFloat32, *Shape::Of({64, 64}),
                         {.name = "", .immediate = immediate});
}

void BM_FloorAtomicIncrementDecrement(benchmark::State& state) {
  // The counter is allocated, as a reference count is, so that the compiler removes nothing. Only
  // this thread uses it.
  const auto count = std::make_unique<std::atomic<uint64_t>[]>(16);
  for (auto _ : state) {
    count[8].fetch_add(1, std::memory_order_relaxed);
    benchmark::ClobberMemory();
    if (count[8].fetch_sub(1, std::memory_order_acq_rel) == 0) std::abort();
  }
}
BENCHMARK(BM_FloorAtomicIncrementDecrement)->Apply(AllThreads);

void BM_FloorMallocFreeOfAStorage(benchmark::State& state) {
  for (auto _ : state) {
    void* p = std::malloc(sizeof(Storage));
    benchmark::DoNotOptimize(p);
    std::free(p);
  }
}
BENCHMARK(BM_FloorMallocFreeOfAStorage)->Apply(AllThreads);

void BM_FloorSharedPtrCopyAndDrop(benchmark::State& state) {
  const auto shared = std::make_shared<uint64_t>(1);
  for (auto _ : state) {
    std::shared_ptr<uint64_t> copy = shared;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_FloorSharedPtrCopyAndDrop)->Apply(AllThreads);

void BM_MintId(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(BufferId::Mint());
}
BENCHMARK(BM_MintId)->Apply(AllThreads);

void BM_LazyCreateAndDrop(benchmark::State& state) {
  const Shape shape = *Shape::Of({64, 64});
  for (auto _ : state) {
    absl::StatusOr<Buffer> buffer = Buffer::Create(Cpu(), DType::kFloat32, shape);
    benchmark::DoNotOptimize(buffer);
  }
}
BENCHMARK(BM_LazyCreateAndDrop)->Apply(AllThreads);

void BM_ViewAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    absl::StatusOr<Buffer> view = buffer.View(256, 1024);
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(BM_ViewAndDrop)->Apply(AllThreads);

// The result is moved out of its StatusOr, as in callers that keep it.
void BM_ViewTakenOutAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    Buffer view = *buffer.View(256, 1024);
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(BM_ViewTakenOutAndDrop)->Apply(AllThreads);

void BM_CopyHandleAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    Buffer copy = buffer;
    benchmark::DoNotOptimize(copy);
  }
}
BENCHMARK(BM_CopyHandleAndDrop)->Apply(AllThreads);

// All threads use one storage. The count's cache line moves between them, here as in the lower
// limit.
void BM_FloorSharedAtomicIncrementDecrement(benchmark::State& state) {
  alignas(64) static std::atomic<uint64_t> count{1};
  for (auto _ : state) {
    count.fetch_add(1, std::memory_order_relaxed);
    benchmark::ClobberMemory();
    if (count.fetch_sub(1, std::memory_order_acq_rel) == 0) std::abort();
  }
}
BENCHMARK(BM_FloorSharedAtomicIncrementDecrement)->Apply(AllThreads);

void BM_SharedViewAndDrop(benchmark::State& state) {
  static const auto* const buffer = new Buffer(MakeBuffer());
  uint64_t offset = 256, size = 1024;
  for (auto _ : state) {
    benchmark::DoNotOptimize(offset);
    benchmark::DoNotOptimize(size);
    absl::StatusOr<Buffer> view = buffer->View(offset, size);
    benchmark::DoNotOptimize(view);
  }
}
BENCHMARK(BM_SharedViewAndDrop)->Apply(AllThreads);

void BM_SliceAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  for (auto _ : state) {
    absl::StatusOr<Buffer> rows = buffer.Slice(8, 16);
    benchmark::DoNotOptimize(rows);
  }
}
BENCHMARK(BM_SliceAndDrop);

void BM_ReinterpretAndDrop(benchmark::State& state) {
  const Buffer buffer = MakeBuffer();
  const Shape shape = *Shape::Of({64, 32});
  for (auto _ : state) {
    absl::StatusOr<Buffer> other = buffer.Reinterpret(DType::kFloat64, shape);
    benchmark::DoNotOptimize(other);
  }
}
BENCHMARK(BM_ReinterpretAndDrop);

void BM_AllocatedCheck(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    bool allocated = buffer.is_allocated();
    benchmark::DoNotOptimize(allocated);
  }
}
BENCHMARK(BM_AllocatedCheck)->Apply(AllThreads);

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
BENCHMARK(BM_TypedAccess)->Apply(AllThreads);

void BM_TypedAccessMutable(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    absl::StatusOr<absl::Span<float>> span = buffer.AsMutable<float>();
    benchmark::DoNotOptimize(span);
  }
}
BENCHMARK(BM_TypedAccessMutable)->Apply(AllThreads);

void BM_ShapedAccess(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    absl::StatusOr<NdSpan<const float>> span = buffer.AsShaped<float>();
    benchmark::DoNotOptimize(span);
  }
}
BENCHMARK(BM_ShapedAccess);

void BM_MapAndUnmap(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  const Access access = state.range(0) == 0 ? Access::kRead : Access::kWrite;
  for (auto _ : state) {
    absl::StatusOr<Mapping> region = buffer.Map(access);
    benchmark::DoNotOptimize(region);
  }
}
BENCHMARK(BM_MapAndUnmap)->ArgName("write")->Arg(0)->Arg(1);

void BM_Item(benchmark::State& state) {
  const Buffer buffer =
      *Buffer::Create(Cpu(), DType::kFloat32, Shape(), {.zeroed = true, .immediate = true});
  for (auto _ : state) {
    if (*buffer.Item<float>() != 0) state.SkipWithError("not zero");
  }
}
BENCHMARK(BM_Item);

void BM_GetElement(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    absl::StatusOr<float> value = buffer.Get<float>({3, 5});
    benchmark::DoNotOptimize(value);
  }
}
BENCHMARK(BM_GetElement);

void BM_SetElement(benchmark::State& state) {
  const Buffer buffer = MakeBuffer(/*immediate=*/true);
  for (auto _ : state) {
    if (!buffer.Set<float>({3, 5}, 1.0f).ok()) state.SkipWithError("not set");
  }
}
BENCHMARK(BM_SetElement);

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
