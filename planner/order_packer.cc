#include "tenure/planner/order_packer.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <numeric>
#include <queue>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace tenure {
namespace {

constexpr uint32_t kNobody = ~0u;
constexpr size_t kMaxTried = 64;   // ranges where a fit may begin
constexpr size_t kMaxJoined = 16;  // ranges that one fit may span

struct Range {
  uint64_t end;
  uint32_t tenant;  // a member; kNobody: free for anybody
};

// Ranges cover [0, height) without holes.
struct PackedArena {
  std::map<uint64_t, Range> ranges;  // by begin
  uint64_t used = 0;  // the end of the highest group; above it only what was reserved
  uint64_t height() const { return ranges.empty() ? 0 : ranges.rbegin()->second.end; }
};

struct Place {
  uint32_t arena = kNobody;
  uint64_t offset = 0;
};

class OrderPacker {
 public:
  OrderPacker(const StepOrder& order, const std::vector<StorageGroup>& groups,
              const std::vector<uint32_t>& members, uint64_t limit, bool reserve)
      : order_(order), groups_(groups), members_(members), limit_(limit), reserve_(reserve) {}

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
        over_.push_back({{result.arenas[over], result.offsets[over]}, over});
      }
      const Place place = Group(m).size_bytes == 0 ? Place{0, 0} : FindPlace(m);
      result.arenas[m] = place.arena;
      result.offsets[m] = place.offset;
      if (Group(m).size_bytes == 0) continue;
      Give(place, m);
      busy.emplace(Group(m).last_step, m);
    }
    for (const PackedArena& arena : arenas_) result.height += arena.used;
    return result;
  }

 private:
  const StorageGroup& Group(uint32_t m) const { return groups_[members_[m]]; }
  bool FreeOf(uint32_t tenant, uint32_t m) const {
    return tenant == kNobody || order_.SurelyPrecede(Group(tenant).ends, Group(m).ends);
  }
  static uint64_t AlignUp(uint64_t offset, uint64_t alignment) {
    return (offset + alignment - 1) & ~(alignment - 1);
  }

  // The lowest fit that begins in one of the ranges tried, or on top of the first arena with room.
  Place FindPlace(uint32_t m) {
    Place best;
    const StorageGroup& group = Group(m);
    size_t tried = 0, kept = over_.size();
    for (size_t i = over_.size(); i-- > 0 && tried < kMaxTried; ++tried) {
      const auto [at, tenant] = over_[i];
      if (!FreeOf(tenant, m)) continue;
      auto& ranges = arenas_[at.arena].ranges;
      const auto it = ranges.find(at.offset);
      if (it == ranges.end() || it->second.tenant != tenant) {
        over_[i].at.arena = kNobody;  // given on since
        kept = i;
        continue;
      }
      const Place found{at.arena, AlignUp(at.offset, group.alignment_bytes)};
      if (best.arena != kNobody &&
          std::pair(best.arena, best.offset) < std::pair(found.arena, found.offset)) {
        continue;
      }
      if (Fits(at.arena, it, found.offset, m)) best = found;
    }
    if (kept < over_.size()) {
      over_.erase(std::remove_if(over_.begin() + static_cast<ptrdiff_t>(kept), over_.end(),
                                 [](const Over& o) { return o.at.arena == kNobody; }),
                  over_.end());
    }
    if (best.arena != kNobody) return best;
    for (; first_with_room_ < arenas_.size(); ++first_with_room_) {
      const uint64_t offset = AlignUp(arenas_[first_with_room_].height(), group.alignment_bytes);
      if (offset <= limit_ && group.size_bytes <= limit_ - offset) {
        return {first_with_room_, offset};
      }
      if (first_with_room_ + 1 == arenas_.size()) break;
    }
    arenas_.emplace_back();
    return {static_cast<uint32_t>(arenas_.size() - 1), 0};
  }

  // Whether m may have the bytes from `offset` on, which begin in `it`: free ranges, or what lies
  // above the arena's height.
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

  void Give(Place place, uint32_t m) {
    auto& ranges = arenas_[place.arena].ranges;
    const uint64_t begin = place.offset, end = begin + Group(m).size_bytes;
    const uint64_t height = arenas_[place.arena].height();
    if (height < begin) ranges[height] = {begin, kNobody};
    Cut(place.arena, begin);
    Cut(place.arena, end);
    ranges.erase(ranges.lower_bound(begin), ranges.lower_bound(end));
    ranges[begin] = {end, m};
    arenas_[place.arena].used = std::max(arenas_[place.arena].used, end);
    if (reserve_ && end > height) Reserve(place.arena, end, m);
  }
  // Leaves room above for those who come after m on its chain: as much as the chain has had so far,
  // so that it has its bytes in few pieces.
  void Reserve(uint32_t arena, uint64_t begin, uint32_t m) {
    uint64_t& taken = taken_[order_.Chain(Group(m).ends.earliest[0])];
    const uint64_t room = std::min(taken, limit_ - begin);
    taken += Group(m).size_bytes + room;
    if (room == 0) return;
    arenas_[arena].ranges[begin] = {begin + room, m};
    over_.push_back({{arena, begin}, m});
  }
  // Afterwards no range goes across `at`. The upper part may be over as well as the lower one.
  void Cut(uint32_t arena, uint64_t at) {
    auto& ranges = arenas_[arena].ranges;
    auto it = ranges.upper_bound(at);
    if (it == ranges.begin()) return;
    --it;
    if (it->first == at || it->second.end <= at) return;
    ranges[at] = it->second;
    it->second.end = at;
    over_.push_back({{arena, at}, it->second.tenant});
  }

  const StepOrder& order_;
  const std::vector<StorageGroup>& groups_;
  const std::vector<uint32_t>& members_;
  const uint64_t limit_;
  const bool reserve_;
  absl::flat_hash_map<uint32_t, uint64_t> taken_;  // bytes at the top that went to each chain
  std::vector<PackedArena> arenas_;
  // Where ranges begin whose tenant's last step is over, and the tenant; given on since, perhaps.
  struct Over {
    Place at;
    uint32_t tenant;
  };
  std::vector<Over> over_;
  uint32_t first_with_room_ = 0;
};

}  // namespace

OrderPacking PackInOrder(const StepOrder& order, const std::vector<StorageGroup>& groups,
                         const std::vector<uint32_t>& members, uint64_t arena_limit_bytes) {
  OrderPacking tight = OrderPacker(order, groups, members, arena_limit_bytes, false).Run();
  if (order.total()) return tight;
  OrderPacking roomy = OrderPacker(order, groups, members, arena_limit_bytes, true).Run();
  return roomy.height < tight.height ? roomy : tight;
}

}  // namespace tenure
