// FakeCard's controls: failures, counts, and what a test may ask.

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card_state.h"

namespace tenure::vulkan {

void FakeCard::FailCall(std::string_view entry, VkResult error, uint64_t nth, bool and_later) {
  const fake::Entry found = fake::NamedEntry(entry);
  absl::MutexLock lock(&state_->mutex);
  state_->failures[found].push_back({error, std::max<uint64_t>(nth, 1), and_later});
}

void FakeCard::ClearFailures() {
  absl::MutexLock lock(&state_->mutex);
  for (auto& failures : state_->failures) failures.clear();
}

uint64_t FakeCard::FailuresGiven() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->failures_given;
}

const std::vector<FakeFallible>& FakeCard::FallibleEntries() {
  static const auto* const kEntries = [] {
    auto* entries = new std::vector<FakeFallible>;
    for (int entry = 0; entry < fake::kEntryCount; ++entry) {
      const fake::EntryInfo& info = fake::InfoOf(entry);
      if (!info.errors.empty()) entries->push_back({info.name, info.errors});
    }
    return entries;
  }();
  return *kEntries;
}

void FakeCard::LoseDevice() {
  // A lost device may still be created anew.
  for (const FakeFallible& fallible : FallibleEntries()) {
    const auto& errors = fallible.errors;
    if (fallible.entry != "vkCreateDevice" &&
        std::find(errors.begin(), errors.end(), VK_ERROR_DEVICE_LOST) != errors.end()) {
      FailCall(fallible.entry, VK_ERROR_DEVICE_LOST, 1, true);
    }
  }
  state_->Lose();
}

std::vector<std::string> FakeCard::Violations() const {
  absl::MutexLock lock(&state_->mutex);
  state_->violations_read = true;
  return state_->violations;
}

void FakeCard::ClearViolations() {
  absl::MutexLock lock(&state_->mutex);
  state_->violations.clear();
}

uint64_t FakeCard::Calls(std::string_view entry) const {
  const fake::Entry found = fake::NamedEntry(entry);
  absl::MutexLock lock(&state_->mutex);
  return state_->calls[found];
}

uint64_t FakeCard::Executed(std::string_view command) const {
  const fake::Entry found = fake::NamedEntry(command);
  absl::MutexLock lock(&state_->mutex);
  return state_->executed[found];
}

std::map<std::string, uint64_t> FakeCard::LiveObjects() const {
  absl::MutexLock lock(&state_->mutex);
  std::map<std::string, uint64_t> live;
  for (const auto& [object, parent] : state_->objects) ++live[std::string(object.first)];
  return live;
}

uint64_t FakeCard::Live(std::string_view kind) const {
  const std::map<std::string, uint64_t> live = LiveObjects();
  const auto found = live.find(std::string(kind));
  return found == live.end() ? 0 : found->second;
}

std::vector<FakeMemory> FakeCard::Memories() const {
  absl::MutexLock lock(&state_->mutex);
  std::map<uint64_t, FakeMemory> ordered;
  for (const auto& [handle, memory] : state_->memories) ordered[memory.sequence] = memory.info;
  std::vector<FakeMemory> memories;
  memories.reserve(ordered.size());
  for (const auto& [sequence, info] : ordered) memories.push_back(info);
  return memories;
}

std::vector<FakeRange> FakeCard::Ranges() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->ranges;
}

void FakeCard::ClearRanges() {
  absl::MutexLock lock(&state_->mutex);
  state_->ranges.clear();
}

uint64_t FakeCard::HeapUsedBytes(uint32_t heap, uint32_t card) const {
  absl::MutexLock lock(&state_->mutex);
  return state_->cards.at(card).heap_used.at(heap);
}

uint64_t FakeCard::Refusals() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->refusals;
}

void FakeCard::SetOtherPrograms(uint32_t heap, uint64_t bytes, uint32_t card) {
  absl::MutexLock lock(&state_->mutex);
  state_->cards.at(card).heap_others.at(heap) = bytes;
}

}  // namespace tenure::vulkan
