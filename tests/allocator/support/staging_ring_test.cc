// The ring over lanes of a device that is a vector of bytes. Copies that a lane queues move their
// bytes only when they are waited for, so a slot that is used too early has the wrong ones.

#include "tenure/allocator/support/staging_ring.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kObject = 77;

class FakeDevice {
 public:
  explicit FakeDevice(uint64_t size) : bytes(size) {}

  // Whether this call is to fail. `plan` counts down, and fails when it comes to 0.
  static absl::Status Count(std::atomic<int>& plan, const char* call) {
    if (plan.load() > 0 && plan.fetch_sub(1) == 1) {
      return absl::InternalError(std::string("the device failed in its call ") + call);
    }
    return absl::OkStatus();
  }
  void Moved(uint64_t offset, uint64_t size) {
    absl::MutexLock lock(&mutex);
    moves.emplace_back(offset, size);
  }
  // Whether the moves cover [0, size) and nothing twice.
  bool CoveredOnce(uint64_t size) {
    absl::MutexLock lock(&mutex);
    std::sort(moves.begin(), moves.end());
    uint64_t at = 0;
    for (const auto& [offset, bytes_of] : moves) {
      if (offset != at) return false;
      at += bytes_of;
    }
    moves.clear();
    return at == size;
  }

  std::vector<std::byte> bytes;
  std::atomic<int> fail_begin{0}, fail_send{0}, fail_receive{0}, fail_wait{0}, fail_finish{0};
  std::atomic<int> fail_make{0};  // so many lanes can't be made
  std::atomic<int> lanes{0};
  std::atomic<int> open{0};  // parts begun and not finished
  absl::Mutex mutex;
  std::vector<std::pair<uint64_t, uint64_t>> moves ABSL_GUARDED_BY(mutex);
};

class FakeLane final : public StagingLane {
 public:
  explicit FakeLane(FakeDevice& device) : device_(device), memory_(2 * kSlotBytes) {
    ++device_.lanes;
  }
  ~FakeLane() override { --device_.lanes; }

  std::byte* slot(int number) override {
    return memory_.data() + static_cast<uint64_t>(number) * kSlotBytes;
  }
  absl::Status Begin() override {
    absl::Status status = FakeDevice::Count(device_.fail_begin, "Begin");
    if (status.ok()) ++device_.open;
    return status;
  }
  absl::Status Send(int number, DevicePlace to, uint64_t size_bytes) override {
    return Queue(number, {true, to, size_bytes}, device_.fail_send, "Send");
  }
  absl::Status Receive(int number, DevicePlace from, uint64_t size_bytes) override {
    return Queue(number, {false, from, size_bytes}, device_.fail_receive, "Receive");
  }
  absl::Status WaitFor(int number) override {
    Move(number);
    return FakeDevice::Count(device_.fail_wait, "WaitFor");
  }
  absl::Status Finish() override {
    Move(0);
    Move(1);
    --device_.open;
    return FakeDevice::Count(device_.fail_finish, "Finish");
  }

 private:
  struct Copy {
    bool send = true;
    DevicePlace place;
    uint64_t size = 0;
  };
  absl::Status Queue(int number, const Copy& copy, std::atomic<int>& plan, const char* call) {
    EXPECT_EQ(queued_[number].size, 0u) << "the slot is still on its way";
    EXPECT_EQ(copy.place.object, kObject);
    EXPECT_LE(copy.size, kSlotBytes);
    absl::Status status = FakeDevice::Count(plan, call);
    if (status.ok()) queued_[number] = copy;
    return status;
  }
  void Move(int number) {
    Copy& copy = queued_[number];
    if (copy.size == 0) return;
    std::byte* there = device_.bytes.data() + copy.place.offset;
    if (copy.send) {
      std::memcpy(there, slot(number), copy.size);
    } else {
      std::memcpy(slot(number), there, copy.size);
    }
    device_.Moved(copy.place.offset, copy.size);
    copy.size = 0;
  }

  FakeDevice& device_;
  std::vector<std::byte> memory_;
  Copy queued_[2];
};

std::vector<std::byte> Numbers(uint64_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  for (uint64_t i = 0; i < size; ++i)
    bytes[i] = std::byte(static_cast<uint8_t>(i * 31 + i / 251 + seed));
  return bytes;
}

class StagingRingTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSize = 23 * kMiB + 12345;

  StagingRing::Options Options() {
    return {.make_lane = [this]() -> absl::StatusOr<std::unique_ptr<StagingLane>> {
      if (device_.fail_make.load() > 0 && device_.fail_make.fetch_sub(1) > 0) {
        return absl::ResourceExhaustedError("there is no memory left for a lane");
      }
      return std::make_unique<FakeLane>(device_);
    }};
  }
  static StagingRing::Reader ReaderOf(const std::vector<std::byte>& from) {
    return [&from](uint64_t offset, void* to, uint64_t size) {
      std::memcpy(to, from.data() + offset, size);
      return absl::OkStatus();
    };
  }
  absl::Status In(StagingRing& ring, const std::vector<std::byte>& from, int threads = 4) {
    absl::StatusOr<Fence> done =
        ring.ToDevice({kObject, 0}, from.size(), ReaderOf(from), {}, threads);
    return done.ok() ? done->Wait() : done.status();
  }
  absl::Status Out(StagingRing& ring, std::vector<std::byte>& to, int threads = 4) {
    absl::StatusOr<Fence> done = ring.ToHost(to.data(), {kObject, 0}, to.size(), {}, threads);
    return done.ok() ? done->Wait() : done.status();
  }
  bool OnDevice(const std::vector<std::byte>& bytes) {
    return std::equal(bytes.begin(), bytes.end(), device_.bytes.begin());
  }
  void TearDown() override {
    EXPECT_EQ(device_.lanes, 0);
    EXPECT_EQ(device_.open, 0);
  }

  FakeDevice device_{kSize};
};

TEST_F(StagingRingTest, EveryPieceArrivesOnce) {
  StagingRing ring(Options());
  uint64_t seed = 0;
  for (int threads : {0, 1, 2, 4, 100}) {
    for (uint64_t size : {uint64_t{1}, kMiB / 4, kMiB / 4 + 1, 5 * kMiB + 3, kSize}) {
      const std::vector<std::byte> bytes = Numbers(size, ++seed);
      ASSERT_OK(In(ring, bytes, threads));
      EXPECT_TRUE(OnDevice(bytes)) << threads << " threads, " << size;
      EXPECT_TRUE(device_.CoveredOnce(size)) << threads << " threads, " << size;
      std::vector<std::byte> found(size);
      ASSERT_OK(Out(ring, found, threads));
      EXPECT_EQ(found, bytes) << threads << " threads, " << size;
      EXPECT_TRUE(device_.CoveredOnce(size)) << threads << " threads, " << size;
    }
  }
  EXPECT_LE(device_.lanes, StagingRing::kMostThreads);
  EXPECT_OK(ring.ToDevice({kObject, 0}, 0, nullptr, {}, 0)->Wait());
}

TEST_F(StagingRingTest, EachFailureIsTheFencesAndEndsThere) {
  const std::vector<std::byte> bytes = Numbers(kSize, 3);
  std::vector<std::byte> found(kSize);
  StagingRing ring(Options());
  for (std::atomic<int>* plan : {&device_.fail_begin, &device_.fail_send, &device_.fail_receive,
                                 &device_.fail_wait, &device_.fail_finish}) {
    for (int nth : {1, 2, 7}) {
      *plan = nth;
      const absl::Status in = In(ring, bytes);
      const absl::Status out = Out(ring, found);
      // With few pieces or threads there may be no such call.
      if (*plan == 0) {
        EXPECT_NE(in.ok(), out.ok()) << in << out;
        EXPECT_CODE(Internal, in.ok() ? out : in);
      }
      *plan = 0;
      EXPECT_EQ(device_.open, 0);
      ASSERT_OK(In(ring, bytes));
      ASSERT_OK(Out(ring, found));
      EXPECT_EQ(found, bytes);
    }
  }
}

TEST_F(StagingRingTest, AReadersErrorIsTheFences) {
  StagingRing ring(Options());
  absl::StatusOr<Fence> done = ring.ToDevice(
      {kObject, 0}, kSize,
      [](uint64_t offset, void* to, uint64_t size) -> absl::Status {
        if (offset > kSize / 2) return absl::DataLossError("the file has shrunk meanwhile");
        std::memset(to, 0, size);
        return absl::OkStatus();
      },
      {}, 3);
  ASSERT_OK(done);
  EXPECT_CODE(DataLoss, done->Wait());
  EXPECT_OK(In(ring, Numbers(kSize, 4)));
}

TEST_F(StagingRingTest, AReadersExceptionIsTheFencesError) {
  StagingRing ring(Options());
  absl::StatusOr<Fence> done = ring.ToDevice(
      {kObject, 0}, kSize,
      [](uint64_t, void*, uint64_t) -> absl::Status { throw std::bad_alloc(); }, {}, 3);
  ASSERT_OK(done);
  EXPECT_CODE(ResourceExhausted, done->Wait());
  EXPECT_OK(In(ring, Numbers(kSize, 4)));
}

TEST_F(StagingRingTest, ThreadsWithoutALaneLeaveTheWorkToOthers) {
  const std::vector<std::byte> bytes = Numbers(kSize, 5);
  StagingRing ring(Options());
  device_.fail_make = 3;
  ASSERT_OK(In(ring, bytes));
  EXPECT_TRUE(OnDevice(bytes));
}

TEST_F(StagingRingTest, WithoutAnyLaneTheFenceSaysWhy) {
  const std::vector<std::byte> bytes = Numbers(kSize, 6);
  StagingRing ring(Options());
  device_.fail_make = 1 << 30;
  for (int i = 0; i < 3; ++i) EXPECT_CODE(ResourceExhausted, In(ring, bytes));
  device_.fail_make = 0;
  ASSERT_OK(In(ring, bytes));
  EXPECT_TRUE(OnDevice(bytes));
}

TEST_F(StagingRingTest, ALateFenceHoldsUpNobodyElse) {
  const std::vector<std::byte> late = Numbers(kSize, 7), other = Numbers(kSize, 8);
  StagingRing ring(Options());
  auto kernel = std::make_shared<HostTimeline>();
  // More copies than there are threads, each of a part of its own.
  constexpr uint64_t kParts = 20;
  std::vector<Fence> waiting;
  for (uint64_t i = 0; i < kParts; ++i) {
    const uint64_t begin = kSize * i / kParts, end = kSize * (i + 1) / kParts;
    auto read = [&late, begin](uint64_t offset, void* to, uint64_t size) {
      std::memcpy(to, late.data() + begin + offset, size);
      return absl::OkStatus();
    };
    absl::StatusOr<Fence> done =
        ring.ToDevice({kObject, begin}, end - begin, read, {Fence(kernel, 1)}, 2);
    ASSERT_OK(done);
    waiting.push_back(*done);
  }
  for (int i = 0; i < 5; ++i) ASSERT_OK(In(ring, other));
  EXPECT_TRUE(OnDevice(other));
  for (const Fence& fence : waiting) EXPECT_FALSE(fence.IsReached());
  kernel->Signal(1);
  ring.Drain();
  for (const Fence& fence : waiting) {
    EXPECT_TRUE(fence.IsReached());
    EXPECT_OK(fence.Wait());
  }
  EXPECT_TRUE(OnDevice(late));
}

TEST_F(StagingRingTest, WhatFollowsAFailureFails) {
  const std::vector<std::byte> bytes = Numbers(kSize, 9);
  StagingRing ring(Options());
  auto lost = std::make_shared<HostTimeline>();
  absl::StatusOr<Fence> done =
      ring.ToDevice({kObject, 0}, kSize, ReaderOf(bytes), {Fence(lost, 1)}, 2);
  ASSERT_OK(done);
  lost->Fail(absl::UnavailableError("the device fell off the bus"));
  EXPECT_CODE(Unavailable, done->Wait());
  EXPECT_OK(In(ring, bytes));
}

TEST_F(StagingRingTest, TheDestructorWaitsForWhatIsUnderWay) {
  const std::vector<std::byte> bytes = Numbers(kSize, 10);
  auto kernel = std::make_shared<HostTimeline>();
  Fence done;
  std::thread later;
  {
    StagingRing ring(Options());
    done = *ring.ToDevice({kObject, 0}, kSize, ReaderOf(bytes), {Fence(kernel, 1)}, 2);
    later = std::thread([&] { kernel->Signal(1); });
  }
  EXPECT_TRUE(done.IsReached());
  EXPECT_TRUE(OnDevice(bytes));
  later.join();
}

}  // namespace
}  // namespace tenure
