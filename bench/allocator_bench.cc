// Measures our allocators, with and without a cache, beside malloc and raw mimalloc.
//
//   bazel run -c opt //bench:allocator_bench
//   TENURE_ALLOCATION_LOG=log.csv bazel run -c opt //bench:allocator_bench   # replays a recording
//
// The mixed pattern is recorded by RecordingAllocator. It has sizes from 512 B to 16 MiB, with each
// doubling equally likely, and 500 allocations alive over all threads, freed in random order. A
// recording of any program can be read as CSV from TENURE_ALLOCATION_LOG. Fixed sizes are freed
// right after they are allocated.
//
// Every block is written, and checked when it is freed: "first" touches its first 8 bytes, "pages"
// touches every page, as a kernel's output would. Items are pairs of an allocation and a free
// (`pairs` in an iteration). `kept_bytes` is the memory that an allocator keeps when everything has
// been freed (unknown for mimalloc).

#include <malloc.h>
#include <mimalloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/base/workers.h"

namespace tenure {
namespace {

constexpr int kLive = 500;
constexpr int kAllocations = 5000;
constexpr uint64_t kPage = 4096;

// ------------------------------------------------------------------------------------------------
// the allocators: Allocate, Free, and the bytes that are kept

struct Malloc {
  using Block = void*;
  static Block Allocate(uint64_t size) { return std::malloc(size); }
  static void Free(Block block) { std::free(block); }
  static void* Host(Block block) { return block; }
  static double KeptBytes() { return static_cast<double>(mallinfo2().fordblks); }
  static void Begin() {}
  static void End() { malloc_trim(0); }
};

struct Mimalloc {
  using Block = void*;
  static Block Allocate(uint64_t size) { return mi_malloc_aligned(size, 64); }
  static void Free(Block block) { mi_free(block); }
  static void* Host(Block block) { return block; }
  static double KeptBytes() { return -1; }
  static void Begin() {}
  static void End() { mi_collect(/*force=*/true); }
};

template <typename Make>
struct Ours {
  using Block = Allocation;
  static Block Allocate(uint64_t size) {
    absl::StatusOr<Allocation> made = allocator->Allocate({.size_bytes = size});
    return made.ok() ? *made : Allocation();
  }
  static void Free(const Block& block) { allocator->Deallocate(block); }
  static void* Host(const Block& block) { return block.host; }
  static double KeptBytes() { return static_cast<double>(allocator->Stats().cached_bytes); }
  static void Begin() { allocator = Make()(); }
  static void End() { allocator.reset(); }
  static inline std::unique_ptr<Allocator> allocator;
};

struct MakeCpu {
  std::unique_ptr<Allocator> operator()() const { return std::make_unique<CpuAllocator>(); }
};
struct MakeCached {
  std::unique_ptr<Allocator> operator()() const {
    return std::make_unique<CachingAllocator>(
        std::make_unique<CpuAllocator>(),
        CachingAllocator::Options{.max_cached_bytes = uint64_t{1} << 30});
  }
};
using Cpu = Ours<MakeCpu>;
using Cached = Ours<MakeCached>;

// ------------------------------------------------------------------------------------------------
// the pattern

struct Op {
  uint32_t slot;
  uint64_t size_bytes;  // 0: free
};
struct Pattern {
  std::vector<Op> ops;
  uint32_t slots = 0;
  int64_t allocations = 0;
};

// Records the pattern of a program with `live` allocations at a time, in the space without bytes.
std::vector<Event> RecordMixed(int live) {
  RecordingAllocator recording(std::make_unique<NullAllocator>(),
                               {.log_events = 2 * kAllocations + 2 * kLive});
  std::mt19937_64 random(7);
  std::vector<Allocation> blocks(static_cast<size_t>(live));
  for (int i = 0; i < kAllocations; ++i) {
    Allocation& block =
        blocks[i < live ? static_cast<size_t>(i) : random() % static_cast<size_t>(live)];
    recording.Deallocate(block, {});
    const uint64_t doubling = uint64_t{512} << (random() % 15);
    block = *recording.Allocate({.size_bytes = doubling + random() % doubling / 64 * 64});
  }
  for (const Allocation& block : blocks) recording.Deallocate(block, {});
  return recording.log().Latest();
}

std::vector<Event> Recorded(int live) {
  const char* path = std::getenv("TENURE_ALLOCATION_LOG");
  if (path == nullptr) return RecordMixed(live);
  std::ifstream file(path);
  absl::StatusOr<std::vector<Event>> events = ReadCsv(file);
  if (!events.ok()) {
    std::fprintf(stderr, "%s: %s\n", path, events.status().ToString().c_str());
    std::exit(2);
  }
  return *std::move(events);
}

// Allocations become slots of an array. Allocations that the log never frees are freed at its end.
Pattern PatternOf(const std::vector<Event>& events) {
  Pattern pattern;
  absl::flat_hash_map<AllocationId, uint32_t> alive;
  std::vector<uint32_t> unused;
  for (const Event& event : events) {
    if (event.kind == Event::Kind::kAllocate && event.ok() &&
        event.size_bytes >= sizeof(uint64_t)) {
      if (unused.empty()) unused.push_back(pattern.slots++);
      pattern.ops.push_back({unused.back(), event.size_bytes});
      alive[event.allocation] = unused.back();
      unused.pop_back();
      ++pattern.allocations;
    } else if (event.kind == Event::Kind::kFree) {
      auto it = alive.find(event.allocation);
      if (it == alive.end()) continue;
      pattern.ops.push_back({it->second, 0});
      unused.push_back(it->second);
      alive.erase(it);
    }
  }
  for (const auto& [id, slot] : alive) pattern.ops.push_back({slot, 0});
  return pattern;
}

const Pattern& PatternFor(int threads) {
  static absl::flat_hash_map<int, std::unique_ptr<Pattern>> patterns;
  static absl::Mutex mutex;
  absl::MutexLock lock(&mutex);
  std::unique_ptr<Pattern>& pattern = patterns[threads];
  if (pattern == nullptr) {
    pattern = std::make_unique<Pattern>(PatternOf(Recorded(std::max(1, kLive / threads))));
  }
  return *pattern;
}

// ------------------------------------------------------------------------------------------------
// the runs

template <bool kPages>
void Write(void* block, uint64_t size, uint64_t tag) {
  auto* bytes = static_cast<unsigned char*>(block);
  if (kPages) {
    for (uint64_t i = kPage; i < size; i += kPage) bytes[i] = 1;
  }
  *static_cast<uint64_t*>(block) = tag;
}

// One thread reports the kept bytes when all have ended.
template <typename A>
void ReportKept(benchmark::State& state) {
  if (state.thread_index() != 0 || A::KeptBytes() < 0) return;
  state.counters["kept_bytes"] =
      benchmark::Counter(A::KeptBytes(), {}, benchmark::Counter::kIs1024);
}

template <typename A, bool kPages>
void BM_Mixed(benchmark::State& state) {
  const Pattern& pattern = PatternFor(state.threads());
  struct Slot {
    typename A::Block block;
    uint64_t tag;
  };
  std::vector<Slot> slots(pattern.slots);
  uint64_t tag = static_cast<uint64_t>(state.thread_index()) << 48;
  bool right = true;
  auto replay = [&] {
    for (const Op& op : pattern.ops) {
      Slot& slot = slots[op.slot];
      if (op.size_bytes > 0) {
        slot.block = A::Allocate(op.size_bytes);
        if (A::Host(slot.block) == nullptr) std::abort();
        slot.tag = ++tag;
        Write<kPages>(A::Host(slot.block), op.size_bytes, tag);
      } else {
        right &= *static_cast<uint64_t*>(A::Host(slot.block)) == slot.tag;
        A::Free(slot.block);
      }
    }
  };
  // One run before the timed ones fills the cache.
  replay();
  for (auto _ : state) replay();
  if (!right) state.SkipWithError("a block was given to two owners");
  state.SetItemsProcessed(state.iterations() * pattern.allocations);
  state.counters["pairs"] =
      benchmark::Counter(static_cast<double>(pattern.allocations), benchmark::Counter::kAvgThreads);
  ReportKept<A>(state);
}

template <typename A, bool kPages>
void BM_Fixed(benchmark::State& state) {
  const auto size = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    typename A::Block block = A::Allocate(size);
    void* host = A::Host(block);
    if (host == nullptr) std::abort();
    Write<kPages>(host, size, 1);
    benchmark::DoNotOptimize(host);
    benchmark::ClobberMemory();
    A::Free(block);
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["pairs"] = benchmark::Counter(1, benchmark::Counter::kAvgThreads);
  ReportKept<A>(state);
}

template <typename A>
void AllThreads(benchmark::internal::Benchmark* b) {
  b->Setup([](const benchmark::State&) { A::Begin(); });
  b->Teardown([](const benchmark::State&) { A::End(); });
  b->ThreadRange(1, std::max(2, host::UsableCpus()))->UseRealTime();
}

template <typename A, bool kPages>
void Register(const std::string& name) {
  const std::string what = kPages ? "/pages/" : "/first/";
  benchmark::RegisterBenchmark(("Mixed" + what + name).c_str(), BM_Mixed<A, kPages>)
      ->Unit(benchmark::kMillisecond)
      ->Apply(AllThreads<A>);
  auto* fixed = benchmark::RegisterBenchmark(("Fixed" + what + name).c_str(), BM_Fixed<A, kPages>);
  for (int64_t size : {512, 4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20}) fixed->Arg(size);
  fixed->Apply(AllThreads<A>);
}

template <bool kPages>
int RegisterAll() {
  Register<Malloc, kPages>("malloc");
  Register<Mimalloc, kPages>("mimalloc");
  Register<Cpu, kPages>("cpu");
  Register<Cached, kPages>("cached");
  return 0;
}
const int registered = RegisterAll<false>() + RegisterAll<true>();

}  // namespace
}  // namespace tenure
