#include "tenure/planner/packing/precedence.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tenure::packing {
namespace {

constexpr uint32_t kNever = ~uint32_t{0};
// An item with at least this many last uses has a row of its own.
constexpr size_t kManyUses = 4;

// Each step continues its chain with the first of its successors that is in no chain yet. Returns
// the number of chains.
uint32_t CutIntoChains(const StepGraph& g, std::vector<uint32_t>& chain,
                       std::vector<uint32_t>& position) {
  uint32_t chains = 0;
  chain.assign(g.order.size(), kNever);
  position.assign(g.order.size(), 0);
  for (uint32_t s : g.order) {
    if (chain[s] == kNever) chain[s] = chains++;
    for (uint32_t t : g.After(s)) {
      if (chain[t] != kNever) continue;
      chain[t] = chain[s];
      position[t] = position[s] + 1;
      break;
    }
  }
  return chains;
}

}  // namespace

Precedence::Precedence(const Problem& problem, Budget* budget, uint64_t most_entries) {
  const StepGraph graph(problem.order);
  chains_ = CutIntoChains(graph, chain_, position_);
  if (HasTable(problem, chains_, most_entries)) {
    complete_ = FillTable(problem, graph, budget);
  } else if (WidePrecedence::Suits(problem)) {
    complete_ = wide_.emplace(problem, graph, chain_, budget).complete();
  }
}

// Returns false if the budget ended.
bool Precedence::FillTable(const Problem& problem, const StepGraph& g, Budget* budget) {
  when_ = g.Positions();
  after_.assign(size_t{problem.order.steps} * chains_, kNever);
  for (size_t k = g.order.size(); k-- > 0;) {
    const uint32_t s = g.order[k];
    uint32_t* mine = &after_[size_t{s} * chains_];
    const uint64_t entries = uint64_t{g.start[s + 1] - g.start[s]} * chains_;
    if (budget != nullptr && !budget->Spend(1 + entries / 32)) return false;
    for (uint32_t t : g.After(s)) {
      const uint32_t* theirs = &after_[size_t{t} * chains_];
      for (uint32_t c = 0; c < chains_; ++c) mine[c] = std::min(mine[c], theirs[c]);
      mine[chain_[t]] = std::min(mine[chain_[t]], position_[t]);
    }
  }
  const ItemUses uses(problem);
  std::vector<uint32_t> mine;
  first_start_.push_back(0);
  last_start_.push_back(0);
  row_.assign(problem.items.size(), kNever);
  for (size_t i = 0; i < problem.items.size(); ++i) {
    mine.assign(uses.steps.begin() + uses.start[i], uses.steps.begin() + uses.start[i + 1]);
    if (!AddUses(mine, budget)) return false;
    first_start_.push_back(static_cast<uint32_t>(first_uses_.size()));
    last_start_.push_back(static_cast<uint32_t>(last_uses_.size()));
    if (last_start_[i + 1] - last_start_[i] < kManyUses) continue;
    row_[i] = static_cast<uint32_t>(rows_.size() / chains_);
    rows_.resize(rows_.size() + chains_, 0);
    uint32_t* row = &rows_[size_t{row_[i]} * chains_];
    for (uint32_t x = last_start_[i]; x < last_start_[i + 1]; ++x) {
      const uint32_t* after = &after_[size_t{last_uses_[x]} * chains_];
      if (budget != nullptr && !budget->Spend(1 + chains_ / 32)) return false;
      for (uint32_t c = 0; c < chains_; ++c) row[c] = std::max(row[c], after[c]);
    }
  }
  return true;
}

bool Precedence::AddUses(std::vector<uint32_t>& steps, Budget* budget) {
  if (budget != nullptr && !budget->Spend(1 + steps.size() / 8)) return false;
  std::sort(steps.begin(), steps.end(), [this](uint32_t a, uint32_t b) {
    return chain_[a] != chain_[b] ? chain_[a] < chain_[b] : position_[a] < position_[b];
  });
  std::vector<uint32_t> firsts, lasts;  // of each chain
  for (size_t k = 0; k < steps.size(); ++k) {
    if (k == 0 || chain_[steps[k]] != chain_[steps[k - 1]]) firsts.push_back(steps[k]);
    if (k + 1 == steps.size() || chain_[steps[k]] != chain_[steps[k + 1]]) {
      lasts.push_back(steps[k]);
    }
  }
  for (uint32_t a : firsts) {
    if (budget != nullptr && !budget->Spend(1 + firsts.size() / 16)) return false;
    const bool implied = std::any_of(firsts.begin(), firsts.end(), [this, a](uint32_t b) {
      return a != b && StepPrecedes(b, a);
    });
    if (!implied) first_uses_.push_back(a);
  }
  for (uint32_t a : lasts) {
    if (budget != nullptr && !budget->Spend(1 + lasts.size() / 16)) return false;
    const bool implied = std::any_of(
        lasts.begin(), lasts.end(), [this, a](uint32_t b) { return a != b && StepPrecedes(a, b); });
    if (!implied) last_uses_.push_back(a);
  }
  return true;
}

bool Precedence::ItemPrecedes(uint32_t a, uint32_t b) const {
  if (wide_.has_value()) return wide_->ItemPrecedes(a, b);
  if (last_start_[a] == last_start_[a + 1] || first_start_[b] == first_start_[b + 1]) return false;
  if (row_[a] != kNever) {
    const uint32_t* row = &rows_[size_t{row_[a]} * chains_];
    for (uint32_t y = first_start_[b]; y < first_start_[b + 1]; ++y) {
      if (position_[first_uses_[y]] < row[chain_[first_uses_[y]]]) return false;
    }
    return true;
  }
  for (uint32_t x = last_start_[a]; x < last_start_[a + 1]; ++x) {
    for (uint32_t y = first_start_[b]; y < first_start_[b + 1]; ++y) {
      if (!StepPrecedes(last_uses_[x], first_uses_[y])) return false;
    }
  }
  return true;
}

uint32_t CountChains(const PartialOrder& order) {
  std::vector<uint32_t> chain, position;
  return CutIntoChains(StepGraph(order), chain, position);
}

std::vector<Life> Precedence::LivesApart(Budget* budget) const {
  if (wide_.has_value()) return wide_->LivesApart(budget);
  const size_t steps = chain_.size();
  const size_t items = last_start_.size() - 1;
  // The times at which the steps of each chain run, chain by chain.
  std::vector<uint32_t> start(chains_ + 1, 0), runs(steps);
  for (uint32_t c : chain_) ++start[c + 1];
  for (uint32_t c = 0; c < chains_; ++c) start[c + 1] += start[c];
  for (size_t s = 0; s < steps; ++s) runs[start[chain_[s]] + position_[s]] = when_[s];
  const Life always{0, static_cast<Time>(steps)};
  std::vector<Life> lives(items, always);
  for (size_t i = 0; i < items; ++i) {
    if (last_start_[i] == last_start_[i + 1]) continue;
    const uint64_t entries = uint64_t{last_start_[i + 1] - last_start_[i]} * chains_;
    if (budget != nullptr && !budget->Spend(1 + entries / 16)) break;
    Life& life = lives[i];
    life = {always.last, 0};
    for (uint32_t k = first_start_[i]; k < first_start_[i + 1]; ++k) {
      life.first = std::min<Time>(life.first, when_[first_uses_[k]]);
    }
    for (uint32_t k = last_start_[i]; k < last_start_[i + 1]; ++k) {
      const uint32_t* after = &after_[size_t{last_uses_[k]} * chains_];
      for (uint32_t c = 0; c < chains_; ++c) {
        // Finds the last step of the chain that does not come after this one.
        const uint32_t end = std::min(start[c + 1] - start[c], after[c]);
        if (end > 0) life.last = std::max<Time>(life.last, runs[start[c] + end - 1] + 1);
      }
    }
  }
  return lives;
}

std::vector<Life> LivesInOneOrder(const Problem& problem) {
  const std::vector<uint32_t> when = StepGraph(problem.order).Positions();
  const Life always{0, static_cast<Time>(problem.order.steps)};
  std::vector<Life> lives(problem.items.size(), Life{always.last, always.first});
  for (const PartialOrder::Use& u : problem.order.uses) {
    Life& life = lives[u.item];
    life.first = std::min<Time>(life.first, when[u.step]);
    life.last = std::max<Time>(life.last, when[u.step] + 1);
  }
  for (Life& life : lives) {
    if (life.first >= life.last) life = always;
  }
  return lives;
}

}  // namespace tenure::packing
