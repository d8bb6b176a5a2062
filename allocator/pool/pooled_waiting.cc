// The part of PooledAllocator that concerns freed bytes whose fences are not reached: it reuses them
// for queues that come after, and waits for them on the host.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/allocator/pool/pooled_allocator.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

// The sleep between two looks at the fences. It is short at first, because most waits are.
constexpr absl::Duration kShortestSleep = absl::Microseconds(5);
constexpr absl::Duration kLongestSleep = absl::Microseconds(200);

// Adds fences. A later point of a timeline replaces earlier ones.
void Add(absl::Span<const Fence> users, std::vector<Fence>& fences) {
  for (const Fence& fence : users) {
    auto it = std::find_if(fences.begin(), fences.end(), [&](const Fence& other) {
      return other.timeline() == fence.timeline();
    });
    if (it == fences.end()) {
      fences.push_back(fence);
    } else if (it->value() < fence.value()) {
      *it = fence;
    }
  }
}

}  // namespace

absl::StatusOr<bool> PooledAllocator::ReuseDeferred(const AllocationRequest& request,
                                                    const Need& need, bool by_waiting,
                                                    Allocation& made) {
  if (deferred().waiting_count() == 0) return false;
  Queue& queue = *request.hints.queue;
  std::vector<Fence> fences;
  bool found = false;
  deferred().Revise(
      [&](const Fence& fence) {
        // Ask about the timeline, not this fence: if this fence happens to be reached, that says
        // nothing about later ones.
        const Fence never(fence.timeline(), ~uint64_t{0});
        return queue.HasRecorded(fence) || (by_waiting && queue.CanWaitFor(never));
      },
      [&](absl::Span<DeferredQueue::Entry* const> waiting,
          std::vector<DeferredQueue::Entry>& more) {
        found = CutFromDeferred(need, waiting, more, made, fences);
        // As a last resort, place a small block in the large heap.
        if (!found && need.small && by_waiting) {
          const Need single = {need.size_bytes, need.alignment_bytes, false, need.size_bytes,
                               need.alignment_bytes};
          found = CutFromDeferred(single, waiting, more, made, fences);
        }
      });
  if (!found) return false;
  std::vector<Fence> others;
  for (const Fence& fence : fences) {
    if (!queue.HasRecorded(fence)) others.push_back(fence);
  }
  if (absl::Status status = queue.WaitFor(others); !status.ok()) {
    made.id = AllocationId::Mint();
    deferred().Retire(made, fences);
    return status;
  }
  OnReused(made);
  request.pending->insert(request.pending->end(), fences.begin(), fences.end());
  return true;
}

bool PooledAllocator::WaitForDeferred(uint64_t size_bytes, uint64_t settled,
                                      absl::FunctionRef<bool()> look,
                                      absl::FunctionRef<bool()> attempt, std::string& tried) {
  const absl::Time begin = absl::Now();
  const absl::Time deadline = begin + max_wait();
  absl::Duration sleep = kShortestSleep;
  bool waited = false;
  // Looks at all timelines in turn, because a wait for one of them could last longer than those for
  // the others.
  while (true) {
    Poll();
    if (look()) return true;
    const bool none = deferred().waiting_count() == 0;  // read before the other counter
    const uint64_t now_settled = deferred().settled_count();
    if (now_settled != settled) {
      settled = now_settled;
      if (attempt()) return true;
      sleep = kShortestSleep;
    } else if (none) {
      break;
    }
    const absl::Time now = absl::Now();
    if (now >= deadline) break;
    // Asked once, because what other threads have in use changes all the time.
    if (!waited) {
      absl::MutexLock lock(&mutex_);
      uint64_t most;
      if (CheckedAdd(CachedBytes(), deferred().waiting_bytes(), &most) &&
          CheckedAdd(most, Headroom(), &most) && most < size_bytes) {
        break;
      }
    }
    waited = true;
    absl::SleepFor(std::min(sleep, deadline - now));
    sleep = std::min(2 * sleep, kLongestSleep);
  }
  if (waited) {
    absl::StrAppend(&tried, ", waiting ", absl::FormatDuration(absl::Now() - begin),
                    " for freed bytes");
  }
  return false;
}

bool PooledAllocator::CutFromDeferred(const Need& need,
                                      absl::Span<DeferredQueue::Entry* const> waiting,
                                      std::vector<DeferredQueue::Entry>& more, Allocation& made,
                                      std::vector<Fence>& fences) {
  absl::MutexLock lock(&mutex_);
  RangeHeap& heap = need.small ? small_ : large_;
  std::vector<DeferredQueue::Entry*> entries;
  std::vector<uint32_t> nodes;
  for (DeferredQueue::Entry* entry : waiting) {
    Allocation& allocation = entry->allocation;
    if (allocation.imported || allocation.dedicated) continue;
    // Skip blocks of the other heap and dedicated slabs.
    const RangeHeap::Block block = heap.BlockAt(static_cast<uint32_t>(allocation.token >> 2));
    if (block.size_bytes == 0 || block.size_bytes != allocation.reserved_bytes ||
        TokenOf(block, need.small) != allocation.token) {
      continue;
    }
    if (block.size_bytes == need.size_bytes && (block.address & (need.alignment_bytes - 1)) == 0) {
      // Reuse the whole block as it is. Repeating schedules find such blocks.
      HandOut(block, need.small, need, made);
      Add(entry->users, fences);
      allocation = Allocation();
      return true;
    }
    entries.push_back(entry);
    nodes.push_back(block.node);
  }
  std::vector<RangeHeap::Cut> cuts;
  const auto block = heap.AllocateOver(nodes, need.size_bytes, need.alignment_bytes, cuts);
  if (!block.has_value()) return false;
  HandOut(*block, need.small, need, made);
  for (const RangeHeap::Cut& cut : cuts) {
    DeferredQueue::Entry& entry = *entries[cut.index];
    Add(entry.users, fences);
    // The rest continues to wait, in one piece or two.
    const Allocation whole = std::exchange(entry.allocation, Allocation());
    for (const RangeHeap::Block& piece : {cut.front, cut.back}) {
      if (piece.size_bytes == 0) continue;
      Allocation rest;
      rest.id = whole.id;
      rest.size_bytes = piece.size_bytes;
      HandOut(piece, need.small, need, rest);
      if (entry.allocation) {
        more.push_back({rest, entry.users});
      } else {
        entry.allocation = rest;
      }
    }
  }
  return true;
}

}  // namespace tenure
