#include "tenure/planner/packing/validator.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/placed_rectangle.h"
#include "tenure/planner/packing/validate_intervals.h"
#include "tenure/planner/packing/validate_order.h"

namespace tenure::packing {
namespace {

// Returns the rectangles of all items. Items without bytes are left out, and so are the parts of
// lives that gaps free.
std::vector<PlacedRectangle> MakeRectangles(const Problem& problem, const Packing& packing,
                                            std::vector<Gap> gaps) {
  std::vector<PlacedRectangle> rectangles;
  rectangles.reserve(problem.items.size() + 2 * gaps.size());
  auto before = [](const Gap& a, const Gap& b) {
    return a.item != b.item ? a.item < b.item : a.first < b.first;
  };
  if (!std::is_sorted(gaps.begin(), gaps.end(), before)) {
    std::sort(gaps.begin(), gaps.end(), before);
  }
  auto gap = gaps.begin();
  for (uint32_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    if (item.size == 0) continue;
    const uint64_t at = packing.offsets[i];
    const PlacedRectangle whole{at, at + item.size, item.first, item.last, i, packing.arena(i)};
    PlacedRectangle part = whole;
    while (gap != gaps.end() && gap->item < i) ++gap;
    for (; gap != gaps.end() && gap->item == i; ++gap) {
      part.last = gap->first;
      if (part.first < part.last) rectangles.push_back(part);
      if (gap->window_begin < gap->window_end) {
        rectangles.push_back(
            {at + gap->window_begin, at + gap->window_end, gap->first, gap->last, i, whole.arena});
      }
      part.first = gap->last;
    }
    part.last = whole.last;
    if (part.first < part.last) rectangles.push_back(part);
  }
  return rectangles;
}

absl::Status CheckPlaces(const Problem& problem, const Packing& packing) {
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    const uint64_t offset = packing.offsets[i];
    if (offset == kNoOffset || offset > kNoOffset - item.size) {
      return Wrong(absl::StrCat("item ", i, " has no offset, or one near 2^64"));
    }
    if (Excess(offset, item.alignment) != 0) {
      return Wrong(absl::StrCat("item ", i, " at ", offset, " is not aligned to ", item.alignment));
    }
    if (item.fixed != kNoOffset && offset != item.fixed) {
      return Wrong(absl::StrCat("item ", i, " is at ", offset, " but fixed at ", item.fixed));
    }
    const uint32_t arena = packing.arena(i);
    if (arena >= ArenaCount(problem)) {
      return Wrong(absl::StrCat("item ", i, " is in arena ", arena, ", which does not exist"));
    }
    if (!problem.arenas.empty() && item.size > 0 &&
        offset + item.size > problem.arenas[arena].limit) {
      return Wrong(absl::StrCat("item ", i, " ends at ", offset + item.size, ", beyond the limit ",
                                problem.arenas[arena].limit, " of arena ", arena));
    }
  }
  for (const Binding& binding : problem.bindings) {
    if (packing.arena(binding.item) != binding.arena) {
      return Wrong(absl::StrCat("item ", binding.item, " is in arena ", packing.arena(binding.item),
                                " but bound to arena ", binding.arena));
    }
  }
  for (size_t g = 0; g < problem.adjacent.size(); ++g) {
    const std::vector<uint32_t>& items = problem.adjacent[g].items;
    for (size_t k = 1; k < items.size(); ++k) {
      const uint32_t a = items[k - 1], b = items[k];
      if (packing.arena(a) != packing.arena(b) ||
          packing.offsets[b] != packing.offsets[a] + problem.items[a].size) {
        return Wrong(absl::StrCat("adjacency group ", g, ": item ", b,
                                  " does not begin where item ", a, " ends"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckHeights(const Problem& problem, const Packing& packing) {
  std::vector<uint64_t> heights(ArenaCount(problem));
  for (size_t i = 0; i < problem.items.size(); ++i) {
    if (problem.items[i].size == 0) continue;
    uint64_t& height = heights[packing.arena(i)];
    height = std::max(height, packing.offsets[i] + problem.items[i].size);
  }
  if (heights != packing.heights)
    return Wrong("the heights of its arenas do not agree with its offsets");
  uint64_t sum = 0;
  for (uint64_t height : heights) {
    if (height > kUnlimited - sum) return Wrong("the sum of its heights exceeds 2^64");
    sum += height;
  }
  if (sum != packing.height) {
    return Wrong(absl::StrCat("its height is ", sum, ", not ", packing.height));
  }
  if (sum > problem.capacity) {
    return Wrong(absl::StrCat("its height ", sum, " exceeds the capacity ", problem.capacity));
  }
  if (packing.lower_bound > sum) {
    return Wrong(
        absl::StrCat("its height ", sum, " is below its lower bound ", packing.lower_bound));
  }
  if ((packing.outcome == Outcome::kOptimal) != (packing.lower_bound == sum)) {
    return Wrong(absl::StrCat("it is called ", OutcomeName(packing.outcome), " at height ", sum,
                              " and lower bound ", packing.lower_bound));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Problem& problem, const Packing& packing) {
  if (!packing.has_offsets()) {
    if (!packing.offsets.empty()) {
      return Wrong(absl::StrCat("it has offsets but is called ", OutcomeName(packing.outcome)));
    }
    return absl::OkStatus();
  }
  if (packing.offsets.size() != problem.items.size() ||
      (!packing.arena_of.empty() && packing.arena_of.size() != problem.items.size())) {
    return Wrong(absl::StrCat("it has ", packing.offsets.size(), " offsets and ",
                              packing.arena_of.size(), " arenas for ", problem.items.size(),
                              " items"));
  }
  TENURE_RETURN_IF_ERROR(CheckPlaces(problem, packing));
  TENURE_RETURN_IF_ERROR(CheckHeights(problem, packing));
  if (problem.order.steps > 0) return ValidateOrder(problem, MakeRectangles(problem, packing, {}));
  // Gaps only free bytes. A packing that does not use them is valid without them, which is faster
  // to check.
  if (!problem.gaps.empty() && ValidateIntervals(MakeRectangles(problem, packing, {})).ok()) {
    return absl::OkStatus();
  }
  return ValidateIntervals(MakeRectangles(problem, packing, problem.gaps));
}

}  // namespace tenure::packing
