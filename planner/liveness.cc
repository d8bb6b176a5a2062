#include "tenure/planner/liveness.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/byte_ranges.h"
#include "tenure/planner/work_counts.h"

namespace tenure {
namespace {

constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max();

std::string StepName(const Schedule& schedule, uint32_t step) {
  return absl::StrCat("step ", step, " ('", schedule.steps()[step].name, "')");
}

std::string StorageName(const Storage& storage) {
  return storage.name().empty() ? absl::StrCat("storage ", storage.id().value())
                                : absl::StrCat("buffer '", storage.name(), "'");
}

// Whether the first step that touches a storage writes all of it, and reads none of it before.
bool FirstStepWritesAll(const StorageLife& life) {
  Coverage written;
  for (const Touch& touch : life.touches) {
    if (touch.step != life.first_step) break;
    if (touch.access == Access::kRead && touch.begin < touch.end) return false;
    written.Add(touch.begin, touch.end);
  }
  return written.Covers(0, life.storage->size_bytes());
}

// With dependencies, two steps that touch the same bytes, one of them writing, must be ordered.
// This class checks the touches of one storage.
//
// For each byte range it keeps the last writer and the readers since then. A step that comes after
// those comes after all earlier steps that touched the range.
class OrderCheck {
 public:
  explicit OrderCheck(const StepOrder& order) : order_(order) {}

  // Call it with the touches in step order. Returns an earlier step that conflicts with this touch
  // and is not ordered before it, or kNever.
  uint32_t Add(const Touch& touch) {
    if (touch.begin >= touch.end) return kNever;
    auto it = CutAt(touch.begin);
    CutAt(touch.end);
    uint64_t covered = touch.begin;
    while (it != ranges_.end() && it->first < touch.end) {
      Range& range = it->second;
      if (Unordered(range.writer, touch.step)) return range.writer;
      if (touch.access == Access::kWrite) {
        for (uint32_t reader : range.readers) {
          if (Unordered(reader, touch.step)) return reader;
        }
        it = ranges_.erase(it);
        continue;
      }
      AddReader(range, touch.step);
      if (it->first > covered) AddRange(covered, it->first, touch);
      covered = range.end;
      ++it;
    }
    if (touch.access == Access::kWrite) covered = touch.begin;
    if (covered < touch.end) AddRange(covered, touch.end, touch);
    return kNever;
  }

 private:
  struct Range {
    uint64_t end = 0;
    uint32_t writer = kNever;
    absl::InlinedVector<uint32_t, 2> readers;  // since the writer
  };
  using Ranges = std::map<uint64_t, Range>;  // by begin; they do not overlap

  bool Unordered(uint32_t before, uint32_t step) const {
    return before != kNever && before != step && !order_.Precedes(before, step);
  }
  // Of several readers on one chain the last is enough: a step after it comes after all of them.
  void AddReader(Range& range, uint32_t step) {
    if (!range.readers.empty() && order_.Chain(range.readers.back()) == order_.Chain(step)) {
      range.readers.back() = step;
    } else {
      range.readers.push_back(step);
    }
  }
  void AddRange(uint64_t begin, uint64_t end, const Touch& touch) {
    Range& range = ranges_[begin];
    range.end = end;
    if (touch.access == Access::kWrite) {
      range.writer = touch.step;
    } else {
      range.readers.push_back(touch.step);
    }
  }
  // Cuts the range that contains `at` in two there. Returns the first range that begins at or above
  // `at`.
  Ranges::iterator CutAt(uint64_t at) {
    auto it = ranges_.lower_bound(at);
    if (it == ranges_.begin()) return it;
    auto below = std::prev(it);
    if (below->second.end <= at) return it;
    Range upper = below->second;
    below->second.end = at;
    return ranges_.emplace_hint(it, at, std::move(upper));
  }

  const StepOrder& order_;
  Ranges ranges_;
};

absl::Status CheckOrdered(const Schedule& schedule, const StepOrder& order,
                          const StorageLife& life) {
  OrderCheck check(order);
  for (const Touch& touch : life.touches) {
    const uint32_t before = check.Add(touch);
    if (before == kNever) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        StepName(schedule, before), " and ", StepName(schedule, touch.step),
        " touch the same bytes of ", StorageName(*life.storage),
        " and one writes them, but neither is ordered after the other; add a dependency"));
  }
  return absl::OkStatus();
}

// Fills in storages, index_of, owners, and touches in the order of the schedule.
absl::Status CollectTouches(const Schedule& schedule, Liveness& result) {
  std::vector<bool> defined;  // of each storage: whether it has contents by now
  const auto& steps = schedule.steps();
  size_t touch_count = 0;
  for (const Step& step : steps) touch_count += step.reads.size() + step.writes.size();
  result.owners.reserve(touch_count);
  result.touches.reserve(touch_count);
  result.index_of.reserve(touch_count / 2);
  for (uint32_t number = 0; number < steps.size(); ++number) {
    const Step& step = steps[number];
    auto touch = [&](const Buffer& buffer, Access access) {
      auto [it, fresh] = result.index_of.try_emplace(buffer.storage_id(),
                                                     static_cast<uint32_t>(result.storages.size()));
      if (fresh) {
        Storage& storage = *buffer.storage();
        StorageLife& life = result.storages.emplace_back();
        life.storage = &storage;
        life.first_step = number;
        life.queue = step.queue;
        // Intermediates may have had the bytes of an output that is not in memory of its own.
        defined.push_back(storage.zeroed() || schedule.IsInput(storage.id()) ||
                          (storage.is_allocated() &&
                           schedule.PlacementOf(storage.id()) == OutputPlacement::kOwn));
      }
      StorageLife& life = result.storages[it->second];
      life.last_step = number;
      ++life.handles;
      result.owners.push_back(it->second);
      result.touches.push_back({number, access, buffer.offset(), buffer.offset() + buffer.size()});
      return it->second;
    };
    for (const Buffer& buffer : step.reads) {
      const uint32_t s = touch(buffer, Access::kRead);
      if (defined[s] || buffer.size() == 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(StepName(schedule, number), " reads ", StorageName(*buffer.storage()),
                       " before any step has written to it; mark it as an input, create it zeroed, "
                       "or write it first"));
    }
    for (const Buffer& buffer : step.writes) {
      const uint32_t s = touch(buffer, Access::kWrite);
      if (buffer.size() > 0) defined[s] = true;
    }
  }
  return absl::OkStatus();
}

// Sorts the touches by storage, and gives each storage the span of its own touches.
void GroupTouches(Liveness& result) {
  std::vector<size_t> next;  // where the next touch of each storage goes
  next.reserve(result.storages.size());
  size_t begin = 0;
  for (const StorageLife& life : result.storages) {
    next.push_back(begin);
    begin += life.handles;  // as many touches as handles
  }
  std::vector<Touch> sorted(result.touches.size());
  for (size_t t = 0; t < sorted.size(); ++t) {
    sorted[next[result.owners[t]]++] = result.touches[t];
  }
  result.touches = std::move(sorted);
  for (size_t s = 0; s < next.size(); ++s) {
    StorageLife& life = result.storages[s];
    life.touches =
        absl::MakeConstSpan(result.touches).subspan(next[s] - life.handles, life.handles);
  }
}

// Whether other storages may have the bytes of this input or output while it does not need them.
bool CanLend(const Storage& storage) {
  return !storage.sealed() && !storage.hints().needs_dedicated() &&
         !(storage.is_allocated() && storage.root().read_only);
}

// Decides whether a plan may place the storage.
void Judge(const Schedule& schedule, const StepOrder& order, const LivenessOptions& options,
           StorageLife& life) {
  const Storage& storage = *life.storage;
  const uint64_t handles = storage.handle_count();
  const uint64_t outside = handles - std::min<uint64_t>(handles, life.handles);
  const bool input = schedule.IsInput(storage.id()), output = schedule.IsOutput(storage.id());
  const OutputPlacement placement = schedule.PlacementOf(storage.id());
  // Zeros that nobody has written yet are not in the memory that a plan would give it.
  const bool donated = schedule.IsDonated(storage.id()) && !output && CanLend(storage) &&
                       (storage.is_allocated() || !storage.zeroed());
  life.from_start = input;
  life.to_end = output;
  life.own_memory = donated || placement == OutputPlacement::kReused;
  life.any_handles = input || output || schedule.IsIntermediate(storage.id());
  if (input && !donated) {
    life.reason = PlanReason::kInput;
  } else if (output &&
             (placement == OutputPlacement::kOwn || (life.own_memory && !CanLend(storage)))) {
    life.reason = PlanReason::kOutput;
  } else if (storage.is_allocated() && !life.own_memory) {
    life.reason = PlanReason::kAllocated;
  } else if (storage.sealed()) {
    life.reason = PlanReason::kSealed;
  } else if (storage.hints().needs_dedicated()) {
    life.reason = PlanReason::kHeld;
    life.detail = storage.hints().sharing != Sharing::kNone ? "to be shared with other processes"
                  : storage.hints().write_combined          ? "write-combined memory of its own"
                                                   : "memory of its own, as its hints ask for";
  } else if (const std::string* why = schedule.HeldBecause(storage.id())) {
    life.reason = PlanReason::kHeld;
    life.detail = *why;
  } else if (outside > 0 && !life.any_handles && !options.ignore_outside_handles) {
    life.reason = PlanReason::kOutsideHandles;
    life.detail =
        absl::StrCat(outside, outside == 1 ? " handle" : " handles", " outside the schedule");
  } else if (storage.zeroed() && !life.from_start && !FirstStepWritesAll(life)) {
    // The fill is done before the first step, so that step must precede all other steps that touch
    // the storage.
    const bool one_moment =
        std::all_of(life.touches.begin(), life.touches.end(), [&](const Touch& t) {
          return t.step == life.first_step || order.Precedes(life.first_step, t.step);
        });
    life.needs_fill = options.fill_zeroed && one_moment;
    if (!life.needs_fill) life.reason = PlanReason::kZeroed;
  }
}

}  // namespace

absl::StatusOr<Liveness> AnalyzeLiveness(const Schedule& schedule, const StepOrder& order,
                                         const LivenessOptions& options) {
  internal::work_counts.liveness_analyses.fetch_add(1, std::memory_order_relaxed);
  Liveness result;
  TENURE_RETURN_IF_ERROR(CollectTouches(schedule, result));
  GroupTouches(result);
  for (StorageLife& life : result.storages) {
    Judge(schedule, order, options, life);
    if (life.reason == PlanReason::kPlanned) {
      if (life.from_start) life.first_step = 0;
      if (life.to_end) life.last_step = static_cast<uint32_t>(schedule.steps().size()) - 1;
    }
    if (schedule.order() == OrderKind::kDependencies) {
      TENURE_RETURN_IF_ERROR(CheckOrdered(schedule, order, life));
    }
  }
  return result;
}

}  // namespace tenure
