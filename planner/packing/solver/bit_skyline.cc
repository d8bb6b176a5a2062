#include "tenure/planner/packing/solver/bit_skyline.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};

}  // namespace

BitSkyline::BitSkyline(const std::vector<Rectangle>& rectangles,
                       const std::vector<uint64_t>& totals)
    : rectangles_(rectangles),
      totals_(totals),
      section_count_(static_cast<uint32_t>(totals.size())),
      words_((rectangles.size() + 63) / 64) {
  begins_from_.resize((section_count_ + 1) * words_);
  ends_by_.resize((section_count_ + 1) * words_);
  unplaced_.resize(words_);
  segments_.resize(section_count_);
}

void BitSkyline::SetOrder(const std::vector<uint32_t>& order) {
  order_ = order;
  std::fill(begins_from_.begin(), begins_from_.end(), 0);
  std::fill(ends_by_.begin(), ends_by_.end(), 0);
  for (size_t k = 0; k < order.size(); ++k) {
    const SectionRange range = rectangles_[order[k]].range;
    const uint64_t bit = uint64_t{1} << (k % 64);
    begins_from_[range.begin * words_ + k / 64] |= bit;
    ends_by_[range.end * words_ + k / 64] |= bit;
  }
  for (size_t k = section_count_ * words_; k-- > 0;) begins_from_[k] |= begins_from_[k + words_];
  for (size_t k = words_; k < ends_by_.size(); ++k) ends_by_[k] |= ends_by_[k - words_];
}

template <typename Choose>
bool BitSkyline::Run(uint64_t limit, Budget& budget, std::vector<uint64_t>& offsets,
                     const Choose& choose) {
  const size_t n = rectangles_.size();
  offsets.assign(n, kNoOffset);
  if (n == 0) return true;
  std::fill(unplaced_.begin(), unplaced_.end(), ~uint64_t{0});
  if (n % 64 != 0) unplaced_.back() = (uint64_t{1} << (n % 64)) - 1;
  segments_[0] = {0, section_count_, kNone};
  uint32_t at = 0;
  for (size_t placed = 0; placed < n;) {
    for (;;) {
      const Segment& here = segments_[at];
      if (here.end < section_count_ && segments_[here.end].height < here.height) {
        at = here.end;
      } else if (here.previous != kNone && segments_[here.previous].height < here.height) {
        at = here.previous;
      } else {
        break;
      }
    }
    const Segment valley = segments_[at];
    const uint32_t l = at, r = valley.end;
    const uint32_t rank = choose(l, r);
    if (rank == kNone) {
      const uint64_t left =
          valley.previous == kNone ? kUnlimited : segments_[valley.previous].height;
      const uint64_t right = r == section_count_ ? kUnlimited : segments_[r].height;
      const uint64_t height = std::min(left, right);
      const uint32_t begin = left == height ? valley.previous : l;
      PutSegment(begin, right == height ? segments_[r].end : r, segments_[begin].previous, height);
      at = begin;
      continue;
    }
    const uint32_t b = order_[rank];
    const Rectangle& rectangle = rectangles_[b];
    const uint64_t offset = AlignUp(valley.height, rectangle.alignment);
    const uint64_t height = offset + rectangle.size;
    if (height >= limit || !budget.Spend(1)) return false;
    offsets[b] = offset;
    ++placed;
    unplaced_[rank / 64] &= ~(uint64_t{1} << (rank % 64));
    uint32_t begin = rectangle.range.begin, end = rectangle.range.end, previous = valley.previous;
    if (begin > l) {
      PutSegment(l, begin, previous, valley.height);
      previous = l;
    } else if (previous != kNone && segments_[previous].height == height) {
      begin = previous;
      previous = segments_[begin].previous;
    }
    if (end < r) {
      PutSegment(end, r, begin, valley.height);
    } else if (r < section_count_ && segments_[r].height == height) {
      end = segments_[r].end;
    }
    PutSegment(begin, end, previous, height);
    at = begin;
  }
  return true;
}

bool BitSkyline::RunByRank(uint64_t limit, Budget& budget, std::vector<uint64_t>& offsets) {
  return Run(limit, budget, offsets, [this](uint32_t l, uint32_t r) -> uint32_t {
    const uint64_t* from = &begins_from_[l * words_];
    const uint64_t* by = &ends_by_[r * words_];
    for (size_t w = 0; w < words_; ++w) {
      const uint64_t within = unplaced_[w] & from[w] & by[w];
      if (within != 0)
        return static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(std::countr_zero(within));
    }
    return kNone;
  });
}

bool BitSkyline::RunByPressure(const std::vector<uint64_t>& weights, uint64_t limit, Budget& budget,
                               std::vector<uint64_t>& offsets) {
  pressure_.resize(section_count_);
  for (uint32_t s = 0; s < section_count_; ++s) pressure_[s] = totals_[s] + weights[s];
  return Run(limit, budget, offsets, [this, &budget](uint32_t l, uint32_t r) -> uint32_t {
    const uint64_t* from = &begins_from_[l * words_];
    const uint64_t* by = &ends_by_[r * words_];
    budget.Hasten((r - l) / 16 + words_ / 16);
    uint64_t any = 0;
    for (size_t w = 0; w < words_; ++w) any |= unplaced_[w] & from[w] & by[w];
    if (any == 0) return kNone;
    open_.clear();
    for (uint32_t s = l; s < r; ++s) open_.push_back(s);
    for (;;) {
      // Takes the section under most pressure. A section that no rectangle within the valley covers
      // is removed from the list.
      size_t most = 0;
      for (size_t k = 1; k < open_.size(); ++k) {
        if (pressure_[open_[k]] > pressure_[open_[most]]) most = k;
      }
      const uint32_t s = open_[most];
      const uint64_t* after = &begins_from_[(s + 1) * words_];
      const uint64_t* before = &ends_by_[s * words_];
      for (size_t w = 0; w < words_; ++w) {
        const uint64_t over = unplaced_[w] & from[w] & by[w] & ~after[w] & ~before[w];
        if (over == 0) continue;
        const auto rank =
            static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(std::countr_zero(over));
        const Rectangle& rectangle = rectangles_[order_[rank]];
        for (uint32_t t = rectangle.range.begin; t < rectangle.range.end; ++t)
          pressure_[t] -= rectangle.size;
        return rank;
      }
      open_[most] = open_.back();
      open_.pop_back();
    }
  });
}

}  // namespace tenure::packing
