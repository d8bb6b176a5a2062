#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/allocator/observer.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

constexpr uint64_t kLargestSize = std::numeric_limits<uint64_t>::max();

std::vector<uint8_t> Numbers(size_t count, uint8_t first = 1) {
  std::vector<uint8_t> numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<uint8_t>(first + i * 7);
  return numbers;
}

Buffer BytesIn(Allocator& allocator, uint64_t size, bool zeroed = true) {
  return *Buffer::Create(allocator, DType::kUInt8, Shape::Vector(size),
                         BufferOptions{.zeroed = zeroed});
}

std::vector<uint8_t> Contents(const Buffer& buffer) {
  std::vector<uint8_t> bytes(buffer.size());
  EXPECT_OK(buffer.CopyOut(bytes.data(), bytes.size()));
  return bytes;
}

class CopyTest : public ::testing::Test {
 protected:
  CpuAllocator cpu_, other_cpu_;
  FarAllocator far_;
  FarAllocator vulkan_{*MemorySpace::Parse("vulkan:0")};
  NullAllocator null_;
};

// --- Host memory
// ----------------------------------------------------------------------------------

TEST_F(CopyTest, InAndOut) {
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    const Buffer x = BytesIn(*allocator, 100);
    const std::vector<uint8_t> numbers = Numbers(100);
    EXPECT_OK(x.CopyIn(numbers.data(), 100));
    EXPECT_EQ(Contents(x), numbers);
    const std::vector<uint8_t> part = Numbers(10, 200);
    EXPECT_OK(x.CopyInAt(90, part.data(), 10));
    std::vector<uint8_t> out(20);
    EXPECT_OK(x.CopyOutAt(80, out.data(), 20));
    EXPECT_TRUE(std::equal(out.begin(), out.begin() + 10, numbers.begin() + 80));
    EXPECT_TRUE(std::equal(out.begin() + 10, out.end(), part.begin()));
    // Through a view of a view.
    const Buffer view = *x.View(40, 40)->View(10, 10);
    EXPECT_OK(view.CopyIn(part.data(), 10));
    EXPECT_OK(x.CopyOutAt(49, out.data(), 12));
    EXPECT_EQ(out[0], numbers[49]);
    EXPECT_TRUE(std::equal(out.begin() + 1, out.begin() + 11, part.begin()));
    EXPECT_EQ(out[11], numbers[60]);
  }
}

TEST_F(CopyTest, WindowsThatDoNotFit) {
  const Buffer x = *BytesIn(cpu_, 64).View(16, 32);
  std::vector<uint8_t> host(64);
  EXPECT_CODE(InvalidArgument, x.CopyIn(host.data(), 31));
  EXPECT_CODE(InvalidArgument, x.CopyOut(host.data(), 33));
  for (auto [offset, size] :
       std::initializer_list<std::pair<uint64_t, uint64_t>>{{0, 33},
                                                            {32, 1},
                                                            {33, 0},
                                                            {kLargestSize, 1},
                                                            {kLargestSize, 2},
                                                            {1, kLargestSize},
                                                            {kLargestSize - 15, 32},
                                                            {uint64_t{1} << 63, uint64_t{1} << 63},
                                                            {kLargestSize, kLargestSize}}) {
    EXPECT_CODE(OutOfRange, x.CopyInAt(offset, host.data(), size));
    EXPECT_CODE(OutOfRange, x.CopyOutAt(offset, host.data(), size));
    EXPECT_CODE(OutOfRange, x.CopyRegionFrom(x, offset, 0, size));
    EXPECT_CODE(OutOfRange, x.CopyRegionFrom(x, 0, offset, size));
    EXPECT_CODE(OutOfRange, x.CopyWithin(offset, 0, size));
    EXPECT_CODE(OutOfRange, x.CopyWithin(0, offset, size));
  }
  EXPECT_CODE(InvalidArgument, x.CopyIn(nullptr, 32));
  EXPECT_CODE(InvalidArgument, x.CopyOutAt(0, nullptr, 1));
  EXPECT_CODE(InvalidArgument, x.CopyIn(host.data(), 32, {.max_threads = -1}));
  EXPECT_CODE(InvalidArgument, x.CopyFrom(*x.View(0, 31)));
  EXPECT_FALSE(x.is_allocated()) << "what is refused allocates nothing";
}

TEST_F(CopyTest, NothingToCopy) {
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_),
                               static_cast<Allocator*>(&null_)}) {
    const Buffer x = BytesIn(*allocator, 8);
    const Buffer empty = *Buffer::Create(*allocator, DType::kFloat32, *Shape::Of({4, 0}));
    EXPECT_OK(empty.CopyIn(nullptr, 0));
    EXPECT_OK(empty.CopyOut(nullptr, 0));
    EXPECT_OK(empty.CopyFrom(empty));
    EXPECT_OK(empty.FillWith<float>(7));
    EXPECT_OK(empty.CopyInAsync(nullptr, 0));
    EXPECT_OK(empty.CopyOutAsync(nullptr, 0));
    EXPECT_OK(empty.CopyFromAsync(empty));
    EXPECT_OK(empty.FillAsync(std::vector<std::byte>(1)));
    EXPECT_OK(x.CopyInAt(8, nullptr, 0));
    EXPECT_OK(x.CopyOutAt(0, nullptr, 0));
    EXPECT_OK(x.CopyRegionFrom(empty, 0, 4, 0));
    EXPECT_OK(x.CopyWithin(8, 0, 0));
    EXPECT_FALSE(empty.is_allocated());
    EXPECT_FALSE(x.is_allocated());
  }
}

TEST_F(CopyTest, SealedAndReadOnly) {
  const Buffer x = BytesIn(cpu_, 8), y = BytesIn(cpu_, 8);
  uint8_t host[8] = {};
  EXPECT_OK(x.Seal());
  EXPECT_CODE(FailedPrecondition, x.CopyIn(host, 8));
  EXPECT_CODE(FailedPrecondition, x.CopyInAt(0, host, 1));
  EXPECT_CODE(FailedPrecondition, x.CopyFrom(y));
  EXPECT_CODE(FailedPrecondition, x.CopyWithin(0, 4, 4));
  EXPECT_CODE(FailedPrecondition, x.FillWith<uint8_t>(1));
  EXPECT_CODE(FailedPrecondition, x.View(2, 2)->CopyIn(host, 2));
  EXPECT_CODE(FailedPrecondition, x.CopyInAsync(host, 8));
  EXPECT_CODE(FailedPrecondition, x.CopyFromAsync(y));
  EXPECT_CODE(FailedPrecondition, x.FillAsync(std::vector<std::byte>(1)));
  EXPECT_FALSE(x.is_allocated());
  EXPECT_OK(y.CopyFrom(x));
  EXPECT_OK(x.CopyOut(host, 8));
  ForeignMemory memory;
  memory.data = host;
  memory.read_only = true;
  const Buffer wrapped = *Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(8), memory, 8);
  EXPECT_CODE(FailedPrecondition, wrapped.CopyFrom(y));
  EXPECT_CODE(FailedPrecondition, wrapped.FillWith<uint8_t>(1));
  EXPECT_OK(y.CopyFrom(wrapped));
}

TEST_F(CopyTest, NullBuffers) {
  const Buffer null, x = BytesIn(cpu_, 1);
  uint8_t host = 0;
  EXPECT_CODE(FailedPrecondition, null.CopyIn(&host, 1));
  EXPECT_CODE(FailedPrecondition, null.CopyOut(&host, 0));
  EXPECT_CODE(FailedPrecondition, null.CopyOutAt(0, &host, 0));
  EXPECT_CODE(FailedPrecondition, null.CopyFrom(x));
  EXPECT_CODE(FailedPrecondition, x.CopyFrom(null));
  EXPECT_CODE(FailedPrecondition, x.CopyRegionFrom(null, 0, 0, 0));
  EXPECT_CODE(FailedPrecondition, null.CopyWithin(0, 0, 0));
  EXPECT_CODE(FailedPrecondition, null.FillWith<uint8_t>(0));
  EXPECT_CODE(FailedPrecondition, null.CopyInAsync(&host, 1));
  EXPECT_CODE(FailedPrecondition, null.CopyOutAsync(&host, 1));
  EXPECT_CODE(FailedPrecondition, x.CopyFromAsync(null));
  EXPECT_CODE(FailedPrecondition, null.FillAsync(std::vector<std::byte>(1)));
}

TEST_F(CopyTest, UnallocatedBuffersAreAllocatedWhenRead) {
  const Buffer x = BytesIn(cpu_, 16);
  EXPECT_EQ(Contents(x), std::vector<uint8_t>(16));
  EXPECT_TRUE(x.is_allocated());
  const Buffer tib = *Buffer::Create(null_, DType::kUInt8, *Shape::Of({int64_t{1} << 40}));
  uint8_t host = 0;
  EXPECT_CODE(FailedPrecondition, tib.CopyOutAt(1 << 20, &host, 1));
  EXPECT_CODE(FailedPrecondition, tib.CopyInAt(1 << 20, &host, 1));
}

TEST_F(CopyTest, LargeCopiesOnSeveralThreads) {
  const uint64_t size = (uint64_t{40} << 20) + 17;
  const std::vector<uint8_t> numbers = Numbers(size);
  const Buffer x = BytesIn(cpu_, size, false), y = BytesIn(other_cpu_, size, false);
  for (int threads : {0, 1, 3}) {
    const TransferOptions options{.max_threads = threads};
    EXPECT_OK(x.FillWith<uint8_t>(0, options));
    EXPECT_OK(x.CopyIn(numbers.data(), size, options));
    EXPECT_OK(y.CopyFrom(x, options));
    EXPECT_EQ(std::memcmp(y.Bytes()->data(), numbers.data(), size), 0);
  }
}

// --- Between buffers
// --------------------------------------------------------------------------------

TEST_F(CopyTest, EveryPairOfSpaces) {
  const std::vector<uint8_t> numbers = Numbers(1000);
  for (Allocator* from : std::initializer_list<Allocator*>{&cpu_, &other_cpu_, &far_, &vulkan_}) {
    for (Allocator* to : std::initializer_list<Allocator*>{&cpu_, &other_cpu_, &far_, &vulkan_}) {
      const Buffer x = BytesIn(*from, 1000), y = BytesIn(*to, 1000), z = BytesIn(*to, 100);
      ASSERT_OK(x.CopyIn(numbers.data(), 1000));
      EXPECT_OK(y.CopyFrom(x));
      EXPECT_EQ(Contents(y), numbers);
      EXPECT_OK(z.CopyRegionFrom(x, 333, 50, 50));
      const std::vector<uint8_t> part = Contents(z);
      EXPECT_TRUE(std::all_of(part.begin(), part.begin() + 50, [](uint8_t b) { return b == 0; }));
      EXPECT_TRUE(std::equal(part.begin() + 50, part.end(), numbers.begin() + 333));
    }
  }
}

TEST_F(CopyTest, StagedPieceByPiece) {
  const uint64_t size = (uint64_t{9} << 20) + 5;
  const std::vector<uint8_t> numbers = Numbers(size);
  const Buffer x = BytesIn(far_, size), y = BytesIn(vulkan_, size);
  EXPECT_OK(x.CopyIn(numbers.data(), size));
  EXPECT_OK(y.CopyFrom(x));
  EXPECT_EQ(Contents(y), numbers);
}

TEST_F(CopyTest, SpacesWithoutBytesSayWhichTheyAre) {
  const Buffer x = BytesIn(cpu_, 8), none = BytesIn(null_, 8);
  for (const absl::Status& status : {none.CopyFrom(x), x.CopyFrom(none)}) {
    EXPECT_CODE(FailedPrecondition, status);
    EXPECT_TRUE(absl::StrContains(status.message(), "'null'")) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "'cpu'")) << status;
  }
  EXPECT_CODE(FailedPrecondition, none.FillWith<uint8_t>(1));
}

TEST_F(CopyTest, WithinOneStorageInAnyOverlap) {
  std::mt19937 random(7);
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    const Buffer x = BytesIn(*allocator, 257);
    std::vector<uint8_t> model = Numbers(257);
    ASSERT_OK(x.CopyIn(model.data(), 257));
    for (int i = 0; i < 3000; ++i) {
      const uint64_t size = random() % 258;
      const uint64_t from = random() % (258 - size), to = random() % (258 - size);
      // One way or another: within a handle, or between two views of one storage.
      if (i % 2 == 0) {
        ASSERT_OK(x.CopyWithin(from, to, size));
      } else {
        ASSERT_OK(x.View(to, size)->CopyFrom(*x.View(from, size)));
      }
      std::vector<uint8_t> moved(size);
      for (uint64_t k = 0; k < size; ++k) moved[k] = model[from + k];
      for (uint64_t k = 0; k < size; ++k) model[to + k] = moved[k];
      ASSERT_EQ(Contents(x), model) << "from " << from << " to " << to << " size " << size;
    }
  }
}

TEST_F(CopyTest, ForeignMemoryWrappedTwiceOverlaps) {
  std::vector<uint8_t> memory = Numbers(64), model = memory;
  ForeignMemory whole;
  whole.data = memory.data();
  const Buffer a = *Buffer::Wrap(cpu_, DType::kUInt8, Shape::Vector(64), whole, 64);
  const Buffer b = *Buffer::Wrap(other_cpu_, DType::kUInt8, Shape::Vector(64), whole, 64);
  EXPECT_OK(a.View(8, 40)->CopyFrom(*b.View(0, 40)));
  std::memmove(model.data() + 8, model.data(), 40);
  EXPECT_EQ(memory, model);
}

TEST_F(CopyTest, PlacedStoragesGoByTheirArenasAllocator) {
  // Debug fill hands out other addresses than its upstream, and cpu_ knows nothing of them.
  DebugFillAllocator debug(std::make_unique<CpuAllocator>(), {});
  const Buffer arena = BytesIn(debug, 256);
  ASSERT_OK(arena.EnsureAllocated());
  const Buffer x = BytesIn(cpu_, 64);
  ASSERT_OK(x.storage()->Place(*arena.storage(), 128, true));
  const std::vector<uint8_t> numbers = Numbers(64);
  EXPECT_OK(x.CopyIn(numbers.data(), 64));
  EXPECT_EQ(Contents(x), numbers);
  EXPECT_EQ(Contents(*arena.View(128, 64)), numbers);
  EXPECT_OK(x.View(0, 32)->FillWith<uint8_t>(9));
  EXPECT_EQ(*arena.Get<uint8_t>({128 + 31}), 9);
  const Buffer copy = BytesIn(cpu_, 64);
  EXPECT_OK(copy.CopyFrom(x));
  EXPECT_EQ(*copy.Get<uint8_t>({0}), 9);
}

// --- Fills
// ------------------------------------------------------------------------------------------

TEST_F(CopyTest, FillsOfEveryPatternAndWindow) {
  std::mt19937 random(3);
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    const Buffer x = BytesIn(*allocator, 300);
    std::vector<uint8_t> model(300);
    for (int i = 0; i < 1500; ++i) {
      const size_t pattern_size = size_t{1} << (i % 5);
      const uint64_t size = random() % 301, offset = random() % (301 - size);
      std::vector<std::byte> pattern(pattern_size);
      for (std::byte& b : pattern) b = std::byte(static_cast<uint8_t>(random()));
      ASSERT_OK(x.View(offset, size)->Fill(pattern));
      for (uint64_t k = 0; k < size; ++k) {
        model[offset + k] = std::to_integer<uint8_t>(pattern[k % pattern_size]);
      }
      ASSERT_EQ(Contents(x), model) << pattern_size << " at " << offset << " size " << size;
    }
  }
}

TEST_F(CopyTest, FillsWithPatternsThatAreNone) {
  const Buffer x = BytesIn(cpu_, 64);
  for (size_t size : {0, 3, 5, 12, 15, 17, 32}) {
    EXPECT_CODE(InvalidArgument, x.Fill(std::vector<std::byte>(size)));
    EXPECT_CODE(InvalidArgument, x.FillAsync(std::vector<std::byte>(size)));
  }
  EXPECT_CODE(InvalidArgument, x.FillWith<uint8_t>(1, {.max_threads = -3}));
  EXPECT_FALSE(x.is_allocated());
  const Buffer f = *Buffer::Create(cpu_, DType::kFloat64, *Shape::Of({3}));
  EXPECT_OK(f.FillWith(2.5));
  EXPECT_EQ((*f.As<double>())[2], 2.5);
}

// --- Files
// ------------------------------------------------------------------------------------------

TEST_F(CopyTest, FromFilesThatMayShrink) {
  const std::string path = ::testing::TempDir() + "/copy_test_file";
  const std::vector<uint8_t> numbers = Numbers(10000);
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_RDWR, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(write(file, numbers.data(), 10000), 10000);
  absl::StatusOr<std::unique_ptr<MmapAllocator>> disk = MmapAllocator::Open(path);
  ASSERT_OK(disk);
  {
    const Buffer x = *Buffer::FromFile(**disk, DType::kUInt8, Shape::Vector(5000), 5000);
    const Buffer y = BytesIn(cpu_, 5000), far = BytesIn(far_, 5000);
    EXPECT_OK(y.CopyFrom(x));
    EXPECT_OK(far.CopyFrom(x));
    const std::vector<uint8_t> half(numbers.begin() + 5000, numbers.end());
    EXPECT_EQ(Contents(y), half);
    EXPECT_EQ(Contents(far), half);
    EXPECT_CODE(FailedPrecondition, x.CopyFrom(y));
    EXPECT_CODE(FailedPrecondition, x.AsMutable<uint8_t>());
    ASSERT_EQ(ftruncate(file, 6000), 0);
    EXPECT_CODE(DataLoss, y.CopyFrom(x));
    EXPECT_CODE(DataLoss, far.CopyFrom(x));
    std::vector<uint8_t> host(5000);
    EXPECT_CODE(DataLoss, x.CopyOut(host.data(), 5000));
    EXPECT_OK(x.CopyOutAt(0, host.data(), 1000));
    absl::StatusOr<Fence> later = y.CopyFromAsync(x);
    EXPECT_CODE(DataLoss, later.ok() ? later->Wait() : later.status());
  }
  close(file);
  unlink(path.c_str());
}

// --- Waiting
// ------------------------------------------------------------------------------------------

TEST_F(CopyTest, WaitsForTheUsesInConflictAndNoOthers) {
  const Buffer x = BytesIn(cpu_, 64), y = BytesIn(cpu_, 64);
  ASSERT_OK(x.EnsureAllocated());
  auto timeline = std::make_shared<HostTimeline>();
  ASSERT_OK(x.View(0, 16)->RecordUse(Access::kRead, Fence(timeline, 1)));
  ASSERT_OK(x.View(16, 16)->RecordUse(Access::kWrite, Fence(timeline, 2)));
  uint8_t host[64] = {};
  const TransferOptions soon{.timeout = absl::Milliseconds(1)};
  EXPECT_OK(x.CopyOutAt(0, host, 16, soon));
  EXPECT_OK(x.CopyInAt(32, host, 32, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyInAt(0, host, 1, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyOutAt(0, host, 17, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyInAt(31, host, 1, soon));
  EXPECT_CODE(DeadlineExceeded, y.CopyFrom(x, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyFrom(y, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyWithin(16, 48, 16, soon));
  EXPECT_CODE(DeadlineExceeded, x.CopyWithin(32, 0, 16, soon));
  EXPECT_OK(x.CopyWithin(0, 48, 16, soon));
  EXPECT_CODE(DeadlineExceeded, x.FillWith<uint8_t>(1, soon));
  timeline->Signal(1);
  EXPECT_OK(x.CopyInAt(0, host, 16, soon));
  std::thread kernel([&] { timeline->Signal(2); });
  EXPECT_OK(x.FillWith<uint8_t>(1));
  kernel.join();
}

TEST_F(CopyTest, TellsTheErrorOfAFailedUse) {
  const Buffer x = BytesIn(cpu_, 8);
  ASSERT_OK(x.EnsureAllocated());
  auto device = std::make_shared<HostTimeline>();
  ASSERT_OK(x.RecordUse(Access::kWrite, Fence(device, 1)));
  device->Fail(absl::DataLossError("the device fell off the bus, says its test"));
  uint8_t host[8];
  EXPECT_CODE(DataLoss, x.CopyOut(host, 8));
  EXPECT_CODE(DataLoss, x.As<uint8_t>());
  EXPECT_CODE(DataLoss, BytesIn(cpu_, 8).CopyFrom(x));
}

// --- Many at once, and failures
// ---------------------------------------------------------------------

TEST_F(CopyTest, RacingCopiesAllocateOnce) {
  for (int round = 0; round < 10; ++round) {
    const Buffer source = BytesIn(cpu_, 64 * 64), target = BytesIn(other_cpu_, 64 * 64);
    const uint64_t before = cpu_.Stats().allocation_count;
    const uint64_t other_before = other_cpu_.Stats().allocation_count;
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 64; ++i) {
      threads.emplace_back([&, i] {
        const std::vector<uint8_t> mine(64, static_cast<uint8_t>(i));
        EXPECT_OK(source.CopyInAt(i * 64, mine.data(), 64));
        EXPECT_OK(target.CopyRegionFrom(source, i * 64, (63 - i) * 64, 64));
        std::vector<uint8_t> seen(64);
        EXPECT_OK(target.CopyOutAt((63 - i) * 64, seen.data(), 64));
        EXPECT_EQ(seen, mine);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(cpu_.Stats().allocation_count, before + 1);
    EXPECT_EQ(other_cpu_.Stats().allocation_count, other_before + 1);
  }
}

// Everything that touches bytes, on two allocators that may fail; the first error.
absl::Status Scenario(Allocator& a, Allocator& b) {
  absl::Status first;
  auto run = [&first](const absl::Status& status) { first.Update(status); };
  const std::vector<uint8_t> numbers = Numbers(64);
  const Buffer x = BytesIn(a, 64), y = BytesIn(b, 64), z = BytesIn(a, 64);
  run(x.CopyIn(numbers.data(), 64));
  run(y.CopyFrom(x));
  run(z.Fill(std::vector<std::byte>(2, std::byte{3})));
  run(z.CopyWithin(0, 5, 50));
  run(z.CopyRegionFrom(y, 0, 32, 32));
  run(x.Set<uint8_t>({3}, 9));
  run(StatusOf(x.Get<uint8_t>({3})));
  const Buffer packed = *Buffer::Create(b, DType::kInt4, *Shape::Of({5}));
  run(packed.Set<Int4>({1}, Int4(3)));
  absl::StatusOr<std::vector<Buffer>> forks =
      Buffer::ForkViews({x, y, *x.View(8, 8)}, Buffer::Contents::kCopied);
  run(forks.status());
  absl::StatusOr<Buffer> made =
      Buffer::FromBytes(b, DType::kUInt8, Shape::Vector(64), numbers.data(), 64);
  run(made.status());
  for (absl::StatusOr<Fence> fence : {x.CopyInAsync(numbers.data(), 64), y.CopyFromAsync(x),
                                      z.FillAsync(std::vector<std::byte>(4))}) {
    run(fence.ok() ? fence->Wait() : fence.status());
  }
  if (a.traits().host_writable) {
    const Buffer fresh = BytesIn(a, 8);
    run(StatusOf(fresh.AsMutable<uint8_t>()));
    run(StatusOf(BytesIn(a, 8).Map(Access::kWrite)));
  }
  std::vector<uint8_t> out(64);
  run(y.CopyOut(out.data(), 64));
  if (first.ok()) {
    EXPECT_EQ(out[4], numbers[4]);
  }
  return first;
}

TEST_F(CopyTest, EveryFailureIsAClearErrorAndLeaksNothing) {
  for (bool far : {false, true}) {
    auto upstream = [far]() -> std::unique_ptr<Allocator> {
      if (far) return std::make_unique<FarAllocator>();
      return std::make_unique<CpuAllocator>();
    };
    for (bool copies : {false, true}) {
      for (uint64_t n = 1;; ++n) {
        ASSERT_LT(n, 100u);
        FaultPlan plan;
        (copies ? plan.nth_copy : plan.nth) = n;
        FaultInjectingAllocator a(upstream(), plan), b(upstream(), plan);
        const absl::Status status = Scenario(a, b);
        EXPECT_EQ(a.Stats().in_use_count, 0u) << n;
        EXPECT_EQ(b.Stats().in_use_count, 0u) << n;
        if (a.faults() + b.faults() == 0) {
          EXPECT_OK(status);
          EXPECT_GT(n, 3u);
          break;
        }
        EXPECT_CODE(ResourceExhausted, status);
      }
    }
    for (uint64_t every : {1, 2, 3}) {
      FaultPlan plan;
      plan.every_nth = every;
      FaultInjectingAllocator a(upstream(), plan), b(upstream(), plan);
      EXPECT_CODE(ResourceExhausted, Scenario(a, b));
      EXPECT_EQ(a.Stats().in_use_count + b.Stats().in_use_count, 0u);
    }
  }
}

// --- Routes, events
// ---------------------------------------------------------------------------------

class CountingRoute final : public CopyRoute {
 public:
  CountingRoute(int* count, bool able) : count_(count), able_(able) {}
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    ++*count_;
    if (!able_) return absl::UnimplementedError("these two can't reach each other");
    return from.allocator->CopyOut(to.region.host(), from.region, options);
  }

 private:
  int* count_;
  bool able_;
};

TEST_F(CopyTest, RegisteredRoutesComeFirst) {
  using Kind = CopyTable::RouteKind;
  CopyTable table;
  Allocation host, more_host, away;
  std::vector<uint8_t> from(8, 3), to(8);
  host.host = to.data();
  more_host.host = from.data();
  const Buffer source = BytesIn(far_, 8);
  ASSERT_OK(source.CopyIn(from.data(), 8));
  const CopyEnd a{&cpu_, {&host, 0, 8}}, b{&other_cpu_, {&more_host, 0, 8}};
  const CopyEnd c{&far_, {&source.storage()->root(), 0, 8}}, d{&vulkan_, {&away, 0, 8}};
  const CopyEnd none{&null_, {&away, 0, 8}};
  EXPECT_EQ(*table.RouteBetween(a, a), Kind::kWithin);
  EXPECT_EQ(*table.RouteBetween(a, b), Kind::kDirect);
  EXPECT_EQ(*table.RouteBetween(a, c), Kind::kOut);
  EXPECT_EQ(*table.RouteBetween(c, a), Kind::kIn);
  EXPECT_EQ(*table.RouteBetween(d, c), Kind::kStaged);
  EXPECT_CODE(FailedPrecondition, table.RouteBetween(none, a));
  EXPECT_CODE(InvalidArgument, table.Copy(a, {&far_, {&source.storage()->root(), 0, 7}}, {}));
  int able = 0, unable = 0;
  table.Register("cuda", "host", std::make_unique<CountingRoute>(&able, true));
  EXPECT_EQ(*table.RouteBetween(a, c), Kind::kRegistered);
  EXPECT_EQ(*table.RouteBetween(c, a), Kind::kIn);
  EXPECT_OK(table.Copy(a, c, {}));
  EXPECT_EQ(able, 1);
  EXPECT_EQ(to, from);
  // One that can't leaves it to the default.
  to.assign(8, 0);
  table.Register("cuda", "host", std::make_unique<CountingRoute>(&unable, false));
  EXPECT_OK(table.Copy(a, c, {}));
  EXPECT_EQ(unable, 1);
  EXPECT_EQ(to, from);
  table.Register("cuda", "host", nullptr);
  EXPECT_EQ(*table.RouteBetween(a, c), Kind::kOut);
  for (Kind kind :
       {Kind::kRegistered, Kind::kWithin, Kind::kDirect, Kind::kIn, Kind::kOut, Kind::kStaged}) {
    EXPECT_NE(RouteName(kind), "unknown");
  }
}

// A space that can be read and not written.
class OneWay final : public Decorator {
 public:
  using Decorator::Decorator;
  absl::StatusOr<Fence> CopyIn(const SubRegion&, const void*, const CopyOptions&) override {
    return absl::UnimplementedError("one-way memory takes nothing in");
  }
};

TEST_F(CopyTest, PairsThatDoNotExistNameBothSides) {
  OneWay one_way(std::make_unique<FarAllocator>(*MemorySpace::Parse("vulkan:3")));
  const Buffer x = BytesIn(one_way, 8);
  for (Allocator* from : {static_cast<Allocator*>(&cpu_), static_cast<Allocator*>(&far_)}) {
    const absl::Status status = x.CopyFrom(BytesIn(*from, 8));
    EXPECT_CODE(Unimplemented, status);
    EXPECT_TRUE(absl::StrContains(status.message(), "'vulkan:3'")) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), from->space().ToString())) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "register")) << status;
  }
}

TEST_F(CopyTest, ObserversSeeEveryMove) {
  class Collector : public Observer {
   public:
    void OnEvent(const Event& event) override {
      if (event.kind == Event::Kind::kAllocate || event.kind == Event::Kind::kFree) return;
      seen.push_back(std::string(EventKindName(event.kind)) + " " + std::string(event.name) + " " +
                     std::to_string(event.offset_bytes) + "+" + std::to_string(event.size_bytes));
      storages.emplace_back(event.storage, event.source_storage);
    }
    std::vector<std::string> seen;
    std::vector<std::pair<StorageId, StorageId>> storages;
  } collector;
  BufferOptions options;
  options.name = "x";
  const Buffer x = *Buffer::Create(cpu_, DType::kUInt8, Shape::Vector(16), options);
  options.name = "y";
  const Buffer y = *Buffer::Create(far_, DType::kUInt8, Shape::Vector(16), options);
  uint8_t host[16] = {};
  {
    ScopedObserver watch(&collector);
    EXPECT_OK(x.CopyInAt(4, host, 8));
    EXPECT_OK(x.CopyOut(host, 16));
    EXPECT_OK(y.CopyFrom(x));
    EXPECT_OK(y.FillWith<uint8_t>(1));
    EXPECT_FALSE(x.CopyInAt(17, host, 1).ok());
  }
  EXPECT_OK(x.CopyIn(host, 16));
  auto name = [](Event::Kind kind) { return std::string(EventKindName(kind)); };
  EXPECT_EQ(collector.seen,
            (std::vector<std::string>{
                name(Event::Kind::kCopyIn) + " x 4+8", name(Event::Kind::kCopyOut) + " x 0+16",
                name(Event::Kind::kCopy) + " y 0+16", name(Event::Kind::kFill) + " y 0+16"}));
  EXPECT_EQ(collector.storages[2], std::make_pair(y.storage_id(), x.storage_id()));
}

}  // namespace
}  // namespace tenure
