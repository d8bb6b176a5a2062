// What CUDA's allocators take beside their pools and what they never take: budgets, memory of its
// own, limits of managed and pinned memory, hints. On the fake device.

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
#include "tenure/tests/allocator/cuda/fake_driver.h"
#include "tenure/tests/runtime/status_matchers.h"

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

constexpr AllocationRequest Shared(uint64_t size, Sharing sharing = Sharing::kPosixFd) {
  AllocationRequest request;
  request.size_bytes = size;
  request.sharing = sharing;
  return request;
}
constexpr AllocationRequest WriteCombined(uint64_t size) {
  AllocationRequest request;
  request.size_bytes = size;
  request.write_combined = true;
  return request;
}

// ------------------------------------------------------------------------------------------------
// The budget

TEST_F(CudaMemoryTest, WhatIsForThePoolNeedsNoRoomBesideIt) {
  Open(SpaceKind::kCuda, {.max_reserved_bytes = 8 * kMiB});
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

TEST_F(CudaMemoryTest, ThePoolGrowsByWhatIsLeftOfTheBudget) {
  Open(SpaceKind::kCuda, {.max_reserved_bytes = 16 * kMiB});
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
  Open(SpaceKind::kCuda, {.max_reserved_bytes = kMiB});
  for (const Sharing sharing : {Sharing::kPosixFd, Sharing::kIpc}) {
    const absl::Status status = space_->Allocate(Shared(5000, sharing)).status();
    EXPECT_CODE(ResourceExhausted, status);
    EXPECT_NE(status.message().find("rounded to 2097152"), std::string::npos) << status;
  }
  EXPECT_EQ(fake_.UsedBytes(0), 0u);
  Open(SpaceKind::kCuda, {.max_reserved_bytes = kPage});
  const Allocation fits = Make(Shared(5000));
  EXPECT_EQ(Stats().reserved_bytes, kPage);
  EXPECT_EQ(fits.reserved_bytes, kPage);
  space_->Deallocate(fits);
  EXPECT_EQ(Stats().reserved_bytes, 0u);
}

TEST_F(CudaMemoryTest, ThreadsTogetherKeepTheBudget) {
  Open(SpaceKind::kCuda, {.max_reserved_bytes = 5 * kPage});
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
  Open(SpaceKind::kCuda, {.max_reserved_bytes = 4 * kPage});
  const Allocation shared = Make(Shared(2 * kPage));
  fake_.FailCalls("MemRelease", CUDA_ERROR_UNKNOWN);
  space_->Deallocate(shared);
  fake_.ClearFailures();
  EXPECT_EQ(Stats().reserved_bytes, 2 * kPage);
  EXPECT_CODE(ResourceExhausted, space_->Allocate(Shared(3 * kPage)));
  loses_ = true;
}

// ------------------------------------------------------------------------------------------------
// Memory whose giving back waits for the device

struct Waiting {
  const char* call;
  SpaceKind kind;
  AllocationRequest request;
};
const Waiting kWaiting[] = {{"MemFree", SpaceKind::kCuda, Shared(3 * kMiB, Sharing::kIpc)},
                            {"MemFreeHost", SpaceKind::kCudaPinned, WriteCombined(5000)}};

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
      Open(SpaceKind::kCuda);
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
    Open(SpaceKind::kCudaPinned);
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
  Open(SpaceKind::kCuda, {.max_reserved_bytes = 8 * kMiB});
  space_ = std::make_unique<CachingAllocator>(std::move(space_), CachingAllocator::Options());
  space_->Deallocate(Make({.size_bytes = 6 * kMiB}));
  space_->Deallocate(Make(Shared(8 * kMiB)));
}

TEST_F(CudaMemoryTest, NothingAtAllIsWrappedAlignedAsAsked) {
  Open(SpaceKind::kCuda);
  AllocationRequest request;
  request.alignment_bytes = 4096;
  request.foreign = ForeignMemory();
  const Allocation none = Make(request);
  EXPECT_EQ(none.alignment_bytes, 4096u);
  space_->Deallocate(none);
}

}  // namespace
}  // namespace tenure::cuda
