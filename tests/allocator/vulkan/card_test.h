// CardTest: a fixture with a discrete card that FakeCard plays, opened, with its copy engine. At the
// end of each test nothing may be left on the card, and nothing may have been done that correct code
// never does.
//
//   class MyTest : public CardTest {};
//   TEST_F(MyTest, Uploads) { std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace); ... }

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_CARD_TEST_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_CARD_TEST_H_

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/vulkan_validation.h"

namespace tenure::vulkan {

// With the validation layer, whose messages fail the test that is running.
inline Instance::Options WithValidation() {
  return {.validation = kWithValidation,
          .on_message = [](std::string_view text) { ADD_FAILURE() << "validation: " << text; }};
}

// A thread of the library's may be the last that holds something, for a moment. It would end it on the
// card of the next test. With `leaves_memory`, a piece of memory and what it needs may stay.
inline void ExpectNothingLeft(const FakeCard& card, bool leaves_memory = false) {
  const auto left = [&] {
    std::map<std::string, int> objects;
    for (const auto& [kind, count] : card.LiveObjects()) objects.emplace(kind, count);
    if (leaves_memory) {
      for (const char* kind :
           {"VkBuffer", "VkDeviceMemory", "VkDevice", "VkInstance", "VkDebugUtilsMessengerEXT"}) {
        objects.erase(kind);
      }
    }
    return objects;
  };
  for (int i = 0; i < 2000 && !left().empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const auto& [kind, count] : left()) ADD_FAILURE() << count << " of " << kind << " are left";
}

class CardTest : public testing::Test {
 protected:
  explicit CardTest(FakeCardOptions options = {}) : card_(std::move(options)) {
    absl::StatusOr<std::shared_ptr<Instance>> instance =
        Instance::Create(card_.loader(), WithValidation());
    EXPECT_OK(instance);
    if (!instance.ok()) return;
    instance_ = *instance;
    absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(instance_, 0);
    EXPECT_OK(device);
    if (!device.ok()) return;
    device_ = *device;
    absl::StatusOr<std::shared_ptr<CopyEngine>> engine = CopyEngine::Of(device_);
    EXPECT_OK(engine);
    if (engine.ok()) engine_ = *engine;
  }
  ~CardTest() override {
    engine_.reset();
    device_.reset();
    instance_.reset();
    ExpectNothingLeft(card_, leaves_memory_);
    EXPECT_EQ(card_.Violations(), std::vector<std::string>());
  }

  std::unique_ptr<Allocator> MakeSpace(SpaceKind kind, const AllocatorOptions& options = {}) {
    absl::StatusOr<std::unique_ptr<VulkanAllocator>> made =
        VulkanAllocator::Create(kind, options, engine_);
    EXPECT_OK(made);
    return made.ok() ? *std::move(made) : nullptr;
  }
  std::shared_ptr<DeviceQueue> MakeQueue() {
    absl::StatusOr<std::shared_ptr<DeviceQueue>> made = DeviceQueue::Create(device_);
    EXPECT_OK(made);
    return made.ok() ? *made : nullptr;
  }
  // The type of memory of the latest piece.
  uint32_t LatestType() const { return card_.Memories().back().type; }

  bool leaves_memory_ = false;  // the test leaves memory that is never given back
  FakeCard card_;
  std::shared_ptr<Instance> instance_;
  std::shared_ptr<Device> device_;
  std::shared_ptr<CopyEngine> engine_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_CARD_TEST_H_
