// Bytes that are given again before they are free, to a queue that comes after those who use them.
// On the fake device, which writes down every use that nothing orders.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/cuda/fake_driver.h"
#include "tenure/tests/runtime/status_matchers.h"

namespace tenure::cuda {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

class CudaQueueTest : public testing::Test {
 protected:
  CudaQueueTest() {
    driver_.emplace(*Driver::FromTable(fake_.table()));
    device_ = *Device::Open(*driver_, 0);
    first_ = *DeviceStream::Create(device_);
    second_ = *DeviceStream::Create(device_);
  }
  void TearDown() override {
    fake_.ReleaseAll();
    if (space_ != nullptr) EXPECT_OK(Finish());
    space_.reset();
    first_.reset();
    second_.reset();
    device_.reset();
    EXPECT_EQ(fake_.Violations(), std::vector<std::string>());
    EXPECT_EQ(fake_.LeakReport(), std::vector<std::string>());
  }
  absl::Status Finish() {
    absl::Status status = first_->Synchronize();
    status.Update(second_->Synchronize());
    status.Update(space_->Synchronize());
    space_->Poll();
    return status;
  }

  // A budget in which what tests make has room once.
  Allocator& Open(uint64_t budget, SpaceKind kind = SpaceKind::kCuda) {
    space_ = *MakeAllocatorOn(device_, kind, {.max_reserved_bytes = budget});
    return *space_;
  }
  Buffer Make(uint64_t size, const DeviceStream* stream, bool zeroed = false) {
    BufferOptions options;
    options.zeroed = zeroed;
    options.immediate = true;
    if (stream != nullptr) options.queue = stream->handle();
    absl::StatusOr<Buffer> made =
        Buffer::Create(*space_, DType::kUInt8, Shape::Vector(size), options);
    EXPECT_OK(made);
    return made.ok() ? *made : Buffer();
  }
  absl::Status TryMake(uint64_t size, const DeviceStream* stream) {
    return Buffer::Create(*space_, DType::kUInt8, Shape::Vector(size),
                          {.immediate = true, .queue = stream == nullptr ? 0 : stream->handle()})
        .status();
  }
  // As a kernel of the embedder's: writes all of it when the stream gets there.
  void Write(const Buffer& buffer, DeviceStream& stream, uint8_t value) {
    fake_.LaunchWrite(stream.get(), *buffer.MutableDeviceAddress(), buffer.size(), value);
    absl::StatusOr<Fence> done = stream.Record();
    ASSERT_OK(done);
    ASSERT_OK(buffer.RecordUse(Access::kWrite, *done));
  }
  static uint64_t AddressOf(const Buffer& buffer) { return *buffer.MutableDeviceAddress(); }

  FakeDriver fake_;
  std::optional<Driver> driver_;
  std::shared_ptr<Device> device_;
  std::shared_ptr<DeviceStream> first_, second_;
  std::unique_ptr<Allocator> space_;
};

TEST_F(CudaQueueTest, TheSameQueueGetsTheBytesAtOnce) {
  for (const SpaceKind kind : {SpaceKind::kCuda, SpaceKind::kCudaUnified, SpaceKind::kCudaPinned}) {
    for (const uint64_t size : {uint64_t{1000}, 4 * kMiB}) {
      Open(SpaceTraits::kUnlimited, kind);
      fake_.Hold(first_->get());
      Buffer used = Make(size, first_.get());
      const uint64_t address = AddressOf(used);
      Write(used, *first_, 1);
      used = Buffer();
      // To others nothing is given early.
      EXPECT_NE(AddressOf(Make(size, nullptr)), address);
      EXPECT_NE(AddressOf(Make(size, second_.get())), address);
      const uint64_t reserved = space_->Stats().reserved_bytes;
      for (uint8_t i = 2; i < 5; ++i) {
        // Large ones find what is free first: all of it is used.
        Buffer filler = size > kMiB ? Make(size, nullptr) : Buffer();
        Buffer next = Make(size, first_.get());
        if (size > kMiB) {
          EXPECT_EQ(AddressOf(next), address);
          EXPECT_EQ(space_->Stats().reserved_bytes, reserved);
          EXPECT_EQ(next.PendingUses(Access::kRead).size(), 1u);
        }
        Write(next, *first_, i);
      }
      fake_.Release(first_->get());
      ASSERT_OK(Finish());
      EXPECT_EQ(space_->Stats().deferred_bytes, 0u);
    }
  }
}

// The embedder's fences are of a timeline of its own making: the stream counts.
TEST_F(CudaQueueTest, TheQueueIsKnownByItsStream) {
  Open(4 * kMiB);
  std::shared_ptr<DeviceStream> wrapped = *DeviceStream::Wrap(device_, first_->get());
  fake_.Hold(first_->get());
  Buffer used = Make(4 * kMiB, nullptr);
  Write(used, *wrapped, 1);
  const uint64_t waits = fake_.Calls("StreamWaitEvent");
  used = Buffer();
  wrapped.reset();
  Buffer next = Make(4 * kMiB, first_.get());
  Write(next, *first_, 2);
  // Made sure of all the same: a handle may be another stream's by now.
  EXPECT_EQ(fake_.Calls("StreamWaitEvent"), waits + 1);
}

TEST_F(CudaQueueTest, TheHostWaitsForThoseWhoHadTheBytes) {
  Open(4 * kMiB, SpaceKind::kCudaUnified);
  fake_.Hold(first_->get());
  Buffer used = Make(4 * kMiB, first_.get());
  Write(used, *first_, 1);
  used = Buffer();
  Buffer next = Make(4 * kMiB, first_.get());
  EXPECT_CODE(DeadlineExceeded, next.Bytes(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, next.MutableBytes(absl::Milliseconds(1)));
  const std::vector<uint8_t> twos(next.size(), 2);
  EXPECT_CODE(DeadlineExceeded,
              next.CopyIn(twos.data(), twos.size(), {.timeout = absl::Milliseconds(1)}));
  // What the allocator's own queues do comes after, too.
  const std::byte two{2};
  ASSERT_OK(next.FillAsync({&two, 1}));
  fake_.Release(first_->get());
  absl::StatusOr<absl::Span<const std::byte>> bytes = next.Bytes();
  ASSERT_OK(bytes);
  EXPECT_EQ((*bytes)[0], two);
  EXPECT_EQ(bytes->back(), two);
}

TEST_F(CudaQueueTest, FreedUnusedTheyAreStillInUse) {
  Open(4 * kMiB);
  fake_.Hold(first_->get());
  Buffer used = Make(4 * kMiB, first_.get());
  Write(used, *first_, 1);
  used = Buffer();
  Make(4 * kMiB, first_.get());
  EXPECT_EQ(space_->Stats().deferred_bytes, 4 * kMiB);
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, nullptr));
  fake_.Release(first_->get());
  ASSERT_OK(first_->Synchronize());
  EXPECT_OK(TryMake(4 * kMiB, nullptr));
}

TEST_F(CudaQueueTest, OtherQueuesGrowFirstAndThenWaitOnTheDevice) {
  Open(8 * kMiB);
  fake_.Hold(first_->get());
  Buffer used = Make(4 * kMiB, first_.get());
  const uint64_t address = AddressOf(used);
  Write(used, *first_, 1);
  used = Buffer();
  Buffer grown = Make(4 * kMiB, second_.get());
  EXPECT_NE(AddressOf(grown), address);
  EXPECT_EQ(space_->Stats().reserved_bytes, 8 * kMiB);
  // Without a queue nothing is given before its time.
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, nullptr));
  Buffer waiting = Make(4 * kMiB, second_.get());
  EXPECT_EQ(AddressOf(waiting), address);
  Write(waiting, *second_, 2);
  EXPECT_EQ(fake_.Blocked(), std::vector<std::string>());
  fake_.Release(first_->get());
  ASSERT_OK(Finish());
  EXPECT_EQ(*fake_.Bytes(address, 1), std::byte{2});
}

TEST_F(CudaQueueTest, AllWhoUseThemAreWaitedFor) {
  Open(4 * kMiB);
  fake_.HoldAll();
  Buffer used = Make(4 * kMiB, nullptr);
  Write(used, *first_, 1);
  absl::StatusOr<Fence> before = first_->Record();
  ASSERT_OK(before);
  ASSERT_OK(second_->WaitFor(*before));
  Write(used, *second_, 2);
  used = Buffer();
  // Its own fence is not enough.
  Buffer next = Make(4 * kMiB, first_.get());
  EXPECT_EQ(next.PendingUses(Access::kRead).size(), 2u);
  Write(next, *first_, 3);
  const uint64_t address = AddressOf(next);
  fake_.ReleaseAll();
  ASSERT_OK(Finish());
  EXPECT_EQ(*fake_.Bytes(address, 1), std::byte{3});
}

TEST_F(CudaQueueTest, BlocksAreCutAndJoined) {
  Open(12 * kMiB);
  fake_.HoldAll();
  std::vector<Buffer> parts;
  for (int i = 0; i < 6; ++i) parts.push_back(Make(2 * kMiB, nullptr));
  const uint64_t base = AddressOf(parts[0]);
  Write(parts[0], *first_, 1);
  Write(parts[2], *first_, 2);
  Write(parts[3], *second_, 3);
  Write(parts[4], *first_, 4);
  // [ first | free | first | second | first | in use ]
  for (int i = 0; i < 5; ++i) parts[i] = Buffer();
  Buffer small = Make(kMiB, nullptr);
  EXPECT_EQ(AddressOf(small), base + 2 * kMiB);
  small = Buffer();
  // Over a part of one, what is free, and a part of another.
  Buffer joined = Make(5 * kMiB, first_.get());
  EXPECT_EQ(AddressOf(joined), base);
  EXPECT_EQ(joined.PendingUses(Access::kRead).size(), 1u);
  Write(joined, *first_, 5);
  EXPECT_EQ(space_->Stats().deferred_bytes, 5 * kMiB);
  // The rest of it, and the block of the other queue behind it.
  Buffer rest = Make(3 * kMiB, second_.get());
  EXPECT_EQ(AddressOf(rest), base + 5 * kMiB);
  EXPECT_EQ(rest.PendingUses(Access::kRead).size(), 2u);
  Write(rest, *second_, 6);
  EXPECT_CODE(ResourceExhausted, TryMake(kMiB, nullptr));
  fake_.ReleaseAll();
  ASSERT_OK(Finish());
  EXPECT_EQ(space_->Stats().deferred_bytes, 0u);
  joined = rest = Buffer();
  ASSERT_OK(Finish());
  EXPECT_EQ(space_->Stats().cached_bytes, 10 * kMiB);
  EXPECT_EQ(space_->Stats().largest_free_bytes, 10 * kMiB);
  parts.clear();
}

TEST_F(CudaQueueTest, NothingIsGivenEarlyWhereTheOrderIsNotTheDevices) {
  Open(4 * kMiB);
  auto host = std::make_shared<HostTimeline>();
  Buffer used = Make(4 * kMiB, nullptr);
  ASSERT_OK(used.RecordUse(Access::kRead, Fence(host, 1)));
  used = Buffer();
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, first_.get()));
  host->Signal(1);
  used = Make(4 * kMiB, first_.get());
  fake_.Hold(first_->get());
  Write(used, *first_, 1);
  used = Buffer();
  // Filled before it is used first; whoever asks can't say what the fences are; a graph.
  EXPECT_CODE(ResourceExhausted,
              Buffer::Create(*space_, DType::kUInt8, Shape::Vector(kMiB),
                             {.zeroed = true, .immediate = true, .queue = first_->handle()}));
  AllocationRequest silent;
  silent.size_bytes = kMiB;
  silent.queue = first_->handle();
  EXPECT_CODE(ResourceExhausted, space_->Allocate(silent));
  ASSERT_EQ(fake_.BeginCapture(second_->get()), CUDA_SUCCESS);
  EXPECT_CODE(ResourceExhausted, TryMake(kMiB, second_.get()));
  FakeGraph graph;
  ASSERT_EQ(fake_.EndCapture(second_->get(), &graph), CUDA_SUCCESS);
}

TEST_F(CudaQueueTest, AQueueThatCannotWaitLeavesTheBytesWaiting) {
  Open(4 * kMiB);
  fake_.Hold(first_->get());
  Buffer used = Make(4 * kMiB, nullptr);
  Write(used, *first_, 1);
  used = Buffer();
  fake_.FailCall("StreamWaitEvent", 1, CUDA_ERROR_UNKNOWN);
  const absl::Status status = TryMake(kMiB, first_.get());
  EXPECT_NE(status.message().find("cuStreamWaitEvent"), std::string::npos) << status;
  EXPECT_EQ(space_->Stats().deferred_bytes, 4 * kMiB);
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, nullptr));
  EXPECT_OK(TryMake(4 * kMiB, first_.get()));
}

// Everything at random, in a space where it only fits by reuse.
TEST_F(CudaQueueTest, NothingIsEverUsedWithoutOrder) {
  for (const uint32_t seed : {1, 2, 3}) {
    Open(24 * kMiB);
    std::mt19937 random(seed);
    auto upto = [&](uint32_t n) { return random() % n; };
    std::vector<Buffer> live;
    int exhausted = 0;
    for (int step = 0; step < 400; ++step) {
      if (step % 40 == 0) fake_.Hold(upto(2) == 0 ? first_->get() : second_->get());
      if (step % 40 == 25) fake_.ReleaseAll();
      DeviceStream& stream = upto(2) == 0 ? *first_ : *second_;
      const uint64_t size = upto(2) == 0 ? 1 + upto(300000) : kMiB / 2 + upto(4 * kMiB);
      absl::StatusOr<Buffer> made =
          Buffer::Create(*space_, DType::kUInt8, Shape::Vector(size),
                         {.immediate = true, .queue = upto(5) == 0 ? 0 : stream.handle()});
      if (made.ok()) {
        // With a queue it is ordered after those before; without, all of it is free.
        Write(*made, stream, static_cast<uint8_t>(step));
        live.push_back(*made);
      } else {
        EXPECT_TRUE(absl::IsResourceExhausted(made.status())) << made.status();
        ++exhausted;
      }
      while (live.size() > 8 || (!made.ok() && !live.empty())) {
        std::swap(live[upto(static_cast<uint32_t>(live.size()))], live.back());
        live.pop_back();
        if (live.size() <= 8 && upto(2) == 0) break;
      }
      ASSERT_EQ(fake_.Violations(), std::vector<std::string>()) << seed << " " << step;
    }
    live.clear();
    fake_.ReleaseAll();
    ASSERT_OK(Finish());
    EXPECT_EQ(space_->Stats().deferred_bytes, 0u);
    EXPECT_EQ(space_->Stats().cached_bytes, space_->Stats().reserved_bytes);
    EXPECT_LT(exhausted, 200);
    space_->Trim(0);
    EXPECT_EQ(space_->Stats().reserved_bytes, 0u);
  }
}

TEST_F(CudaQueueTest, ThreadsShareWhatWaits) {
  Open(16 * kMiB);
  std::atomic<int> made_count{0};
  std::vector<std::thread> threads;
  for (uint32_t number = 0; number < 4; ++number) {
    threads.emplace_back([this, number, &made_count] {
      std::shared_ptr<DeviceStream> stream = *DeviceStream::Create(device_);
      std::mt19937 random(number);
      for (int round = 0; round < 150; ++round) {
        const uint64_t size = random() % 2 == 0 ? 1 + random() % 100000 : kMiB + random() % kMiB;
        absl::StatusOr<Buffer> made =
            Buffer::Create(*space_, DType::kUInt8, Shape::Vector(size),
                           {.immediate = true, .queue = random() % 4 == 0 ? 0 : stream->handle()});
        if (!made.ok()) {
          EXPECT_TRUE(absl::IsResourceExhausted(made.status())) << made.status();
          continue;
        }
        ++made_count;
        Write(*made, *stream, static_cast<uint8_t>(number));
        if (random() % 8 == 0) {
          uint8_t seen = 0;
          EXPECT_OK(made->CopyOutAt(size / 2, &seen, 1));
          EXPECT_EQ(seen, number);
        }
      }
      EXPECT_OK(stream->Synchronize());
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK(Finish());
  EXPECT_GT(made_count, 100);
  EXPECT_EQ(space_->Stats().deferred_bytes, 0u);
  EXPECT_EQ(space_->Stats().cached_bytes, space_->Stats().reserved_bytes);
}

}  // namespace
}  // namespace tenure::cuda
