// Two containers of byte ranges that liveness, reuse edges and the validator use. Internal to the
// planner.
//
//   Coverage    a union of ranges; tells whether all of [a, b) is in it, or any of it
//   Tenants     the latest tenant of each byte; assigning a range names the tenants it displaces
//
// Cost: O(log n) amortised for each call. Thread safety: thread-compatible. Ownership: by value.

#ifndef TENURE_PLANNER_BYTE_RANGES_H_
#define TENURE_PLANNER_BYTE_RANGES_H_

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>

namespace tenure {

class Coverage {
 public:
  void Add(uint64_t begin, uint64_t end) {
    if (begin >= end || Covers(begin, end)) return;
    auto it = spans_.upper_bound(begin);
    if (it != spans_.begin() && std::prev(it)->second >= begin) --it;
    while (it != spans_.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = spans_.erase(it);
    }
    spans_.emplace_hint(it, begin, end);
  }
  bool Covers(uint64_t begin, uint64_t end) const {
    if (begin >= end) return true;
    auto it = spans_.upper_bound(begin);
    return it != spans_.begin() && std::prev(it)->second >= end;
  }
  bool Intersects(uint64_t begin, uint64_t end) const {
    if (begin >= end) return false;
    auto it = spans_.lower_bound(end);  // the first that begins at or above the end
    return it != spans_.begin() && std::prev(it)->second > begin;
  }

 private:
  std::map<uint64_t, uint64_t> spans_;  // begin -> end; they neither overlap nor touch
};

class Tenants {
 public:
  // Makes `tenant` the tenant of [begin, end). Calls displaced(old tenant) for each range of an old
  // tenant in there, so possibly several times for one tenant.
  template <typename F>
  void Assign(uint64_t begin, uint64_t end, uint32_t tenant, F displaced) {
    if (begin >= end) return;
    auto it = ranges_.upper_bound(begin);
    if (it != ranges_.begin() && std::prev(it)->second.end > begin) --it;
    while (it != ranges_.end() && it->first < end) {
      displaced(it->second.tenant);
      const uint64_t old_end = it->second.end;
      if (old_end > end) {  // its upper part stays
        ranges_.emplace_hint(std::next(it), end, Range{old_end, it->second.tenant});
      }
      if (it->first < begin) {  // its lower part stays
        it->second.end = begin;
        ++it;
      } else {
        it = ranges_.erase(it);
      }
      if (old_end >= end) break;
    }
    ranges_.insert_or_assign(begin, Range{end, tenant});
  }

 private:
  struct Range {
    uint64_t end;
    uint32_t tenant;
  };
  std::map<uint64_t, Range> ranges_;  // begin -> range; they do not overlap
};

}  // namespace tenure

#endif  // TENURE_PLANNER_BYTE_RANGES_H_
