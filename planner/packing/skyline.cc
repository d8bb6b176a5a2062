#include "tenure/planner/packing/skyline.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kNone = ~uint32_t{0};
constexpr uint32_t kLeafSize = 4;

}  // namespace

SkylineGreedy::SkylineGreedy(const std::vector<Rectangle>& rectangles, uint32_t section_count)
    : rectangles_(rectangles), section_count_(section_count) {
  const auto n = static_cast<uint32_t>(rectangles.size());
  while (leaves_ * kLeafSize < n) leaves_ *= 2;
  points_.resize(n);
  for (uint32_t i = 0; i < n; ++i) {
    points_[i] = {kNone, rectangles[i].range.begin, rectangles[i].range.end, i, rectangles[i].size};
  }
  for (const Rectangle& rectangle : rectangles) aligned_ |= rectangle.alignment != 1;
  leaf_start_.resize(leaves_ + 1);
  leaf_start_[leaves_] = n;
  Split(1, 0, n, true);
  point_of_.resize(n);
  for (uint32_t p = 0; p < n; ++p) point_of_[points_[p].rectangle] = p;
  nodes_.resize(2 * leaves_);
  segments_.resize(section_count);
}

void SkylineGreedy::Split(uint32_t node, uint32_t begin, uint32_t end, bool by_begin) {
  if (node >= leaves_) {
    leaf_start_[node - leaves_] = begin;
    return;
  }
  const uint32_t middle = begin + (end - begin) / 2;
  const auto at = points_.begin();
  // Ties are broken by the rectangle, so that the tree depends on the input alone.
  if (by_begin) {
    std::nth_element(at + begin, at + middle, at + end, [](const Point& a, const Point& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.rectangle < b.rectangle;
    });
  } else {
    std::nth_element(at + begin, at + middle, at + end, [](const Point& a, const Point& b) {
      return a.end != b.end ? a.end < b.end : a.rectangle < b.rectangle;
    });
  }
  Split(2 * node, begin, middle, !by_begin);
  Split(2 * node + 1, middle, end, !by_begin);
}

SkylineGreedy::Node SkylineGreedy::LeafNode(uint32_t leaf) const {
  Node node{kNone, 0, kNone};
  for (uint32_t p = leaf_start_[leaf]; p < leaf_start_[leaf + 1]; ++p) {
    const Point& point = points_[p];
    if (point.rank == kNone) continue;
    node.max_begin = std::max(node.max_begin, point.begin);
    node.min_end = std::min(node.min_end, point.end);
    node.best = std::min(node.best, point.rank);
  }
  return node;
}

SkylineGreedy::Node SkylineGreedy::Join(const Node& a, const Node& b) {
  return {std::min(a.best, b.best), std::max(a.max_begin, b.max_begin),
          std::min(a.min_end, b.min_end)};
}

void SkylineGreedy::Rebuild() {
  for (uint32_t leaf = 0; leaf < leaves_; ++leaf) nodes_[leaves_ + leaf] = LeafNode(leaf);
  for (uint32_t i = leaves_ - 1; i >= 1; --i) nodes_[i] = Join(nodes_[2 * i], nodes_[2 * i + 1]);
}

SkylineGreedy::Found SkylineGreedy::Best(uint32_t l, uint32_t r) const {
  struct Entry {
    uint32_t node, best;
  };
  Entry stack[40];
  int top = 0;
  uint32_t best = kNone;
  Found found{kNone, 0};
  auto push = [&](uint32_t i) {
    const Node& node = nodes_[i];
    if (node.best < best && node.max_begin >= l && node.min_end <= r) {
      stack[top++] = {i, node.best};
    }
  };
  push(1);
  while (top > 0) {
    const Entry entry = stack[--top];
    if (entry.best >= best) continue;
    const uint32_t i = entry.node;
    if (i >= leaves_) {
      for (uint32_t p = leaf_start_[i - leaves_]; p < leaf_start_[i - leaves_ + 1]; ++p) {
        const Point& point = points_[p];
        if (point.rank < best && point.begin >= l && point.end <= r) {
          best = point.rank;
          found = {p, i - leaves_};
        }
      }
      continue;
    }
    // The child with the better best point is pushed last, so that it is visited first.
    const uint32_t left = 2 * i, right = 2 * i + 1;
    const bool left_first = nodes_[left].best < nodes_[right].best;
    push(left_first ? right : left);
    push(left_first ? left : right);
  }
  return found;
}

void SkylineGreedy::Remove(Found found) {
  points_[found.point].rank = kNone;
  uint32_t i = leaves_ + found.leaf;
  nodes_[i] = LeafNode(found.leaf);
  // If a node does not change, the nodes above it don't change either.
  for (i /= 2; i >= 1; i /= 2) {
    const Node node = Join(nodes_[2 * i], nodes_[2 * i + 1]);
    if (node == nodes_[i]) break;
    nodes_[i] = node;
  }
}

void SkylineGreedy::PutSegment(uint32_t begin, uint32_t end, uint32_t previous, uint64_t height) {
  segments_[begin] = {height, end, previous};
  if (end < section_count_) segments_[end].previous = begin;
}

bool SkylineGreedy::Run(const std::vector<uint32_t>& order, uint64_t limit, Budget& budget,
                        std::vector<uint64_t>& offsets) {
  const auto n = static_cast<uint32_t>(rectangles_.size());
  offsets.assign(n, kNoOffset);
  placed_.clear();
  placed_.reserve(n);
  if (n == 0) return true;
  for (uint32_t k = 0; k < n; ++k) points_[point_of_[order[k]]].rank = k;
  Rebuild();
  // The first segment has kNone as `previous`; the last one ends at section_count_.
  segments_[0] = {0, section_count_, kNone};
  uint32_t at = 0;
  while (placed_.size() < n) {
    // Walk down to a valley.
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
    const Found found = Best(l, r);
    if (found.point == kNone) {
      // Raises the valley to its lower neighbour and merges the two (or all three, if both
      // neighbours are equal).
      const uint64_t left =
          valley.previous == kNone ? kUnlimited : segments_[valley.previous].height;
      const uint64_t right = r == section_count_ ? kUnlimited : segments_[r].height;
      const uint64_t height = std::min(left, right);
      const uint32_t begin = left == height ? valley.previous : l;
      const uint32_t end = right == height ? segments_[r].end : r;
      PutSegment(begin, end, segments_[begin].previous, height);
      at = begin;
      continue;
    }
    const Point point = points_[found.point];
    const uint64_t offset =
        aligned_ ? AlignUp(valley.height, rectangles_[point.rectangle].alignment) : valley.height;
    const uint64_t height = offset + point.size;
    if (height >= limit || !budget.Spend(1)) return false;
    offsets[point.rectangle] = offset;
    placed_.push_back(point.rectangle);
    Remove(found);
    uint32_t begin = point.begin, end = point.end, previous = valley.previous;
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

}  // namespace tenure::packing
