#include "tenure/allocator/pool/range_heap.h"

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

constexpr uint64_t kGranule = RangeHeap::kDefaultGranule;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
using Extent = std::pair<uint64_t, uint64_t>;  // address, size

std::set<Extent> FreeOf(const RangeHeap& heap, uint64_t min_bytes = 0) {
  std::set<Extent> extents;
  heap.ForEachFree(min_bytes, [&](const RangeHeap::Block& block) {
    EXPECT_TRUE(extents.emplace(block.address, block.size_bytes).second);
  });
  return extents;
}

TEST(RangeHeap, CutsFromTheFrontAndMergesWhatIsFreed) {
  RangeHeap heap;
  ASSERT_TRUE(heap.AddRange(1 << 20, 64 * kGranule, false));
  const auto a = heap.Allocate(1, 0);
  const auto b = heap.Allocate(kGranule + 1, 0);
  const auto c = heap.Allocate(4 * kGranule, 0);
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ(a->address, uint64_t{1} << 20);
  EXPECT_EQ(a->size_bytes, kGranule);
  EXPECT_EQ(b->address, a->address + kGranule);
  EXPECT_EQ(b->size_bytes, 2 * kGranule);
  EXPECT_EQ(heap.free_bytes(), 57 * kGranule);
  EXPECT_EQ(heap.used_count(), 3u);
  EXPECT_EQ(heap.largest_free_bytes(), 57 * kGranule);

  EXPECT_EQ(heap.Free(a->node).size_bytes, kGranule);
  EXPECT_EQ(heap.Free(c->node).size_bytes, 61 * kGranule);
  EXPECT_EQ(FreeOf(heap).size(), 2u);
  const RangeHeap::Block all = heap.Free(b->node);
  EXPECT_EQ(all.address, uint64_t{1} << 20);
  EXPECT_EQ(all.size_bytes, 64 * kGranule);
  EXPECT_EQ(FreeOf(heap).size(), 1u);
  EXPECT_EQ(heap.used_count(), 0u);
}

TEST(RangeHeap, TakesTheTightestOfItsBin) {
  RangeHeap heap;
  // 96 and 99 granules share a bin; 100 are in the next.
  std::vector<uint64_t> sizes = {200, 100, 99, 96, 300};
  uint64_t address = 0;
  for (uint64_t size : sizes) {
    ASSERT_TRUE(heap.AddRange(address, size * kGranule, false));
    address += 1 << 20;
  }
  EXPECT_EQ(heap.Allocate(98 * kGranule, 0)->address, uint64_t{2} << 20);
  EXPECT_EQ(heap.Allocate(98 * kGranule, 0)->address, uint64_t{1} << 20);
  EXPECT_EQ(heap.Allocate(98 * kGranule, 0)->address, uint64_t{0});
  EXPECT_EQ(heap.Allocate(96 * kGranule, 0)->address, uint64_t{3} << 20);
}

// More blocks that are too small, or badly aligned, than a quick look sees.
TEST(RangeHeap, FindsTheOneThatFits) {
  RangeHeap heap;
  ASSERT_TRUE(heap.AddRange(0, 103 * kGranule, false));
  for (uint64_t i = 1; i <= 200; ++i) {
    ASSERT_TRUE(heap.AddRange((i << 20) + kGranule, 100 * kGranule, false));
  }
  const auto tight = heap.Allocate(102 * kGranule, 0);
  ASSERT_TRUE(tight);
  EXPECT_EQ(tight->address, 0u);
  EXPECT_FALSE(heap.Allocate(102 * kGranule, 0));
  heap.Free(tight->node);
  const auto aligned = heap.Allocate(100 * kGranule, 1 << 16);
  ASSERT_TRUE(aligned);
  EXPECT_EQ(aligned->address, 0u);
  EXPECT_FALSE(heap.Allocate(100 * kGranule, 1 << 16));
  EXPECT_FALSE(heap.Allocate(1, uint64_t{1} << 30));
  EXPECT_TRUE(heap.Allocate(100 * kGranule, 256));
}

TEST(RangeHeap, Aligns) {
  RangeHeap heap;
  ASSERT_TRUE(heap.AddRange(3 * kGranule, uint64_t{1} << 32, false));
  for (int bit = 0; bit < 31; ++bit) {
    const auto block = heap.Allocate(5000, uint64_t{1} << bit);
    ASSERT_TRUE(block) << bit;
    EXPECT_EQ(block->address & ((uint64_t{1} << bit) - 1), 0u);
    EXPECT_EQ(block->address % kGranule, 0u);
    EXPECT_EQ(block->size_bytes, 20 * kGranule);
  }
  EXPECT_FALSE(heap.Allocate(1, 3));
  EXPECT_FALSE(heap.Allocate(1, kMost));
  EXPECT_FALSE(heap.Allocate(1, uint64_t{1} << 63));
}

TEST(RangeHeap, BlocksSpanOnlyRangesThatJoin) {
  RangeHeap heap;
  ASSERT_TRUE(heap.AddRange(0, 4096, true));
  ASSERT_TRUE(heap.AddRange(4096, 4096, true));
  EXPECT_EQ(heap.FreeBytesBefore(8192), 8192u);
  EXPECT_EQ(heap.FreeBytesBefore(4096), 0u);  // no range ends there
  EXPECT_TRUE(heap.Allocate(8192, 0));
  EXPECT_EQ(heap.FreeBytesBefore(8192), 0u);
  ASSERT_TRUE(heap.AddRange(8192, 4096, false));
  ASSERT_TRUE(heap.AddRange(12288, 4096, false));
  EXPECT_FALSE(heap.Allocate(8192, 0));
  EXPECT_EQ(heap.FreeBytesBefore(12288), 4096u);
  EXPECT_EQ(heap.FreeBytesBefore(16384), 4096u);
  EXPECT_EQ(heap.FreeBytesBefore(0), 0u);
}

TEST(RangeHeap, RemovesOnlyWhatIsFree) {
  RangeHeap heap;
  ASSERT_TRUE(heap.AddRange(0, 16 * kGranule, true));
  const auto first = heap.Allocate(kGranule, 0);
  EXPECT_FALSE(heap.RemoveRange(0, 2 * kGranule));
  EXPECT_FALSE(heap.RemoveRange(15 * kGranule, 2 * kGranule));
  EXPECT_FALSE(heap.RemoveRange(4 * kGranule, 0));
  EXPECT_FALSE(heap.RemoveRange(4 * kGranule, kMost - kGranule + 1));
  EXPECT_FALSE(heap.RemoveRange(4 * kGranule + 1, kGranule));
  ASSERT_TRUE(heap.RemoveRange(4 * kGranule, 4 * kGranule));
  EXPECT_EQ(heap.total_bytes(), 12 * kGranule);
  EXPECT_EQ(FreeOf(heap),
            (std::set<Extent>{{kGranule, 3 * kGranule}, {8 * kGranule, 8 * kGranule}}));
  // Freeing beside the hole does not reach across.
  heap.Free(first->node);
  EXPECT_EQ(FreeOf(heap), (std::set<Extent>{{0, 4 * kGranule}, {8 * kGranule, 8 * kGranule}}));
  EXPECT_EQ(heap.FreeBytesBefore(4 * kGranule), 4 * kGranule);
  // A range that comes back into the hole joins both sides.
  ASSERT_TRUE(heap.AddRange(4 * kGranule, 4 * kGranule, true));
  EXPECT_EQ(FreeOf(heap), (std::set<Extent>{{0, 16 * kGranule}}));
  ASSERT_TRUE(heap.RemoveRange(0, 16 * kGranule));
  EXPECT_EQ(heap.total_bytes(), 0u);
  EXPECT_EQ(heap.largest_free_bytes(), 0u);
  EXPECT_FALSE(heap.Allocate(1, 0));
}

TEST(RangeHeap, RefusesRangesThatMakeNoSense) {
  RangeHeap heap;
  EXPECT_FALSE(heap.AddRange(0, 0, false));
  EXPECT_FALSE(heap.AddRange(1, kGranule, false));
  EXPECT_FALSE(heap.AddRange(0, kGranule + 1, false));
  EXPECT_FALSE(heap.AddRange(kMost - kGranule + 1, kGranule, false));  // ends at 2^64
  EXPECT_FALSE(heap.AddRange(kMost - 2 * kGranule + 1, 4 * kGranule, false));
  ASSERT_TRUE(heap.AddRange(4 * kGranule, 4 * kGranule, false));
  for (const auto& [begin, size] : {Extent{4, 4}, {3, 2}, {7, 1}, {0, 20}, {5, 1}, {7, 9}}) {
    EXPECT_FALSE(heap.AddRange(begin * kGranule, size * kGranule, true)) << begin;
  }
  EXPECT_TRUE(heap.AddRange(0, 4 * kGranule, true));
  EXPECT_TRUE(heap.AddRange(8 * kGranule, kGranule, true));
  EXPECT_EQ(heap.total_bytes(), 9 * kGranule);
}

TEST(RangeHeap, WorksAtTheEndOfTheAddresses) {
  RangeHeap heap;
  const uint64_t begin = kMost - 16 * kGranule + 1;
  ASSERT_TRUE(heap.AddRange(begin, 15 * kGranule, false));
  EXPECT_FALSE(heap.Allocate(kMost, 0));
  EXPECT_FALSE(heap.Allocate(kMost - kGranule + 1, kGranule));
  EXPECT_FALSE(heap.Allocate(16 * kGranule, 0));
  EXPECT_FALSE(heap.Allocate(1, uint64_t{1} << 13));  // the next such place is 2^64
  const auto all = heap.Allocate(15 * kGranule, 0);
  ASSERT_TRUE(all);
  EXPECT_EQ(all->address, begin);
  heap.Free(all->node);

  RangeHeap vast(1);
  ASSERT_TRUE(vast.AddRange(1, kMost - 1, false));
  EXPECT_EQ(vast.largest_free_bytes(), kMost - 1);
  EXPECT_FALSE(vast.Allocate(kMost, 1));
  const auto most = vast.Allocate(kMost - 1, 1);
  ASSERT_TRUE(most);
  EXPECT_EQ(most->address, 1u);
  vast.Free(most->node);
  EXPECT_EQ(vast.Allocate(5, uint64_t{1} << 63)->address, uint64_t{1} << 63);
}

TEST(RangeHeap, IgnoresWhatIsNotInUse) {
  RangeHeap heap;
  EXPECT_EQ(heap.Free(0).size_bytes, 0u);
  ASSERT_TRUE(heap.AddRange(0, 4096, false));
  const auto block = heap.Allocate(256, 0);
  EXPECT_EQ(heap.BlockAt(block->node).size_bytes, 256u);
  heap.Free(block->node);
  EXPECT_EQ(heap.BlockAt(block->node).size_bytes, 0u);
  for (uint32_t node = 0; node < 10; ++node) EXPECT_EQ(heap.Free(node).size_bytes, 0u) << node;
  EXPECT_EQ(heap.free_bytes(), 4096u);
  EXPECT_FALSE(heap.Allocate(0, 0));
}

TEST(RangeHeap, RoundsItsGranuleUpToAPowerOfTwo) {
  EXPECT_EQ(RangeHeap(0).granule_bytes(), 1u);
  EXPECT_EQ(RangeHeap(1).granule_bytes(), 1u);
  EXPECT_EQ(RangeHeap(100).granule_bytes(), 128u);
  EXPECT_EQ(RangeHeap(4096).granule_bytes(), 4096u);
}

// ------------------------------------------------------------------------------------------------
// Against a model that keeps one cell for each granule.

class Model {
 public:
  static constexpr int kCells = 1500;

  bool Add(int begin, int size, bool joins) {
    if (size == 0) return false;
    for (int i = begin; i < begin + size; ++i) {
      if (cells_[i].state != kAbsent) return false;
    }
    for (int i = begin; i < begin + size; ++i) cells_[i] = {kFree, true, false};
    cells_[begin].linked = joins && begin > 0 && cells_[begin - 1].state != kAbsent;
    cells_[begin].may_join = joins;
    Cell& next = cells_[begin + size];
    if (next.state != kAbsent) next.linked = joins && next.may_join;
    return true;
  }
  bool Remove(int begin, int size) {
    if (size == 0) return false;
    for (int i = begin; i < begin + size; ++i) {
      if (cells_[i].state != kFree || (i > begin && !cells_[i].linked)) return false;
    }
    for (int i = begin; i < begin + size; ++i) cells_[i] = {};
    Cell& next = cells_[begin + size];
    if (next.state != kAbsent && next.linked) {
      next.linked = false;
      next.may_join = true;
    }
    return true;
  }
  // Whether some place of so many cells is free.
  bool Fits(int size, int alignment) const {
    for (const auto& [begin, length] : Extents()) {
      const int start = (begin + alignment - 1) / alignment * alignment;
      if (start + size <= begin + length) return true;
    }
    return false;
  }
  bool Use(int begin, int size) {
    for (int i = begin; i < begin + size; ++i) {
      if (cells_[i].state != kFree || (i > begin && !cells_[i].linked)) return false;
    }
    for (int i = begin; i < begin + size; ++i) cells_[i].state = kUsed;
    return true;
  }
  void Free(int begin, int size) {
    for (int i = begin; i < begin + size; ++i) cells_[i].state = kFree;
  }
  std::vector<std::pair<int, int>> Extents() const {
    std::vector<std::pair<int, int>> extents;
    for (int i = 0; i < kCells; ++i) {
      if (cells_[i].state != kFree) continue;
      if (i == 0 || !cells_[i].linked || cells_[i - 1].state != kFree) extents.emplace_back(i, 0);
      ++extents.back().second;
    }
    return extents;
  }
  // Free cells that end at `end`, where a chain of ranges ends.
  int FreeBefore(int end) const {
    if (end == 0 || cells_[end - 1].state != kFree) return 0;
    if (cells_[end].state != kAbsent && cells_[end].linked) return 0;
    int first = end - 1;
    while (first > 0 && cells_[first].linked && cells_[first - 1].state == kFree) --first;
    return end - first;
  }

 private:
  enum State { kAbsent, kFree, kUsed };
  struct Cell {
    State state = kAbsent;
    bool linked = false;    // to the cell before
    bool may_join = false;  // of the first of a chain
  };
  std::vector<Cell> cells_ = std::vector<Cell>(kCells + 1);
};

// Lets some of the used blocks yield to a new one.
void AllocateOverSome(std::mt19937& random, uint64_t base, RangeHeap& heap, Model& model,
                      std::vector<RangeHeap::Block>& used) {
  auto upto = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  auto cell = [&](uint64_t address) { return static_cast<int>((address - base) / kGranule); };
  auto cells = [](uint64_t bytes) { return static_cast<int>(bytes / kGranule); };
  std::vector<RangeHeap::Block> yielding, staying;
  const int rate = 1 + upto(4);
  for (const RangeHeap::Block& block : used) (upto(4) < rate ? yielding : staying).push_back(block);
  Model opened = model;
  std::vector<uint32_t> nodes;
  std::set<int> yielding_cells;
  for (const RangeHeap::Block& block : yielding) {
    nodes.push_back(block.node);
    yielding_cells.insert(cell(block.address));
    opened.Free(cell(block.address), cells(block.size_bytes));
  }
  const int size = 1 + upto(120);
  const int alignment = upto(3) > 0 ? 1 : 1 << upto(7);
  bool fits = false;
  for (const std::pair<int, int>& extent : opened.Extents()) {
    const int begin = extent.first;
    const int length = extent.second;
    const int start = (begin + alignment - 1) / alignment * alignment;
    const auto next = yielding_cells.lower_bound(begin);
    const bool yields = next != yielding_cells.end() && *next < begin + length;
    fits = fits || (yields && start + size <= begin + length);
  }
  std::vector<RangeHeap::Cut> cuts;
  const auto block = heap.AllocateOver(nodes, static_cast<uint64_t>(size) * kGranule,
                                       static_cast<uint64_t>(alignment) * kGranule, cuts);
  ASSERT_EQ(block.has_value(), fits);
  if (!fits) {
    ASSERT_TRUE(cuts.empty());
    return;
  }
  ASSERT_EQ(block->address % (static_cast<uint64_t>(alignment) * kGranule), 0u);
  used = staying;
  used.push_back(*block);
  std::set<size_t> cut_ones;
  for (const RangeHeap::Cut& cut : cuts) {
    cut_ones.insert(cut.index);
    const RangeHeap::Block& whole = yielding[cut.index];
    ASSERT_EQ(cut.front.size_bytes + cut.taken_bytes + cut.back.size_bytes, whole.size_bytes);
    ASSERT_GT(cut.taken_bytes, 0u);
    model.Free(cell(whole.address), cells(whole.size_bytes));
    for (const RangeHeap::Block& piece : {cut.front, cut.back}) {
      if (piece.size_bytes == 0) continue;
      ASSERT_TRUE(model.Use(cell(piece.address), cells(piece.size_bytes)));
      ASSERT_EQ(heap.BlockAt(piece.node).address, piece.address);
      ASSERT_EQ(heap.BlockAt(piece.node).size_bytes, piece.size_bytes);
      used.push_back(piece);
    }
  }
  for (size_t i = 0; i < yielding.size(); ++i) {
    if (!cut_ones.contains(i)) used.push_back(yielding[i]);
  }
  ASSERT_TRUE(model.Use(cell(block->address), size));
}

void CompareWithModel(unsigned seed) {
  std::mt19937 random(seed);
  auto upto = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const uint64_t base = (uint64_t{1} << 40) * (seed % 3);
  auto at = [&](int cell) { return base + static_cast<uint64_t>(cell) * kGranule; };
  auto bytes = [](int cells) { return static_cast<uint64_t>(cells) * kGranule; };
  RangeHeap heap;
  Model model;
  std::vector<RangeHeap::Block> used;
  for (int step = 0; step < 1500; ++step) {
    const int what = upto(100);
    if (what < 8) {
      const int begin = upto(Model::kCells / 50) * 50;
      const int size = std::min(Model::kCells - begin, upto(4) * 50);
      const bool joins = upto(3) > 0;
      ASSERT_EQ(heap.AddRange(at(begin), bytes(size), joins), model.Add(begin, size, joins));
    } else if (what < 14) {
      const int begin = upto(Model::kCells);
      const int size = std::min(Model::kCells - begin, upto(60));
      ASSERT_EQ(heap.RemoveRange(at(begin), bytes(size)), model.Remove(begin, size));
    } else if (what < 60 || used.empty()) {
      const int size = 1 + upto(upto(2) == 0 ? 4 : 60);
      const int alignment = upto(3) > 0 ? 1 : 1 << upto(7);
      const auto block = heap.Allocate(bytes(size) - random() % kGranule, bytes(alignment));
      ASSERT_EQ(block.has_value(), model.Fits(size, alignment)) << size << " " << alignment;
      if (!block.has_value()) continue;
      ASSERT_EQ(block->address % bytes(alignment), 0u);
      ASSERT_EQ(block->size_bytes, bytes(size));
      ASSERT_TRUE(model.Use(static_cast<int>((block->address - base) / kGranule), size));
      used.push_back(*block);
    } else if (what < 63) {
      ASSERT_NO_FATAL_FAILURE(AllocateOverSome(random, base, heap, model, used));
    } else {
      std::swap(used[static_cast<size_t>(upto(static_cast<int>(used.size())))], used.back());
      const RangeHeap::Block block = used.back();
      used.pop_back();
      const RangeHeap::Block free = heap.Free(block.node);
      model.Free(static_cast<int>((block.address - base) / kGranule),
                 static_cast<int>(block.size_bytes / kGranule));
      ASSERT_LE(free.address, block.address);
      ASSERT_GE(free.address + free.size_bytes, block.address + block.size_bytes);
    }
    std::set<Extent> extents;
    uint64_t free_bytes = 0;
    uint64_t largest = 0;
    for (const auto& [begin, size] : model.Extents()) {
      extents.emplace(at(begin), bytes(size));
      free_bytes += bytes(size);
      largest = std::max(largest, bytes(size));
    }
    ASSERT_EQ(FreeOf(heap), extents) << step;
    ASSERT_EQ(heap.free_bytes(), free_bytes);
    ASSERT_EQ(heap.largest_free_bytes(), largest);
    ASSERT_EQ(heap.used_count(), used.size());
    const int end = upto(Model::kCells / 50) * 50;
    ASSERT_EQ(heap.FreeBytesBefore(at(end)), bytes(model.FreeBefore(end))) << end;
    const uint64_t some = bytes(upto(100));
    std::erase_if(extents, [&](const Extent& extent) { return extent.second < some; });
    ASSERT_EQ(FreeOf(heap, some), extents);
  }
}

TEST(RangeHeap, AgreesWithANaiveModel) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    ASSERT_NO_FATAL_FAILURE(CompareWithModel(seed));
  }
}

}  // namespace
}  // namespace tenure
