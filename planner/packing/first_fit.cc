#include "tenure/planner/packing/first_fit.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tenure/planner/packing/baselines.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kNobody = ~uint32_t{0};
constexpr uint32_t kLeafSize = 4;
// Up to here conflicts of a partial order are kept, at most 8 MB of them.
constexpr size_t kKeptConflicts = 8192;

// The smallest value >= x that is residue (mod modulus).
uint64_t NextOf(const Body& body, uint64_t x) {
  const uint64_t residue = body.residue % body.modulus;
  const uint64_t have = x % body.modulus;
  return have <= residue ? x + (residue - have) : x + (body.modulus - have) + residue;
}

}  // namespace

OverlapIndex::OverlapIndex(const std::vector<BodyPiece>& pieces) {
  const auto n = static_cast<uint32_t>(pieces.size());
  while (leaves_ * kLeafSize < n) leaves_ *= 2;
  points_.resize(n);
  for (uint32_t p = 0; p < n; ++p) points_[p] = {pieces[p].range, p, false};
  leaf_start_.resize(leaves_ + 1);
  leaf_start_[leaves_] = n;
  Split(1, 0, n, true);
  point_of_.resize(n);
  for (uint32_t q = 0; q < n; ++q) point_of_[points_[q].piece] = q;
  nodes_.resize(2 * leaves_);
}

void OverlapIndex::Split(uint32_t node, uint32_t begin, uint32_t end, bool by_begin) {
  if (node >= leaves_) {
    leaf_start_[node - leaves_] = begin;
    return;
  }
  const uint32_t middle = begin + (end - begin) / 2;
  const auto at = points_.begin();
  std::nth_element(at + begin, at + middle, at + end, [by_begin](const Point& a, const Point& b) {
    const uint32_t x = by_begin ? a.range.begin : a.range.end;
    const uint32_t y = by_begin ? b.range.begin : b.range.end;
    return x != y ? x < y : a.piece < b.piece;
  });
  Split(2 * node, begin, middle, !by_begin);
  Split(2 * node + 1, middle, end, !by_begin);
}

void OverlapIndex::Clear() {
  std::fill(nodes_.begin(), nodes_.end(), Bounds{});
  for (Point& point : points_) point.inserted = false;
}

void OverlapIndex::Refresh(uint32_t point) {
  const auto leaf = static_cast<uint32_t>(
      std::upper_bound(leaf_start_.begin(), leaf_start_.end(), point) - leaf_start_.begin() - 1);
  Bounds bounds;
  for (uint32_t q = leaf_start_[leaf]; q < leaf_start_[leaf + 1]; ++q) {
    if (!points_[q].inserted) continue;
    bounds.min_begin = std::min(bounds.min_begin, points_[q].range.begin);
    bounds.max_end = std::max(bounds.max_end, points_[q].range.end);
  }
  uint32_t i = leaves_ + leaf;
  nodes_[i] = bounds;
  for (i /= 2; i >= 1; i /= 2) {
    const Bounds &a = nodes_[2 * i], &b = nodes_[2 * i + 1];
    nodes_[i] = {std::min(a.min_begin, b.min_begin), std::max(a.max_end, b.max_end)};
  }
}

void OverlapIndex::Insert(uint32_t piece) {
  points_[point_of_[piece]].inserted = true;
  Refresh(point_of_[piece]);
}

void OverlapIndex::Erase(uint32_t piece) {
  points_[point_of_[piece]].inserted = false;
  Refresh(point_of_[piece]);
}

void OverlapIndex::Collect(SectionRange range, std::vector<uint32_t>& found) const {
  uint32_t stack[40];
  int top = 0;
  stack[top++] = 1;
  while (top > 0) {
    const uint32_t i = stack[--top];
    if (nodes_[i].min_begin >= range.end || nodes_[i].max_end <= range.begin) continue;
    if (i < leaves_) {
      stack[top++] = 2 * i + 1;
      stack[top++] = 2 * i;
      continue;
    }
    for (uint32_t q = leaf_start_[i - leaves_]; q < leaf_start_[i - leaves_ + 1]; ++q) {
      const Point& point = points_[q];
      if (point.inserted && point.range.begin < range.end && point.range.end > range.begin) {
        found.push_back(point.piece);
      }
    }
  }
}

FirstFit::FirstFit(const Problem& problem, const Bodies& bodies)
    : problem_(problem), bodies_(bodies) {
  Clear();
}

void FirstFit::Clear() {
  if (index_.has_value()) index_->Clear();
  placed_pieces_.clear();
  placement_.offsets.assign(bodies_.bodies.size(), kNoOffset);
  placement_.arenas.assign(bodies_.bodies.size(), 0);
  placement_.heights.assign(ArenaCount(problem_), 0);
  placement_.height = 0;
  stuck_ = kNobody;
}

void FirstFit::FindForbidden(uint32_t body) {
  forbidden_.clear();
  const Body& mine = bodies_.bodies[body];
  auto forbid = [&](const BodyPiece& p, const BodyPiece& q) {
    const uint64_t at = placement_.offsets[q.body];
    const uint64_t begin = at + q.begin, end = at + q.end;
    if (end <= p.begin) return;  // beneath p wherever the body lies
    forbidden_.push_back(
        {placement_.arenas[q.body], begin < p.end ? 0 : begin - p.end + 1, end - p.begin - 1});
  };
  for (uint32_t k = mine.first_piece; k < mine.end_piece; ++k) {
    const BodyPiece& p = bodies_.pieces[k];
    if (bodies_.precedence != nullptr && problem_.items.size() <= kKeptConflicts) {
      const std::vector<uint64_t>& row = ConflictRow(p.item);
      for (uint32_t q : placed_pieces_) {
        const uint32_t other = bodies_.pieces[q].item;
        if ((row[other / 64] >> (other % 64) & 1) != 0) forbid(p, bodies_.pieces[q]);
      }
      continue;
    }
    if (bodies_.precedence != nullptr) {
      for (uint32_t q : placed_pieces_) {
        if (bodies_.precedence->Conflict(p.item, bodies_.pieces[q].item)) {
          forbid(p, bodies_.pieces[q]);
        }
      }
      continue;
    }
    found_.clear();
    Index().Collect(p.range, found_);
    for (uint32_t q : found_) forbid(p, bodies_.pieces[q]);
  }
}

// Every construction asks about the same pairs.
const std::vector<uint64_t>& FirstFit::ConflictRow(uint32_t item) {
  const size_t n = problem_.items.size();
  conflict_rows_.resize(n);
  std::vector<uint64_t>& row = conflict_rows_[item];
  if (row.empty()) {
    row.resize((n + 63) / 64);
    for (uint32_t j = 0; j < n; ++j) {
      if (bodies_.precedence->Conflict(item, j)) row[j / 64] |= uint64_t{1} << (j % 64);
    }
  }
  return row;
}

bool FirstFit::FitsAt(uint32_t body, uint32_t arena, uint64_t offset) {
  const Body& mine = bodies_.bodies[body];
  if (mine.height > 0 && (mine.height > Limit(arena) || offset > Limit(arena) - mine.height)) {
    return false;
  }
  FindForbidden(body);
  for (const Forbidden& f : forbidden_) {
    if (f.arena == arena && f.low <= offset && offset <= f.high) return false;
  }
  return true;
}

void FirstFit::Place(uint32_t body, uint32_t arena, uint64_t offset) {
  const Body& mine = bodies_.bodies[body];
  placement_.offsets[body] = offset;
  placement_.arenas[body] = arena;
  uint64_t& height = placement_.heights[arena];
  if (mine.height > 0 && offset + mine.height > height) {
    placement_.height += offset + mine.height - height;
    height = offset + mine.height;
  }
  for (uint32_t p = mine.first_piece; p < mine.end_piece; ++p) {
    if (bodies_.precedence != nullptr) {
      // By address, so that what is forbidden comes in order.
      auto address = [this](uint32_t q) {
        return placement_.offsets[bodies_.pieces[q].body] + bodies_.pieces[q].begin;
      };
      const auto at =
          std::upper_bound(placed_pieces_.begin(), placed_pieces_.end(), p,
                           [&](uint32_t x, uint32_t y) { return address(x) < address(y); });
      placed_pieces_.insert(at, p);
    } else {
      Index().Insert(p);
    }
  }
}

void FirstFit::Remove(uint32_t body) {
  const Body& mine = bodies_.bodies[body];
  for (uint32_t p = mine.first_piece; p < mine.end_piece; ++p) {
    if (bodies_.precedence != nullptr) {
      placed_pieces_.erase(std::find(placed_pieces_.begin(), placed_pieces_.end(), p));
    } else {
      Index().Erase(p);
    }
  }
  placement_.offsets[body] = kNoOffset;
}

// The lowest offset in the arena, whose forbidden ranges begin at forbidden_[at]; `at` moves behind
// them.
uint64_t FirstFit::LowestIn(uint32_t body, uint32_t arena, size_t& at) const {
  const Body& mine = bodies_.bodies[body];
  uint64_t offset = NextOf(mine, 0);
  bool found = false;
  for (; at < forbidden_.size() && forbidden_[at].arena == arena; ++at) {
    if (found) continue;
    if (forbidden_[at].low > offset) {
      found = true;
    } else if (forbidden_[at].high >= offset) {
      offset = NextOf(mine, forbidden_[at].high + 1);
    }
  }
  return offset;
}

bool FirstFit::PlaceLowest(uint32_t body, uint64_t capacity) {
  const Body& mine = bodies_.bodies[body];
  FindForbidden(body);
  auto before = [](const Forbidden& a, const Forbidden& b) {
    return a.arena != b.arena ? a.arena < b.arena : a.low < b.low;
  };
  if (!std::is_sorted(forbidden_.begin(), forbidden_.end(), before)) {
    std::sort(forbidden_.begin(), forbidden_.end(), before);
  }
  const auto arenas = static_cast<uint32_t>(placement_.heights.size());
  uint32_t best_arena = kNobody;
  uint64_t best_growth = kUnlimited, best_offset = kNoOffset;
  size_t at = 0;
  for (uint32_t arena = 0; arena < arenas; ++arena) {
    const uint64_t offset = LowestIn(body, arena, at);
    if (mine.arena != kAnyArena && mine.arena != arena) continue;
    const uint64_t end = mine.height == 0 ? 0 : offset + mine.height;
    if (end > Limit(arena)) continue;
    const uint64_t height = placement_.heights[arena];
    const uint64_t growth = end > height ? end - height : 0;
    if (growth < best_growth || (growth == best_growth && offset < best_offset)) {
      best_growth = growth;
      best_offset = offset;
      best_arena = arena;
    }
  }
  if (best_arena == kNobody || best_growth > capacity ||
      placement_.height > capacity - best_growth) {
    stuck_ = body;
    return false;
  }
  Place(body, best_arena, best_offset);
  return true;
}

bool FirstFit::Run(const std::vector<uint32_t>& order, uint64_t capacity, Budget& budget) {
  Clear();
  const auto n = static_cast<uint32_t>(bodies_.bodies.size());
  for (uint32_t b = 0; b < n; ++b) {
    const Body& body = bodies_.bodies[b];
    if (body.fixed == kNoOffset) continue;
    // Fixed but bound to no arena: the first where it can lie.
    bool placed = false;
    for (uint32_t a = 0; a < placement_.heights.size() && !placed; ++a) {
      if (body.arena != kAnyArena && body.arena != a) continue;
      if (!FitsAt(b, a, body.fixed)) continue;
      Place(b, a, body.fixed);
      placed = true;
    }
    if (!placed || placement_.height > capacity) {
      stuck_ = b;
      return false;
    }
  }
  for (uint32_t b : order) {
    if (placement_.offsets[b] != kNoOffset) continue;
    // What the last body cost is what the next will.
    if (!budget.Spend(8 + forbidden_.size() / 4) || !PlaceLowest(b, capacity)) return false;
  }
  return true;
}

bool FirstFit::PileUp(const std::vector<uint32_t>& order, uint64_t capacity) {
  for (uint32_t b : order) {
    if (placement_.offsets[b] != kNoOffset) continue;
    const Body& body = bodies_.bodies[b];
    if (body.fixed != kNoOffset) return false;
    bool placed = false;
    for (uint32_t a = 0; a < placement_.heights.size() && !placed; ++a) {
      if (body.arena != kAnyArena && body.arena != a) continue;
      const uint64_t height = placement_.heights[a];
      const uint64_t offset = NextOf(body, body.height == 0 ? 0 : height);
      const uint64_t end = body.height == 0 ? 0 : offset + body.height;
      const uint64_t growth = end > height ? end - height : 0;
      if (end > Limit(a) || growth > capacity || placement_.height > capacity - growth) continue;
      placement_.offsets[b] = offset;
      placement_.arenas[b] = a;
      placement_.heights[a] += growth;
      placement_.height += growth;
      placed = true;
    }
    if (!placed) return false;
  }
  return true;
}

bool FirstFit::RunQuickly(uint64_t capacity) {
  Clear();
  const auto n = static_cast<uint32_t>(bodies_.bodies.size());
  uint64_t base = 0;  // nothing but what is fixed lies below
  for (uint32_t b = 0; b < n; ++b) {
    const Body& body = bodies_.bodies[b];
    if (body.fixed == kNoOffset) continue;
    if (placement_.heights.size() > 1) return false;
    placement_.offsets[b] = body.fixed;
    if (body.height > 0) base = std::max(base, body.fixed + body.height);
  }
  placement_.heights[0] = placement_.height = base;
  const bool ordered = problem_.order.steps == 0 || bodies_.precedence != nullptr;
  if (placement_.heights.size() == 1 && ordered) {
    // A body lives in its hull here, gaps or not.
    Sections apart;
    if (bodies_.precedence != nullptr) apart = FindSections(bodies_.precedence->LivesApart());
    std::vector<Block> blocks;
    std::vector<uint32_t> body_of;
    for (uint32_t b = 0; b < n; ++b) {
      const Body& body = bodies_.bodies[b];
      // Groups may ask for more than an alignment.
      if (placement_.offsets[b] != kNoOffset || body.end_member - body.first_member != 1) continue;
      if (body.height == 0 || body.first_piece == body.end_piece) continue;
      const uint32_t item = bodies_.members[body.first_member].item;
      const SectionRange range = bodies_.precedence == nullptr ? body.hull : apart.ranges[item];
      blocks.push_back({body.height, body.modulus, range});
      body_of.push_back(b);
    }
    std::vector<uint64_t> offsets;
    TlsfInEventOrder(blocks, base, offsets);
    for (size_t k = 0; k < blocks.size(); ++k) {
      placement_.offsets[body_of[k]] = offsets[k];
      placement_.height = std::max(placement_.height, offsets[k] + blocks[k].size);
    }
    placement_.heights[0] = placement_.height;
    if (placement_.height > std::min(capacity, Limit(0))) return false;
  }
  std::vector<uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  return PileUp(order, capacity);
}

}  // namespace tenure::packing
