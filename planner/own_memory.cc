#include "tenure/planner/own_memory.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "tenure/planner/packing/alignment.h"

namespace tenure::internal {
namespace {

// The limit of groups moved, times the cost of each.
constexpr uint64_t kMaxWork = 400'000'000;

class OwnMemoryPacker {
 public:
  OwnMemoryPacker(const StepOrder& order, const Liveness& liveness,
                  const std::vector<StorageGroup>& groups, const std::vector<uint32_t>& members)
      : order_(order), liveness_(liveness), groups_(groups) {
    for (uint32_t g : members) {
      if (groups[g].memory_of) {
        result_.memories.push_back({.members = {g}, .offsets = {0}});
        result_.bytes += groups[g].size_bytes;
      } else {
        rest_.push_back({.group = g});
      }
    }
  }

  OwnMemoryPacking Run() {
    if (!result_.memories.empty()) MoveFromPeaks();
    for (const Candidate& candidate : rest_) {
      if (!candidate.moved) result_.rest.push_back(candidate.group);
    }
    return std::move(result_);
  }

 private:
  struct Candidate {
    uint32_t group;
    bool tried = false;  // what has found no room finds none later: memories only get fuller
    bool moved = false;
  };

  uint64_t ExactBytes(uint32_t group) const {
    return liveness_.storages[groups_[group].storages[0]].storage->size_bytes();
  }
  bool IsDonated(uint32_t owner) const {
    return liveness_.storages[*groups_[owner].memory_of].from_start;
  }
  bool Apart(uint32_t a, uint32_t b) const {
    return order_.SurelyPrecede(groups_[a].ends, groups_[b].ends) ||
           order_.SurelyPrecede(groups_[b].ends, groups_[a].ends);
  }

  void MoveFromPeaks() {
    // The smallest memory that has room is used, so that large ones are there for large groups.
    std::vector<uint32_t> by_size(result_.memories.size());
    std::iota(by_size.begin(), by_size.end(), 0u);
    std::stable_sort(by_size.begin(), by_size.end(), [this](uint32_t a, uint32_t b) {
      return ExactBytes(result_.memories[a].members[0]) <
             ExactBytes(result_.memories[b].members[0]);
    });
    std::vector<uint32_t> by_bytes(rest_.size());  // the largest first
    std::iota(by_bytes.begin(), by_bytes.end(), 0u);
    std::stable_sort(by_bytes.begin(), by_bytes.end(), [this](uint32_t a, uint32_t b) {
      return groups_[rest_[a].group].size_bytes > groups_[rest_[b].group].size_bytes;
    });
    uint32_t steps = 0;
    for (const Candidate& c : rest_) steps = std::max(steps, groups_[c.group].last_step + 1);
    std::vector<uint64_t> live(steps, 0);
    for (const Candidate& c : rest_) {
      const StorageGroup& group = groups_[c.group];
      for (uint32_t s = group.first_step; s <= group.last_step; ++s) live[s] += group.size_bytes;
    }
    const uint64_t most_moves = 1 + kMaxWork / (steps + rest_.size() + 1);
    for (uint64_t moves = 0; moves < most_moves; ++moves) {
      const auto peak = std::max_element(live.begin(), live.end());
      if (peak == live.end() || *peak == 0) return;
      const auto step = static_cast<uint32_t>(peak - live.begin());
      const auto moved = std::find_if(by_bytes.begin(), by_bytes.end(), [&](uint32_t c) {
        const StorageGroup& group = groups_[rest_[c].group];
        return !rest_[c].tried && group.first_step <= step && step <= group.last_step &&
               Move(by_size, rest_[c]);
      });
      if (moved == by_bytes.end()) return;  // the arena gets no smaller than this peak
      const StorageGroup& group = groups_[rest_[*moved].group];
      for (uint32_t s = group.first_step; s <= group.last_step; ++s) live[s] -= group.size_bytes;
    }
  }

  bool Move(const std::vector<uint32_t>& by_size, Candidate& candidate) {
    candidate.tried = true;
    if (groups_[candidate.group].size_bytes == 0) return false;
    for (uint32_t m : by_size) {
      if (groups_[candidate.group].to_end && IsDonated(result_.memories[m].members[0])) continue;
      if (!Put(candidate.group, result_.memories[m])) continue;
      candidate.moved = true;
      return true;
    }
    return false;
  }

  // Puts the group at the lowest offset at which it fits, if there is one.
  bool Put(uint32_t g, OwnMemory& memory) const {
    const uint64_t room = ExactBytes(memory.members[0]), size = ExactBytes(g);
    const uint64_t alignment = groups_[g].alignment_bytes;
    if (size > room || alignment > groups_[memory.members[0]].alignment_bytes) return false;
    std::vector<std::pair<uint64_t, uint64_t>> taken;  // begin, end
    for (size_t i = 0; i < memory.members.size(); ++i) {
      if (Apart(memory.members[i], g)) continue;
      if (i == 0) return false;
      taken.emplace_back(memory.offsets[i],
                         memory.offsets[i] + groups_[memory.members[i]].size_bytes);
    }
    std::sort(taken.begin(), taken.end());
    uint64_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (offset + groups_[g].size_bytes <= begin) break;
      offset = std::max(offset, packing::AlignUp(end, alignment));
    }
    if (offset > room - size) return false;
    memory.members.push_back(g);
    memory.offsets.push_back(offset);
    return true;
  }

  const StepOrder& order_;
  const Liveness& liveness_;
  const std::vector<StorageGroup>& groups_;
  std::vector<Candidate> rest_;
  OwnMemoryPacking result_;
};

}  // namespace

OwnMemoryPacking PackOwnMemory(const StepOrder& order, const Liveness& liveness,
                               const std::vector<StorageGroup>& groups,
                               const std::vector<uint32_t>& members) {
  return OwnMemoryPacker(order, liveness, groups, members).Run();
}

bool PromisesAlignment(const Storage& storage, uint64_t offset_bytes, uint64_t alignment_bytes) {
  return storage.root().alignment_bytes % alignment_bytes == 0 &&
         (storage.root_offset() + offset_bytes) % alignment_bytes == 0;
}

bool IsAligned(const Storage& storage, uint64_t offset_bytes, uint64_t alignment_bytes) {
  if (PromisesAlignment(storage, offset_bytes, alignment_bytes)) return true;
  const Allocation& root = storage.root();
  const uint64_t at = storage.root_offset() + offset_bytes;
  const auto host = reinterpret_cast<uintptr_t>(root.host);
  if (host == 0 && root.device_address == 0) return false;
  return (host == 0 || (host + at) % alignment_bytes == 0) &&
         (root.device_address == 0 || (root.device_address + at) % alignment_bytes == 0);
}

}  // namespace tenure::internal
