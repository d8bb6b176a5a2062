#include "tenure/planner/packing/solver/constructions.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/sort_by_key.h"

namespace tenure::packing {
namespace {

// The number of steps of a coarse section total.
constexpr uint64_t kCoarse = 64;
// From this number on, candidates are sorted by digits.
constexpr uint32_t kManyCandidates = 4096;
// After so many rounds without a new best packing, a kind of repair gives way to the next one.
constexpr int kPatience = 100;

std::vector<Rectangle> Shifted(const PlainInstance& plain, const std::vector<uint32_t>& ids,
                               uint32_t first_section) {
  std::vector<Rectangle> rectangles;
  rectangles.reserve(ids.size());
  for (uint32_t id : ids) {
    Rectangle rectangle = plain.rectangles[id];
    rectangle.range.begin -= first_section;
    rectangle.range.end -= first_section;
    rectangles.push_back(rectangle);
  }
  return rectangles;
}

// Returns the largest value over the sections of each rectangle.
std::vector<uint64_t> RangeMax(const std::vector<uint64_t>& values,
                               const std::vector<Rectangle>& rectangles) {
  const size_t m = values.size();
  std::vector<uint64_t> tree(2 * m);
  std::copy(values.begin(), values.end(), tree.begin() + static_cast<ptrdiff_t>(m));
  for (size_t i = m; i-- > 1;) tree[i] = std::max(tree[2 * i], tree[2 * i + 1]);
  std::vector<uint64_t> most(rectangles.size());
  for (size_t b = 0; b < rectangles.size(); ++b) {
    uint64_t best = 0;
    for (size_t l = rectangles[b].range.begin + m, r = rectangles[b].range.end + m; l < r;
         l /= 2, r /= 2) {
      if ((l & 1) != 0) best = std::max(best, tree[l++]);
      if ((r & 1) != 0) best = std::max(best, tree[--r]);
    }
    most[b] = best;
  }
  return most;
}

// Computes the highest end over each section.
void SectionTops(const std::vector<Rectangle>& rectangles, const std::vector<uint64_t>& offsets,
                 std::vector<uint64_t>& tops) {
  std::fill(tops.begin(), tops.end(), 0);
  for (size_t b = 0; b < rectangles.size(); ++b) {
    const uint64_t end = offsets[b] + rectangles[b].size;
    for (uint32_t s = rectangles[b].range.begin; s < rectangles[b].range.end; ++s) {
      tops[s] = std::max(tops[s], end);
    }
  }
}

// Sorts the largest first: digit by digit by the first key, whose values are mostly distinct. The
// few equal ones are sorted by the other keys.
template <typename Candidate>
void SortLarge(std::vector<Candidate>& candidates) {
  std::vector<Keyed> order(candidates.size());
  for (uint32_t k = 0; k < candidates.size(); ++k) order[k] = {~candidates[k].keys[0], k};
  SortByKey(order);
  std::vector<Candidate> sorted;
  sorted.reserve(candidates.size());
  for (const Keyed& k : order) sorted.push_back(candidates[k.index]);
  for (size_t k = 0; k < sorted.size();) {
    size_t end = k + 1;
    while (end < sorted.size() && sorted[end].keys[0] == sorted[k].keys[0]) ++end;
    if (end - k > 1) {
      std::sort(sorted.begin() + static_cast<ptrdiff_t>(k),
                sorted.begin() + static_cast<ptrdiff_t>(end));
    }
    k = end;
  }
  candidates.swap(sorted);
}

}  // namespace

Constructions::Constructions(const PlainInstance& plain, std::vector<uint64_t> totals,
                             const std::vector<uint32_t>& ids, uint32_t first_section,
                             uint64_t target)
    : plain_(plain),
      own_(Shifted(plain, ids, first_section)),
      rectangles_(ids.empty() ? plain.rectangles : own_),
      totals_(std::move(totals)),
      target_(target) {
  if (!ids.empty()) {
    width_.reserve(ids.size());
    for (uint32_t id : ids) width_.push_back(plain.width[id]);
  }
}

void Constructions::Prepare() {
  if (!most_.empty() || rectangles_.empty()) return;
  most_ = RangeMax(totals_, rectangles_);
  if (BitSkyline::Suits(rectangles_.size(), totals_.size())) {
    bits_.emplace(rectangles_, totals_);
  } else {
    tree_.emplace(rectangles_, static_cast<uint32_t>(totals_.size()));
  }
}

void Constructions::Rank(std::string_view ranking) {
  const auto n = static_cast<uint32_t>(rectangles_.size());
  const std::vector<uint64_t>& width = width_.empty() ? plain_.width : width_;
  ranked_.resize(n);
  for (uint32_t b = 0; b < n; ++b) {
    Ranked& ranked = ranked_[b];
    ranked.rectangle = b;
    for (size_t k = 0; k < 3; ++k) {
      switch (ranking[k]) {
        case 'T':
          ranked.keys[k] = most_[b];
          break;
        case 't':
          ranked.keys[k] = most_[b] / (target_ / kCoarse + 1);
          break;
        case 'W':
          ranked.keys[k] = width[b];
          break;
        case 'S':
          ranked.keys[k] = rectangles_[b].size;
          break;
        default:  // non-negative doubles compare like their bits
          ranked.keys[k] = std::bit_cast<uint64_t>(static_cast<double>(width[b]) *
                                                   static_cast<double>(rectangles_[b].size));
      }
    }
  }
  if (n > kManyCandidates) {
    SortLarge(ranked_);
  } else {
    std::sort(ranked_.begin(), ranked_.end());
  }
}

void Constructions::SetOrder() {
  order_.resize(ranked_.size());
  for (size_t k = 0; k < ranked_.size(); ++k) order_[k] = ranked_[k].rectangle;
  if (bits_.has_value()) bits_->SetOrder(order_);
}

bool Constructions::Construct(uint64_t limit, Budget& budget) {
  ++constructions_;
  if (bits_.has_value()) return bits_->RunByRank(limit, budget, trial_);
  return tree_->Run(order_, limit, budget, trial_);
}

void Constructions::Take(bool complete, std::string_view kind, std::string_view ranking) {
  if (!complete) {
    if (top_ != kUnlimited) return;
    // The first construction was cut short: the rest is stacked on top.
    uint64_t top = 0;
    for (size_t b = 0; b < rectangles_.size(); ++b) {
      if (trial_[b] != kNoOffset) top = std::max(top, trial_[b] + rectangles_[b].size);
    }
    TlsfInEventOrder(rectangles_, top, trial_);
  }
  const uint64_t top = TopOf(rectangles_, trial_);
  if (top >= top_) return;
  top_ = top;
  offsets_ = trial_;
  winner_ = absl::StrCat(kind, ":", ranking);
  ++improvements_;
}

bool Constructions::Try(std::string_view ranking, Budget& budget) {
  // The preparation takes about this long and can't be cut short.
  const absl::Duration ready = absl::Nanoseconds(250) * static_cast<double>(rectangles_.size());
  if (top_ == kUnlimited && (budget.Interrupted() || !budget.Leaves(ready))) {
    trial_.assign(rectangles_.size(), kNoOffset);
    Take(false, "tlsf", "events");
    budget.Stop();
    return false;
  }
  Prepare();
  Rank(ranking);
  SetOrder();
  // The clock is read again, because the preparation of a large problem takes time.
  const bool cut = top_ == kUnlimited && budget.Interrupted();
  if (cut) trial_.assign(rectangles_.size(), kNoOffset);
  Take(!cut && Construct(top_, budget), "greedy", ranking);
  return !budget.Interrupted();
}

void Constructions::PromoteOffenders(Promotion promotion) {
  promoted_.clear();
  merged_.clear();
  for (Ranked& ranked : ranked_) {
    if (trial_[ranked.rectangle] + rectangles_[ranked.rectangle].size <= target_) {
      merged_.push_back(ranked);
      continue;
    }
    uint64_t& key = ranked.keys[0];
    if (promotion == Promotion::kHalfway) {
      key += key < target_ ? (target_ - key + 1) / 2 : 1;
    } else {
      key = key < target_ ? target_ : key == target_ ? target_ + 1 : key + target_;
    }
    promoted_.push_back(ranked);
  }
  std::sort(promoted_.begin(), promoted_.end());
  std::merge(merged_.begin(), merged_.end(), promoted_.begin(), promoted_.end(), ranked_.begin());
}

bool Constructions::Repair(std::string_view ranking, Promotion promotion, int rounds,
                           Budget& budget) {
  Prepare();
  Rank(ranking);
  uint64_t best = kUnlimited;
  for (int round = 0, last = 0; round < rounds && round - last < kPatience && !done(); ++round) {
    SetOrder();
    const bool complete = Construct(kUnlimited, budget);
    Take(complete, promotion == Promotion::kHalfway ? "repaired-halfway" : "repaired-at-once",
         ranking);
    if (!complete) return !budget.Interrupted();
    const uint64_t top = TopOf(rectangles_, trial_);
    if (top < best) {
      best = top;
      last = round;
    }
    if (!done()) PromoteOffenders(promotion);
  }
  return true;
}

bool Constructions::RepairByPressure(int rounds, Budget& budget) {
  Prepare();
  if (!bits_.has_value()) return true;
  Rank("WSA");
  SetOrder();
  std::vector<uint64_t> weights(totals_.size()), tops(totals_.size());
  uint64_t best = kUnlimited;
  for (int round = 0, last = 0; round < rounds && round - last < kPatience && !done(); ++round) {
    ++constructions_;
    const bool complete = bits_->RunByPressure(weights, kUnlimited, budget, trial_);
    Take(complete, "repaired", "pressure");
    if (!complete) return !budget.Interrupted();
    const uint64_t top = TopOf(rectangles_, trial_);
    if (top < best) {
      best = top;
      last = round;
    }
    // A section that overflows gains a third of its excess. A section that fits slowly loses its
    // weight.
    SectionTops(rectangles_, trial_, tops);
    for (size_t s = 0; s < weights.size(); ++s) {
      if (tops[s] > target_) {
        weights[s] += (tops[s] - target_) / 3;
      } else {
        weights[s] -= weights[s] / 20;
      }
    }
  }
  return true;
}

}  // namespace tenure::packing
