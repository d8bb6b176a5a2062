#include "tenure/planner/packing/validate_order.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::packing {
namespace {

// The steps at the other ends of each step's edges.
class Neighbours {
 public:
  using End = uint32_t PartialOrder::Edge::*;
  Neighbours(const PartialOrder& order, End of, End other)
      : start_(order.steps + 1), steps_(order.edges.size()) {
    for (const PartialOrder::Edge& e : order.edges) ++start_[e.*of + 1];
    for (uint32_t s = 0; s < order.steps; ++s) start_[s + 1] += start_[s];
    std::vector<size_t> next(start_.begin(), start_.end() - 1);
    for (const PartialOrder::Edge& e : order.edges) steps_[next[e.*of]++] = e.*other;
  }
  std::span<const uint32_t> Of(uint32_t step) const {
    return {steps_.data() + start_[step], start_[step + 1] - start_[step]};
  }

 private:
  std::vector<size_t> start_;
  std::vector<uint32_t> steps_;
};

// A vector clock: for every step and chain of steps, how many steps of the chain come before the
// step. Orders with too many chains have no such table.
class VectorClock {
 public:
  // The table is left out if it needs more than `most_entries` for the steps and the items.
  VectorClock(const PartialOrder& order, size_t items, uint64_t most_entries)
      : before_(order, &PartialOrder::Edge::after, &PartialOrder::Edge::before) {
    const Neighbours after(order, &PartialOrder::Edge::before, &PartialOrder::Edge::after);
    std::vector<size_t> waiting(order.steps);
    std::vector<uint32_t> ready;
    for (uint32_t s = 0; s < order.steps; ++s) {
      waiting[s] = before_.Of(s).size();
      if (waiting[s] == 0) ready.push_back(s);
    }
    chain_.resize(order.steps);
    number_.resize(order.steps);
    std::vector<uint32_t> length;  // of each chain
    std::vector<uint32_t> tail;    // its last step
    for (size_t k = 0; k < ready.size(); ++k) {
      const uint32_t s = ready[k];
      for (uint32_t t : after.Of(s)) {
        if (--waiting[t] == 0) ready.push_back(t);
      }
      chain_[s] = static_cast<uint32_t>(tail.size());
      for (uint32_t b : before_.Of(s)) {
        if (tail[chain_[b]] == b) chain_[s] = chain_[b];
      }
      if (chain_[s] == tail.size()) {
        tail.push_back(s);
        length.push_back(0);
      }
      tail[chain_[s]] = s;
      number_[s] = ++length[chain_[s]];
    }
    place_.resize(order.steps);
    for (uint32_t k = 0; k < ready.size(); ++k) place_[ready[k]] = k;
    chains_ = tail.size();
    if (chains_ > most_entries / (order.steps + items + 1)) return;
    has_table_ = true;
    seen_.assign(order.steps * chains_, 0);
    for (uint32_t s : ready) {
      uint32_t* mine = &seen_[s * chains_];
      for (uint32_t b : before_.Of(s)) {
        const uint32_t* theirs = &seen_[b * chains_];
        for (size_t c = 0; c < chains_; ++c) mine[c] = std::max(mine[c], theirs[c]);
        mine[chain_[b]] = std::max(mine[chain_[b]], number_[b]);
      }
    }
  }

  bool has_table() const { return has_table_; }
  // The steps on which the step directly depends.
  std::span<const uint32_t> Before(uint32_t step) const { return before_.Of(step); }
  // The position of a step in a legal order.
  uint32_t Place(uint32_t step) const { return place_[step]; }
  size_t chains() const { return chains_; }
  uint32_t Chain(uint32_t step) const { return chain_[step]; }
  uint32_t Number(uint32_t step) const { return number_[step]; }  // within its chain, from 1
  // How many steps of each chain come before the step.
  std::span<const uint32_t> Seen(uint32_t step) const {
    return {seen_.data() + step * chains_, chains_};
  }

 private:
  Neighbours before_;
  bool has_table_ = false;
  size_t chains_ = 0;
  std::vector<uint32_t> chain_, number_, place_, seen_;
};

// Tells which items may share bytes: one of them must be done before the other begins. Of the uses
// in a chain, only two matter: later items wait for the last one, and the item begins with the
// first one.
class Sharing {
 public:
  Sharing(const Problem& problem, uint64_t most_entries)
      : clock_(problem.order, problem.items.size(), most_entries),
        steps_(problem.order.steps),
        start_(problem.items.size() + 1),
        rows_(problem.items.size()) {
    for (const PartialOrder::Use& u : problem.order.uses) ++start_[u.item + 1];
    for (size_t i = 0; i < problem.items.size(); ++i) start_[i + 1] += start_[i];
    uses_.resize(problem.order.uses.size());
    std::vector<size_t> next(start_.begin(), start_.end() - 1);
    for (const PartialOrder::Use& u : problem.order.uses) uses_[next[u.item]++] = u.step;
    for (size_t i = 0; i < problem.items.size(); ++i) {
      std::sort(uses_.begin() + static_cast<ptrdiff_t>(start_[i]),
                uses_.begin() + static_cast<ptrdiff_t>(start_[i + 1]), [&](uint32_t a, uint32_t b) {
                  if (!clock_.has_table()) return clock_.Place(a) < clock_.Place(b);
                  return std::pair(clock_.Chain(a), clock_.Number(a)) <
                         std::pair(clock_.Chain(b), clock_.Number(b));
                });
    }
  }

  bool Precedes(uint32_t a, uint32_t b) {
    if (start_[a] == start_[a + 1] || start_[b] == start_[b + 1]) return false;
    if (!clock_.has_table()) return PrecedesBySearch(a, b);
    if (start_[b + 1] - start_[b] > kFewUses) {
      const std::vector<uint32_t>& row = Row(b);
      return IsDoneBy(a, row);
    }
    for (size_t k = start_[b]; k < start_[b + 1]; ++k) {
      if (IsFirst(b, k) && !IsDoneBy(a, clock_.Seen(uses_[k]))) return false;
    }
    return true;
  }

  // The position of the item's first use in a legal order.
  uint32_t Begin(uint32_t item) const {
    uint32_t begin = ~uint32_t{0};
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      begin = std::min(begin, clock_.Place(uses_[k]));
    }
    return begin;
  }

 private:
  static constexpr size_t kFewUses = 8;

  // Returns whether use k is the item's first use in its chain.
  bool IsFirst(uint32_t item, size_t k) const {
    return k == start_[item] || clock_.Chain(uses_[k]) != clock_.Chain(uses_[k - 1]);
  }
  bool IsDoneBy(uint32_t item, std::span<const uint32_t> seen) const {
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      const bool last =
          k + 1 == start_[item + 1] || clock_.Chain(uses_[k]) != clock_.Chain(uses_[k + 1]);
      if (last && seen[clock_.Chain(uses_[k])] < clock_.Number(uses_[k])) return false;
    }
    return true;
  }
  // How many steps of each chain come before all uses of the item.
  const std::vector<uint32_t>& Row(uint32_t item) {
    std::vector<uint32_t>& row = rows_[item];
    if (!row.empty()) return row;
    row.assign(clock_.chains(), ~uint32_t{0});
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      if (!IsFirst(item, k)) continue;
      const std::span<const uint32_t> seen = clock_.Seen(uses_[k]);
      for (size_t c = 0; c < row.size(); ++c) row[c] = std::min(row[c], seen[c]);
    }
    return row;
  }

  // Walks backwards from every use of b. A use that comes after another use of b need not reach the
  // uses of a itself.
  bool PrecedesBySearch(uint32_t a, uint32_t b) {
    reached_.resize(steps_);
    after_a_.resize(steps_);
    ++query_;
    uint32_t earliest = ~uint32_t{0};
    for (size_t k = start_[a]; k < start_[a + 1]; ++k) {
      earliest = std::min(earliest, clock_.Place(uses_[k]));
    }
    for (size_t k = start_[b]; k < start_[b + 1]; ++k) {
      if (!IsAfter(uses_[k], a, earliest)) return false;
      after_a_[uses_[k]] = query_;
    }
    return true;
  }
  bool IsAfter(uint32_t step, uint32_t a, uint32_t earliest) {
    if (after_a_[step] == query_) return true;
    ++walk_;
    open_.assign(1, step);
    while (!open_.empty()) {
      const uint32_t s = open_.back();
      open_.pop_back();
      for (uint32_t before : clock_.Before(s)) {
        if (after_a_[before] == query_) return true;
        if (reached_[before] == walk_ || clock_.Place(before) < earliest) continue;
        reached_[before] = walk_;
        open_.push_back(before);
      }
    }
    return std::all_of(uses_.begin() + static_cast<ptrdiff_t>(start_[a]),
                       uses_.begin() + static_cast<ptrdiff_t>(start_[a + 1]),
                       [this](uint32_t use) { return reached_[use] == walk_; });
  }

  VectorClock clock_;
  size_t steps_;
  std::vector<size_t> start_;
  std::vector<uint32_t> uses_;               // by item, chain and number
  std::vector<std::vector<uint32_t>> rows_;  // made when first asked for
  // Without the table: the walk that reached each step last, and the query in which each step was
  // found to come after all uses of the first item.
  std::vector<uint64_t> reached_, after_a_;
  std::vector<uint32_t> open_;
  uint64_t walk_ = 0, query_ = 0;
};

// Walks up the addresses and keeps the rectangles that hold the current byte, in the order of first
// use. Precedence is transitive, so it is enough that neighbours precede each other.
absl::Status CheckShared(const Problem& problem, const std::vector<PlacedRectangle>& rectangles,
                         uint64_t most_entries) {
  Sharing sharing(problem, most_entries);
  using Holder = std::pair<uint32_t, uint32_t>;  // first use, rectangle
  std::set<Holder> holders;
  std::vector<std::set<Holder>::iterator> place(rectangles.size());
  auto check = [&](const Holder& before, const Holder& after) {
    const PlacedRectangle &a = rectangles[before.second], &b = rectangles[after.second];
    if (sharing.Precedes(a.item, b.item)) return absl::OkStatus();
    return Wrong(absl::StrCat("items ", a.item, " and ", b.item, " overlap: ", Describe(a), " and ",
                              Describe(b), " of arena ", a.arena,
                              " share bytes, but steps that use them are not ordered"));
  };
  // Sorted by arena and end address: rectangles that end at an address are removed before others
  // that begin there are added.
  std::vector<uint32_t> ends(rectangles.size());
  std::iota(ends.begin(), ends.end(), 0u);
  std::sort(ends.begin(), ends.end(), [&rectangles](uint32_t a, uint32_t b) {
    if (rectangles[a].arena != rectangles[b].arena)
      return rectangles[a].arena < rectangles[b].arena;
    return rectangles[a].end < rectangles[b].end;
  });
  size_t e = 0;
  for (uint32_t p = 0; p < rectangles.size(); ++p) {
    const PlacedRectangle& rectangle = rectangles[p];
    for (;; ++e) {
      const PlacedRectangle& gone = rectangles[ends[e]];
      if (gone.arena > rectangle.arena ||
          (gone.arena == rectangle.arena && gone.end > rectangle.begin))
        break;
      holders.erase(place[ends[e]]);  // its neighbours are ordered, because it was between them
    }
    const auto at = holders.insert({sharing.Begin(rectangle.item), p}).first;
    place[p] = at;
    if (at != holders.begin()) {
      TENURE_RETURN_IF_ERROR(check(*std::prev(at), *at));
    }
    if (std::next(at) != holders.end()) {
      TENURE_RETURN_IF_ERROR(check(*at, *std::next(at)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateOrder(const Problem& problem, std::vector<PlacedRectangle> rectangles,
                           uint64_t most_entries) {
  std::sort(rectangles.begin(), rectangles.end(),
            [](const PlacedRectangle& a, const PlacedRectangle& b) {
              return a.arena != b.arena ? a.arena < b.arena : a.begin < b.begin;
            });
  // If no byte is shared, the order does not matter.
  uint64_t top = 0;
  for (size_t p = 0; p < rectangles.size(); ++p) {
    if (p > 0 && rectangles[p].arena != rectangles[p - 1].arena) top = 0;
    if (rectangles[p].begin < top) return CheckShared(problem, rectangles, most_entries);
    top = std::max(top, rectangles[p].end);
  }
  return absl::OkStatus();
}

}  // namespace tenure::packing
