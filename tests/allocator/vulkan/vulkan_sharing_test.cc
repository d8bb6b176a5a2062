// Vulkan memory that goes out and comes in as a descriptor, within a process and between two. The
// other process is this program once more.

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/allocator/vulkan/shared_semaphore.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/testing/run_again.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

// FD:SIZE
constexpr char kVariable[] = "TENURE_TEST_SHARED";
constexpr uint64_t kSharedBytes = 5 * kMiB + 100;
const BufferOptions kShared = {.immediate = true, .hints = {.sharing = Sharing::kPosixFd}};

class VulkanSharing : public testing::Test {
 protected:
  ~VulkanSharing() override {
    EXPECT_EQ(space_->Stats().in_use_bytes, 0u);
    EXPECT_OK(space_->Synchronize());
    space_->Trim(0);
    EXPECT_EQ(space_->Stats().reserved_bytes, 0u);
  }
  ShareCapability& share() { return *space_->Capability<ShareCapability>(); }
  absl::StatusOr<Buffer> WrapFd(int fd, uint64_t size) {
    absl::StatusOr<ForeignMemory> memory = share().ImportFd(fd, size);
    if (!memory.ok()) return memory.status();
    return Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(size), *memory, size);
  }

  std::unique_ptr<Allocator> space_ = CpuDevice::Get().Make(kDeviceSpace);
};

TEST_F(VulkanSharing, TwoBuffersHaveTheSameBytes) {
  const Buffer first = Make(*space_, kSharedBytes, kShared);
  const std::vector<uint8_t> bytes = Pattern(kSharedBytes);
  ASSERT_OK(first.CopyIn(bytes.data(), bytes.size()));
  absl::StatusOr<int> fd = share().ExportFd(first.storage()->root());
  ASSERT_OK(fd);
  absl::StatusOr<Buffer> second = WrapFd(*fd, kSharedBytes);
  close(*fd);
  ASSERT_OK(second);
  EXPECT_TRUE(BytesOf(*second) == bytes);
  ASSERT_OK(second->FillWith<uint8_t>(7));
  EXPECT_TRUE(AllAre(first, 7));
  // And by the device.
  const Buffer other = Filled(*space_, bytes);
  std::shared_ptr<DeviceQueue> queue = CpuDevice::Get().MakeQueue();
  absl::StatusOr<Fence> copied = second->CopyFromAsync(other, {.queue = queue.get()});
  ASSERT_OK(copied);
  ASSERT_OK(copied->Wait());
  EXPECT_TRUE(BytesOf(first) == bytes);
  absl::StatusOr<Buffer::Binding> binding = second->NativeBinding();
  ASSERT_OK(binding);
  EXPECT_NE(binding->handle, 0u);
  EXPECT_EQ(binding->offset_bytes, 0u);
}

TEST_F(VulkanSharing, AnImportOutlivesTheExporter) {
  const std::vector<uint8_t> bytes = Pattern(kSharedBytes);
  Buffer first = Make(*space_, kSharedBytes, kShared);
  ASSERT_OK(first.CopyIn(bytes.data(), bytes.size()));
  absl::StatusOr<int> fd = share().ExportFd(first.storage()->root());
  ASSERT_OK(fd);
  absl::StatusOr<Buffer> second = WrapFd(*fd, kSharedBytes);
  close(*fd);
  ASSERT_OK(second);
  first = Buffer();
  EXPECT_TRUE(BytesOf(*second) == bytes);
}

TEST_F(VulkanSharing, AnArenaIsSharedAsAWhole) {
  const Buffer arena = Make(*space_, kSharedBytes, kShared);
  StorageHandle placed = Storage::Make(*space_, 1000, {});
  ASSERT_OK(placed->Place(*arena.storage(), 4096, /*exclusive=*/true));
  const Buffer buffer = Buffer::OfStorage(*placed);
  const std::vector<uint8_t> bytes = Pattern(1000);
  ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
  absl::StatusOr<int> fd = share().ExportFd(placed->root());
  ASSERT_OK(fd);
  absl::StatusOr<Buffer> whole = WrapFd(*fd, kSharedBytes);
  close(*fd);
  ASSERT_OK(whole);
  absl::StatusOr<Buffer> part = whole->View(4096, 1000);
  ASSERT_OK(part);
  EXPECT_TRUE(BytesOf(*part) == bytes);
}

TEST_F(VulkanSharing, ZeroedMemoryIsZero) {
  BufferOptions options = kShared;
  options.zeroed = true;
  EXPECT_TRUE(AllAre(Make(*space_, 70000, options), 0));
}

TEST_F(VulkanSharing, OtherMemoryIsNotExported) {
  const Buffer plain = Make(*space_, 1000);
  absl::StatusOr<int> fd = share().ExportFd(plain.storage()->root());
  EXPECT_EQ(fd.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(fd.status().message().find("Sharing::kPosixFd"), std::string::npos) << fd.status();
  absl::StatusOr<Buffer> ipc =
      Buffer::Create(*space_, DType::kUInt8, Shape::Vector(9),
                     {.immediate = true, .hints = {.sharing = Sharing::kIpc}});
  EXPECT_EQ(ipc.status().code(), absl::StatusCode::kUnimplemented) << ipc.status();
  EXPECT_EQ(CpuDevice::Get().Make(kUploadSpace)->Capability<ShareCapability>(), nullptr);
}

TEST_F(VulkanSharing, ABadDescriptorIsRefused) {
  absl::StatusOr<ForeignMemory> memory = share().ImportFd(-1, 1000);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument) << memory.status();
  // Smaller than it is said to be.
  const Buffer small = Make(*space_, 1000, kShared);
  absl::StatusOr<int> fd = share().ExportFd(small.storage()->root());
  ASSERT_OK(fd);
  memory = share().ImportFd(*fd, 64 * kMiB);
  if (CpuDevice::Get().device()->info().type == DeviceType::kCpu) {
    EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument) << memory.status();
    EXPECT_NE(memory.status().message().find("descriptor"), std::string::npos) << memory.status();
  } else if (memory.ok()) {
    memory->release();
  }
  close(*fd);
  memory = share().ImportFd(0, 0);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kInvalidArgument) << memory.status();
}

TEST_F(VulkanSharing, OnlyWhatWasImportedIsWrapped) {
  const Buffer first = Make(*space_, 1000, kShared);
  absl::StatusOr<int> fd = share().ExportFd(first.storage()->root());
  ASSERT_OK(fd);
  absl::StatusOr<ForeignMemory> memory = share().ImportFd(*fd, 1000);
  close(*fd);
  ASSERT_OK(memory);
  ForeignMemory moved = *memory;
  moved.release = nullptr;
  moved.data = static_cast<std::byte*>(moved.data) + 256;
  absl::StatusOr<Buffer> wrapped =
      Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(16), moved, 16);
  EXPECT_EQ(wrapped.status().code(), absl::StatusCode::kInvalidArgument) << wrapped.status();
  wrapped = Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(kMiB), *memory, kMiB);
  EXPECT_EQ(wrapped.status().code(), absl::StatusCode::kInvalidArgument) << wrapped.status();
}

TEST_F(VulkanSharing, AnExhaustedLimitSaysSo) {
  std::unique_ptr<Allocator> small =
      CpuDevice::Get().Make(kDeviceSpace, {.max_reserved_bytes = kMiB});
  absl::StatusOr<Buffer> made =
      Buffer::Create(*small, DType::kUInt8, Shape::Vector(2 * kMiB), kShared);
  EXPECT_EQ(made.status().code(), absl::StatusCode::kResourceExhausted) << made.status();
}

// In the other process.
TEST(VulkanSharingChild, AddsOneToWhatItIsGiven) {
  const char* setting = std::getenv(kVariable);
  if (setting == nullptr) GTEST_SKIP() << "not the other process";
  const std::vector<std::string> parts = absl::StrSplit(setting, ':');
  int fd = -1;
  uint64_t size = 0;
  ASSERT_TRUE(parts.size() == 2 && absl::SimpleAtoi(parts[0], &fd) &&
              absl::SimpleAtoi(parts[1], &size));
  std::unique_ptr<Allocator> space = CpuDevice::Get().Make(kDeviceSpace);
  absl::StatusOr<ForeignMemory> memory = space->Capability<ShareCapability>()->ImportFd(fd, size);
  ASSERT_OK(memory);
  absl::StatusOr<Buffer> buffer =
      Buffer::Wrap(*space, DType::kUInt8, Shape::Vector(size), *memory, size);
  ASSERT_OK(buffer);
  std::vector<uint8_t> bytes = BytesOf(*buffer);
  ASSERT_TRUE(bytes == Pattern(size));
  for (uint8_t& byte : bytes) ++byte;
  ASSERT_OK(buffer->CopyIn(bytes.data(), size));
}

TEST_F(VulkanSharing, AnotherProcessSeesTheBytes) {
  const Buffer buffer = Make(*space_, kSharedBytes, kShared);
  std::vector<uint8_t> bytes = Pattern(kSharedBytes);
  ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
  absl::StatusOr<int> fd = share().ExportFd(buffer.storage()->root());
  ASSERT_OK(fd);
  const int open = dup(*fd);  // without close-on-exec
  EXPECT_EQ(RunAgain(absl::StrCat(kVariable, "=", open, ":", kSharedBytes), "VulkanSharingChild.*"),
            0);
  close(open);
  close(*fd);
  for (uint8_t& byte : bytes) ++byte;
  EXPECT_TRUE(BytesOf(buffer) == bytes);
}

TEST_F(VulkanSharing, TimelinesAreSharedWhereTheDriverCan) {
  std::shared_ptr<DeviceQueue> queue = CpuDevice::Get().MakeQueue();
  absl::StatusOr<int> fd = queue->ExportTimeline();
  absl::StatusOr<std::shared_ptr<SharedSemaphore>> imported =
      SharedSemaphore::Import(CpuDevice::Get().device(), fd.ok() ? *fd : -1);
  if (CpuDevice::Get().device()->shared_card().empty()) {
    EXPECT_EQ(fd.status().code(), absl::StatusCode::kUnimplemented) << fd.status();
    EXPECT_NE(fd.status().message().find("VK_KHR_external_semaphore_fd"), std::string::npos);
    EXPECT_EQ(imported.status().code(), absl::StatusCode::kUnimplemented) << imported.status();
    return;
  }
  ASSERT_OK(fd);
  close(*fd);
  ASSERT_OK(imported);
  absl::StatusOr<Fence> recorded = queue->Record();
  ASSERT_OK(recorded);
  const Fence seen(*imported, recorded->value());
  EXPECT_OK(seen.Wait(absl::Seconds(10)));
  EXPECT_TRUE(recorded->IsReached());
  std::shared_ptr<DeviceQueue> other = CpuDevice::Get().MakeQueue();
  absl::StatusOr<Fence> later = queue->Record();
  ASSERT_OK(later);
  ASSERT_OK(other->WaitFor(Fence(*imported, later->value())));
  ASSERT_OK(other->Synchronize());
  EXPECT_TRUE(later->IsReached());
}

}  // namespace
}  // namespace tenure::vulkan
