// Bytes that are given again before they are free: what only a fake device shows, whose calls are
// counted and fail. The rest is in cuda_reuse_test.

#include <cstdint>
#include <memory>

#include "tenure/tests/allocator/cuda/fake/fake_cuda.h"

namespace tenure::cuda {
namespace {

class CudaQueueTest : public FakeCuda {
 protected:
  CudaQueueTest() : space_(*MakeAllocatorOn(device_, kDeviceSpace, kOnce)) {}
  void TearDown() override {
    fake_.ReleaseAll();
    EXPECT_OK(first_->Synchronize());
    EXPECT_OK(second_->Synchronize());
    space_->Poll();
    space_.reset();
    first_.reset();
    second_.reset();
    FakeCuda::TearDown();
  }
  absl::Status TryMake(uint64_t size, const std::shared_ptr<DeviceStream>& stream) {
    return Buffer::Create(*space_, DType::kUInt8, Shape::Vector(size),
                          {.immediate = true, .hints = {.queue = stream}})
        .status();
  }
  // All that there is room for, freed while a held stream has yet to write it.
  void FreeInUse(DeviceStream& stream) {
    fake_.Hold(stream.get());
    const Buffer used = Make(*space_, 4 * kMiB);
    fake_.LaunchWrite(stream.get(), *used.MutableDeviceAddress(), used.size(), 1);
    absl::StatusOr<Fence> done = stream.Record();
    ASSERT_OK(done);
    ASSERT_OK(used.RecordUse(Access::kWrite, *done));
  }

  static constexpr AllocatorOptions kOnce = {.max_reserved_bytes = 4 * kMiB,
                                             .max_wait = absl::ZeroDuration()};
  std::unique_ptr<Allocator> space_;
  std::shared_ptr<DeviceStream> first_ = NewStream(), second_ = NewStream();
};

// Nobody asks for these fences: their events are used again all the same.
TEST_F(CudaQueueTest, FencesThatNobodyAsksAboutDoNotPileUp) {
  const uint64_t events = fake_.Calls("EventCreate");
  for (int i = 0; i < 3000; ++i) {
    ASSERT_OK(first_->Record());
    if (i % 100 == 0) {
      ASSERT_OK(first_->Synchronize());
    }
  }
  EXPECT_LE(fake_.Calls("EventCreate"), events + 500);
}

// The driver is asked about few of the events that have become complete since.
TEST_F(CudaQueueTest, ManyFencesAreLookedThroughByHalving) {
  fake_.Hold(first_->get());
  fake_.LaunchSleep(first_->get(), absl::ZeroDuration());
  std::vector<Fence> fences;
  for (int i = 0; i < 1000; ++i) {
    absl::StatusOr<Fence> fence = first_->Record();
    ASSERT_OK(fence);
    fences.push_back(*fence);
  }
  EXPECT_FALSE(fences[0].IsReached());
  for (int i = 0; i < 701; ++i) EXPECT_TRUE(fake_.Step(first_->get()));
  const uint64_t queries = fake_.Calls("EventQuery");
  EXPECT_TRUE(fences[699].IsReached());
  EXPECT_FALSE(fences[700].IsReached());
  EXPECT_TRUE(fences[3].IsReached());
  EXPECT_LE(fake_.Calls("EventQuery"), queries + 30);
  fake_.Release(first_->get());
  ASSERT_OK(first_->Synchronize());
  EXPECT_TRUE(fences[999].IsReached());
  EXPECT_LE(fake_.Calls("EventQuery"), queries + 60);
}

// However many streams freed bytes wait for.
TEST_F(CudaQueueTest, ACachedAllocationAsksAboutFewStreams) {
  std::unique_ptr<Allocator> space = *MakeAllocatorOn(device_, kDeviceSpace, {});
  std::vector<std::shared_ptr<DeviceStream>> streams;
  for (int i = 0; i < 40; ++i) {
    streams.push_back(NewStream());
    fake_.Hold(streams.back()->get());
    fake_.LaunchSleep(streams.back()->get(), absl::ZeroDuration());
    absl::StatusOr<Fence> done = streams.back()->Record();
    ASSERT_OK(done);
    ASSERT_OK(Make(*space, 1000).RecordUse(Access::kRead, *done));
  }
  EXPECT_GT(space->Stats().deferred_bytes, 0u);
  const uint64_t queries = fake_.Calls("EventQuery");
  for (int i = 0; i < 10; ++i) Make(*space, 1000).EnsureAllocated().IgnoreError();
  EXPECT_LE(fake_.Calls("EventQuery"), queries + 10 * 20);
  // In turn, all of them are asked about.
  fake_.ReleaseAll();
  for (const auto& stream : streams) EXPECT_OK(stream->Synchronize());
  for (int i = 0; i < 40; ++i) Make(*space, 1000).EnsureAllocated().IgnoreError();
  EXPECT_EQ(space->Stats().deferred_bytes, 0u);
  space.reset();
}

// The embedder's fences are of a timeline of its own making: the stream counts.
TEST_F(CudaQueueTest, TheQueueIsKnownByItsStream) {
  const uint64_t waits = fake_.Calls("StreamWaitEvent");
  FreeInUse(**DeviceStream::Wrap(device_, first_->get()));
  EXPECT_OK(TryMake(4 * kMiB, first_));
  // Made sure of all the same: a handle may be another stream's by now.
  EXPECT_EQ(fake_.Calls("StreamWaitEvent"), waits + 1);
}

TEST_F(CudaQueueTest, NothingIsGivenEarlyWhereTheOrderIsNotTheDevices) {
  auto host = std::make_shared<HostTimeline>();
  ASSERT_OK(Make(*space_, 4 * kMiB).RecordUse(Access::kRead, Fence(host, 1)));
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, first_));
  host->Signal(1);
  EXPECT_OK(TryMake(4 * kMiB, first_));
  FreeInUse(*first_);
  // Filled before it is used first; whoever asks can't say what the fences are; a graph.
  EXPECT_CODE(ResourceExhausted,
              Buffer::Create(*space_, DType::kUInt8, Shape::Vector(kMiB),
                             {.zeroed = true, .immediate = true, .hints = {.queue = first_}}));
  AllocationRequest silent;
  silent.size_bytes = kMiB;
  silent.hints.queue = first_;
  EXPECT_CODE(ResourceExhausted, space_->Allocate(silent));
  ASSERT_EQ(fake_.BeginCapture(second_->get()), CUDA_SUCCESS);
  EXPECT_CODE(ResourceExhausted, TryMake(kMiB, second_));
  FakeGraph graph;
  ASSERT_EQ(fake_.EndCapture(second_->get(), &graph), CUDA_SUCCESS);
}

TEST_F(CudaQueueTest, AQueueThatCannotWaitLeavesTheBytesWaiting) {
  FreeInUse(*second_);
  fake_.FailCall("StreamWaitEvent", 1, CUDA_ERROR_UNKNOWN);
  const absl::Status status = TryMake(4 * kMiB, first_);
  EXPECT_NE(status.message().find("cuStreamWaitEvent"), std::string::npos) << status;
  EXPECT_EQ(space_->Stats().deferred_bytes, 4 * kMiB);
  EXPECT_CODE(ResourceExhausted, TryMake(4 * kMiB, nullptr));
  EXPECT_OK(TryMake(4 * kMiB, first_));
}

}  // namespace
}  // namespace tenure::cuda
