#include "tenure/planner/packing/bodies.h"

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

// x with x = a.residue (mod a.modulus) and x = residue (mod modulus); false if there is none below
// 2^62.
bool Combine(Body& a, uint64_t modulus, uint64_t residue) {
  if (a.modulus == 1) {  // as of every item on its own: no division of 128 bits for these
    a.modulus = modulus;
    a.residue = residue;
    return residue < kMostBytes;
  }
  // Extended Euclid: g = gcd, p with p * a.modulus = g (mod modulus).
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
  // Beyond 2^62 there is no second solution to be had.
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
    // As readers give them, mostly.
    if (!std::is_sorted(gaps_.begin(), gaps_.end(), before)) {
      std::sort(gaps_.begin(), gaps_.end(), before);
    }
    if (!gaps_.empty()) {
      first_gap_.resize(problem.items.size() + 1);
      for (uint32_t g : gaps_) ++first_gap_[problem.gaps[g].item + 1];
      for (size_t i = 1; i < first_gap_.size(); ++i) first_gap_[i] += first_gap_[i - 1];
    }
    result_.bodies.reserve(problem.items.size());
    result_.members.reserve(problem.items.size());
    result_.pieces.reserve(problem.items.size() + 2 * gaps_.size());
    piece_lives_.reserve(problem.items.size() + 2 * gaps_.size());
    if (!problem.bindings.empty()) arena_.assign(problem.items.size(), kAnyArena);
    for (const Binding& b : problem.bindings) arena_[b.item] = b.arena;
  }

  Bodies Make() && {
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
    const Sections sections = FindSections(piece_lives_);
    result_.section_count = sections.count;
    for (size_t p = 0; p < result_.pieces.size(); ++p) result_.pieces[p].range = sections.ranges[p];
    if (result_.precedence != nullptr) {
      const std::vector<Life> lives = result_.precedence->LivesApart(budget_);
      std::vector<Life> apart;
      apart.reserve(result_.pieces.size());
      for (const BodyPiece& piece : result_.pieces) apart.push_back(lives[piece.item]);
      Sections found = FindSections(apart);
      result_.apart = std::move(found.ranges);
      result_.apart_count = found.count;
    }
    for (Body& body : result_.bodies) {
      if (body.first_piece == body.end_piece) continue;
      body.hull = result_.pieces[body.first_piece].range;
      for (uint32_t p = body.first_piece; p < body.end_piece; ++p) {
        body.hull.begin = std::min(body.hull.begin, result_.pieces[p].range.begin);
        body.hull.end = std::max(body.hull.end, result_.pieces[p].range.end);
      }
    }
    return std::move(result_);
  }

 private:
  void Begin() {
    Body body;
    body.first_piece = static_cast<uint32_t>(result_.pieces.size());
    body.first_member = static_cast<uint32_t>(result_.members.size());
    result_.bodies.push_back(body);
  }

  void Contradict(uint32_t item, const char* what) {
    if (result_.contradiction.empty()) {
      result_.contradiction = absl::StrCat("item ", item, ": ", what);
    }
  }

  void Add(uint32_t i) {
    const Item& item = problem_.items[i];
    Body& body = result_.bodies.back();
    const uint64_t at = body.height;
    const uint64_t excess = Excess(at, item.alignment);
    if (!Combine(body, item.alignment, excess == 0 ? 0 : item.alignment - excess)) {
      Contradict(i, "its alignment cannot be met next to its neighbours in the adjacency group");
    }
    if (item.fixed != kNoOffset) {
      if (item.fixed < at) {
        Contradict(i, "its fixed offset leaves no room for the items before it in its group");
      } else if (body.fixed != kNoOffset && body.fixed != item.fixed - at) {
        Contradict(i, "its fixed offset contradicts another one in its adjacency group");
      } else {
        body.fixed = item.fixed - at;
      }
    }
    if (item.hint != kNoOffset && item.hint >= at && body.hint == kNoOffset) {
      body.hint = item.hint - at;
    }
    if (!arena_.empty() && arena_[i] != kAnyArena) body.arena = arena_[i];
    result_.members.push_back({i, at});
    body.height += item.size;
    AddPieces(i, at);
  }

  void AddPieces(uint32_t i, uint64_t at) {
    const Item& item = problem_.items[i];
    auto add = [&](Life life, uint64_t begin, uint64_t end) {
      if (begin == end) return;
      piece_lives_.push_back(life);
      result_.pieces.push_back(
          {{}, at + begin, at + end, i, static_cast<uint32_t>(result_.bodies.size() - 1)});
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
    Body& body = result_.bodies.back();
    body.end_piece = static_cast<uint32_t>(result_.pieces.size());
    body.end_member = static_cast<uint32_t>(result_.members.size());
    if (body.fixed != kNoOffset &&
        Excess(body.fixed, body.modulus) != Excess(body.residue, body.modulus)) {
      Contradict(result_.members[body.first_member].item, "its fixed offset is not aligned");
    }
    if (body.hint != kNoOffset &&
        (Excess(body.hint, body.modulus) != Excess(body.residue, body.modulus) ||
         body.hint > kMostBytes)) {
      body.hint = kNoOffset;
    }
  }

  const Problem& problem_;
  Budget* budget_;
  Bodies result_;
  std::vector<Life> lives_;  // with a partial order: in one legal order
  std::vector<Life> piece_lives_;
  std::vector<uint32_t> gaps_;     // by item, then time
  std::vector<size_t> first_gap_;  // of each item among these
  std::vector<uint32_t> arena_;    // of each item, if any is bound
};

}  // namespace

absl::Duration ReadyTime(const Problem& problem) {
  const auto pieces = static_cast<double>(problem.items.size() + 2 * problem.gaps.size());
  const auto edges = static_cast<double>(problem.order.steps + problem.order.edges.size() +
                                         problem.order.uses.size());
  return absl::Nanoseconds(500) * pieces + absl::Nanoseconds(60) * edges;
}

Bodies MakeBodies(const Problem& problem, Detail detail, Budget* budget) {
  return Maker(problem, detail, budget).Make();
}

}  // namespace tenure::packing
