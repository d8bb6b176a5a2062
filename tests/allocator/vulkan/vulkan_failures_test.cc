// Every call of the driver's fails, once or from then on, with every error that Vulkan documents for
// it; devices that lack something; a device that is lost with work in flight.

#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/timeline/timeline.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

constexpr bool kThorough = kWithValidation;       // false under ThreadSanitizer
constexpr uint64_t kLarge = uint64_t{600} << 10;  // through the staging ring

FakeCardOptions WithoutFilling() {
  FakeCardOptions options;
  // Faster: small heaps make small slabs.
  options.fill_bytes = 0;
  for (FakeHeap& heap : options.cards[0].heaps) heap.size_bytes = uint64_t{64} << 20;
  return options;
}

// An opened device with everything that is made for it.
struct Opened {
  std::shared_ptr<CopyEngine> engine;
  std::shared_ptr<DeviceQueue> queue;
  std::vector<std::unique_ptr<Allocator>> spaces;
};

absl::StatusOr<Opened> Open(PFN_vkGetInstanceProcAddr loader) {
  Opened opened;
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Instance> instance, Instance::Create(loader, {}));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<Device> device, Device::Open(instance, 0));
  TENURE_ASSIGN_OR_RETURN(opened.engine, CopyEngine::Of(device));
  TENURE_ASSIGN_OR_RETURN(opened.queue, DeviceQueue::Create(device));
  for (SpaceKind kind : {kDeviceSpace, kUploadSpace, kReadbackSpace}) {
    TENURE_ASSIGN_OR_RETURN(std::unique_ptr<VulkanAllocator> space,
                            VulkanAllocator::Create(kind, {}, opened.engine));
    opened.spaces.push_back(std::move(space));
  }
  return opened;
}

// Moves bytes in every way that there is, and gives the memory back. Gives the first error.
absl::Status UseEverything(Opened& opened) {
  absl::Status first;
  const auto note = [&](const absl::Status& status) { first.Update(status); };
  Queue* const queue = opened.queue.get();
  const std::vector<uint8_t> bytes = Pattern(kLarge);
  std::vector<uint8_t> out(kLarge);
  CpuAllocator cpu;
  std::vector<Buffer> buffers;
  for (const auto& space : opened.spaces) {
    TENURE_ASSIGN_OR_RETURN(
        buffers.emplace_back(),
        Buffer::Create(*space, DType::kUInt8, Shape::Vector(kLarge), {.immediate = true}));
  }
  const Buffer& at = buffers[0];
  Buffer small = *at.View(1, 1000);
  for (const Buffer& buffer : buffers) {
    note(buffer.CopyIn(bytes.data(), kLarge));
    note(buffer.CopyOut(out.data(), kLarge));
    if (first.ok() && out != bytes) return absl::DataLossError("other bytes than were copied in");
  }
  note(small.CopyIn(bytes.data(), 1000));
  note(small.CopyOut(out.data(), 1000));
  note(small.CopyIn(bytes.data(), 1000, {.queue = queue}));
  note(small.CopyOut(out.data(), 1000, {.queue = queue}));
  note(small.CopyFrom(*at.View(500, 1000)));
  note(at.CopyFrom(buffers[1]));
  note(buffers[2].CopyFrom(at));
  const std::vector<std::byte> pattern(16, std::byte{3});
  note(at.Fill(pattern));
  note(small.Fill(absl::MakeConstSpan(pattern.data(), 1)));
  note(opened.queue->Record().status());
  note(opened.queue->Synchronize());
  const Buffer host = Make(cpu, 4096);
  note(Buffer::Wrap(*opened.spaces[0], DType::kUInt8, Shape::Vector(4096),
                    {.data = *host.MutableHostPointer()}, 4096)
           .status());
  small = Buffer();
  buffers.clear();
  for (const auto& space : opened.spaces) {
    space->Trim(0);
    const AllocatorStats stats = space->Stats();
    if (stats.in_use_bytes + stats.deferred_bytes + stats.reserved_bytes != 0) {
      note(absl::DataLossError("bytes are left"));
    }
  }
  return first;
}

class VulkanSweep : public testing::Test {
 protected:
  VulkanSweep() : card_(WithoutFilling()) {}

  // Counts the calls of `work`, then fails them one by one. After each, `check` must find everything
  // in order.
  void Sweep(const std::function<absl::Status()>& work, const std::function<void()>& check) {
    std::map<std::string_view, uint64_t> before;
    for (const FakeFallible& call : FakeCard::FallibleEntries()) {
      before[call.entry] = card_.Calls(call.entry);
    }
    ASSERT_OK(work());
    check();
    uint64_t tried = 0, entries = 0;
    for (const FakeFallible& call : FakeCard::FallibleEntries()) {
      const uint64_t most = card_.Calls(call.entry) - before[call.entry];
      if (most == 0) continue;
      ++entries;
      uint64_t errors = 0;
      for (const VkResult error : call.errors) {
        // ThreadSanitizer is slow, and there is nothing new for it in the other errors.
        if (!kThorough && ++errors > 1) break;
        // A lost device stays lost without being told so again.
        const bool loses = error == VK_ERROR_DEVICE_LOST;
        for (const bool and_later : {false, true}) {
          for (uint64_t nth : std::set<uint64_t>{1, 2, 4, most}) {
            if (!kThorough && nth != 1) continue;
            if (nth > most || (loses && (and_later || nth == 2))) continue;
            SCOPED_TRACE(testing::Message() << call.entry << " " << error << " nth " << nth
                                            << (and_later ? " and later" : ""));
            const uint64_t given = card_.FailuresGiven();
            card_.FailCall(call.entry, error, nth, and_later);
            const absl::Status status = work();
            // Looks at values and waits are done in another way then; what ends with the engine
            // tells nobody.
            if (card_.FailuresGiven() > given && and_later && error != VK_INCOMPLETE && nth == 1 &&
                call.entry != "vkGetSemaphoreCounterValue" && call.entry != "vkWaitSemaphores" &&
                call.entry != "vkDeviceWaitIdle") {
              EXPECT_FALSE(status.ok());
            }
            if (!status.ok()) {
              EXPECT_NE(status.code(), absl::StatusCode::kDataLoss) << status;
              EXPECT_GE(status.message().size(), 20u) << status;
            }
            card_.ClearFailures();
            check();
            EXPECT_EQ(card_.Violations(), std::vector<std::string>());
            ++tried;
            if (HasFailure()) return;
          }
        }
      }
    }
    std::cout << entries << " entry points, " << tried << " failures tried\n";
    EXPECT_GE(entries, 10u);
  }

  // Of lost devices: each that is left has memory that was in use.
  void ExpectOnlyMemoryLeft() {
    const std::set<std::string> kinds = {"VkInstance", "VkDevice", "VkDeviceMemory", "VkBuffer"};
    const auto others = [&] {
      std::string names;
      for (const auto& [kind, count] : card_.LiveObjects()) {
        if (kinds.count(kind) == 0) names += kind + " ";
      }
      if (card_.Live("VkDevice") > card_.Live("VkDeviceMemory")) names += "VkDevice without memory";
      return names;
    };
    for (int i = 0; i < 2000 && !others().empty(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(others(), "");
  }

  FakeCard card_;
};

TEST_F(VulkanSweep, OpeningADevice) {
  Sweep([&] { return Open(card_.loader()).status(); }, [&] { ExpectNothingLeft(card_); });
}

TEST_F(VulkanSweep, UsingADevice) {
  absl::StatusOr<Opened> opened = Open(card_.loader());
  ASSERT_OK(opened);
  Sweep([&] { return UseEverything(*opened); },
        [&] {
          // A lost device stays lost, and keeps the memory that it may still have been using.
          if (!opened->engine->device()->lost().ok()) {
            *opened = Opened();
            ExpectOnlyMemoryLeft();
            opened = Open(card_.loader());
            ASSERT_OK(opened);
          }
          EXPECT_OK(UseEverything(*opened));
        });
  *opened = Opened();
  ExpectOnlyMemoryLeft();
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

// The semaphore of a queue that is gone must live while other queues' work refers to it.
TEST_F(VulkanInFlight, AQueueMayEndBeforeWorkThatWaitedForIt) {
  const std::shared_ptr<DeviceQueue> second = MakeQueue();
  for (const bool with_commands : {true, false}) {
    std::shared_ptr<DeviceQueue> first = MakeQueue();
    card_.Hold();
    absl::StatusOr<Fence> before = first->Record();
    ASSERT_OK(before);
    if (with_commands) {
      ASSERT_OK(second->SubmitRecorded(absl::MakeConstSpan(&*before, 1),
                                       [](VkCommandBuffer) { return absl::OkStatus(); }));
    } else {
      ASSERT_OK(second->WaitFor(*before));
    }
    const absl::StatusOr<Fence> after = second->Record();
    ASSERT_OK(after);
    // The first queue's work is done, and the second's is not.
    card_.ReleaseHeld(1);
    ASSERT_OK(before->Wait());
    first.reset();
    before = Fence();
    EXPECT_EQ(card_.Violations(), std::vector<std::string>());
    card_.ReleaseHeld();
    ASSERT_OK(after->Wait());
  }
}

// The caller of a copy that failed may free its memory at once, so nothing may come to it later.
TEST_F(VulkanInFlight, WhatTheHostHadToDoIsForgottenWithALostDevice) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  auto bytes = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = bytes;
  card_.Hold();
  const absl::StatusOr<Fence> done = queue->SubmitRecorded(
      {}, [](VkCommandBuffer) { return absl::OkStatus(); },
      [kept = std::move(bytes)] {
        ++*kept;
        return absl::OkStatus();
      });
  ASSERT_OK(done);
  card_.LoseDevice();
  const absl::Status status = done->Wait();
  // The device may have come to it just before it was lost.
  EXPECT_TRUE(status.ok() || absl::IsInternal(status)) << status;
  EXPECT_TRUE(watched.expired());
}

absl::StatusOr<Fence> SubmitHostPart(DeviceQueue& queue, std::function<absl::Status()> work) {
  return queue.SubmitRecorded(
      {}, [](VkCommandBuffer) { return absl::OkStatus(); }, std::move(work));
}

TEST_F(VulkanInFlight, TheHostsPartsOfAQueueComeInOrder) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  absl::Notification begun, go_on;
  std::atomic<bool> first_is_over{false}, second_came_first{false};
  const absl::StatusOr<Fence> first = SubmitHostPart(*queue, [&] {
    begun.Notify();
    go_on.WaitForNotification();
    first_is_over = true;
    return absl::OkStatus();
  });
  ASSERT_OK(first);
  begun.WaitForNotification();
  const absl::StatusOr<Fence> second = SubmitHostPart(*queue, [&] {
    second_came_first = !first_is_over;
    return absl::OkStatus();
  });
  ASSERT_OK(second);
  EXPECT_CODE(DeadlineExceeded, second->WaitUntil(absl::Now() + absl::Milliseconds(50)));
  go_on.Notify();
  EXPECT_OK(second->Wait());
  EXPECT_FALSE(second_came_first);
}

TEST_F(VulkanInFlight, AnExceptionInTheHostsPartIsTheFencesError) {
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  const absl::StatusOr<Fence> fails =
      SubmitHostPart(*queue, []() -> absl::Status { throw std::bad_alloc(); });
  ASSERT_OK(fails);
  EXPECT_CODE(ResourceExhausted, fails->Wait());
  const absl::StatusOr<Fence> next = SubmitHostPart(*queue, [] { return absl::OkStatus(); });
  ASSERT_OK(next);
  EXPECT_OK(next->Wait());
}

// The second copy may only reach the host's bytes when the first has.
TEST_F(VulkanInFlight, CopiesOutOfTwoQueuesReachTheHostInOrder) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const std::shared_ptr<DeviceQueue> queues[] = {MakeQueue(), MakeQueue()};
  // The library's thread is busy, so the host's parts are left to those that wait.
  absl::Notification begun, go_on;
  const auto timeline = std::make_shared<HostTimeline>();
  const absl::StatusOr<Fence> busy =
      HostWorker::Default().Submit({Fence(timeline, 1)}, absl::InfiniteFuture(), [&] {
        begun.Notify();
        go_on.WaitForNotification();
        return absl::OkStatus();
      });
  ASSERT_OK(busy);
  timeline->Signal(1);
  begun.WaitForNotification();
  uint32_t host = 0;
  std::vector<Allocation> made;
  std::vector<Fence> fences;
  for (uint32_t i : {0u, 1u}) {
    const uint32_t value = i + 1;
    made.push_back(*device->Allocate({.size_bytes = sizeof(value)}));
    const SubRegion region = {&made[i], 0, sizeof(value)};
    EXPECT_OK(device->CopyIn(region, &value, {}));
    CopyOptions options;
    options.may_block = false;
    options.queue = queues[i].get();
    options.after = fences;
    absl::StatusOr<Fence> fence = device->CopyOut(&host, region, options);
    EXPECT_OK(fence);
    fences.push_back(*fence);
  }
  EXPECT_OK(fences[1].Wait());
  EXPECT_EQ(host, 2u);
  EXPECT_OK(fences[0].Wait());
  EXPECT_EQ(host, 2u);
  go_on.Notify();
  EXPECT_OK(busy->Wait());
  for (const Allocation& one : made) device->Deallocate(one);
}

// A copy by the host that waits for the value 1 of `timeline`.
class VulkanLateCopy : public CardTest {
 protected:
  VulkanLateCopy() {
    const Fence late(timeline_, 1);
    CopyOptions options;
    options.may_block = false;
    options.after = absl::MakeConstSpan(&late, 1);
    copied_ = space_->CopyIn({&made_, 0, sizeof(from_)}, &from_, options);
    EXPECT_OK(copied_);
  }

  const uint64_t from_ = 7;
  const std::shared_ptr<HostTimeline> timeline_ = std::make_shared<HostTimeline>();
  std::unique_ptr<Allocator> space_ = MakeSpace(kUploadSpace);
  const Allocation made_ = *space_->Allocate({.size_bytes = 64});
  absl::StatusOr<Fence> copied_;
};

TEST_F(VulkanLateCopy, IsRefusedIfItOutlivesItsAllocator) {
  space_->Deallocate(made_);
  space_.reset();
  timeline_->Signal(1);
  EXPECT_CODE(FailedPrecondition, copied_->Wait());
}

TEST_F(VulkanLateCopy, IsWaitedForBySynchronize) {
  std::thread device([&] {
    absl::SleepFor(absl::Milliseconds(20));
    timeline_->Signal(1);
  });
  EXPECT_OK(space_->Synchronize());
  EXPECT_TRUE(copied_->IsReached());
  device.join();
  space_->Deallocate(made_);
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
  // The device may have ended the copy just before it was lost, while a thread waited for it.
  if (!status.ok()) {
    EXPECT_CODE(Internal, status);
    EXPECT_NE(status.message().find("is lost"), std::string::npos) << status;
  }
  EXPECT_CODE(Internal, queue->Record());
  EXPECT_CODE(Internal, buffer.CopyIn(out.data(), out.size()));
  const bool is_reached = copied->IsReached();
  EXPECT_TRUE(is_reached || !status.ok());
  EXPECT_NE(is_reached, copied->IsFailed());
  buffer = Buffer();
  device->Poll();
  EXPECT_EQ(device->Stats().quarantined_bytes, is_reached ? 0 : uint64_t{1} << 20);
  leaves_memory_ = true;
}

}  // namespace
}  // namespace tenure::vulkan
