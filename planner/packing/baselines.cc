#include "tenure/planner/packing/baselines.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <numeric>
#include <vector>

#include "tenure/planner/packing/alignment.h"

namespace tenure::packing {
namespace {

constexpr uint32_t kNil = ~uint32_t{0};
constexpr int kSecondLevelBits = 5;
constexpr uint32_t kSecondLevel = 1u << kSecondLevelBits;

// A two-level segregated fit over an unlimited address space.
class Tlsf {
 public:
  explicit Tlsf(uint64_t base) {
    heads_.fill(kNil);
    spans_.push_back({base, kUnlimited - base, kNil, kNil, kNil, kNil, false});
    Link(0);
  }

  // Returns the span. Its offset is aligned.
  uint32_t Allocate(uint64_t size, uint64_t alignment) {
    const uint64_t wanted = size + (alignment - 1);
    uint32_t s = kNil;
    for (uint32_t bin = RoundedBin(wanted); s == kNil; ++bin) {
      bin = NextUsed(bin);
      s = heads_[bin];
    }
    Unlink(s);
    spans_[s].used = true;
    const uint64_t aligned = AlignUp(spans_[s].offset, alignment);
    if (aligned > spans_[s].offset) {
      const uint32_t rest = Cut(s, aligned - spans_[s].offset);
      spans_[s].used = false;
      Link(s);
      spans_[rest].used = true;
      s = rest;
    }
    if (spans_[s].size > size) {
      const uint32_t rest = Cut(s, size);
      spans_[rest].used = false;
      Link(rest);
    }
    return s;
  }

  void Free(uint32_t s) {
    spans_[s].used = false;
    const uint32_t right = spans_[s].right;
    if (right != kNil && !spans_[right].used) {
      Unlink(right);
      Absorb(s, right);
    }
    const uint32_t left = spans_[s].left;
    if (left != kNil && !spans_[left].used) {
      Unlink(left);
      Absorb(left, s);
      Link(left);
    } else {
      Link(s);
    }
  }

  uint64_t offset(uint32_t s) const { return spans_[s].offset; }

 private:
  struct Span {
    uint64_t offset, size;
    uint32_t left, right;     // neighbours by address
    uint32_t previous, next;  // in the same bin
    bool used;
  };

  static uint32_t Bin(uint64_t size) {
    const int log = std::bit_width(size) - 1;
    if (log < kSecondLevelBits) return static_cast<uint32_t>(size);
    return (static_cast<uint32_t>(log - kSecondLevelBits + 1) << kSecondLevelBits) +
           static_cast<uint32_t>((size >> (log - kSecondLevelBits)) & (kSecondLevel - 1));
  }
  // Returns the first bin in which every span is large enough.
  static uint32_t RoundedBin(uint64_t size) {
    const int log = std::bit_width(size) - 1;
    if (log > kSecondLevelBits) size += (uint64_t{1} << (log - kSecondLevelBits)) - 1;
    return Bin(size);
  }
  uint32_t NextUsed(uint32_t bin) const {
    size_t word = bin / 64;
    uint64_t bits = used_bins_[word] & (~uint64_t{0} << (bin % 64));
    while (bits == 0) bits = used_bins_[++word];  // stops, since the last span is never used up
    return static_cast<uint32_t>(word * 64) + static_cast<uint32_t>(std::countr_zero(bits));
  }
  void Link(uint32_t s) {
    const uint32_t bin = Bin(spans_[s].size);
    spans_[s].previous = kNil;
    spans_[s].next = heads_[bin];
    if (heads_[bin] != kNil) spans_[heads_[bin]].previous = s;
    heads_[bin] = s;
    used_bins_[bin / 64] |= uint64_t{1} << (bin % 64);
  }
  void Unlink(uint32_t s) {
    const Span& span = spans_[s];
    if (span.next != kNil) spans_[span.next].previous = span.previous;
    if (span.previous != kNil) {
      spans_[span.previous].next = span.next;
    } else {
      const uint32_t bin = Bin(span.size);
      heads_[bin] = span.next;
      if (span.next == kNil) used_bins_[bin / 64] &= ~(uint64_t{1} << (bin % 64));
    }
  }
  // Keeps the first `size` bytes of s and returns the span of the rest.
  uint32_t Cut(uint32_t s, uint64_t size) {
    uint32_t rest;
    if (!spare_.empty()) {
      rest = spare_.back();
      spare_.pop_back();
    } else {
      rest = static_cast<uint32_t>(spans_.size());
      spans_.push_back({});
    }
    Span& span = spans_[s];
    spans_[rest] = {span.offset + size, span.size - size, s, span.right, kNil, kNil, false};
    if (span.right != kNil) spans_[span.right].left = rest;
    span.right = rest;
    span.size = size;
    return rest;
  }
  void Absorb(uint32_t s, uint32_t right) {
    spans_[s].size += spans_[right].size;
    spans_[s].right = spans_[right].right;
    if (spans_[right].right != kNil) spans_[spans_[right].right].left = s;
    spare_.push_back(right);
  }

  std::vector<Span> spans_;
  std::vector<uint32_t> spare_;
  std::array<uint32_t, 64 * kSecondLevel> heads_;
  std::array<uint64_t, kSecondLevel> used_bins_{};
};

}  // namespace

void TlsfInEventOrder(const std::vector<Rectangle>& rectangles, uint64_t base,
                      std::vector<uint64_t>& offsets) {
  offsets.resize(rectangles.size(), kNoOffset);
  // Sorts rectangles by begin and by end. Sections are small numbers, so counting is enough.
  uint32_t sections = 0;
  for (const Rectangle& rectangle : rectangles) {
    sections = std::max(sections, rectangle.range.end);
  }
  // The fields that are needed later are copied, because in this order the rectangles are far apart
  // in memory.
  struct Event {
    uint32_t section, rectangle;
    uint64_t size, alignment;
  };
  auto sorted = [&](uint32_t SectionRange::*key) {
    std::vector<uint32_t> next(sections + 2);
    for (uint32_t b = 0; b < rectangles.size(); ++b) {
      if (offsets[b] == kNoOffset) ++next[rectangles[b].range.*key + 1];
    }
    for (size_t s = 1; s < next.size(); ++s) next[s] += next[s - 1];
    std::vector<Event> order(next.back());
    for (uint32_t b = 0; b < rectangles.size(); ++b) {
      if (offsets[b] != kNoOffset) continue;
      const uint32_t section = rectangles[b].range.*key;
      order[next[section]++] = {section, b, rectangles[b].size, rectangles[b].alignment};
    }
    return order;
  };
  const std::vector<Event> starts = sorted(&SectionRange::begin);
  const std::vector<Event> ends = sorted(&SectionRange::end);
  Tlsf tlsf(base);
  std::vector<uint32_t> span_of(rectangles.size());
  size_t e = 0;
  for (const Event& start : starts) {
    while (ends[e].section <= start.section) tlsf.Free(span_of[ends[e++].rectangle]);
    const uint32_t span = tlsf.Allocate(start.size, start.alignment);
    span_of[start.rectangle] = span;
    offsets[start.rectangle] = tlsf.offset(span);
  }
}

std::vector<uint64_t> GreedyBySize(const std::vector<Rectangle>& rectangles) {
  std::vector<uint32_t> order(rectangles.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return rectangles[a].size > rectangles[b].size; });
  std::vector<uint64_t> offsets(rectangles.size(), kNoOffset);
  std::vector<uint32_t> placed;  // by offset
  for (uint32_t b : order) {
    const Rectangle& rectangle = rectangles[b];
    uint64_t best = kNoOffset, best_gap = kUnlimited, top = 0;
    for (uint32_t p : placed) {
      const SectionRange& other = rectangles[p].range;
      if (other.begin >= rectangle.range.end || other.end <= rectangle.range.begin) continue;
      const uint64_t at = AlignUp(top, rectangle.alignment);
      if (offsets[p] >= at + rectangle.size && offsets[p] - top < best_gap) {
        best = at;
        best_gap = offsets[p] - top;
      }
      top = std::max(top, offsets[p] + rectangles[p].size);
    }
    offsets[b] = best != kNoOffset ? best : AlignUp(top, rectangle.alignment);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), b,
                                   [&](uint32_t x, uint32_t y) { return offsets[x] < offsets[y]; }),
                  b);
  }
  return offsets;
}

}  // namespace tenure::packing
