// An instance, a device and a queue of an embedding program's: RawVulkan is the program, on a card that
// FakeCard plays; and the CPU driver's device, whose queue is used by both sides.

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/vulkan.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"
#include "tenure/tests/allocator/vulkan/fake/raw_vulkan.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

class VulkanAdopt : public testing::Test {
 protected:
  explicit VulkanAdopt(FakeCardOptions options = {}) : card_(std::move(options)), vk_(card_) {
    EXPECT_EQ(vk_.Start(), VK_SUCCESS);
    before_ = card_.LiveObjects();
  }
  ~VulkanAdopt() override {
    EXPECT_EQ(vk_.messages(), std::vector<std::string>());
    vk_.Stop();
    EXPECT_EQ(card_.Violations(), std::vector<std::string>());
    ExpectNothingLeft(card_);
  }

  AdoptedHandles Handles() {
    return {.get_instance_proc_addr = reinterpret_cast<void*>(card_.loader()),
            .instance = reinterpret_cast<uint64_t>(vk_.instance),
            .physical_device = reinterpret_cast<uint64_t>(vk_.physical),
            .device = reinterpret_cast<uint64_t>(vk_.device),
            .queue = reinterpret_cast<uint64_t>(vk_.queue),
            .queue_family = 0,
            .lock_queue =
                [this] {
                  queue_mutex_.lock();
                  ++locks_;
                },
            .unlock_queue = [this] { queue_mutex_.unlock(); },
            .on_released = [this] { ++released_; }};
  }
  void ExpectReleased() {
    for (int i = 0; i < 2000 && released_ == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(released_, 1);
    EXPECT_EQ(card_.LiveObjects(), before_);
  }

  FakeCard card_;
  RawVulkan vk_;
  std::map<std::string, uint64_t> before_;
  std::mutex queue_mutex_;
  int locks_ = 0;
  std::atomic<int> released_{0};
};

std::unique_ptr<Allocator> Made(SpaceKind kind, const std::shared_ptr<AdoptedDevice>& device) {
  absl::StatusOr<std::unique_ptr<Allocator>> made =
      MakeAllocator(MemorySpace::Device(kind, device->ordinal()), {.device = device});
  EXPECT_OK(made);
  return made.ok() ? *std::move(made) : nullptr;
}

TEST_F(VulkanAdopt, EverythingRunsOnTheProgramsQueueAndNothingIsLeft) {
  {
    absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(Handles());
    ASSERT_OK(device);
    EXPECT_EQ((*device)->info().name, "Fake discrete card");
    absl::StatusOr<std::shared_ptr<CommandQueue>> queue = CommandQueue::Create(**device);
    ASSERT_OK(queue);
    EXPECT_EQ((*queue)->native_handle(), reinterpret_cast<uint64_t>(vk_.queue));
    EXPECT_EQ((*queue)->device_handle(), reinterpret_cast<uint64_t>(vk_.device));
    EXPECT_EQ((*queue)->instance_handle(), reinterpret_cast<uint64_t>(vk_.instance));
    EXPECT_EQ((*queue)->family(), 0u);
    for (SpaceKind kind : {kDeviceSpace, kUploadSpace, kReadbackSpace}) {
      const std::unique_ptr<Allocator> space = Made(kind, *device);
      const std::vector<uint8_t> bytes = Pattern(2 << 20);
      const Buffer a = Filled(*space, bytes), b = Make(*space, bytes.size());
      ASSERT_OK(b.CopyFrom(a, {.queue = queue->get()}));
      EXPECT_EQ(BytesOf(b), bytes);
      // It was not created with the extension.
      EXPECT_EQ(space->Capability<ForeignMemoryCapability>(), nullptr);
    }
    EXPECT_GT(locks_, 3);
    EXPECT_EQ(released_, 0);
  }
  ExpectReleased();
  EXPECT_TRUE(queue_mutex_.try_lock());
  queue_mutex_.unlock();
  EXPECT_EQ(card_.Calls("vkDeviceWaitIdle"), 0u);  // other queues are not ours to wait for
  // The program goes on.
  EXPECT_EQ(vk_.Submit(vk_.NewCommands([](VkCommandBuffer) {}), 1), VK_SUCCESS);
  EXPECT_EQ(vk_.Wait(1), VK_SUCCESS);
}

TEST_F(VulkanAdopt, TheProgramSubmitsMeanwhile) {
  {
    absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(Handles());
    ASSERT_OK(device);
    const std::unique_ptr<Allocator> space = Made(kDeviceSpace, *device);
    std::atomic<bool> stop{false};
    uint64_t value = 0;
    std::thread program([&] {
      const VkCommandBuffer commands = vk_.NewCommands([](VkCommandBuffer) {});
      while (!stop) {
        ++value;
        {
          std::lock_guard<std::mutex> lock(queue_mutex_);
          EXPECT_EQ(vk_.Submit(commands, value), VK_SUCCESS);
        }
        EXPECT_EQ(vk_.Wait(value), VK_SUCCESS);
      }
    });
    for (int i = 0; i < 50; ++i) {
      const std::vector<uint8_t> bytes = Pattern(5000, i);
      EXPECT_EQ(BytesOf(Filled(*space, bytes)), bytes);
    }
    stop = true;
    program.join();
  }
  for (int i = 0; i < 2000 && released_ == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(released_, 1);
}

TEST_F(VulkanAdopt, ALockOfAQueueIsTheProgramsLock) {
  {
    absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(Handles());
    ASSERT_OK(device);
    absl::StatusOr<std::shared_ptr<CommandQueue>> queue = CommandQueue::Create(**device);
    ASSERT_OK(queue);
    const CommandQueue::Lock lock(**queue);
    bool free = true;
    std::thread([&] {
      free = queue_mutex_.try_lock();
      if (free) queue_mutex_.unlock();
    }).join();
    EXPECT_FALSE(free);
  }
  ExpectReleased();
}

TEST_F(VulkanAdopt, HandlesThatDoNotFitAreNamed) {
  const auto message = [&](auto change) {
    AdoptedHandles handles = Handles();
    change(handles);
    const absl::Status status = Adopt(std::move(handles)).status();
    EXPECT_CODE(InvalidArgument, status);
    return std::string(status.message());
  };
  const auto expect = [&](const char* part, auto change) {
    const std::string text = message(change);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect("get_instance_proc_addr", [](auto& h) { h.get_instance_proc_addr = nullptr; });
  expect("instance", [](auto& h) { h.instance = 0; });
  expect("physical_device", [](auto& h) { h.physical_device = 0; });
  expect("without device;", [](auto& h) { h.device = 0; });
  expect("queue", [](auto& h) { h.queue = 0; });
  expect("unlock_queue", [](auto& h) { h.unlock_queue = nullptr; });
  expect("none of the instance's", [](auto& h) { h.physical_device = h.device; });
  expect("does not exist", [](auto& h) { h.queue_family = 77; });
  expect("VK_KHR_swapchain_of_mine", [](auto& h) { h.extensions = {"VK_KHR_swapchain_of_mine"}; });
  absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(Handles());
  ASSERT_OK(device);
  EXPECT_CODE(InvalidArgument,
              MakeAllocator(MemorySpace::Device(kDeviceSpace, 1), {.device = *device}));
  *device = nullptr;
  EXPECT_EQ(released_, 1);  // only what was adopted
}

TEST_F(VulkanAdopt, FailingCallsLeaveEverythingToTheProgram) {
  for (const char* call : {"vkEnumeratePhysicalDevices", "vkEnumerateDeviceExtensionProperties"}) {
    card_.FailCall(call, VK_ERROR_OUT_OF_HOST_MEMORY);
    EXPECT_CODE(ResourceExhausted, Adopt(Handles()));
    EXPECT_EQ(card_.LiveObjects(), before_);
  }
  absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(Handles());
  ASSERT_OK(device);
  for (const char* call : {"vkCreateSemaphore", "vkCreateCommandPool", "vkBeginCommandBuffer"}) {
    card_.FailCall(call, VK_ERROR_OUT_OF_HOST_MEMORY);
    EXPECT_CODE(ResourceExhausted, CommandQueue::Create(**device));
    card_.ClearFailures();
  }
  *device = nullptr;
  ExpectReleased();
}

class VulkanAdoptOld : public VulkanAdopt {
 protected:
  static FakeCardOptions Options() {
    FakeCardOptions options;
    options.missing_entries = {"vkGetPhysicalDeviceQueueFamilyProperties2"};
    return options;
  }
  VulkanAdoptOld() : VulkanAdopt(Options()) {}
};

TEST_F(VulkanAdoptOld, AnInstanceWithoutWhatIsNeededIsRefused) {
  const absl::Status status = Adopt(Handles()).status();
  EXPECT_CODE(Unavailable, status);
  EXPECT_NE(status.message().find("vkGetPhysicalDeviceQueueFamilyProperties2"), std::string::npos)
      << status;
}

// The device belongs to CpuDevice, which is the program here. Both submit to one VkQueue.
TEST(VulkanCpuAdopt, TheSameQueueIsUsedByBoth) {
  CpuDevice& program = CpuDevice::Get();
  const std::shared_ptr<DeviceQueue> queue = program.MakeQueue();
  std::unique_ptr<CommandQueue::Lock> lock;
  AdoptedHandles handles{
      .get_instance_proc_addr = reinterpret_cast<void*>(*OpenLoader()),
      .instance = queue->instance_handle(),
      .physical_device = queue->physical_device_handle(),
      .device = queue->device_handle(),
      .queue = queue->native_handle(),
      .queue_family = queue->family(),
      .lock_queue = [&] { lock = std::make_unique<CommandQueue::Lock>(*queue); },
      .unlock_queue = [&] { std::unique_ptr<CommandQueue::Lock>(std::move(lock)).reset(); },
      .extensions = {VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME},
      .byte_kernels = true};
  absl::StatusOr<std::shared_ptr<AdoptedDevice>> device = Adopt(std::move(handles));
  ASSERT_OK(device);
  const std::unique_ptr<Allocator> space = Made(kDeviceSpace, *device);
  EXPECT_NE(space->Capability<ForeignMemoryCapability>(), nullptr);
  const std::unique_ptr<Allocator> own = program.Make(kDeviceSpace);
  absl::StatusOr<std::shared_ptr<CommandQueue>> ours = CommandQueue::Create(**device);
  ASSERT_OK(ours);
  std::thread thread([&] {
    const Buffer buffer = Make(*own, 10000);
    for (int i = 0; i < 50; ++i) {
      const std::vector<uint8_t> bytes = Pattern(10000, i);
      EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size(), {.queue = queue.get()}));
      EXPECT_EQ(BytesOf(buffer), bytes);
    }
  });
  const Buffer buffer = Make(*space, 10000);
  for (int i = 0; i < 50; ++i) {
    const std::vector<uint8_t> bytes = Pattern(10000, 100 + i);
    EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size(), {.queue = ours->get()}));
    EXPECT_EQ(BytesOf(buffer), bytes);
  }
  thread.join();
}

}  // namespace
}  // namespace tenure::vulkan
