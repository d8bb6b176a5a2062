#include "tenure/planner/packing/step_graph.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace tenure::packing {

StepGraph::StepGraph(const PartialOrder& partial) {
  std::vector<uint32_t> incoming(partial.steps);
  start.assign(size_t{partial.steps} + 1, 0);
  for (const PartialOrder::Edge& e : partial.edges) {
    ++start[e.before + 1];
    ++incoming[e.after];
  }
  for (uint32_t s = 0; s < partial.steps; ++s) start[s + 1] += start[s];
  to.resize(partial.edges.size());
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  for (const PartialOrder::Edge& e : partial.edges) to[next[e.before]++] = e.after;
  std::vector<uint32_t> heap;
  for (uint32_t s = 0; s < partial.steps; ++s) {
    if (incoming[s] == 0) heap.push_back(s);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint32_t s = heap.back();
    heap.pop_back();
    order.push_back(s);
    for (uint32_t t : After(s)) {
      if (--incoming[t] > 0) continue;
      heap.push_back(t);
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
}

std::vector<uint32_t> StepGraph::Positions() const {
  std::vector<uint32_t> position(order.size());
  for (uint32_t k = 0; k < order.size(); ++k) position[order[k]] = k;
  return position;
}

ItemUses::ItemUses(const Problem& problem) {
  start.assign(problem.items.size() + 1, 0);
  for (const PartialOrder::Use& u : problem.order.uses) ++start[u.item + 1];
  for (size_t i = 0; i < problem.items.size(); ++i) start[i + 1] += start[i];
  steps.resize(problem.order.uses.size());
  std::vector<uint32_t> next(start.begin(), start.end() - 1);
  for (const PartialOrder::Use& u : problem.order.uses) steps[next[u.item]++] = u.step;
}

}  // namespace tenure::packing
