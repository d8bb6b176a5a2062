#include "tenure/planner/order_packer.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <queue>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "tenure/planner/packing/alignment.h"

namespace tenure {
namespace {

constexpr uint32_t kNone = ~0u;
constexpr size_t kMaxTried = 64;   // ranges where a fit may begin
constexpr size_t kMaxJoined = 16;  // ranges that one fit may span

struct Range {
  uint64_t end;
  uint32_t tenant;  // a member, or kNone if the range was never used
};

// The ranges cover [0, height) without holes.
struct PackedArena {
  std::map<uint64_t, Range> ranges;  // by begin
  uint64_t height() const { return ranges.empty() ? 0 : ranges.rbegin()->second.end; }
};

struct Place {
  uint32_t arena = kNone;
  uint64_t offset = 0;
};

// The begin of a range whose tenant was over when this was noted. The range may have another tenant
// by now.
struct Over {
  Place at;
  uint32_t tenant;
};

class OrderPacker {
 public:
  OrderPacker(const StepOrder& order, const std::vector<StorageGroup>& groups,
              const std::vector<uint32_t>& members, uint64_t limit)
      : order_(order), groups_(groups), members_(members), limit_(limit) {}

  OrderPacking Run() {
    OrderPacking result;
    result.offsets.resize(members_.size());
    result.arenas.resize(members_.size());
    std::vector<uint32_t> by_start(members_.size());
    std::iota(by_start.begin(), by_start.end(), 0u);
    std::stable_sort(by_start.begin(), by_start.end(), [&](uint32_t a, uint32_t b) {
      return Group(a).first_step < Group(b).first_step;
    });
    using Busy = std::pair<uint32_t, uint32_t>;  // last step, member
    std::priority_queue<Busy, std::vector<Busy>, std::greater<>> busy;
    for (uint32_t m : by_start) {
      for (; !busy.empty() && busy.top().first < Group(m).first_step; busy.pop()) {
        const uint32_t over = busy.top().second;
        Note({result.arenas[over], result.offsets[over]}, over);
      }
      const Place place = Group(m).size_bytes == 0 ? Place{0, 0} : FindPlace(m);
      result.arenas[m] = place.arena;
      result.offsets[m] = place.offset;
      if (Group(m).size_bytes == 0) continue;
      Assign(place, m);
      busy.emplace(Group(m).last_step, m);
    }
    for (const PackedArena& arena : arenas_) result.height += arena.height();
    return result;
  }

 private:
  const StorageGroup& Group(uint32_t m) const { return groups_[members_[m]]; }
  bool FreeOf(uint32_t tenant, uint32_t m) const {
    return tenant == kNone || order_.SurelyPrecede(Group(tenant).ends, Group(m).ends);
  }

  void Note(Place at, uint32_t tenant) {
    over_.push_back({at, tenant});
    if (tenant != kNone) {
      over_on_[order_.Chain(Group(tenant).ends.latest.back())].push_back({at, tenant});
    }
  }

  // Looks for the lowest fit that begins in one of the latest of these ranges.
  void Try(std::vector<Over>& over, uint32_t m, Place& best) {
    const uint64_t alignment = Group(m).alignment_bytes;
    size_t tried = 0, kept = over.size();
    for (size_t i = over.size(); i-- > 0 && tried < kMaxTried; ++tried) {
      const auto [at, tenant] = over[i];
      if (!FreeOf(tenant, m)) continue;
      auto& ranges = arenas_[at.arena].ranges;
      const auto it = ranges.find(at.offset);
      if (it == ranges.end() || it->second.tenant != tenant) {
        over[i].at.arena = kNone;  // it has another tenant now
        kept = i;
        continue;
      }
      const Place found{at.arena, packing::AlignUp(at.offset, alignment)};
      if (best.arena != kNone &&
          std::pair(best.arena, best.offset) < std::pair(found.arena, found.offset)) {
        continue;
      }
      if (Fits(at.arena, it, found.offset, m)) best = found;
    }
    over.erase(std::remove_if(over.begin() + static_cast<ptrdiff_t>(kept), over.end(),
                              [](const Over& o) { return o.at.arena == kNone; }),
               over.end());
  }

  // Tries the ranges of the chain of m first, then those of all chains. If none fits, the place is
  // on top of the first arena with room.
  Place FindPlace(uint32_t m) {
    Place best;
    const StorageGroup& group = Group(m);
    Try(over_on_[order_.Chain(group.ends.earliest[0])], m, best);
    Try(over_, m, best);
    if (best.arena != kNone) return best;
    for (; first_with_room_ < arenas_.size(); ++first_with_room_) {
      const uint64_t offset =
          packing::AlignUp(arenas_[first_with_room_].height(), group.alignment_bytes);
      if (offset <= limit_ && group.size_bytes <= limit_ - offset) {
        return {first_with_room_, offset};
      }
      if (first_with_room_ + 1 == arenas_.size()) break;
    }
    arenas_.emplace_back();
    return {static_cast<uint32_t>(arenas_.size() - 1), 0};
  }

  // Whether m may have the bytes from `offset` on, where `offset` lies in the range `it`. They may
  // reach beyond the height of the arena.
  bool Fits(uint32_t arena, std::map<uint64_t, Range>::const_iterator it, uint64_t offset,
            uint32_t m) const {
    const auto& ranges = arenas_[arena].ranges;
    const uint64_t size = Group(m).size_bytes;
    if (offset > limit_ || size > limit_ - offset) return false;
    const uint64_t end = offset + size;
    for (size_t joined = 0; it != ranges.end() && it->first < end; ++it) {
      if (it->second.end <= offset) continue;  // skipped for alignment
      if (++joined > kMaxJoined || !FreeOf(it->second.tenant, m)) return false;
    }
    return true;
  }

  void Assign(Place place, uint32_t m) {
    auto& ranges = arenas_[place.arena].ranges;
    const uint64_t begin = place.offset, end = begin + Group(m).size_bytes;
    const uint64_t height = arenas_[place.arena].height();
    if (height < begin) ranges[height] = {begin, kNone};
    Cut(place.arena, begin);
    Cut(place.arena, end);
    ranges.erase(ranges.lower_bound(begin), ranges.lower_bound(end));
    ranges[begin] = {end, m};
  }
  // Cuts the range that contains `at` in two there. The tenant of the upper part may be over, too.
  void Cut(uint32_t arena, uint64_t at) {
    auto& ranges = arenas_[arena].ranges;
    auto it = ranges.upper_bound(at);
    if (it == ranges.begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    ranges[at] = it->second;
    it->second.end = at;
    Note({arena, at}, it->second.tenant);
  }

  const StepOrder& order_;
  const std::vector<StorageGroup>& groups_;
  const std::vector<uint32_t>& members_;
  const uint64_t limit_;
  std::vector<PackedArena> arenas_;
  std::vector<Over> over_;
  absl::flat_hash_map<uint32_t, std::vector<Over>>
      over_on_;  // the same, by the chain of the last step
  uint32_t first_with_room_ = 0;
};

}  // namespace

OrderPacking PackInOrder(const StepOrder& order, const std::vector<StorageGroup>& groups,
                         const std::vector<uint32_t>& members, uint64_t arena_limit_bytes) {
  return OrderPacker(order, groups, members, arena_limit_bytes).Run();
}

}  // namespace tenure
