#include "tenure/planner/packing/validator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/packing/sort_by_key.h"

namespace tenure::packing {
namespace {

// Bytes of an item during a part of its life: a rectangle of addresses and time.
struct Piece {
  uint64_t begin, end;  // addresses
  Time first, last;
  uint32_t item, arena;
};

absl::Status Wrong(const std::string& what) {
  return absl::InternalError(absl::StrCat("packing is wrong: ", what));
}

std::string Describe(const Piece& p) {
  return absl::StrCat("item ", p.item, " [", p.begin, ", ", p.end, ")");
}

// Items that bring no bytes are left out; so are the parts of lives that gaps free.
std::vector<Piece> MakePieces(const Problem& problem, const Packing& packing,
                              std::vector<Gap> gaps) {
  std::vector<Piece> pieces;
  pieces.reserve(problem.items.size() + 2 * gaps.size());
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
    const Piece whole{at, at + item.size, item.first, item.last, i, packing.arena(i)};
    Piece part = whole;
    while (gap != gaps.end() && gap->item < i) ++gap;
    for (; gap != gaps.end() && gap->item == i; ++gap) {
      part.last = gap->first;
      if (part.first < part.last) pieces.push_back(part);
      if (gap->window_begin < gap->window_end) {
        pieces.push_back(
            {at + gap->window_begin, at + gap->window_end, gap->first, gap->last, i, whole.arena});
      }
      part.first = gap->last;
    }
    part.last = whole.last;
    if (part.first < part.last) pieces.push_back(part);
  }
  return pieces;
}

// The highest byte so far at each moment. Offsets below 2^63 only.
class FlatFloor {
 public:
  explicit FlatFloor(size_t moments) : value_(moments) {}
  void Clear() { std::fill(value_.begin(), value_.end(), 0); }

  // Lays [begin, end) on the floor over the moments [l, r). False if the floor
  // is above `begin` somewhere.
  bool Lay(size_t l, size_t r, uint64_t begin, uint64_t end) {
    // Without branches, four at a time: a difference is negative where the floor is above.
    uint64_t* at = value_.data() + l;
    uint64_t* const stop = value_.data() + r;
    std::array<uint64_t, 4> signs{};
    for (; stop - at >= 4; at += 4) {
      for (size_t k = 0; k < 4; ++k) signs[k] |= begin - at[k];
      for (size_t k = 0; k < 4; ++k) at[k] = end;
    }
    for (; at != stop; ++at) {
      signs[0] |= begin - *at;
      *at = end;
    }
    return static_cast<int64_t>(signs[0] | signs[1] | signs[2] | signs[3]) >= 0;
  }

 private:
  std::vector<uint64_t> value_;
};

// Up to so many moments a piece, looking at each is cheaper than finding the steps among them.
constexpr uint64_t kFewMoments = 100;

// The same for long lives, as a step function: a set of the
// moments at which it changes (bits, with summaries for finding the next one)
// and a value for each. A piece that is laid on top replaces the steps beneath
// it, so every step is looked at once.
class StepFloor {
 public:
  explicit StepFloor(size_t moments) : count_(moments), value_(moments) {
    for (size_t size = moments;; size = words_.back().size()) {
      words_.emplace_back((size + 63) / 64);
      if (words_.back().size() <= 1) break;
    }
    Insert(0);
  }

  void Clear() {
    for (size_t step = After(0); step < count_; step = After(step)) Erase(step);
    value_[0] = 0;
  }

  bool Lay(size_t l, size_t r, uint64_t begin, uint64_t end) {
    const size_t first = AtOrBefore(l);
    if (value_[first] > begin) return false;
    uint64_t last_value = value_[first];
    for (size_t step = After(first); step < r; step = After(step)) {
      if (value_[step] > begin) return false;
      last_value = value_[step];
      Erase(step);
    }
    if (r < count_ && !Contains(r)) {
      Insert(r);
      value_[r] = last_value;
    }
    if (first != l) Insert(l);
    value_[l] = end;
    return true;
  }

 private:
  bool Contains(size_t x) const { return ((words_[0][x / 64] >> (x % 64)) & 1) != 0; }
  void Insert(size_t x) {
    for (std::vector<uint64_t>& level : words_) {
      level[x / 64] |= uint64_t{1} << (x % 64);
      x /= 64;
    }
  }
  void Erase(size_t x) {
    for (std::vector<uint64_t>& level : words_) {
      level[x / 64] &= ~(uint64_t{1} << (x % 64));
      if (level[x / 64] != 0) return;
      x /= 64;
    }
  }
  // Zero is always there.
  size_t AtOrBefore(size_t x) const {
    for (size_t k = 0; k < words_.size(); ++k) {
      const uint64_t bits = words_[k][x / 64] << (63 - x % 64);
      if (bits != 0) {
        x -= static_cast<size_t>(std::countl_zero(bits));
        while (k-- > 0) {
          x = x * 64 + 63 - static_cast<size_t>(std::countl_zero(words_[k][x]));
        }
        return x;
      }
      if (x / 64 == 0) break;
      x = x / 64 - 1;
    }
    return 0;
  }
  // count_ if there is none.
  size_t After(size_t x) const {
    ++x;
    for (size_t k = 0; k < words_.size(); ++k) {
      if (x / 64 >= words_[k].size()) return count_;
      const uint64_t bits = words_[k][x / 64] >> (x % 64);
      if (bits != 0) {
        x += static_cast<size_t>(std::countr_zero(bits));
        while (k-- > 0) {
          x = x * 64 + static_cast<size_t>(std::countr_zero(words_[k][x]));
        }
        return x;
      }
      x = x / 64 + 1;
    }
    return count_;
  }

  size_t count_;
  std::vector<uint64_t> value_;               // of each step
  std::vector<std::vector<uint64_t>> words_;  // the steps; above: words in use
};

// A piece as it is laid: over moments instead of times.
struct Slab {
  uint64_t begin, end;
  uint32_t first, last;  // moments
  uint32_t piece, arena;
};

// Sets the moments of all slabs, which are in the order of the pieces, and returns how many there
// are. Dense times are used as they are.
size_t SetMoments(const std::vector<Piece>& pieces, std::vector<Slab>& slabs) {
  Time low = std::numeric_limits<Time>::max(), high = std::numeric_limits<Time>::min();
  for (const Piece& p : pieces) {
    low = std::min(low, p.first);
    high = std::max(high, p.last);
  }
  const uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (span <= std::min<uint64_t>(8 * pieces.size(), std::numeric_limits<uint32_t>::max())) {
    for (size_t p = 0; p < pieces.size(); ++p) {
      slabs[p].first = static_cast<uint32_t>(pieces[p].first - low);
      slabs[p].last = static_cast<uint32_t>(pieces[p].last - low);
    }
    return span;
  }
  std::vector<Keyed> times;
  times.reserve(2 * pieces.size());
  for (uint32_t p = 0; p < pieces.size(); ++p) {
    times.push_back({KeyOf(pieces[p].first), 2 * p});
    times.push_back({KeyOf(pieces[p].last), 2 * p + 1});
  }
  SortByKey(times);
  uint32_t moment = 0;
  for (size_t k = 0; k < times.size(); ++k) {
    if (k > 0 && times[k].key != times[k - 1].key) ++moment;
    Slab& slab = slabs[times[k].index / 2];
    (times[k].index % 2 == 0 ? slab.first : slab.last) = moment;
  }
  return moment + 1;
}

// Slabs by arena and begin.
std::vector<Slab> SortedByPlace(const std::vector<Slab>& slabs) {
  std::vector<Keyed> places;
  places.reserve(slabs.size());
  bool several = false;
  for (uint32_t k = 0; k < slabs.size(); ++k) {
    places.push_back({slabs[k].begin, k});
    several |= slabs[k].arena != slabs[0].arena;
  }
  SortByKey(places);
  if (several) {  // the order by begin is kept within each
    for (Keyed& place : places) place.key = slabs[place.index].arena;
    SortByKey(places);
  }
  std::vector<Slab> sorted;
  sorted.reserve(slabs.size());
  for (const Keyed& place : places) sorted.push_back(slabs[place.index]);
  return sorted;
}

// The culprit for a slab that starts below the floor.
absl::Status Overlap(const std::vector<Piece>& pieces, const std::vector<Slab>& slabs, size_t at) {
  const Piece& piece = pieces[slabs[at].piece];
  for (size_t k = 0; k < at; ++k) {
    const Piece& below = pieces[slabs[k].piece];
    if (below.arena != piece.arena || below.end <= piece.begin || below.first >= piece.last ||
        below.last <= piece.first) {
      continue;
    }
    return Wrong(absl::StrCat("items ", below.item, " and ", piece.item,
                              " overlap: ", Describe(below), " and ", Describe(piece), " of arena ",
                              piece.arena, " both hold byte ", piece.begin, " at time ",
                              std::max(below.first, piece.first)));
  }
  return Wrong(absl::StrCat(Describe(piece), " overlaps what lies beneath"));
}

template <typename AnyFloor>
absl::Status LayAll(AnyFloor floor, const std::vector<Piece>& pieces,
                    const std::vector<Slab>& slabs) {
  for (size_t k = 0; k < slabs.size(); ++k) {
    const Slab& slab = slabs[k];
    if (k > 0 && slab.arena != slabs[k - 1].arena) {
      floor.Clear();
    } else if (k > 0 && slab.begin < slabs[k - 1].begin) {
      return Wrong("its pieces were not sorted");  // or nothing that follows would mean anything
    }
    if (!floor.Lay(slab.first, slab.last, slab.begin, slab.end)) return Overlap(pieces, slabs, k);
  }
  return absl::OkStatus();
}

absl::Status CheckIntervals(const std::vector<Piece>& pieces) {
  if (pieces.empty()) return absl::OkStatus();
  std::vector<Slab> slabs;
  slabs.reserve(pieces.size());
  for (uint32_t p = 0; p < pieces.size(); ++p) {
    slabs.push_back({pieces[p].begin, pieces[p].end, 0, 0, p, pieces[p].arena});
  }
  const size_t moments = SetMoments(pieces, slabs);
  slabs = SortedByPlace(slabs);
  uint64_t total = 0, top = 0;
  for (const Slab& slab : slabs) {
    total += slab.last - slab.first;
    top = std::max(top, slab.end);
  }
  if (total <= kFewMoments * slabs.size() && top >> 63 == 0)
    return LayAll(FlatFloor(moments), pieces, slabs);
  return LayAll(StepFloor(moments), pieces, slabs);
}

// The steps at the other ends of each step's edges.
class Neighbours {
 public:
  using End = uint32_t PartialOrder::Edge::*;
  Neighbours(const PartialOrder& order, End of, End other)
      : start_(order.steps + 1), steps_(order.edges.size()) {
    for (const PartialOrder::Edge& e : order.edges) ++start_[e.*of + 1];
    for (uint32_t s = 0; s < order.steps; ++s) start_[s + 1] += start_[s];
    std::vector<size_t> next(start_.begin(), start_.end() - 1);
    for (const PartialOrder::Edge& e : order.edges) steps_[next[e.*of]++] = e.*other;
  }
  std::span<const uint32_t> Of(uint32_t step) const {
    return {steps_.data() + start_[step], start_[step + 1] - start_[step]};
  }

 private:
  std::vector<size_t> start_;
  std::vector<uint32_t> steps_;
};

// For every step and chain of steps, how many steps of the chain come before: a clock as in
// distributed systems.
class VectorClock {
 public:
  explicit VectorClock(const PartialOrder& order) {
    const Neighbours before(order, &PartialOrder::Edge::after, &PartialOrder::Edge::before);
    const Neighbours after(order, &PartialOrder::Edge::before, &PartialOrder::Edge::after);
    std::vector<size_t> waiting(order.steps);
    std::vector<uint32_t> ready;
    for (uint32_t s = 0; s < order.steps; ++s) {
      waiting[s] = before.Of(s).size();
      if (waiting[s] == 0) ready.push_back(s);
    }
    chain_.resize(order.steps);
    number_.resize(order.steps);
    std::vector<uint32_t> length;  // of each chain
    std::vector<uint32_t> tail;    // its last step
    for (size_t k = 0; k < ready.size(); ++k) {
      const uint32_t s = ready[k];
      for (uint32_t t : after.Of(s)) {
        if (--waiting[t] == 0) ready.push_back(t);
      }
      chain_[s] = static_cast<uint32_t>(tail.size());
      for (uint32_t b : before.Of(s)) {
        if (tail[chain_[b]] == b) chain_[s] = chain_[b];
      }
      if (chain_[s] == tail.size()) {
        tail.push_back(s);
        length.push_back(0);
      }
      tail[chain_[s]] = s;
      number_[s] = ++length[chain_[s]];
    }
    place_.resize(order.steps);
    for (uint32_t k = 0; k < ready.size(); ++k) place_[ready[k]] = k;
    chains_ = tail.size();
    seen_.assign(order.steps * chains_, 0);
    for (uint32_t s : ready) {
      uint32_t* mine = &seen_[s * chains_];
      for (uint32_t b : before.Of(s)) {
        const uint32_t* theirs = &seen_[b * chains_];
        for (size_t c = 0; c < chains_; ++c) mine[c] = std::max(mine[c], theirs[c]);
        mine[chain_[b]] = std::max(mine[chain_[b]], number_[b]);
      }
    }
  }

  // Of a step in a legal order.
  uint32_t Place(uint32_t step) const { return place_[step]; }
  size_t chains() const { return chains_; }
  uint32_t Chain(uint32_t step) const { return chain_[step]; }
  uint32_t Number(uint32_t step) const { return number_[step]; }  // within its chain, from 1
  // How many steps of each chain come before.
  std::span<const uint32_t> Seen(uint32_t step) const {
    return {seen_.data() + step * chains_, chains_};
  }

 private:
  size_t chains_ = 0;
  std::vector<uint32_t> chain_, number_, place_, seen_;
};

// Which items may share bytes: those of which one is done with before the other begins. Of the uses
// in a chain, the last one is what others wait for, and the first one is where the item begins.
class Sharing {
 public:
  explicit Sharing(const Problem& problem)
      : clock_(problem.order), start_(problem.items.size() + 1), rows_(problem.items.size()) {
    for (const PartialOrder::Use& u : problem.order.uses) ++start_[u.item + 1];
    for (size_t i = 0; i < problem.items.size(); ++i) start_[i + 1] += start_[i];
    uses_.resize(problem.order.uses.size());
    std::vector<size_t> next(start_.begin(), start_.end() - 1);
    for (const PartialOrder::Use& u : problem.order.uses) uses_[next[u.item]++] = u.step;
    for (size_t i = 0; i < problem.items.size(); ++i) {
      std::sort(uses_.begin() + static_cast<ptrdiff_t>(start_[i]),
                uses_.begin() + static_cast<ptrdiff_t>(start_[i + 1]), [&](uint32_t a, uint32_t b) {
                  return std::pair(clock_.Chain(a), clock_.Number(a)) <
                         std::pair(clock_.Chain(b), clock_.Number(b));
                });
    }
  }

  bool Precedes(uint32_t a, uint32_t b) {
    if (start_[a] == start_[a + 1] || start_[b] == start_[b + 1]) return false;
    if (start_[b + 1] - start_[b] > kFewUses) {
      const std::vector<uint32_t>& row = Row(b);
      return IsDoneBy(a, row);
    }
    for (size_t k = start_[b]; k < start_[b + 1]; ++k) {
      if (IsFirst(b, k) && !IsDoneBy(a, clock_.Seen(uses_[k]))) return false;
    }
    return true;
  }

  // When the item is used first in a legal order.
  uint32_t Begin(uint32_t item) const {
    uint32_t begin = ~uint32_t{0};
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      begin = std::min(begin, clock_.Place(uses_[k]));
    }
    return begin;
  }

 private:
  static constexpr size_t kFewUses = 8;

  // Of its chain, among the uses of the item.
  bool IsFirst(uint32_t item, size_t k) const {
    return k == start_[item] || clock_.Chain(uses_[k]) != clock_.Chain(uses_[k - 1]);
  }
  bool IsDoneBy(uint32_t item, std::span<const uint32_t> seen) const {
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      const bool last =
          k + 1 == start_[item + 1] || clock_.Chain(uses_[k]) != clock_.Chain(uses_[k + 1]);
      if (last && seen[clock_.Chain(uses_[k])] < clock_.Number(uses_[k])) return false;
    }
    return true;
  }
  // How many steps of each chain come before all uses of the item.
  const std::vector<uint32_t>& Row(uint32_t item) {
    std::vector<uint32_t>& row = rows_[item];
    if (!row.empty()) return row;
    row.assign(clock_.chains(), ~uint32_t{0});
    for (size_t k = start_[item]; k < start_[item + 1]; ++k) {
      if (!IsFirst(item, k)) continue;
      const std::span<const uint32_t> seen = clock_.Seen(uses_[k]);
      for (size_t c = 0; c < row.size(); ++c) row[c] = std::min(row[c], seen[c]);
    }
    return row;
  }

  VectorClock clock_;
  std::vector<size_t> start_;
  std::vector<uint32_t> uses_;               // by item, chain and number
  std::vector<std::vector<uint32_t>> rows_;  // made when first asked for
};

// Going up the addresses: what holds the byte, in the order of first use. As what precedes what
// precedes something precedes that, too, it is enough that neighbours do so.
absl::Status CheckShared(const Problem& problem, const std::vector<Piece>& pieces) {
  Sharing sharing(problem);
  using Holder = std::pair<uint32_t, uint32_t>;  // first use, piece
  std::set<Holder> holders;
  std::vector<std::set<Holder>::iterator> place(pieces.size());
  auto check = [&](const Holder& before, const Holder& after) {
    const Piece &a = pieces[before.second], &b = pieces[after.second];
    if (sharing.Precedes(a.item, b.item)) return absl::OkStatus();
    return Wrong(absl::StrCat("items ", a.item, " and ", b.item, " overlap: ", Describe(a), " and ",
                              Describe(b), " of arena ", a.arena,
                              " share bytes, but steps that use them are not ordered"));
  };
  // By arena and address; what ends at an address goes before anything begins there.
  std::vector<uint32_t> ends(pieces.size());
  std::iota(ends.begin(), ends.end(), 0u);
  std::sort(ends.begin(), ends.end(), [&pieces](uint32_t a, uint32_t b) {
    if (pieces[a].arena != pieces[b].arena) return pieces[a].arena < pieces[b].arena;
    return pieces[a].end < pieces[b].end;
  });
  size_t e = 0;
  for (uint32_t p = 0; p < pieces.size(); ++p) {
    const Piece& piece = pieces[p];
    for (;; ++e) {
      const Piece& gone = pieces[ends[e]];
      if (gone.arena > piece.arena || (gone.arena == piece.arena && gone.end > piece.begin)) break;
      holders.erase(place[ends[e]]);  // its neighbours are in order by way of it
    }
    const auto at = holders.insert({sharing.Begin(piece.item), p}).first;
    place[p] = at;
    if (at != holders.begin()) {
      if (absl::Status s = check(*std::prev(at), *at); !s.ok()) return s;
    }
    if (std::next(at) != holders.end()) {
      if (absl::Status s = check(*at, *std::next(at)); !s.ok()) return s;
    }
  }
  return absl::OkStatus();
}

absl::Status CheckOrdered(const Problem& problem, std::vector<Piece> pieces) {
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return a.arena != b.arena ? a.arena < b.arena : a.begin < b.begin;
  });
  // Where no byte is shared, the order does not matter.
  uint64_t top = 0;
  for (size_t p = 0; p < pieces.size(); ++p) {
    if (p > 0 && pieces[p].arena != pieces[p - 1].arena) top = 0;
    if (pieces[p].begin < top) return CheckShared(problem, pieces);
    top = std::max(top, pieces[p].end);
  }
  return absl::OkStatus();
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
    return Wrong("the heights of its arenas are not what its offsets say");
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
  if (absl::Status s = CheckPlaces(problem, packing); !s.ok()) return s;
  if (absl::Status s = CheckHeights(problem, packing); !s.ok()) return s;
  if (problem.order.steps > 0) return CheckOrdered(problem, MakePieces(problem, packing, {}));
  // Gaps only free bytes: a packing that makes no use of them is seen to be right without.
  if (!problem.gaps.empty() && CheckIntervals(MakePieces(problem, packing, {})).ok()) {
    return absl::OkStatus();
  }
  return CheckIntervals(MakePieces(problem, packing, problem.gaps));
}

}  // namespace tenure::packing
