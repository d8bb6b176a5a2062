// RangeHeap: allocates parts of the address ranges that it manages.
//
// Why: device memory can't hold a heap's bookkeeping, and each driver allocation costs microseconds
// to milliseconds. So the bookkeeping is in host memory. Addresses are only numbers; the heap never
// touches their bytes.
//
//   AddRange(0, 8K)   AddRange(8K, 4K, joins)   AddRange(1M, 4K)
//   0 [ used | free |  used                | free ] 12K      1M [ free ] +4K
//                    8K: blocks may span it
//
// Every block, used or free, is a node in one vector. It is linked by index to its neighbours in
// address order, so a freed block merges with them at once. Free blocks are in bins by size,
// sixteen bins for each doubling; a two-level bitmap finds the filled bins. A request looks at a
// few blocks of its own bin and of the next filled one, and takes the tightest fit. Before it fails
// it looks at all blocks that might fit, so it never fails while a block fits.
//
// Example:
//   RangeHeap heap;
//   heap.AddRange(base, 64 << 20, /*joins=*/false);
//   std::optional<RangeHeap::Block> block = heap.Allocate(5000, 256);
//   if (!block.has_value()) return GrowFirst();
//   Use(block->address);
//   heap.Free(block->node);
//
// Cost: Allocate and Free take some tens of nanoseconds for any number of blocks, and allocate no
// memory once the vector has grown. Each block takes 40 bytes. Adding a range searches the ranges;
// removing one also searches the free blocks that are at least as large as it.
// Thread safety: thread-compatible. Ownership: none; addresses are numbers.
// Errors: operations that fail change nothing, and their result says so.

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
    uint64_t size_bytes = 0;  // at least the size requested; whole granules
    uint32_t node = 0;        // identifies the block to the heap
  };

  // Sizes and addresses of blocks are multiples of the granule. It is a power of two; other values
  // are rounded up to the next one.
  explicit RangeHeap(uint64_t granule_bytes = kDefaultGranule);

  // Adds [begin, begin + size_bytes) to the heap. With `joins`, blocks may span this range and the
  // one that ends at `begin`; they may also span this range and the one that begins at its end, if
  // that one was added with `joins` too. Returns false and adds nothing if the range is empty, is
  // not made of whole granules, ends beyond 2^64 - 1, or overlaps a range of the heap.
  bool AddRange(uint64_t begin, uint64_t size_bytes, bool joins);

  // Removes a range that lies within one free block. The rest of that block stays. Returns false
  // and changes nothing if the range is not wholly free or not made of whole granules.
  bool RemoveRange(uint64_t begin, uint64_t size_bytes);

  // No value: no free block can hold that many bytes at that alignment, or size_bytes is 0, or the
  // alignment is not a power of two (0 counts as 1).
  std::optional<Block> Allocate(uint64_t size_bytes, uint64_t alignment_bytes);

  // The rest of a yielding block that lost some of its bytes.
  struct Cut {
    size_t index = 0;  // of the block in `yielding`
    uint64_t taken_bytes = 0;
    Block front, back;  // in use as before; of size 0: none
  };
  // Allocates a block from free bytes and from yielding blocks: blocks in use, given by their
  // nodes, whose bytes may be taken. It uses the smallest contiguous stretch of both that fits.
  // `cuts` lists the yielding blocks that lost bytes; their nodes are no longer valid. No value:
  // there is no such stretch, and nothing has changed. Cost: linear in the yielding blocks.
  std::optional<Block> AllocateOver(absl::Span<const uint32_t> yielding, uint64_t size_bytes,
                                    uint64_t alignment_bytes, std::vector<Cut>& cuts);

  // Frees a block. Returns the merged free block that contains it now. If `node` is not in use, the
  // result has size 0 and nothing has changed.
  Block Free(uint32_t node);

  // The block in use that has this node; of size 0 if there is none.
  Block BlockAt(uint32_t node) const {
    if (node >= nodes_.size() || nodes_[node].bin != kUsed) return {};
    return {nodes_[node].address, nodes_[node].size, node};
  }

  uint64_t granule_bytes() const { return uint64_t{1} << shift_; }
  uint64_t total_bytes() const { return total_bytes_; }
  uint64_t free_bytes() const { return free_bytes_; }
  uint64_t used_count() const { return used_count_; }
  // Exact. Looks at the blocks of one bin.
  uint64_t largest_free_bytes() const;
  // The number of free bytes that end at `end`, the end of a range. A range that joins there can be
  // smaller by that many bytes.
  uint64_t FreeBytesBefore(uint64_t end) const;

  // Calls visit(Block) for every free block of at least `min_bytes`, in no particular order. The
  // heap must not change during the call.
  template <typename Visit>
  void ForEachFree(uint64_t min_bytes, Visit visit) const;

 private:
  static constexpr uint32_t kNone = ~uint32_t{0};
  static constexpr int kBinBits = 4;  // 2^kBinBits bins to each doubling
  static constexpr int kBins = (64 - kBinBits + 1) << kBinBits;
  static constexpr size_t kWords = (kBins + 63) / 64;
  static constexpr uint16_t kUsed = 0xffff;    // Node::bin of a block in use
  static constexpr uint16_t kEnd = 0xfffe;     // the end of a chain of joined ranges
  static constexpr uint16_t kUnused = 0xfffd;  // a node that is no block
  static constexpr uint16_t kYields = 0xfffc;  // a yielding block, during AllocateOver
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
  // Adjacent ranges that blocks may span. `end`: a node without bytes behind the last block.
  struct Chain {
    uint32_t first;
    uint32_t end;
    bool joins;  // joins a range that ends where it begins
  };
  struct Fit {
    uint32_t node = kNone;
    uint64_t address = 0;
    uint64_t size = ~uint64_t{0};  // of the node
  };

  static int BinOf(uint64_t granules);
  int BinOfBytes(uint64_t size_bytes) const { return BinOf(size_bytes >> shift_); }
  // The first filled bin at or after `bin`, or kBins.
  int FilledFrom(int bin) const;
  // Looks at up to `limit` blocks of a bin for a tighter fit than `best`.
  void Look(int bin, uint64_t size, uint64_t alignment, int limit, Fit& best) const;
  Fit Find(uint64_t size, uint64_t alignment) const;
  bool IsWhole(uint64_t bytes) const { return (bytes & (granule_bytes() - 1)) == 0; }

  uint32_t NewNode(uint64_t address, uint64_t size, uint16_t bin);
  void DropNode(uint32_t node);
  void Link(uint32_t before, uint32_t after);
  // Makes one block of [begin, begin + size), which free and yielding nodes from `first` on cover.
  Block CutOut(uint32_t first, uint64_t begin, uint64_t size, std::vector<Cut>& cuts);
  // Adds the node to the bin of its size, or removes it.
  void Insert(uint32_t node);
  void Remove(uint32_t node);
  // Splits off the bytes from `size` on, as a free block behind it that is not in a bin yet.
  uint32_t Split(uint32_t node, uint64_t size);
  // Merges a block that is in no bin with its free neighbours, and adds the result to its bin.
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
