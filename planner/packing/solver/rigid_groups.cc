#include "tenure/planner/packing/solver/rigid_groups.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 62;
using Wide = __int128;

// Finds x with x = a.residue (mod a.modulus) and x = residue (mod modulus). Returns false if there
// is none below 2^62.
bool Combine(RigidGroup& a, uint64_t modulus, uint64_t residue) {
  if (a.modulus == 1) {  // true for single items, which need no 128-bit division
    a.modulus = modulus;
    a.residue = residue;
    return residue < kMostBytes;
  }
  // Extended Euclid: finds g = gcd, and p with p * a.modulus = g (mod modulus).
  Wide r0 = a.modulus, r1 = modulus, s0 = 1, s1 = 0;
  while (r1 != 0) {
    const Wide q = r0 / r1;
    r0 = std::exchange(r1, r0 - q * r1);
    s0 = std::exchange(s1, s0 - q * s1);
  }
  const Wide g = r0, difference = static_cast<Wide>(residue) - static_cast<Wide>(a.residue);
  if (difference % g != 0) return false;
  const Wide steps = static_cast<Wide>(modulus) / g;
  Wide k = (difference / g) % steps * (s0 % steps) % steps;
  if (k < 0) k += steps;
  const Wide x = static_cast<Wide>(a.residue) + k * static_cast<Wide>(a.modulus);
  if (x >= static_cast<Wide>(kMostBytes)) return false;
  const Wide lcm = static_cast<Wide>(a.modulus) * steps;
  // Above 2^62 there is no second solution.
  a.modulus = lcm > static_cast<Wide>(kMostBytes) ? kMostBytes : static_cast<uint64_t>(lcm);
  a.residue = static_cast<uint64_t>(x);
  return true;
}

class Maker {
 public:
  Maker(const Problem& problem, Detail detail, Budget* budget)
      : problem_(problem), budget_(budget) {
    if (problem.order.steps > 0) {
      if (detail == Detail::kFull) {
        auto precedence = std::make_unique<Precedence>(problem, budget);
        if (precedence->complete()) result_.precedence = std::move(precedence);
      }
      if (result_.precedence != nullptr) {
        lives_ = LivesInOneOrder(problem);
      } else {
        lives_.assign(problem.items.size(), {0, 1});
      }
    }
    if (detail == Detail::kFull && lives_.empty()) gaps_.resize(problem.gaps.size());
    std::iota(gaps_.begin(), gaps_.end(), 0u);
    auto before = [&](uint32_t a, uint32_t b) {
      const Gap &x = problem.gaps[a], &y = problem.gaps[b];
      return x.item != y.item ? x.item < y.item : x.first < y.first;
    };
    // The readers of files mostly give them sorted.
    if (!std::is_sorted(gaps_.begin(), gaps_.end(), before)) {
      std::sort(gaps_.begin(), gaps_.end(), before);
    }
    if (!gaps_.empty()) {
      first_gap_.resize(problem.items.size() + 1);
      for (uint32_t g : gaps_) ++first_gap_[problem.gaps[g].item + 1];
      for (size_t i = 1; i < first_gap_.size(); ++i) first_gap_[i] += first_gap_[i - 1];
    }
    result_.groups.reserve(problem.items.size());
    result_.members.reserve(problem.items.size());
    result_.rectangles.reserve(problem.items.size() + 2 * gaps_.size());
    rectangle_lives_.reserve(problem.items.size() + 2 * gaps_.size());
    if (!problem.bindings.empty()) arena_.assign(problem.items.size(), kAnyArena);
    for (const Binding& b : problem.bindings) arena_[b.item] = b.arena;
  }

  RigidGroups Make() && {
    std::vector<bool> grouped(problem_.items.size());
    for (const AdjacencyGroup& group : problem_.adjacent) {
      if (group.items.empty()) continue;
      Begin();
      for (uint32_t item : group.items) {
        grouped[item] = true;
        Add(item);
      }
      End();
    }
    for (uint32_t i = 0; i < problem_.items.size(); ++i) {
      if (grouped[i]) continue;
      Begin();
      Add(i);
      End();
    }
    const Sections sections = FindSections(rectangle_lives_);
    result_.section_count = sections.count;
    for (size_t p = 0; p < result_.rectangles.size(); ++p)
      result_.rectangles[p].range = sections.ranges[p];
    if (result_.precedence != nullptr) {
      const std::vector<Life> lives = result_.precedence->LivesApart(budget_);
      std::vector<Life> apart;
      apart.reserve(result_.rectangles.size());
      for (const GroupRectangle& rectangle : result_.rectangles)
        apart.push_back(lives[rectangle.item]);
      Sections found = FindSections(apart);
      result_.apart = std::move(found.ranges);
      result_.apart_count = found.count;
    }
    for (RigidGroup& group : result_.groups) {
      if (group.first_rectangle == group.end_rectangle) continue;
      group.bounding_box = result_.rectangles[group.first_rectangle].range;
      for (uint32_t p = group.first_rectangle; p < group.end_rectangle; ++p) {
        group.bounding_box.begin =
            std::min(group.bounding_box.begin, result_.rectangles[p].range.begin);
        group.bounding_box.end = std::max(group.bounding_box.end, result_.rectangles[p].range.end);
      }
    }
    return std::move(result_);
  }

 private:
  void Begin() {
    RigidGroup group;
    group.first_rectangle = static_cast<uint32_t>(result_.rectangles.size());
    group.first_member = static_cast<uint32_t>(result_.members.size());
    result_.groups.push_back(group);
  }

  void Contradict(uint32_t item, const char* what) {
    if (result_.contradiction.empty()) {
      result_.contradiction = absl::StrCat("item ", item, ": ", what);
    }
  }

  void Add(uint32_t i) {
    const Item& item = problem_.items[i];
    RigidGroup& group = result_.groups.back();
    const uint64_t at = group.height;
    const uint64_t excess = Excess(at, item.alignment);
    if (!Combine(group, item.alignment, excess == 0 ? 0 : item.alignment - excess)) {
      Contradict(i, "its alignment cannot be met next to its neighbours in the adjacency group");
    }
    if (item.fixed != kNoOffset) {
      if (item.fixed < at) {
        Contradict(i, "its fixed offset leaves no room for the items before it in its group");
      } else if (group.fixed != kNoOffset && group.fixed != item.fixed - at) {
        Contradict(i, "its fixed offset contradicts another one in its adjacency group");
      } else {
        group.fixed = item.fixed - at;
      }
    }
    if (item.hint != kNoOffset && item.hint >= at && group.hint == kNoOffset) {
      group.hint = item.hint - at;
    }
    if (!arena_.empty() && arena_[i] != kAnyArena) group.arena = arena_[i];
    result_.members.push_back({i, at});
    group.height += item.size;
    AddRectangles(i, at);
  }

  void AddRectangles(uint32_t i, uint64_t at) {
    const Item& item = problem_.items[i];
    auto add = [&](Life life, uint64_t begin, uint64_t end) {
      if (begin == end) return;
      rectangle_lives_.push_back(life);
      result_.rectangles.push_back(
          {{}, at + begin, at + end, i, static_cast<uint32_t>(result_.groups.size() - 1)});
    };
    if (!lives_.empty()) {
      add(lives_[i], 0, item.size);
      return;
    }
    Time t = item.first;
    const size_t end = first_gap_.empty() ? 0 : first_gap_[i + 1];
    for (size_t k = first_gap_.empty() ? 0 : first_gap_[i]; k < end; ++k) {
      const Gap& gap = problem_.gaps[gaps_[k]];
      if (t < gap.first) add({t, gap.first}, 0, item.size);
      add({gap.first, gap.last}, gap.window_begin, gap.window_end);
      t = gap.last;
    }
    if (t < item.last) add({t, item.last}, 0, item.size);
  }

  void End() {
    RigidGroup& group = result_.groups.back();
    group.end_rectangle = static_cast<uint32_t>(result_.rectangles.size());
    group.end_member = static_cast<uint32_t>(result_.members.size());
    if (group.fixed != kNoOffset &&
        Excess(group.fixed, group.modulus) != Excess(group.residue, group.modulus)) {
      Contradict(result_.members[group.first_member].item, "its fixed offset is not aligned");
    }
    if (group.hint != kNoOffset &&
        (Excess(group.hint, group.modulus) != Excess(group.residue, group.modulus) ||
         group.hint > kMostBytes)) {
      group.hint = kNoOffset;
    }
  }

  const Problem& problem_;
  Budget* budget_;
  RigidGroups result_;
  std::vector<Life> lives_;  // with a partial order: those in one legal order
  std::vector<Life> rectangle_lives_;
  std::vector<uint32_t> gaps_;     // by item, then time
  std::vector<size_t> first_gap_;  // the first entry of each item in gaps_
  std::vector<uint32_t> arena_;    // of each item, if any is bound
};

}  // namespace

absl::Duration ReadyTime(const Problem& problem) {
  const auto rectangles = static_cast<double>(problem.items.size() + 2 * problem.gaps.size());
  const auto edges = static_cast<double>(problem.order.steps + problem.order.edges.size() +
                                         problem.order.uses.size());
  return absl::Nanoseconds(500) * rectangles + absl::Nanoseconds(60) * edges;
}

RigidGroups MakeRigidGroups(const Problem& problem, Detail detail, Budget* budget) {
  return Maker(problem, detail, budget).Make();
}

}  // namespace tenure::packing
