// Transient memory of frames: on a card that FakeCard plays, and on Mesa's CPU driver.

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/vulkan/frame_memory.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

std::unique_ptr<FrameMemory> FramesOf(Allocator& allocator, FrameMemory::Options options = {}) {
  absl::StatusOr<std::unique_ptr<FrameMemory>> made = FrameMemory::Create(allocator, options);
  EXPECT_OK(made);
  return made.ok() ? *std::move(made) : nullptr;
}

SubRegion PieceOf(FrameMemory& frames, uint64_t size, uint64_t alignment = 0) {
  absl::StatusOr<SubRegion> piece = frames.Allocate(size, alignment);
  EXPECT_OK(piece);
  return piece.ok() ? *piece : SubRegion();
}

class VulkanFrames : public CardTest {
 protected:
  std::unique_ptr<Allocator> upload_ = MakeSpace(kUploadSpace);
};

TEST_F(VulkanFrames, PiecesAreAlignedMappedAndApart) {
  for (SpaceKind kind : {kUploadSpace, kDeviceSpace}) {
    const std::unique_ptr<Allocator> space = MakeSpace(kind);
    const std::unique_ptr<FrameMemory> frames = FramesOf(*space);
    ASSERT_OK(frames->BeginFrame());
    std::vector<std::pair<uint64_t, uint64_t>> seen;
    for (int i = 0; i < 200; ++i) {
      const uint64_t size = 1 + i * 97 % 5000, alignment = i % 3 == 0 ? 0 : uint64_t{1} << i % 13;
      const SubRegion piece = PieceOf(*frames, size, alignment);
      EXPECT_EQ(piece.size_bytes, size);
      const uint64_t address = piece.device_address();
      EXPECT_EQ(address % (alignment == 0 ? space->traits().min_alignment_bytes : alignment), 0u);
      EXPECT_EQ(piece.host() != nullptr, kind == kUploadSpace);
      seen.emplace_back(address, address + size);
    }
    std::sort(seen.begin(), seen.end());
    for (size_t i = 1; i < seen.size(); ++i) EXPECT_LE(seen[i - 1].second, seen[i].first);
    EXPECT_OK(frames->EndFrame({}));
  }
}

TEST_F(VulkanFrames, AFrameComesAgainWhenTheDeviceHasDoneWithIt) {
  const std::unique_ptr<FrameMemory> frames = FramesOf(*upload_, {.frames_in_flight = 2});
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  card_.Hold();
  std::vector<uint64_t> addresses;
  Fence last;
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(frames->BeginFrame());
    addresses.push_back(PieceOf(*frames, 1000).device_address());
    absl::StatusOr<Fence> done = queue->Record();
    ASSERT_OK(done);
    ASSERT_OK(frames->EndFrame({*done}));
    last = *done;
  }
  EXPECT_NE(addresses[0], addresses[1]);
  EXPECT_CODE(DeadlineExceeded, frames->BeginFrame(absl::Milliseconds(20)));
  EXPECT_CODE(FailedPrecondition, frames->Allocate(4));
  frames->Trim();  // both are in use
  EXPECT_NE(frames->reserved_bytes(), 0u);
  card_.ReleaseHeld(1);
  ASSERT_OK(frames->BeginFrame());
  EXPECT_EQ(PieceOf(*frames, 1000).device_address(), addresses[0]);
  ASSERT_OK(frames->EndFrame({}));
  EXPECT_CODE(DeadlineExceeded, frames->BeginFrame(absl::Milliseconds(20)));
  card_.ReleaseHeld();
  ASSERT_OK(frames->BeginFrame());
  EXPECT_EQ(PieceOf(*frames, 1000).device_address(), addresses[1]);
  ASSERT_OK(frames->EndFrame({}));
  frames->Trim();
  EXPECT_EQ(frames->reserved_bytes(), 0u);
}

TEST_F(VulkanFrames, AfterSomeFramesNothingIsAllocatedAnyMore) {
  const std::unique_ptr<FrameMemory> frames =
      FramesOf(*upload_, {.frames_in_flight = 3, .block_bytes = 1000});
  uint64_t allocations = 0;
  for (int i = 0; i < 30; ++i) {
    ASSERT_OK(frames->BeginFrame());
    for (int k = 0; k < 40; ++k) PieceOf(*frames, 700);
    PieceOf(*frames, 100000);
    ASSERT_OK(frames->EndFrame({}));
    if (i == 8) allocations = upload_->Stats().allocation_count;
  }
  EXPECT_EQ(upload_->Stats().allocation_count, allocations);
  EXPECT_EQ(upload_->Stats().in_use_count, 3u);
  EXPECT_EQ(upload_->Stats().in_use_bytes, frames->reserved_bytes());
}

// Work whose error is known before the frame ends, and work that fails later.
TEST_F(VulkanFrames, AnErrorOfTheFramesWorkIsToldOnceWhenItComesAgain) {
  for (const bool early : {true, false}) {
    const std::unique_ptr<FrameMemory> frames = FramesOf(*upload_, {.frames_in_flight = 1});
    auto work = std::make_shared<Completion>();
    ASSERT_OK(frames->BeginFrame());
    if (early) work->Finish(absl::AbortedError("the work failed"));
    ASSERT_OK(frames->EndFrame({Fence(work, 1)}));
    if (!early) work->Finish(absl::AbortedError("the work failed"));
    EXPECT_EQ(frames->BeginFrame().code(), absl::StatusCode::kAborted);
    EXPECT_OK(frames->BeginFrame());
  }
}

TEST_F(VulkanFrames, CallsThatMakeNoSenseAreRefused) {
  EXPECT_CODE(InvalidArgument, FrameMemory::Create(*upload_, {.frames_in_flight = 0}));
  EXPECT_CODE(InvalidArgument, FrameMemory::Create(*upload_, {.block_bytes = 0}));
  const std::unique_ptr<FrameMemory> frames = FramesOf(*upload_);
  EXPECT_CODE(FailedPrecondition, frames->Allocate(4));
  EXPECT_CODE(FailedPrecondition, frames->Flush());
  EXPECT_CODE(FailedPrecondition, frames->EndFrame({}));
  ASSERT_OK(frames->BeginFrame());
  EXPECT_CODE(FailedPrecondition, frames->BeginFrame());
  EXPECT_CODE(InvalidArgument, frames->Allocate(0));
  EXPECT_CODE(InvalidArgument, frames->Allocate(4, 3));
  EXPECT_CODE(InvalidArgument, frames->Allocate(4, 8192));
  EXPECT_CODE(ResourceExhausted, frames->Allocate(~uint64_t{0}));
  EXPECT_CODE(ResourceExhausted, frames->Allocate(~uint64_t{0} - 4095));
  PieceOf(*frames, 4);
  EXPECT_CODE(ResourceExhausted, frames->Allocate(~uint64_t{0} - 3, 4));
  EXPECT_OK(frames->EndFrame({}));
}

TEST_F(VulkanFrames, MemoryThatIsMissingIsSaidAndComesLater) {
  const std::unique_ptr<FrameMemory> frames = FramesOf(*upload_);
  ASSERT_OK(frames->BeginFrame());
  card_.FailCall("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY, 1, true);
  EXPECT_CODE(ResourceExhausted, frames->Allocate(4));
  card_.ClearFailures();
  PieceOf(*frames, 4);
  EXPECT_OK(frames->EndFrame({}));
}

TEST_F(VulkanFrames, WhereBlocksAreTooLargeAPieceStillHasItsPlace) {
  LimitingAllocator limited(MakeSpace(kUploadSpace), 10000);
  const std::unique_ptr<FrameMemory> frames = FramesOf(limited);
  ASSERT_OK(frames->BeginFrame());
  PieceOf(*frames, 6000);
  EXPECT_CODE(ResourceExhausted, frames->Allocate(6000));
  PieceOf(*frames, 4000);
  EXPECT_OK(frames->EndFrame({}));
}

TEST_F(VulkanFrames, BlocksAreFreedBehindTheFencesOfTheirFrame) {
  std::unique_ptr<FrameMemory> frames = FramesOf(*upload_);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  card_.Hold();
  ASSERT_OK(frames->BeginFrame());
  PieceOf(*frames, 1000);
  absl::StatusOr<Fence> done = queue->Record();
  ASSERT_OK(done);
  ASSERT_OK(frames->EndFrame({*done}));
  frames = nullptr;
  EXPECT_NE(upload_->Stats().deferred_bytes, 0u);
  card_.ReleaseHeld();
  ASSERT_OK(done->Wait());
  upload_->Poll();
  EXPECT_EQ(upload_->Stats().deferred_bytes, 0u);
}

TEST_F(VulkanFrames, TheDeviceSeesWhatWasFlushed) {
  // Cached memory that is not coherent.
  const std::unique_ptr<Allocator> space = MakeSpace(kReadbackSpace);
  const std::unique_ptr<FrameMemory> frames = FramesOf(*space);
  ASSERT_OK(frames->BeginFrame());
  const SubRegion a = PieceOf(*frames, 100, 4), b = PieceOf(*frames, 1000, 4);
  const std::vector<uint8_t> bytes = Pattern(1100);
  std::memcpy(a.host(), bytes.data(), 100);
  std::memcpy(b.host(), bytes.data() + 100, 1000);
  card_.ClearRanges();
  ASSERT_OK(frames->Flush());
  EXPECT_EQ(card_.Ranges().size(), 1u);
  for (const FakeRange& range : card_.Ranges()) EXPECT_TRUE(range.flush);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  std::vector<uint8_t> seen(1100);
  CopyOptions options;
  options.queue = queue.get();
  EXPECT_OK(space->CopyOut(seen.data(), a, options)->Wait());
  EXPECT_OK(space->CopyOut(seen.data() + 100, b, options)->Wait());
  EXPECT_EQ(seen, bytes);
  card_.FailCall("vkFlushMappedMemoryRanges", VK_ERROR_OUT_OF_HOST_MEMORY);
  EXPECT_CODE(ResourceExhausted, frames->Flush());
  EXPECT_OK(frames->EndFrame({}));
}

TEST(VulkanCpuFrames, ThreadsFillFramesAndTheDeviceReadsThem) {
  const std::unique_ptr<Allocator> upload = CpuDevice::Get().Make(kUploadSpace);
  const std::unique_ptr<Allocator> device = CpuDevice::Get().Make(kDeviceSpace);
  const std::shared_ptr<DeviceQueue> queue = CpuDevice::Get().MakeQueue();
  const std::unique_ptr<FrameMemory> frames =
      FramesOf(*upload, {.frames_in_flight = 3, .block_bytes = 4096});
  constexpr int kThreads = 4, kPieces = 20;
  constexpr uint64_t kSize = 300;
  const Buffer target = Make(*device, kThreads * kPieces * kSize);
  const SubRegion all{&target.storage()->root(), target.storage()->root_offset(), target.size()};
  for (int round = 0; round < 12; ++round) {
    ASSERT_OK(frames->BeginFrame());
    std::vector<SubRegion> pieces(kThreads * kPieces);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        for (int i = t * kPieces; i < (t + 1) * kPieces; ++i) {
          pieces[i] = PieceOf(*frames, kSize);
          std::memset(pieces[i].host(), (round * 7 + i) & 255, kSize);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_OK(frames->Flush());
    absl::StatusOr<Fence> done = queue->SubmitRecorded({}, [&](VkCommandBuffer commands) {
      for (int i = 0; i < kThreads * kPieces; ++i) {
        const VkBufferCopy copy = {
            .srcOffset = pieces[i].allocation->native_offset + pieces[i].offset_bytes,
            .dstOffset = all.allocation->native_offset + all.offset_bytes + i * kSize,
            .size = kSize};
        queue->device()->calls().CmdCopyBuffer(
            commands, reinterpret_cast<VkBuffer>(pieces[i].allocation->native_handle),
            reinterpret_cast<VkBuffer>(all.allocation->native_handle), 1, &copy);
      }
      return absl::OkStatus();
    });
    ASSERT_OK(done);
    ASSERT_OK(frames->EndFrame({*done}));
    ASSERT_OK(target.RecordUse(Access::kWrite, *done));
    if (round % 4 != 3) continue;  // the host runs ahead
    const std::vector<uint8_t> seen = BytesOf(target);
    for (int i = 0; i < kThreads * kPieces; ++i) {
      EXPECT_EQ(seen[i * kSize], (round * 7 + i) & 255);
      EXPECT_EQ(seen[i * kSize + kSize - 1], (round * 7 + i) & 255);
    }
  }
}

}  // namespace
}  // namespace tenure::vulkan
