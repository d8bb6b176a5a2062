// FakeCard's work in flight, its failures, and what it says of objects.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/debugging/leak_check.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card.h"
#include "tenure/tests/allocator/vulkan/fake/fake_card_fixture.h"
#include "tenure/tests/allocator/vulkan/fake/raw_vulkan.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint32_t kDeviceLocal = FakeProfile::kDeviceLocal;
constexpr uint32_t kWriteCombined = FakeProfile::kWriteCombined;

using FakeCardWorkTest = FakeCardTest;

// ---- Work ----------------------------------------------------------------------------------------

TEST_F(FakeCardWorkTest, CountsDispatchesThatRan) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece piece = vk.NewPiece(kWriteCombined, 256 * sizeof(uint32_t));
  VkCommandBuffer commands = vk.NewDispatch(piece, 4);
  EXPECT_EQ(card_->Calls("vkCmdDispatch"), 1);
  EXPECT_EQ(card_->Executed("vkCmdDispatch"), 0);
  ASSERT_EQ(vk.Submit(commands, 1), VK_SUCCESS);
  ASSERT_EQ(vk.Wait(1), VK_SUCCESS);
  EXPECT_EQ(card_->Executed("vkCmdDispatch"), 1);
  uint32_t values[256];
  std::memcpy(values, piece.bytes, sizeof(values));
  for (uint32_t i = 0; i < 256; ++i) ASSERT_EQ(values[i], i * 3);
  ASSERT_EQ(vk.Submit(commands, 2), VK_SUCCESS);
  ASSERT_EQ(vk.Wait(2), VK_SUCCESS);
  EXPECT_EQ(card_->Executed("vkCmdDispatch"), 2);
  EXPECT_EQ(vk.messages(), std::vector<std::string>());
}

TEST_F(FakeCardWorkTest, HeldWorkRunsInOrderWhenItIsReleased) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  const RawVulkan::Piece b = vk.NewPiece(kWriteCombined, 256);
  const RawVulkan::Piece c = vk.NewPiece(kWriteCombined, 256);
  std::memset(a.bytes, 1, 256);
  VkFenceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  VkFence fence = VK_NULL_HANDLE;
  ASSERT_EQ(vk.CreateFence(vk.device, &info, nullptr, &fence), VK_SUCCESS);
  vk.Later([&vk, fence] { vk.DestroyFence(vk.device, fence, nullptr); });

  card_->Hold();
  ASSERT_EQ(vk.Submit(vk.NewCopy(a, b, 256), 1), VK_SUCCESS);
  ASSERT_EQ(vk.Submit(vk.NewCopy(b, c, 256), 2, fence), VK_SUCCESS);
  EXPECT_EQ(card_->HeldCount(), 2);
  EXPECT_EQ(vk.Wait(1, 1000), VK_TIMEOUT);
  EXPECT_EQ(vk.GetFenceStatus(vk.device, fence), VK_NOT_READY);
  EXPECT_EQ(vk.WaitForFences(vk.device, 1, &fence, VK_TRUE, 1000), VK_TIMEOUT);
  EXPECT_EQ(vk.Value(), 0);
  EXPECT_EQ(b.bytes[0], std::byte{0xCD});
  std::memset(a.bytes, 2, 256);  // seen by the copy, which has not run

  card_->ReleaseHeld(1);
  EXPECT_EQ(vk.Wait(1), VK_SUCCESS);
  EXPECT_EQ(b.bytes[0], std::byte{2});
  EXPECT_EQ(card_->HeldCount(), 1);
  EXPECT_EQ(vk.Value(), 1);
  EXPECT_EQ(c.bytes[0], std::byte{0xCD});
  card_->ReleaseHeld();
  EXPECT_EQ(vk.WaitForFences(vk.device, 1, &fence, VK_TRUE, UINT64_MAX), VK_SUCCESS);
  // A driver may signal the fence of a submission before its semaphore.
  EXPECT_EQ(vk.Wait(2), VK_SUCCESS);
  EXPECT_EQ(vk.Value(), 2);
  EXPECT_EQ(c.bytes[255], std::byte{2});
  // Nothing is held any more.
  ASSERT_EQ(vk.Submit(vk.NewCopy(a, b, 256), 3), VK_SUCCESS);
  EXPECT_EQ(card_->HeldCount(), 0);
  EXPECT_EQ(vk.Wait(3), VK_SUCCESS);
}

TEST_F(FakeCardWorkTest, HoldsSubmissionsOfTheSecondKindWithTheirSemaphores) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  const RawVulkan::Piece b = vk.NewPiece(kWriteCombined, 256);
  std::memset(a.bytes, 4, 256);
  VkCommandBuffer copy = vk.NewCopy(a, b, 256);
  card_->Hold();
  {
    // All of these are gone when the work is released.
    VkSemaphoreSubmitInfo wait = {};
    wait.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO;
    wait.semaphore = vk.timeline;
    wait.value = 1;
    wait.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
    VkSemaphoreSubmitInfo signal = wait;
    signal.value = 2;
    VkCommandBufferSubmitInfo commands = {};
    commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_SUBMIT_INFO;
    commands.commandBuffer = copy;
    VkSubmitInfo2 info = {};
    info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2;
    info.waitSemaphoreInfoCount = 1;
    info.pWaitSemaphoreInfos = &wait;
    info.commandBufferInfoCount = 1;
    info.pCommandBufferInfos = &commands;
    info.signalSemaphoreInfoCount = 1;
    info.pSignalSemaphoreInfos = &signal;
    ASSERT_EQ(vk.QueueSubmit2(vk.queue, 1, &info, VK_NULL_HANDLE), VK_SUCCESS);
    wait = {};
    commands = {};
  }
  card_->ReleaseHeld();
  EXPECT_EQ(vk.Value(), 0);  // it waits for 1, on the device
  VkSemaphoreSignalInfo signal = {};
  signal.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO;
  signal.semaphore = vk.timeline;
  signal.value = 1;
  EXPECT_EQ(vk.SignalSemaphore(vk.device, &signal), VK_SUCCESS);
  EXPECT_EQ(vk.Wait(2), VK_SUCCESS);
  EXPECT_EQ(b.bytes[255], std::byte{4});
}

TEST_F(FakeCardWorkTest, WaitsForTheDeviceLastUntilTheRelease) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  const RawVulkan::Piece b = vk.NewPiece(kWriteCombined, 256);
  for (const bool whole_device : {true, false}) {
    card_->Hold();
    ASSERT_EQ(vk.Submit(vk.NewCopy(a, b, 256), whole_device ? 1 : 2), VK_SUCCESS);
    std::atomic<bool> released = false;
    std::thread other([&] {
      absl::SleepFor(absl::Milliseconds(20));
      released = true;
      card_->ReleaseHeld();
    });
    EXPECT_EQ(whole_device ? vk.DeviceWaitIdle(vk.device) : vk.QueueWaitIdle(vk.queue), VK_SUCCESS);
    EXPECT_TRUE(released);
    other.join();
  }
  EXPECT_EQ(vk.Value(), 2);
}

TEST_F(FakeCardWorkTest, AWaitThatNothingEndsIsAViolation) {
  FakeCardOptions options;
  options.hang_after = absl::Milliseconds(20);
  Play(options);
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  card_->Hold();
  ASSERT_EQ(vk.Submit(vk.NewCopy(a, vk.NewPiece(kWriteCombined, 256), 256), 1), VK_SUCCESS);
  EXPECT_EQ(vk.DeviceWaitIdle(vk.device), VK_ERROR_DEVICE_LOST);
  EXPECT_THAT(Violation(), HasSubstr("vkDeviceWaitIdle: it waited for longer"));
  EXPECT_EQ(vk.Wait(1), VK_ERROR_DEVICE_LOST);
  EXPECT_THAT(Violation(), HasSubstr("vkWaitSemaphores: it waited for longer"));
  card_->ReleaseHeld();
  EXPECT_EQ(vk.DeviceWaitIdle(vk.device), VK_SUCCESS);
}

// What is forgotten was never there for the layer: all of this can be destroyed.
TEST_F(FakeCardWorkTest, DestroyingWhatHeldWorkUsesIsAViolation) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece to = vk.NewPiece(kWriteCombined, 256);
  struct Lost {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
  };
  const auto make = [&] {
    VkBufferCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    info.size = 256;
    info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                 VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
    Lost lost;
    EXPECT_EQ(vk.CreateBuffer(vk.device, &info, nullptr, &lost.buffer), VK_SUCCESS);
    EXPECT_EQ(vk.Allocate(kDeviceLocal, 256, &lost.memory), VK_SUCCESS);
    EXPECT_EQ(vk.BindBufferMemory(vk.device, lost.buffer, lost.memory, 0), VK_SUCCESS);
    return lost;
  };
  const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 16};
  VkPipelineLayoutCreateInfo layout_info = {};
  layout_info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout_info.pushConstantRangeCount = 1;
  layout_info.pPushConstantRanges = &range;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  ASSERT_EQ(vk.CreatePipelineLayout(vk.device, &layout_info, nullptr, &layout), VK_SUCCESS);
  vk.Later([&vk, layout] { vk.DestroyPipelineLayout(vk.device, layout, nullptr); });

  const Lost copied = make();
  const Lost in_set = make();
  const Lost addressed = make();
  VkBufferDeviceAddressInfo address_info = {};
  address_info.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address_info.buffer = addressed.buffer;
  const uint64_t constants[2] = {1, vk.GetBufferDeviceAddress(vk.device, &address_info) + 64};
  RawVulkan::Piece from, values;
  from.buffer = copied.buffer;
  values.buffer = in_set.buffer;
  const auto push = [&](VkCommandBuffer commands) {
    vk.CmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, 16, constants);
  };
  VkCommandBuffer all[] = {vk.NewCopy(from, to, 256), vk.NewDispatch(values, 1),
                           vk.NewCommands(push)};
  card_->Hold();
  uint64_t value = 0;
  for (VkCommandBuffer commands : all) {
    ASSERT_EQ(vk.Submit(commands, ++value), VK_SUCCESS);
  }
  for (const Lost& lost : {copied, in_set, addressed}) {
    vk.FreeMemory(vk.device, lost.memory, nullptr);
    EXPECT_THAT(Violation(), HasSubstr("vkFreeMemory: held work uses the VkDeviceMemory"));
    vk.DestroyBuffer(vk.device, lost.buffer, nullptr);
    EXPECT_THAT(Violation(), HasSubstr("vkDestroyBuffer: held work uses the VkBuffer"));
  }
  EXPECT_EQ(vk.ResetCommandBuffer(all[0], 0), VK_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("vkResetCommandBuffer: held work uses"));
  card_->ForgetHeld();
}

TEST_F(FakeCardWorkTest, ALostDeviceSaysSoAndCanBeDestroyed) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  VkCommandBuffer copy = vk.NewCopy(a, vk.NewPiece(kWriteCombined, 256), 256);
  card_->Hold();
  ASSERT_EQ(vk.Submit(copy, 1), VK_SUCCESS);
  std::thread waits([&vk] { EXPECT_EQ(vk.Wait(2), VK_ERROR_DEVICE_LOST); });
  absl::SleepFor(absl::Milliseconds(5));
  card_->LoseDevice();
  waits.join();
  EXPECT_EQ(card_->HeldCount(), 0);
  EXPECT_EQ(vk.Submit(copy, 3), VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(vk.Wait(1), VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(vk.DeviceWaitIdle(vk.device), VK_ERROR_DEVICE_LOST);
  VkDeviceMemory memory = VK_NULL_HANDLE;
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 256, &memory), VK_SUCCESS);  // this call can't say it
  vk.FreeMemory(vk.device, memory, nullptr);
  // Nothing runs any more, or the layer would complain at the end.
}

// What one call says holds for the device: no other thread's work runs from then on.
TEST_F(FakeCardWorkTest, ADeviceThatOneCallLostTakesNoMoreWork) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece a = vk.NewPiece(kWriteCombined, 256);
  VkCommandBuffer copy = vk.NewCopy(a, vk.NewPiece(kWriteCombined, 256), 256);
  card_->FailCall("vkWaitSemaphores", VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(vk.Wait(1, 1000), VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(vk.Submit(copy, 1), VK_ERROR_DEVICE_LOST);
  card_->Hold();
  EXPECT_EQ(vk.Submit(copy, 1), VK_ERROR_DEVICE_LOST);
  EXPECT_EQ(card_->HeldCount(), 0);
}

TEST_F(FakeCardWorkTest, ThreadsShareIt) {
  RawVulkan& vk = Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&vk] {
      for (int i = 0; i < 50; ++i) {
        VkDeviceMemory memory = VK_NULL_HANDLE;
        ASSERT_EQ(vk.Allocate(FakeProfile::kCached, 4096, &memory), VK_SUCCESS);
        void* bytes = nullptr;
        ASSERT_EQ(vk.MapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, &bytes), VK_SUCCESS);
        std::memset(bytes, i, 4096);
        const VkMappedMemoryRange range = {VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, nullptr, memory,
                                           0, VK_WHOLE_SIZE};
        ASSERT_EQ(vk.FlushMappedMemoryRanges(vk.device, 1, &range), VK_SUCCESS);
        vk.FreeMemory(vk.device, memory, nullptr);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(card_->Calls("vkAllocateMemory"), 200);
  EXPECT_EQ(card_->Ranges().size(), 200);
}

// ---- Objects -------------------------------------------------------------------------------------

TEST_F(FakeCardWorkTest, SaysWhatWasLeft) {
  RawVulkan& vk = Start();
  EXPECT_THAT(card_->LiveObjects(), Contains(Pair("VkDevice", 1)));
  VkSemaphoreCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  VkSemaphore left = VK_NULL_HANDLE;
  {
    const absl::LeakCheckDisabler leaks_on_purpose;
    ASSERT_EQ(vk.CreateSemaphore(vk.device, &info, nullptr, &left), VK_SUCCESS);
  }
  vk.NewCommands([](VkCommandBuffer) {});  // goes with its pool
  const bool has_layer = vk.has_layer();
  vk.Stop();
  EXPECT_EQ(Violation(), "vkDestroyDevice: 1 VkSemaphore left");
  EXPECT_THAT(card_->LiveObjects(), IsEmpty());
  EXPECT_EQ(vk.messages().empty(), !has_layer);  // the layer saw it too
  vk_ = std::make_unique<RawVulkan>(*card_);
}

// ---- Failures ------------------------------------------------------------------------------------

TEST_F(FakeCardWorkTest, FailsTheNthCall) {
  RawVulkan& vk = Start();
  card_->FailCall("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY, 2);
  VkDeviceMemory a = VK_NULL_HANDLE, b = VK_NULL_HANDLE;
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &a), VK_SUCCESS);
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &b), VK_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_EQ(b, VK_NULL_HANDLE);
  EXPECT_EQ(card_->FailuresGiven(), 1);
  EXPECT_EQ(card_->Calls("vkAllocateMemory"), 2);
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &b), VK_SUCCESS);
  card_->FailCall("vkAllocateMemory", VK_ERROR_TOO_MANY_OBJECTS, 1, true);
  VkDeviceMemory c = VK_NULL_HANDLE;
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &c), VK_ERROR_TOO_MANY_OBJECTS);
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &c), VK_ERROR_TOO_MANY_OBJECTS);
  card_->ClearFailures();
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 4096, &c), VK_SUCCESS);
  for (VkDeviceMemory memory : {a, b, c}) vk.FreeMemory(vk.device, memory, nullptr);
}

// Most of what a program does with a device; ends at the first error.
VkResult Scenario(RawVulkan& vk) {
  if (vk.Start() != VK_SUCCESS) return vk.result();
  const RawVulkan::Piece from = vk.NewPiece(FakeProfile::kCached, 1024);
  const RawVulkan::Piece to = vk.NewPiece(FakeProfile::kCached, 1024);
  if (vk.result() != VK_SUCCESS) return vk.result();
  const VkMappedMemoryRange in = {VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, nullptr, from.memory, 0,
                                  VK_WHOLE_SIZE};
  VkMappedMemoryRange out = in;
  out.memory = to.memory;
  VkBufferViewCreateInfo view_info = {};
  view_info.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO;
  view_info.buffer = from.buffer;
  view_info.format = VK_FORMAT_R32_UINT;
  view_info.range = VK_WHOLE_SIZE;
  VkBufferView view = VK_NULL_HANDLE;
  if (!vk.Ok(vk.CreateBufferView(vk.device, &view_info, nullptr, &view))) return vk.result();
  vk.Later([&vk, view] { vk.DestroyBufferView(vk.device, view, nullptr); });
  VkCommandBuffer copy = vk.NewCopy(from, to, 1024);
  if (vk.result() != VK_SUCCESS) return vk.result();
  VkCommandBuffer dispatch = vk.NewDispatch(to, 1);
  if (vk.result() != VK_SUCCESS) return vk.result();
  if (!vk.Ok(vk.FlushMappedMemoryRanges(vk.device, 1, &in)) || !vk.Ok(vk.Submit(copy, 1)) ||
      !vk.Ok(vk.Submit(dispatch, 2))) {
    vk.DeviceWaitIdle(vk.device);
    return vk.result();
  }
  vk.Later([&vk] { vk.DeviceWaitIdle(vk.device); });
  vk.Value();
  vk.Ok(vk.Wait(2));
  vk.Ok(vk.QueueWaitIdle(vk.queue));
  vk.Ok(vk.DeviceWaitIdle(vk.device));
  vk.Ok(vk.InvalidateMappedMemoryRanges(vk.device, 1, &out));
  vk.Ok(vk.ResetCommandBuffer(copy, 0));
  vk.Ok(vk.ResetCommandPool(vk.device, vk.pool, 0));
  return vk.result();
}

TEST_F(FakeCardWorkTest, EveryCallOfAScenarioCanFailAndLeavesNothing) {
  Play(FakeCardOptions{});
  ASSERT_EQ(Scenario(*vk_), VK_SUCCESS);
  std::vector<FakeFallible> called;
  for (const FakeFallible& fallible : FakeCard::FallibleEntries()) {
    EXPECT_THAT(fallible.errors, ::testing::Each(::testing::Lt(0))) << fallible.entry;
    if (card_->Calls(fallible.entry) > 0) called.push_back(fallible);
  }
  EXPECT_GE(called.size(), 30);
  for (const FakeFallible& fallible : called) {
    SCOPED_TRACE(fallible.entry);
    Play(FakeCardOptions{});
    const VkResult error = fallible.errors.back();
    card_->FailCall(fallible.entry, error);
    EXPECT_EQ(Scenario(*vk_), error);
    EXPECT_EQ(card_->FailuresGiven(), 1);
    vk_->Stop();
    EXPECT_EQ(card_->HeapUsedBytes(0), 0);
    EXPECT_EQ(card_->HeapUsedBytes(1), 0);
  }
}

TEST_F(FakeCardWorkTest, HasTheEntriesThatAProgramOfThisKindCalls) {
  std::set<std::string_view> names;
  for (const FakeFallible& fallible : FakeCard::FallibleEntries()) names.insert(fallible.entry);
  for (const char* name : {"vkGetMemoryFdKHR", "vkGetMemoryFdPropertiesKHR", "vkGetSemaphoreFdKHR",
                           "vkImportSemaphoreFdKHR", "vkGetMemoryHostPointerPropertiesEXT",
                           "vkCreateQueryPool", "vkGetQueryPoolResults", "vkSignalSemaphore"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

using FakeCardDeathTest = FakeCardTest;

TEST_F(FakeCardDeathTest, EndsTheProgramOnMistakesOfATest) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        FakeCard one;
        FakeCard two;
      },
      "another one lives");
  EXPECT_DEATH(
      {
        FakeCard card;
        card.FailCall("vkMakeTea", VK_ERROR_DEVICE_LOST);
      },
      "no entry 'vkMakeTea'");
  FakeCardOptions options;
  options.cards[0].hidden_features = {"warpDrive"};
  EXPECT_DEATH(FakeCard{options}, "no feature 'warpDrive'");
}

TEST_F(FakeCardDeathTest, EndsTheProgramWithoutADriverSoThatNoTestPasses) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        setenv("VK_ICD_FILENAMES", "/nowhere.json", 1);
        setenv("VK_DRIVER_FILES", "/nowhere.json", 1);
        FakeCard card;
        RawVulkan(card).StartInstance();
      },
      "no Vulkan driver for the CPU");
}

}  // namespace
}  // namespace tenure::vulkan
