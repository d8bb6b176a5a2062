// Which memory is taken, in which order, and what happens when there is none: on a card that FakeCard
// plays, with two heaps, four types of memory, one of them not coherent, and small limits.

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tenure/allocator/support/coherent_access.h"
#include "tenure/runtime/buffer.h"
#include "tenure/runtime/mapping.h"
#include "tenure/tests/allocator/vulkan/card_test.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure::vulkan {
namespace {

using testing::Test;

class VulkanMemory : public CardTest {};

TEST_F(VulkanMemory, EachSpaceTakesTheTypeThatSuitsIt) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace), upload = MakeSpace(kUploadSpace),
                             readback = MakeSpace(kReadbackSpace);
  const Buffer a = Make(*device, 100);
  EXPECT_EQ(LatestType(), FakeProfile::kDeviceLocal);
  EXPECT_FALSE(card_.Memories().back().mapped);
  const Buffer b = Make(*upload, 100);
  EXPECT_EQ(LatestType(), FakeProfile::kWriteCombined);
  EXPECT_TRUE(card_.Memories().back().mapped);
  const Buffer c = Make(*readback, 100);
  EXPECT_EQ(LatestType(), FakeProfile::kCached);
  EXPECT_FALSE(device->traits().host_readable);
  EXPECT_EQ(upload->traits().coherence_atom_bytes, 256u);  // it may have to take cached memory too
  EXPECT_EQ(readback->traits().coherence_atom_bytes, 256u);
  EXPECT_EQ(device->traits().max_allocation_bytes, uint64_t{128} << 20);
  EXPECT_EQ(device->traits().max_binding_bytes, uint64_t{32} << 20);
  EXPECT_EQ(device->traits().min_alignment_bytes % 256, 0u);
}

class VulkanSmallBar : public CardTest {
 protected:
  static FakeCardOptions Options() {
    FakeCardOptions options;
    options.cards = {FakeProfile::Discrete(FakeBar::kSmall)};
    return options;
  }
  VulkanSmallBar() : CardTest(Options()) {}
};

// The ladder: one slab after the other, then the next type, then the end, with a message that has it
// all; and everything is there again once it was freed.
TEST_F(VulkanSmallBar, AFullHeapIsFollowedByTheNextTypeAndThenByAnError) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  std::vector<Buffer> all;
  absl::Status status;
  while (true) {
    absl::StatusOr<Buffer> made = Buffer::Create(
        *device, DType::kUInt8, Shape::Vector(int64_t{3} << 20), {.immediate = true});
    if (!made.ok()) {
      status = made.status();
      break;
    }
    all.push_back(*made);
  }
  EXPECT_CODE(ResourceExhausted, status);
  EXPECT_NE(status.message().find("vulkan:0"), std::string::npos) << status;
  std::set<uint32_t> types;
  for (const FakeMemory& memory : card_.Memories()) types.insert(memory.type);
  EXPECT_TRUE(types.count(FakeProfile::kDeviceLocal) == 1);
  EXPECT_TRUE(types.count(FakeProfile::kMappedDevice) == 1);
  EXPECT_GE(all.size() * 3, 230u);  // MiB of 256 + 16
  const size_t most = all.size();
  all.clear();
  for (size_t i = 0; i < most; ++i) all.push_back(Make(*device, uint64_t{3} << 20));
}

TEST_F(VulkanMemory, OtherProgramsLowerTheBudget) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  card_.SetOtherPrograms(0, uint64_t{250} << 20);
  EXPECT_CODE(ResourceExhausted,
              Buffer::Create(*device, DType::kUInt8, Shape::Vector(int64_t{64} << 20),
                             {.immediate = true}));
  EXPECT_EQ(card_.Refusals(), 0u);  // the driver was not even asked
  card_.SetOtherPrograms(0, 0);
  Make(*device, uint64_t{64} << 20);
}

TEST_F(VulkanMemory, WhatIsLargerThanThePieceThatTheDeviceGivesIsRefused) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  EXPECT_CODE(ResourceExhausted,
              Buffer::Create(*device, DType::kUInt8, Shape::Vector((int64_t{128} << 20) + 1),
                             {.immediate = true}));
  Make(*device, uint64_t{128} << 20);
}

class VulkanFewAllocations : public CardTest {
 protected:
  static FakeCardOptions Options() {
    FakeCardOptions options;
    options.cards[0].max_allocations = 5;
    return options;
  }
  VulkanFewAllocations() : CardTest(Options()) {}
};

TEST_F(VulkanFewAllocations, TheLimitOnTheNumberOfAllocationsIsKept) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  std::vector<Buffer> all;
  absl::Status status;
  for (int i = 0; i < 100 && status.ok(); ++i) {
    absl::StatusOr<Buffer> made = Buffer::Create(
        *device, DType::kUInt8, Shape::Vector(int64_t{20} << 20), {.immediate = true});
    status = made.status();
    if (made.ok()) all.push_back(*made);
  }
  EXPECT_CODE(ResourceExhausted, status);
  EXPECT_NE(status.message().find("maxMemoryAllocationCount"), std::string::npos) << status;
  EXPECT_EQ(card_.Refusals(), 0u);
  // What fits into the slabs that are there still does.
  all.pop_back();
  Make(*device, 20 << 20);
}

TEST_F(VulkanMemory, HintsChooseTheTypeOfMemory) {
  const auto type_of = [&](SpaceKind kind, AccessMode mode, AccessHint access, uint64_t unmet = 0) {
    const std::unique_ptr<Allocator> space = MakeSpace(kind);
    const Buffer pooled = Make(*space, 100);  // the pool is not used for what it does not have
    const uint32_t pool = LatestType();
    BufferOptions options{.zeroed = kind != kDeviceSpace, .immediate = true};
    options.hints.mode = mode;
    options.hints.access = access;
    const size_t before = card_.Memories().size();
    const Buffer buffer = Make(*space, 5000, options);
    // Now, because copies may allocate staging memory.
    const std::vector<FakeMemory> all = card_.Memories();
    EXPECT_EQ(space->Stats().unmet_hint_count, unmet);
    EXPECT_TRUE(!options.zeroed || AllAre(buffer, 0));
    const std::vector<uint8_t> bytes = Pattern(5000);
    EXPECT_OK(buffer.CopyIn(bytes.data(), bytes.size()));
    EXPECT_EQ(BytesOf(buffer), bytes);
    return all.size() == before ? pool : all.back().type;
  };
  using enum AccessHint;
  constexpr auto kBySpace = AccessMode::kBySpace;
  constexpr uint32_t kWc = FakeProfile::kWriteCombined, kMapped = FakeProfile::kMappedDevice;
  EXPECT_EQ(type_of(kUploadSpace, kBySpace, kNone), kWc);
  EXPECT_EQ(type_of(kUploadSpace, kBySpace, kDevicePreferred), kMapped);
  EXPECT_EQ(type_of(kUploadSpace, kBySpace, kHostPreferred), kWc);
  EXPECT_EQ(type_of(kUploadSpace, kBySpace, kStreaming), kWc);
  EXPECT_EQ(type_of(kUploadSpace, kBySpace, kReadMostly), FakeProfile::kCached);
  EXPECT_EQ(type_of(kUploadSpace, AccessMode::kReadWrite, kNone), FakeProfile::kCached);
  EXPECT_EQ(type_of(kUploadSpace, AccessMode::kWriteOnly, kDevicePreferred), kMapped);
  EXPECT_EQ(type_of(kReadbackSpace, AccessMode::kReadOnly, kNone), FakeProfile::kCached);
  EXPECT_EQ(type_of(kReadbackSpace, AccessMode::kWriteOnly, kNone), kWc);
  // Only cached memory is not coherent here, and no cached memory is the device's.
  EXPECT_NE(type_of(kReadbackSpace, kBySpace, kCoherent), FakeProfile::kCached);
  EXPECT_EQ(type_of(kReadbackSpace, AccessMode::kReadOnly, kDevicePreferred, 1), kMapped);
  EXPECT_EQ(type_of(kDeviceSpace, kBySpace, kDevicePreferred), FakeProfile::kDeviceLocal);
  EXPECT_NE(type_of(kDeviceSpace, kBySpace, kHostPreferred), FakeProfile::kDeviceLocal);
}

TEST_F(VulkanMemory, HintsThatCantBeMetTakeThePoolsMemory) {
  const std::unique_ptr<Allocator> upload = MakeSpace(kUploadSpace);
  const Buffer pooled = Make(*upload, 100);
  BufferOptions options{.immediate = true};
  options.hints.access = AccessHint::kDevicePreferred;
  card_.FailCall("vkAllocateMemory", VK_ERROR_OUT_OF_DEVICE_MEMORY, 1, true);
  Make(*upload, 5000, options);
  EXPECT_EQ(upload->Stats().unmet_hint_count, 1u);
  card_.ClearFailures();
  Buffer hinted = Make(*upload, 5000, options);
  EXPECT_EQ(upload->Stats().unmet_hint_count, 1u);
  EXPECT_EQ(LatestType(), FakeProfile::kMappedDevice);
  const size_t memories = card_.Memories().size();
  hinted = Buffer();
  EXPECT_EQ(card_.Memories().size(), memories - 1);
  // The limit of the allocator holds for it too.
  const std::unique_ptr<Allocator> small =
      MakeSpace(kUploadSpace, {.max_reserved_bytes = uint64_t{1} << 20});
  EXPECT_CODE(ResourceExhausted,
              Buffer::Create(*small, DType::kUInt8, Shape::Vector(2 << 20), options));
  EXPECT_EQ(small->Stats().unmet_hint_count, 0u);  // of the requests that succeeded
}

TEST_F(VulkanMemory, HintedMemoryStaysWhileWorkUsesIt) {
  const std::unique_ptr<Allocator> upload = MakeSpace(kUploadSpace);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  BufferOptions options{.immediate = true};
  options.hints.access = AccessHint::kDevicePreferred;
  Buffer hinted = Make(*upload, 5000, options);
  const std::byte value{5};
  ASSERT_OK(hinted.Fill(absl::MakeConstSpan(&value, 1)));
  const std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const Buffer other = Make(*device, 5000, {.immediate = true});
  const size_t memories = card_.Memories().size();
  card_.Hold();
  const absl::StatusOr<Fence> copied = other.CopyFromAsync(hinted, {.queue = queue.get()});
  ASSERT_OK(copied);
  hinted = Buffer();
  upload->Poll();
  EXPECT_EQ(card_.Memories().size(), memories);
  card_.ReleaseHeld();
  EXPECT_OK(copied->Wait());
  upload->Poll();
  EXPECT_EQ(card_.Memories().size(), memories - 1);
}

TEST_F(VulkanMemory, MappedMemoryIsFlushedAndInvalidatedInWholeAtoms) {
  std::unique_ptr<Allocator> readback = MakeSpace(kReadbackSpace);
  const std::vector<uint8_t> bytes = Pattern(1000);
  const Buffer buffer = Filled(*readback, bytes);
  const Buffer part = *buffer.View(300, 10);
  card_.ClearRanges();
  const uint8_t value = 7;
  ASSERT_OK(part.CopyIn(std::vector<uint8_t>(10, value).data(), 10));
  bool flushed = false;
  for (const FakeRange& range : card_.Ranges()) {
    flushed |= range.flush;
    EXPECT_EQ(range.offset_bytes % 256, 0u);
    EXPECT_EQ(range.size_bytes % 256, 0u);
    EXPECT_FALSE(range.coherent);
  }
  EXPECT_TRUE(flushed);
  // As the device sees them.
  std::vector<uint8_t> expected = bytes;
  std::fill(expected.begin() + 300, expected.begin() + 310, value);
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  const Buffer copy = Make(*device, 1000);
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  ASSERT_OK(copy.CopyFrom(buffer, {.queue = queue.get()}));
  EXPECT_EQ(BytesOf(copy), expected);
  // What the device writes, the host reads.
  const std::byte other{9};
  ASSERT_OK(copy.Fill(absl::MakeConstSpan(&other, 1)));
  ASSERT_OK(buffer.CopyFrom(copy));
  EXPECT_TRUE(AllAre(buffer, 9));
}

TEST_F(VulkanMemory, NeighboursInOneAtomKeepWhatEachWrites) {
  std::unique_ptr<Allocator> readback = MakeSpace(kReadbackSpace);
  const Buffer buffer = Filled(*readback, std::vector<uint8_t>(256, 1));
  absl::StatusOr<Mapping> a = buffer.View(0, 10)->Map(Access::kWrite);
  absl::StatusOr<Mapping> b = buffer.View(10, 10)->Map(Access::kWrite);
  ASSERT_OK(a);
  ASSERT_OK(b);
  std::fill_n(a->MutableBytes()->data(), 10, std::byte{2});
  std::fill_n(b->MutableBytes()->data(), 10, std::byte{3});
  a = absl::CancelledError("over");
  b = absl::CancelledError("over");
  std::vector<uint8_t> expected(256, 1);
  std::fill_n(expected.begin(), 10, uint8_t{2});
  std::fill_n(expected.begin() + 10, 10, uint8_t{3});
  const std::shared_ptr<DeviceQueue> queue = MakeQueue();
  std::vector<uint8_t> seen(256);
  ASSERT_OK(buffer.CopyOut(seen.data(), 256, {.queue = queue.get()}));
  EXPECT_EQ(seen, expected);
}

class VulkanStalePages : public CardTest {
 protected:
  static FakeCardOptions Options() {
    FakeCardOptions options;
    options.cards[0].host_pointer_types = 1u << FakeProfile::kCached;
    return options;
  }
  VulkanStalePages() : CardTest(Options()) {}
};

// The host would go on using the pages without a flush.
TEST_F(VulkanStalePages, PagesThatWouldNotBeCoherentAreNotImported) {
  std::unique_ptr<Allocator> device = MakeSpace(kDeviceSpace);
  std::vector<uint8_t> bytes(10000);
  EXPECT_CODE(Unimplemented, Buffer::Wrap(*device, DType::kUInt8, Shape::Vector(bytes.size()),
                                          {.data = bytes.data()}, bytes.size()));
}

TEST_F(VulkanMemory, SpansOfMemoryThatIsNotCoherentAreRefused) {
  std::unique_ptr<Allocator> readback = MakeSpace(kReadbackSpace);
  const Buffer buffer = Make(*readback, 64);
  EXPECT_CODE(Unimplemented, buffer.As<uint8_t>());
}

}  // namespace
}  // namespace tenure::vulkan
