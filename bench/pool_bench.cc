// Measures PooledAllocator: the cost of a cached block, and the reserved memory for a mixed
// pattern, beside the memory that PyTorch's caching allocator would reserve for the same.
//
//   bazel run -c opt //bench:pool_bench
//
// The source of slabs costs nothing here and its bytes are never touched, so only the bookkeeping
// is measured, through the virtual interface. `joins`: slabs are contiguous, as in CUDA's virtual
// memory with its 2 MiB pages. `alone`: they aren't, as with cuMemAlloc and Vulkan.
//
// Mixed: sizes from 512 B to 16 MiB, with each doubling equally likely, and 500 alive; a step frees
// one of them at random and allocates another. For each, the bytes reserved are reported, those of
// the rival for the same steps, and over_live: the reserved bytes divided by the most that was
// alive. The rival is a model of CUDACachingAllocator's documented policy with default settings.
// Sizes are rounded to 512 B. Blocks up to 1 MiB come from segments of 2 MiB, blocks below 10 MiB
// from segments of 20 MiB, and larger ones get a segment of their own, rounded to 2 MiB. It takes
// the best fit by size, then by address. The remainder is split off if it is at least 512 B (small)
// or more than 1 MiB (large). Free neighbours merge. Nothing is given back before memory is
// exhausted.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/allocator/pool/pooled_allocator.h"
#include "tenure/allocator/pool/range_heap.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr int kLive = 500;

// ------------------------------------------------------------------------------------------------
// ours: addresses only

class NumberSource final : public SlabSource {
 public:
  explicit NumberSource(bool joins) : joins_(joins) {}
  uint64_t granularity_bytes() const override { return 2 * kMiB; }
  uint64_t tail() const override { return joins_ ? next_ : 0; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override {
    Slab slab;
    slab.address = slab.device_address = next_;
    slab.size_bytes = size_bytes;
    slab.joins = joins_;
    next_ += size_bytes;
    ++takes;
    return slab;
  }
  void Release(const Slab&) override { ++gives; }

  int64_t takes = 0;
  int64_t gives = 0;

 private:
  const bool joins_;
  uint64_t next_ = uint64_t{1} << 40;
};

class NumberPool final : public PooledAllocator {
 public:
  explicit NumberPool(bool joins)
      : PooledAllocator(MemorySpace::Null(), {}, std::make_unique<NumberSource>(joins), {}) {}
  ~NumberPool() override { ClosePool(); }
  absl::StatusOr<Fence> CopyIn(const SubRegion&, const void*, const CopyOptions&) override {
    return Fence();
  }
  absl::StatusOr<Fence> CopyOut(void*, const SubRegion&, const CopyOptions&) override {
    return Fence();
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion&, const SubRegion&,
                                   const CopyOptions&) override {
    return Fence();
  }
  absl::StatusOr<Fence> Fill(const SubRegion&, const FillPattern&, const CopyOptions&) override {
    return Fence();
  }
  const NumberSource& numbers() { return static_cast<const NumberSource&>(source()); }

 protected:
  void* FindCapability(std::string_view) override { return nullptr; }
  absl::Status Zero(const Allocation&) override { return absl::OkStatus(); }
};

// ------------------------------------------------------------------------------------------------
// the rival

class RivalModel {
 public:
  struct Block {
    uint64_t address;
    uint64_t size;
    bool small;
    bool free;
    Block* before;
    Block* after;
  };
  ~RivalModel() {
    for (auto& pool : pools_) {
      for (Block* block : pool) delete block;
    }
  }

  Block* Allocate(uint64_t size_bytes) {
    const uint64_t size = std::max<uint64_t>(512, (size_bytes + 511) / 512 * 512);
    const bool small = size <= kMiB;
    auto& pool = pools_[small ? 0 : 1];
    Block key{0, size, small, true, nullptr, nullptr};
    Block* block;
    if (auto it = pool.lower_bound(&key); it != pool.end()) {
      block = *it;
      pool.erase(it);
    } else {
      const uint64_t segment = small              ? 2 * kMiB
                               : size < 10 * kMiB ? 20 * kMiB
                                                  : (size + 2 * kMiB - 1) / (2 * kMiB) * (2 * kMiB);
      block = new Block{next_, segment, small, false, nullptr, nullptr};
      next_ += segment + kMiB;
      reserved_ += segment;
    }
    const uint64_t rest = block->size - size;
    if (small ? rest >= 512 : rest > kMiB) {
      auto* tail = new Block{block->address + size, rest, small, true, block, block->after};
      if (tail->after != nullptr) tail->after->before = tail;
      block->after = tail;
      block->size = size;
      pool.insert(tail);
    }
    block->free = false;
    return block;
  }
  void Free(Block* block) {
    auto& pool = pools_[block->small ? 0 : 1];
    auto absorb = [](Block* into, Block* after) {
      into->size += after->size;
      into->after = after->after;
      if (into->after != nullptr) into->after->before = into;
      delete after;
    };
    block->free = true;
    if (Block* after = block->after; after != nullptr && after->free) {
      pool.erase(after);
      absorb(block, after);
    }
    if (Block* before = block->before; before != nullptr && before->free) {
      pool.erase(before);
      absorb(before, block);
      block = before;
    }
    pool.insert(block);
  }
  uint64_t reserved() const { return reserved_; }

 private:
  struct BySize {
    bool operator()(const Block* a, const Block* b) const {
      return a->size != b->size ? a->size < b->size : a->address < b->address;
    }
  };
  std::set<Block*, BySize> pools_[2];
  uint64_t next_ = kMiB;
  uint64_t reserved_ = 0;
};

// ------------------------------------------------------------------------------------------------
// the pattern

class Pattern {
 public:
  explicit Pattern(uint64_t seed) : random_(seed) {}
  uint64_t Size() {
    return static_cast<uint64_t>(std::exp2(std::uniform_real_distribution<double>(9, 24)(random_)));
  }
  size_t Slot() { return static_cast<size_t>(random_() % kLive); }

 private:
  std::mt19937_64 random_;
};

// The steps are drawn beforehand, so that drawing them is not measured.
struct Steps {
  explicit Steps(uint64_t seed) {
    Pattern pattern(seed);
    for (uint64_t& size : first) size = pattern.Size();
    for (auto& [slot, size] : steps) {
      slot = pattern.Slot();
      size = pattern.Size();
    }
  }
  std::vector<uint64_t> first = std::vector<uint64_t>(kLive);
  std::vector<std::pair<size_t, uint64_t>> steps =
      std::vector<std::pair<size_t, uint64_t>>(1 << 16);
};

Allocation MustAllocate(Allocator& pool, uint64_t size) {
  absl::StatusOr<Allocation> made = pool.Allocate({.size_bytes = size});
  if (!made.ok()) std::abort();
  return *made;
}

void BM_Mixed(benchmark::State& state, bool joins) {
  const Steps steps(7);
  NumberPool numbers(joins);
  Allocator& pool = numbers;
  std::vector<Allocation> live;
  for (uint64_t size : steps.first) live.push_back(MustAllocate(pool, size));
  size_t i = 0;
  for (auto _ : state) {
    const auto& [slot, size] = steps.steps[i++ & 0xffff];
    pool.Deallocate(live[slot]);
    live[slot] = MustAllocate(pool, size);
  }
  state.counters["takes"] = static_cast<double>(numbers.numbers().takes);
  for (const Allocation& made : live) pool.Deallocate(made);
}

void BM_MixedRival(benchmark::State& state) {
  const Steps steps(7);
  RivalModel rival;
  std::vector<RivalModel::Block*> live;
  for (uint64_t size : steps.first) live.push_back(rival.Allocate(size));
  size_t i = 0;
  for (auto _ : state) {
    const auto& [slot, size] = steps.steps[i++ & 0xffff];
    rival.Free(live[slot]);
    live[slot] = rival.Allocate(size);
  }
  for (RivalModel::Block* block : live) rival.Free(block);
}

// The reserved bytes after so many steps, with several seeds: means, and how often ours was not
// below the rival's.
void BM_Reserved(benchmark::State& state, bool joins) {
  double ours = 0, theirs = 0, most_live = 0, not_below = 0, gives = 0;
  uint64_t seed = 0;
  for (auto _ : state) {
    Pattern pattern(++seed);
    NumberPool pool(joins);
    RivalModel rival;
    std::vector<Allocation> live(kLive);
    std::vector<RivalModel::Block*> rivals(kLive);
    uint64_t most = 0;
    for (int64_t i = -kLive; i < state.range(0); ++i) {
      const size_t slot = i < 0 ? static_cast<size_t>(i + kLive) : pattern.Slot();
      const uint64_t size = pattern.Size();
      pool.Allocator::Deallocate(live[slot]);
      live[slot] = MustAllocate(pool, size);
      if (rivals[slot] != nullptr) rival.Free(rivals[slot]);
      rivals[slot] = rival.Allocate(size);
    }
    const AllocatorStats stats = pool.Stats();
    most = stats.peak_in_use_bytes;
    ours += static_cast<double>(stats.reserved_bytes);
    theirs += static_cast<double>(rival.reserved());
    most_live += static_cast<double>(most);
    not_below += stats.reserved_bytes >= rival.reserved() ? 1 : 0;
    gives += static_cast<double>(pool.numbers().gives);
    for (const Allocation& made : live) pool.Allocator::Deallocate(made);
    for (RivalModel::Block* block : rivals) rival.Free(block);
  }
  const auto runs = static_cast<double>(state.iterations());
  state.counters["reserved"] = benchmark::Counter(ours / runs, {}, benchmark::Counter::kIs1024);
  state.counters["rival"] = benchmark::Counter(theirs / runs, {}, benchmark::Counter::kIs1024);
  state.counters["of_rival"] = ours / theirs;
  state.counters["over_live"] = ours / most_live;
  state.counters["rival_over_live"] = theirs / most_live;
  state.counters["not_below_rival"] = not_below;
  state.counters["slabs_given_back"] = gives / runs;
}

// ------------------------------------------------------------------------------------------------
// one block

// Measures one block among 500 others, as in a program.
std::vector<Allocation> Others(Allocator& pool) {
  Pattern pattern(3);
  std::vector<Allocation> others;
  for (int i = 0; i < 2 * kLive; ++i) others.push_back(MustAllocate(pool, pattern.Size()));
  for (size_t i = 0; i < others.size(); i += 2) pool.Deallocate(others[i]);
  for (size_t i = 0; i < others.size() / 2; ++i) others[i] = others[2 * i + 1];
  others.resize(others.size() / 2);
  return others;
}

// `waiting`: one other block was freed behind a fence that is not reached.
void BM_AllocateFree(benchmark::State& state, bool joins, bool waiting) {
  NumberPool numbers(joins);
  Allocator& pool = numbers;
  const std::vector<Allocation> others = Others(pool);
  const auto size = static_cast<uint64_t>(state.range(0));
  auto timeline = std::make_shared<HostTimeline>();
  if (waiting) {
    const Fence users[] = {Fence(timeline, 1)};
    pool.Deallocate(MustAllocate(pool, 4096), users);
  }
  pool.Deallocate(MustAllocate(pool, size));
  for (auto _ : state) {
    const Allocation made = MustAllocate(pool, size);
    benchmark::DoNotOptimize(made.device_address);
    pool.Deallocate(made);
  }
  timeline->Signal(1);
  for (const Allocation& made : others) pool.Deallocate(made);
}

// The two halves of the above: times of 64 allocations at once, and of 64 frees.
void BM_Half(benchmark::State& state, bool frees) {
  constexpr int kBatch = 64;
  NumberPool numbers(/*joins=*/true);
  Allocator& pool = numbers;
  const std::vector<Allocation> others = Others(pool);
  const auto size = static_cast<uint64_t>(state.range(0));
  std::vector<Allocation> batch(kBatch);
  auto allocate = [&] {
    for (Allocation& made : batch) made = MustAllocate(pool, size);
  };
  auto release = [&] {
    for (const Allocation& made : batch) pool.Deallocate(made);
  };
  allocate();
  release();
  for (auto _ : state) {
    if (frees) {
      state.PauseTiming();
      allocate();
      state.ResumeTiming();
      release();
    } else {
      allocate();
      state.PauseTiming();
      release();
      state.ResumeTiming();
    }
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
  for (const Allocation& made : others) pool.Deallocate(made);
}

// The heap alone, without the allocator around it.
void BM_HeapMixed(benchmark::State& state) {
  const Steps steps(7);
  RangeHeap heap;
  heap.AddRange(0, uint64_t{8} << 30, false);
  std::vector<uint32_t> live;
  for (uint64_t size : steps.first) live.push_back(heap.Allocate(size, 0)->node);
  size_t i = 0;
  for (auto _ : state) {
    const auto& [slot, size] = steps.steps[i++ & 0xffff];
    heap.Free(live[slot]);
    live[slot] = heap.Allocate(size, 0)->node;
  }
}

// Several threads share a pool.
void BM_Threads(benchmark::State& state) {
  static NumberPool* numbers = nullptr;
  if (state.thread_index() == 0) numbers = new NumberPool(/*joins=*/true);
  for (auto _ : state) {
    Allocator& pool = *numbers;
    const Allocation made = MustAllocate(pool, 4096);
    benchmark::DoNotOptimize(made.device_address);
    pool.Deallocate(made);
  }
  if (state.thread_index() == 0) delete numbers;
}

void Sizes(benchmark::internal::Benchmark* b) {
  for (int64_t size : {int64_t{4} << 10, int64_t{1} << 20, int64_t{1} << 30}) b->Arg(size);
}
BENCHMARK_CAPTURE(BM_AllocateFree, joins, true, false)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_AllocateFree, alone, false, false)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_AllocateFree, joins_one_waiting, true, true)->Apply(Sizes);
BENCHMARK_CAPTURE(BM_Half, allocate, false)->Apply(Sizes)->Iterations(20000);
BENCHMARK_CAPTURE(BM_Half, free, true)->Apply(Sizes)->Iterations(20000);
BENCHMARK_CAPTURE(BM_Mixed, joins, true);
BENCHMARK_CAPTURE(BM_Mixed, alone, false);
BENCHMARK(BM_MixedRival);
BENCHMARK(BM_HeapMixed);
BENCHMARK(BM_Threads)->ThreadRange(1, 2)->UseRealTime();
BENCHMARK_CAPTURE(BM_Reserved, joins, true)
    ->Arg(5000)
    ->Arg(50000)
    ->Arg(500000)
    ->Iterations(20)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_Reserved, alone, false)
    ->Arg(5000)
    ->Arg(50000)
    ->Arg(500000)
    ->Iterations(20)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tenure
