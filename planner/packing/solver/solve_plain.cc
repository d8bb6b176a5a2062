#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver/portfolio.h"
#include "tenure/planner/packing/solver/stages.h"

namespace tenure::packing {
namespace {

// Up to this number, first fit is cheap enough, although it looks at every placed neighbour.
constexpr size_t kFewRectangles = 20000;

}  // namespace

void SolvePlain(Task& task, const PlainInstance& plain, Effort portfolio, Packing& packing) {
  // The tops of rounded rectangles may exceed the capacity by the padding of the topmost ones.
  const uint64_t target = std::max(plain.peak, task.capacity == kUnlimited ? 0 : task.limit);
  PortfolioResult best = RunPortfolio(plain, target, portfolio, task.budget);
  packing.statistics.constructions += best.constructions;
  packing.statistics.improvements += best.improvements;
  Packing found;
  found.offsets.assign(task.problem.items.size(), 0);
  for (size_t b = 0; b < plain.rectangles.size(); ++b) {
    found.offsets[plain.item_of[b]] = best.offsets[b];
  }
  UpdateHeights(task.problem, found);
  UpdateHeights(task.problem, packing);
  if (packing.offsets.size() != found.offsets.size() || found.height < packing.height) {
    packing.offsets = std::move(found.offsets);
    packing.height = found.height;
    packing.statistics.winner = std::move(best.winner);
  }
  if (plain.mixed_alignment && packing.height > target &&
      plain.rectangles.size() <= kFewRectangles && !task.budget.Interrupted()) {
    // Padding for alignment leaves holes that the skyline does not see.
    Packing other;
    SolveGeneral(task, other);
    UpdateHeights(task.problem, other);
    if (!other.offsets.empty() && other.height < packing.height) {
      packing.offsets = std::move(other.offsets);
      packing.statistics.winner = std::move(other.statistics.winner);
    }
  }
}

}  // namespace tenure::packing
