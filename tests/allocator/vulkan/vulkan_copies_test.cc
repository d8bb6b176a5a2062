// Copies and fills in the order of a queue, on Mesa's CPU driver: the device does them, through staging
// memory where host memory takes part.

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

class VulkanCopies : public testing::Test {
 protected:
  std::unique_ptr<Allocator> space_ = CpuDevice::Get().Make(kDeviceSpace);
  std::shared_ptr<DeviceQueue> queue_ = CpuDevice::Get().MakeQueue();
  std::shared_ptr<DeviceQueue> other_ = CpuDevice::Get().MakeQueue();
};

TEST_F(VulkanCopies, AQueueMovesAnyBytesFromAnywhereToAnywhere) {
  std::mt19937 random(7);
  constexpr uint64_t kSize = 70001;
  std::vector<uint8_t> model = Pattern(kSize);
  const Buffer buffer = Filled(*space_, model);
  for (int i = 0; i < 200; ++i) {
    const uint64_t size = random() % (i % 10 == 0 ? kSize : 99) + 1;
    const uint64_t at = random() % (kSize - size + 1), from = random() % (kSize - size + 1);
    const Buffer to = *buffer.View(at, size);
    switch (random() % 4) {
      case 0: {
        const std::vector<uint8_t> bytes = Pattern(size, random());
        EXPECT_OK(to.CopyIn(bytes.data(), size, {.queue = queue_.get()}));
        std::copy(bytes.begin(), bytes.end(), model.begin() + static_cast<int64_t>(at));
        break;
      }
      case 1: {
        // The ranges may overlap.
        EXPECT_OK(to.CopyFrom(*buffer.View(from, size), {.queue = queue_.get()}));
        std::memmove(model.data() + at, model.data() + from, size);
        break;
      }
      case 2: {
        const std::vector<uint8_t> pattern = Pattern(uint64_t{1} << random() % 5, random());
        EXPECT_OK(to.Fill(
            absl::MakeConstSpan(reinterpret_cast<const std::byte*>(pattern.data()), pattern.size()),
            {.queue = queue_.get()}));
        for (uint64_t k = 0; k < size; ++k) model[at + k] = pattern[k % pattern.size()];
        break;
      }
      default: {
        std::vector<uint8_t> bytes(size);
        EXPECT_OK(to.CopyOut(bytes.data(), size, {.queue = queue_.get()}));
        EXPECT_TRUE(
            std::equal(bytes.begin(), bytes.end(), model.begin() + static_cast<int64_t>(at)));
      }
    }
  }
  EXPECT_EQ(BytesOf(buffer), model);
}

TEST_F(VulkanCopies, LargeRangesOverlapInEitherDirection) {
  constexpr uint64_t kSize = (20 << 20) + 3;
  for (const auto& [to, from] : {std::pair(0, 12345), std::pair(12345, 0)}) {
    std::vector<uint8_t> model = Pattern(kSize);
    const Buffer buffer = Filled(*space_, model);
    const uint64_t size = kSize - 12345;
    EXPECT_OK(
        buffer.View(static_cast<uint64_t>(to), size)
            ->CopyFrom(*buffer.View(static_cast<uint64_t>(from), size), {.queue = queue_.get()}));
    std::memmove(model.data() + to, model.data() + from, size);
    EXPECT_TRUE(BytesOf(buffer) == model);
  }
}

TEST_F(VulkanCopies, AFenceRecordedBehindACopyOutComesAfterTheHostsPartOfIt) {
  const std::vector<uint8_t> bytes = Pattern(3 << 20);
  const Buffer buffer = Filled(*space_, bytes);
  for (int i = 0; i < 20; ++i) {
    std::vector<uint8_t> out(bytes.size());
    ASSERT_OK(buffer.CopyOutAsync(out.data(), out.size(), {.queue = queue_.get()}));
    const absl::StatusOr<Fence> behind = queue_->Record();
    ASSERT_OK(behind);
    ASSERT_OK(behind->Wait());
    ASSERT_TRUE(out == bytes);
  }
}

// Nobody waits for the fence: a thread of the library does the host's part.
TEST_F(VulkanCopies, ACopyOutEndsByItself) {
  const std::vector<uint8_t> bytes = Pattern(100000);
  const Buffer buffer = Filled(*space_, bytes);
  std::vector<uint8_t> out(bytes.size());
  const absl::StatusOr<Fence> done =
      buffer.CopyOutAsync(out.data(), out.size(), {.queue = queue_.get()});
  ASSERT_OK(done);
  while (!done->IsReached()) std::this_thread::yield();
  EXPECT_TRUE(out == bytes);
}

TEST_F(VulkanCopies, QueuesWaitForEachOther) {
  const Buffer buffer = Make(*space_, 1 << 20);
  std::vector<uint8_t> out(buffer.size());
  for (int i = 1; i < 100; ++i) {
    DeviceQueue& writer = i % 2 == 0 ? *queue_ : *other_;
    DeviceQueue& reader = i % 2 == 0 ? *other_ : *queue_;
    const std::byte value{static_cast<uint8_t>(i)};
    ASSERT_OK(buffer.FillAsync(absl::MakeConstSpan(&value, 1), {.queue = &writer}));
    // Ordered by the recorded use of the fill.
    ASSERT_OK(buffer.CopyOut(out.data(), out.size(), {.queue = &reader}));
    ASSERT_EQ(out, std::vector<uint8_t>(out.size(), static_cast<uint8_t>(i)));
  }
}

TEST_F(VulkanCopies, ChainsOfCopiesBetweenSpacesKeepTheirOrder) {
  CpuAllocator cpu;
  std::unique_ptr<Allocator> upload = CpuDevice::Get().Make(kUploadSpace);
  std::unique_ptr<Allocator> readback = CpuDevice::Get().Make(kReadbackSpace);
  const std::vector<uint8_t> bytes = Pattern(5 << 20);
  std::vector<Buffer> chain = {
      Filled(cpu, bytes),          Make(*upload, bytes.size()),   Make(*space_, bytes.size()),
      Make(*space_, bytes.size()), Make(*readback, bytes.size()), Make(cpu, bytes.size())};
  for (size_t i = 1; i < chain.size(); ++i) {
    ASSERT_OK(chain[i].CopyFromAsync(chain[i - 1], {.queue = queue_.get()}));
  }
  EXPECT_TRUE(BytesOf(chain.back()) == bytes);
  // Without a queue the library orders them.
  const std::vector<uint8_t> more = Pattern(bytes.size(), 9);
  ASSERT_OK(chain[0].CopyIn(more.data(), more.size()));
  for (size_t i = 1; i < chain.size(); ++i) ASSERT_OK(chain[i].CopyFromAsync(chain[i - 1]));
  EXPECT_TRUE(BytesOf(chain.back()) == more);
}

TEST_F(VulkanCopies, QueuesOfOthersAreRefused) {
  class Foreign final : public Queue {
   public:
    std::string_view driver() const override { return "foreign"; }
    uint64_t native_handle() const override { return 1; }
    absl::StatusOr<Fence> Record() override { return Fence(); }
    bool CanWaitFor(const Fence&) const override { return true; }
    bool HasRecorded(const Fence&) const override { return false; }
    using Queue::WaitFor;
    absl::Status WaitFor(absl::Span<const Fence>) override { return absl::OkStatus(); }
    absl::Status Synchronize() override { return absl::OkStatus(); }
  };
  const auto foreign = std::make_shared<Foreign>();
  const Buffer buffer = Make(*space_, 64);
  uint8_t bytes[64] = {};
  EXPECT_CODE(InvalidArgument, buffer.CopyIn(bytes, 64, {.queue = foreign.get()}));
  auto host = std::make_shared<HostTimeline>();
  EXPECT_FALSE(queue_->CanWaitFor(Fence(host, 1)));
  EXPECT_CODE(FailedPrecondition, queue_->WaitFor(Fence(host, 1)));
  host->Signal(1);
  EXPECT_OK(queue_->WaitFor(Fence(host, 1)));
  const uint64_t null[] = {0};
  EXPECT_CODE(InvalidArgument, queue_->Submit(null));
  const absl::StatusOr<Fence> now = queue_->Record();
  ASSERT_OK(now);
  EXPECT_CODE(InvalidArgument, Fence(now->timeline(), now->value() + 1).Wait());
}

TEST_F(VulkanCopies, ManyThreadsShareAQueue) {
  constexpr uint64_t kEach = 50000;
  const Buffer buffer = Make(*space_, 4 * kEach);
  std::vector<std::thread> threads;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const Buffer mine = *buffer.View(t * kEach, kEach);
      for (uint64_t i = 0; i < 30; ++i) {
        const std::vector<uint8_t> bytes = Pattern(kEach, t * 100 + i);
        std::vector<uint8_t> out(kEach);
        EXPECT_OK(mine.CopyInAsync(bytes.data(), kEach, {.queue = queue_.get()}));
        EXPECT_OK(mine.CopyOutAsync(out.data(), kEach, {.queue = queue_.get()}));
        const absl::StatusOr<Fence> done = queue_->Record();
        EXPECT_OK(done);
        EXPECT_OK(done->Wait());
        EXPECT_TRUE(out == bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(VulkanCopies, HostAndDeviceShareBytesWithoutACopy) {
  CpuAllocator cpu;
  // The device uses memory of the host's in place.
  const std::vector<uint8_t> bytes = Pattern(100000);
  const Buffer host = Filled(cpu, bytes);
  absl::StatusOr<Buffer> wrapped = Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(bytes.size()),
                                                {.data = *host.MutableHostPointer()}, bytes.size());
  ASSERT_OK(wrapped);
  const std::byte value{0xab};
  ASSERT_OK(wrapped->View(1, 5)->Fill(absl::MakeConstSpan(&value, 1), {.queue = queue_.get()}));
  std::vector<uint8_t> expected = bytes;
  std::fill(expected.begin() + 1, expected.begin() + 6, uint8_t{0xab});
  EXPECT_TRUE(BytesOf(host) == expected);
  EXPECT_NE(*wrapped->DeviceAddress(), 0u);
  // The host uses memory of the device's in place, if they share it.
  if (!CpuDevice::Get().device()->info().unified) return;
  const Buffer device = Make(*space_, 4096);
  absl::StatusOr<Buffer> seen = Buffer::Wrap(cpu, DType::kUInt8, Shape::Vector(4096),
                                             {.data = *device.MutableHostPointer()}, 4096);
  ASSERT_OK(seen);
  ASSERT_OK(device.Fill(absl::MakeConstSpan(&value, 1), {.queue = queue_.get()}));
  EXPECT_TRUE(AllAre(*seen, 0xab));
}

}  // namespace
}  // namespace tenure::vulkan
