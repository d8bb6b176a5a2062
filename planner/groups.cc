#include "tenure/planner/groups.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"

namespace tenure {
namespace {

// The only touch of a storage in a step, or null.
const Touch* OnlyTouch(const StorageLife& life, uint32_t step) {
  const auto [first, last] =
      std::equal_range(life.touches.begin(), life.touches.end(), Touch{.step = step},
                       [](const Touch& a, const Touch& b) { return a.step < b.step; });
  return last - first == 1 ? &*first : nullptr;
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
  // The list is a legal order: what comes later in it is not over at the step.
  if (in.last_step != taken.step) return refuse("the input is used later");
  if (out.first_step != taken.step) return refuse("the output is used before");
  const Touch* read = OnlyTouch(in, taken.step);
  const Touch* write = OnlyTouch(out, taken.step);
  if (read == nullptr || write == nullptr || read->access != Access::kRead ||
      write->access != Access::kWrite || !Whole(in, *read) || !Whole(out, *write)) {
    return refuse("the step must touch each of them once and wholly");
  }
  for (const Touch& touch : in.touches) {
    if (touch.step != taken.step && !order.Precedes(touch.step, taken.step))
      return refuse("the input is used at a step that is not ordered before");
  }
  for (const Touch& touch : out.touches) {
    if (touch.step != taken.step && !order.Precedes(taken.step, touch.step))
      return refuse("the output is used at a step that is not ordered after");
  }
  return absl::OkStatus();
}

StepEnds EndsOf(const StepOrder& order, const Liveness& liveness,
                absl::Span<const uint32_t> storages) {
  if (order.total()) {
    uint32_t first = ~0u, last = 0;
    for (uint32_t s : storages) {
      first = std::min(first, liveness.storages[s].first_step);
      last = std::max(last, liveness.storages[s].last_step);
    }
    return {.earliest = {first}, .latest = {last}};
  }
  std::vector<uint32_t> steps;
  for (uint32_t s : storages) {
    for (const Touch& touch : liveness.storages[s].touches) {
      if (steps.empty() || steps.back() != touch.step) steps.push_back(touch.step);
    }
  }
  if (storages.size() > 1) {
    std::sort(steps.begin(), steps.end());
    steps.erase(std::unique(steps.begin(), steps.end()), steps.end());
  }
  return order.Ends(steps);
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
    // What can't be rounded up is too large for any plan (planner.cc) and not here.
    if (!CheckedRoundUp(head.storage->size_bytes(), alignment_bytes, &group.size_bytes)) continue;
    group.ends = EndsOf(order, liveness, group.storages);
    result.groups.push_back(std::move(group));
  }
  return result;
}

}  // namespace tenure
