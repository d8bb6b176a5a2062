#include "tenure/planner/fingerprint.h"

#include "absl/container/flat_hash_map.h"
#include "tenure/planner/stable_hash.h"

namespace tenure {
namespace {

// number_of(buffer) is the number of the storage of the buffer. Storages are numbered by first
// touch.
template <typename F>
uint64_t HashSchedule(const Schedule& schedule, F number_of) {
  internal::StableHash hash;
  const Allocator* allocator =
      nullptr;  // of the previous storage; `space` is the hash of its space
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
    // 1 is the number of the plain mark, as it was when there was no other.
    const bool input = schedule.IsInput(storage.id()), donated = schedule.IsDonated(storage.id());
    hash.Add(donated ? 2 : input ? 1 : 0);
    hash.Add(schedule.IsOutput(storage.id())
                 ? 1 + static_cast<uint64_t>(schedule.PlacementOf(storage.id()))
                 : 0);
    // A kept input is never placed, so the plan does not depend on where its bytes are: it may be
    // copied in one process and mapped from a file in the next.
    if (input && !donated) return;
    hash.Add(storage.alignment_bytes());
    hash.Add(storage.zeroed());
    if (&storage.allocator() != allocator) {
      allocator = &storage.allocator();
      internal::StableHash name;
      name.Add(allocator->space().ToString());
      space = name.value();
    }
    hash.Add(space);
  };
  for (const Step& step : schedule.steps()) {
    hash.Add(step.queue);
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

uint64_t Fingerprint(const Schedule& schedule) {
  absl::flat_hash_map<StorageId, uint32_t> numbers;
  return HashSchedule(schedule, [&numbers](const Buffer& buffer) {
    return numbers.try_emplace(buffer.storage_id(), static_cast<uint32_t>(numbers.size()))
        .first->second;
  });
}

uint64_t internal::Fingerprint(const Schedule& schedule,
                               absl::Span<const uint32_t> storage_numbers) {
  auto number = storage_numbers.begin();
  return HashSchedule(schedule, [&number](const Buffer&) { return *number++; });
}

}  // namespace tenure
