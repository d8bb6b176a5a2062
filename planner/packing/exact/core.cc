#include "tenure/planner/packing/exact/core.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "tenure/planner/packing/exact/model.h"
#include "tenure/planner/packing/exact/search.h"
#include "tenure/planner/packing/exact/tree.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/sections.h"

namespace tenure::packing::exact {
namespace {

constexpr uint32_t kSectionsOfBucket = 64;
constexpr uint64_t kHotPart = 300;  // a moment is hot if less than 1/300 of the capacity is free
constexpr int kRounds = 64;

struct Placed {
  uint64_t offset, top;
  SectionRange range;
};

bool Lower(const Placed& a, const Placed& b) { return a.offset < b.offset; }

// The placed items that live in a range of sections.
struct Bucket {
  std::vector<Placed> all;       // by offset
  std::vector<Placed> starters;  // the items whose life begins here
};

class CorePacker {
 public:
  CorePacker(const Problem& problem, uint64_t capacity, const SearchOptions& options)
      : problem_(problem), capacity_(capacity), options_(options) {
    std::vector<Life> lives;
    std::vector<uint64_t> sizes;
    for (uint32_t i = 0; i < problem.items.size(); ++i) {
      lives.push_back({problem.items[i].first, problem.items[i].last});
      sizes.push_back(problem.items[i].size);
    }
    sections_ = FindSections(lives);
    totals_ = SectionTotals(sections_, sizes);
    special_.assign(problem.items.size(), false);
    for (const Gap& gap : problem.gaps) special_[gap.item] = true;
    for (size_t i = 0; i < problem.items.size(); ++i) {
      if (problem.items[i].fixed != kNoOffset) special_[i] = true;
    }
    hot_.resize(sections_.count);
    for (size_t t = 0; t < hot_.size(); ++t) {
      hot_[t] = totals_[t] >= capacity - std::min(capacity, capacity / kHotPart);
    }
  }

  CoreResult Run() && {
    for (int round = 0; round < kRounds; ++round) {
      ++result_.rounds;
      result_.verdict = PackCore();
      if (result_.verdict != Verdict::kFound) break;
      std::vector<uint32_t> out;
      if (!Fill(out)) {
        result_.verdict = Verdict::kStopped;
        break;
      }
      if (out.empty()) {
        result_.offsets = std::move(offsets_);
        return std::move(result_);
      }
      result_.verdict = Verdict::kLimit;
      for (uint32_t i : out) {
        const SectionRange range = sections_.ranges[i];
        const auto fullest =
            std::max_element(totals_.begin() + range.begin, totals_.begin() + range.end);
        hot_[static_cast<size_t>(fullest - totals_.begin())] = true;
      }
    }
    return std::move(result_);
  }

 private:
  // Items alive at a hot section, and items that only a model can place.
  Verdict PackCore() {
    std::vector<uint32_t> hot_before(hot_.size() + 1, 0);
    for (size_t t = 0; t < hot_.size(); ++t) hot_before[t + 1] = hot_before[t] + (hot_[t] ? 1 : 0);
    Problem core;
    std::vector<uint32_t> core_index(problem_.items.size(), UINT32_MAX);
    in_core_.assign(problem_.items.size(), false);
    rest_.clear();
    std::vector<uint32_t> item_of;
    for (uint32_t i = 0; i < problem_.items.size(); ++i) {
      const SectionRange range = sections_.ranges[i];
      if (!special_[i] && hot_before[range.end] == hot_before[range.begin]) {
        if (problem_.items[i].size > 0) rest_.push_back(i);
        continue;
      }
      in_core_[i] = true;
      core_index[i] = static_cast<uint32_t>(item_of.size());
      item_of.push_back(i);
      core.items.push_back(problem_.items[i]);
    }
    for (Gap gap : problem_.gaps) {
      gap.item = core_index[gap.item];
      core.gaps.push_back(gap);
    }
    result_.core_items = item_of.size();
    offsets_.assign(problem_.items.size(), 0);
    if (item_of.empty()) return Verdict::kFound;

    ModelLimits limits;
    limits.interrupted = [this] { return options_.stop.Now(); };
    const std::optional<Model> model = BuildModel(core, limits);
    if (!model.has_value()) {
      return options_.stop.Now() ? Verdict::kStopped : Verdict::kLimit;
    }
    SearchOptions search = options_;
    search.stop = options_.stop.Before(model->SetUpTime());
    if (search.node_limit != UINT64_MAX) {
      if (result_.nodes >= search.node_limit) return Verdict::kLimit;
      search.node_limit -= result_.nodes;
    }
    const SearchResult found =
        Search(*model, std::min(static_cast<Units>(capacity_ / model->unit), kNoUnits - 1), search);
    result_.nodes += found.nodes;
    if (found.verdict != Verdict::kFound) return found.verdict;
    for (size_t k = 0; k < item_of.size(); ++k) {
      if (core.items[k].fixed != kNoOffset) offsets_[item_of[k]] = core.items[k].fixed;
    }
    for (size_t k = 0; k < found.offsets.size(); ++k) {
      offsets_[item_of[model->problem_item[k]]] =
          static_cast<uint64_t>(found.offsets[k]) * model->unit;
    }
    return Verdict::kFound;
  }

  Placed PlacedAt(uint32_t item) const {
    return {offsets_[item], offsets_[item] + problem_.items[item].size, sections_.ranges[item]};
  }

  // Adds a placed item to the buckets of its life. `sorted` keeps them in the order of offsets.
  void Enter(uint32_t item, bool sorted) {
    const Placed placed = PlacedAt(item);
    const uint32_t first = placed.range.begin / kSectionsOfBucket;
    buckets_[first].starters.push_back(placed);
    for (uint32_t b = first; b * kSectionsOfBucket < placed.range.end; ++b) {
      std::vector<Placed>& all = buckets_[b].all;
      const auto at = sorted ? std::upper_bound(all.begin(), all.end(), placed, Lower) : all.end();
      all.insert(at, placed);
    }
  }

  // Places the rest, long-lived items first, each in the smallest hole. Items that don't fit under
  // the capacity are added to `out`. Returns false if the search was stopped.
  bool Fill(std::vector<uint32_t>& out) {
    buckets_.assign(hot_.size() / kSectionsOfBucket + 1, {});
    for (uint32_t i = 0; i < problem_.items.size(); ++i) {
      if (in_core_[i] && problem_.items[i].size > 0) Enter(i, /*sorted=*/false);
    }
    for (Bucket& bucket : buckets_) {
      if (options_.stop.Now()) return false;
      std::sort(bucket.all.begin(), bucket.all.end(), Lower);
    }
    std::sort(rest_.begin(), rest_.end(), [this](uint32_t a, uint32_t b) {
      const Item& x = problem_.items[a];
      const Item& y = problem_.items[b];
      const uint64_t width_x = static_cast<uint64_t>(x.last) - static_cast<uint64_t>(x.first);
      const uint64_t width_y = static_cast<uint64_t>(y.last) - static_cast<uint64_t>(y.first);
      if (width_x != width_y) return width_x > width_y;
      if (x.size != y.size) return x.size > y.size;
      if (x.first != y.first) return x.first < y.first;
      return a < b;
    });
    for (size_t k = 0; k < rest_.size(); ++k) {
      if (k % 4 == 0 && options_.stop.Now()) return false;
      const uint32_t i = rest_[k];
      offsets_[i] = BestHole(i);
      if (offsets_[i] + problem_.items[i].size > capacity_) {
        out.push_back(i);  // not entered, so it takes no room from other items
      } else {
        Enter(i, /*sorted=*/true);
      }
    }
    return true;
  }

  // Returns the start of the smallest hole between the items that live with this one, or the
  // capacity if there is none.
  uint64_t BestHole(uint32_t item) {
    const Item& wanted = problem_.items[item];
    const SectionRange range = sections_.ranges[item];
    const uint32_t first = range.begin / kSectionsOfBucket;
    // An item that is not alive in the first bucket starts in one of the later ones.
    later_.clear();
    for (uint32_t b = first + 1; b * kSectionsOfBucket < range.end; ++b) {
      for (const Placed& other : buckets_[b].starters) {
        if (other.range.begin < range.end) later_.push_back(other);
      }
    }
    std::sort(later_.begin(), later_.end(), Lower);
    uint64_t top = 0;
    uint64_t best = kNoOffset;
    uint64_t best_size = UINT64_MAX;
    auto see = [&](uint64_t begin, uint64_t end) {
      if (begin > top && begin - top >= wanted.size && begin - top < best_size) {
        const uint64_t start = (top + wanted.alignment - 1) / wanted.alignment * wanted.alignment;
        if (begin >= start && begin - start >= wanted.size) {
          best = start;
          best_size = begin - top;
        }
      }
      top = std::max(top, end);
    };
    auto next = later_.begin();
    for (const Placed& other : buckets_[first].all) {
      if (other.range.begin >= range.end || range.begin >= other.range.end) continue;
      for (; next != later_.end() && next->offset < other.offset; ++next) {
        see(next->offset, next->top);
      }
      see(other.offset, other.top);
    }
    for (; next != later_.end(); ++next) see(next->offset, next->top);
    see(capacity_, capacity_);
    return best == kNoOffset ? capacity_ : best;
  }

  const Problem& problem_;
  const uint64_t capacity_;
  const SearchOptions& options_;
  Sections sections_;
  std::vector<uint64_t> totals_;
  std::vector<bool> special_;  // fixed or with gaps
  std::vector<bool> hot_;
  std::vector<bool> in_core_;
  std::vector<uint32_t> rest_;
  std::vector<uint64_t> offsets_;
  std::vector<Bucket> buckets_;  // the placed items, by time
  std::vector<Placed> later_;
  CoreResult result_;
};

bool CoreTakes(const Problem& problem) {
  return problem.arenas.size() <= 1 && problem.adjacent.empty() && problem.order.steps == 0;
}

}  // namespace

CoreResult PackAroundCore(const Problem& problem, uint64_t capacity, const SearchOptions& options) {
  // All heights are below 2^62.
  capacity = std::min(capacity, uint64_t{1} << 62);
  if (!CoreTakes(problem)) return {};
  if (problem.items.empty()) {
    CoreResult empty;
    empty.verdict = Verdict::kFound;
    return empty;
  }
  return CorePacker(problem, capacity, options).Run();
}

}  // namespace tenure::packing::exact
