// Memory and fences that Vulkan and CUDA share on a real card. Prints how long hand-overs take.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/shared_semaphore.h"
#include "tenure/allocator/vulkan/vulkan.h"
#include "tenure/runtime/interop/in_space.h"
#include "tenure/runtime/interop/same_card.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure {
namespace {

constexpr uint64_t kBytes = 64 * kMiB;
constexpr int kRounds = 20;
const BufferOptions kShared = {.immediate = true, .hints = {.sharing = Sharing::kPosixFd}};

struct Card {
  uint32_t cuda;
  uint32_t vulkan;
};

// The first CUDA device that is a Vulkan device too.
absl::StatusOr<Card> FindCard() {
  absl::StatusOr<std::vector<cuda::DeviceInfo>> cudas = cuda::Devices();
  if (!cudas.ok()) return cudas.status();
  absl::StatusOr<std::vector<vulkan::DeviceInfo>> vulkans = vulkan::Devices();
  if (!vulkans.ok()) return vulkans.status();
  std::vector<SpaceDevice> others;
  for (const vulkan::DeviceInfo& info : *vulkans) {
    others.push_back(
        {.ordinal = info.ordinal, .name = info.name, .uuid = info.uuid, .summary = ""});
  }
  for (const cuda::DeviceInfo& info : *cudas) {
    absl::StatusOr<uint32_t> found = SameCard(
        {.ordinal = info.ordinal, .name = info.name, .uuid = info.uuid, .summary = ""}, others);
    if (found.ok()) return Card{info.ordinal, *found};
  }
  return absl::NotFoundError("no device is both CUDA's and Vulkan's");
}

void Print(const char* what, std::vector<absl::Duration> times) {
  std::sort(times.begin(), times.end());
  const auto microseconds = [&](size_t of_100) {
    return absl::ToDoubleMicroseconds(times[(times.size() - 1) * of_100 / 100]);
  };
  std::printf("%-64s median %8.1f us, least %8.1f, 90 of 100 below %8.1f\n", what, microseconds(50),
              microseconds(0), microseconds(90));
}

class VulkanCudaGpu : public testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<Card> card = FindCard();
    if (!card.ok()) GTEST_SKIP() << card.status();
    absl::StatusOr<std::unique_ptr<Allocator>> cuda_space =
        cuda::MakeAllocator(MemorySpace::Device(cuda::kDeviceSpace, card->cuda));
    ASSERT_OK(cuda_space);
    cuda_ = *std::move(cuda_space);
    absl::StatusOr<std::unique_ptr<Allocator>> vulkan_space =
        vulkan::MakeAllocator(MemorySpace::Device(vulkan::kDeviceSpace, card->vulkan));
    ASSERT_OK(vulkan_space);
    vulkan_ = *std::move(vulkan_space);
    absl::StatusOr<const cuda::Driver*> driver = cuda::Driver::Default();
    ASSERT_OK(driver);
    device_ = *cuda::Device::Open(**driver, card->cuda);
    absl::StatusOr<std::shared_ptr<vulkan::Instance>> instance = vulkan::Instance::Default();
    ASSERT_OK(instance);
    vulkan_device_ = *vulkan::Device::Open(*instance, card->vulkan);
    queue_ = *vulkan::DeviceQueue::Create(vulkan_device_);
    stream_ = *cuda::DeviceStream::Create(device_);
  }
  void TearDown() override {
    if (queue_ != nullptr) {
      EXPECT_OK(queue_->Synchronize());
    }
    if (stream_ != nullptr) {
      EXPECT_OK(stream_->Synchronize());
    }
  }

  // Work of CUDA's that writes to the buffer, or reads it, and is recorded as that.
  template <typename Work>
  void OnCuda(const Buffer& buffer, Access access, Work work) {
    absl::StatusOr<SpaceView> view = InSpace(buffer, *cuda_, access);
    ASSERT_OK(view);
    for (const Fence& fence : buffer.PendingUses(access)) {
      ASSERT_TRUE(stream_->CanWaitFor(fence));
      ASSERT_OK(stream_->WaitFor(fence));
    }
    cuda::Device::Scope scope(*device_);
    ASSERT_OK(work(view->device_address));
    absl::StatusOr<Fence> done = stream_->Record();
    ASSERT_OK(done);
    ASSERT_OK(buffer.RecordUse(access, *done));
  }
  absl::Status CopyByCuda(uint64_t to, uint64_t from, uint64_t size) {
    return TENURE_CU(device_->driver(), MemcpyDtoDAsync, to, from, size, stream_->get());
  }
  absl::Status SetByCuda(uint64_t to, uint8_t value, uint64_t size) {
    return TENURE_CU(device_->driver(), MemsetD8Async, to, value, size, stream_->get());
  }
  // Keeps the stream busy for a tenth of a second, far longer than what is queued behind it takes.
  void BusyCuda() {
    const Buffer scratch = Make(*cuda_, 1024 * kMiB);
    cuda::Device::Scope scope(*device_);
    for (int i = 0; i < 400; ++i) ASSERT_OK(SetByCuda(AddressOf(scratch), 1, scratch.size()));
    absl::StatusOr<Fence> done = stream_->Record();
    ASSERT_OK(done);
    ASSERT_OK(scratch.RecordUse(Access::kWrite, *done));
  }
  absl::StatusOr<Fence> CopyByVulkan(uint64_t to, uint64_t from, uint64_t size,
                                     absl::Span<const Fence> after) {
    return queue_->SubmitRecorded(after, [&](VkCommandBuffer commands) {
      const VkBufferCopy region = {0, 0, size};
      vulkan_device_->calls().CmdCopyBuffer(commands, reinterpret_cast<VkBuffer>(from),
                                            reinterpret_cast<VkBuffer>(to), 1, &region);
      return absl::OkStatus();
    });
  }

  std::unique_ptr<Allocator> cuda_, vulkan_;
  std::shared_ptr<cuda::Device> device_;
  std::shared_ptr<vulkan::Device> vulkan_device_;
  std::shared_ptr<vulkan::DeviceQueue> queue_;
  std::shared_ptr<cuda::DeviceStream> stream_;
};

TEST_F(VulkanCudaGpu, MemoryOfVulkanIsExactInTwentyRounds) {
  const Buffer shared = Make(*vulkan_, kBytes, kShared);
  const Buffer from_vulkan = Make(*vulkan_, kBytes), to_vulkan = Make(*vulkan_, kBytes);
  const Buffer from_cuda = Make(*cuda_, kBytes), to_cuda = Make(*cuda_, kBytes);
  for (uint64_t round = 0; round < kRounds; ++round) {
    const std::vector<uint8_t> there = Pattern(kBytes, 2 * round),
                               back = Pattern(kBytes, 3 + round);
    ASSERT_OK(from_vulkan.CopyIn(there.data(), kBytes));
    ASSERT_OK(from_cuda.CopyIn(back.data(), kBytes));
    // From here to the end of the round, the host only queues.
    absl::StatusOr<Fence> copied = shared.CopyFromAsync(from_vulkan, {.queue = queue_.get()});
    ASSERT_OK(copied);
    OnCuda(shared, Access::kWrite, [&](uint64_t address) {
      absl::Status status = CopyByCuda(AddressOf(to_cuda), address, kBytes);
      return status.ok() ? CopyByCuda(address, AddressOf(from_cuda), kBytes) : status;
    });
    copied = to_vulkan.CopyFromAsync(shared, {.queue = queue_.get()});
    ASSERT_OK(copied);
    ASSERT_OK(stream_->Synchronize());
    ASSERT_OK(copied->Wait());
    ASSERT_TRUE(BytesOf(to_cuda) == there) << round;
    ASSERT_TRUE(BytesOf(to_vulkan) == back) << round;
  }
}

TEST_F(VulkanCudaGpu, MemoryOfCudaIsExactInTwentyRounds) {
  const Buffer shared = Make(*cuda_, kBytes, kShared);
  absl::StatusOr<SpaceView> view = InSpace(shared, *vulkan_, Access::kWrite);
  ASSERT_OK(view);
  const Buffer from_vulkan = Make(*vulkan_, kBytes), to_vulkan = Make(*vulkan_, kBytes);
  const uint64_t source = from_vulkan.NativeBinding()->handle;
  const Buffer::Binding target = *to_vulkan.NativeBinding();
  ASSERT_EQ(from_vulkan.NativeBinding()->offset_bytes, 0u);
  ASSERT_EQ(target.offset_bytes, 0u);
  for (uint64_t round = 0; round < kRounds; ++round) {
    const std::vector<uint8_t> there = Pattern(kBytes, 2 * round),
                               back = Pattern(kBytes, 3 + round);
    ASSERT_OK(from_vulkan.CopyIn(there.data(), kBytes));
    ASSERT_OK(shared.CopyIn(back.data(), kBytes));
    absl::StatusOr<Fence> read = CopyByVulkan(target.handle, view->binding.handle, kBytes,
                                              shared.PendingUses(Access::kRead));
    ASSERT_OK(read);
    absl::StatusOr<Fence> written =
        CopyByVulkan(view->binding.handle, source, kBytes, shared.PendingUses(Access::kWrite));
    ASSERT_OK(written);
    ASSERT_OK(shared.RecordUse(Access::kWrite, *written));
    EXPECT_TRUE(BytesOf(shared) == there) << round;
    EXPECT_TRUE(BytesOf(to_vulkan) == back) << round;
  }
}

TEST_F(VulkanCudaGpu, WhatOneSideWritesTheOtherReadsWithoutAWaitOfTheHost) {
  const Buffer shared = Make(*vulkan_, kBytes, kShared);
  const Buffer seen = Make(*vulkan_, kBytes), source = Make(*vulkan_, kBytes);
  const Buffer at_cuda = Make(*cuda_, kBytes);
  ASSERT_OK(source.FillWith<uint8_t>(0x22));
  // What only the first use costs comes before.
  OnCuda(shared, Access::kWrite, [&](uint64_t address) { return SetByCuda(address, 0, kBytes); });
  absl::StatusOr<Fence> first = seen.CopyFromAsync(shared, {.queue = queue_.get()});
  ASSERT_OK(first);
  ASSERT_OK(first->Wait());
  BusyCuda();
  OnCuda(shared, Access::kWrite,
         [&](uint64_t address) { return SetByCuda(address, 0x11, kBytes); });
  absl::StatusOr<Fence> read = seen.CopyFromAsync(shared, {.queue = queue_.get()});
  ASSERT_OK(read);
  absl::StatusOr<Fence> written = shared.CopyFromAsync(source, {.queue = queue_.get()});
  ASSERT_OK(written);
  OnCuda(shared, Access::kRead,
         [&](uint64_t address) { return CopyByCuda(AddressOf(at_cuda), address, kBytes); });
  // CUDA is still busy with what was queued first.
  EXPECT_FALSE(read->IsReached());
  EXPECT_FALSE(written->IsReached());
  ASSERT_OK(stream_->Synchronize());
  EXPECT_TRUE(AllAre(seen, 0x11));
  EXPECT_TRUE(AllAre(at_cuda, 0x22));
}

TEST_F(VulkanCudaGpu, TimelinesAreImported) {
  absl::StatusOr<int> fd = queue_->ExportTimeline();
  ASSERT_OK(fd);
  absl::StatusOr<std::shared_ptr<vulkan::SharedSemaphore>> imported =
      vulkan::SharedSemaphore::Import(vulkan_device_, *fd);
  close(*fd);
  ASSERT_OK(imported);
  absl::StatusOr<Fence> done = queue_->Record();
  ASSERT_OK(done);
  const Fence seen(*imported, done->value());
  ASSERT_TRUE(stream_->CanWaitFor(seen));
  ASSERT_OK(stream_->WaitFor(seen));
  ASSERT_OK(stream_->Synchronize());
  EXPECT_OK(seen.Wait(absl::Seconds(10)));
}

TEST_F(VulkanCudaGpu, HandOversTakeThisLong) {
  constexpr int kTimes = 200;
  std::vector<absl::Duration> own, plain, to_host, to_vulkan, to_cuda;
  absl::StatusOr<std::shared_ptr<vulkan::SharedSemaphore>> semaphore =
      vulkan::SharedSemaphore::Create(vulkan_device_);
  ASSERT_OK(semaphore);
  std::shared_ptr<vulkan::DeviceQueue> fresh = *vulkan::DeviceQueue::Create(vulkan_device_);
  for (int i = 0; i < kTimes; ++i) {
    // A queue whose timeline nobody has imported.
    absl::Time begin = absl::Now();
    absl::StatusOr<Fence> fence = fresh->Record();
    ASSERT_OK(fence);
    ASSERT_OK(fence->Wait());
    own.push_back(absl::Now() - begin);

    begin = absl::Now();
    fence = stream_->Record();
    ASSERT_OK(fence);
    ASSERT_OK(fence->Wait());
    plain.push_back(absl::Now() - begin);

    // CUDA raises a semaphore of Vulkan's behind a memset, and the host sees it.
    const Buffer small = Make(*cuda_, kMiB);
    {
      cuda::Device::Scope scope(*device_);
      ASSERT_OK(SetByCuda(AddressOf(small), 1, kMiB));
    }
    fence = stream_->Record();
    ASSERT_OK(fence);
    auto* signalling = dynamic_cast<SignallingTimeline*>(fence->timeline().get());
    ASSERT_NE(signalling, nullptr);
    absl::StatusOr<bool> raises = signalling->SignalAt(fence->value(), *semaphore);
    ASSERT_OK(raises);
    if (*raises) {
      // From when CUDA itself says that it is done.
      while (!fence->IsReached()) {
      }
      begin = absl::Now();
      ASSERT_OK(Fence(*semaphore, fence->value()).Wait());
      to_host.push_back(absl::Now() - begin);
    }

    begin = absl::Now();
    fence = stream_->Record();
    ASSERT_OK(fence);
    ASSERT_OK(queue_->WaitFor(*fence));
    fence = queue_->Record();
    ASSERT_OK(fence);
    ASSERT_OK(fence->Wait());
    to_vulkan.push_back(absl::Now() - begin);

    begin = absl::Now();
    fence = queue_->Record();
    ASSERT_OK(fence);
    ASSERT_OK(stream_->WaitFor(*fence));
    ASSERT_OK(stream_->Synchronize());
    to_cuda.push_back(absl::Now() - begin);
  }
  Print("Vulkan alone: empty submission, wait on the host", own);
  Print("CUDA alone: record, wait on the host", plain);
  if (!to_host.empty())
    Print("CUDA is done -> the host sees its signal at Vulkan's semaphore", to_host);
  Print("CUDA fence -> Vulkan queue -> host, from the first call", to_vulkan);
  Print("Vulkan fence -> CUDA stream -> host, from the first call", to_cuda);
}

}  // namespace
}  // namespace tenure
