// Every call of the driver's fails, once or from then on, with every error that Vulkan documents for
// it; devices that lack something; a device that is lost with work in flight.

#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

constexpr uint64_t kLarge = uint64_t{3} << 20;  // through the staging ring

FakeCardOptions SmallPieces() {
  FakeCardOptions options;
  options.fill_bytes = 0;  // faster
  return options;
}

// Everything that the driver can do, from the instance to the last byte. Gives the first error.
absl::Status UseEverything(PFN_vkGetInstanceProcAddr loader) {
  absl::StatusOr<std::shared_ptr<Instance>> instance = Instance::Create(loader, {});
  if (!instance.ok()) return instance.status();
  absl::StatusOr<std::shared_ptr<Device>> device = Device::Open(*instance, 0);
  if (!device.ok()) return device.status();
  absl::StatusOr<std::shared_ptr<CopyEngine>> engine = CopyEngine::Of(*device);
  if (!engine.ok()) return engine.status();
  absl::StatusOr<std::shared_ptr<DeviceQueue>> queue = DeviceQueue::Create(*device);
  if (!queue.ok()) return queue.status();
  CpuAllocator cpu;
  std::vector<std::unique_ptr<Allocator>> spaces;
  for (SpaceKind kind : {kDeviceSpace, kUploadSpace, kReadbackSpace}) {
    absl::StatusOr<std::unique_ptr<VulkanAllocator>> space =
        VulkanAllocator::Create(kind, {}, *engine);
    if (!space.ok()) return space.status();
    spaces.push_back(*std::move(space));
  }
  absl::Status first;
  const auto note = [&](const absl::Status& status) { first.Update(status); };
  const std::vector<uint8_t> bytes = Pattern(kLarge);
  std::vector<uint8_t> out(kLarge);
  {
    std::vector<Buffer> buffers;
    for (const auto& space : spaces) {
      absl::StatusOr<Buffer> made =
          Buffer::Create(*space, DType::kUInt8, Shape::Vector(kLarge), {.immediate = true});
      if (!made.ok()) return made.status();
      buffers.push_back(*made);
    }
    const Buffer& at = buffers[0];
    const Buffer small = *at.View(1, 1000);
    for (const Buffer& buffer : buffers) {
      note(buffer.CopyIn(bytes.data(), kLarge));
      note(buffer.CopyOut(out.data(), kLarge));
    }
    note(small.CopyIn(bytes.data(), 1000));
    note(small.CopyOut(out.data(), 1000));
    note(small.CopyIn(bytes.data(), 1000, {.queue = queue->get()}));
    note(small.CopyOut(out.data(), 1000, {.queue = queue->get()}));
    note(small.CopyFrom(*at.View(500, 1000)));
    note(at.CopyFrom(buffers[1]));
    note(buffers[2].CopyFrom(at));
    const std::vector<std::byte> pattern(16, std::byte{3});
    note(at.Fill(pattern));
    note(small.Fill(absl::MakeConstSpan(pattern.data(), 1)));
    note((*queue)->Record().status());
    note((*queue)->Synchronize());
    absl::StatusOr<Buffer> host = Buffer::Create(cpu, DType::kUInt8, Shape::Vector(4096),
                                                 {.zeroed = true, .immediate = true});
    absl::StatusOr<Buffer> wrapped = Buffer::Wrap(*spaces[0], DType::kUInt8, Shape::Vector(4096),
                                                  {.data = *host->MutableHostPointer()}, 4096);
    note(wrapped.status());
  }
  for (const auto& space : spaces) space->Poll();
  return first;
}

TEST(VulkanFailures, EveryCallFailsAndNothingIsLost) {
  FakeCard card(SmallPieces());
  ASSERT_OK(UseEverything(card.loader()));
  std::map<std::string, uint64_t> calls;
  for (const FakeFallible& call : FakeCard::FallibleEntries()) {
    calls[std::string(call.entry)] = card.Calls(call.entry);
  }
  uint64_t tried = 0, entries = 0;
  for (const FakeFallible& call : FakeCard::FallibleEntries()) {
    const uint64_t most = calls[std::string(call.entry)];
    if (most == 0) continue;
    ++entries;
    for (const VkResult error : call.errors) {
      for (const bool and_later : {false, true}) {
        // The first few, and then ever fewer.
        for (uint64_t nth = 1; nth <= most; nth += 1 + nth / 3) {
          SCOPED_TRACE(testing::Message() << call.entry << " " << error << " nth " << nth
                                          << (and_later ? " and later" : ""));
          card.FailCall(call.entry, error, nth, and_later);
          const uint64_t given = card.FailuresGiven();
          const absl::Status status = UseEverything(card.loader());
          // Enumerations that are asked again, and looks at a value, may get over it.
          if (card.FailuresGiven() > given && and_later && error != VK_INCOMPLETE) {
            EXPECT_FALSE(status.ok());
          }
          if (!status.ok()) {
            EXPECT_GE(status.message().size(), 20u) << status;
          }
          card.ClearFailures();
          EXPECT_EQ(card.Violations(), std::vector<std::string>());
          EXPECT_TRUE(card.LiveObjects().empty())
              << card.LiveObjects().begin()->first << " " << card.LiveObjects().begin()->second;
          card.ClearViolations();
          ++tried;
          if (HasFailure()) return;
        }
      }
    }
  }
  EXPECT_OK(UseEverything(card.loader()));
  std::cout << entries << " entry points, " << tried << " failures tried\n";
  EXPECT_GE(entries, 20u);
}

// What a device may lack, and what is said of it.
TEST(VulkanFailures, WhatIsMissingIsNamed) {
  const auto reason = [](FakeCardOptions options) -> std::string {
    FakeCard card(std::move(options));
    absl::StatusOr<std::shared_ptr<Instance>> instance = Instance::Create(card.loader(), {});
    absl::Status status = instance.status();
    if (instance.ok()) status = Device::Open(*instance, 0).status();
    EXPECT_CODE(Unavailable, status);
    return std::string(status.message());
  };
  FakeCardOptions options;
  options.cards.clear();
  EXPECT_NE(reason(options).find("no Vulkan device 0"), std::string::npos);
  for (const char* feature : {"timelineSemaphore", "bufferDeviceAddress"}) {
    options = {};
    options.cards[0].hidden_features = {feature};
    EXPECT_NE(reason(options).find(feature), std::string::npos);
  }
  options = {};
  options.cards[0].api_version = VK_API_VERSION_1_1;
  EXPECT_NE(reason(options).find("1.1.0"), std::string::npos);
  options = {};
  options.instance_version = VK_API_VERSION_1_1;
  EXPECT_NE(reason(options).find("1.2 or newer"), std::string::npos);
  options = {};
  options.missing_entries = {"vkCreateInstance"};
  EXPECT_NE(reason(options).find("vkCreateInstance"), std::string::npos);
  options = {};
  options.missing_entries = {"vkWaitSemaphores"};
  EXPECT_NE(reason(options).find("vkWaitSemaphores"), std::string::npos);
}

TEST(VulkanFailures, DiscreteDevicesComeFirst) {
  FakeCardOptions options;
  options.cards = {FakeProfile::Integrated(), FakeProfile::Discrete()};
  options.cards[0].type = VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU;
  FakeCard card(options);
  auto instance = Instance::Create(card.loader(), {});
  ASSERT_OK(instance);
  ASSERT_EQ((*instance)->devices().size(), 2u);
  EXPECT_EQ((*instance)->devices()[0].info.type, DeviceType::kDiscrete);
  EXPECT_EQ((*instance)->devices()[1].info.type, DeviceType::kIntegrated);
  EXPECT_TRUE((*instance)->devices()[1].info.unified);
  EXPECT_EQ((*instance)->devices()[1].info.ordinal, 1u);
}

class VulkanInFlight : public CardTest {};

TEST_F(VulkanInFlight, BytesInUseAreGivenToNobody) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  const std::byte value{5};
  Buffer buffer = Make(*device, 1 << 20);
  ASSERT_OK(buffer.Fill(absl::MakeConstSpan(&value, 1)));
  card_.Hold();
  std::vector<uint8_t> out(1 << 20);
  const absl::StatusOr<Fence> copied =
      buffer.CopyOutAsync(out.data(), out.size(), {.queue = queue.get()});
  ASSERT_OK(copied);
  EXPECT_FALSE(copied->IsReached());
  EXPECT_CODE(DeadlineExceeded, copied->Wait(absl::Milliseconds(5)));
  const uint64_t address = AddressOf(buffer);
  buffer = Buffer();
  EXPECT_EQ(device->Stats().deferred_bytes, uint64_t{1} << 20);
  const Buffer next = Make(*device, 1 << 20);
  EXPECT_NE(AddressOf(next), address);
  card_.ReleaseHeld();
  ASSERT_OK(copied->Wait());
  EXPECT_EQ(out, std::vector<uint8_t>(1 << 20, 5));
  device->Poll();
  EXPECT_EQ(device->Stats().deferred_bytes, 0u);
}

// A copy that the caller waits for is not held up by one that waits for a late queue.
TEST_F(VulkanInFlight, ALateQueueHoldsUpOnlyWhatFollowsIt) {
  std::unique_ptr<Allocator> upload = MakeSpace(kUploadSpace);
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const std::shared_ptr<DeviceQueue> late = MakeQueue();
  const Buffer late_buffer = Make(*device, 4096), other = Make(*upload, 4096);
  const std::byte value{1};
  card_.Hold();
  ASSERT_OK(late_buffer.FillAsync(absl::MakeConstSpan(&value, 1), {.queue = late.get()}));
  std::vector<uint8_t> out(4096);
  const absl::StatusOr<Fence> follows = late_buffer.CopyOutAsync(out.data(), out.size());
  ASSERT_OK(follows);
  // By the host: the device is held.
  EXPECT_OK(other.CopyIn(out.data(), out.size()));
  EXPECT_FALSE(follows->IsReached());
  card_.ReleaseHeld();
  EXPECT_OK(follows->Wait());
  EXPECT_EQ(out, std::vector<uint8_t>(4096, 1));
}

TEST_F(VulkanInFlight, ALostDeviceSaysSoAndQuarantinesWhatItMayStillTouch) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  Buffer buffer = Make(*device, 1 << 20);
  std::vector<uint8_t> out(1 << 20);
  card_.Hold();
  const absl::StatusOr<Fence> copied =
      buffer.CopyOutAsync(out.data(), out.size(), {.queue = queue.get()});
  ASSERT_OK(copied);
  card_.LoseDevice();
  const absl::Status status = copied->Wait();
  EXPECT_CODE(Internal, status);
  EXPECT_NE(status.message().find("is lost"), std::string::npos) << status;
  EXPECT_CODE(Internal, queue->Record());
  EXPECT_CODE(Internal, buffer.CopyIn(out.data(), out.size()));
  EXPECT_TRUE(copied->IsFailed());
  buffer = Buffer();
  device->Poll();
  EXPECT_EQ(device->Stats().quarantined_bytes, uint64_t{1} << 20);
}

}  // namespace
}  // namespace tenure::vulkan
