#include "tenure/runtime/use_list.h"

#include <algorithm>
#include <utility>

#include "tenure/allocator/timeline/fence_state.h"

namespace tenure {
namespace {

// Asks a timeline once for all of its fences that come in a row. Asking a device costs a driver
// call, and a scheduler that runs ahead leaves thousands of uses of one stream.
class ReachedFences {
 public:
  bool Has(const Fence& fence) {
    if (fence.timeline() == nullptr) return true;
    if (fence.timeline().get() != timeline_) {
      timeline_ = fence.timeline().get();
      reached_ = timeline_->Reached();
    }
    return reached_ >= fence.value();
  }

 private:
  const Timeline* timeline_ = nullptr;
  uint64_t reached_ = 0;
};

}  // namespace

void UseList::DropReached() {
  ReachedFences reached;
  std::erase_if(uses_,
                [&](const Use& use) { return reached.Has(use.fence) && IsSettled(use.fence); });
}

void UseList::Drop(const Fence& fence) {
  std::erase_if(uses_, [&](const Use& use) {
    return use.fence.timeline() == fence.timeline() && use.fence.value() == fence.value();
  });
}

void UseList::Record(absl::Span<const Range> ranges, const Fence& fence) {
  if (fence.timeline() == nullptr) return;
  absl::MutexLock lock(&mutex_);
  DropReached();
  for (const Range& range : ranges) {
    if (range.begin >= range.end) continue;
    room_.reserve(std::max(uses_.capacity(), uses_.size() + 1));
    // A later point of the same timeline stands for the earlier ones that it covers.
    std::erase_if(uses_, [&](const Use& use) {
      return use.fence.timeline() == fence.timeline() && use.fence.value() <= fence.value() &&
             range.begin <= use.range.begin && use.range.end <= range.end &&
             (range.access == Access::kWrite || use.range.access == Access::kRead);
    });
    uses_.push_back({range, fence});
  }
}

std::vector<Fence> UseList::Conflicts(uint64_t begin, uint64_t end, Access access) {
  std::vector<Fence> fences;
  absl::MutexLock lock(&mutex_);
  ReachedFences reached;
  for (const Use& use : uses_) {
    if (Conflicting(use.range, begin, end, access) && !reached.Has(use.fence))
      fences.push_back(use.fence);
  }
  return fences;
}

absl::StatusOr<std::vector<Fence>> UseList::Pending(uint64_t begin, uint64_t end, Access access) {
  std::vector<Fence> fences;
  absl::MutexLock lock(&mutex_);
  DropReached();
  for (const Use& use : uses_) {
    if (!Conflicting(use.range, begin, end, access)) continue;
    if (use.fence.IsReached()) {
      // Not dropped, so it has an error; or it was reached a moment ago, and has none.
      const Fence fence = use.fence;
      // This counts as telling the error, so that no other list of uses gives it again. It does not
      // block.
      absl::Status status = fence.WaitUntil(absl::InfiniteFuture());
      if (status.ok()) continue;
      Drop(fence);
      return status;
    }
    fences.push_back(use.fence);
  }
  return fences;
}

absl::Status UseList::Wait(uint64_t begin, uint64_t end, Access access, absl::Time deadline) {
  if (begin >= end) return absl::OkStatus();
  std::vector<Fence> fences;
  {
    absl::MutexLock lock(&mutex_);
    DropReached();
    for (const Use& use : uses_) {
      if (Conflicting(use.range, begin, end, access)) fences.push_back(use.fence);
    }
  }
  for (const Fence& fence : fences) {
    absl::Status status = fence.WaitUntil(deadline);
    if (status.ok()) continue;
    if (fence.IsReached()) {
      absl::MutexLock lock(&mutex_);
      Drop(fence);
    }
    return status;
  }
  return absl::OkStatus();
}

std::vector<Fence> UseList::Finish() {
  absl::MutexLock lock(&mutex_);
  ReachedFences reached;
  for (Use& use : uses_) {
    if (!reached.Has(use.fence)) room_.push_back(std::move(use.fence));
  }
  uses_.clear();
  return std::move(room_);
}

}  // namespace tenure
