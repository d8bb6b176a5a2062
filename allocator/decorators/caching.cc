#include "tenure/allocator/decorators/caching.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

// The shard that the calling thread tries first.
int OwnShard(int shards) {
  static std::atomic<uint32_t> threads{0};
  thread_local const uint32_t mine = threads.fetch_add(1, std::memory_order_relaxed);
  return static_cast<int>(mine % static_cast<uint32_t>(shards));
}

// Orders the frees of different threads, precisely enough for "least recently".
uint64_t Now() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

}  // namespace

// Classes 0..15 are 64, 128 ... 1024. From there on there are 16 for each doubling.
uint64_t CachingAllocator::RoundedSize(uint64_t size_bytes) {
  uint64_t rounded;
  if (size_bytes <= 1024) {
    if (!CheckedRoundUp(size_bytes, 64, &rounded)) return size_bytes;
    return rounded;
  }
  const uint64_t step = std::bit_floor(size_bytes - 1) / 16;
  return CheckedRoundUp(size_bytes, step, &rounded) ? rounded : size_bytes;
}

int CachingAllocator::ClassOf(uint64_t rounded_bytes) {
  if (rounded_bytes <= 1024) return static_cast<int>(rounded_bytes / 64) - 1;
  const int doubling = std::bit_width(rounded_bytes - 1) - 11;  // 0 for 1025..2048
  const uint64_t step = uint64_t{64} << doubling;
  return 16 + 16 * doubling + static_cast<int>(rounded_bytes / step) - 17;
}

uint64_t CachingAllocator::SizeOfClass(int index) {
  if (index < 16) return (static_cast<uint64_t>(index) + 1) * 64;
  const int doubling = (index - 16) / 16;
  return (uint64_t{64} << doubling) * (17 + static_cast<uint64_t>(index - 16) % 16);
}

bool CachingAllocator::Shard::Insert(Block* block) noexcept {
  const Key key(block->upstream.size_bytes, block->alignment);
  Block** place = nullptr;
  try {
    place = &tops[key];
  } catch (const std::bad_alloc&) {
    return false;
  }
  block->newer = nullptr;
  block->older = newest;
  (newest != nullptr ? newest->newer : oldest) = block;
  newest = block;
  Block*& top = *place;
  block->above = nullptr;
  block->below = top;
  if (top != nullptr) top->above = block;
  top = block;
  const int index = ClassOf(key.first);
  if (counts[index]++ == 0) filled[index / 64] |= uint64_t{1} << (index % 64);
  bytes.store(bytes.load(std::memory_order_relaxed) + block->bytes, std::memory_order_relaxed);
  return true;
}

void CachingAllocator::Shard::Remove(Block* block) {
  const Key key(block->upstream.size_bytes, block->alignment);
  (block->newer != nullptr ? block->newer->older : newest) = block->older;
  (block->older != nullptr ? block->older->newer : oldest) = block->newer;
  if (block->below != nullptr) block->below->above = block->above;
  if (block->above != nullptr) {
    block->above->below = block->below;
  } else {
    tops[key] = block->below;  // a null entry stays, because the key will be used again
  }
  const int index = ClassOf(key.first);
  if (--counts[index] == 0) filled[index / 64] &= ~(uint64_t{1} << (index % 64));
  bytes.store(bytes.load(std::memory_order_relaxed) - block->bytes, std::memory_order_relaxed);
}

CachingAllocator::Block* CachingAllocator::Shard::Find(const Key& key) {
  const auto it = tops.find(key);
  return it == tops.end() ? nullptr : it->second;
}

uint64_t CachingAllocator::Shard::LargestBytes() const {
  for (size_t word = filled.size(); word-- > 0;) {
    if (filled[word] == 0) continue;
    return SizeOfClass(static_cast<int>(word) * 64 + std::bit_width(filled[word]) - 1);
  }
  return 0;
}

CachingAllocator::CachingAllocator(std::unique_ptr<Allocator> upstream, const Options& options)
    : Decorator(std::move(upstream)),
      options_(options),
      shards_(new Shard[kShards]),
      deferred_([this](const Allocation& allocation) { Keep(BlockOf(allocation)); },
                [this](const Allocation& allocation, absl::Span<const Fence> users) {
                  Block* block = BlockOf(allocation);
                  up().Deallocate(block->upstream, users);
                  delete block;
                }) {}

CachingAllocator::~CachingAllocator() {
  closing_ = true;
  deferred_.Reap();
  Evict(0);
}

CachingAllocator::Block* CachingAllocator::TakeCached(const Key& key) {
  if (cached_bytes_.load(std::memory_order_relaxed) == 0) return nullptr;
  const int own = OwnShard(kShards);
  for (int i = 0; i < kShards; ++i) {
    Shard& shard = shards_[(own + i) % kShards];
    if (shard.bytes.load(std::memory_order_relaxed) == 0) continue;
    absl::MutexLock lock(&shard.mutex);
    Block* block = shard.Find(key);
    if (block == nullptr) continue;
    shard.Remove(block);
    ++shard.hits;
    cached_bytes_.fetch_sub(block->bytes, std::memory_order_relaxed);
    return block;
  }
  return nullptr;
}

absl::StatusOr<CachingAllocator::Block*> CachingAllocator::MakeBlock(
    const AllocationRequest& request, const Key& key) {
  AllocationRequest rounded = request;
  rounded.size_bytes = key.first;
  rounded.alignment_bytes = key.second;
  // Before the upstream is asked, so that nothing can fail between its answer and the end.
  auto block = std::make_unique<Block>();
  // The upstream need not wait for bytes in use while there are cached ones.
  rounded.may_wait = false;
  absl::StatusOr<Allocation> made = up().Allocate(rounded);
  if (!made.ok() && absl::IsResourceExhausted(made.status())) {
    const absl::Status first = made.status();
    deferred_.Reap();
    const auto [blocks, bytes] = Evict(0);
    const uint64_t trimmed = up().Trim(0);
    rounded.size_bytes = request.size_bytes;
    rounded.may_wait = request.may_wait;
    made = up().Allocate(rounded);
    if (!made.ok()) {
      return ExhaustedError(
          request, key.first, space(), Stats(),
          absl::StrCat("the upstream (", first.message(), "); gave back ", blocks,
                       " cached blocks of ", bytes, " bytes, the upstream trimmed ", trimmed,
                       ", and tried again unrounded (", made.status().ToString(), ")"));
    }
  }
  if (!made.ok()) return made.status();
  block->upstream = *made;
  block->bytes = std::max(made->reserved_bytes, made->size_bytes);
  block->alignment = key.second;
  block->cacheable = made->size_bytes > 0 && made->size_bytes == RoundedSize(made->size_bytes);
  return block.release();
}

absl::Status CachingAllocator::Zero(const Block& block, uint64_t size_bytes) {
  if (!traits().has_bytes) return absl::OkStatus();
  absl::StatusOr<Fence> filled = up().Fill({&block.upstream, 0, size_bytes}, FillPattern{}, {});
  return filled.ok() ? filled->Wait() : filled.status();
}

Allocation CachingAllocator::HandOut(Block* block, uint64_t size_bytes) {
  Allocation out = block->upstream;
  out.id = AllocationId::Mint();
  out.size_bytes = size_bytes;
  if (size_bytes == 0) out.host = nullptr;
  out.token = reinterpret_cast<uint64_t>(block);
  counters_.OnAllocate(size_bytes, 0);
  return out;
}

absl::StatusOr<Allocation> CachingAllocator::Allocate(const AllocationRequest& request) {
  deferred_.Reap();
  if (request.is_dedicated()) {
    AllocationRequest at_once = request;
    at_once.may_wait = false;
    absl::StatusOr<Allocation> made = up().Allocate(at_once);
    if (absl::IsResourceExhausted(made.status())) {
      Evict(0);
      up().Trim(0);
      made = up().Allocate(request);
    }
    if (made.ok()) {
      made->dedicated = true;
      counters_.OnAllocate(request.size_bytes, 0);
    } else {
      counters_.OnFailure();
    }
    return made;
  }
  // Sizes that can't be cached are not rounded.
  uint64_t size = RoundedSize(request.size_bytes);
  if (size > options_.max_cached_bytes || size > traits().max_allocation_bytes) {
    size = request.size_bytes;
  }
  uint64_t alignment = request.alignment_bytes;
  if (alignment == 0 || IsPowerOfTwo(alignment)) {  // else the upstream refuses it
    alignment = std::max(alignment, traits().min_alignment_bytes);
  }
  const Key key(size, alignment);
  Block* block = TakeCached(key);
  if (block != nullptr && request.zeroed) {
    absl::Cleanup keep = [&] { Keep(block); };  // also after an exception
    if (Zero(*block, request.size_bytes).ok()) {
      std::move(keep).Cancel();
    } else {
      std::move(keep).Invoke();
      block = nullptr;
    }
  }
  if (block == nullptr) {
    misses_.fetch_add(1, std::memory_order_relaxed);
    absl::StatusOr<Block*> made = MakeBlock(request, key);
    if (!made.ok()) {
      counters_.OnFailure();
      return made.status();
    }
    block = *made;
  }
  return HandOut(block, request.size_bytes);
}

void CachingAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  counters_.OnDeallocate(allocation.size_bytes);
  deferred_.Reap();
  if (allocation.dedicated) {
    up().Deallocate(allocation, users);
  } else {
    deferred_.Retire(allocation, users);
  }
}

void CachingAllocator::Keep(Block* block) {
  const uint64_t bytes = block->bytes;
  if (!block->cacheable || bytes > options_.max_cached_bytes || closing_) {
    GiveBack(block);
    return;
  }
  // Make room first, so that the bound holds at every moment.
  uint64_t cached = cached_bytes_.load(std::memory_order_relaxed);
  while (true) {
    if (bytes > options_.max_cached_bytes - cached) {
      Block* oldest = TakeOldest();
      if (oldest == nullptr) {  // other threads have claimed the room, but not filled it yet
        GiveBack(block);
        return;
      }
      GiveBack(oldest);
      cached = cached_bytes_.load(std::memory_order_relaxed);
    } else if (cached_bytes_.compare_exchange_weak(cached, cached + bytes,
                                                   std::memory_order_relaxed)) {
      break;
    }
  }
  Shard& shard = shards_[OwnShard(kShards)];
  bool kept = false;
  {
    absl::MutexLock lock(&shard.mutex);
    block->freed_at = Now();
    kept = shard.Insert(block);
  }
  if (kept) return;
  cached_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  GiveBack(block);
}

void CachingAllocator::GiveBack(Block* block) {
  up().Deallocate(block->upstream);
  delete block;
}

CachingAllocator::Block* CachingAllocator::TakeOldest() {
  Shard* where = nullptr;
  uint64_t when = 0;
  for (int i = 0; i < kShards; ++i) {
    Shard& shard = shards_[i];
    if (shard.bytes.load(std::memory_order_relaxed) == 0) continue;
    absl::MutexLock lock(&shard.mutex);
    if (shard.oldest == nullptr || (where != nullptr && shard.oldest->freed_at >= when)) continue;
    where = &shard;
    when = shard.oldest->freed_at;
  }
  if (where == nullptr) return nullptr;
  absl::MutexLock lock(&where->mutex);
  Block* block = where->oldest;  // another thread may have taken the one seen before
  if (block == nullptr) return nullptr;
  where->Remove(block);
  cached_bytes_.fetch_sub(block->bytes, std::memory_order_relaxed);
  return block;
}

std::pair<uint64_t, uint64_t> CachingAllocator::Evict(uint64_t keep_bytes) {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  while (cached_bytes_.load(std::memory_order_relaxed) > keep_bytes) {
    Block* block = TakeOldest();
    if (block == nullptr) break;
    ++blocks;
    bytes += block->bytes;
    GiveBack(block);
  }
  return {blocks, bytes};
}

uint64_t CachingAllocator::Trim(uint64_t keep_bytes) {
  deferred_.Reap();
  // The upstream may cache too, so count the bytes that it no longer reserves.
  const uint64_t before = up().Stats().reserved_bytes;
  Evict(keep_bytes);
  const uint64_t kept = cached_bytes_.load(std::memory_order_relaxed);
  up().Trim(keep_bytes - std::min(keep_bytes, kept));
  const uint64_t after = up().Stats().reserved_bytes;
  return before - std::min(before, after);
}

void CachingAllocator::Poll() {
  deferred_.Reap();
  up().Poll();
}

AllocatorStats CachingAllocator::Stats() const {
  AllocatorStats stats = StatsOf(counters_, deferred_.waiting_bytes());
  stats.cached_bytes += cached_bytes_.load(std::memory_order_relaxed);
  for (int i = 0; i < kShards; ++i) {
    if (shards_[i].bytes.load(std::memory_order_relaxed) == 0) continue;
    absl::MutexLock lock(&shards_[i].mutex);
    stats.largest_free_bytes = std::max(stats.largest_free_bytes, shards_[i].LargestBytes());
  }
  return stats;
}

uint64_t CachingAllocator::hits() const {
  uint64_t sum = 0;
  for (int i = 0; i < kShards; ++i) {
    absl::MutexLock lock(&shards_[i].mutex);
    sum += shards_[i].hits;
  }
  return sum;
}

SubRegion CachingAllocator::ToUpstream(const SubRegion& region) const {
  if (region.allocation->dedicated) return region;
  return {&BlockOf(*region.allocation)->upstream, region.offset_bytes, region.size_bytes};
}

}  // namespace tenure
