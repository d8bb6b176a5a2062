// RangeHeap: hands out parts of address ranges that it was given.
//
// Why: memory of devices can't hold the bookkeeping of a heap, and taking it from a driver costs
// microseconds to milliseconds. So the book is kept here, in host memory: addresses are numbers,
// their bytes are never touched.
//
//   AddRange(0, 8K)   AddRange(8K, 4K, joins)   AddRange(1M, 4K)
//   0 [ used | free |  used                | free ] 12K      1M [ free ] +4K
//                    8K: blocks may span it
//
// Every block, used or free, is a node in one vector, linked by index to its neighbours in address,
// with which a freed one merges at once. Free blocks hang in bins of their size, sixteen to each
// doubling, found through a bitmap of bitmaps. A request looks at a few blocks of its own bin and
// of the next filled one, and takes the tightest; only before it says no, it looks at all that
// could do. So it never says no while one block would do.
//
// Example:
//   RangeHeap heap;
//   heap.AddRange(base, 64 << 20, /*joins=*/false);
//   std::optional<RangeHeap::Block> block = heap.Allocate(5000, 256);
//   if (!block.has_value()) return GrowFirst();
//   Use(block->address);
//   heap.Free(block->node);
//
// Cost: Allocate and Free some tens of nanoseconds, whatever the number of blocks, and no
// allocation once the vector has grown; 40 bytes a block. Adding and removing ranges: a search of
// the ranges, and of the free blocks that are at least as large as the removed range.
// Thread safety: thread-compatible. Ownership: none; addresses are numbers.
// Errors: what can't be done changes nothing, and the result says so.

#ifndef TENURE_ALLOCATOR_POOL_RANGE_HEAP_H_
#define TENURE_ALLOCATOR_POOL_RANGE_HEAP_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/types/span.h"

namespace tenure {

class RangeHeap {
 public:
  static constexpr uint64_t kDefaultGranule = 256;

  struct Block {
    uint64_t address = 0;
    uint64_t size_bytes = 0;  // at least what was asked for: whole granules
    uint32_t node = 0;        // the heap's own
  };

  // Sizes and addresses of blocks are multiples of the granule: a power of two (the next one is
  // taken otherwise).
  explicit RangeHeap(uint64_t granule_bytes = kDefaultGranule);

  // Gives the heap [begin, begin + size_bytes). Where `joins`, blocks may span it and the range
  // that ends at `begin`, and it and the one that begins at its end if that was added so too.
  // False, and nothing is added: empty, not whole granules, ends beyond 2^64 - 1, or overlaps a
  // range that is here already.
  bool AddRange(uint64_t begin, uint64_t size_bytes, bool joins);

  // Takes a range out that lies within one free block; what is around it stays. False, and nothing
  // changes: it is not wholly free, or not whole granules.
  bool RemoveRange(uint64_t begin, uint64_t size_bytes);

  // None: no free block can hold that many bytes so aligned, or size_bytes is 0, or the alignment
  // is not a power of two (0 is taken for 1).
  std::optional<Block> Allocate(uint64_t size_bytes, uint64_t alignment_bytes);

  // What is left of a yielding block that gave up some of its bytes.
  struct Cut {
    size_t index = 0;  // of the block in `yielding`
    uint64_t taken_bytes = 0;
    Block front, back;  // in use as before; of size 0: none
  };
  // A block that may lie over free bytes and over blocks in use that yield, by their nodes, where
  // these are next to each other: in the tightest such stretch. `cuts`: of those that it took bytes
  // of; their nodes are no longer good. None: no such stretch, and nothing has changed. Cost:
  // linear in the yielding blocks.
  std::optional<Block> AllocateOver(absl::Span<const uint32_t> yielding, uint64_t size_bytes,
                                    uint64_t alignment_bytes, std::vector<Cut>& cuts);

  // Takes a block back. The free block that it is part of now; of size 0 if `node` is not in use,
  // in which case nothing has changed.
  Block Free(uint32_t node);

  // The block in use that has this node; of size 0 if none has.
  Block BlockAt(uint32_t node) const {
    if (node >= nodes_.size() || nodes_[node].bin != kUsed) return {};
    return {nodes_[node].address, nodes_[node].size, node};
  }

  uint64_t granule_bytes() const { return uint64_t{1} << shift_; }
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t free_bytes() const { return free_bytes_; }
  uint64_t used_count() const { return used_count_; }
  // Exact; looks at the blocks of one bin.
  uint64_t largest_free_bytes() const;
  // How many free bytes end at `end`, where a range ends: a range that joins there needs to bring
  // so many fewer.
  uint64_t FreeBytesBefore(uint64_t end) const;

  // Calls visit(Block) for every free block of at least `min_bytes`, in no order that means
  // anything. The heap may not be changed meanwhile.
  template <typename Visit>
  void ForEachFree(uint64_t min_bytes, Visit visit) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr int kBinBits = 4;  // 2^kBinBits bins to each doubling
  static constexpr int kBins = (64 - kBinBits + 1) << kBinBits;
  static constexpr size_t kWords = (kBins + 63) / 64;
  static constexpr uint16_t kUsed = 0xffff;    // Node::bin of a block in use
  static constexpr uint16_t kEnd = 0xfffe;     // of the end of a chain of joined ranges
  static constexpr uint16_t kUnused = 0xfffd;  // of a node that is no block
  static constexpr uint16_t kYields = 0xfffc;  // of a block in use, within AllocateOver
  static_assert(kWords <= 64);

  struct Node {
    uint64_t address;
    uint64_t size;                   // bytes
    uint32_t before, after;          // in address, or kNone; `after`: next unused node
    uint32_t bin_before, bin_after;  // in the bin
    uint16_t bin;
    bool free() const { return bin < kBins; }
    bool open() const { return free() || bin == kYields; }
  };
  // Ranges that blocks may span, one after the other. `end`: a node without bytes behind the last
  // block.
  struct Chain {
    uint32_t first;
    uint32_t end;
    bool joins;  // to a range that comes to end where it begins
  };
  struct Fit {
    uint32_t node = kNone;
    uint64_t address = 0;
    uint64_t size = ~uint64_t{0};  // of the node
  };

  static int BinOf(uint64_t granules);
  int BinOfBytes(uint64_t size_bytes) const { return BinOf(size_bytes >> shift_); }
  // The first filled bin from `bin` on, or kBins.
  int FilledFrom(int bin) const;
  // Looks at up to `limit` blocks of a bin for a tighter fit than `best`.
  void Look(int bin, uint64_t size, uint64_t alignment, int limit, Fit& best) const;
  Fit Find(uint64_t size, uint64_t alignment) const;
  bool IsWhole(uint64_t bytes) const { return (bytes & (granule_bytes() - 1)) == 0; }

  uint32_t NewNode(uint64_t address, uint64_t size, uint16_t bin);
  void DropNode(uint32_t node);
  void Link(uint32_t before, uint32_t after);
  // Makes one block of [begin, begin + size), which open nodes from `first` on cover.
  Block CutOut(uint32_t first, uint64_t begin, uint64_t size, std::vector<Cut>& cuts);
  // To and from the bin of its size.
  void Insert(uint32_t node);
  void Remove(uint32_t node);
  // Cuts the bytes from `size` on off as a free block behind it (not in a bin yet).
  uint32_t Split(uint32_t node, uint64_t size);
  // Merges a block that is in no bin with the free ones beside it, and puts the result into its
  // bin.
  uint32_t Settle(uint32_t node);
  uint32_t FindFreeHolding(uint64_t begin, uint64_t size) const;

  int shift_;
  uint64_t total_bytes_ = 0;
  uint64_t free_bytes_ = 0;
  uint64_t used_count_ = 0;
  std::vector<Node> nodes_;
  uint32_t unused_ = kNone;
  uint64_t filled_words_ = 0;                 // which words of filled_ are not 0
  std::array<uint64_t, kWords> filled_ = {};  // which bins are not empty
  std::array<uint32_t, kBins> bins_;
  std::map<uint64_t, Chain> chains_;  // by where they begin
};

template <typename Visit>
void RangeHeap::ForEachFree(uint64_t min_bytes, Visit visit) const {
  for (int bin = FilledFrom(BinOfBytes(min_bytes)); bin < kBins; bin = FilledFrom(bin + 1)) {
    for (uint32_t i = bins_[static_cast<size_t>(bin)]; i != kNone; i = nodes_[i].bin_after) {
      if (nodes_[i].size >= min_bytes) visit(Block{nodes_[i].address, nodes_[i].size, i});
    }
  }
}

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_POOL_RANGE_HEAP_H_
