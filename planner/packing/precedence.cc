#include "tenure/planner/packing/precedence.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace tenure::packing {
namespace {

constexpr uint32_t kNever = ~uint32_t{0};
// An item with at least this many last uses has a row of its own.
constexpr size_t kManyUses = 4;

struct Graph {
  std::vector<uint32_t> start, to;  // successors of each step
  // A legal order of the steps. Of the steps that are possible next, it takes the one with the
  // lowest number.
  std::vector<uint32_t> order;
};

Graph MakeGraph(const PartialOrder& order) {
  Graph g;
  std::vector<uint32_t> incoming(order.steps);
  g.start.assign(order.steps + 1, 0);
  for (const PartialOrder::Edge& e : order.edges) {
    ++g.start[e.before + 1];
    ++incoming[e.after];
  }
  for (uint32_t s = 0; s < order.steps; ++s) g.start[s + 1] += g.start[s];
  g.to.resize(order.edges.size());
  std::vector<uint32_t> next(g.start.begin(), g.start.end() - 1);
  for (const PartialOrder::Edge& e : order.edges) g.to[next[e.before]++] = e.after;
  std::vector<uint32_t> heap;
  for (uint32_t s = 0; s < order.steps; ++s) {
    if (incoming[s] == 0) heap.push_back(s);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint32_t s = heap.back();
    heap.pop_back();
    g.order.push_back(s);
    for (uint32_t e = g.start[s]; e < g.start[s + 1]; ++e) {
      if (--incoming[g.to[e]] == 0) {
        heap.push_back(g.to[e]);
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
      }
    }
  }
  return g;
}

// Each step continues its chain with the first of its successors that is in no chain yet. Returns
// the number of chains.
uint32_t CutIntoChains(const Graph& g, std::vector<uint32_t>& chain,
                       std::vector<uint32_t>& position) {
  uint32_t chains = 0;
  chain.assign(g.order.size(), kNever);
  position.assign(g.order.size(), 0);
  for (uint32_t s : g.order) {
    if (chain[s] == kNever) chain[s] = chains++;
    for (uint32_t e = g.start[s]; e < g.start[s + 1]; ++e) {
      if (chain[g.to[e]] != kNever) continue;
      chain[g.to[e]] = chain[s];
      position[g.to[e]] = position[s] + 1;
      break;
    }
  }
  return chains;
}

// The uses, grouped by item.
void GroupUses(const Problem& problem, std::vector<uint32_t>& start, std::vector<uint32_t>& steps) {
  start.assign(problem.items.size() + 1, 0);
  for (const PartialOrder::Use& u : problem.order.uses) ++start[u.item + 1];
  for (size_t i = 0; i < problem.items.size(); ++i) start[i + 1] += start[i];
  steps.resize(problem.order.uses.size());
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  for (const PartialOrder::Use& u : problem.order.uses) steps[next[u.item]++] = u.step;
}

}  // namespace

Precedence::Precedence(const Problem& problem, Budget* budget) {
  const PartialOrder& order = problem.order;
  const Graph g = MakeGraph(order);
  when_.resize(order.steps);
  for (uint32_t k = 0; k < g.order.size(); ++k) when_[g.order[k]] = k;
  chains_ = CutIntoChains(g, chain_, position_);
  after_.assign(size_t{order.steps} * chains_, kNever);
  for (size_t k = g.order.size(); k-- > 0;) {
    const uint32_t s = g.order[k];
    uint32_t* mine = &after_[size_t{s} * chains_];
    const uint64_t entries = uint64_t{g.start[s + 1] - g.start[s]} * chains_;
    if (budget != nullptr && !budget->Spend(1 + entries / 32)) return;
    for (uint32_t e = g.start[s]; e < g.start[s + 1]; ++e) {
      const uint32_t t = g.to[e];
      const uint32_t* theirs = &after_[size_t{t} * chains_];
      for (uint32_t c = 0; c < chains_; ++c) mine[c] = std::min(mine[c], theirs[c]);
      mine[chain_[t]] = std::min(mine[chain_[t]], position_[t]);
    }
  }
  std::vector<uint32_t> start, steps, mine;
  GroupUses(problem, start, steps);
  first_start_.push_back(0);
  last_start_.push_back(0);
  row_.assign(problem.items.size(), kNever);
  for (size_t i = 0; i < problem.items.size(); ++i) {
    mine.assign(steps.begin() + start[i], steps.begin() + start[i + 1]);
    if (!AddUses(mine, budget)) return;
    first_start_.push_back(static_cast<uint32_t>(first_uses_.size()));
    last_start_.push_back(static_cast<uint32_t>(last_uses_.size()));
    if (last_start_[i + 1] - last_start_[i] < kManyUses) continue;
    row_[i] = static_cast<uint32_t>(rows_.size() / chains_);
    rows_.resize(rows_.size() + chains_, 0);
    uint32_t* row = &rows_[size_t{row_[i]} * chains_];
    for (uint32_t x = last_start_[i]; x < last_start_[i + 1]; ++x) {
      const uint32_t* after = &after_[size_t{last_uses_[x]} * chains_];
      if (budget != nullptr && !budget->Spend(1 + chains_ / 32)) return;
      for (uint32_t c = 0; c < chains_; ++c) row[c] = std::max(row[c], after[c]);
    }
  }
  complete_ = true;
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
  return CutIntoChains(MakeGraph(order), chain, position);
}

std::vector<Life> Precedence::LivesApart(Budget* budget) const {
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
  const Graph g = MakeGraph(problem.order);
  std::vector<uint32_t> when(problem.order.steps);
  for (uint32_t k = 0; k < g.order.size(); ++k) when[g.order[k]] = k;
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
