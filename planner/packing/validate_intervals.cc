#include "tenure/planner/packing/validate_intervals.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/sort_by_key.h"

namespace tenure::packing {
namespace {

// The floor: the highest byte so far at each moment. It supports offsets below 2^63 only.
class FlatFloor {
 public:
  explicit FlatFloor(size_t moments) : value_(moments) {}
  void Clear() { std::fill(value_.begin(), value_.end(), 0); }

  // Lays [begin, end) on the floor over the moments [l, r). Returns false if the floor is above
  // `begin` somewhere.
  bool Lay(size_t l, size_t r, uint64_t begin, uint64_t end) {
    // The loop has no branches and handles four moments at a time: a difference is negative where
    // the floor is above `begin`.
    uint64_t* at = value_.data() + l;
    uint64_t* const stop = value_.data() + r;
    std::array<uint64_t, 4> signs{};
    for (; stop - at >= 4; at += 4) {
      for (size_t k = 0; k < 4; ++k) signs[k] |= begin - at[k];
      for (size_t k = 0; k < 4; ++k) at[k] = end;
    }
    for (; at != stop; ++at) {
      signs[0] |= begin - *at;
      *at = end;
    }
    return static_cast<int64_t>(signs[0] | signs[1] | signs[2] | signs[3]) >= 0;
  }

 private:
  std::vector<uint64_t> value_;
};

// Up to this many moments per rectangle, visiting each moment is cheaper than finding the steps
// among them.
constexpr uint64_t kFewMoments = 100;

// The same floor for long lives, as a step function: a set of the moments at which it changes (as
// bits, with summaries for finding the next one) and a value for each. A rectangle that is laid on
// top replaces the steps beneath it, so every step is visited once.
class StepFloor {
 public:
  explicit StepFloor(size_t moments) : count_(moments), value_(moments) {
    for (size_t size = moments;; size = words_.back().size()) {
      words_.emplace_back((size + 63) / 64);
      if (words_.back().size() <= 1) break;
    }
    Insert(0);
  }

  void Clear() {
    for (size_t step = After(0); step < count_; step = After(step)) Erase(step);
    value_[0] = 0;
  }

  bool Lay(size_t l, size_t r, uint64_t begin, uint64_t end) {
    const size_t first = AtOrBefore(l);
    if (value_[first] > begin) return false;
    uint64_t last_value = value_[first];
    for (size_t step = After(first); step < r; step = After(step)) {
      if (value_[step] > begin) return false;
      last_value = value_[step];
      Erase(step);
    }
    if (r < count_ && !Contains(r)) {
      Insert(r);
      value_[r] = last_value;
    }
    if (first != l) Insert(l);
    value_[l] = end;
    return true;
  }

 private:
  bool Contains(size_t x) const { return ((words_[0][x / 64] >> (x % 64)) & 1) != 0; }
  void Insert(size_t x) {
    for (std::vector<uint64_t>& level : words_) {
      level[x / 64] |= uint64_t{1} << (x % 64);
      x /= 64;
    }
  }
  void Erase(size_t x) {
    for (std::vector<uint64_t>& level : words_) {
      level[x / 64] &= ~(uint64_t{1} << (x % 64));
      if (level[x / 64] != 0) return;
      x /= 64;
    }
  }
  // Step 0 always exists.
  size_t AtOrBefore(size_t x) const {
    for (size_t k = 0; k < words_.size(); ++k) {
      const uint64_t bits = words_[k][x / 64] << (63 - x % 64);
      if (bits != 0) {
        x -= static_cast<size_t>(std::countl_zero(bits));
        while (k-- > 0) {
          x = x * 64 + 63 - static_cast<size_t>(std::countl_zero(words_[k][x]));
        }
        return x;
      }
      if (x / 64 == 0) break;
      x = x / 64 - 1;
    }
    return 0;
  }
  // Returns count_ if there is none.
  size_t After(size_t x) const {
    ++x;
    for (size_t k = 0; k < words_.size(); ++k) {
      if (x / 64 >= words_[k].size()) return count_;
      const uint64_t bits = words_[k][x / 64] >> (x % 64);
      if (bits != 0) {
        x += static_cast<size_t>(std::countr_zero(bits));
        while (k-- > 0) {
          x = x * 64 + static_cast<size_t>(std::countr_zero(words_[k][x]));
        }
        return x;
      }
      x = x / 64 + 1;
    }
    return count_;
  }

  size_t count_;
  std::vector<uint64_t> value_;               // of each step
  std::vector<std::vector<uint64_t>> words_;  // level 0: the steps; higher levels: words in use
};

// A rectangle over moments instead of times.
struct Layer {
  uint64_t begin, end;
  uint32_t first, last;  // moments
  uint32_t rectangle, arena;
};

// Sets the moments of all layers, which are in the order of the rectangles. Returns the number of
// moments. Dense times are used directly as moments.
size_t SetMoments(const std::vector<PlacedRectangle>& rectangles, std::vector<Layer>& layers) {
  Time low = std::numeric_limits<Time>::max(), high = std::numeric_limits<Time>::min();
  for (const PlacedRectangle& p : rectangles) {
    low = std::min(low, p.first);
    high = std::max(high, p.last);
  }
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (span <= std::min<uint64_t>(8 * rectangles.size(), std::numeric_limits<uint32_t>::max())) {
    for (size_t p = 0; p < rectangles.size(); ++p) {
      layers[p].first = static_cast<uint32_t>(rectangles[p].first - low);
      layers[p].last = static_cast<uint32_t>(rectangles[p].last - low);
    }
    return span;
  }
  std::vector<Keyed> times;
  times.reserve(2 * rectangles.size());
  for (uint32_t p = 0; p < rectangles.size(); ++p) {
    times.push_back({KeyOf(rectangles[p].first), 2 * p});
    times.push_back({KeyOf(rectangles[p].last), 2 * p + 1});
  }
  SortByKey(times);
  uint32_t moment = 0;
  for (size_t k = 0; k < times.size(); ++k) {
    if (k > 0 && times[k].key != times[k - 1].key) ++moment;
    Layer& layer = layers[times[k].index / 2];
    (times[k].index % 2 == 0 ? layer.first : layer.last) = moment;
  }
  return moment + 1;
}

// Sorts the layers by arena and begin.
std::vector<Layer> SortedByPlace(const std::vector<Layer>& layers) {
  std::vector<Keyed> places;
  places.reserve(layers.size());
  bool several = false;
  for (uint32_t k = 0; k < layers.size(); ++k) {
    places.push_back({layers[k].begin, k});
    several |= layers[k].arena != layers[0].arena;
  }
  SortByKey(places);
  if (several) {  // the sort is stable, so each arena stays sorted by begin
    for (Keyed& place : places) place.key = layers[place.index].arena;
    SortByKey(places);
  }
  std::vector<Layer> sorted;
  sorted.reserve(layers.size());
  for (const Keyed& place : places) sorted.push_back(layers[place.index]);
  return sorted;
}

// Finds the rectangle that overlaps a layer which starts below the floor, and returns the error.
absl::Status Overlap(const std::vector<PlacedRectangle>& rectangles,
                     const std::vector<Layer>& layers, size_t at) {
  const PlacedRectangle& rectangle = rectangles[layers[at].rectangle];
  for (size_t k = 0; k < at; ++k) {
    const PlacedRectangle& below = rectangles[layers[k].rectangle];
    if (below.arena != rectangle.arena || below.end <= rectangle.begin ||
        below.first >= rectangle.last || below.last <= rectangle.first) {
      continue;
    }
    return Wrong(absl::StrCat("items ", below.item, " and ", rectangle.item,
                              " overlap: ", Describe(below), " and ", Describe(rectangle),
                              " of arena ", rectangle.arena, " both hold byte ", rectangle.begin,
                              " at time ", std::max(below.first, rectangle.first)));
  }
  return Wrong(absl::StrCat(Describe(rectangle), " overlaps a rectangle beneath it"));
}

template <typename AnyFloor>
absl::Status LayAll(AnyFloor floor, const std::vector<PlacedRectangle>& rectangles,
                    const std::vector<Layer>& layers) {
  for (size_t k = 0; k < layers.size(); ++k) {
    const Layer& layer = layers[k];
    if (k > 0 && layer.arena != layers[k - 1].arena) {
      floor.Clear();
    } else if (k > 0 && layer.begin < layers[k - 1].begin) {
      return Wrong("its rectangles were not sorted");  // the check below relies on it
    }
    if (!floor.Lay(layer.first, layer.last, layer.begin, layer.end))
      return Overlap(rectangles, layers, k);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateIntervals(const std::vector<PlacedRectangle>& rectangles) {
  if (rectangles.empty()) return absl::OkStatus();
  std::vector<Layer> layers;
  layers.reserve(rectangles.size());
  for (uint32_t p = 0; p < rectangles.size(); ++p) {
    layers.push_back({rectangles[p].begin, rectangles[p].end, 0, 0, p, rectangles[p].arena});
  }
  const size_t moments = SetMoments(rectangles, layers);
  layers = SortedByPlace(layers);
  uint64_t total = 0, top = 0;
  for (const Layer& layer : layers) {
    total += layer.last - layer.first;
    top = std::max(top, layer.end);
  }
  if (total <= kFewMoments * layers.size() && top >> 63 == 0)
    return LayAll(FlatFloor(moments), rectangles, layers);
  return LayAll(StepFloor(moments), rectangles, layers);
}

}  // namespace tenure::packing
