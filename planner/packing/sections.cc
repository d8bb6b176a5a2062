#include "tenure/planner/packing/sections.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tenure/planner/packing/sort_by_key.h"

namespace tenure::packing {
namespace {

constexpr uint8_t kStart = 1;
constexpr uint8_t kEnd = 2;

// The first end after a start closes a section. Further ends before the next start add no section.
class Counter {
 public:
  explicit Counter(Sections& sections) : sections_(sections) {}
  // Returns the number of sections that are closed by this moment, its own ends included.
  uint32_t Moment(Time t, uint8_t what) {
    if ((what & kEnd) != 0 && open_) {
      ++sections_.count;
      sections_.moment.push_back(last_start_);
      open_ = false;
    }
    if ((what & kStart) != 0) {
      open_ = true;
      last_start_ = t;
    }
    return sections_.count;
  }

 private:
  Sections& sections_;
  bool open_ = false;
  Time last_start_ = 0;
};

}  // namespace

Sections FindSections(const std::vector<Life>& lives) {
  Sections sections;
  if (lives.empty()) return sections;
  sections.ranges.resize(lives.size());
  Time low = lives[0].first, high = lives[0].last;
  for (const Life& life : lives) {
    low = std::min(low, life.first);
    high = std::max(high, life.last);
  }
  const uint64_t span = KeyOf(high) - KeyOf(low);
  Counter counter(sections);
  if (span < 8 * lives.size() + 256) {
    std::vector<uint8_t> what(span + 1);
    for (const Life& life : lives) {
      what[static_cast<uint64_t>(life.first - low)] |= kStart;
      what[static_cast<uint64_t>(life.last - low)] |= kEnd;
    }
    std::vector<uint32_t> index(span + 1);
    for (uint64_t t = 0; t <= span; ++t) {
      index[t] = counter.Moment(low + static_cast<Time>(t), what[t]);
    }
    for (size_t i = 0; i < lives.size(); ++i) {
      sections.ranges[i] = {index[static_cast<uint64_t>(lives[i].first - low)],
                            index[static_cast<uint64_t>(lives[i].last - low)]};
    }
    return sections;
  }
  // An event is a life's index times 2, plus 1 for its end. This fits, because there are fewer than
  // 2^31 lives.
  std::vector<Keyed> events(2 * lives.size());
  for (size_t i = 0; i < lives.size(); ++i) {
    const auto id = static_cast<uint32_t>(2 * i);
    events[2 * i] = {KeyOf(lives[i].first), id};
    events[2 * i + 1] = {KeyOf(lives[i].last), id + 1};
  }
  SortByKey(events);
  for (size_t k = 0; k < events.size();) {
    size_t stop = k;
    uint8_t what = 0;
    for (; stop < events.size() && events[stop].key == events[k].key; ++stop) {
      what |= (events[stop].index & 1) != 0 ? kEnd : kStart;
    }
    const uint32_t index = counter.Moment(TimeOf(events[k].key), what);
    for (; k < stop; ++k) {
      SectionRange& range = sections.ranges[events[k].index >> 1];
      ((events[k].index & 1) != 0 ? range.end : range.begin) = index;
    }
  }
  return sections;
}

std::vector<uint64_t> SectionTotals(const Sections& sections, const std::vector<uint64_t>& sizes) {
  // The differences may wrap around; the prefix sums are correct again.
  std::vector<uint64_t> totals(sections.count + 1);
  for (size_t i = 0; i < sizes.size(); ++i) {
    totals[sections.ranges[i].begin] += sizes[i];
    totals[sections.ranges[i].end] -= sizes[i];
  }
  for (size_t s = 1; s < totals.size(); ++s) totals[s] += totals[s - 1];
  totals.pop_back();
  return totals;
}

}  // namespace tenure::packing
