#include "tenure/planner/packing/wide_precedence.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tenure::packing {
namespace {

constexpr uint32_t kNoChain = ~uint32_t{0};
constexpr double kMostBits = uint64_t{1} << 31;
// More work than this takes longer than a rough packing is worth waiting for.
constexpr double kMostNanoseconds = 60e9;
// The sets of uses have this many words of 64 bits in all, or one word for each step.
constexpr size_t kSetWords = size_t{1} << 22;

}  // namespace

bool WidePrecedence::Suits(const Problem& problem) {
  const auto items = static_cast<double>(problem.items.size());
  return items * items <= kMostBits && Nanoseconds(problem) <= kMostNanoseconds;
}

double WidePrecedence::Nanoseconds(const Problem& problem) {
  const auto items = static_cast<double>(problem.items.size());
  const auto uses = static_cast<double>(problem.order.uses.size());
  const auto rows = uses + static_cast<double>(problem.order.steps + problem.order.edges.size());
  // Most items have two uses, of which one is the last.
  const double more = std::max(uses - 2 * items, 0.0);
  return rows * ((items + more) / 64 + 1) + items * more;
}

WidePrecedence::WidePrecedence(const Problem& problem, const StepGraph& graph,
                               const std::vector<uint32_t>& chain_of, Budget* budget)
    : row_words_((problem.items.size() + 63) / 64), end_(problem.order.steps) {
  const auto items = static_cast<uint32_t>(problem.items.size());
  FindUses(problem, graph.Positions(), chain_of);
  const size_t most = std::max(single_.size(), more_.size());
  words_ = std::clamp<size_t>(kSetWords / std::max<size_t>(problem.order.steps, 1), 1,
                              std::max<size_t>((most + 63) / 64, 1));
  before_.resize(problem.order.steps * words_);
  set_.resize(words_);
  // Every pair is ordered until a use is found that is not.
  bits_.assign(items * row_words_, ~uint64_t{0});
  for (size_t begin = 0; begin < single_.size(); begin += 64 * words_) {
    const size_t end = std::min(begin + 64 * words_, single_.size());
    if (!FillSets(graph, single_, begin, end, budget)) return;
    const size_t used_words = (end - begin + 63) / 64;
    for (uint32_t b = 0; b < items; ++b) {
      if (budget != nullptr && !budget->Spend(1 + used_words / 64)) return;
      Intersect(b);
      uint64_t* row = &bits_[b * row_words_ + begin / 64];
      for (size_t w = 0; w < used_words; ++w) row[w] &= set_[w];
    }
  }
  for (size_t begin = 0; begin < more_.size(); begin += 64 * words_) {
    const size_t end = std::min(begin + 64 * words_, more_.size());
    if (!FillSets(graph, more_, begin, end, budget)) return;
    for (uint32_t b = 0; b < items; ++b) {
      if (budget != nullptr && !budget->Spend(1 + (end - begin) / 64)) return;
      Intersect(b);
      uint64_t* row = &bits_[b * row_words_];
      for (size_t k = 0; k < end - begin; ++k) {
        if ((set_[k / 64] >> (k % 64) & 1) != 0) continue;
        const uint32_t a = more_[begin + k].item;
        row[a / 64] &= ~(uint64_t{1} << (a % 64));
      }
    }
  }
  // Nothing of this is needed for queries.
  for (std::vector<LastUse>* uses : {&single_, &more_}) std::vector<LastUse>().swap(*uses);
  for (std::vector<uint32_t>* uses : {&first_start_, &first_uses_}) {
    std::vector<uint32_t>().swap(*uses);
  }
  for (std::vector<uint64_t>* sets : {&before_, &set_}) std::vector<uint64_t>().swap(*sets);
  complete_ = true;
}

// Of the uses in one chain, all later items wait for the last one, and the first one waits for all
// earlier items.
void WidePrecedence::FindUses(const Problem& problem, const std::vector<uint32_t>& position,
                              const std::vector<uint32_t>& chain_of) {
  const auto items = static_cast<uint32_t>(problem.items.size());
  const ItemUses uses(problem);
  used_.assign(items, Life{0, end_});
  first_start_.assign(1, 0);
  std::vector<uint32_t> mine;
  for (uint32_t i = 0; i < items; ++i) {
    mine.assign(uses.steps.begin() + uses.start[i], uses.steps.begin() + uses.start[i + 1]);
    std::sort(mine.begin(), mine.end(), [&](uint32_t a, uint32_t b) {
      return std::pair(chain_of[a], position[a]) < std::pair(chain_of[b], position[b]);
    });
    if (!mine.empty()) used_[i] = {end_, 0};
    single_.push_back({kNoChain, i});
    for (size_t k = 0; k < mine.size(); ++k) {
      const uint32_t s = mine[k];
      used_[i].first = std::min<Time>(used_[i].first, position[s]);
      used_[i].last = std::max<Time>(used_[i].last, Time{position[s]} + 1);
      if (k == 0 || chain_of[mine[k - 1]] != chain_of[s]) first_uses_.push_back(s);
      if (k + 1 < mine.size() && chain_of[mine[k + 1]] == chain_of[s]) continue;
      if (single_.back().step == kNoChain) {
        single_.back().step = s;
      } else {
        more_.push_back({s, i});
      }
    }
    first_start_.push_back(static_cast<uint32_t>(first_uses_.size()));
  }
}

// Fills the set of each step with those of the uses [begin, end) that come before it. Returns false
// if the budget ended.
bool WidePrecedence::FillSets(const StepGraph& graph, const std::vector<LastUse>& uses,
                              size_t begin, size_t end, Budget* budget) {
  std::vector<std::pair<uint32_t, uint32_t>> bits;  // step, bit of its set
  for (size_t k = begin; k < end; ++k) {
    if (uses[k].step != kNoChain) bits.emplace_back(uses[k].step, static_cast<uint32_t>(k - begin));
  }
  std::sort(bits.begin(), bits.end());
  std::fill(before_.begin(), before_.end(), 0);
  for (uint32_t s : graph.order) {
    const uint64_t work = words_ * (1 + graph.After(s).size());
    if (budget != nullptr && !budget->Spend(1 + work / 64)) return false;
    std::copy_n(before_.begin() + static_cast<ptrdiff_t>(s * words_), words_, set_.begin());
    for (auto use = std::lower_bound(bits.begin(), bits.end(), std::pair(s, uint32_t{0}));
         use != bits.end() && use->first == s; ++use) {
      set_[use->second / 64] |= uint64_t{1} << (use->second % 64);
    }
    for (uint32_t t : graph.After(s)) {
      uint64_t* theirs = &before_[t * words_];
      for (size_t w = 0; w < words_; ++w) theirs[w] |= set_[w];
    }
  }
  return true;
}

// Sets set_ to the uses that come before all first uses of the item. Nothing precedes an item
// without uses.
void WidePrecedence::Intersect(uint32_t item) {
  const uint32_t begin = first_start_[item], end = first_start_[item + 1];
  std::fill(set_.begin(), set_.end(), begin == end ? 0 : ~uint64_t{0});
  for (uint32_t k = begin; k < end; ++k) {
    const uint64_t* theirs = &before_[first_uses_[k] * words_];
    for (size_t w = 0; w < words_; ++w) set_[w] &= theirs[w];
  }
}

// A life must last until every item that is not preceded has begun.
std::vector<Life> WidePrecedence::LivesApart(Budget* budget) const {
  const size_t items = used_.size();
  std::vector<Life> lives(items, Life{0, end_});
  std::vector<uint32_t> latest_first(items);
  for (uint32_t i = 0; i < items; ++i) latest_first[i] = i;
  std::sort(latest_first.begin(), latest_first.end(), [this](uint32_t a, uint32_t b) {
    return used_[a].first != used_[b].first ? used_[a].first > used_[b].first : a < b;
  });
  for (uint32_t i = 0; i < items; ++i) {
    if (budget != nullptr && !budget->Spend(1 + items / 64)) break;
    lives[i] = used_[i];
    for (uint32_t j : latest_first) {
      if (ItemPrecedes(i, j)) continue;
      lives[i].last = std::max(lives[i].last, used_[j].first + 1);
      break;
    }
  }
  return lives;
}

}  // namespace tenure::packing
