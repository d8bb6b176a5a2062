// FakeCard's cards and memory.

#include "tenure/tests/allocator/vulkan/fake/fake_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/fake_card_fixture.h"
#include "tenure/tests/allocator/vulkan/fake/raw_vulkan.h"
#include "vulkan/vulkan.h"

namespace tenure::vulkan {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr uint32_t kDeviceLocal = FakeProfile::kDeviceLocal;
constexpr uint32_t kWriteCombined = FakeProfile::kWriteCombined;
constexpr uint32_t kCached = FakeProfile::kCached;
constexpr uint32_t kMappedDevice = FakeProfile::kMappedDevice;

std::vector<std::string> Extensions(RawVulkan& vk, VkPhysicalDevice device) {
  uint32_t count = 0;
  EXPECT_EQ(vk.EnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr), VK_SUCCESS);
  std::vector<VkExtensionProperties> all(count);
  EXPECT_EQ(vk.EnumerateDeviceExtensionProperties(device, nullptr, &count, all.data()), VK_SUCCESS);
  std::vector<std::string> names;
  for (const VkExtensionProperties& one : all) names.push_back(one.extensionName);
  return names;
}

std::string NameOf(RawVulkan& vk, VkPhysicalDevice device) {
  VkPhysicalDeviceProperties properties = {};
  vk.GetPhysicalDeviceProperties(device, &properties);
  return properties.deviceName;
}

// ---- Cards ---------------------------------------------------------------------------------------

TEST_F(FakeCardTest, ListsADiscreteCardWithItsMemoryAndLimits) {
  RawVulkan& vk = StartInstance();
  const std::vector<VkPhysicalDevice> devices = vk.PhysicalDevices();
  ASSERT_THAT(devices, SizeIs(1));
  EXPECT_EQ(vk.PhysicalDevices(), devices);

  VkPhysicalDeviceMaintenance4Properties four = {};
  four.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES;
  VkPhysicalDeviceVulkan11Properties eleven = {};
  eleven.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_PROPERTIES;
  eleven.pNext = &four;
  VkPhysicalDeviceProperties2 all = {};
  all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  all.pNext = &eleven;
  vk.GetPhysicalDeviceProperties2(devices[0], &all);
  EXPECT_EQ(all.properties.deviceType, VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU);
  EXPECT_STREQ(all.properties.deviceName, "Fake discrete card");
  EXPECT_EQ(all.properties.limits.nonCoherentAtomSize, 256);
  EXPECT_EQ(all.properties.limits.maxMemoryAllocationCount, 64);
  EXPECT_EQ(all.properties.limits.maxStorageBufferRange, 32 * kMiB);
  EXPECT_EQ(eleven.maxMemoryAllocationSize, 128 * kMiB);
  EXPECT_EQ(four.maxBufferSize, 128 * kMiB);

  VkPhysicalDeviceMemoryProperties memory = {};
  vk.GetPhysicalDeviceMemoryProperties(devices[0], &memory);
  ASSERT_EQ(memory.memoryHeapCount, 2);
  EXPECT_EQ(memory.memoryHeaps[0].size, 256 * kMiB);
  EXPECT_EQ(memory.memoryHeaps[0].flags, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT);
  EXPECT_EQ(memory.memoryHeaps[1].flags, 0);
  ASSERT_EQ(memory.memoryTypeCount, 4);
  EXPECT_EQ(memory.memoryTypes[kDeviceLocal].propertyFlags, VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
  EXPECT_EQ(memory.memoryTypes[kCached].propertyFlags,
            VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
  EXPECT_EQ(memory.memoryTypes[kMappedDevice].heapIndex, 0);
}

TEST_F(FakeCardTest, AddsAndHidesExtensionsAndFeatures) {
  FakeProfile profile = FakeProfile::Discrete();
  profile.hidden_extensions = {"VK_EXT_external_memory_host"};
  profile.hidden_features = {"timelineSemaphore", "shaderInt64"};
  profile.api_version = VK_API_VERSION_1_1;
  Play(profile);
  RawVulkan& vk = StartInstance();
  vk.physical = vk.PhysicalDevices()[0];
  const std::vector<std::string> names = Extensions(vk, vk.physical);
  EXPECT_THAT(names, Contains("VK_EXT_memory_budget"));
  EXPECT_THAT(names, Contains("VK_EXT_memory_priority"));
  EXPECT_THAT(names, Not(Contains("VK_EXT_external_memory_host")));

  VkPhysicalDeviceProperties properties = {};
  vk.GetPhysicalDeviceProperties(vk.physical, &properties);
  EXPECT_EQ(properties.apiVersion, VK_API_VERSION_1_1);
  VkPhysicalDeviceMemoryPriorityFeaturesEXT priority = {};
  priority.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PRIORITY_FEATURES_EXT;
  VkPhysicalDeviceVulkan12Features features = {};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  features.pNext = &priority;
  VkPhysicalDeviceFeatures2 all = {};
  all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  all.pNext = &features;
  vk.GetPhysicalDeviceFeatures2(vk.physical, &all);
  EXPECT_FALSE(features.timelineSemaphore);
  EXPECT_TRUE(features.bufferDeviceAddress);
  EXPECT_FALSE(all.features.shaderInt64);
  EXPECT_TRUE(priority.memoryPriority);

  // A device can't have what is hidden.
  const float queue_priority = 1;
  VkDeviceQueueCreateInfo queues = {};
  queues.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queues.queueCount = 1;
  queues.pQueuePriorities = &queue_priority;
  VkDeviceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queues;
  VkDevice device = VK_NULL_HANDLE;
  features.timelineSemaphore = VK_TRUE;
  features.pNext = nullptr;
  info.pNext = &features;
  EXPECT_EQ(vk.CreateDevice(vk.physical, &info, nullptr, &device), VK_ERROR_FEATURE_NOT_PRESENT);
  const char* const hidden = "VK_EXT_external_memory_host";
  info.pNext = nullptr;
  info.enabledExtensionCount = 1;
  info.ppEnabledExtensionNames = &hidden;
  EXPECT_EQ(vk.CreateDevice(vk.physical, &info, nullptr, &device), VK_ERROR_EXTENSION_NOT_PRESENT);
}

TEST_F(FakeCardTest, ListsNoneOrSeveralCards) {
  FakeCardOptions none;
  none.cards = {};
  Play(none);
  EXPECT_THAT(StartInstance().PhysicalDevices(), IsEmpty());

  FakeCardOptions two;
  two.cards = {FakeProfile::Integrated(), FakeProfile::Discrete(FakeBar::kSmall)};
  Play(two);
  RawVulkan& vk = Start();
  const std::vector<VkPhysicalDevice> devices = vk.PhysicalDevices();
  ASSERT_THAT(devices, SizeIs(2));
  EXPECT_EQ(NameOf(vk, devices[0]), "Fake integrated card");
  EXPECT_EQ(NameOf(vk, devices[1]), "Fake discrete card");
  VkPhysicalDeviceMemoryProperties memory = {};
  vk.GetPhysicalDeviceMemoryProperties(devices[0], &memory);
  EXPECT_EQ(memory.memoryTypeCount, 1);
  vk.GetPhysicalDeviceMemoryProperties(devices[1], &memory);
  EXPECT_EQ(memory.memoryHeapCount, 3);
  EXPECT_EQ(memory.memoryTypes[kMappedDevice].heapIndex, 2);
  // Calls that the fake only passes on know both.
  uint32_t families = 0;
  vk.GetPhysicalDeviceQueueFamilyProperties(devices[1], &families, nullptr);
  EXPECT_EQ(families, 1);
  VkPhysicalDeviceIDProperties ids[2] = {};
  for (int i = 0; i < 2; ++i) {
    ids[i].sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
    VkPhysicalDeviceProperties2 all = {};
    all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    all.pNext = &ids[i];
    vk.GetPhysicalDeviceProperties2(devices[static_cast<size_t>(i)], &all);
  }
  EXPECT_NE(std::memcmp(ids[0].deviceUUID, ids[1].deviceUUID, VK_UUID_SIZE), 0);

  // The device is of the integrated card: its memory is not the other card's.
  VkDeviceMemory piece = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(0, kMiB, &piece), VK_SUCCESS);
  EXPECT_EQ(card_->HeapUsedBytes(0, 0), kMiB);
  EXPECT_EQ(card_->HeapUsedBytes(0, 1), 0);
  vk.FreeMemory(vk.device, piece, nullptr);
}

TEST_F(FakeCardTest, HidesEntriesAndVersions) {
  FakeCardOptions options;
  options.instance_version = VK_API_VERSION_1_0;
  options.missing_entries = {"vkCreateInstance"};
  Play(options);
  EXPECT_EQ(card_->loader()(VK_NULL_HANDLE, "vkCreateInstance"), nullptr);
  const auto version = reinterpret_cast<PFN_vkEnumerateInstanceVersion>(
      card_->loader()(VK_NULL_HANDLE, "vkEnumerateInstanceVersion"));
  uint32_t number = 0;
  EXPECT_EQ(version(&number), VK_SUCCESS);
  EXPECT_EQ(number, VK_API_VERSION_1_0);
}

// ---- Heaps ---------------------------------------------------------------------------------------

TEST_F(FakeCardTest, RefusesWhatItHasNoMemoryFor) {
  FakeProfile profile = FakeProfile::Discrete();
  profile.max_allocations = 3;
  Play(profile);
  RawVulkan& vk = Start();
  VkDeviceMemory a, b, c, d;
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 129 * kMiB, &a), VK_ERROR_OUT_OF_DEVICE_MEMORY);
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 128 * kMiB, &a), VK_SUCCESS);
  ASSERT_EQ(vk.Allocate(kMappedDevice, 100 * kMiB, &b), VK_SUCCESS);  // the same heap
  EXPECT_EQ(card_->HeapUsedBytes(0), 228 * kMiB);
  EXPECT_EQ(vk.Allocate(kDeviceLocal, 29 * kMiB, &c), VK_ERROR_OUT_OF_DEVICE_MEMORY);
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 28 * kMiB, &c), VK_SUCCESS);
  EXPECT_EQ(vk.Allocate(kCached, 1 * kMiB, &d), VK_ERROR_TOO_MANY_OBJECTS);
  EXPECT_EQ(card_->Refusals(), 3);
  EXPECT_THAT(card_->Memories(), SizeIs(3));
  EXPECT_EQ(card_->Live("VkDeviceMemory"), 3);
  vk.FreeMemory(vk.device, a, nullptr);
  ASSERT_EQ(vk.Allocate(kCached, 1 * kMiB, &a), VK_SUCCESS);
  for (VkDeviceMemory memory : {a, b, c}) vk.FreeMemory(vk.device, memory, nullptr);
  EXPECT_EQ(card_->HeapUsedBytes(0), 0);
  EXPECT_EQ(card_->HeapUsedBytes(1), 0);

  FakeProfile small = FakeProfile::Discrete();
  small.heaps[1].size_bytes = kMiB;
  Play(small);
  Start();
  EXPECT_EQ(vk_->Allocate(kWriteCombined, 2 * kMiB, &a), VK_ERROR_OUT_OF_HOST_MEMORY);
}

TEST_F(FakeCardTest, ReportsTheBudget) {
  RawVulkan& vk = Start({"VK_EXT_memory_budget"});
  VkDeviceMemory memory = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 10 * kMiB, &memory), VK_SUCCESS);
  card_->SetOtherPrograms(0, 200 * kMiB);
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {};
  budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 all = {};
  all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  all.pNext = &budget;
  vk.GetPhysicalDeviceMemoryProperties2(vk.physical, &all);
  EXPECT_EQ(budget.heapBudget[0], 56 * kMiB);
  EXPECT_EQ(budget.heapUsage[0], 10 * kMiB);
  EXPECT_EQ(budget.heapBudget[1], 512 * kMiB);
  EXPECT_EQ(budget.heapUsage[1], 0);
  vk.FreeMemory(vk.device, memory, nullptr);
}

TEST_F(FakeCardTest, KnowsHowMemoryWasAllocated) {
  RawVulkan& vk = Start({"VK_EXT_memory_priority"});
  VkBuffer buffer = vk.NewBuffer(4096);
  VkMemoryDedicatedAllocateInfo dedicated = {};
  dedicated.sType = VK_STRUCTURE_TYPE_MEMORY_DEDICATED_ALLOCATE_INFO;
  dedicated.buffer = buffer;
  VkMemoryPriorityAllocateInfoEXT priority = {};
  priority.sType = VK_STRUCTURE_TYPE_MEMORY_PRIORITY_ALLOCATE_INFO_EXT;
  priority.pNext = &dedicated;
  priority.priority = 0.75f;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 4096, &memory, &priority), VK_SUCCESS);
  ASSERT_THAT(card_->Memories(), SizeIs(1));
  const FakeMemory info = card_->Memories()[0];
  EXPECT_TRUE(info.dedicated);
  EXPECT_TRUE(info.device_address);
  EXPECT_FALSE(info.imported);
  EXPECT_EQ(info.priority, 0.75f);
  EXPECT_EQ(vk.BindBufferMemory(vk.device, buffer, memory, 0), VK_SUCCESS);
  vk.Later([&vk, memory] { vk.FreeMemory(vk.device, memory, nullptr); });
}

TEST_F(FakeCardTest, ImportsHostMemoryWithoutTakingFromTheHeap) {
  RawVulkan& vk = Start({"VK_KHR_external_memory", "VK_EXT_external_memory_host"});
  void* pages = std::aligned_alloc(4096, 8192);
  std::memset(pages, 7, 8192);
  constexpr auto kHandle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  VkMemoryHostPointerPropertiesEXT properties = {};
  properties.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT;
  EXPECT_EQ(vk.GetMemoryHostPointerPropertiesEXT(vk.device, kHandle, pages, &properties),
            VK_SUCCESS);
  EXPECT_EQ(properties.memoryTypeBits, 1u << kWriteCombined);
  VkImportMemoryHostPointerInfoEXT import = {};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT;
  import.handleType = kHandle;
  import.pHostPointer = pages;
  VkDeviceMemory memory = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kWriteCombined, 8192, &memory, &import), VK_SUCCESS);
  EXPECT_TRUE(card_->Memories()[0].imported);
  EXPECT_EQ(card_->HeapUsedBytes(1), 0);
  EXPECT_EQ(card_->DeviceBytes(memory, 8191, 1)[0], std::byte{7});
  vk.FreeMemory(vk.device, memory, nullptr);
  std::free(pages);
}

TEST_F(FakeCardTest, SharesMemoryByFd) {
  RawVulkan& vk = Start({"VK_KHR_external_memory", "VK_KHR_external_memory_fd"});
  constexpr auto kHandle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD_BIT;
  VkExportMemoryAllocateInfo exported = {};
  exported.sType = VK_STRUCTURE_TYPE_EXPORT_MEMORY_ALLOCATE_INFO;
  exported.handleTypes = kHandle;
  VkDeviceMemory a = VK_NULL_HANDLE, b = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 8192, &a, &exported), VK_SUCCESS);
  VkMemoryGetFdInfoKHR get = {};
  get.sType = VK_STRUCTURE_TYPE_MEMORY_GET_FD_INFO_KHR;
  get.memory = a;
  get.handleType = kHandle;
  VkImportMemoryFdInfoKHR import = {};
  import.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_FD_INFO_KHR;
  import.handleType = kHandle;
  ASSERT_EQ(vk.GetMemoryFdKHR(vk.device, &get, &import.fd), VK_SUCCESS);
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 8192, &b, &import), VK_SUCCESS);
  EXPECT_TRUE(card_->Memories()[0].exportable);
  EXPECT_TRUE(card_->Memories()[1].imported);
  EXPECT_EQ(card_->HeapUsedBytes(0), 8192);
  EXPECT_EQ(card_->DeviceBytes(b, 0, 1)[0], std::byte{0xCD});  // a's fill
  vk.FreeMemory(vk.device, a, nullptr);
  vk.FreeMemory(vk.device, b, nullptr);
}

// ---- Mapping -------------------------------------------------------------------------------------

TEST_F(FakeCardTest, MapsOnlyWhatTheHostSees) {
  RawVulkan& vk = Start();
  VkDeviceMemory memory = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 4096, &memory), VK_SUCCESS);
  void* bytes = nullptr;
  EXPECT_EQ(vk.MapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, &bytes),
            VK_ERROR_MEMORY_MAP_FAILED);
  EXPECT_THAT(Violation(), HasSubstr("not host-visible"));
  vk.FreeMemory(vk.device, memory, nullptr);
  ASSERT_EQ(vk.Allocate(kWriteCombined, 4096, &memory), VK_SUCCESS);
  EXPECT_EQ(vk.MapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, &bytes), VK_SUCCESS);
  EXPECT_EQ(vk.MapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, &bytes),
            VK_ERROR_MEMORY_MAP_FAILED);
  EXPECT_THAT(Violation(), HasSubstr("mapped already"));
  static_cast<char*>(bytes)[5] = 9;
  EXPECT_EQ(card_->DeviceBytes(memory, 5, 1)[0], std::byte{9});  // coherent
  vk.UnmapMemory(vk.device, memory);
  vk.UnmapMemory(vk.device, memory);
  EXPECT_THAT(Violation(), HasSubstr("not mapped"));
  vk.FreeMemory(vk.device, memory, nullptr);
}

VkMappedMemoryRange Range(VkDeviceMemory memory, uint64_t offset, uint64_t size) {
  return {VK_STRUCTURE_TYPE_MAPPED_MEMORY_RANGE, nullptr, memory, offset, size};
}

TEST_F(FakeCardTest, MovesBytesOfNonCoherentMemoryOnlyByFlushAndInvalidate) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece from = vk.NewPiece(kCached, 1024);
  const RawVulkan::Piece to = vk.NewPiece(kCached, 1024);
  std::memset(from.bytes, 1, 1024);
  const VkMappedMemoryRange part = Range(from.memory, 256, 256);
  EXPECT_EQ(vk.FlushMappedMemoryRanges(vk.device, 1, &part), VK_SUCCESS);
  EXPECT_EQ(card_->DeviceBytes(from.memory, 255, 1)[0], std::byte{0xCD});
  EXPECT_EQ(card_->DeviceBytes(from.memory, 256, 1)[0], std::byte{1});
  EXPECT_EQ(card_->DeviceBytes(from.memory, 512, 1)[0], std::byte{0xCD});

  ASSERT_EQ(vk.Submit(vk.NewCopy(from, to, 1024), 1), VK_SUCCESS);
  ASSERT_EQ(vk.Wait(1), VK_SUCCESS);
  std::memset(to.bytes, 5, 1024);  // these writes stay in the host's cache, and are lost
  const VkMappedMemoryRange last = Range(to.memory, 256, VK_WHOLE_SIZE);
  EXPECT_EQ(vk.InvalidateMappedMemoryRanges(vk.device, 1, &last), VK_SUCCESS);
  EXPECT_EQ(to.bytes[0], std::byte{5});
  EXPECT_EQ(to.bytes[256], std::byte{1});
  EXPECT_EQ(to.bytes[512], std::byte{0xCD});

  const std::vector<FakeRange> ranges = card_->Ranges();
  ASSERT_THAT(ranges, SizeIs(2));
  EXPECT_TRUE(ranges[0].flush);
  EXPECT_FALSE(ranges[0].coherent);
  EXPECT_EQ(ranges[0].offset_bytes, 256);
  EXPECT_EQ(ranges[0].size_bytes, 256);
  EXPECT_FALSE(ranges[1].flush);
  EXPECT_EQ(ranges[1].size_bytes, 768);
}

TEST_F(FakeCardTest, AFlushCarriesItsNeighboursAlong) {
  RawVulkan& vk = Start();
  const RawVulkan::Piece ones = vk.NewPiece(kWriteCombined, 256);
  const RawVulkan::Piece shared = vk.NewPiece(kCached, 256);
  std::memset(ones.bytes, 1, 256);
  // The device writes one half of an atom, the host the other: the host's stale half wins.
  ASSERT_EQ(vk.Submit(vk.NewCopy(ones, shared, 128), 1), VK_SUCCESS);
  ASSERT_EQ(vk.Wait(1), VK_SUCCESS);
  EXPECT_EQ(card_->DeviceBytes(shared.memory, 0, 1)[0], std::byte{1});
  shared.bytes[128] = std::byte{2};
  const VkMappedMemoryRange atom = Range(shared.memory, 0, 256);
  EXPECT_EQ(vk.FlushMappedMemoryRanges(vk.device, 1, &atom), VK_SUCCESS);
  EXPECT_EQ(card_->DeviceBytes(shared.memory, 0, 1)[0], std::byte{0xCD});
  EXPECT_EQ(card_->DeviceBytes(shared.memory, 128, 1)[0], std::byte{2});
}

TEST_F(FakeCardTest, RefusesRangesThatAreNotWholeAtoms) {
  RawVulkan& vk = Start();
  VkDeviceMemory memory = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kCached, 1000, &memory), VK_SUCCESS);
  void* bytes = nullptr;
  ASSERT_EQ(vk.MapMemory(vk.device, memory, 0, VK_WHOLE_SIZE, 0, &bytes), VK_SUCCESS);
  std::memset(bytes, 3, 1000);
  struct Case {
    uint64_t offset;
    uint64_t size;
    const char* wrong;  // empty: right
  };
  for (const Case& c : std::vector<Case>{{0, 256, ""},
                                         {768, 232, ""},  // to the end of the memory
                                         {768, VK_WHOLE_SIZE, ""},
                                         {0, 100, "whole atoms"},
                                         {64, 192, "whole atoms"},
                                         {1024, 256, "outside of the mapped range"},
                                         {768, 256, "outside of the mapped range"}}) {
    const VkMappedMemoryRange range = Range(memory, c.offset, c.size);
    EXPECT_EQ(vk.FlushMappedMemoryRanges(vk.device, 1, &range), VK_SUCCESS);
    if (*c.wrong != '\0') {
      EXPECT_THAT(Violation(), HasSubstr(c.wrong)) << c.offset;
    }
    EXPECT_EQ(vk.InvalidateMappedMemoryRanges(vk.device, 1, &range), VK_SUCCESS);
    if (*c.wrong != '\0') {
      EXPECT_THAT(Violation(), HasSubstr(c.wrong)) << c.offset;
    }
  }
  EXPECT_THAT(card_->Ranges(), SizeIs(6));
  // With a part mapped, the whole of it ends in the middle of an atom.
  vk.UnmapMemory(vk.device, memory);
  ASSERT_EQ(vk.MapMemory(vk.device, memory, 256, 100, 0, &bytes), VK_SUCCESS);
  const VkMappedMemoryRange whole = Range(memory, 256, VK_WHOLE_SIZE);
  EXPECT_EQ(vk.FlushMappedMemoryRanges(vk.device, 1, &whole), VK_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("whole atoms"));
  vk.FreeMemory(vk.device, memory, nullptr);
}

// ---- Limits --------------------------------------------------------------------------------------

TEST_F(FakeCardTest, SaysWhichLimitWasPassed) {
  FakeProfile profile = FakeProfile::Discrete();
  profile.max_buffer_bytes = kMiB;
  profile.max_storage_range_bytes = 1024;
  profile.max_texel_elements = 100;
  profile.max_groups = 16;
  profile.buffer_types = ~(1u << kCached);
  Play(profile);
  RawVulkan& vk = Start();

  VkBufferCreateInfo large = {};
  large.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  large.size = kMiB + 1;
  large.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT;
  VkBuffer none = VK_NULL_HANDLE;
  EXPECT_EQ(vk.CreateBuffer(vk.device, &large, nullptr, &none), VK_ERROR_OUT_OF_DEVICE_MEMORY);
  EXPECT_THAT(Violation(), HasSubstr("1048577 bytes are above the limit"));

  // Binding: the wrong type, the wrong alignment, too little memory.
  VkBuffer buffer = vk.NewBuffer(1000);
  VkMemoryRequirements needs = {};
  vk.GetBufferMemoryRequirements(vk.device, buffer, &needs);
  EXPECT_EQ(needs.memoryTypeBits, 0b1011);
  EXPECT_EQ(needs.alignment, 256);
  EXPECT_EQ(needs.size, 1024);
  VkDeviceMemory memory = VK_NULL_HANDLE, cached = VK_NULL_HANDLE;
  ASSERT_EQ(vk.Allocate(kDeviceLocal, 4096, &memory), VK_SUCCESS);
  ASSERT_EQ(vk.Allocate(kCached, 4096, &cached), VK_SUCCESS);
  const auto bind = [&](VkDeviceMemory to, uint64_t offset) {
    EXPECT_EQ(vk.BindBufferMemory(vk.device, buffer, to, offset), VK_ERROR_OUT_OF_DEVICE_MEMORY);
    return Violation();
  };
  EXPECT_THAT(bind(cached, 0), HasSubstr("can't be in memory of type 2"));
  EXPECT_THAT(bind(memory, 64), HasSubstr("no multiple of 256"));
  EXPECT_THAT(bind(memory, 3328), HasSubstr("needs 1024 bytes at 3328"));
  EXPECT_EQ(vk.BindBufferMemory(vk.device, buffer, memory, 1024), VK_SUCCESS);
  EXPECT_THAT(bind(memory, 0), HasSubstr("bound already"));
  vk.FreeMemory(vk.device, cached, nullptr);
  vk.Later([&vk, memory] { vk.FreeMemory(vk.device, memory, nullptr); });

  VkBufferViewCreateInfo view = {};
  view.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO;
  view.buffer = buffer;
  view.format = VK_FORMAT_R32_UINT;
  view.offset = 16;
  view.range = 400;
  VkBufferView made = VK_NULL_HANDLE;
  EXPECT_EQ(vk.CreateBufferView(vk.device, &view, nullptr, &made), VK_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("offset 16 is no multiple of 64"));
  vk.DestroyBufferView(vk.device, made, nullptr);
  view.offset = 0;
  view.range = 404;
  EXPECT_EQ(vk.CreateBufferView(vk.device, &view, nullptr, &made), VK_SUCCESS);
  EXPECT_THAT(Violation(), HasSubstr("101 elements are above the limit of 100"));
  vk.DestroyBufferView(vk.device, made, nullptr);

  // Descriptors and dispatches.
  const RawVulkan::Piece wide = vk.NewPiece(kDeviceLocal, 17 * 256);
  vk.NewDispatch(wide, 17);
  const std::vector<std::string> two = card_->Violations();
  ASSERT_THAT(two, SizeIs(2));
  EXPECT_THAT(two[0], HasSubstr("a range of 4352 bytes is above the limit of 1024"));
  EXPECT_THAT(two[1], HasSubstr("17 x 1 x 1 groups are above the limit of 16"));
  card_->ClearViolations();
}

}  // namespace
}  // namespace tenure::vulkan
