#include "tests/planner/packing/testing.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <optional>
#include <random>
#include <vector>

namespace tenure::packing {
namespace {

// The distributions of the standard library differ between libraries; this does not.
class Dice {
 public:
  explicit Dice(uint32_t seed) : generator_(seed) {}
  int operator()(int low, int high) {
    return low + static_cast<int>(generator_() % static_cast<uint32_t>(high - low + 1));
  }

 private:
  std::mt19937 generator_;
};

std::vector<std::vector<bool>> Closure(const PartialOrder& order) {
  std::vector<std::vector<bool>> before(order.steps, std::vector<bool>(order.steps));
  for (const auto& e : order.edges) before[e.before][e.after] = true;
  for (uint32_t k = 0; k < order.steps; ++k) {
    for (uint32_t i = 0; i < order.steps; ++i) {
      for (uint32_t j = 0; j < order.steps; ++j) {
        if (before[i][k] && before[k][j]) before[i][j] = true;
      }
    }
  }
  return before;
}

bool Precedes(const Problem& problem, const std::vector<std::vector<bool>>& before, uint32_t a,
              uint32_t b) {
  bool any_a = false, any_b = false;
  for (const auto& x : problem.order.uses) any_a |= x.item == a;
  for (const auto& y : problem.order.uses) any_b |= y.item == b;
  if (!any_a || !any_b) return false;
  for (const auto& x : problem.order.uses) {
    for (const auto& y : problem.order.uses) {
      if (x.item == a && y.item == b && !before[x.step][y.step]) return false;
    }
  }
  return true;
}

// The bytes that the item holds at a moment, relative to its offset.
void WindowAt(const Problem& problem, uint32_t i, Time t, uint64_t& begin, uint64_t& end) {
  const Item& item = problem.items[i];
  begin = 0;
  end = t >= item.first && t < item.last ? item.size : 0;
  for (const Gap& gap : problem.gaps) {
    if (gap.item != i || t < gap.first || t >= gap.last) continue;
    begin = gap.window_begin;
    end = gap.window_end;
  }
}

class Brute {
 public:
  Brute(const Problem& problem, uint64_t most) : problem_(problem), best_(most + 1) {
    const auto n = static_cast<uint32_t>(problem.items.size());
    offsets_.resize(n);
    arenas_.resize(n);
    heights_.resize(ArenaCount(problem));
    // MayShare of every pair of offsets is asked again and again.
    span_ = most + 1;
    may_.resize(size_t{n} * n * span_ * span_);
    for (uint32_t a = 0; a < n; ++a) {
      for (uint32_t b = 0; b < a; ++b) {
        // Only the distance of the two counts.
        for (uint64_t x = 0; x < span_; ++x) {
          const bool above = MayShare(problem, a, x, b, 0), below = MayShare(problem, a, 0, b, x);
          for (uint64_t y = 0; x + y < span_; ++y) {
            may_[((a * n + b) * span_ + x + y) * span_ + y] = above;
            may_[((a * n + b) * span_ + y) * span_ + x + y] = below;
          }
        }
      }
    }
    most_ = most;
    // No packing is lower than the bytes that are held at one moment: one that low ends the search.
    for (Time t = 0; problem.order.steps == 0 && t < 64; ++t) {
      uint64_t held = 0;
      for (uint32_t i = 0; i < n; ++i) {
        uint64_t begin = 0, end = 0;
        WindowAt(problem, i, t, begin, end);
        held += end - begin;
      }
      floor_ = std::max(floor_, held);
    }
    Try(0);
  }
  std::optional<BrutePacking> best() const {
    if (best_ > most_) return std::nullopt;
    return BrutePacking{best_, best_offsets_, best_arenas_};
  }

 private:
  bool Good(uint32_t i) const {
    const auto n = static_cast<uint32_t>(problem_.items.size());
    const Item& item = problem_.items[i];
    if (offsets_[i] % item.alignment != 0) return false;
    if (item.fixed != kNoOffset && item.fixed != offsets_[i]) return false;
    if (!problem_.arenas.empty() && item.size > 0 &&
        offsets_[i] + item.size > problem_.arenas[arenas_[i]].limit) {
      return false;
    }
    for (const Binding& b : problem_.bindings) {
      if (b.item == i && b.arena != arenas_[i]) return false;
    }
    for (const AdjacencyGroup& group : problem_.adjacent) {
      for (size_t k = 1; k < group.items.size(); ++k) {
        const uint32_t a = group.items[k - 1], b = group.items[k];
        if (std::max(a, b) != i && !(a <= i && b <= i)) continue;
        if (a > i || b > i) continue;
        if (arenas_[a] != arenas_[b] || offsets_[b] != offsets_[a] + problem_.items[a].size) {
          return false;
        }
      }
    }
    for (uint32_t j = 0; j < i; ++j) {
      if (arenas_[i] == arenas_[j] &&
          !may_[((i * n + j) * span_ + offsets_[i]) * span_ + offsets_[j]]) {
        return false;
      }
    }
    return true;
  }

  void Try(uint32_t i) {
    const uint64_t height = std::accumulate(heights_.begin(), heights_.end(), uint64_t{0});
    if (height >= best_ || best_ <= floor_) return;
    if (i == problem_.items.size()) {
      best_ = height;
      best_offsets_ = offsets_;
      best_arenas_ = arenas_;
      return;
    }
    const Item& item = problem_.items[i];
    for (uint32_t a = 0; a < heights_.size(); ++a) {
      for (uint64_t x = 0; x + item.size <= most_; ++x) {
        if (item.size > 0 && x + item.size >= best_) break;
        offsets_[i] = x;
        arenas_[i] = a;
        if (!Good(i)) continue;
        const uint64_t old = heights_[a];
        if (item.size > 0) heights_[a] = std::max(old, x + item.size);
        Try(i + 1);
        heights_[a] = old;
      }
    }
  }

  const Problem& problem_;
  uint64_t best_, most_ = 0, span_ = 0, floor_ = 0;
  std::vector<uint64_t> offsets_, heights_, best_offsets_;
  std::vector<uint32_t> arenas_, best_arenas_;
  std::vector<bool> may_;
};

}  // namespace

bool MayShare(const Problem& problem, uint32_t a, uint64_t a_offset, uint32_t b,
              uint64_t b_offset) {
  const Item &x = problem.items[a], &y = problem.items[b];
  const bool addresses = a_offset < b_offset + y.size && b_offset < a_offset + x.size;
  if (!addresses || x.size == 0 || y.size == 0) return true;
  if (problem.order.steps > 0) {
    const auto before = Closure(problem.order);
    return Precedes(problem, before, a, b) || Precedes(problem, before, b, a);
  }
  for (Time t = std::max(x.first, y.first); t < std::min(x.last, y.last); ++t) {
    uint64_t a_begin, a_end, b_begin, b_end;
    WindowAt(problem, a, t, a_begin, a_end);
    WindowAt(problem, b, t, b_begin, b_end);
    if (a_begin == a_end || b_begin == b_end) continue;
    if (a_offset + a_begin < b_offset + b_end && b_offset + b_begin < a_offset + a_end) {
      return false;
    }
  }
  return true;
}

Problem RandomProblem(const Features& features, uint32_t seed) {
  Dice dice(seed);
  Problem problem;
  const int n = dice(1, features.items);
  for (int i = 0; i < n; ++i) {
    Item item;
    item.first = dice(0, features.moments - 1);
    item.last = item.first + dice(1, features.moments - static_cast<int>(item.first));
    item.size = static_cast<uint64_t>(dice(dice(0, 9) == 0 ? 0 : 1, features.largest_size));
    if (features.alignment) item.alignment = static_cast<uint64_t>(dice(1, 3));
    if (features.fixed && dice(0, 4) == 0) {
      item.fixed = static_cast<uint64_t>(dice(0, 4)) * item.alignment;
    }
    problem.items.push_back(item);
    if (features.gaps && item.last - item.first >= 2 && dice(0, 1) == 0) {
      Gap gap;
      gap.item = static_cast<uint32_t>(i);
      gap.first = item.first + dice(0, static_cast<int>(item.last - item.first) - 1);
      gap.last = gap.first + dice(1, static_cast<int>(item.last - gap.first));
      if (features.windows && dice(0, 1) == 0) {
        gap.window_begin = static_cast<uint64_t>(dice(0, static_cast<int>(item.size)));
        gap.window_end = gap.window_begin + static_cast<uint64_t>(dice(
                                                0, static_cast<int>(item.size - gap.window_begin)));
      }
      problem.gaps.push_back(gap);
    }
  }
  if (features.arenas) {
    problem.arenas.resize(static_cast<size_t>(dice(1, 2)));
    for (Arena& arena : problem.arenas) {
      if (dice(0, 1) == 0) arena.limit = static_cast<uint64_t>(dice(4, 10));
    }
    for (int i = 0; i < n; ++i) {
      if (dice(0, 2) != 0) continue;
      problem.bindings.push_back(
          {static_cast<uint32_t>(i),
           static_cast<uint32_t>(dice(0, static_cast<int>(problem.arenas.size()) - 1))});
    }
  }
  if (features.adjacency && n >= 2) {
    AdjacencyGroup group;
    const int first = dice(0, n - 2), last = dice(first + 1, std::min(n - 1, first + 2));
    for (int i = last; i >= first; --i) group.items.push_back(static_cast<uint32_t>(i));
    problem.adjacent.push_back(group);
    if (!CheckProblem(problem).ok()) problem.adjacent.clear();
  }
  if (features.order) {
    problem.order.steps = static_cast<uint32_t>(dice(1, features.moments));
    const int steps = static_cast<int>(problem.order.steps);
    for (int a = 0; a < steps; ++a) {
      for (int b = a + 1; b < steps; ++b) {
        if (dice(0, 2) == 0) {
          // Numbers of steps do not tell their order.
          problem.order.edges.push_back(
              {static_cast<uint32_t>(steps - 1 - a), static_cast<uint32_t>(steps - 1 - b)});
        }
      }
    }
    for (int i = 0; i < n; ++i) {
      for (int k = dice(0, 3); k > 0; --k) {
        problem.order.uses.push_back(
            {static_cast<uint32_t>(i), static_cast<uint32_t>(dice(0, steps - 1))});
      }
    }
  }
  return problem;
}

std::optional<BrutePacking> BruteForcePacking(const Problem& problem, uint64_t most) {
  return Brute(problem, most).best();
}

Problem Tight(uint32_t seed, Time moments, uint64_t height, size_t items) {
  struct Box {
    Time first, last;
    uint64_t size;
  };
  std::mt19937 random(seed);
  std::vector<Box> boxes = {{0, moments, height}};
  for (int tries = 0; boxes.size() < items && tries < 100000; ++tries) {
    const size_t k = random() % boxes.size();
    Box box = boxes[k];
    Box rest = box;
    if (random() % 2 == 0) {
      if (box.last - box.first < 2) continue;
      box.last = rest.first =
          box.first + 1 +
          static_cast<Time>(random() % static_cast<uint64_t>(box.last - box.first - 1));
    } else {
      if (box.size < 2) continue;
      box.size = 1 + random() % (box.size - 1);
      rest.size -= box.size;
    }
    boxes[k] = box;
    boxes.push_back(rest);
  }
  Problem problem;
  for (const Box& box : boxes) {
    problem.items.push_back({.first = box.first, .last = box.last, .size = box.size});
  }
  std::shuffle(problem.items.begin(), problem.items.end(), random);
  return problem;
}

std::optional<uint64_t> BruteForce(const Problem& problem, uint64_t most) {
  const std::optional<BrutePacking> best = BruteForcePacking(problem, most);
  return best.has_value() ? std::optional<uint64_t>(best->height) : std::nullopt;
}

bool IsValid(const Problem& problem, const std::vector<uint64_t>& offsets,
             const std::vector<uint32_t>& arenas) {
  const auto n = static_cast<uint32_t>(problem.items.size());
  for (uint32_t i = 0; i < n; ++i) {
    const Item& item = problem.items[i];
    if (offsets[i] % item.alignment != 0 || arenas[i] >= ArenaCount(problem)) return false;
    if (item.fixed != kNoOffset && item.fixed != offsets[i]) return false;
    if (item.size > 0 && !problem.arenas.empty() &&
        offsets[i] + item.size > problem.arenas[arenas[i]].limit) {
      return false;
    }
    for (uint32_t j = 0; j < i; ++j) {
      if (arenas[i] == arenas[j] && !MayShare(problem, i, offsets[i], j, offsets[j])) return false;
    }
  }
  for (const Binding& b : problem.bindings) {
    if (arenas[b.item] != b.arena) return false;
  }
  for (const AdjacencyGroup& group : problem.adjacent) {
    for (size_t k = 1; k < group.items.size(); ++k) {
      const uint32_t a = group.items[k - 1], b = group.items[k];
      if (arenas[a] != arenas[b] || offsets[b] != offsets[a] + problem.items[a].size) return false;
    }
  }
  return true;
}

Problem Mirrored(const Problem& problem) {
  Problem mirror = problem;
  for (Item& item : mirror.items) {
    const Time first = item.first;
    item.first = -item.last;
    item.last = -first;
  }
  for (Gap& gap : mirror.gaps) {
    const Time first = gap.first;
    gap.first = -gap.last;
    gap.last = -first;
  }
  for (auto& edge : mirror.order.edges) std::swap(edge.before, edge.after);
  return mirror;
}

Problem Scaled(const Problem& problem, uint64_t factor) {
  Problem scaled = problem;
  auto scale = [factor](uint64_t& bytes) { bytes *= bytes == kUnlimited ? 1 : factor; };
  for (Item& item : scaled.items) {
    item.size *= factor;
    item.alignment *= factor;
    scale(item.fixed);
    scale(item.hint);
  }
  for (Gap& gap : scaled.gaps) {
    gap.window_begin *= factor;
    gap.window_end *= factor;
  }
  for (Arena& arena : scaled.arenas) scale(arena.limit);
  scale(scaled.capacity);
  return scaled;
}

Problem Permuted(const Problem& problem, uint32_t seed) {
  Dice dice(seed);
  auto shuffle = [&dice](auto& list) {
    for (size_t k = list.size(); k > 1; --k) {
      std::swap(list[k - 1], list[static_cast<size_t>(dice(0, static_cast<int>(k) - 1))]);
    }
  };
  std::vector<uint32_t> at(problem.items.size());
  std::iota(at.begin(), at.end(), 0u);
  shuffle(at);
  Problem other = problem;
  for (size_t i = 0; i < at.size(); ++i) other.items[at[i]] = problem.items[i];
  for (Gap& gap : other.gaps) gap.item = at[gap.item];
  for (Binding& binding : other.bindings) binding.item = at[binding.item];
  for (AdjacencyGroup& group : other.adjacent) {
    for (uint32_t& item : group.items) item = at[item];
  }
  for (auto& use : other.order.uses) use.item = at[use.item];
  shuffle(other.gaps);
  shuffle(other.bindings);
  shuffle(other.adjacent);
  shuffle(other.order.edges);
  shuffle(other.order.uses);
  return other;
}

}  // namespace tenure::packing
