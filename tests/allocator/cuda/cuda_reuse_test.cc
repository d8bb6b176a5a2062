// Bytes that are given again before they are free, to a queue that comes after those who use them.
// On a fake device, which writes down every use that nothing orders, and on a real one, whose bytes
// tell.

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/tests/allocator/cuda/gpu_test.h"

namespace tenure::cuda {
namespace {

class CudaReuse : public GpuTest {
 protected:
  static BufferOptions For(const std::shared_ptr<DeviceStream>& stream) {
    return {.immediate = true, .hints = {.queue = stream}};
  }
  static absl::Status TryMake(Allocator& space, uint64_t size,
                              const std::shared_ptr<DeviceStream>& stream) {
    return Buffer::Create(space, DType::kUInt8, Shape::Vector(size), For(stream)).status();
  }
  // The host does not wait when memory runs out.
  static AllocatorOptions Limit(uint64_t bytes) {
    return {.max_reserved_bytes = bytes, .max_wait = absl::ZeroDuration()};
  }
  // A buffer that work on `stream` writes which has not begun; freed, its address.
  uint64_t FreedInUse(Allocator& space, uint64_t size, DeviceStream& stream) {
    Hold(stream);
    const Buffer used = Make(space, size);
    Write(used, stream, 1);
    return AddressOf(used);
  }

  std::shared_ptr<DeviceStream> first_ = NewStream(), second_ = NewStream();
};
TENURE_ON_ALL_GPUS(CudaReuse);

TEST_P(CudaReuse, TheSameQueueGetsTheBytesAtOnce) {
  for (const SpaceKind kind : kSpaces) {
    for (const uint64_t size : {uint64_t{1000}, 4 * kMiB}) {
      // Room for it twice: to others nothing is given early while there is other memory.
      Allocator& space = Open(kind, Limit(8 * kMiB));
      const uint64_t address = FreedInUse(space, size, *first_);
      absl::StatusOr<Fence> before = first_->Record();
      ASSERT_OK(before);
      EXPECT_NE(AddressOf(Make(space, size)), address);
      EXPECT_NE(AddressOf(Make(space, size, For(second_))), address);
      const uint64_t reserved = space.Stats().reserved_bytes;
      Buffer next;
      for (uint8_t i = 2; i < 5; ++i) {
        // Large ones find what is free first: all of it is used.
        const Buffer filler = size > kMiB ? Make(space, size) : Buffer();
        next = Buffer();
        next = Make(space, size, For(first_));
        if (size > kMiB) {
          EXPECT_EQ(AddressOf(next), address);
          EXPECT_EQ(space.Stats().reserved_bytes, reserved);
          EXPECT_EQ(next.PendingUses(Access::kRead).size(), 1u);
        }
        Write(next, *first_, i);
      }
      EXPECT_FALSE(before->IsReached()) << "somebody has waited";
      gpu_->Release();
      EXPECT_TRUE(AllAre(next, 4)) << kind.name() << size;
      next = Buffer();
      Settle(space);
    }
  }
}

TEST_P(CudaReuse, TheHostWaitsForThoseWhoHadTheBytes) {
  Allocator& space = Open(kUnifiedSpace, Limit(4 * kMiB));
  FreedInUse(space, 4 * kMiB, *first_);
  const Buffer next = Make(space, 4 * kMiB, For(first_));
  EXPECT_CODE(DeadlineExceeded, next.Bytes(absl::Milliseconds(1)));
  EXPECT_CODE(DeadlineExceeded, next.MutableBytes(absl::Milliseconds(1)));
  const std::vector<uint8_t> threes(next.size(), 3);
  EXPECT_CODE(DeadlineExceeded,
              next.CopyIn(threes.data(), threes.size(), {.timeout = absl::Milliseconds(1)}));
  // What the allocator's own queues do comes after, too.
  const std::byte two{2};
  absl::StatusOr<Fence> filled = next.FillAsync({&two, 1});
  ASSERT_OK(filled);
  EXPECT_FALSE(filled->IsReached());
  gpu_->Release();
  absl::StatusOr<absl::Span<const std::byte>> bytes = next.Bytes();
  ASSERT_OK(bytes);
  EXPECT_TRUE(std::vector<std::byte>(bytes->begin(), bytes->end()) ==
              std::vector<std::byte>(next.size(), two));
}

TEST_P(CudaReuse, FreedUnusedTheyAreStillInUse) {
  Allocator& space = Open(kDeviceSpace, Limit(4 * kMiB));
  FreedInUse(space, 4 * kMiB, *first_);
  Make(space, 4 * kMiB, For(first_));
  EXPECT_EQ(space.Stats().deferred_bytes, 4 * kMiB);
  EXPECT_CODE(ResourceExhausted, TryMake(space, 4 * kMiB, nullptr));
  gpu_->Release();
  ASSERT_OK(first_->Synchronize());
  EXPECT_OK(TryMake(space, 4 * kMiB, nullptr));
}

TEST_P(CudaReuse, OtherQueuesGrowFirstAndThenWaitOnTheDevice) {
  for (const SpaceKind kind : kSpaces) {
    Allocator& space = Open(kind, Limit(8 * kMiB));
    const uint64_t address = FreedInUse(space, 4 * kMiB, *first_);
    const Buffer grown = Make(space, 4 * kMiB, For(second_));
    EXPECT_NE(AddressOf(grown), address);
    EXPECT_EQ(space.Stats().reserved_bytes, 8 * kMiB);
    // Memory that nobody had is used while the first stream is held.
    Write(grown, *second_, 5);
    ASSERT_OK(second_->Synchronize());
    // Without a queue nothing is given before its time.
    EXPECT_CODE(ResourceExhausted, TryMake(space, 4 * kMiB, nullptr));
    const Buffer waiting = Make(space, 4 * kMiB, For(second_));
    EXPECT_EQ(AddressOf(waiting), address);
    Write(waiting, *second_, 2);
    absl::StatusOr<Fence> written = second_->Record();
    ASSERT_OK(written);
    // The second stream stands behind the first one, and the host behind nothing.
    EXPECT_CODE(DeadlineExceeded, written->Wait(absl::Milliseconds(20)));
    gpu_->Release();
    EXPECT_TRUE(AllAre(waiting, 2)) << kind.name();
    EXPECT_TRUE(AllAre(grown, 5)) << kind.name();
  }
}

TEST_P(CudaReuse, AllWhoUseThemAreWaitedFor) {
  for (const std::shared_ptr<DeviceStream>& user : {first_, second_}) {
    Allocator& space = Open(kDeviceSpace, Limit(4 * kMiB));
    Buffer used = Make(space, 4 * kMiB);
    Hold(*first_);
    Write(used, *first_, 1);
    absl::StatusOr<Fence> before = first_->Record();
    ASSERT_OK(before);
    ASSERT_OK(second_->WaitFor(*before));
    Hold(*second_);
    Write(used, *second_, 2);
    used = Buffer();
    // A queue's own fence is not enough, and that of the stream it waits for neither.
    const Buffer next = Make(space, 4 * kMiB, For(user));
    EXPECT_EQ(next.PendingUses(Access::kRead).size(), 2u);
    Write(next, *user, 3);
    EXPECT_FALSE(before->IsReached());
    gpu_->Release();
    EXPECT_TRUE(AllAre(next, 3));
  }
}

// To a stream that waits for an event which comes after the use.
TEST_P(CudaReuse, AStreamThatFollowsAnotherByAnEventGetsItsBytes) {
  Allocator& space = Open(kDeviceSpace, Limit(4 * kMiB));
  const Buffer pinned = Make(Space(kPinnedSpace), 4 * kMiB);
  const uint64_t address = FreedInUse(space, 4 * kMiB, *first_);
  absl::StatusOr<Fence> event = first_->Record();
  ASSERT_OK(event);
  ASSERT_OK(second_->WaitFor(*event));
  const Buffer next = Make(space, 4 * kMiB, For(second_));
  EXPECT_EQ(AddressOf(next), address);
  Write(next, *second_, 2);
  absl::StatusOr<Fence> copied = pinned.CopyFromAsync(next, {.queue = second_.get()});
  ASSERT_OK(copied);
  EXPECT_FALSE(event->IsReached());
  EXPECT_FALSE(copied->IsReached());
  gpu_->Release();
  ASSERT_OK(copied->Wait());
  EXPECT_TRUE(AllAre(pinned, 2));
}

TEST_P(CudaReuse, BlocksAreCutAndJoined) {
  Allocator& space = Open(kDeviceSpace, Limit(12 * kMiB));
  Hold(*first_);
  Hold(*second_);
  std::vector<Buffer> parts;
  for (int i = 0; i < 6; ++i) parts.push_back(Make(space, 2 * kMiB));
  const uint64_t base = AddressOf(parts[0]);
  Write(parts[0], *first_, 1);
  Write(parts[2], *first_, 2);
  Write(parts[3], *second_, 3);
  Write(parts[4], *first_, 4);
  // [ first | free | first | second | first | in use ]
  for (int i = 0; i < 5; ++i) parts[i] = Buffer();
  Buffer small = Make(space, kMiB);
  EXPECT_EQ(AddressOf(small), base + 2 * kMiB);
  small = Buffer();
  // Over a part of one, what is free, and a part of another.
  Buffer joined = Make(space, 5 * kMiB, For(first_));
  EXPECT_EQ(AddressOf(joined), base);
  EXPECT_EQ(joined.PendingUses(Access::kRead).size(), 1u);
  Write(joined, *first_, 5);
  EXPECT_EQ(space.Stats().deferred_bytes, 5 * kMiB);
  // The rest of it, and the block of the other queue behind it.
  Buffer rest = Make(space, 3 * kMiB, For(second_));
  EXPECT_EQ(AddressOf(rest), base + 5 * kMiB);
  EXPECT_EQ(rest.PendingUses(Access::kRead).size(), 2u);
  Write(rest, *second_, 6);
  EXPECT_CODE(ResourceExhausted, TryMake(space, kMiB, nullptr));
  gpu_->Release();
  EXPECT_TRUE(AllAre(joined, 5));
  EXPECT_TRUE(AllAre(rest, 6));
  joined = rest = Buffer();
  Settle(space);
  EXPECT_EQ(space.Stats().cached_bytes, 10 * kMiB);
  EXPECT_EQ(space.Stats().largest_free_bytes, 10 * kMiB);
}

// Everything at random, in a space where it only fits by reuse.
TEST_P(CudaReuse, NothingIsEverUsedWithoutOrder) {
  struct Kept {
    Buffer buffer;
    uint8_t value;
  };
  for (const uint32_t seed : {1, 2, 3}) {
    Allocator& space = Open(kDeviceSpace, Limit(24 * kMiB));
    std::mt19937 random(seed);
    auto upto = [&](size_t n) { return static_cast<uint32_t>(random() % n); };
    std::vector<Kept> live;
    int exhausted = 0;
    for (int step = 0; step < 400; ++step) {
      if (step % 40 == 0) Hold(upto(2) == 0 ? *first_ : *second_);
      if (step % 40 == 25) gpu_->Release();
      const std::shared_ptr<DeviceStream>& stream = upto(2) == 0 ? first_ : second_;
      const uint64_t size = upto(2) == 0 ? 1 + upto(300000) : kMiB / 2 + upto(4 * kMiB);
      absl::StatusOr<Buffer> made = Buffer::Create(space, DType::kUInt8, Shape::Vector(size),
                                                   For(upto(5) == 0 ? nullptr : stream));
      if (made.ok()) {
        // With a queue it is ordered after those before; without, all of it is free.
        live.push_back({*made, static_cast<uint8_t>(step)});
        Write(*made, *stream, live.back().value);
      } else {
        EXPECT_TRUE(absl::IsResourceExhausted(made.status())) << made.status();
        ++exhausted;
      }
      while (live.size() > 8 || (!made.ok() && !live.empty())) {
        std::swap(live[upto(live.size())], live.back());
        // Nobody wrote there whose turn was earlier. (Not while something is held.)
        if (step % 40 > 25) {
          ASSERT_TRUE(AllAre(live.back().buffer, live.back().value)) << seed << " " << step;
        }
        live.pop_back();
        if (live.size() <= 8 && upto(2) == 0) break;
      }
      ASSERT_EQ(gpu_->Complaints(), "") << seed << " " << step;
    }
    gpu_->Release();
    for (const Kept& kept : live) EXPECT_TRUE(AllAre(kept.buffer, kept.value)) << seed;
    live.clear();
    Settle(space);
    EXPECT_EQ(space.Stats().cached_bytes, space.Stats().reserved_bytes);
    EXPECT_LT(exhausted, 200);
    space.Trim(0);
    EXPECT_EQ(space.Stats().reserved_bytes, 0u);
  }
}

// Temporaries of a program that names no queue, with room for four of them.
TEST_P(CudaReuse, TheHostWaitsWhenMemoryRunsOut) {
  for (const SpaceKind kind : kSpaces) {
    Allocator& space = Open(kind, {.max_reserved_bytes = 16 * kMiB});
    for (int i = 0; i < 100; ++i) {
      const std::shared_ptr<DeviceStream>& stream = i % 3 == 0 ? first_ : second_;
      gpu_->Busy(stream->get(), absl::Microseconds(300));
      absl::StatusOr<Buffer> made = Buffer::Create(space, DType::kUInt8, Shape::Vector(4 * kMiB),
                                                   For(i % 5 == 0 ? stream : nullptr));
      ASSERT_OK(made);
      Write(*made, *stream, static_cast<uint8_t>(i));
      if (i % 10 == 0) {
        EXPECT_TRUE(AllAre(*made, static_cast<uint8_t>(i)));
      }
    }
    EXPECT_LE(space.Stats().reserved_bytes, 16 * kMiB);
    Settle(space);
  }
}

// A stream can't wait for the host's copies, so the host waits for them.
TEST_P(CudaReuse, StagedCopiesAreWaitedFor) {
  Allocator& space = Open(kDeviceSpace, {.max_reserved_bytes = 16 * kMiB});
  const std::vector<uint8_t> bytes(8 * kMiB, 7);
  for (int i = 0; i < 12; ++i) {
    absl::StatusOr<Buffer> made = Buffer::Create(space, DType::kUInt8, Shape::Vector(bytes.size()),
                                                 For(i % 2 == 0 ? first_ : nullptr));
    ASSERT_OK(made);
    absl::StatusOr<Fence> copied = made->CopyInAsync(bytes.data(), bytes.size());
    ASSERT_OK(copied);
    if (i == 11) {
      EXPECT_OK(copied->Wait());
    }
  }
}

TEST_P(CudaReuse, AllocatorsWaitForLateWorkWhenTheyEnd) {
  for (const SpaceKind kind : kSpaces) {
    Allocator& space = Open(kind, {});
    gpu_->Busy(first_->get(), absl::Milliseconds(20));
    Write(Make(space, 4 * kMiB), *first_, 1);
    EXPECT_EQ(space.Stats().deferred_bytes, 4 * kMiB);
    testing::internal::CaptureStderr();
    spaces_.clear();
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << kind.name();
  }
}

TEST_P(CudaReuse, ThreadsShareWhatWaits) {
  Allocator& space = Open(kDeviceSpace, {.max_reserved_bytes = 5 * kMiB});
  std::atomic<int> made_count{0};
  std::vector<std::thread> threads;
  for (uint32_t number = 0; number < 4; ++number) {
    threads.emplace_back([&, number, stream = NewStream()] {
      std::mt19937 random(number);
      for (int round = 0; round < 150; ++round) {
        const uint64_t size = random() % 2 == 0 ? 1 + random() % 100000 : kMiB + random() % kMiB;
        absl::StatusOr<Buffer> made = Buffer::Create(space, DType::kUInt8, Shape::Vector(size),
                                                     For(random() % 4 == 0 ? nullptr : stream));
        if (!made.ok()) {
          EXPECT_TRUE(absl::IsResourceExhausted(made.status())) << made.status();
          continue;
        }
        ++made_count;
        const auto value = static_cast<uint8_t>(number * 50 + round % 50);
        gpu_->Busy(stream->get(), absl::Microseconds(random() % 200));
        Write(*made, *stream, value);
        if (random() % 8 == 0) {
          EXPECT_TRUE(AllAre(*made, value));
        }
      }
      EXPECT_OK(stream->Synchronize());
    });
  }
  for (std::thread& thread : threads) thread.join();
  Settle(space);
  EXPECT_GT(made_count, 100);
  EXPECT_EQ(space.Stats().cached_bytes, space.Stats().reserved_bytes);
}

}  // namespace
}  // namespace tenure::cuda
