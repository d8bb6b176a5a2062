#include "tenure/planner/packing/portfolio.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/baselines.h"

namespace tenure::packing {
namespace {

// Rankings: the letters name the keys, the most important first, largest value first.
//   T  the largest section total that the block takes part in      W  the length of its life
//   A  length times size                                           S  its size
constexpr std::array<std::string_view, 8> kRankings = {"TWA", "ATW", "TAW", "WTA",
                                                       "TSW", "AWT", "SWT", "WAT"};
// Beyond this many blocks a construction takes long, and later rankings bring little.
constexpr size_t kManyBlocks = 200000;

// Largest total over the sections of a range.
class RangeMax {
 public:
  explicit RangeMax(const std::vector<uint64_t>& values)
      : count_(values.size()), tree_(2 * values.size()) {
    std::copy(values.begin(), values.end(), tree_.begin() + static_cast<ptrdiff_t>(count_));
    for (size_t i = count_; i-- > 1;) tree_[i] = std::max(tree_[2 * i], tree_[2 * i + 1]);
  }
  uint64_t operator()(SectionRange range) const {
    uint64_t most = 0;
    for (size_t l = range.begin + count_, r = range.end + count_; l < r; l /= 2, r /= 2) {
      if ((l & 1) != 0) most = std::max(most, tree_[l++]);
      if ((r & 1) != 0) most = std::max(most, tree_[--r]);
    }
    return most;
  }

 private:
  size_t count_;
  std::vector<uint64_t> tree_;
};

// Blocks that share no section with others, packed on their own.
class Part {
 public:
  Part(const PlainInstance& plain, const std::vector<uint64_t>& totals, std::vector<uint32_t> ids,
       uint32_t first_section, uint32_t section_count)
      : plain_(plain), ids_(std::move(ids)), section_count_(section_count) {
    const bool whole = ids_.empty();
    if (!whole) {
      blocks_.reserve(ids_.size());
      for (uint32_t id : ids_) {
        Block block = plain.blocks[id];
        block.range.begin -= first_section;
        block.range.end -= first_section;
        blocks_.push_back(block);
      }
    }
    most_.resize(blocks().size());
    const RangeMax range_max(totals);
    for (size_t b = 0; b < blocks().size(); ++b) most_[b] = range_max(blocks()[b].range);
  }

  // True if the budget did not end.
  bool Try(std::string_view ranking, Budget& budget, PortfolioResult& counts) {
    if (!greedy_.has_value()) greedy_.emplace(blocks(), section_count_);
    Rank(ranking);
    ++counts.constructions;
    const bool done = greedy_->Run(order_, top_, budget, trial_);
    if (!done && top_ == kUnlimited) {
      // Cut short with nothing to show: pile the rest on top.
      uint64_t top = 0;
      for (uint32_t b : greedy_->placed()) top = std::max(top, trial_[b] + blocks()[b].size);
      TlsfInEventOrder(blocks(), top, trial_);
    }
    if (done || top_ == kUnlimited) {
      top_ = TopOf(blocks(), trial_);
      offsets_.swap(trial_);
      winner_ = ranking;
      ++counts.improvements;
    }
    return done || !budget.Interrupted();
  }

  uint64_t top() const { return top_; }
  std::string_view winner() const { return winner_; }
  void CopyTo(std::vector<uint64_t>& offsets) const {
    if (ids_.empty()) {
      offsets = offsets_;
      return;
    }
    for (size_t b = 0; b < ids_.size(); ++b) offsets[ids_[b]] = offsets_[b];
  }

 private:
  struct Keyed {
    std::array<uint64_t, 3> keys;
    uint32_t block;
  };

  const std::vector<Block>& blocks() const { return ids_.empty() ? plain_.blocks : blocks_; }
  uint64_t Key(char letter, uint32_t b) const {
    const uint64_t width = plain_.width[ids_.empty() ? b : ids_[b]];
    switch (letter) {
      case 'T':
        return most_[b];
      case 'W':
        return width;
      case 'S':
        return blocks()[b].size;
      default:  // wide lives times large sizes: the order is all that matters, so the top bits are
                // enough
        return static_cast<uint64_t>((static_cast<unsigned __int128>(width) * blocks()[b].size) >>
                                     shift_);
    }
  }

  void Rank(std::string_view ranking) {
    const auto n = static_cast<uint32_t>(blocks().size());
    if (keyed_.empty()) {
      unsigned __int128 largest = 0;
      for (uint32_t b = 0; b < n; ++b) {
        const uint64_t width = plain_.width[ids_.empty() ? b : ids_[b]];
        largest = std::max(largest, static_cast<unsigned __int128>(width) * blocks()[b].size);
      }
      while ((largest >> shift_) > ~uint64_t{0}) ++shift_;
    }
    keyed_.resize(n);
    for (uint32_t b = 0; b < n; ++b) {
      keyed_[b] = {{Key(ranking[0], b), Key(ranking[1], b), Key(ranking[2], b)}, b};
    }
    std::sort(keyed_.begin(), keyed_.end(), [](const Keyed& a, const Keyed& b) {
      if (a.keys != b.keys) return a.keys > b.keys;
      return a.block < b.block;
    });
    order_.resize(n);
    for (uint32_t k = 0; k < n; ++k) order_[k] = keyed_[k].block;
  }

  const PlainInstance& plain_;
  std::vector<uint32_t> ids_;   // of the blocks of the whole; empty: all of them
  std::vector<Block> blocks_;   // unless all
  std::vector<uint64_t> most_;  // the largest section total of each block
  uint32_t section_count_;
  int shift_ = 0;
  std::optional<SkylineGreedy> greedy_;
  std::vector<Keyed> keyed_;
  std::vector<uint32_t> order_;
  std::vector<uint64_t> trial_, offsets_;
  uint64_t top_ = kUnlimited;
  std::string_view winner_;
};

// First sections of the parts: sections that no block of an earlier section reaches into.
std::vector<uint32_t> PartStarts(const PlainInstance& plain) {
  const size_t m = plain.totals.size();
  std::vector<uint32_t> reach(m);
  for (const Block& block : plain.blocks) {
    reach[block.range.begin] = std::max(reach[block.range.begin], block.range.end);
  }
  std::vector<uint32_t> starts;
  uint32_t covered = 0;
  for (uint32_t s = 0; s < m; ++s) {
    if (s >= covered) starts.push_back(s);
    covered = std::max(covered, reach[s]);
  }
  starts.push_back(static_cast<uint32_t>(m));
  return starts;
}

}  // namespace

PortfolioResult RunPortfolio(const PlainInstance& plain, uint64_t target, Budget& budget) {
  PortfolioResult result;
  if (plain.blocks.empty()) {
    result.top = 0;
    return result;
  }
  const size_t rankings = plain.blocks.size() > kManyBlocks ? 2 : kRankings.size();
  Part whole(plain, plain.totals, {}, 0, static_cast<uint32_t>(plain.totals.size()));
  bool running = whole.Try(kRankings[0], budget, result);
  const std::vector<uint32_t> starts = PartStarts(plain);
  if (starts.size() == 2 || !running || whole.top() <= target) {
    for (size_t k = 1; k < rankings && running && whole.top() > target; ++k) {
      running = whole.Try(kRankings[k], budget, result);
    }
    whole.CopyTo(result.offsets);
    result.top = whole.top();
    result.winner = absl::StrCat("greedy:", whole.winner());
    return result;
  }
  // Only parts that are too high are tried again.
  whole.CopyTo(result.offsets);
  const size_t parts = starts.size() - 1;
  std::vector<uint32_t> part_of(plain.totals.size());
  for (uint32_t p = 0; p < parts; ++p) {
    std::fill(part_of.begin() + starts[p], part_of.begin() + starts[p + 1], p);
  }
  std::vector<std::vector<uint32_t>> members(parts);
  std::vector<uint64_t> tops(parts);
  for (uint32_t b = 0; b < plain.blocks.size(); ++b) {
    const uint32_t p = part_of[plain.blocks[b].range.begin];
    tops[p] = std::max(tops[p], result.offsets[b] + plain.blocks[b].size);
    members[p].push_back(b);
  }
  result.winner = absl::StrCat("greedy:", whole.winner());
  uint64_t top = 0;
  for (uint32_t p = 0; p < parts; ++p) {
    if (tops[p] > target && running) {
      const std::vector<uint64_t> totals(plain.totals.begin() + starts[p],
                                         plain.totals.begin() + starts[p + 1]);
      const uint64_t peak = std::max(target, *std::max_element(totals.begin(), totals.end()));
      Part part(plain, totals, members[p], starts[p], starts[p + 1] - starts[p]);
      for (size_t k = 0; k < rankings && running && part.top() > peak; ++k) {
        running = part.Try(kRankings[k], budget, result);
      }
      if (part.top() < tops[p]) {
        tops[p] = part.top();
        part.CopyTo(result.offsets);
        result.winner = "greedy:parts";
      }
    }
    top = std::max(top, tops[p]);
  }
  result.top = top;
  return result;
}

}  // namespace tenure::packing
