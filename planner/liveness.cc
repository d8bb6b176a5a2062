#include "tenure/planner/liveness.h"

#include <algorithm>
#include <limits>
#include <map>

#include "absl/strings/str_cat.h"

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

// The union of half-open intervals.
class Coverage {
 public:
  void Add(uint64_t begin, uint64_t end) {
    if (begin >= end) return;
    auto it = spans_.upper_bound(begin);
    if (it != spans_.begin() && std::prev(it)->second >= begin) --it;
    while (it != spans_.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = spans_.erase(it);
    }
    spans_[begin] = end;
  }
  bool Covers(uint64_t begin, uint64_t end) const {
    if (begin >= end) return true;
    auto it = spans_.upper_bound(begin);
    return it != spans_.begin() && std::prev(it)->second >= end;
  }

 private:
  std::map<uint64_t, uint64_t> spans_;
};

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

bool Conflict(const Touch& a, const Touch& b) {
  return (a.access == Access::kWrite || b.access == Access::kWrite) && a.begin < b.end &&
         b.begin < a.end;
}

// With dependencies: two steps that touch the same bytes, one of them writing, must be ordered.
absl::Status CheckOrdered(const Schedule& schedule, const StepOrder& order,
                          const StorageLife& life) {
  // Touches that no later conflicting touch stands for; the others are ordered through it.
  std::vector<Touch> open;
  for (const Touch& touch : life.touches) {
    for (const Touch& before : open) {
      if (before.step == touch.step || !Conflict(before, touch) ||
          order.Precedes(before.step, touch.step))
        continue;
      return absl::InvalidArgumentError(absl::StrCat(
          StepName(schedule, before.step), " and ", StepName(schedule, touch.step),
          " touch the same bytes of ", StorageName(*life.storage),
          " and one writes them, but neither is ordered after the other; add a dependency"));
    }
    if (touch.access == Access::kWrite) {
      std::erase_if(open, [&](const Touch& before) {
        return before.step != touch.step && touch.begin <= before.begin && before.end <= touch.end;
      });
    }
    open.push_back(touch);
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view PlanReasonName(PlanReason reason) {
  switch (reason) {
    case PlanReason::kPlanned:
      return "planned";
    case PlanReason::kInput:
      return "input";
    case PlanReason::kOutput:
      return "output";
    case PlanReason::kAllocated:
      return "allocated";
    case PlanReason::kSealed:
      return "sealed";
    case PlanReason::kZeroed:
      return "zeroed";
    case PlanReason::kHeld:
      return "held";
    case PlanReason::kTooLarge:
      return "too_large";
    case PlanReason::kModeNone:
      return "mode_none";
  }
  return "?";
}

StepOrder::StepOrder(const Schedule& schedule) {
  if (schedule.order() == OrderKind::kTotal) return;
  const auto& steps = schedule.steps();
  const uint32_t n = static_cast<uint32_t>(steps.size());
  chain_.assign(n, kNever);
  position_.assign(n, 0);
  // Chains, greedily: a step extends the chain of a dependency that is still the last of its chain.
  std::vector<uint32_t> length;
  std::vector<uint32_t> last_of;
  for (uint32_t step = 0; step < n; ++step) {
    for (uint32_t before : steps[step].after) {
      if (last_of[chain_[before]] == before) {
        chain_[step] = chain_[before];
        break;
      }
    }
    if (chain_[step] == kNever) {
      chain_[step] = static_cast<uint32_t>(length.size());
      length.push_back(0);
      last_of.push_back(step);
    }
    position_[step] = length[chain_[step]]++;
    last_of[chain_[step]] = step;
  }
  chain_count_ = static_cast<uint32_t>(length.size());
  after_.assign(size_t{n} * chain_count_, kNever);
  for (uint32_t step = n; step-- > 0;) {
    const uint32_t* mine = &after_[size_t{step} * chain_count_];
    for (uint32_t before : steps[step].after) {
      uint32_t* theirs = &after_[size_t{before} * chain_count_];
      for (uint32_t c = 0; c < chain_count_; ++c) theirs[c] = std::min(theirs[c], mine[c]);
      theirs[chain_[step]] = std::min(theirs[chain_[step]], position_[step]);
    }
  }
}

bool StepOrder::Precedes(uint32_t a, uint32_t b) const {
  if (chain_count_ == 0) return a < b;
  return a != b && position_[b] >= after_[size_t{a} * chain_count_ + chain_[b]];
}

absl::StatusOr<Liveness> AnalyzeLiveness(const Schedule& schedule, const StepOrder& order,
                                         const LivenessOptions& options) {
  Liveness result;
  std::vector<bool> written;  // of each storage: some earlier step wrote to it
  auto index_of = [&result](const StorageLife& life) {
    return static_cast<size_t>(&life - result.storages.data());
  };
  const auto& steps = schedule.steps();
  for (uint32_t number = 0; number < steps.size(); ++number) {
    const Step& step = steps[number];
    auto touch = [&](const Buffer& buffer, Access access) -> StorageLife& {
      auto [it, fresh] = result.index_of.try_emplace(buffer.storage_id(),
                                                     static_cast<uint32_t>(result.storages.size()));
      if (fresh) {
        result.storages.emplace_back();
        result.storages.back().storage = buffer.storage();
        result.storages.back().first_step = number;
        result.storages.back().lane = step.lane;
        written.push_back(false);
      }
      StorageLife& life = result.storages[it->second];
      life.last_step = number;
      ++life.handles;
      life.touches.push_back({number, access, buffer.offset(), buffer.offset() + buffer.size()});
      return life;
    };
    for (const Buffer& buffer : step.reads) {
      const StorageLife& life = touch(buffer, Access::kRead);
      const Storage& storage = *life.storage;
      if (written[index_of(life)] || buffer.size() == 0 || schedule.IsInput(storage.id()) ||
          storage.zeroed() || storage.is_allocated()) {
        continue;
      }
      return absl::InvalidArgumentError(
          absl::StrCat(StepName(schedule, number), " reads ", StorageName(storage),
                       " before any step has written to it; mark it as an input, create it zeroed, "
                       "or write it first"));
    }
    for (const Buffer& buffer : step.writes) {
      const StorageLife& life = touch(buffer, Access::kWrite);
      if (buffer.size() > 0) written[index_of(life)] = true;
    }
  }
  for (StorageLife& life : result.storages) {
    const Storage& storage = *life.storage;
    const uint64_t outside =
        storage.handle_count() - std::min<uint64_t>(storage.handle_count(), life.handles);
    if (schedule.IsInput(storage.id())) {
      life.reason = PlanReason::kInput;
    } else if (schedule.IsOutput(storage.id())) {
      life.reason = PlanReason::kOutput;
    } else if (storage.is_allocated()) {
      life.reason = PlanReason::kAllocated;
    } else if (storage.sealed()) {
      life.reason = PlanReason::kSealed;
    } else if (const std::string* why = schedule.HeldBecause(storage.id())) {
      life.reason = PlanReason::kHeld;
      life.detail = *why;
    } else if (outside > 0 && !options.ignore_outside_handles) {
      life.reason = PlanReason::kHeld;
      life.detail =
          absl::StrCat(outside, outside == 1 ? " handle" : " handles", " outside the schedule");
    } else if (storage.zeroed() && !FirstStepWritesAll(life)) {
      // The fill goes before the first step, so that step must be before all others that touch it.
      const bool one_moment =
          std::all_of(life.touches.begin(), life.touches.end(), [&](const Touch& t) {
            return t.step == life.first_step || order.Precedes(life.first_step, t.step);
          });
      life.needs_fill = options.fill_zeroed && one_moment;
      if (!life.needs_fill) life.reason = PlanReason::kZeroed;
    }
    if (schedule.order() == OrderKind::kDependencies) {
      if (absl::Status status = CheckOrdered(schedule, order, life); !status.ok()) return status;
    }
  }
  return result;
}

}  // namespace tenure
