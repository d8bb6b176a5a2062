#include "tenure/planner/packing/solver/first_fit.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/solver/height_map.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kNoIndex = ~uint32_t{0};
constexpr uint32_t kLeafSize = 4;
// Up to this many rectangles, the conflicts of a partial order are kept; they take at most 8 MB.
constexpr size_t kKeptConflicts = 8192;
// The largest number of sections, over all arenas, for which height maps are made.
constexpr uint32_t kMostHeights = 1u << 24;

// Returns the smallest value >= x that equals the residue (mod modulus).
uint64_t NextOf(const RigidGroup& group, uint64_t x) {
  const uint64_t residue = Excess(group.residue, group.modulus);
  const uint64_t have = Excess(x, group.modulus);
  return have <= residue ? x + (residue - have) : x + (group.modulus - have) + residue;
}

}  // namespace

OverlapIndex::OverlapIndex(const std::vector<SectionRange>& ranges,
                           const std::vector<uint64_t>& addresses)
    : keys_(addresses.empty() ? 2 : 3) {
  const auto n = static_cast<uint32_t>(ranges.size());
  while (leaves_ * kLeafSize < n) leaves_ *= 2;
  points_.resize(n);
  for (uint32_t p = 0; p < n; ++p) {
    points_[p] = {ranges[p], p, false, addresses.empty() ? 0 : addresses[p], 0};
  }
  leaf_start_.resize(leaves_ + 1);
  leaf_start_[leaves_] = n;
  Split(1, 0, n, 0);
  point_of_.resize(n);
  for (uint32_t q = 0; q < n; ++q) point_of_[points_[q].rectangle] = q;
  nodes_.resize(2 * size_t{leaves_});
}

void OverlapIndex::Split(uint32_t node, uint32_t begin, uint32_t end, int key) {
  if (node >= leaves_) {
    leaf_start_[node - leaves_] = begin;
    return;
  }
  const uint32_t middle = begin + (end - begin) / 2;
  const auto at = points_.begin();
  std::nth_element(at + begin, at + middle, at + end, [key](const Point& a, const Point& b) {
    const uint64_t x = key == 0 ? a.range.begin : key == 1 ? a.range.end : a.begin;
    const uint64_t y = key == 0 ? b.range.begin : key == 1 ? b.range.end : b.begin;
    return x != y ? x < y : a.rectangle < b.rectangle;
  });
  key = (key + 1) % keys_;
  Split(2 * node, begin, middle, key);
  Split(2 * node + 1, middle, end, key);
}

void OverlapIndex::Clear() {
  std::fill(nodes_.begin(), nodes_.end(), Bounds{});
  for (Point& point : points_) point.inserted = false;
}

void OverlapIndex::Refresh(uint32_t point) {
  const auto leaf = static_cast<uint32_t>(
      std::upper_bound(leaf_start_.begin(), leaf_start_.end(), point) - leaf_start_.begin() - 1);
  Bounds bounds;
  for (uint32_t q = leaf_start_[leaf]; q < leaf_start_[leaf + 1]; ++q) {
    if (!points_[q].inserted) continue;
    bounds.min_begin = std::min(bounds.min_begin, points_[q].range.begin);
    bounds.max_end = std::max(bounds.max_end, points_[q].range.end);
    bounds.low = std::min(bounds.low, points_[q].begin);
    bounds.high = std::max(bounds.high, points_[q].end);
  }
  uint32_t i = leaves_ + leaf;
  nodes_[i] = bounds;
  for (i /= 2; i >= 1; i /= 2) {
    const Bounds &a = nodes_[2 * i], &b = nodes_[2 * i + 1];
    nodes_[i] = {std::min(a.min_begin, b.min_begin), std::max(a.max_end, b.max_end),
                 std::min(a.low, b.low), std::max(a.high, b.high)};
  }
}

void OverlapIndex::Insert(uint32_t rectangle, uint64_t begin, uint64_t end) {
  Point& point = points_[point_of_[rectangle]];
  point.inserted = true;
  point.begin = begin;
  point.end = end;
  Refresh(point_of_[rectangle]);
}

void OverlapIndex::Erase(uint32_t rectangle) {
  points_[point_of_[rectangle]].inserted = false;
  Refresh(point_of_[rectangle]);
}

void OverlapIndex::Collect(SectionRange range, std::vector<uint32_t>& found) const {
  CollectWithin(range, 0, kUnlimited, found);
}

void OverlapIndex::CollectWithin(SectionRange range, uint64_t begin, uint64_t end,
                                 std::vector<uint32_t>& found) const {
  uint32_t stack[40];
  int top = 0;
  stack[top++] = 1;
  while (top > 0) {
    const uint32_t i = stack[--top];
    const Bounds& node = nodes_[i];
    if (node.min_begin >= range.end || node.max_end <= range.begin) continue;
    if (node.low >= end || node.high <= begin) continue;
    if (i < leaves_) {
      stack[top++] = 2 * i + 1;
      stack[top++] = 2 * i;
      continue;
    }
    for (uint32_t q = leaf_start_[i - leaves_]; q < leaf_start_[i - leaves_ + 1]; ++q) {
      const Point& point = points_[q];
      if (point.inserted && point.range.begin < range.end && point.range.end > range.begin &&
          point.begin < end && point.end > begin) {
        found.push_back(point.rectangle);
      }
    }
  }
}

uint64_t FirstFitSteps(const RigidGroups& groups, Effort effort) {
  if (groups.groups.size() <= kFewGroups) return effort == Effort::kFast ? 4'000'000 : 40'000'000;
  // With an order of execution, lives are longer than necessary, and bottom-left placement loses
  // more.
  const bool kept = groups.precedence != nullptr && groups.rectangles.size() <= kKeptConflicts;
  const uint64_t steps = kept ? 12'000'000 : 1'000'000;
  return effort == Effort::kFast ? steps : 10 * steps;
}

uint64_t StepsOfOneFit(const RigidGroups& groups) {
  const auto n = static_cast<uint32_t>(groups.rectangles.size());
  const uint32_t sections = groups.apart.empty() ? groups.section_count : groups.apart_count;
  // The number of pairs is the number that have begun before the other ends, minus those that have
  // ended.
  std::vector<uint32_t> begun(sections + 1);
  for (uint32_t p = 0; p < n; ++p) ++begun[groups.Apart(p).begin];
  uint64_t sum = 0, pairs = 0;
  for (uint32_t& b : begun) b = static_cast<uint32_t>(sum += b);
  for (uint32_t p = 0; p < n; ++p) {
    // Counts the rectangles that begin within this one's life, and half of those that begin with
    // it.
    const SectionRange range = groups.Apart(p);
    pairs += begun[range.end - 1] - begun[range.begin];
    const uint32_t with = begun[range.begin] - (range.begin == 0 ? 0 : begun[range.begin - 1]);
    pairs += with / 2;
  }
  // The rows of conflicts are made on the way, which takes steps too.
  const uint64_t rows = groups.precedence == nullptr ? 0 : uint64_t{n} * n / 8;
  return 8 * groups.groups.size() + pairs / 2 + rows;
}

FirstFit::FirstFit(const Problem& problem, const RigidGroups& groups, std::vector<uint64_t> guesses)
    : problem_(problem), groups_(groups), guesses_(std::move(guesses)) {
  Clear();
}

void FirstFit::Clear() {
  if (index_.has_value()) index_->Clear();
  partial_.offsets.assign(groups_.groups.size(), kNoOffset);
  partial_.arenas.assign(groups_.groups.size(), 0);
  partial_.heights.assign(ArenaCount(problem_), 0);
  partial_.height = 0;
  stuck_ = kNoIndex;
}

OverlapIndex& FirstFit::Index() {
  if (index_.has_value()) return *index_;
  std::vector<SectionRange> ranges = groups_.apart;
  if (ranges.empty()) {
    ranges.reserve(groups_.rectangles.size());
    for (const GroupRectangle& rectangle : groups_.rectangles) ranges.push_back(rectangle.range);
  }
  std::vector<uint64_t> addresses;
  if (!guesses_.empty()) {
    addresses.reserve(groups_.rectangles.size());
    for (const GroupRectangle& rectangle : groups_.rectangles) {
      const uint64_t guess = guesses_[rectangle.group];
      addresses.push_back(guess == kNoOffset ? 0 : guess + rectangle.begin);
    }
  }
  return index_.emplace(ranges, addresses);
}

void FirstFit::FindForbidden(uint32_t group) {
  forbidden_.clear();
  looked_at_ = 0;
  const RigidGroup& mine = groups_.groups[group];
  for (uint32_t k = mine.first_rectangle; k < mine.end_rectangle; ++k) {
    const GroupRectangle& p = groups_.rectangles[k];
    found_.clear();
    Index().Collect(groups_.Apart(k), found_);
    looked_at_ += found_.size();
    for (uint32_t f : found_) {
      const GroupRectangle& q = groups_.rectangles[f];
      if (q.group == group || !Conflict(k, f)) continue;
      const uint64_t at = partial_.offsets[q.group];
      const uint64_t begin = at + q.begin, end = at + q.end;
      if (end <= p.begin) continue;  // always beneath p, wherever the group is placed
      forbidden_.push_back(
          {partial_.arenas[q.group], begin < p.end ? 0 : begin - p.end + 1, end - p.begin - 1});
    }
  }
}

// Tells whether two rectangles that are not known to live apart conflict. Every construction asks
// about the same pairs, so the answers are kept.
bool FirstFit::Conflict(uint32_t p, uint32_t q) {
  if (groups_.precedence == nullptr) return true;
  const SectionRange a = groups_.rectangles[p].range, b = groups_.rectangles[q].range;
  if (a.begin < b.end && b.begin < a.end) return true;  // they live at once in one legal order
  const size_t n = groups_.rectangles.size();
  if (n > kKeptConflicts) {
    return groups_.precedence->Conflict(groups_.rectangles[p].item, groups_.rectangles[q].item);
  }
  conflict_rows_.resize(n);
  std::vector<uint64_t>& row = conflict_rows_[p];
  if (row.empty()) {
    row.resize((n + 63) / 64);
    const SectionRange mine = groups_.Apart(p);
    for (uint32_t j = 0; j < n; ++j) {
      const SectionRange other = groups_.Apart(j);
      if (other.begin >= mine.end || other.end <= mine.begin) continue;
      if (groups_.precedence->Conflict(groups_.rectangles[p].item, groups_.rectangles[j].item)) {
        row[j / 64] |= uint64_t{1} << (j % 64);
      }
    }
    looked_at_ += n / 2;
  }
  return (row[q / 64] >> (q % 64) & 1) != 0;
}

bool FirstFit::FitsAt(uint32_t group, uint32_t arena, uint64_t offset) {
  const RigidGroup& mine = groups_.groups[group];
  if (mine.height > 0 && (mine.height > Limit(arena) || offset > Limit(arena) - mine.height)) {
    return false;
  }
  looked_at_ = 0;
  for (uint32_t k = mine.first_rectangle; k < mine.end_rectangle; ++k) {
    const GroupRectangle& p = groups_.rectangles[k];
    found_.clear();
    Index().CollectWithin(groups_.Apart(k), offset + p.begin, offset + p.end, found_);
    looked_at_ += found_.size();
    for (uint32_t f : found_) {
      const uint32_t other = groups_.rectangles[f].group;
      if (other != group && partial_.arenas[other] == arena && Conflict(k, f)) return false;
    }
  }
  return true;
}

void FirstFit::SetPlace(uint32_t group, uint32_t arena, uint64_t offset) {
  const RigidGroup& mine = groups_.groups[group];
  partial_.offsets[group] = offset;
  partial_.arenas[group] = arena;
  uint64_t& height = partial_.heights[arena];
  if (mine.height > 0 && offset + mine.height > height) {
    partial_.height += offset + mine.height - height;
    height = offset + mine.height;
  }
}

void FirstFit::Place(uint32_t group, uint32_t arena, uint64_t offset) {
  SetPlace(group, arena, offset);
  const RigidGroup& mine = groups_.groups[group];
  for (uint32_t p = mine.first_rectangle; p < mine.end_rectangle; ++p) {
    Index().Insert(p, offset + groups_.rectangles[p].begin, offset + groups_.rectangles[p].end);
  }
}

void FirstFit::Remove(uint32_t group) {
  const RigidGroup& mine = groups_.groups[group];
  for (uint32_t p = mine.first_rectangle; p < mine.end_rectangle; ++p) Index().Erase(p);
  partial_.offsets[group] = kNoOffset;
}

void FirstFit::SortForbidden() {
  std::sort(forbidden_.begin(), forbidden_.end(), [](const Forbidden& a, const Forbidden& b) {
    return a.arena != b.arena ? a.arena < b.arena : a.low < b.low;
  });
}

// Returns the lowest possible offset in the arena, at `from` or above. The arena's forbidden ranges
// begin at forbidden_[at]; `at` moves behind them.
uint64_t FirstFit::LowestIn(uint32_t group, uint32_t arena, size_t& at, uint64_t from) const {
  const RigidGroup& mine = groups_.groups[group];
  uint64_t offset = NextOf(mine, from);
  bool found = false;
  for (; at < forbidden_.size() && forbidden_[at].arena == arena; ++at) {
    if (found) continue;
    if (forbidden_[at].low > offset) {
      found = true;
    } else if (forbidden_[at].high >= offset) {
      offset = NextOf(mine, forbidden_[at].high + 1);
    }
  }
  return offset;
}

bool FirstFit::PlaceLowest(uint32_t group, uint64_t capacity) {
  const RigidGroup& mine = groups_.groups[group];
  FindForbidden(group);
  SortForbidden();
  const auto arenas = static_cast<uint32_t>(partial_.heights.size());
  uint32_t best_arena = kNoIndex;
  uint64_t best_growth = kUnlimited, best_offset = kNoOffset;
  size_t at = 0;
  for (uint32_t arena = 0; arena < arenas; ++arena) {
    const uint64_t offset = LowestIn(group, arena, at);
    if (mine.arena != kAnyArena && mine.arena != arena) continue;
    const uint64_t end = mine.height == 0 ? 0 : offset + mine.height;
    if (end > Limit(arena)) continue;
    const uint64_t height = partial_.heights[arena];
    const uint64_t growth = end > height ? end - height : 0;
    if (growth < best_growth || (growth == best_growth && offset < best_offset)) {
      best_growth = growth;
      best_offset = offset;
      best_arena = arena;
    }
  }
  if (best_arena == kNoIndex || best_growth > capacity ||
      partial_.height > capacity - best_growth) {
    stuck_ = group;
    return false;
  }
  Place(group, best_arena, best_offset);
  return true;
}

// A group that is fixed but bound to no arena goes into the first arena where it fits.
bool FirstFit::PlaceFixed(uint64_t capacity, Budget& budget) {
  for (uint32_t b = 0; b < groups_.groups.size(); ++b) {
    const RigidGroup& group = groups_.groups[b];
    if (group.fixed == kNoOffset) continue;
    if (!budget.Spend(cost())) return false;
    bool placed = false;
    for (uint32_t a = 0; a < partial_.heights.size() && !placed; ++a) {
      if (group.arena != kAnyArena && group.arena != a) continue;
      if (!FitsAt(b, a, group.fixed)) continue;
      Place(b, a, group.fixed);
      placed = true;
    }
    if (!placed || partial_.height > capacity) {
      stuck_ = b;
      return false;
    }
  }
  return true;
}

bool FirstFit::Run(const std::vector<uint32_t>& order, uint64_t capacity, Budget& budget) {
  Clear();
  if (!PlaceFixed(capacity, budget)) return false;
  looked_at_ = 0;
  for (uint32_t b : order) {
    if (partial_.offsets[b] != kNoOffset) continue;
    // The cost of the last group is the estimate for the next one.
    if (!budget.Spend(cost()) || !PlaceLowest(b, capacity)) return false;
  }
  return true;
}

bool FirstFit::PlaceBottomLeft(const std::vector<uint32_t>& order, uint64_t capacity,
                               uint64_t careful, Budget& budget) {
  const uint32_t sections = groups_.apart.empty() ? groups_.section_count : groups_.apart_count;
  const auto arenas = static_cast<uint32_t>(partial_.heights.size());
  if (arenas > kMostHeights / (sections + 1)) return false;
  std::vector<HeightMap> height_maps(arenas, HeightMap(sections));
  auto raise = [&](uint32_t b) {
    const RigidGroup& group = groups_.groups[b];
    HeightMap& mine = height_maps[partial_.arenas[b]];
    for (uint32_t p = group.first_rectangle; p < group.end_rectangle; ++p) {
      mine.Raise(groups_.Apart(p), partial_.offsets[b] + groups_.rectangles[p].end);
    }
  };
  std::vector<uint32_t> before, rest, waiting;
  for (uint32_t b = 0; b < groups_.groups.size(); ++b) {
    if (partial_.offsets[b] != kNoOffset) before.push_back(b);
  }
  for (uint32_t b : order) {
    if (partial_.offsets[b] == kNoOffset) rest.push_back(b);
  }
  Budget looks = budget.WithSteps(careful);
  bool look = !before.empty();
  for (int pass = 0; pass < 2; ++pass) {
    for (uint32_t b : rest) {
      if (!budget.Spend(1)) return false;
      const RigidGroup& group = groups_.groups[b];
      forbidden_.clear();
      if (look) {
        FindForbidden(b);
        SortForbidden();
        if (!looks.Spend(cost())) {
          for (uint32_t other : before) raise(other);
          forbidden_.clear();
          look = false;
        }
      }
      size_t at = 0;
      bool placed = false, waits = false;
      for (uint32_t a = 0; a < arenas && !placed && !waits; ++a) {
        uint64_t low = 0;
        for (uint32_t p = group.first_rectangle; p < group.end_rectangle; ++p) {
          const GroupRectangle& rectangle = groups_.rectangles[p];
          const uint64_t top = height_maps[a].Top(groups_.Apart(p));
          low = std::max(low, top > rectangle.begin ? top - rectangle.begin : 0);
        }
        while (at < forbidden_.size() && forbidden_[at].arena < a) ++at;
        const uint64_t offset = LowestIn(b, a, at, low);
        if (group.arena != kAnyArena && group.arena != a) continue;
        const uint64_t end = group.height == 0 ? 0 : offset + group.height;
        const uint64_t height = partial_.heights[a];
        const uint64_t growth = end > height ? end - height : 0;
        waits = pass == 0 && look && offset != NextOf(group, low);
        if (waits) continue;
        if (end > Limit(a) || growth > capacity || partial_.height > capacity - growth) continue;
        SetPlace(b, a, offset);
        raise(b);
        placed = true;
      }
      if (waits) {
        waiting.push_back(b);
      } else if (!placed) {
        stuck_ = b;
        return false;
      }
    }
    rest.swap(waiting);
  }
  return true;
}

bool FirstFit::StackOnTop(const std::vector<uint32_t>& order, uint64_t capacity) {
  for (uint32_t b : order) {
    if (partial_.offsets[b] != kNoOffset) continue;
    const RigidGroup& group = groups_.groups[b];
    if (group.fixed != kNoOffset) return false;
    bool placed = false;
    for (uint32_t a = 0; a < partial_.heights.size() && !placed; ++a) {
      if (group.arena != kAnyArena && group.arena != a) continue;
      const uint64_t height = partial_.heights[a];
      const uint64_t offset = NextOf(group, group.height == 0 ? 0 : height);
      const uint64_t end = group.height == 0 ? 0 : offset + group.height;
      const uint64_t growth = end > height ? end - height : 0;
      if (end > Limit(a) || growth > capacity || partial_.height > capacity - growth) continue;
      partial_.offsets[b] = offset;
      partial_.arenas[b] = a;
      partial_.heights[a] += growth;
      partial_.height += growth;
      placed = true;
    }
    if (!placed) return false;
  }
  return true;
}

bool FirstFit::RunQuickly(uint64_t capacity) {
  Clear();
  const auto n = static_cast<uint32_t>(groups_.groups.size());
  uint64_t base = 0;  // only fixed groups lie below it
  for (uint32_t b = 0; b < n; ++b) {
    const RigidGroup& group = groups_.groups[b];
    if (group.fixed == kNoOffset) continue;
    if (partial_.heights.size() > 1) return false;
    partial_.offsets[b] = group.fixed;
    if (group.height > 0) base = std::max(base, group.fixed + group.height);
  }
  partial_.heights[0] = partial_.height = base;
  const bool ordered = problem_.order.steps == 0 || groups_.precedence != nullptr;
  if (partial_.heights.size() == 1 && ordered) {
    // Here a group takes its whole bounding box, gaps included.
    std::vector<Rectangle> rectangles;
    std::vector<uint32_t> group_of;
    for (uint32_t b = 0; b < n; ++b) {
      const RigidGroup& group = groups_.groups[b];
      // Groups of several members may need more than an alignment, so they are left out.
      if (partial_.offsets[b] != kNoOffset || group.end_member - group.first_member != 1) continue;
      if (group.height == 0 || group.first_rectangle == group.end_rectangle) continue;
      const bool apart = groups_.precedence != nullptr;
      const SectionRange range = apart ? groups_.apart[group.first_rectangle] : group.bounding_box;
      rectangles.push_back({group.height, group.modulus, range});
      group_of.push_back(b);
    }
    std::vector<uint64_t> offsets;
    TlsfInEventOrder(rectangles, base, offsets);
    for (size_t k = 0; k < rectangles.size(); ++k) {
      partial_.offsets[group_of[k]] = offsets[k];
      partial_.height = std::max(partial_.height, offsets[k] + rectangles[k].size);
    }
    partial_.heights[0] = partial_.height;
    if (partial_.height > std::min(capacity, Limit(0))) return false;
  }
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  return StackOnTop(order, capacity);
}

}  // namespace tenure::packing
