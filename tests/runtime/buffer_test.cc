#include "tenure/runtime/buffer.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/allocator/observer.h"
#include "tenure/runtime/hazards.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

class BufferTest : public ::testing::Test {
 protected:
  Buffer Bytes(uint64_t size, const BufferOptions& options = {}) {
    return *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(size), options);
  }
  Buffer Floats(std::initializer_list<int64_t> dims) {
    return *Buffer::Create(cpu_, DType::kFloat32, *Shape::Of(dims));
  }
  CpuAllocator cpu_;
  NullAllocator null_;
};

TEST_F(BufferTest, IsLazyUntilItsBytesAreNeeded) {
  Buffer buffer = Floats({4, 8});
  EXPECT_FALSE(buffer.is_allocated());
  EXPECT_EQ(buffer.size(), 128u);
  EXPECT_EQ(buffer.total_size(), 128u);
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
  ASSERT_OK(buffer.EnsureAllocated());
  EXPECT_TRUE(buffer.is_allocated());
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  ASSERT_OK(buffer.EnsureAllocated());
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  buffer = Buffer();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(BufferTest, ImmediateAllocatesAtOnceAndZeroedReadsAsZeros) {
  Buffer buffer = Bytes(1000, {.zeroed = true, .immediate = true});
  EXPECT_TRUE(buffer.is_allocated());
  const absl::Span<const uint8_t> bytes = *buffer.As<uint8_t>();
  EXPECT_TRUE(std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; }));
}

TEST_F(BufferTest, ATebibyteCanBeMadeViewedAndDropped) {
  const Buffer buffer = Bytes(uint64_t{1} << 40);
  absl::StatusOr<Buffer> view = buffer.View(uint64_t{1} << 39, uint64_t{1} << 39);
  ASSERT_OK(view);
  EXPECT_EQ(view->offset(), uint64_t{1} << 39);
  EXPECT_FALSE(view->is_allocated());
}

TEST_F(BufferTest, IdsAreUniqueAndCopiesKeepTheirs) {
  const Buffer a = Bytes(64);
  const Buffer b = Bytes(64);
  const Buffer copy = a;
  const Buffer view = *a.View(0, 64);
  EXPECT_NE(a.storage_id(), b.storage_id());
  EXPECT_NE(a.id(), b.id());
  EXPECT_EQ(copy.id(), a.id());
  EXPECT_NE(view.id(), a.id());
  EXPECT_EQ(view.storage_id(), a.storage_id());
  EXPECT_TRUE(a.id());
}

TEST_F(BufferTest, IdsAreUniqueAcrossThreads) {
  constexpr int kThreads = 8, kEach = 20000;
  std::vector<std::vector<uint64_t>> ids(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&ids, t] {
      for (int i = 0; i < kEach; ++i) ids[t].push_back(BufferId::Mint().value());
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<uint64_t> all;
  for (const auto& of_one : ids) {
    EXPECT_TRUE(std::is_sorted(of_one.begin(), of_one.end()));
    all.insert(of_one.begin(), of_one.end());
  }
  EXPECT_EQ(all.size(), size_t{kThreads} * kEach);
  EXPECT_FALSE(all.contains(0));
}

TEST_F(BufferTest, ViewsOfViewsAreFlattened) {
  const Buffer buffer = Floats({100});
  const Buffer outer = *buffer.View(40, 200);
  const Buffer inner = *outer.View(20, 40);
  EXPECT_EQ(inner.offset(), 60u);
  EXPECT_EQ(inner.size(), 40u);
  EXPECT_EQ(inner.total_size(), 400u);
  EXPECT_EQ(inner.shape(), *Shape::Of({10}));
  EXPECT_EQ(inner.dtype(), DType::kFloat32);
}

TEST_F(BufferTest, ViewsOutsideTheirBufferAreRefused) {
  const Buffer buffer = Floats({100});
  const Buffer view = *buffer.View(40, 200);
  EXPECT_CODE(OutOfRange, view.View(0, 204));
  EXPECT_CODE(OutOfRange, view.View(204, 0));
  EXPECT_CODE(OutOfRange, view.View(kMax - 3, 8));
  EXPECT_CODE(OutOfRange, view.View(8, kMax - 7));
  EXPECT_CODE(OutOfRange, view.View(kMax, kMax));
  EXPECT_CODE(InvalidArgument, view.View(0, 6));
  EXPECT_OK(view.View(200, 0));
  EXPECT_CODE(OutOfRange, view.View(4, DType::kFloat32, *Shape::Of({50})));
  EXPECT_OK(view.View(1, DType::kUInt8, *Shape::Of({7, 7})));
}

TEST_F(BufferTest, SlicesRowsOfTheFirstDimension) {
  const Buffer buffer = Floats({6, 2, 5});
  const Buffer rows = *buffer.Slice(2, 5);
  EXPECT_EQ(rows.shape(), *Shape::Of({3, 2, 5}));
  EXPECT_EQ(rows.offset(), 2u * 10 * 4);
  EXPECT_EQ(rows.size(), 3u * 10 * 4);
  EXPECT_EQ(buffer.Slice(6, 6)->size(), 0u);
  EXPECT_CODE(OutOfRange, buffer.Slice(-1, 2));
  EXPECT_CODE(OutOfRange, buffer.Slice(3, 2));
  EXPECT_CODE(OutOfRange, buffer.Slice(0, 7));
  EXPECT_CODE(InvalidArgument, Floats({}).Slice(0, 1));
  EXPECT_EQ(Floats({0, 4}).Slice(0, 0)->size(), 0u);
  EXPECT_EQ(Floats({4, 0}).Slice(1, 3)->shape(), *Shape::Of({2, 0}));
}

TEST_F(BufferTest, SlicesOfPackedElementsBeginAndEndAtBytes) {
  const Buffer nibbles = *Buffer::Create(cpu_, DType::kInt4, *Shape::Of({4, 3}));
  EXPECT_EQ(nibbles.size(), 6u);
  EXPECT_EQ(nibbles.Slice(2, 4)->offset(), 3u);
  EXPECT_EQ(nibbles.Slice(0, 2)->size(), 3u);
  EXPECT_CODE(InvalidArgument, nibbles.Slice(0, 1));
  EXPECT_CODE(InvalidArgument, nibbles.Slice(1, 2));
}

TEST_F(BufferTest, ReinterpretsTheSameBytes) {
  const Buffer buffer = Floats({6});
  const Buffer halves = *buffer.Reinterpret(DType::kBFloat16, *Shape::Of({3, 4}));
  EXPECT_EQ(halves.size(), 24u);
  EXPECT_EQ(halves.storage_id(), buffer.storage_id());
  EXPECT_CODE(InvalidArgument, buffer.Reinterpret(DType::kFloat64, *Shape::Of({4})));
}

TEST_F(BufferTest, ShapesFromRank0To8AndSizesThatDoNotFit) {
  std::vector<int64_t> dims;
  for (int rank = 0; rank <= 8; ++rank, dims.push_back(2)) {
    const Buffer buffer = *Buffer::Create(cpu_, DType::kInt16, *Shape::Of(dims));
    EXPECT_EQ(buffer.size(), uint64_t{2} << rank);
  }
  EXPECT_CODE(InvalidArgument, Shape::Of(dims));
  EXPECT_CODE(InvalidArgument, Shape::Of({3, -1}));
  EXPECT_CODE(OutOfRange, Shape::Of({int64_t{1} << 32, int64_t{1} << 31}));
  EXPECT_OK(Shape::Of({int64_t{1} << 32, int64_t{1} << 32, 0}));
  EXPECT_CODE(OutOfRange, Buffer::Create(cpu_, DType::kFloat64, *Shape::Of({int64_t{1} << 62})));
  EXPECT_CODE(InvalidArgument,
              Buffer::Create(cpu_, DType::kInt8, Shape(), {.alignment_bytes = 24}));
}

TEST_F(BufferTest, ShapesOfNegativeNumbersAndAxesThatAreNotThere) {
  const int negative = -1;
  const Shape wrong = Shape::Vector(static_cast<uint64_t>(negative));
  EXPECT_CODE(OutOfRange, Buffer::Create(cpu_, DType::kUInt8, wrong));
  EXPECT_CODE(OutOfRange, Buffer::Create(cpu_, DType::kInt4, wrong));
  EXPECT_OK(Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(~uint64_t{0} >> 1)));
  const Shape shape = *Shape::Of({2, 3});
  EXPECT_EQ(shape.dim(1), 3);
  for (const int axis : {-1, 2, 7, 8, 1 << 20}) EXPECT_EQ(shape.dim(axis), 0) << axis;
}

TEST_F(BufferTest, CreateManyMakesAllOrNone) {
  std::vector<BufferSpec> specs(
      3, {.dtype = DType::kFloat32, .shape = *Shape::Of({5}), .options = {.immediate = true}});
  absl::StatusOr<std::vector<Buffer>> made = Buffer::CreateMany(cpu_, specs);
  ASSERT_OK(made);
  EXPECT_EQ(cpu_.Stats().in_use_count, 3u);
  made->clear();
  specs[2].options.alignment_bytes = 3;
  EXPECT_CODE(InvalidArgument, Buffer::CreateMany(cpu_, specs));
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(BufferTest, MadeFromValuesAndFromForeignMemory) {
  const std::vector<float> values = {1, 2, 3, 4};
  const Buffer made = *Buffer::FromSpan<float>(cpu_, values, *Shape::Of({2, 2}));
  EXPECT_EQ(*made.Get<float>({1, 0}), 3);
  EXPECT_CODE(InvalidArgument, Buffer::FromSpan<float>(cpu_, values, *Shape::Of({5})));

  std::vector<float> mine = {5, 6};
  int released = 0;
  {
    const ForeignMemory memory{
        .data = mine.data(), .read_only = false, .release = [&released] { ++released; }};
    const Buffer wrapped = *Buffer::Wrap(cpu_, DType::kFloat32, *Shape::Of({2}), memory, 8);
    ASSERT_OK(wrapped.Set<float>({1}, 7));
    EXPECT_EQ(mine[1], 7);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  const ForeignMemory wrong{
      .data = mine.data(), .read_only = false, .release = [&released] { ++released; }};
  EXPECT_CODE(InvalidArgument, Buffer::Wrap(cpu_, DType::kFloat32, *Shape::Of({3}), wrong, 8));
  EXPECT_EQ(released, 2) << "the memory was handed over, so it is released on failure too";
  EXPECT_CODE(Unimplemented, Buffer::Wrap(null_, DType::kFloat32, *Shape::Of({2}), wrong, 8));
  EXPECT_EQ(released, 3);
}

TEST_F(BufferTest, WrappedMemoryTakesNoPromisesThatItCannotKeep) {
  std::vector<uint8_t> mine(16, 9);
  int released = 0;
  const ForeignMemory memory{
      .data = mine.data(), .read_only = false, .release = [&released] { ++released; }};
  EXPECT_CODE(InvalidArgument,
              Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(16), memory, 16, {.zeroed = true}));
  EXPECT_CODE(Unimplemented, Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(16), memory, 16,
                                          {.hints = {.sharing = Sharing::kIpc}}));
  EXPECT_EQ(released, 2);
}

TEST_F(BufferTest, ReadOnlyForeignMemoryRefusesWrites) {
  const std::vector<uint8_t> mine(16, 9);
  const ForeignMemory memory{
      .data = const_cast<uint8_t*>(mine.data()), .read_only = true, .release = {}};
  const Buffer wrapped = *Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(16), memory, 16);
  EXPECT_EQ((*wrapped.As<uint8_t>())[3], 9);
  EXPECT_CODE(FailedPrecondition, wrapped.MutableHostPointer());
  EXPECT_CODE(FailedPrecondition, wrapped.FillWith<uint8_t>(0));
}

TEST_F(BufferTest, SealIsOneWayAndForTheWholeStorage) {
  const Buffer buffer = Bytes(64);
  const Buffer view = *buffer.View(0, 32);
  {
    absl::StatusOr<Mapping> mapping = view.Map(Access::kWrite);
    ASSERT_OK(mapping);
    EXPECT_CODE(FailedPrecondition, buffer.Seal());
  }
  ASSERT_OK(buffer.FillWith<uint8_t>(7));
  ASSERT_OK(view.Seal());
  ASSERT_OK(buffer.Seal());
  EXPECT_TRUE(buffer.is_sealed());
  EXPECT_CODE(FailedPrecondition, buffer.FillWith<uint8_t>(1));
  EXPECT_CODE(FailedPrecondition, view.AsMutable<uint8_t>());
  EXPECT_CODE(FailedPrecondition, view.MutableHostPointer());
  EXPECT_CODE(FailedPrecondition, view.Map(Access::kWrite));
  EXPECT_OK(view.Map(Access::kRead));
  EXPECT_EQ(*view.Get<uint8_t>({31}), 7);
}

TEST_F(BufferTest, ForksShareAmongThemselvesAsTheOriginalsDo) {
  const Buffer a = Bytes(64);
  ASSERT_OK(a.FillWith<uint8_t>(5));
  ASSERT_OK(a.Seal());
  const std::vector<Buffer> originals = {*a.View(0, 32), *a.View(16, 48), Bytes(8)};
  const std::vector<Buffer> forks = *Buffer::ForkViews(originals, Buffer::Contents::kCopied);
  ASSERT_EQ(forks.size(), 3u);
  EXPECT_EQ(forks[0].storage_id(), forks[1].storage_id());
  EXPECT_NE(forks[0].storage_id(), a.storage_id());
  EXPECT_NE(forks[2].storage_id(), forks[0].storage_id());
  EXPECT_EQ(forks[1].offset(), 16u);
  EXPECT_FALSE(forks[0].is_sealed());
  EXPECT_EQ(*forks[0].Get<uint8_t>({0}), 5);
  ASSERT_OK(forks[0].Set<uint8_t>({16}, 9));
  EXPECT_EQ(*forks[1].Get<uint8_t>({0}), 9);
  EXPECT_EQ(*a.Get<uint8_t>({16}), 5);
  EXPECT_FALSE((*Buffer::ForkViews(originals, Buffer::Contents::kUndefined))[0].is_allocated());
}

TEST_F(BufferTest, KernelPointersArePerWindowAndKeptApart) {
  const Buffer buffer = Bytes(256, {.alignment_bytes = 4096});
  const Buffer view = *buffer.View(64, 64);
  const auto* base = static_cast<const std::byte*>(*buffer.HostPointer());
  EXPECT_EQ(*view.HostPointer(), base + 64);
  EXPECT_EQ(*view.MutableHostPointer(), base + 64);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(base) % 4096, 0u);
  EXPECT_CODE(Unimplemented, view.DeviceAddress());
  EXPECT_CODE(Unimplemented, view.NativeBinding());
  const Buffer nothing = *Buffer::Create(null_, DType::kUInt8, Shape::Vector(64));
  EXPECT_CODE(Unimplemented, nothing.HostPointer());
}

TEST_F(BufferTest, OverlapAndHazardsGoByPhysicalBytes) {
  const Buffer a = Bytes(128);
  const Buffer low = *a.View(0, 64), high = *a.View(64, 64), middle = *a.View(32, 64);
  EXPECT_TRUE(low.Overlaps(middle));
  EXPECT_FALSE(low.Overlaps(high));
  EXPECT_FALSE(low.Overlaps(*a.View(32, 0)));
  EXPECT_FALSE(a.Overlaps(Bytes(128)));
  EXPECT_FALSE(a.Overlaps(Buffer()));
  EXPECT_EQ(HazardBetween(low, Access::kWrite, middle, Access::kRead), Hazard::kReadAfterWrite);
  EXPECT_EQ(HazardBetween(low, Access::kRead, middle, Access::kWrite), Hazard::kWriteAfterRead);
  EXPECT_EQ(HazardBetween(low, Access::kWrite, middle, Access::kWrite), Hazard::kWriteAfterWrite);
  EXPECT_EQ(HazardBetween(low, Access::kRead, middle, Access::kRead), Hazard::kNone);
  EXPECT_EQ(HazardBetween(low, Access::kWrite, high, Access::kWrite), Hazard::kNone);

  // Two storages in one arena.
  const Buffer arena = Bytes(256, {.immediate = true});
  const Buffer x = Bytes(64), y = Bytes(64), z = Bytes(64);
  EXPECT_FALSE(x.Overlaps(y));
  ASSERT_OK(x.storage()->Place(*arena.storage(), 0, false));
  ASSERT_OK(y.storage()->Place(*arena.storage(), 32, false));
  ASSERT_OK(z.storage()->Place(*arena.storage(), 128, true));
  EXPECT_TRUE(x.Overlaps(y));
  EXPECT_FALSE(x.Overlaps(z));
  EXPECT_TRUE(arena.Overlaps(z));
}

TEST_F(BufferTest, HostAccessWaitsForTheUsesItConflictsWithAndOnlyThose) {
  const Buffer buffer = Bytes(128, {.immediate = true});
  const Buffer low = *buffer.View(0, 64), high = *buffer.View(64, 64);
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(low.RecordUse(Access::kWrite, Fence(timeline, 1)));
  ASSERT_OK(high.RecordUse(Access::kRead, Fence(timeline, 2)));
  EXPECT_EQ(low.PendingUses(Access::kRead).size(), 1u);
  EXPECT_EQ(high.PendingUses(Access::kRead).size(), 0u);
  EXPECT_EQ(high.PendingUses(Access::kWrite).size(), 1u);
  EXPECT_OK(high.Bytes(absl::ZeroDuration()));
  EXPECT_CODE(DeadlineExceeded, high.MutableBytes(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, low.Bytes(absl::Milliseconds(1)));
  timeline->Signal(1);
  EXPECT_OK(low.MutableBytes(absl::ZeroDuration()));
  std::thread later([&timeline] { timeline->Signal(2); });
  EXPECT_OK(high.MutableBytes());
  later.join();
  EXPECT_OK(buffer.Synchronize());
  EXPECT_CODE(FailedPrecondition, Bytes(8).RecordUse(Access::kRead, Fence(timeline, 3)));
}

TEST_F(BufferTest, PlacedStoragesShareTheUsesOfTheirArena) {
  const Buffer arena = Bytes(128, {.immediate = true});
  const Buffer x = Bytes(64), y = Bytes(64);
  ASSERT_OK(x.storage()->Place(*arena.storage(), 0, false));
  ASSERT_OK(y.storage()->Place(*arena.storage(), 32, false));
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(x.RecordUse(Access::kWrite, Fence(timeline, 1)));
  EXPECT_EQ(y.PendingUses(Access::kRead).size(), 1u);
  EXPECT_EQ(y.View(32, 32)->PendingUses(Access::kRead).size(), 0u);
  timeline->Signal(1);
}

TEST_F(BufferTest, DroppingWhileADeviceUsesTheBytesDefersTheFree) {
  auto timeline = std::make_shared<HostTimeline>();
  {
    const Buffer buffer = Bytes(1 << 20, {.immediate = true});
    ASSERT_OK(buffer.RecordUse(Access::kWrite, Fence(timeline, 1)));
  }
  EXPECT_EQ(cpu_.Stats().deferred_bytes, uint64_t{1} << 20);
  timeline->Signal(1);
  cpu_.Poll();
  EXPECT_EQ(cpu_.Stats().deferred_bytes, 0u);
}

TEST_F(BufferTest, RacingThreadsMakeOneAllocation) {
  for (int round = 0; round < 20; ++round) {
    const Buffer buffer = Bytes(4096);
    const uint64_t before = cpu_.Stats().allocation_count;
    std::atomic<bool> go{false};
    std::vector<const void*> seen(64);
    std::vector<std::thread> threads;
    for (int t = 0; t < 64; ++t) {
      threads.emplace_back([&, t, copy = buffer] {
        while (!go.load()) std::this_thread::yield();
        absl::StatusOr<const void*> pointer = copy.HostPointer();
        seen[t] = pointer.ok() ? *pointer : nullptr;
      });
    }
    go = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(cpu_.Stats().allocation_count, before + 1);
    EXPECT_NE(seen[0], nullptr);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), seen[0]), 64);
  }
}

TEST_F(BufferTest, AFailedAllocationLeavesTheBufferAsItWasAndCanBeTriedAgain) {
  FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), {.nth = 1});
  const Buffer buffer =
      *Buffer::Create(faulty, DType::kUInt8, Shape::Vector(100), {.name = "activations"});
  const absl::Status failed = buffer.EnsureAllocated();
  EXPECT_EQ(failed.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(failed.message(), "activations")) << failed;
  EXPECT_FALSE(buffer.is_allocated());
  EXPECT_OK(buffer.EnsureAllocated());
}

class Events : public Observer {
 public:
  void OnEvent(const Event& event) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    log_.push_back(std::string(EventKindName(event.kind)) + " " + std::string(event.name));
  }
  std::vector<std::string> log() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return log_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> log_;
};

TEST_F(BufferTest, ObserversSeeAllocationsPlacementsAndFrees) {
  Events events;
  {
    const ScopedObserver watch(&events);
    Buffer arena = Bytes(128, {.name = "arena", .immediate = true});
    Buffer x = Bytes(64, {.name = "x"});
    ASSERT_OK(x.storage()->Place(*arena.storage(), 64, true));
    ASSERT_OK(x.storage()->Unplace());
    ASSERT_OK(x.FillWith<uint8_t>(1));
  }
  EXPECT_EQ(events.log(),
            (std::vector<std::string>{"allocate arena", "place x", "unplace x", "allocate x",
                                      "fill x", "free x", "free arena"}));
  Bytes(8, {.name = "later", .immediate = true});
  EXPECT_EQ(events.log().size(), 7u);
}

TEST_F(BufferTest, NullBuffersAnswerWithErrors) {
  const Buffer null;
  EXPECT_TRUE(null.is_null());
  EXPECT_EQ(null.size(), 0u);
  EXPECT_EQ(null.total_size(), 0u);
  EXPECT_FALSE(null.is_allocated());
  EXPECT_EQ(null.name(), "");
  EXPECT_CODE(FailedPrecondition, null.EnsureAllocated());
  EXPECT_CODE(FailedPrecondition, null.View(0, 0));
  EXPECT_CODE(FailedPrecondition, null.View(0, DType::kInt8, Shape()));
  EXPECT_CODE(FailedPrecondition, null.Slice(0, 0));
  EXPECT_CODE(FailedPrecondition, null.Reinterpret(DType::kInt8, Shape()));
  EXPECT_CODE(FailedPrecondition, null.Seal());
  EXPECT_CODE(FailedPrecondition, null.HostPointer());
  EXPECT_CODE(FailedPrecondition, null.MutableHostPointer());
  EXPECT_CODE(FailedPrecondition, null.DeviceAddress());
  EXPECT_CODE(FailedPrecondition, null.NativeBinding());
  EXPECT_CODE(FailedPrecondition, null.RecordUse(Access::kRead, Fence()));
  EXPECT_CODE(FailedPrecondition, null.Synchronize());
  EXPECT_CODE(FailedPrecondition, null.Bytes());
  EXPECT_CODE(FailedPrecondition, null.As<uint8_t>());
  EXPECT_CODE(FailedPrecondition, null.Map(Access::kRead));
  EXPECT_CODE(FailedPrecondition, null.CopyIn(nullptr, 0));
  EXPECT_CODE(FailedPrecondition, null.CopyOut(nullptr, 0));
  EXPECT_CODE(FailedPrecondition, null.CopyFrom(null));
  EXPECT_CODE(FailedPrecondition, null.FillWith<uint8_t>(1));
  EXPECT_CODE(FailedPrecondition, Buffer::ForkViews({null}, Buffer::Contents::kCopied));
  EXPECT_FALSE(null.Overlaps(null));
}

TEST_F(BufferTest, NullBuffersHaveNoElements) {
  EXPECT_EQ(Buffer().shape(), Shape::Vector(0));
  Buffer x = Bytes(64);
  const Buffer y = std::move(x);
  EXPECT_TRUE(x.is_null());  // NOLINT(bugprone-use-after-move): this is what is tested
  EXPECT_EQ(x.size(), 0u);
  EXPECT_EQ(x.offset(), 0u);
  EXPECT_EQ(x.shape(), Shape::Vector(0));
  x = Bytes(8);
  Buffer z;
  z = std::move(x);
  EXPECT_EQ(z.size(), 8u);
  EXPECT_EQ(x.size(), 0u);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(x.shape(), Shape::Vector(0));
}

TEST_F(BufferTest, AWritablePointerToASealedBufferAllocatesNothing) {
  const Buffer x = Bytes(64);
  ASSERT_OK(x.Seal());
  EXPECT_CODE(FailedPrecondition, x.MutableHostPointer());
  EXPECT_CODE(FailedPrecondition, x.MutableDeviceAddress());
  EXPECT_FALSE(x.is_allocated());
}

}  // namespace
}  // namespace tenure
