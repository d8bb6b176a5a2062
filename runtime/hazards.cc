#include "tenure/runtime/hazards.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/annotate.h"
#include "tenure/runtime/buffer_errors.h"
#include "tenure/runtime/storage.h"

namespace tenure {
namespace {

// The range of a window in the allocation that holds its bytes.
UseList::Range RangeOf(const Buffer& buffer, Access access) {
  const uint64_t begin = buffer.storage()->root_offset() + buffer.offset();
  return {begin, begin + buffer.size(), access};
}

// Keeps only the latest fence of each timeline.
void Add(std::vector<Fence>& fences, const Fence& fence) {
  for (Fence& known : fences) {
    if (known.timeline() != fence.timeline()) continue;
    if (known.value() < fence.value()) known = fence;
    return;
  }
  fences.push_back(fence);
}

}  // namespace

bool Overlaps(const Buffer& a, const Buffer& b) {
  if (a.is_null() || b.is_null() || a.size() == 0 || b.size() == 0) return false;
  uint64_t a_begin = a.offset(), b_begin = b.offset();
  if (a.storage() != b.storage()) {
    if (!a.is_allocated() || !b.is_allocated()) return false;
    a_begin += a.storage()->root_offset();
    b_begin += b.storage()->root_offset();
    const Allocation& a_root = a.storage()->root();
    const Allocation& b_root = b.storage()->root();
    if (a_root.id != b_root.id) {
      // Two windows of one mapped file, or foreign memory that was wrapped twice: different
      // allocations may hold the same host bytes.
      if (a_root.host == nullptr || b_root.host == nullptr) return false;
      a_begin += reinterpret_cast<uintptr_t>(a_root.host);
      b_begin += reinterpret_cast<uintptr_t>(b_root.host);
    }
  }
  return a_begin < b_begin + b.size() && b_begin < a_begin + a.size();
}

Hazard HazardBetween(const Buffer& first, Access first_access, const Buffer& second,
                     Access second_access) {
  if ((first_access == Access::kRead && second_access == Access::kRead) ||
      !Overlaps(first, second)) {
    return Hazard::kNone;
  }
  if (first_access == Access::kRead) return Hazard::kWriteAfterRead;
  return second_access == Access::kRead ? Hazard::kReadAfterWrite : Hazard::kWriteAfterWrite;
}

absl::Status RecordUses(absl::Span<const Use> uses, const Fence& fence) {
  for (size_t i = 0; i < uses.size(); ++i) {
    const Buffer* buffer = uses[i].buffer;
    absl::Status status;
    if (buffer == nullptr || buffer->is_null()) {
      status = internal::NullBufferError();
    } else if (!buffer->is_allocated()) {
      status = absl::FailedPreconditionError(absl::StrCat(
          internal::Describe(*buffer), " has no bytes yet, so nobody can be using them"));
    }
    if (status.ok()) continue;
    if (uses.size() == 1) return status;
    return Annotate(status, absl::StrCat("use ", i));
  }
  if (uses.size() == 1) {
    const Buffer& buffer = *uses[0].buffer;
    const UseList::Range range = RangeOf(buffer, uses[0].access);
    buffer.storage()->root_uses().Record({&range, 1}, fence);
    return absl::OkStatus();
  }
  // Uses of one allocation are recorded together.
  std::vector<std::pair<UseList*, UseList::Range>> sorted;
  sorted.reserve(uses.size());
  for (const Use& use : uses) {
    sorted.emplace_back(&use.buffer->storage()->root_uses(), RangeOf(*use.buffer, use.access));
  }
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return std::less<>()(a.first, b.first); });
  std::vector<UseList::Range> ranges;
  for (size_t i = 0; i < sorted.size(); ++i) {
    ranges.push_back(sorted[i].second);
    if (i + 1 < sorted.size() && sorted[i + 1].first == sorted[i].first) continue;
    sorted[i].first->Record(ranges, fence);
    ranges.clear();
  }
  return absl::OkStatus();
}

std::vector<Fence> PendingUses(absl::Span<const Use> uses) {
  std::vector<Fence> fences;
  for (const Use& use : uses) {
    if (use.buffer == nullptr) continue;
    for (const Fence& fence : use.buffer->PendingUses(use.access)) Add(fences, fence);
  }
  return fences;
}

}  // namespace tenure
