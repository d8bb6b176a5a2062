#include "tenure/planner/groups.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"

namespace tenure {
namespace {

// The only touch of a storage in a step, or null.
const Touch* OnlyTouch(const StorageLife& life, uint32_t step) {
  const Touch* found = nullptr;
  for (const Touch& touch : life.touches) {
    if (touch.step != step) continue;
    if (found != nullptr) return nullptr;
    found = &touch;
  }
  return found;
}

bool Whole(const StorageLife& life, const Touch& touch) {
  return touch.begin == 0 && touch.end == life.storage->size_bytes();
}

}  // namespace

absl::Status CheckTakeOver(const Schedule& schedule, const StepOrder& order,
                           const Liveness& liveness, const TakenOver& taken) {
  auto refuse = [&](auto... why) {
    return absl::FailedPreconditionError(absl::StrCat("storage ", taken.output,
                                                      " can't take over storage ", taken.input,
                                                      " at step ", taken.step, ": ", why...));
  };
  if (taken.step >= schedule.steps().size() || taken.input >= liveness.storages.size() ||
      taken.output >= liveness.storages.size() || taken.input == taken.output) {
    return refuse("there are no such step and storages");
  }
  const Step& step = schedule.steps()[taken.step];
  const StorageLife& in = liveness.storages[taken.input];
  const StorageLife& out = liveness.storages[taken.output];
  bool permitted = false;
  for (const InPlace& pair : step.in_place) {
    permitted = permitted || (step.reads[pair.read].storage_id() == in.storage->id() &&
                              step.writes[pair.write].storage_id() == out.storage->id());
  }
  if (!permitted) return refuse("the step does not permit it");
  if (in.reason != PlanReason::kPlanned || out.reason != PlanReason::kPlanned)
    return refuse("one of them is not planned");
  if (in.storage->size_bytes() != out.storage->size_bytes()) return refuse("their sizes differ");
  if (&in.storage->allocator() != &out.storage->allocator())
    return refuse("they are of two allocators");
  if (in.lane != out.lane) return refuse("they are of two lanes");
  if (out.needs_fill) return refuse("the output is filled with zeros first");
  const Touch* read = OnlyTouch(in, taken.step);
  const Touch* write = OnlyTouch(out, taken.step);
  if (read == nullptr || write == nullptr || read->access != Access::kRead ||
      write->access != Access::kWrite || !Whole(in, *read) || !Whole(out, *write)) {
    return refuse("the step must touch each of them once and wholly");
  }
  for (const Touch& touch : in.touches) {
    if (touch.step != taken.step && !order.Precedes(touch.step, taken.step))
      return refuse("the input is used later");
  }
  for (const Touch& touch : out.touches) {
    if (touch.step != taken.step && !order.Precedes(taken.step, touch.step))
      return refuse("the output is used before");
  }
  return absl::OkStatus();
}

Grouping GroupStorages(const Schedule& schedule, const StepOrder& order, const Liveness& liveness,
                       uint64_t alignment_bytes, bool in_place) {
  const size_t n = liveness.storages.size();
  Grouping result;
  std::vector<uint32_t> next(n, ~0u);  // who takes over
  std::vector<bool> taker(n, false);
  if (in_place) {
    for (uint32_t number = 0; number < schedule.steps().size(); ++number) {
      const Step& step = schedule.steps()[number];
      for (const InPlace& pair : step.in_place) {
        const TakenOver taken{number, liveness.index_of.at(step.reads[pair.read].storage_id()),
                              liveness.index_of.at(step.writes[pair.write].storage_id())};
        if (next[taken.input] != ~0u || taker[taken.output]) continue;
        if (!CheckTakeOver(schedule, order, liveness, taken).ok()) continue;
        next[taken.input] = taken.output;
        taker[taken.output] = true;
        result.taken_over.push_back(taken);
      }
    }
  }
  for (uint32_t first = 0; first < n; ++first) {
    if (taker[first] || liveness.storages[first].reason != PlanReason::kPlanned) continue;
    StorageGroup group;
    const StorageLife& head = liveness.storages[first];
    group.allocator = &head.storage->allocator();
    group.lane = head.lane;
    group.first_step = head.first_step;
    group.alignment_bytes = alignment_bytes;
    for (uint32_t s = first; s != ~0u; s = next[s]) {
      group.storages.push_back(s);
      group.last_step = std::max(group.last_step, liveness.storages[s].last_step);
      group.alignment_bytes =
          std::max(group.alignment_bytes, liveness.storages[s].storage->alignment_bytes());
    }
    // Sizes that can't be rounded up are larger than any allocation and are not planned
    // (planner.cc).
    if (!CheckedRoundUp(head.storage->size_bytes(), alignment_bytes, &group.size_bytes)) continue;
    result.groups.push_back(std::move(group));
  }
  return result;
}

}  // namespace tenure
