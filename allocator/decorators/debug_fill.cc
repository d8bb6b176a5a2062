#include "tenure/allocator/decorators/debug_fill.h"

#include <algorithm>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

// The largest request is the upstream's largest, less the guards.
SpaceTraits Reduced(SpaceTraits traits, uint64_t guard_bytes) {
  if (!traits.has_bytes || traits.max_allocation_bytes == SpaceTraits::kUnlimited) return traits;
  const uint64_t front =
      (guard_bytes + traits.min_alignment_bytes - 1) & ~(traits.min_alignment_bytes - 1);
  traits.max_allocation_bytes -= std::min(traits.max_allocation_bytes, front + guard_bytes);
  return traits;
}

}  // namespace

std::string DebugFillAllocator::Damage::ToString() const {
  const bool in_front = offset_bytes < 0;
  return absl::StrFormat(
      "bytes %s allocation %d '%s' (storage %d, %d bytes) were overwritten: the first at offset "
      "%d now holds 0x%02x; %d guard bytes changed in all",
      in_front ? "in front of" : "behind", allocation.value(), name, storage.value(), size_bytes,
      offset_bytes, found, changed_bytes);
}

DebugFillAllocator::DebugFillAllocator(std::unique_ptr<Allocator> upstream, const Options& options)
    : Decorator(std::move(upstream)),
      options_(options),
      traits_(Reduced(up().traits(), options.guard_bytes)),
      deferred_([this](const Allocation& allocation) { Free(RecordOf(allocation)); },
                [this](const Allocation& allocation, absl::Span<const Fence> users) {
                  Record* record = RecordOf(allocation);
                  up().Deallocate(record->upstream, users);
                  delete record;
                }) {}

absl::Status DebugFillAllocator::Paint(const Allocation& upstream, uint64_t offset_bytes,
                                       uint64_t size_bytes, uint8_t value) {
  if (size_bytes == 0) return absl::OkStatus();
  FillPattern pattern;
  pattern.bytes[0] = std::byte{value};
  absl::StatusOr<Fence> done = up().Fill({&upstream, offset_bytes, size_bytes}, pattern, {});
  return done.ok() ? done->Wait() : done.status();
}

absl::StatusOr<Allocation> DebugFillAllocator::Allocate(const AllocationRequest& request) {
  deferred_.Reap();
  if (!applies() || request.is_dedicated()) {
    absl::StatusOr<Allocation> made = up().Allocate(request);
    if (made.ok()) made->dedicated = request.is_dedicated();
    made.ok() ? counters_.OnAllocate(request.size_bytes, 0) : counters_.OnFailure();
    return made;
  }
  AllocationRequest padded = request;
  padded.hints.queue = nullptr;  // the fill uses the bytes at once, so they can't be reused early
  const uint64_t alignment = std::max(request.alignment_bytes, traits_.min_alignment_bytes);
  uint64_t front = 0;
  const bool fits = !IsPowerOfTwo(alignment) ||  // the upstream refuses it
                    (CheckedRoundUp(options_.guard_bytes, alignment, &front) &&
                     CheckedAdd(front, request.size_bytes, &padded.size_bytes) &&
                     CheckedAdd(padded.size_bytes, options_.guard_bytes, &padded.size_bytes));
  if (!fits) {
    counters_.OnFailure();
    return ExhaustedError(request, request.size_bytes, space(), Stats(),
                          "nothing: with guard bytes it needs more than 64 bits");
  }
  // Before the upstream is asked, so that nothing can fail between the fills and the end.
  auto record = std::make_unique<Record>(Record{{},
                                                front,
                                                request.size_bytes,
                                                AllocationId::Mint(),
                                                request.storage,
                                                std::string(request.name)});
  absl::StatusOr<Allocation> made = up().Allocate(padded);
  if (!made.ok()) {
    counters_.OnFailure();
    if (!absl::IsResourceExhausted(made.status())) return made;
    return ExhaustedError(
        request, padded.size_bytes, space(), Stats(),
        absl::StrCat("the upstream, guard bytes included (", made.status().message(), ")"));
  }
  absl::Cleanup give_back = [&] { up().Deallocate(*made); };  // also after an exception
  const uint64_t behind = front + request.size_bytes;
  // If the front is wide, only the bytes next to the allocation are guards.
  const uint64_t guard = options_.guard_bytes;
  absl::Status painted = Paint(*made, front - guard, guard, options_.guard);
  if (!request.zeroed) {
    painted.Update(Paint(*made, front, request.size_bytes, options_.allocated));
  }
  painted.Update(Paint(*made, behind, guard, options_.guard));
  if (!painted.ok()) {
    counters_.OnFailure();
    return painted;
  }
  std::move(give_back).Cancel();
  record->upstream = *made;
  Allocation out = *made;
  out.id = record->id;
  out.size_bytes = request.size_bytes;
  out.alignment_bytes = std::min(out.alignment_bytes, alignment);
  const SubRegion inner{&record->upstream, front, request.size_bytes};
  out.host = request.size_bytes == 0 ? nullptr : inner.host();
  out.device_address = inner.device_address();
  out.native_offset += front;
  out.token = reinterpret_cast<uint64_t>(record.release());
  counters_.OnAllocate(request.size_bytes, 0);
  return out;
}

void DebugFillAllocator::Deallocate(const Allocation& allocation, absl::Span<const Fence> users) {
  if (!allocation) return;
  counters_.OnDeallocate(allocation.size_bytes);
  deferred_.Reap();
  if (!applies() || allocation.dedicated) {
    up().Deallocate(allocation, users);
  } else {
    deferred_.Retire(allocation, users);
  }
}

void DebugFillAllocator::Inspect(const Record& record, uint64_t offset_bytes, uint64_t size_bytes,
                                 Damage& damage) {
  if (size_bytes == 0) return;
  std::vector<uint8_t> seen(size_bytes);
  absl::StatusOr<Fence> read =
      up().CopyOut(seen.data(), {&record.upstream, offset_bytes, size_bytes}, {});
  if (!read.ok() || !read->Wait().ok()) return;  // the guard can't be read now
  for (uint64_t i = 0; i < size_bytes; ++i) {
    if (seen[i] == options_.guard) continue;
    if (damage.changed_bytes++ > 0) continue;
    damage.offset_bytes = static_cast<int64_t>(offset_bytes + i - record.front_bytes);
    damage.found = seen[i];
  }
}

void DebugFillAllocator::Free(Record* record) noexcept {
  try {
    CheckAndPaint(*record);
  } catch (const std::exception&) {  // freed all the same
  }
  up().Deallocate(record->upstream);
  delete record;
}

void DebugFillAllocator::CheckAndPaint(const Record& record) {
  Damage damage;
  const uint64_t guard = options_.guard_bytes;
  Inspect(record, record.front_bytes - guard, guard, damage);
  Inspect(record, record.front_bytes + record.size_bytes, guard, damage);
  if (damage.changed_bytes > 0) {
    damaged_.fetch_add(1, std::memory_order_relaxed);
    damage.name = record.name;
    damage.allocation = record.id;
    damage.storage = record.storage;
    damage.size_bytes = record.size_bytes;
    if (options_.on_damage) {
      options_.on_damage(damage);
    } else {
      ReportToStderr(absl::StrCat(space().ToString(), ": ", damage.ToString()));
    }
  }
  // Best effort: freed bytes that can't be filled are still freed.
  Paint(record.upstream, record.front_bytes, record.size_bytes, options_.freed).IgnoreError();
}

uint64_t DebugFillAllocator::Trim(uint64_t keep_bytes) {
  deferred_.Reap();
  return up().Trim(keep_bytes);
}

void DebugFillAllocator::Poll() {
  deferred_.Reap();
  up().Poll();
}

AllocatorStats DebugFillAllocator::Stats() const {
  return StatsOf(counters_, deferred_.waiting_bytes());
}

SubRegion DebugFillAllocator::ToUpstream(const SubRegion& region) const {
  if (!applies() || region.allocation->dedicated) return region;
  const Record* record = RecordOf(*region.allocation);
  return {&record->upstream, record->front_bytes + region.offset_bytes, region.size_bytes};
}

}  // namespace tenure
