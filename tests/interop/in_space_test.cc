// One storage under Vulkan and CUDA: Mesa's CPU driver and the fake CUDA driver, which plays the same
// card. Both have the same bytes: the driver's memory is a file that the fake maps.

#include "tenure/runtime/interop/in_space.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/runtime/interop/same_card.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/interop/semaphore_fds.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure {
namespace {

constexpr uint64_t kBytes = 3 * kMiB + 100;
const BufferOptions kShared = {.immediate = true, .hints = {.sharing = Sharing::kPosixFd}};

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) {
    ADD_FAILURE() << result.status();
    std::abort();
  }
  return *std::move(result);
}

// Mesa's device, opened once for all tests.
struct CpuVulkan {
  std::shared_ptr<vulkan::Instance> instance;
  std::shared_ptr<vulkan::Device> device;
  std::shared_ptr<vulkan::CopyEngine> engine;

  static CpuVulkan& Get() {
    static auto* const made = new CpuVulkan;
    return *made;
  }
  CpuVulkan() {
    // LeakSanitizer can't follow what an unloaded driver has left.
    dlopen("libvulkan_lvp.so", RTLD_NOW | RTLD_NODELETE);
    instance = OrDie(vulkan::Instance::Create(SemaphoreFds::Loader(), {}));
    for (const vulkan::PhysicalDevice& physical : instance->devices()) {
      if (physical.info.type == vulkan::DeviceType::kCpu) {
        device = OrDie(vulkan::Device::Open(instance, physical.info.ordinal));
      }
    }
    engine = OrDie(vulkan::CopyEngine::Of(device));
  }
  std::unique_ptr<Allocator> Make() const {
    return OrDie(vulkan::VulkanAllocator::Create(vulkan::kDeviceSpace, {}, engine));
  }
};

// Where the driver puts the bytes in the file of a descriptor: behind a header of its own.
uint64_t OffsetInFile() {
  static const uint64_t offset = [] {
    std::unique_ptr<Allocator> space = CpuVulkan::Get().Make();
    const Buffer buffer = Make(*space, 4096, kShared);
    const std::vector<uint8_t> bytes = Pattern(4096, 77);
    EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
    const int fd = OrDie(space->Capability<ShareCapability>()->ExportFd(buffer.storage()->root()));
    struct stat info = {};
    fstat(fd, &info);
    const auto size = static_cast<size_t>(info.st_size);
    auto* file = static_cast<std::byte*>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
    const void* found = memmem(file, size, bytes.data(), bytes.size());
    EXPECT_NE(found, nullptr);
    const auto at = static_cast<uint64_t>(static_cast<const std::byte*>(found) - file);
    munmap(file, size);
    close(fd);
    return at;
  }();
  return offset;
}

cuda::FakeOptions SameCardOptions() {
  cuda::FakeOptions options;
  CUuuid uuid = {};
  const std::string card = CardOfUuid(CpuVulkan::Get().device->info().uuid);
  size_t at = 0;
  for (size_t i = 0; i + 1 < card.size() && at < sizeof(uuid.bytes); ++i) {
    if (card[i] == '-') continue;
    uuid.bytes[at++] = static_cast<char>(std::stoi(card.substr(i, 2), nullptr, 16));
    ++i;
  }
  options.devices[0].uuid = uuid;
  options.external_memory_offset = OffsetInFile();
  options.external_semaphore = SemaphoreFds::SemaphoreOf;
  return options;
}

class InSpaceTest : public testing::Test {
 protected:
  explicit InSpaceTest(cuda::FakeOptions options = SameCardOptions())
      : fake_(std::move(options)), driver_(OrDie(cuda::Driver::FromTable(fake_.table()))) {
    device_ = OrDie(cuda::Device::Open(driver_, 0));
    cuda_ = OrDie(cuda::MakeAllocatorOn(device_, cuda::kDeviceSpace, {}));
    stream_ = OrDie(cuda::DeviceStream::Create(device_));
    queue_ = OrDie(vulkan::DeviceQueue::Create(CpuVulkan::Get().device));
  }
  ~InSpaceTest() override {
    fake_.Release(stream_->get());
    EXPECT_OK(stream_->Synchronize());
    EXPECT_OK(queue_->Synchronize());
    stream_.reset();
    vulkan_->Trim(0);
    EXPECT_EQ(vulkan_->Stats().reserved_bytes, 0u);
    EXPECT_EQ(cuda_->Stats().in_use_bytes, 0u);
    cuda_.reset();
    // The device waits for work that signals the queue's semaphores. The fake driver has no share of
    // its own in them, as a real one has.
    device_.reset();
    queue_.reset();
    EXPECT_EQ(fake_.Violations(), std::vector<std::string>());
    EXPECT_EQ(fake_.LeakReport(), std::vector<std::string>());
  }

  // A kernel of CUDA's that writes this value, recorded as a use of the buffer.
  void WriteByCuda(const Buffer& buffer, uint8_t value) {
    absl::StatusOr<SpaceView> view = InSpace(buffer, *cuda_, Access::kWrite);
    ASSERT_OK(view);
    for (const Fence& fence : buffer.PendingUses(Access::kWrite)) {
      ASSERT_TRUE(stream_->CanWaitFor(fence));
      ASSERT_OK(stream_->WaitFor(fence));
    }
    fake_.LaunchWrite(stream_->get(), view->device_address, buffer.size(), value);
    absl::StatusOr<Fence> done = stream_->Record();
    ASSERT_OK(done);
    ASSERT_OK(buffer.RecordUse(Access::kWrite, *done));
  }

  std::unique_ptr<Allocator> vulkan_ = CpuVulkan::Get().Make();
  cuda::FakeDriver fake_;
  cuda::Driver driver_;
  std::shared_ptr<cuda::Device> device_;
  std::unique_ptr<Allocator> cuda_;
  std::shared_ptr<cuda::DeviceStream> stream_;
  std::shared_ptr<vulkan::DeviceQueue> queue_;
};

TEST_F(InSpaceTest, BothSidesHaveTheSameBytes) {
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  const std::vector<uint8_t> bytes = Pattern(kBytes);
  ASSERT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
  absl::StatusOr<SpaceView> view = InSpace(buffer, *cuda_);
  ASSERT_OK(view);
  const std::byte* seen = fake_.Bytes(view->device_address, kBytes);
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(std::memcmp(seen, bytes.data(), kBytes), 0);
  // A view is at its offset; the import is the same one.
  absl::StatusOr<Buffer> part = buffer.View(1000, 50);
  ASSERT_OK(part);
  absl::StatusOr<SpaceView> part_view = InSpace(*part, *cuda_);
  ASSERT_OK(part_view);
  EXPECT_EQ(part_view->device_address, view->device_address + 1000);
  EXPECT_EQ(fake_.Calls("cuImportExternalMemory"), 1u);
  // In its own space, a buffer is where it is.
  absl::StatusOr<SpaceView> own = InSpace(*part, *vulkan_);
  ASSERT_OK(own);
  EXPECT_EQ(own->device_address, AddressOf(*part));
  EXPECT_EQ(own->binding.offset_bytes, 1000u);
}

TEST_F(InSpaceTest, WorkOfEachSideWaitsForTheOthersWithoutTheHost) {
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  const Buffer copy = Make(*vulkan_, kBytes);
  fake_.Hold(stream_->get());
  for (uint8_t round = 1; round <= 5; ++round) {
    // Nothing of this has run when it is queued.
    WriteByCuda(buffer, round);
    absl::StatusOr<Fence> copied = copy.CopyFromAsync(buffer, {.queue = queue_.get()});
    ASSERT_OK(copied);
    EXPECT_FALSE(copied->IsReached());
    EXPECT_FALSE(stream_->HasRecorded(*copied));
  }
  fake_.Release(stream_->get());
  EXPECT_TRUE(AllAre(copy, 5));
}

TEST_F(InSpaceTest, CudaWaitsForVulkan) {
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  const std::vector<uint8_t> bytes = Pattern(kBytes);
  const Buffer source = Filled(*vulkan_, bytes);
  // Vulkan waits for CUDA, and CUDA for Vulkan.
  fake_.Hold(stream_->get());
  WriteByCuda(buffer, 1);
  absl::StatusOr<Fence> copied = buffer.CopyFromAsync(source, {.queue = queue_.get()});
  ASSERT_OK(copied);
  absl::StatusOr<SpaceView> view = InSpace(buffer, *cuda_);
  ASSERT_OK(view);
  ASSERT_OK(stream_->WaitFor(*copied));
  std::vector<uint8_t> seen(kBytes);
  fake_.LaunchRead(stream_->get(), view->device_address, kBytes,
                   [&seen](const std::byte* at) { std::memcpy(seen.data(), at, seen.size()); });
  EXPECT_FALSE(copied->IsReached());
  fake_.Release(stream_->get());
  ASSERT_OK(stream_->Synchronize());
  EXPECT_TRUE(seen == bytes);
}

TEST_F(InSpaceTest, HostAccessWaitsForBothSides) {
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  fake_.Hold(stream_->get());
  WriteByCuda(buffer, 9);
  std::vector<uint8_t> bytes(kBytes);
  EXPECT_EQ(buffer.CopyOut(bytes.data(), kBytes, {.timeout = absl::Milliseconds(5)}).code(),
            absl::StatusCode::kDeadlineExceeded);
  fake_.Release(stream_->get());
  EXPECT_TRUE(AllAre(buffer, 9));
}

TEST_F(InSpaceTest, TheImportStaysUntilTheUsesAreOver) {
  Buffer buffer = Make(*vulkan_, kBytes, kShared);
  fake_.Hold(stream_->get());
  WriteByCuda(buffer, 3);
  buffer = Buffer();
  EXPECT_EQ(fake_.Calls("cuDestroyExternalMemory"), 0u);
  EXPECT_GT(vulkan_->Stats().deferred_bytes, 0u);
  fake_.Release(stream_->get());
  ASSERT_OK(stream_->Synchronize());
  cuda_->Poll();
  vulkan_->Poll();
  EXPECT_EQ(fake_.Calls("cuDestroyExternalMemory"), 1u);
  EXPECT_EQ(vulkan_->Stats().deferred_bytes, 0u);
}

TEST_F(InSpaceTest, WhatIsPlacedInAnArenaIsInItsImport) {
  const Buffer arena = Make(*vulkan_, kBytes, kShared);
  StorageHandle placed = Storage::Make(*vulkan_, 1000, {});
  ASSERT_OK(placed->Place(*arena.storage(), 4096, /*exclusive=*/true));
  const Buffer buffer = Buffer::OfStorage(*placed);
  absl::StatusOr<SpaceView> inner = InSpace(buffer, *cuda_), outer = InSpace(arena, *cuda_);
  ASSERT_OK(inner);
  ASSERT_OK(outer);
  EXPECT_EQ(inner->device_address, outer->device_address + 4096);
  EXPECT_EQ(fake_.Calls("cuImportExternalMemory"), 1u);
}

TEST_F(InSpaceTest, ThreadsShareOneImport) {
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  std::vector<std::thread> threads;
  std::vector<uint64_t> addresses(8);
  for (uint64_t& address : addresses) {
    threads.emplace_back([&] { address = OrDie(InSpace(buffer, *cuda_)).device_address; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(addresses, std::vector<uint64_t>(8, addresses[0]));
  EXPECT_EQ(fake_.Calls("cuImportExternalMemory"), 1u);
}

TEST_F(InSpaceTest, DecoratorsSeeTheImport) {
  FaultInjectingAllocator faulty(OrDie(cuda::MakeAllocatorOn(device_, cuda::kDeviceSpace, {})),
                                 {.nth = 1});
  const Buffer buffer = Make(*vulkan_, kBytes, kShared);
  EXPECT_EQ(InSpace(buffer, faulty).status().code(), absl::StatusCode::kResourceExhausted);
  // What was imported for it is given back.
  EXPECT_EQ(fake_.Calls("cuDestroyExternalMemory"), 1u);
  EXPECT_OK(InSpace(buffer, faulty));
  EXPECT_EQ(faulty.Stats().in_use_count, 1u);
}

TEST_F(InSpaceTest, ErrorsNameTheCallAndTheStorage) {
  absl::StatusOr<SpaceView> view = InSpace(Make(*vulkan_, 1000), *cuda_);
  EXPECT_EQ(view.status().code(), absl::StatusCode::kFailedPrecondition) << view.status();
  EXPECT_NE(view.status().message().find("storage "), std::string::npos) << view.status();

  BufferOptions named = kShared;
  named.name = "weights";
  const Buffer buffer = Make(*vulkan_, 1000, named);
  for (const char* call : {"cuImportExternalMemory", "cuExternalMemoryGetMappedBuffer"}) {
    fake_.FailCall(call, 1, CUDA_ERROR_NOT_SUPPORTED);
    view = InSpace(buffer, *cuda_);
    EXPECT_EQ(view.status().code(), absl::StatusCode::kUnimplemented) << view.status();
    EXPECT_NE(view.status().message().find(call), std::string::npos) << view.status();
    EXPECT_NE(view.status().message().find("'weights'"), std::string::npos) << view.status();
  }
  EXPECT_OK(InSpace(buffer, *cuda_));
  ASSERT_OK(buffer.Seal());
  EXPECT_OK(InSpace(buffer, *cuda_, Access::kRead));
  EXPECT_EQ(InSpace(buffer, *cuda_, Access::kWrite).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(InSpace(Buffer(), *cuda_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(InSpaceTest, ASemaphoreThatCanNotBeImportedIsAnError) {
  const Buffer buffer = Make(*vulkan_, 1000, kShared);
  absl::StatusOr<Fence> done;
  fake_.Hold(stream_->get());
  WriteByCuda(buffer, 1);
  done = stream_->Record();
  ASSERT_OK(done);
  fake_.FailCall("cuImportExternalSemaphore", 1, CUDA_ERROR_NOT_SUPPORTED);
  absl::Status status = queue_->WaitFor(*done);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
  EXPECT_NE(status.message().find("cuImportExternalSemaphore"), std::string::npos) << status;
  EXPECT_OK(queue_->WaitFor(*done));
  fake_.Release(stream_->get());
}

// Vulkan would wait forever for a device that has failed.
TEST_F(InSpaceTest, AFailedDeviceEndsTheWaitsForIt) {
  absl::StatusOr<Fence> done;
  fake_.Hold(stream_->get());
  done = stream_->Record();
  ASSERT_OK(done);
  ASSERT_OK(queue_->WaitFor(*done));
  absl::StatusOr<Fence> behind = queue_->Record();
  ASSERT_OK(behind);
  EXPECT_FALSE(behind->IsReached());
  fake_.FailCalls("cuEventQuery", CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_OK(behind->Wait(absl::Seconds(20)));
  fake_.ClearFailures();
  EXPECT_TRUE(done->IsFailed());
  fake_.Release(stream_->get());
}

// The driver can share timelines, but the program has not enabled that for its device.
TEST_F(InSpaceTest, AnAdoptedDeviceSharesOnlyWhatItWasMadeFor) {
  const auto card = [this](std::vector<std::string> extensions) {
    vulkan::AdoptedHandles handles;
    handles.get_instance_proc_addr = reinterpret_cast<void*>(SemaphoreFds::Loader());
    handles.instance = queue_->instance_handle();
    handles.physical_device = queue_->physical_device_handle();
    handles.device = queue_->device_handle();
    handles.queue = queue_->native_handle();
    handles.queue_family = queue_->family();
    handles.extensions = std::move(extensions);
    return OrDie(vulkan::Device::Adopt(std::move(handles)))->shared_card();
  };
  EXPECT_EQ(card({}), "");
  EXPECT_EQ(card({VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME}), device_->shared_card());
}

class TwoCards : public InSpaceTest {
 protected:
  TwoCards()
      : InSpaceTest([] {
          cuda::FakeOptions options = SameCardOptions();
          options.devices[0].uuid->bytes[3] ^= 1;
          return options;
        }()) {}
};

TEST_F(TwoCards, ShareNothing) {
  const Buffer buffer = Make(*vulkan_, 1000, kShared);
  absl::StatusOr<SpaceView> view = InSpace(buffer, *cuda_);
  EXPECT_EQ(view.status().code(), absl::StatusCode::kUnimplemented) << view.status();
  fake_.Hold(stream_->get());
  absl::StatusOr<Fence> done = stream_->Record();
  ASSERT_OK(done);
  EXPECT_FALSE(queue_->CanWaitFor(*done));
  EXPECT_EQ(queue_->WaitFor(*done).code(), absl::StatusCode::kFailedPrecondition);
  fake_.Release(stream_->get());
}

TEST(SameCardTest, IsFoundByUuidThenByName) {
  const SpaceDevice cuda{.ordinal = 0, .name = "H200", .uuid = "GPU-0A-1b", .summary = ""};
  SpaceDevice first{.ordinal = 0, .name = "H200", .uuid = "0c-2d", .summary = ""};
  SpaceDevice second{.ordinal = 1, .name = "another name", .uuid = "0a-1b", .summary = ""};
  EXPECT_EQ(*SameCard(cuda, {first, second}), 1u);
  second.uuid = "0a-1c";
  EXPECT_EQ(SameCard(cuda, {first, second}).status().code(), absl::StatusCode::kNotFound);
  first.uuid = "";
  EXPECT_EQ(*SameCard(cuda, {second, first}), 0u);
  second = first;
  EXPECT_EQ(SameCard(cuda, {second, first}).status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace tenure
