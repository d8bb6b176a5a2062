#include "tenure/planner/schedule.h"

#include <atomic>

#include "absl/strings/str_cat.h"

namespace tenure {

uint64_t internal::ScheduleStateCounter::NewId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

absl::StatusOr<uint32_t> Schedule::AddStep(Step step) {
  const uint32_t number = static_cast<uint32_t>(steps_.size());
  auto refuse = [&](auto... why) {
    return absl::InvalidArgumentError(
        absl::StrCat("step ", number, " ('", step.name, "'): ", why...));
  };
  if (steps_.size() >= 0x7fffffff) return refuse("a schedule has at most 2^31-1 steps");
  for (const Buffer& buffer : step.reads) {
    if (buffer.is_null()) return refuse("a read is a null buffer");
  }
  for (const Buffer& buffer : step.writes) {
    if (buffer.is_null()) return refuse("a write is a null buffer");
  }
  if (!step.after.empty() && order_ == OrderKind::kTotal) {
    return refuse(
        "'after' is given, but the schedule is in total order; make it with "
        "OrderKind::kDependencies");
  }
  for (uint32_t before : step.after) {
    if (before >= number)
      return refuse("'after' names step ", before, ", which is not an earlier one");
  }
  for (const InPlace& pair : step.in_place) {
    if (pair.read >= step.reads.size() || pair.write >= step.writes.size()) {
      return refuse("in-place permission {", pair.read, ", ", pair.write,
                    "} names no read or write of its ", step.reads.size(), " and ",
                    step.writes.size());
    }
  }
  steps_.push_back(std::move(step));
  state_.Change();
  return number;
}

void Schedule::MarkInput(const Buffer& buffer, InputUse use) {
  inputs_[buffer.storage_id()] = use;
  state_.Change();
}

void Schedule::MarkOutput(const Buffer& buffer, OutputPlacement placement) {
  outputs_[buffer.storage_id()] = placement;
  state_.Change();
}

bool Schedule::IsDonated(StorageId id) const {
  const auto it = inputs_.find(id);
  return it != inputs_.end() && it->second == InputUse::kDonated;
}

OutputPlacement Schedule::PlacementOf(StorageId id) const {
  const auto it = outputs_.find(id);
  return it == outputs_.end() ? OutputPlacement::kOwn : it->second;
}

void Schedule::MarkIntermediate(StorageId id) {
  intermediates_.insert(id);
  state_.Change();
}

void Schedule::MarkAllIntermediate() {
  all_intermediate_ = true;
  state_.Change();
}

void Schedule::Hold(const Buffer& buffer, std::string why) {
  held_[buffer.storage_id()] = std::move(why);
  state_.Change();
}

std::vector<Step> Schedule::TakeSteps() {
  state_.Change();
  return std::exchange(steps_, {});
}

const std::string* Schedule::HeldBecause(StorageId id) const {
  auto it = held_.find(id);
  return it == held_.end() ? nullptr : &it->second;
}

}  // namespace tenure
