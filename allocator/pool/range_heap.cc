#include "tenure/allocator/pool/range_heap.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

#include "tenure/base/checked.h"

namespace tenure {
namespace {

// The number of blocks in a bin that are searched for the tightest fit.
constexpr int kLook = 16;
constexpr int kMaxShift = 40;
constexpr int kAll = std::numeric_limits<int>::max();

}  // namespace

RangeHeap::RangeHeap(uint64_t granule_bytes)
    : shift_(granule_bytes <= 1 ? 0 : static_cast<int>(std::bit_width(granule_bytes - 1))) {
  shift_ = std::min(shift_, kMaxShift);
  bins_.fill(kNone);
}

// ------------------------------------------------------------------------------------------------
// bins

//   granules  0 1 2 ... 15 | 16 17 ... 31 | 32 34 ... 62 | 64 68 ... : bins
// The first sixteen bins are exact. From there on, each doubling has sixteen bins.
int RangeHeap::BinOf(uint64_t granules) {
  if (granules < (1 << kBinBits)) return static_cast<int>(granules);
  const int exponent = static_cast<int>(std::bit_width(granules)) - 1 - kBinBits;
  return ((exponent + 1) << kBinBits) +
         static_cast<int>((granules >> exponent) & ((1 << kBinBits) - 1));
}

int RangeHeap::FilledFrom(int bin) const {
  const auto word = static_cast<size_t>(bin) / 64;
  if (word >= kWords) return kBins;
  if (const uint64_t here = filled_[word] >> (bin % 64); here != 0) {
    return bin + std::countr_zero(here);
  }
  if (word + 1 == kWords) return kBins;
  const uint64_t words = filled_words_ >> (word + 1);
  if (words == 0) return kBins;
  const size_t next = word + 1 + static_cast<size_t>(std::countr_zero(words));
  return static_cast<int>(next * 64) + std::countr_zero(filled_[next]);
}

void RangeHeap::Insert(uint32_t node) {
  Node& n = nodes_[node];
  const int bin = BinOfBytes(n.size);
  const auto b = static_cast<size_t>(bin);
  n.bin = static_cast<uint16_t>(bin);
  n.bin_before = kNone;
  n.bin_after = bins_[b];
  if (n.bin_after != kNone) {
    nodes_[n.bin_after].bin_before = node;
  } else {
    filled_[b / 64] |= uint64_t{1} << (b % 64);
    filled_words_ |= uint64_t{1} << (b / 64);
  }
  bins_[b] = node;
}

void RangeHeap::Remove(uint32_t node) {
  const Node& n = nodes_[node];
  const size_t b = n.bin;
  if (n.bin_after != kNone) nodes_[n.bin_after].bin_before = n.bin_before;
  if (n.bin_before != kNone) {
    nodes_[n.bin_before].bin_after = n.bin_after;
    return;
  }
  bins_[b] = n.bin_after;
  if (n.bin_after != kNone) return;
  filled_[b / 64] &= ~(uint64_t{1} << (b % 64));
  if (filled_[b / 64] == 0) filled_words_ &= ~(uint64_t{1} << (b / 64));
}

// ------------------------------------------------------------------------------------------------
// nodes

uint32_t RangeHeap::NewNode(uint64_t address, uint64_t size, uint16_t bin) {
  uint32_t node = unused_;
  if (node != kNone) {
    unused_ = nodes_[node].after;
  } else {
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  nodes_[node] = {address, size, kNone, kNone, kNone, kNone, bin};
  return node;
}

void RangeHeap::DropNode(uint32_t node) {
  nodes_[node].bin = kUnused;
  nodes_[node].after = unused_;
  unused_ = node;
}

void RangeHeap::Link(uint32_t before, uint32_t after) {
  nodes_[before].after = after;
  nodes_[after].before = before;
}

uint32_t RangeHeap::Split(uint32_t node, uint64_t size) {
  const uint32_t rest = NewNode(nodes_[node].address + size, nodes_[node].size - size, kUsed);
  nodes_[node].size = size;
  Link(rest, nodes_[node].after);  // there always is one: the end of the chain
  Link(node, rest);
  return rest;
}

uint32_t RangeHeap::Settle(uint32_t node) {
  auto absorb = [this](uint32_t into, uint32_t after) {
    nodes_[into].size += nodes_[after].size;
    Link(into, nodes_[after].after);
    DropNode(after);
  };
  if (const uint32_t after = nodes_[node].after; nodes_[after].free()) {
    Remove(after);
    absorb(node, after);
  }
  // The lower one stays, so that the first node of a chain never changes.
  if (const uint32_t before = nodes_[node].before; before != kNone && nodes_[before].free()) {
    Remove(before);
    absorb(before, node);
    node = before;
  }
  Insert(node);
  return node;
}

// ------------------------------------------------------------------------------------------------
// blocks

void RangeHeap::Look(int bin, uint64_t size, uint64_t alignment, int limit, Fit& best) const {
  const uint64_t mask = alignment - 1;
  for (uint32_t i = bins_[static_cast<size_t>(bin)]; i != kNone && limit > 0;
       i = nodes_[i].bin_after, --limit) {
    const Node& n = nodes_[i];
    if (n.size < size || n.size > best.size) continue;
    const uint64_t pad = -n.address & mask;
    if (pad > n.size - size) continue;
    if (n.size == best.size && n.address > best.address) continue;
    best = {i, n.address + pad, n.size};
  }
}

RangeHeap::Fit RangeHeap::Find(uint64_t size, uint64_t alignment) const {
  const int own = BinOfBytes(size);
  Fit best;
  for (int bin = FilledFrom(own); bin < kBins; bin = FilledFrom(bin + 1)) {
    Look(bin, size, alignment, kLook, best);
    if (best.node != kNone) return best;
  }
  // Blocks that have not been searched are in this bin, or are too small if their alignment is bad.
  for (int bin = FilledFrom(own); bin < kBins; bin = FilledFrom(bin + 1)) {
    Look(bin, size, alignment, kAll, best);
    if (best.node != kNone) return best;
  }
  return best;
}

std::optional<RangeHeap::Block> RangeHeap::Allocate(uint64_t size_bytes, uint64_t alignment_bytes) {
  uint64_t size;
  const uint64_t alignment = std::max(alignment_bytes, granule_bytes());
  if (size_bytes == 0 || !IsPowerOfTwo(alignment) ||
      (alignment_bytes != 0 && !IsPowerOfTwo(alignment_bytes)) ||
      !CheckedRoundUp(size_bytes, granule_bytes(), &size)) {
    return std::nullopt;
  }
  const Fit fit = Find(size, alignment);
  if (fit.node == kNone) return std::nullopt;
  uint32_t node = fit.node;
  Remove(node);
  nodes_[node].bin = kUsed;
  if (const uint64_t head = fit.address - nodes_[node].address; head > 0) {
    const uint32_t rest = Split(node, head);
    Insert(node);
    node = rest;
  }
  if (nodes_[node].size > size) Insert(Split(node, size));
  free_bytes_ -= size;
  ++used_count_;
  return Block{fit.address, size, node};
}

RangeHeap::Block RangeHeap::Free(uint32_t node) {
  const uint64_t size = BlockAt(node).size_bytes;
  if (size == 0) return {};
  free_bytes_ += size;
  --used_count_;
  node = Settle(node);
  return {nodes_[node].address, nodes_[node].size, node};
}

std::optional<RangeHeap::Block> RangeHeap::AllocateOver(absl::Span<const uint32_t> yielding,
                                                        uint64_t size_bytes,
                                                        uint64_t alignment_bytes,
                                                        std::vector<Cut>& cuts) {
  uint64_t size;
  const uint64_t alignment = std::max(alignment_bytes, granule_bytes());
  if (size_bytes == 0 || !IsPowerOfTwo(alignment) ||
      !CheckedRoundUp(size_bytes, granule_bytes(), &size)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < yielding.size(); ++i) {
    if (BlockAt(yielding[i]).size_bytes == 0) continue;
    Node& node = nodes_[yielding[i]];
    node.bin = kYields;
    node.bin_before = static_cast<uint32_t>(i);  // it is in no bin
  }
  uint32_t best = kNone;
  uint64_t best_begin = 0;
  uint64_t best_size = ~uint64_t{0};
  for (const uint32_t one : yielding) {
    if (one >= nodes_.size() || nodes_[one].bin != kYields) continue;
    // Each stretch is searched from its first yielding block. Free blocks are never neighbours.
    uint32_t first = one;
    uint32_t before = nodes_[one].before;
    if (before != kNone && nodes_[before].free()) {
      first = before;
      before = nodes_[before].before;
    }
    if (before != kNone && nodes_[before].bin == kYields) continue;
    uint64_t length = 0;
    for (uint32_t i = first; nodes_[i].open(); i = nodes_[i].after) length += nodes_[i].size;
    const uint64_t pad = -nodes_[first].address & (alignment - 1);
    if (length < best_size && WindowFits(pad, size, length)) {
      best = first;
      best_begin = nodes_[first].address + pad;
      best_size = length;
    }
  }
  std::optional<Block> block;
  if (best != kNone) block = CutOut(best, best_begin, size, cuts);
  for (const uint32_t one : yielding) {
    if (one < nodes_.size() && nodes_[one].bin == kYields) nodes_[one].bin = kUsed;
  }
  return block;
}

RangeHeap::Block RangeHeap::CutOut(uint32_t first, uint64_t begin, uint64_t size,
                                   std::vector<Cut>& cuts) {
  const uint64_t end = begin + size;
  uint32_t block = kNone;
  uint32_t next = first;
  while (nodes_[next].address < end) {
    uint32_t node = next;
    next = nodes_[node].after;
    const uint64_t node_end = nodes_[node].address + nodes_[node].size;
    if (node_end <= begin) continue;
    const bool was_free = nodes_[node].free();
    Cut cut;
    if (was_free) {
      Remove(node);
    } else {
      cut.index = nodes_[node].bin_before;
    }
    nodes_[node].bin = kUsed;
    if (nodes_[node].address < begin) {
      const uint32_t rest = Split(node, begin - nodes_[node].address);
      if (was_free) {
        Insert(node);
      } else {
        cut.front = {nodes_[node].address, nodes_[node].size, node};
        ++used_count_;
      }
      node = rest;
    }
    if (node_end > end) {
      const uint32_t rest = Split(node, end - nodes_[node].address);
      if (was_free) {
        Insert(rest);
      } else {
        cut.back = {nodes_[rest].address, nodes_[rest].size, rest};
        ++used_count_;
      }
    }
    const uint64_t taken = nodes_[node].size;
    if (was_free) {
      free_bytes_ -= taken;
    } else {
      --used_count_;
      cut.taken_bytes = taken;
      cuts.push_back(cut);
    }
    if (block == kNone) {
      block = node;
    } else {
      nodes_[block].size += taken;
      Link(block, nodes_[node].after);
      DropNode(node);
    }
  }
  ++used_count_;
  return {begin, size, block};
}

uint64_t RangeHeap::largest_free_bytes() const {
  if (filled_words_ == 0) return 0;
  const auto word = static_cast<size_t>(std::bit_width(filled_words_) - 1);
  const size_t bin = word * 64 + static_cast<size_t>(std::bit_width(filled_[word]) - 1);
  uint64_t largest = 0;
  for (uint32_t i = bins_[bin]; i != kNone; i = nodes_[i].bin_after) {
    largest = std::max(largest, nodes_[i].size);
  }
  return largest;
}

// ------------------------------------------------------------------------------------------------
// ranges

bool RangeHeap::AddRange(uint64_t begin, uint64_t size_bytes, bool joins) {
  uint64_t end;
  if (size_bytes == 0 || !IsWhole(begin) || !IsWhole(size_bytes) ||
      !CheckedAdd(begin, size_bytes, &end)) {
    return false;
  }
  const auto above = chains_.lower_bound(begin);
  if (above != chains_.end() && above->first < end) return false;
  auto below = above == chains_.begin() ? chains_.end() : std::prev(above);
  if (below != chains_.end()) {
    const uint64_t below_end = nodes_[below->second.end].address;
    if (below_end > begin) return false;
    if (below_end < begin || !joins) below = chains_.end();
  }
  const uint32_t node = NewNode(begin, size_bytes, kUsed);
  if (below == chains_.end()) {
    const uint32_t sentinel = NewNode(end, 0, kEnd);
    Link(node, sentinel);
    below = chains_.emplace(begin, Chain{node, sentinel, joins}).first;
  } else {
    const uint32_t sentinel = below->second.end;
    Link(nodes_[sentinel].before, node);
    Link(node, sentinel);
    nodes_[sentinel].address = end;
  }
  if (above != chains_.end() && above->first == end && joins && above->second.joins) {
    DropNode(below->second.end);
    Link(node, above->second.first);
    below->second.end = above->second.end;
    chains_.erase(above);
  }
  total_bytes_ += size_bytes;
  free_bytes_ += size_bytes;
  Settle(node);
  return true;
}

uint32_t RangeHeap::FindFreeHolding(uint64_t begin, uint64_t size) const {
  for (int bin = FilledFrom(BinOfBytes(size)); bin < kBins; bin = FilledFrom(bin + 1)) {
    for (uint32_t i = bins_[static_cast<size_t>(bin)]; i != kNone; i = nodes_[i].bin_after) {
      if (nodes_[i].address <= begin &&
          WindowFits(begin - nodes_[i].address, size, nodes_[i].size)) {
        return i;
      }
    }
  }
  return kNone;
}

bool RangeHeap::RemoveRange(uint64_t begin, uint64_t size_bytes) {
  if (size_bytes == 0 || !IsWhole(begin) || !IsWhole(size_bytes)) return false;
  uint32_t node = FindFreeHolding(begin, size_bytes);
  if (node == kNone) return false;
  const auto chain = std::prev(chains_.upper_bound(begin));
  Remove(node);
  nodes_[node].bin = kUsed;
  if (const uint64_t head = begin - nodes_[node].address; head > 0) {
    const uint32_t rest = Split(node, head);
    Insert(node);
    node = rest;
  }
  if (nodes_[node].size > size_bytes) Insert(Split(node, size_bytes));
  const uint32_t before = nodes_[node].before;
  const uint32_t after = nodes_[node].after;
  const uint32_t sentinel = chain->second.end;
  if (before == kNone) {
    chains_.erase(chain);
  } else {
    const uint32_t end = NewNode(begin, 0, kEnd);
    Link(before, end);
    chain->second.end = end;
  }
  if (after == sentinel) {
    DropNode(sentinel);
  } else {
    nodes_[after].before = kNone;
    chains_.emplace(nodes_[after].address, Chain{after, sentinel, true});
  }
  DropNode(node);
  total_bytes_ -= size_bytes;
  free_bytes_ -= size_bytes;
  return true;
}

uint64_t RangeHeap::FreeBytesBefore(uint64_t end) const {
  const auto above = chains_.lower_bound(end);
  if (above == chains_.begin()) return 0;
  const Node& sentinel = nodes_[std::prev(above)->second.end];
  if (sentinel.address != end) return 0;
  const Node& last = nodes_[sentinel.before];
  return last.free() ? last.size : 0;
}

}  // namespace tenure
