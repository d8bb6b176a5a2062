#include "tenure/planner/step_order.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "tenure/planner/work_counts.h"

namespace tenure {
namespace {

constexpr uint32_t kNoStep = std::numeric_limits<uint32_t>::max();

// The dependencies of a step, each once, in ascending order.
void Dependencies(const Step& step, std::vector<uint32_t>& to) {
  to.assign(step.after.begin(), step.after.end());
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

}  // namespace

StepOrder::StepOrder(const Schedule& schedule, size_t max_table_entries)
    : steps_(&schedule.steps()) {
  internal::work_counts.step_orders.fetch_add(1, std::memory_order_relaxed);
  if (schedule.order() == OrderKind::kTotal || steps_->empty()) return;
  const uint32_t chains = FindChains();
  if (chains == 1) {  // the same as total order
    chain_.clear();
    return;
  }
  FindStages();
  if (chains <= max_table_entries / steps_->size()) FillTable(chains);
}

// A greedy search: a step continues a chain whose last step precedes it. The candidates are the
// dependencies of the step, and the ends that they pass on: ends of chains that precede them and
// that no step has continued yet.
uint32_t StepOrder::FindChains() {
  constexpr size_t kMaxPassed = 32;
  struct End {
    uint32_t chain, step;
  };
  const uint32_t n = static_cast<uint32_t>(steps_->size());
  chain_.assign(n, kNoStep);
  position_.assign(n, 0);
  std::vector<uint32_t> last;  // of each chain
  std::vector<absl::InlinedVector<End, 1>> passed(n);
  std::vector<End> ends;
  for (uint32_t step = 0; step < n; ++step) {
    ends.clear();
    auto add = [&](End end) {
      if (last[end.chain] != end.step || ends.size() > kMaxPassed) return;
      for (const End& other : ends) {
        if (other.chain == end.chain) return;
      }
      ends.push_back(end);
    };
    for (uint32_t before : (*steps_)[step].after) add({chain_[before], before});
    for (uint32_t before : (*steps_)[step].after) {
      for (const End& end : passed[before]) add(end);
    }
    if (ends.empty()) {
      chain_[step] = static_cast<uint32_t>(last.size());
      last.push_back(step);
      continue;
    }
    chain_[step] = ends[0].chain;
    position_[step] = position_[ends[0].step] + 1;
    last[chain_[step]] = step;
    passed[step].assign(ends.begin() + 1, ends.end());
  }
  return static_cast<uint32_t>(last.size());
}

// Step k begins a stage if every step before k precedes every step from k on. An end is a step u <
// k without a successor before k. A start is a step v >= k without a dependency from k on. A path
// from an end to a start has no other step in it, so all ends precede all starts exactly if there
// is an edge for each pair. The numbers of ends, starts and edges are counted for all k at once, as
// differences between k and k + 1.
void StepOrder::FindStages() {
  const uint32_t n = static_cast<uint32_t>(steps_->size());
  std::vector<std::vector<uint32_t>> before(n);
  std::vector<uint32_t> first_successor(n, n);
  for (uint32_t v = 0; v < n; ++v) {
    Dependencies((*steps_)[v], before[v]);
    for (uint32_t u : before[v]) first_successor[u] = std::min(first_successor[u], v);
  }
  std::vector<int64_t> ends(n + 2, 0), starts(n + 2, 0), edges(n + 2, 0);
  auto count = [](std::vector<int64_t>& of, uint32_t first, uint32_t last) {
    if (first > last) return;
    ++of[first];
    --of[last + 1];
  };
  for (uint32_t v = 0; v < n; ++v) {
    const uint32_t after_last = before[v].empty() ? 0 : before[v].back() + 1;
    count(ends, v + 1, first_successor[v]);
    count(starts, after_last, v);
    for (uint32_t u : before[v]) count(edges, after_last, first_successor[u]);
  }
  stage_.assign(n, 0);
  int64_t end = ends[0], start = starts[0], edge = edges[0];
  for (uint32_t k = 1; k < n; ++k) {
    end += ends[k];
    start += starts[k];
    edge += edges[k];
    stage_[k] = stage_[k - 1] + (edge == end * start ? 1 : 0);
  }
}

void StepOrder::FillTable(uint32_t chains) {
  chains_ = chains;
  after_.assign(steps_->size() * chains, kNoStep);
  for (uint32_t step = static_cast<uint32_t>(steps_->size()); step-- > 0;) {
    const uint32_t* mine = &after_[size_t{step} * chains];
    for (uint32_t before : (*steps_)[step].after) {
      uint32_t* theirs = &after_[size_t{before} * chains];
      for (uint32_t c = 0; c < chains; ++c) theirs[c] = std::min(theirs[c], mine[c]);
      theirs[chain_[step]] = std::min(theirs[chain_[step]], position_[step]);
    }
  }
}

bool StepOrder::SurelyPrecedes(uint32_t a, uint32_t b) const {
  if (a >= b) return false;  // the list is a legal order
  if (total() || stage_[a] < stage_[b] || chain_[a] == chain_[b]) return true;
  if (has_table()) return position_[b] >= after_[size_t{a} * chains_ + chain_[b]];
  for (uint32_t before : (*steps_)[b].after) {
    if (chain_[before] == chain_[a] && position_[before] >= position_[a]) return true;
  }
  return false;
}

bool StepOrder::Precedes(uint32_t a, uint32_t b) const {
  return SurelyPrecedes(a, b) || (a < b && !total() && !has_table() && Search(a, b));
}

bool StepOrder::Search(uint32_t a, uint32_t b) const {
  absl::flat_hash_set<uint32_t> seen;
  std::vector<uint32_t> open{b};
  while (!open.empty()) {
    const uint32_t step = open.back();
    open.pop_back();
    for (uint32_t before : (*steps_)[step].after) {
      if (before == a) return true;
      if (before < a || !seen.insert(before).second) continue;
      if (SurelyPrecedes(a, before)) return true;
      open.push_back(before);
    }
  }
  return false;
}

StepEnds StepOrder::Ends(absl::Span<const uint32_t> steps) const {
  StepEnds ends;
  if (total() || std::all_of(steps.begin(), steps.end(), [&](uint32_t step) {
        return chain_[step] == chain_[steps.front()];
      })) {
    ends.earliest.push_back(steps.front());
    ends.latest.push_back(steps.back());
    return ends;
  }
  // The first and the last step of each chain.
  std::vector<std::pair<uint32_t, uint32_t>> by_chain;  // chain, step
  by_chain.reserve(steps.size());
  for (uint32_t step : steps) by_chain.emplace_back(chain_[step], step);
  std::sort(by_chain.begin(), by_chain.end());
  for (size_t i = 0; i < by_chain.size(); ++i) {
    const auto [chain, step] = by_chain[i];
    if (i == 0 || by_chain[i - 1].first != chain) ends.earliest.push_back(step);
    if (i + 1 == by_chain.size() || by_chain[i + 1].first != chain) ends.latest.push_back(step);
  }
  std::sort(ends.earliest.begin(), ends.earliest.end());
  std::sort(ends.latest.begin(), ends.latest.end());
  return ends;
}

bool StepOrder::SurelyPrecede(const StepEnds& before, const StepEnds& after) const {
  if (before.latest.back() >= after.earliest.front()) return false;
  if (total() || stage_[before.latest.back()] < stage_[after.earliest.front()]) return true;
  for (uint32_t b : before.latest) {
    for (uint32_t a : after.earliest) {
      if (!SurelyPrecedes(b, a)) return false;
    }
  }
  return true;
}

bool StepOrder::Precede(const StepEnds& before, const StepEnds& after) const {
  if (before.latest.back() >= after.earliest.front()) return false;
  if (total() || stage_[before.latest.back()] < stage_[after.earliest.front()]) return true;
  for (uint32_t b : before.latest) {
    for (uint32_t a : after.earliest) {
      if (!Precedes(b, a)) return false;
    }
  }
  return true;
}

}  // namespace tenure
