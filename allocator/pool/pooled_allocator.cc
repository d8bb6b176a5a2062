#include "tenure/allocator/pool/pooled_allocator.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

constexpr uint64_t kMost = SpaceTraits::kUnlimited;

// Allocation::token of allocations that are not imported. For blocks it holds the kind, the node,
// and bits of the address. The address bits distinguish a second free of a block from the first
// free of a newer block with the same node.
enum Kind : uint64_t { kLarge = 0, kSmall = 1, kOwnSlab = 2, kNone = 3 };
constexpr uint64_t kKindMask = 3;
constexpr int kCheckShift = 34;

uint64_t BlockToken(Kind kind, const RangeHeap::Block& block, uint64_t granule) {
  return kind | uint64_t{block.node} << 2 | (block.address / granule) << kCheckShift;
}

uint64_t RoundedUp(uint64_t bytes, uint64_t to) {
  uint64_t rounded;
  return CheckedRoundUp(bytes, to, &rounded) ? rounded : kMost;
}

uint64_t Sum(uint64_t a, uint64_t b) {
  uint64_t sum;
  return CheckedAdd(a, b, &sum) ? sum : kMost;
}

// Sets all addresses of `made` to the byte at `offset` in the slab.
void PointInto(const Slab& slab, uint64_t offset, Allocation& made) {
  if (slab.host != nullptr) made.host = static_cast<std::byte*>(slab.host) + offset;
  if (slab.device_address != 0) made.device_address = slab.device_address + offset;
}

void NameObject(const Slab& slab, uint64_t offset, Allocation& made) {
  made.native_handle = slab.native_handle;
  made.native_offset = slab.native_offset + offset;
  made.native_size = slab.native_size;
}

bool Before(const Slab& slab, uint64_t address) { return slab.address < address; }

PooledAllocator::Options InOrder(PooledAllocator::Options options) {
  options.granule_bytes = RangeHeap(options.granule_bytes).granule_bytes();
  options.chunk_bytes =
      RoundedUp(std::max(options.chunk_bytes, options.granule_bytes), options.granule_bytes);
  options.small_bytes = std::min(options.small_bytes, options.chunk_bytes);
  return options;
}

}  // namespace

PooledAllocator::PooledAllocator(MemorySpace space, const SpaceTraits& traits,
                                 std::unique_ptr<SlabSource> source, const Options& options)
    : RootAllocator(std::move(space), traits),
      options_(InOrder(options)),
      source_(std::move(source)),
      max_reserved_bytes_(options.max_reserved_bytes),
      max_wait_ns_(absl::ToInt64Nanoseconds(options.max_wait)),
      large_(options.granule_bytes),
      small_(options.granule_bytes) {}

PooledAllocator::~PooledAllocator() = default;

bool PooledAllocator::ClosePool() {
  const bool unused = Close(max_wait());
  Trim(0);
  return unused;
}

absl::StatusOr<Allocation> PooledAllocator::MakeImport(const AllocationRequest& request) {
  return absl::UnimplementedError(absl::StrCat(space().ToString(), " can't import memory for '",
                                               request.name, "'; allocate there and copy"));
}

void PooledAllocator::ReleaseImport(const Allocation&) {}

bool PooledAllocator::NeedsDedicatedSlab(const AllocationRequest&) const { return false; }

AllocatorStats PooledAllocator::Stats() const {
  AllocatorStats stats = RootAllocator::Stats();
  stats.limit_bytes = max_reserved_bytes_.load(std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  stats.reserved_bytes = reserved_bytes_ + dedicated_bytes_;
  stats.cached_bytes = CachedBytes();
  stats.largest_free_bytes = std::max(large_.largest_free_bytes(), small_.largest_free_bytes());
  return stats;
}

uint64_t PooledAllocator::Headroom() const {
  const uint64_t limit = max_reserved_bytes_.load(std::memory_order_relaxed);
  return limit - std::min(limit, Sum(reserved_bytes_, dedicated_bytes_));
}

bool PooledAllocator::TryReserveDedicated(uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  if (size_bytes > Headroom()) return false;
  dedicated_bytes_ += size_bytes;
  return true;
}

void PooledAllocator::UnreserveDedicated(uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  dedicated_bytes_ -= size_bytes;
}

uint64_t PooledAllocator::slab_count() const {
  absl::MutexLock lock(&mutex_);
  return slabs_.size();
}

// ------------------------------------------------------------------------------------------------
// allocating

absl::StatusOr<Allocation> PooledAllocator::Make(const AllocationRequest& request) {
  if (request.imports()) {
    absl::StatusOr<Allocation> made = MakeImport(request);
    if (made.ok()) made->imported = true;
    return made;
  }
  const uint64_t alignment = AlignmentFor(request);
  if (request.size_bytes == 0) {
    Allocation none;
    none.alignment_bytes = alignment;
    none.token = kNotABlock;
    return none;
  }
  Need need;
  if (!CheckedRoundUp(request.size_bytes, options_.granule_bytes, &need.size_bytes)) {
    return Exhausted(request, request.size_bytes, "nothing: no memory is that large");
  }
  need.alignment_bytes = alignment;
  // Most chunks then have an aligned place for the block.
  need.small = need.size_bytes <= options_.small_bytes && alignment <= options_.chunk_bytes / 4;
  need.large_bytes = need.small ? options_.chunk_bytes : need.size_bytes;
  need.large_alignment_bytes = need.small ? options_.granule_bytes : alignment;

  absl::StatusOr<Allocation> made(absl::in_place);
  if (NeedsDedicatedSlab(request)) [[unlikely]] {
    made = MakeDedicatedSlab(request, need);
  } else if (!FromCache(need, *made)) [[unlikely]] {
    made = Grow(request, need);
  }
  if (request.zeroed && made.ok()) {
    made->size_bytes = request.size_bytes;
    if (absl::Status zeroed = Zero(*made); !zeroed.ok()) {
      PooledAllocator::Release(*made);
      return zeroed;
    }
  }
  return made;
}

bool PooledAllocator::FromCache(const Need& need, Allocation& made) {
  absl::MutexLock lock(&mutex_);
  return FromHeap(need, made);
}

bool PooledAllocator::FromHeap(const Need& need, Allocation& made) {
  RangeHeap& heap = need.small ? small_ : large_;
  auto block = heap.Allocate(need.size_bytes, need.alignment_bytes);
  if (!block.has_value() && need.small) {
    const auto chunk = large_.Allocate(need.large_bytes, need.large_alignment_bytes);
    if (!chunk.has_value()) return false;
    small_.AddRange(chunk->address, chunk->size_bytes, /*joins=*/false);
    chunks_[chunk->address] = chunk->node;
    block = small_.Allocate(need.size_bytes, need.alignment_bytes);
    if (!block.has_value()) DropChunk(chunk->address);
  }
  if (!block.has_value()) return false;
  HandOut(*block, need.small, need, made);
  return true;
}

uint64_t PooledAllocator::TokenOf(const RangeHeap::Block& block, bool small) const {
  return BlockToken(small ? kSmall : kLarge, block, options_.granule_bytes);
}

void PooledAllocator::HandOut(const RangeHeap::Block& block, bool small, const Need& need,
                              Allocation& made) const {
  // Finds the slab in which the block begins: the last one that begins at or before it.
  size_t at = 0;
  for (size_t count = slabs_.size(); count > 1;) {
    const size_t half = count / 2;
    at = slabs_[at + half].address <= block.address ? at + half : at;
    count -= half;
  }
  const Slab& slab = slabs_[at];
  const uint64_t offset = block.address - slab.address;
  made.reserved_bytes = block.size_bytes;
  made.alignment_bytes = need.alignment_bytes;
  made.token = TokenOf(block, small);
  PointInto(slab, offset, made);
  // A block that spans slabs belongs to no single driver object.
  if (WindowFits(offset, block.size_bytes, slab.size_bytes)) NameObject(slab, offset, made);
}

absl::StatusOr<Allocation> PooledAllocator::MakeDedicatedSlab(const AllocationRequest& request,
                                                              const Need& need) {
  const uint64_t granularity = source_->granularity_bytes();
  const uint64_t slack = need.alignment_bytes > granularity ? need.alignment_bytes : 0;
  const uint64_t size = RoundedUp(Sum(need.size_bytes, slack), granularity);
  auto take = [&] {
    absl::MutexLock lock(&source_mutex_);
    return AcquireSlab(size);
  };
  absl::StatusOr<Slab> slab = take();
  auto trim_and_take = [&] {
    Poll();
    ReleaseKeptDedicated();
    Trim(0);
    slab = take();
    return !absl::IsResourceExhausted(slab.status());
  };
  std::string tried;
  if (absl::IsResourceExhausted(slab.status())) {
    const uint64_t settled = deferred().settled_count();
    if (!trim_and_take() && request.may_wait) {
      WaitForDeferred(
          size, settled, [] { return false; }, trim_and_take, tried);
    }
  }
  TryReleaseRetiredSlabs();
  if (absl::IsResourceExhausted(slab.status())) {
    return Exhausted(request, size,
                     absl::StrCat("a dedicated slab, also after releasing all free slabs: ",
                                  slab.status().message(), tried));
  }
  if (!slab.ok()) return slab.status();
  Allocation made;
  const uint64_t offset = -slab->address & (need.alignment_bytes - 1);
  made.reserved_bytes = slab->size_bytes;
  made.alignment_bytes = need.alignment_bytes;
  PointInto(*slab, offset, made);
  NameObject(*slab, offset, made);
  made.token = reinterpret_cast<uint64_t>(new Slab(*slab)) | kOwnSlab;
  return made;
}

// ------------------------------------------------------------------------------------------------
// growing

absl::StatusOr<Allocation> PooledAllocator::Grow(const AllocationRequest& request,
                                                 const Need& need) {
  absl::StatusOr<Allocation> made(absl::in_place);
  // Allocate has looked at some of the timelines only.
  const uint64_t released = deferred().settled_count();
  Poll();
  if (deferred().settled_count() != released && FromCache(need, *made)) return made;
  if (MayFollow(request)) {
    TENURE_ASSIGN_OR_RETURN(const bool early, ReuseDeferred(request, need, false, *made));
    if (early) return made;
  }
  {
    absl::MutexLock source_lock(&source_mutex_);
    // An earlier thread may have brought enough.
    if (FromCache(need, *made)) return made;
    made = AcquireSlabsFor(need, Growth::kByPolicy);
  }
  std::string tried;
  if (absl::IsResourceExhausted(made.status())) {
    tried = absl::StrCat("a new slab (", made.status().message(), ")");
    const uint64_t settled = deferred().settled_count();
    made = ReclaimFor(request, need, tried);
    if (absl::IsResourceExhausted(made.status()) && request.may_wait) {
      absl::StatusOr<Allocation> later(absl::in_place);
      const bool found = WaitForDeferred(
          need.size_bytes, settled, [&] { return FromCache(need, *later); },
          [&] {
            std::string again;
            later = ReclaimFor(request, need, again);
            if (!absl::IsResourceExhausted(later.status())) return true;
            later = Allocation();
            return false;
          },
          tried);
      if (found) made = std::move(later);
    }
  }
  TryReleaseRetiredSlabs();
  if (absl::IsResourceExhausted(made.status())) return Exhausted(request, need.size_bytes, tried);
  return made;
}

absl::StatusOr<Allocation> PooledAllocator::ReclaimFor(const AllocationRequest& request,
                                                       const Need& need, std::string& tried) {
  absl::StatusOr<Allocation> made(absl::in_place);
  Poll();  // not under the lock: releasing may call user code
  if (MayFollow(request)) {
    if (FromCache(need, *made)) return made;
    TENURE_ASSIGN_OR_RETURN(const bool early, ReuseDeferred(request, need, true, *made));
    if (early) return made;
    absl::StrAppend(&tried, ", bytes that the queue could wait for");
  }
  const uint64_t outside = ReleaseKeptDedicated();
  absl::MutexLock source_lock(&source_mutex_);
  if (FromCache(need, *made)) return made;
  {
    absl::MutexLock lock(&mutex_);
    Retire(/*keep_bytes=*/0, /*enough_bytes=*/kMost, /*except_before=*/0);
  }
  const uint64_t given = ReleaseRetiredSlabs() + outside;
  made = AcquireSlabsFor(need, Growth::kExactly);
  if (absl::IsResourceExhausted(made.status())) {
    made = FromOtherHeap(need, made.status());
  }
  if (absl::IsResourceExhausted(made.status())) {
    absl::StrAppend(&tried, ", reaping, giving back ", given, " free bytes, a slab of exact size (",
                    made.status().message(), ")");
  }
  return made;
}

absl::StatusOr<Allocation> PooledAllocator::FromOtherHeap(const Need& need, absl::Status refusal) {
  absl::StatusOr<Allocation> made(absl::in_place);
  if (need.small) {
    // There is no room for a chunk, so try a block in the large heap.
    const Need single = {need.size_bytes, need.alignment_bytes, false, need.size_bytes,
                         need.alignment_bytes};
    if (FromCache(single, *made)) return made;
    return AcquireSlabsFor(single, Growth::kExactly);
  }
  absl::MutexLock lock(&mutex_);
  const auto block = small_.Allocate(need.size_bytes, need.alignment_bytes);
  if (!block.has_value()) return refusal;
  HandOut(*block, /*small=*/true, need, *made);
  return made;
}

absl::StatusOr<Allocation> PooledAllocator::AcquireSlabsFor(const Need& need, Growth growth) {
  absl::StatusOr<Allocation> made(absl::in_place);
  if (growth == Growth::kByPolicy) {
    MoveSlabs(need);
    if (FromCache(need, *made)) return made;
  }
  // While the source works, other threads may take the free bytes before its tail. The second
  // attempt does not count on them.
  for (const bool use_free_bytes : {true, false}) {
    const uint64_t tail = source_->tail();
    uint64_t missing;
    uint64_t wanted;
    {
      absl::MutexLock lock(&mutex_);
      missing = MissingBytes(need, tail, use_free_bytes);
      wanted = growth == Growth::kExactly ? missing : SlabBytes(need, missing, tail != 0);
    }
    absl::StatusOr<Slab> slab = AcquireSlab(wanted);
    if (absl::IsResourceExhausted(slab.status()) && wanted > missing) slab = AcquireSlab(missing);
    if (!slab.ok()) return slab.status();
    absl::MutexLock lock(&mutex_);
    if (!large_.AddRange(slab->address, slab->size_bytes, slab->joins)) {
      return Misfit(*slab, absl::StrCat("at ", slab->address, ", which overlap another slab or ",
                                        "are not whole granules of ", options_.granule_bytes));
    }
    slabs_.insert(std::lower_bound(slabs_.begin(), slabs_.end(), slab->address, Before), *slab);
    if (FromHeap(need, *made)) return made;
  }
  return absl::ResourceExhaustedError(absl::StrCat("new slabs of ", space().ToString(),
                                                   " do not contain a block aligned to ",
                                                   need.alignment_bytes, " bytes"));
}

void PooledAllocator::MoveSlabs(const Need& need) {
  const uint64_t tail = source_->tail();
  const uint32_t slack = tail != 0 ? options_.joining_slack_percent : options_.alone_slack_percent;
  if (slack == kNever) return;
  {
    absl::MutexLock lock(&mutex_);
    const uint64_t missing = MissingBytes(need, tail, /*use_free_bytes=*/true);
    const uint64_t used = Sum(large_.total_bytes() - CachedBytes(), need.size_bytes);
    const uint64_t after = Sum(reserved_bytes_, missing);
    if (after <= options_.max_slab_bytes || after <= Sum(used, used / 100 * slack)) return;
    // Keep the slabs that the new one would continue.
    Retire(/*keep_bytes=*/0, /*enough_bytes=*/missing, /*except_before=*/tail);
  }
  ReleaseRetiredSlabs();
}

absl::StatusOr<Slab> PooledAllocator::AcquireSlab(uint64_t size_bytes) {
  {
    absl::MutexLock lock(&mutex_);
    if (size_bytes == kMost || size_bytes > Headroom()) {
      return absl::ResourceExhaustedError(absl::StrCat(size_bytes, " bytes more than the ",
                                                       Sum(reserved_bytes_, dedicated_bytes_),
                                                       " reserved would pass the limit"));
    }
    // Counted at once, because dedicated memory does not wait for the source.
    reserved_bytes_ += size_bytes;
  }
  absl::StatusOr<Slab> slab = source_->Acquire(size_bytes);
  absl::MutexLock lock(&mutex_);
  reserved_bytes_ -= size_bytes;
  if (!slab.ok()) return slab;
  reserved_bytes_ += slab->size_bytes;
  if (slab->size_bytes < size_bytes) {
    return Misfit(*slab, absl::StrCat("where ", size_bytes, " were asked for"));
  }
  return slab;
}

absl::Status PooledAllocator::Misfit(const Slab& slab, std::string_view why) {
  retired_.push_back(slab);
  any_retired_.store(true);
  return absl::InternalError(absl::StrCat("the source of slabs of ", space().ToString(), " gave ",
                                          slab.size_bytes, " bytes ", why,
                                          "; correct that source"));
}

uint64_t PooledAllocator::MissingBytes(const Need& need, uint64_t tail, bool use_free_bytes) const {
  const uint64_t granularity = source_->granularity_bytes();
  const uint64_t mask = need.large_alignment_bytes - 1;
  uint64_t missing;
  if (tail == 0) {
    // The source aligns slabs to its granularity; larger alignments are handled here.
    const uint64_t slack =
        need.large_alignment_bytes > granularity ? need.large_alignment_bytes - granularity : 0;
    missing = Sum(need.large_bytes, slack);
  } else {
    const uint64_t free = use_free_bytes ? large_.FreeBytesBefore(tail) : 0;
    const uint64_t begin = tail - free;
    // free bytes | pad | block
    //            tail -> what lies beyond it is missing
    const uint64_t end = Sum(Sum(need.large_bytes, -begin & mask), begin);
    missing = end > tail ? end - tail : 1;
    if (end == kMost) missing = kMost;
  }
  return RoundedUp(missing, granularity);
}

uint64_t PooledAllocator::SlabBytes(const Need& need, uint64_t missing, bool joins) const {
  uint64_t wanted = missing;
  if (joins) {
    wanted = std::max(wanted, options_.min_joining_bytes);
  } else if (need.large_bytes < options_.exact_slab_bytes) {
    wanted = std::max(wanted, std::max(options_.min_slab_bytes,
                                       std::min(options_.max_slab_bytes, reserved_bytes_ / 8)));
  }
  return RoundedUp(wanted, source_->granularity_bytes());
}

// ------------------------------------------------------------------------------------------------
// giving back

void PooledAllocator::Release(const Allocation& allocation) {
  if (allocation.imported) {
    ReleaseImport(allocation);
    return;
  }
  const auto kind = static_cast<Kind>(allocation.token & kKindMask);
  static_assert(kNotABlock == kNone);
  if (kind == kNone) return;
  if (kind == kOwnSlab) {
    auto* slab = reinterpret_cast<Slab*>(allocation.token - kOwnSlab);
    {
      absl::MutexLock lock(&mutex_);
      retired_.push_back(*slab);
      any_retired_.store(true);
    }
    delete slab;
    TryReleaseRetiredSlabs();
    return;
  }
  const auto node = static_cast<uint32_t>(allocation.token >> 2);
  {
    absl::MutexLock lock(&mutex_);
    RangeHeap& heap = kind == kSmall ? small_ : large_;
    const RangeHeap::Block block = heap.BlockAt(node);
    if (block.size_bytes != allocation.reserved_bytes ||
        BlockToken(kind, block, options_.granule_bytes) != allocation.token) [[unlikely]] {
      ReportToStderr(absl::StrCat("allocation ", allocation.id.value(), " of ",
                                  allocation.size_bytes, " bytes in ", space().ToString(),
                                  " was freed twice, or is of another allocator; ignored"));
      return;
    }
    RangeHeap::Block free = heap.Free(node);
    if (kind == kSmall) {
      // One chunk is kept, so that a single block that is allocated and freed repeatedly does not
      // take its chunk along.
      if (free.size_bytes != options_.chunk_bytes ||
          (small_.free_bytes() < 2 * options_.chunk_bytes &&
           CachedBytes() <= options_.max_cached_bytes)) {
        return;
      }
      free = DropChunk(free.address);
    }
    if (CachedBytes() <= options_.max_cached_bytes) [[likely]]
      return;
    if (free.size_bytes < source_->granularity_bytes()) return;
    Retire(options_.max_cached_bytes, /*enough_bytes=*/kMost, /*except_before=*/0);
  }
  TryReleaseRetiredSlabs();
}

RangeHeap::Block PooledAllocator::DropChunk(uint64_t address) {
  small_.RemoveRange(address, options_.chunk_bytes);
  const auto it = chunks_.find(address);
  const RangeHeap::Block free = large_.Free(it->second);
  chunks_.erase(it);
  return free;
}

void PooledAllocator::DropFreeChunks() {
  std::vector<uint64_t> chunks;
  small_.ForEachFree(options_.chunk_bytes,
                     [&](const RangeHeap::Block& block) { chunks.push_back(block.address); });
  for (const uint64_t chunk : chunks) DropChunk(chunk);
}

uint64_t PooledAllocator::Retire(uint64_t keep_bytes, uint64_t enough_bytes,
                                 uint64_t except_before) {
  if (CachedBytes() <= keep_bytes) return 0;
  DropFreeChunks();
  std::vector<Slab> unused;
  large_.ForEachFree(source_->granularity_bytes(), [&](const RangeHeap::Block& block) {
    mutex_.AssertHeld();  // for the analysis, which treats a lambda as a separate function
    if (except_before != 0 && block.address + block.size_bytes == except_before) return;
    for (auto it = std::lower_bound(slabs_.begin(), slabs_.end(), block.address, Before);
         it != slabs_.end() &&
         WindowFits(it->address - block.address, it->size_bytes, block.size_bytes);
         ++it) {
      unused.push_back(*it);
    }
  });
  std::sort(unused.begin(), unused.end(), [](const Slab& a, const Slab& b) {
    return a.size_bytes != b.size_bytes ? a.size_bytes > b.size_bytes : a.address > b.address;
  });
  uint64_t retired = 0;
  for (const Slab& slab : unused) {
    if (CachedBytes() <= keep_bytes || retired >= enough_bytes) break;
    large_.RemoveRange(slab.address, slab.size_bytes);
    slabs_.erase(std::lower_bound(slabs_.begin(), slabs_.end(), slab.address, Before));
    retired_.push_back(slab);
    retired += slab.size_bytes;
  }
  if (retired > 0) any_retired_.store(true);
  return retired;
}

void PooledAllocator::TryReleaseRetiredSlabs() {
  // If another thread is using the source, leave the work to it: it checks again after it has
  // released the lock.
  while (any_retired_.load()) {
    if (!source_mutex_.TryLock()) return;
    ReleaseRetiredSlabs();
    source_mutex_.Unlock();
  }
}

uint64_t PooledAllocator::ReleaseRetiredSlabs() {
  std::vector<Slab> leaving;
  {
    absl::MutexLock lock(&mutex_);
    leaving.swap(retired_);
    any_retired_.store(false);
  }
  uint64_t given = 0;
  for (const Slab& slab : leaving) {
    const uint64_t lost = source_->lost_bytes();
    source_->Release(slab);
    given += slab.size_bytes - std::min(slab.size_bytes, source_->lost_bytes() - lost);
  }
  if (given > 0) {
    absl::MutexLock lock(&mutex_);
    reserved_bytes_ -= given;
  }
  return given;
}

uint64_t PooledAllocator::Trim(uint64_t keep_bytes) {
  RootAllocator::Trim(keep_bytes);
  {
    absl::MutexLock lock(&mutex_);
    Retire(keep_bytes, /*enough_bytes=*/kMost, /*except_before=*/0);
  }
  uint64_t given;
  {
    absl::MutexLock source_lock(&source_mutex_);
    given = ReleaseRetiredSlabs();
  }
  TryReleaseRetiredSlabs();
  return given;
}

}  // namespace tenure
