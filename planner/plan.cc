#include "tenure/planner/plan.h"

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/validate_plan.h"

namespace tenure {
namespace {

// A fixed hash, unlike absl::Hash, whose seed differs from process to process. The finalizer is
// that of splitmix64.
class StableHash {
 public:
  void Add(uint64_t value) {
    state_ += value + 0x9e3779b97f4a7c15;
    state_ = (state_ ^ (state_ >> 30)) * 0xbf58476d1ce4e5b9;
    state_ = (state_ ^ (state_ >> 27)) * 0x94d049bb133111eb;
    state_ ^= state_ >> 31;
  }
  void Add(std::string_view text) {
    Add(text.size());
    for (char c : text) Add(static_cast<unsigned char>(c));
  }
  uint64_t value() const { return state_; }

 private:
  uint64_t state_ = 0;
};

// number_of(buffer): the number of its storage, given by first touch.
template <typename F>
uint64_t HashSchedule(const Schedule& schedule, F number_of) {
  StableHash hash;
  const Allocator* allocator = nullptr;  // of the storage before, and the hash of its space
  uint64_t space = 0;
  hash.Add(static_cast<uint64_t>(schedule.order()));
  hash.Add(schedule.steps().size());
  uint32_t seen = 0;
  auto add_buffer = [&](const Buffer& buffer) {
    const uint32_t number = number_of(buffer);
    hash.Add(number);
    hash.Add(buffer.offset());
    hash.Add(buffer.size());
    if (number < seen) return;
    ++seen;
    const Storage& storage = *buffer.storage();
    hash.Add(storage.size_bytes());
    hash.Add(schedule.IsInput(storage.id()));
    hash.Add(schedule.IsOutput(storage.id()));
    // An input is never placed: where its bytes are (copied, or mapped from a file) is no matter of
    // the plan.
    if (schedule.IsInput(storage.id())) return;
    hash.Add(storage.alignment_bytes());
    hash.Add(storage.zeroed());
    if (&storage.allocator() != allocator) {
      allocator = &storage.allocator();
      StableHash name;
      name.Add(allocator->space().ToString());
      space = name.value();
    }
    hash.Add(space);
  };
  for (const Step& step : schedule.steps()) {
    hash.Add(step.lane);
    hash.Add(step.reads.size());
    for (const Buffer& buffer : step.reads) add_buffer(buffer);
    hash.Add(step.writes.size());
    for (const Buffer& buffer : step.writes) add_buffer(buffer);
    hash.Add(step.after.size());
    for (uint32_t before : step.after) hash.Add(before);
    hash.Add(step.in_place.size());
    for (const InPlace& pair : step.in_place) {
      hash.Add(pair.read);
      hash.Add(pair.write);
    }
  }
  return hash.value();
}

}  // namespace

std::string_view PlanModeName(PlanMode mode) {
  switch (mode) {
    case PlanMode::kNone:
      return "none";
    case PlanMode::kRemap:
      return "remap";
    case PlanMode::kArena:
      return "arena";
  }
  return "?";
}

absl::StatusOr<PlanMode> ParsePlanMode(std::string_view name) {
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    if (name == PlanModeName(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown planner '", name, "'; there are none, remap and arena"));
}

uint64_t Fingerprint(const Schedule& schedule) {
  absl::flat_hash_map<StorageId, uint32_t> numbers;
  return HashSchedule(schedule, [&numbers](const Buffer& buffer) {
    return numbers.try_emplace(buffer.storage_id(), static_cast<uint32_t>(numbers.size()))
        .first->second;
  });
}

uint64_t internal::Fingerprint(const Schedule& schedule, const Liveness& liveness) {
  auto owner = liveness.owners.begin();
  return HashSchedule(schedule, [&owner](const Buffer&) { return *owner++; });
}

}  // namespace tenure
