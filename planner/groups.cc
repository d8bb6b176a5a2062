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

absl::Status CheckInPlace(const Schedule& schedule, const StepOrder& order,
                          const Liveness& liveness, const InPlaceWrite& write) {
  auto refuse = [&](auto... why) {
    return absl::FailedPreconditionError(
        absl::StrCat("storage ", write.output, " can't be written in place of storage ",
                     write.input, " at step ", write.step, ": ", why...));
  };
  if (write.step >= schedule.steps().size() || write.input >= liveness.storages.size() ||
      write.output >= liveness.storages.size() || write.input == write.output) {
    return refuse("there are no such step and storages");
  }
  const Step& step = schedule.steps()[write.step];
  const StorageLife& in = liveness.storages[write.input];
  const StorageLife& out = liveness.storages[write.output];
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
  if (in.queue != out.queue) return refuse("they are of two queues");
  if (out.needs_fill) return refuse("the output is filled with zeros first");
  if (out.from_start) return refuse("the output has contents before the first step");
  if (in.to_end) return refuse("the input is read after the last step");
  if (in.own_memory && out.own_memory) return refuse("each of them has memory of its own");
  if (in.own_memory && out.to_end)
    return refuse(
        "the output would lie in the memory of a donated input, and the input of the next "
        "run would erase it");
  // The list is a legal order, so what comes later in it may run later.
  if (in.last_step != write.step) return refuse("the input is used later");
  if (out.first_step != write.step) return refuse("the output is used before");
  const Touch* read = OnlyTouch(in, write.step);
  const Touch* written = OnlyTouch(out, write.step);
  if (read == nullptr || written == nullptr || read->access != Access::kRead ||
      written->access != Access::kWrite || !Whole(in, *read) || !Whole(out, *written)) {
    return refuse("the step must touch each of them once and wholly");
  }
  for (const Touch& touch : in.touches) {
    if (touch.step != write.step && !order.Precedes(touch.step, write.step))
      return refuse("the input is used at a step that is not ordered before");
  }
  for (const Touch& touch : out.touches) {
    if (touch.step != write.step && !order.Precedes(write.step, touch.step))
      return refuse("the output is used at a step that is not ordered after");
  }
  return absl::OkStatus();
}

namespace {

StepEnds EndsOfTouches(const StepOrder& order, const Liveness& liveness,
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

}  // namespace

StepEnds EndsOf(const StepOrder& order, const Liveness& liveness,
                absl::Span<const uint32_t> storages) {
  StepEnds ends = EndsOfTouches(order, liveness, storages);
  for (uint32_t s : storages) {
    const StorageLife& life = liveness.storages[s];
    // No step precedes the first of the list, and none comes after the last.
    if (life.from_start) ends.earliest = {life.first_step};
    if (life.to_end) ends.latest = {life.last_step};
  }
  return ends;
}

Grouping GroupStorages(const Schedule& schedule, const StepOrder& order, const Liveness& liveness,
                       uint64_t alignment_bytes, bool use_in_place) {
  const size_t n = liveness.storages.size();
  Grouping result;
  std::vector<uint32_t> next(n, ~0u);  // the storage written in place of this one
  std::vector<bool> is_output(n, false);
  std::vector<bool> in_donated(n, false);  // whether its chain begins with a donated input
  for (uint32_t s = 0; s < n; ++s)
    in_donated[s] = liveness.storages[s].own_memory && liveness.storages[s].from_start;
  if (use_in_place) {
    for (uint32_t number = 0; number < schedule.steps().size(); ++number) {
      const Step& step = schedule.steps()[number];
      for (const InPlace& pair : step.in_place) {
        const InPlaceWrite write{number, liveness.index_of.at(step.reads[pair.read].storage_id()),
                                 liveness.index_of.at(step.writes[pair.write].storage_id())};
        if (next[write.input] != ~0u || is_output[write.output]) continue;
        if (!CheckInPlace(schedule, order, liveness, write).ok()) continue;
        // Nor is an output written there through others.
        if (in_donated[write.input] && liveness.storages[write.output].to_end) continue;
        in_donated[write.output] = in_donated[write.input];
        next[write.input] = write.output;
        is_output[write.output] = true;
        result.in_place.push_back(write);
      }
    }
  }
  for (uint32_t first = 0; first < n; ++first) {
    if (is_output[first] || liveness.storages[first].reason != PlanReason::kPlanned) continue;
    StorageGroup group;
    const StorageLife& head = liveness.storages[first];
    group.allocator = &head.storage->allocator();
    group.queue = head.queue;
    group.first_step = head.first_step;
    group.alignment_bytes = alignment_bytes;
    for (uint32_t s = first; s != ~0u; s = next[s]) {
      group.storages.push_back(s);
      if (liveness.storages[s].own_memory && !group.memory_of) group.memory_of = s;
      group.to_end = group.to_end || liveness.storages[s].to_end;
      group.last_step = std::max(group.last_step, liveness.storages[s].last_step);
      group.alignment_bytes =
          std::max(group.alignment_bytes, liveness.storages[s].storage->alignment_bytes());
    }
    // Cannot fail: PlanningContext has marked what can't be rounded up as too large.
    if (!CheckedRoundUp(head.storage->size_bytes(), alignment_bytes, &group.size_bytes)) continue;
    group.ends = EndsOf(order, liveness, group.storages);
    result.groups.push_back(std::move(group));
  }
  return result;
}

}  // namespace tenure
