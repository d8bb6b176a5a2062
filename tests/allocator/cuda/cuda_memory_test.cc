// What CUDA's allocators take beside their pools and what they never take: budgets, memory of its
// own, limits of managed and pinned memory, hints. On the fake device.

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cuda/cuda.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/slab_sources.h"
#include "tenure/allocator/cuda/stream.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/planner/planner.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure::cuda {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kPage = 2 * kMiB;  // of device memory

class CudaMemoryTest : public testing::Test {
 protected:
  CudaMemoryTest() : fake_({.devices = {{.memory_bytes = 140 * kMiB}}}) {
    driver_.emplace(*Driver::FromTable(fake_.table()));
    device_ = *Device::Open(*driver_, 0);
  }
  void TearDown() override {
    space_.reset();
    fake_.ReleaseAll();
    device_.reset();
    EXPECT_EQ(fake_.Violations(), std::vector<std::string>());
    EXPECT_EQ(fake_.LeakReport().empty(), !loses_) << testing::PrintToString(fake_.LeakReport());
  }

  Allocator& Open(SpaceKind kind, const AllocatorOptions& options = {}) {
    space_.reset();
    space_ = *MakeAllocatorOn(device_, kind, options);
    return *space_;
  }
  Allocation Make(const AllocationRequest& request) {
    absl::StatusOr<Allocation> made = space_->Allocate(request);
    EXPECT_OK(made);
    return made.ok() ? *made : Allocation();
  }
  AllocatorStats Stats() const { return space_->Stats(); }

  FakeDriver fake_;
  std::optional<Driver> driver_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<Allocator> space_;
  bool loses_ = false;  // what the driver was told not to take back
};

AllocationRequest Shared(uint64_t size, Sharing sharing = Sharing::kPosixFd) {
  AllocationRequest request;
  request.size_bytes = size;
  request.hints.sharing = sharing;
  return request;
}
AllocationRequest WriteCombined(uint64_t size) {
  AllocationRequest request;
  request.size_bytes = size;
  request.hints.write_combined = true;
  return request;
}

// ------------------------------------------------------------------------------------------------
// The budget

TEST_F(CudaMemoryTest, WhatIsForThePoolNeedsNoRoomBesideIt) {
  Open(kDeviceSpace, {.max_reserved_bytes = 8 * kMiB});
  const Allocation first = Make({.size_bytes = 5 * kMiB});
  space_->Deallocate(first);
  const uint64_t reserved = Stats().reserved_bytes;
  ASSERT_EQ(reserved, 6 * kMiB);
  // The flag is without effect here; the free block serves.
  const Allocation again = Make(WriteCombined(5 * kMiB));
  EXPECT_EQ(again.device_address, first.device_address);
  EXPECT_EQ(Stats().reserved_bytes, reserved);
  EXPECT_EQ(fake_.Calls("MemUnmap"), 0u);
  space_->Deallocate(again);
}

TEST_F(CudaMemoryTest, WhatIsOnlyWrittenIsWriteCombinedInPageLockedMemory) {
  const auto request = [](AccessMode mode) {
    AllocationRequest made;
    made.size_bytes = kMiB;
    made.hints.mode = mode;
    return made;
  };
  Open(kPinnedSpace, {});
  for (const AccessMode mode : {AccessMode::kWriteOnly, AccessMode::kReadWrite}) {
    const Allocation made = Make(request(mode));
    const bool combined = (*fake_.HostFlags(made.host) & CU_MEMHOSTALLOC_WRITECOMBINED) != 0;
    EXPECT_EQ(combined, mode == AccessMode::kWriteOnly);
    space_->Deallocate(made);
  }
  // The other spaces have one kind of memory.
  for (const SpaceKind kind : {kDeviceSpace, kUnifiedSpace}) {
    Open(kind, {});
    const Allocation plain = Make({.size_bytes = kMiB});
    const uint64_t reserved = Stats().reserved_bytes;
    const Allocation hinted = Make(request(AccessMode::kWriteOnly));
    EXPECT_EQ(Stats().reserved_bytes, reserved);
    space_->Deallocate(hinted);
    space_->Deallocate(plain);
  }
}

TEST_F(CudaMemoryTest, OverlappingCopiesTakeTheirScratchMemoryFromThePool) {
  Open(kDeviceSpace, {.max_reserved_bytes = 16 * kMiB});
  const Allocation made = Make({.size_bytes = 8 * kMiB});
  space_->Deallocate(Make({.size_bytes = 8 * kMiB}));
  const uint64_t used = fake_.UsedBytes(0);
  ASSERT_EQ(used, 16 * kMiB);
  fake_.SetMemoryLimit(0, used);
  const SubRegion to{&made, 100, 8 * kMiB - 100}, from{&made, 0, 8 * kMiB - 100};
  const uint64_t copies = fake_.Calls("MemcpyAsync");
  EXPECT_OK(space_->CopyWithin(to, from, {}));
  EXPECT_EQ(fake_.Calls("MemcpyAsync"), copies + 2);
  EXPECT_EQ(fake_.Calls("MemAllocAsync"), 0u);
  EXPECT_EQ(fake_.UsedBytes(0), used);
  // With two thirds in use, in more pieces.
  const Allocation more = Make({.size_bytes = 5 * kMiB});
  EXPECT_OK(space_->CopyWithin(to, from, {}));
  EXPECT_GT(fake_.Calls("MemcpyAsync"), copies + 4);
  EXPECT_EQ(fake_.Calls("MemHostAlloc"), 0u);
  // In the order of a queue, several of them use the same memory.
  const std::shared_ptr<DeviceStream> stream = *DeviceStream::Create(device_);
  fake_.Hold(stream->get());
  std::vector<Fence> done;
  for (int i = 0; i < 3; ++i) {
    absl::StatusOr<Fence> copied =
        space_->CopyWithin(to, from, {.may_block = false, .queue = stream.get()});
    ASSERT_OK(copied);
    done.push_back(*copied);
  }
  EXPECT_EQ(fake_.Calls("MemHostAlloc"), 0u);
  fake_.Release(stream->get());
  for (const Fence& fence : done) EXPECT_OK(fence.Wait());
  space_->Deallocate(more);
  space_->Deallocate(made);
}

TEST_F(CudaMemoryTest, ThePoolGrowsByWhatIsLeftOfTheBudget) {
  Open(kDeviceSpace, {.max_reserved_bytes = 16 * kMiB});
  const Allocation shared = Make(Shared(10 * kMiB));
  EXPECT_CODE(ResourceExhausted, space_->Allocate({.size_bytes = 8 * kMiB}));
  const Allocation fits = Make({.size_bytes = 6 * kMiB});
  EXPECT_EQ(Stats().reserved_bytes, 16 * kMiB);
  EXPECT_EQ(fake_.UsedBytes(0), 16 * kMiB);
  space_->Deallocate(shared);
  const Allocation later = Make({.size_bytes = 10 * kMiB});
  EXPECT_EQ(Stats().reserved_bytes, 16 * kMiB);
  space_->Deallocate(fits);
  space_->Deallocate(later);
}

TEST_F(CudaMemoryTest, WhatIsSharedTakesWholePages) {
  Open(kDeviceSpace, {.max_reserved_bytes = kMiB});
  for (const Sharing sharing : {Sharing::kPosixFd, Sharing::kIpc}) {
    const absl::Status status = space_->Allocate(Shared(5000, sharing)).status();
    EXPECT_CODE(ResourceExhausted, status);
    EXPECT_NE(status.message().find("rounded to 2097152"), std::string::npos) << status;
  }
  EXPECT_EQ(fake_.UsedBytes(0), 0u);
  Open(kDeviceSpace, {.max_reserved_bytes = kPage});
  const Allocation fits = Make(Shared(5000));
  EXPECT_EQ(Stats().reserved_bytes, kPage);
  EXPECT_EQ(fits.reserved_bytes, kPage);
  space_->Deallocate(fits);
  EXPECT_EQ(Stats().reserved_bytes, 0u);
}

TEST_F(CudaMemoryTest, ThreadsTogetherKeepTheBudget) {
  Open(kDeviceSpace, {.max_reserved_bytes = 5 * kPage});
  std::atomic<uint64_t> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 30; ++round) {
        absl::StatusOr<Allocation> made =
            space_->Allocate(i % 2 == 0 ? Shared(2 * kPage) : AllocationRequest{2 * kPage});
        uint64_t used = fake_.UsedBytes(0);
        for (uint64_t seen = most; used > seen && !most.compare_exchange_weak(seen, used);) {
        }
        if (made.ok()) space_->Deallocate(*made);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(most, 5 * kPage);
  EXPECT_GT(most, 0u);
  space_->Trim(0);
  EXPECT_EQ(Stats().reserved_bytes, 0u);
}

TEST_F(CudaMemoryTest, WhatTheDriverDoesNotTakeBackStaysCounted) {
  Open(kDeviceSpace, {.max_reserved_bytes = 4 * kPage});
  const Allocation shared = Make(Shared(2 * kPage));
  fake_.FailCalls("MemRelease", CUDA_ERROR_UNKNOWN);
  space_->Deallocate(shared);
  fake_.ClearFailures();
  EXPECT_EQ(Stats().reserved_bytes, 2 * kPage);
  EXPECT_CODE(ResourceExhausted, space_->Allocate(Shared(3 * kPage)));
  // Slabs, too.
  space_->Deallocate(Make({.size_bytes = kPage}));
  fake_.FailCalls("MemUnmap", CUDA_ERROR_UNKNOWN);
  EXPECT_EQ(space_->Trim(0), 0u);
  fake_.ClearFailures();
  EXPECT_EQ(Stats().reserved_bytes, 3 * kPage);
  EXPECT_CODE(ResourceExhausted, space_->Allocate({.size_bytes = 2 * kPage}));
  space_->Deallocate(Make({.size_bytes = kPage}));
  loses_ = true;
}

// ------------------------------------------------------------------------------------------------
// Memory whose giving back waits for the device

struct Waiting {
  const char* call;
  SpaceKind kind;
  AllocationRequest request;
};
const Waiting kWaiting[] = {{"MemFree", kDeviceSpace, Shared(3 * kMiB, Sharing::kIpc)},
                            {"MemFreeHost", kPinnedSpace, WriteCombined(5000)}};

TEST_F(CudaMemoryTest, DroppingItCallsNothingThatWaits) {
  for (const Waiting& waiting : kWaiting) {
    Open(waiting.kind);
    const Allocation made = Make(waiting.request);
    const Allocation behind = Make(waiting.request);
    const uint64_t reserved = Stats().reserved_bytes;
    const uint64_t calls = fake_.Calls(waiting.call);
    const size_t waits = fake_.Waits().size();
    std::shared_ptr<DeviceStream> stream = *DeviceStream::Create(device_);
    fake_.Hold(stream->get());
    fake_.LaunchWrite(stream->get(), behind.device_address, 5000, 1);
    const Fence fence = *stream->Record();
    space_->Deallocate(made);
    space_->Deallocate(behind, {&fence, 1});
    EXPECT_EQ(Stats().cached_bytes, made.reserved_bytes);
    fake_.Release(stream->get());
    ASSERT_OK(fence.Wait());
    // Reaped by who has nothing to do with it.
    fake_.Hold(stream->get());
    fake_.LaunchHost(stream->get(), [] {});
    const Allocation unrelated = Make({.size_bytes = 100});
    EXPECT_EQ(Stats().deferred_bytes, 0u);
    EXPECT_EQ(fake_.Calls(waiting.call), calls);
    EXPECT_EQ(fake_.Waits().size(), waits);
    EXPECT_GE(Stats().reserved_bytes, reserved);
    // Given again to its like.
    const Allocation again = Make(waiting.request);
    EXPECT_TRUE(again.device_address == made.device_address ||
                again.device_address == behind.device_address);
    space_->Deallocate(again);
    fake_.Release(stream->get());
    space_->Deallocate(unrelated);
    space_->Trim(0);
    EXPECT_EQ(fake_.Calls(waiting.call), calls + 2);
    EXPECT_EQ(Stats().reserved_bytes, 0u);
    EXPECT_EQ(Stats().cached_bytes, 0u);
  }
}

TEST_F(CudaMemoryTest, WhatIsKeptGoesWhenItIsMissed) {
  for (const Waiting& waiting : kWaiting) {
    Open(waiting.kind, {.max_reserved_bytes = 8 * kMiB});
    space_->Deallocate(Make(waiting.request));
    EXPECT_GT(Stats().cached_bytes, 0u);
    // By the pool.
    const Allocation all = Make({.size_bytes = 8 * kMiB});
    EXPECT_EQ(Stats().reserved_bytes, 8 * kMiB);
    space_->Deallocate(all);
    // By another that is beside it, of another size.
    space_->Deallocate(Make(waiting.request));
    AllocationRequest large = waiting.request;
    large.size_bytes = 8 * kMiB;
    space_->Deallocate(Make(large));
    EXPECT_EQ(Stats().reserved_bytes, 8 * kMiB);
    // Kept up to the bound only.
    Open(waiting.kind, {.max_cached_bytes = 0});
    space_->Deallocate(Make(waiting.request));
    EXPECT_EQ(Stats().reserved_bytes, 0u);
  }
}

// ------------------------------------------------------------------------------------------------
// Decorators

TEST_F(CudaMemoryTest, DecoratorsLeaveMemoryOfItsOwnAsItIs) {
  const std::function<void()> decorate[] = {
      [&] {
        space_ = std::make_unique<CachingAllocator>(std::move(space_), CachingAllocator::Options());
      },
      [&] {
        space_ =
            std::make_unique<DebugFillAllocator>(std::move(space_), DebugFillAllocator::Options());
      },
      [&] { space_ = std::make_unique<LimitingAllocator>(std::move(space_), 64 * kMiB); },
      [&] {
        space_ =
            std::make_unique<RecordingAllocator>(std::move(space_), RecordingAllocator::Options());
      },
      [&] { space_ = std::make_unique<FaultInjectingAllocator>(std::move(space_), FaultPlan()); },
  };
  const std::string ones(100, 1);
  for (const auto& one : decorate) {
    for (const Sharing sharing : {Sharing::kPosixFd, Sharing::kIpc}) {
      Open(kDeviceSpace);
      one();
      const Allocation shared = Make(Shared(kPage, sharing));
      std::string seen(100, 0);
      ASSERT_OK(space_->CopyIn({&shared, 7, 100}, ones.data(), {}));
      ASSERT_OK(space_->CopyOut(seen.data(), {&shared, 7, 100}, {}));
      EXPECT_EQ(seen, ones);
      auto* share = space_->Capability<ShareCapability>();
      if (sharing == Sharing::kIpc) {
        EXPECT_OK(share->ExportIpc(shared));
      } else {
        absl::StatusOr<int> fd = share->ExportFd(shared);
        ASSERT_OK(fd);
        close(*fd);
      }
      space_->Deallocate(shared);
      // Another process may still have it mapped.
      const Allocation other = Make({.size_bytes = kPage});
      EXPECT_NE(other.device_address, shared.device_address);
      space_->Deallocate(other);
    }
    Open(kPinnedSpace);
    one();
    const Allocation combined = Make(WriteCombined(4096));
    EXPECT_TRUE(fake_.HostFlags(combined.host).has_value());
    space_->Deallocate(combined);
    const Allocation plain = Make({.size_bytes = 4096});
    EXPECT_NE(plain.host, combined.host);
    space_->Deallocate(plain);
  }
}

TEST_F(CudaMemoryTest, TheCacheMakesRoomForWhatItPassesOn) {
  Open(kDeviceSpace, {.max_reserved_bytes = 8 * kMiB});
  space_ = std::make_unique<CachingAllocator>(std::move(space_), CachingAllocator::Options());
  space_->Deallocate(Make({.size_bytes = 6 * kMiB}));
  space_->Deallocate(Make(Shared(8 * kMiB)));
}

TEST_F(CudaMemoryTest, NothingAtAllIsWrappedAlignedAsAsked) {
  Open(kDeviceSpace);
  AllocationRequest request;
  request.alignment_bytes = 4096;
  request.foreign = ForeignMemory();
  const Allocation none = Make(request);
  EXPECT_EQ(none.alignment_bytes, 4096u);
  space_->Deallocate(none);
}

// A planned arena is shared as a whole, and what is placed in it is found at its offset.
TEST_F(CudaMemoryTest, PlannedArenasCanBeExported) {
  Open(kDeviceSpace);
  {
    Schedule schedule;
    std::vector<Buffer> made;
    for (const char* name : {"a", "b"}) {
      absl::StatusOr<Buffer> buffer =
          Buffer::Create(*space_, DType::kUInt8, Shape::Vector(3000), {.name = name});
      ASSERT_OK(buffer);
      made.push_back(*std::move(buffer));
    }
    ASSERT_OK(schedule.AddStep({.writes = {made[0]}}));
    ASSERT_OK(schedule.AddStep({.reads = {made[0]}, .writes = {made[1]}}));
    ASSERT_OK(schedule.AddStep({.reads = {made[1]}}));
    made.clear();
    absl::StatusOr<Plan> plan = MakePlan(schedule);
    ASSERT_OK(plan);
    absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, schedule, {.sharing = Sharing::kPosixFd});
    ASSERT_OK(placed);
    ASSERT_EQ(placed->arenas.size(), 1u);
    const Buffer& arena = placed->arenas[0];
    const Buffer& second = schedule.steps()[2].reads[0];
    const std::vector<uint8_t> bytes(3000, 0x5c);
    ASSERT_OK(second.CopyIn(bytes.data(), bytes.size()));
    auto* share = space_->Capability<ShareCapability>();
    absl::StatusOr<int> fd = share->ExportFd(arena.storage()->root());
    ASSERT_OK(fd);
    absl::StatusOr<ForeignMemory> memory = share->ImportFd(*fd, arena.size());
    close(*fd);
    ASSERT_OK(memory);
    absl::StatusOr<Buffer> imported =
        Buffer::Wrap(*space_, DType::kUInt8, Shape::Vector(arena.size()), *memory, arena.size());
    ASSERT_OK(imported);
    const uint64_t offset = *second.DeviceAddress() - *arena.DeviceAddress();
    EXPECT_GT(offset, 0u);
    std::vector<uint8_t> seen(3000);
    ASSERT_OK(imported->CopyOutAt(offset, seen.data(), seen.size()));
    EXPECT_EQ(seen, bytes);
  }
  // Where nothing can be shared, nothing is placed.
  Open(kPinnedSpace);
  Schedule schedule;
  absl::StatusOr<Buffer> pinned = Buffer::Create(*space_, DType::kUInt8, Shape::Vector(100));
  ASSERT_OK(schedule.AddStep({.writes = {*std::exchange(pinned, Buffer())}}));
  absl::StatusOr<Plan> plan = MakePlan(schedule);
  ASSERT_OK(plan);
  EXPECT_CODE(Unimplemented, PlacePlan(*plan, schedule, {.sharing = Sharing::kPosixFd}));
  EXPECT_FALSE(schedule.steps()[0].writes[0].is_allocated());
}

// ------------------------------------------------------------------------------------------------
// What must not be taken

TEST_F(CudaMemoryTest, ManagedMemoryFindsRoomBesideWhatOthersUse) {
  CUdeviceptr others = 0, more = 0;
  {
    Device::Scope scope(*device_);
    ASSERT_EQ(fake_.table().MemAlloc(&others, 40 * kMiB), CUDA_SUCCESS);
  }
  ManagedSource source(device_);
  absl::StatusOr<Slab> first = source.Acquire(60 * kMiB);
  ASSERT_OK(first);
  // Nobody has touched it: nothing of it shows in what the device has free.
  const absl::Status status = source.Acquire(60 * kMiB).status();
  EXPECT_CODE(ResourceExhausted, status);
  EXPECT_NE(status.message().find("others use 41943040"), std::string::npos) << status;
  absl::StatusOr<Slab> fits = source.Acquire(40 * kMiB);
  ASSERT_OK(fits);
  source.Release(*fits);
  {
    // As if half of it were on the device now; then others take more.
    Device::Scope scope(*device_);
    ASSERT_EQ(fake_.table().MemAlloc(&more, 90 * kMiB), CUDA_SUCCESS);
  }
  // 130 used, of which 60 may be ours.
  EXPECT_CODE(ResourceExhausted, source.Acquire(12 * kMiB));
  fits = source.Acquire(10 * kMiB);
  ASSERT_OK(fits);
  source.Release(*fits);
  source.Release(*first);
  {
    Device::Scope scope(*device_);
    EXPECT_EQ(fake_.table().MemFree(more), CUDA_SUCCESS);
    EXPECT_EQ(fake_.table().MemFree(others), CUDA_SUCCESS);
  }
  // With nothing taken, what the others use is known anew.
  first = source.Acquire(140 * kMiB);
  ASSERT_OK(first);
  source.Release(*first);
}

// Device memory that is taken later counts, too: managed memory could no longer be on the device.
TEST_F(CudaMemoryTest, DeviceMemoryLeavesRoomForManagedMemory) {
  ManagedSource managed(device_);
  std::unique_ptr<VirtualMemorySource> mapped = *VirtualMemorySource::Make(device_);
  DeviceSource plain(device_);
  absl::StatusOr<Slab> first = managed.Acquire(100 * kMiB);
  ASSERT_OK(first);
  for (SlabSource* source :
       {static_cast<SlabSource*>(mapped.get()), static_cast<SlabSource*>(&plain)}) {
    const absl::Status status = source->Acquire(42 * kMiB).status();
    EXPECT_CODE(ResourceExhausted, status);
    EXPECT_NE(status.message().find("104857600 of managed memory"), std::string::npos) << status;
    absl::StatusOr<Slab> fits = source->Acquire(20 * kMiB);
    ASSERT_OK(fits);
    EXPECT_CODE(ResourceExhausted, source->Acquire(22 * kMiB));
    EXPECT_CODE(ResourceExhausted, managed.Acquire(22 * kMiB));
    absl::StatusOr<Slab> all = source->Acquire(20 * kMiB);
    ASSERT_OK(all);
    source->Release(*fits);
    source->Release(*all);
  }
  Open(kDeviceSpace);
  for (const Sharing sharing : {Sharing::kPosixFd, Sharing::kIpc}) {
    EXPECT_CODE(ResourceExhausted, space_->Allocate(Shared(42 * kMiB, sharing)));
    space_->Deallocate(Make(Shared(40 * kMiB, sharing)));
    space_->Trim(0);
  }
  managed.Release(*first);
  // Without managed memory the driver decides.
  absl::StatusOr<Slab> large = plain.Acquire(140 * kMiB);
  ASSERT_OK(large);
  plain.Release(*large);
}

TEST_F(CudaMemoryTest, PinnedMemoryLeavesTheSystemAlive) {
  host::SystemMemory memory{.total_bytes = 64 * kMiB, .available_bytes = 9 * kMiB};
  PinnedSource source(device_, [&] { return memory; });
  const absl::Status status = source.Acquire(10 * kMiB).status();
  EXPECT_CODE(ResourceExhausted, status);
  for (const char* number : {"67108864", "9437184", "1048576"}) {
    EXPECT_NE(status.message().find(number), std::string::npos) << status;
  }
  EXPECT_CODE(ResourceExhausted, source.Acquire(uint64_t{1} << 60));
  EXPECT_EQ(fake_.Calls("MemHostRegister"), 0u);
  absl::StatusOr<Slab> fits = source.Acquire(8 * kMiB);
  ASSERT_OK(fits);
  source.Release(*fits);
  // Asked each time.
  memory.available_bytes = 4 * kMiB;
  EXPECT_CODE(ResourceExhausted, source.Acquire(8 * kMiB));
  EXPECT_EQ(Open(kPinnedSpace).traits().max_allocation_bytes, host::ReadSystemMemory().total_bytes);
}

// ------------------------------------------------------------------------------------------------
// Hints

TEST_F(CudaMemoryTest, HintsEndWithTheirBuffer) {
  Open(kUnifiedSpace);
  auto* unified = space_->Capability<UnifiedCapability>();
  const Allocation hinted = Make({.size_bytes = 4 * kMiB});
  const Allocation other = Make({.size_bytes = 4 * kMiB});
  ASSERT_OK(unified->Hint({&hinted, kMiB, kMiB}, AccessHint::kHostPreferred));
  ASSERT_OK(unified->Hint({&other, 0, kMiB}, AccessHint::kReadMostly));
  const size_t said = fake_.Advices().size();
  space_->Deallocate(hinted);
  const std::vector<FakeAdvice> all = fake_.Advices();
  ASSERT_EQ(all.size(), said + 3);
  std::set<int> unset;
  for (size_t i = said; i < all.size(); ++i) {
    EXPECT_EQ(all[i].address, hinted.device_address + kMiB);
    EXPECT_EQ(all[i].size_bytes, kMiB);
    unset.insert(all[i].advice);
  }
  EXPECT_EQ(unset,
            (std::set<int>{CU_MEM_ADVISE_UNSET_READ_MOSTLY, CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION,
                           CU_MEM_ADVISE_UNSET_ACCESSED_BY}));
  // Once.
  space_->Deallocate(Make({.size_bytes = 4 * kMiB}));
  EXPECT_EQ(fake_.Advices().size(), said + 3);
  space_->Deallocate(other);
  EXPECT_EQ(fake_.Advices().size(), said + 6);
}

TEST_F(CudaMemoryTest, OfWhatIsStreamedTheFirstBytesGoAhead) {
  Open(kUnifiedSpace);
  auto* unified = space_->Capability<UnifiedCapability>();
  const Allocation made = Make({.size_bytes = 50 * kMiB});
  ASSERT_OK(unified->Hint({&made, kMiB, 40 * kMiB}, AccessHint::kStreaming));
  const FakeAdvice ahead = fake_.Advices().back();
  EXPECT_EQ(ahead.call, "cuMemPrefetchAsync");
  EXPECT_EQ(ahead.address, made.device_address + kMiB);
  EXPECT_EQ(ahead.size_bytes, 32 * kMiB);
  ASSERT_OK(unified->Hint({&made, 0, kMiB}, AccessHint::kStreaming));
  EXPECT_EQ(fake_.Advices().back().size_bytes, kMiB);
  ASSERT_OK(space_->Synchronize());
  space_->Deallocate(made);
}

}  // namespace
}  // namespace tenure::cuda
