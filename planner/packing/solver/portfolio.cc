#include "tenure/planner/packing/solver/portfolio.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/solver/constructions.h"

namespace tenure::packing {
namespace {

constexpr std::array<std::string_view, 4> kRankings = {"TWA", "TAW", "ATW", "TSW"};

// With more rectangles than this, coarse totals are used. Exact totals order rectangles by their
// begin, which makes the search for them slow, and bring no better packings there.
constexpr size_t kManyRectangles = 200000;

// Returns how many rectangles may be placed at this effort. Small problems are placed ten times as
// fast.
uint64_t Placements(const Constructions& work, Effort effort) {
  if (work.small()) return effort == Effort::kFast ? 4200 : 48000;
  if (effort == Effort::kFast) return std::min<uint64_t>(200000, 3 * work.size());
  return 1500000;
}

int Rounds(uint64_t placements, const Constructions& work) {
  return static_cast<int>(std::min<uint64_t>(placements / work.size(), 10000));
}

// Returns false if the deadline ended the work.
bool Work(Constructions& work, Effort effort, Budget& budget) {
  // The first construction does not count against the budget, because there must be a packing.
  const bool many = work.size() > kManyRectangles;
  if (!work.Try(many ? "tWA" : kRankings[0], budget)) return false;
  Budget mine = budget.WithSteps(Placements(work, effort));
  for (size_t k = 1; k < kRankings.size() && !work.done() && mine.steps_left() >= work.size();
       ++k) {
    if (!work.Try(kRankings[k], mine)) return !budget.Interrupted();
  }
  // The kinds of repair share the rest of the budget.
  const int rounds = Rounds(mine.steps_left(), work);
  if (work.done() || rounds < 2) return !budget.Interrupted();
  if (work.small()) {
    work.RepairByPressure(std::max(1, rounds / 4), mine);
    if (!work.done()) work.Repair("TAW", Promotion::kAtOnce, rounds / 4, mine);
    if (!work.done()) work.Repair("TWA", Promotion::kHalfway, rounds / 4, mine);
    if (!work.done()) work.Repair("TAW", Promotion::kHalfway, rounds / 4, mine);
  } else {
    work.Repair("TAW", Promotion::kHalfway, rounds, mine);
    if (!work.done()) work.Repair("TAW", Promotion::kAtOnce, rounds, mine);
    if (!work.done()) work.Repair("TWA", Promotion::kHalfway, rounds, mine);
  }
  return !budget.Interrupted();
}

// Returns the first section of each part: no rectangle of an earlier section reaches into it.
std::vector<uint32_t> PartStarts(const PlainInstance& plain) {
  const size_t m = plain.totals.size();
  std::vector<uint32_t> reach(m);
  for (const Rectangle& rectangle : plain.rectangles) {
    reach[rectangle.range.begin] = std::max(reach[rectangle.range.begin], rectangle.range.end);
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

void Count(const Constructions& work, PortfolioResult& result) {
  result.constructions += work.constructions();
  result.improvements += work.improvements();
}

// Improves each part separately, but only those that the construction of the whole left too high.
void WorkOnParts(const PlainInstance& plain, const std::vector<uint32_t>& starts, uint64_t target,
                 Effort effort, Budget& budget, PortfolioResult& result) {
  const size_t parts = starts.size() - 1;
  std::vector<uint32_t> part_of(plain.totals.size());
  for (uint32_t p = 0; p < parts; ++p) {
    std::fill(part_of.begin() + starts[p], part_of.begin() + starts[p + 1], p);
  }
  std::vector<std::vector<uint32_t>> members(parts);
  std::vector<uint64_t> tops(parts);
  for (uint32_t b = 0; b < plain.rectangles.size(); ++b) {
    const uint32_t p = part_of[plain.rectangles[b].range.begin];
    tops[p] = std::max(tops[p], result.offsets[b] + plain.rectangles[b].size);
    members[p].push_back(b);
  }
  result.top = 0;
  bool running = true;
  for (uint32_t p = 0; p < parts; ++p) {
    if (tops[p] > target && running) {
      Constructions work(plain,
                         {plain.totals.begin() + starts[p], plain.totals.begin() + starts[p + 1]},
                         members[p], starts[p], target);
      running = Work(work, effort, budget);
      Count(work, result);
      if (work.top() < tops[p]) {
        tops[p] = work.top();
        for (size_t b = 0; b < members[p].size(); ++b) {
          result.offsets[members[p][b]] = work.offsets()[b];
        }
        result.winner = absl::StrCat("parts:", work.winner());
      }
    }
    result.top = std::max(result.top, tops[p]);
  }
}

}  // namespace

PortfolioResult RunPortfolio(const PlainInstance& plain, uint64_t target, Effort effort,
                             Budget& budget) {
  PortfolioResult result;
  if (plain.rectangles.empty()) {
    result.top = 0;
    return result;
  }
  Constructions whole(plain, plain.totals, {}, 0, target);
  const bool many = whole.size() > kManyRectangles;
  const std::vector<uint32_t> starts = PartStarts(plain);
  const bool running = starts.size() == 2 ? Work(whole, effort, budget)
                                          : whole.Try(many ? "tWA" : kRankings[0], budget);
  result.offsets = whole.offsets();
  result.top = whole.top();
  result.winner = whole.winner();
  Count(whole, result);
  if (starts.size() > 2 && running && !whole.done()) {
    WorkOnParts(plain, starts, target, effort, budget, result);
  }
  return result;
}

}  // namespace tenure::packing
