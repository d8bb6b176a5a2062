#include "tenure/runtime/storage.h"

#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/runtime/storage_imports.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

class StorageTest : public ::testing::Test {
 protected:
  StorageHandle Make(uint64_t size, uint64_t alignment = 0) {
    return Storage::Make(cpu_, size, {.alignment_bytes = alignment, .zeroed = false, .name = ""});
  }
  StorageHandle Arena(uint64_t size, uint64_t alignment = 64) {
    StorageHandle arena = Make(size, alignment);
    EXPECT_OK(arena->EnsureAllocated());
    return arena;
  }
  CpuAllocator cpu_;
};

TEST_F(StorageTest, CountsHandlesAndNotInternalReferences) {
  const StorageHandle storage = Make(8);
  EXPECT_EQ(storage->handle_count(), 1u);
  {
    const StorageHandle second = storage;
    const StorageKeepAlive internal(storage.get());
    EXPECT_EQ(storage->handle_count(), 2u);
  }
  EXPECT_EQ(storage->handle_count(), 1u);
}

TEST_F(StorageTest, LivesAsLongAsAnInternalReference) {
  StorageHandle storage = Arena(64);
  StorageKeepAlive internal(storage.get());
  storage = StorageHandle();
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  internal = StorageKeepAlive();
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
}

TEST_F(StorageTest, PlacedStoragesKeepTheirArena) {
  StorageHandle arena = Arena(256);
  const StorageHandle a = Make(64);
  ASSERT_OK(a->Place(*arena, 128, true));
  EXPECT_TRUE(a->is_placed());
  EXPECT_EQ(a->root_offset(), 128u);
  EXPECT_EQ(a->root().id, arena->root().id);
  arena = StorageHandle();
  EXPECT_EQ(cpu_.Stats().in_use_count, 1u);
  ASSERT_OK(a->Unplace());
  EXPECT_EQ(cpu_.Stats().in_use_count, 0u);
  EXPECT_FALSE(a->is_allocated());
  ASSERT_OK(a->EnsureAllocated());
}

TEST_F(StorageTest, PlacementIsRefusedWhereItWouldBeWrong) {
  const StorageHandle arena = Arena(256, 64);
  const StorageHandle lazy = Make(256);
  EXPECT_CODE(FailedPrecondition, Make(64)->Place(*lazy, 0, true));
  EXPECT_CODE(FailedPrecondition, arena->Place(*arena, 0, true));
  EXPECT_CODE(FailedPrecondition, Arena(64)->Place(*arena, 0, true));
  EXPECT_CODE(OutOfRange, Make(64)->Place(*arena, 193, true));
  EXPECT_CODE(OutOfRange, Make(64)->Place(*arena, ~uint64_t{0} - 3, true));
  EXPECT_CODE(InvalidArgument, Make(64, 64)->Place(*arena, 32, true));
  EXPECT_CODE(InvalidArgument, Make(64, 1 << 20)->Place(*arena, 0, true));
  NullAllocator null;
  const StorageHandle elsewhere = Storage::Make(null, 64, {});
  EXPECT_CODE(FailedPrecondition, elsewhere->Place(*arena, 0, true));
  const StorageHandle sealed = Make(64);
  ASSERT_OK(sealed->Seal());
  EXPECT_CODE(FailedPrecondition, sealed->Place(*arena, 0, true));
  const StorageHandle placed = Make(64);
  ASSERT_OK(placed->Place(*arena, 0, true));
  EXPECT_CODE(FailedPrecondition, placed->Place(*arena, 64, true));
  EXPECT_CODE(FailedPrecondition, Make(64)->Unplace());
}

TEST_F(StorageTest, ArenasInArenasAreFlattened) {
  const StorageHandle outer = Arena(1024);
  const StorageHandle inner = Make(512);
  const StorageHandle a = Make(64);
  ASSERT_OK(inner->Place(*outer, 256, true));
  ASSERT_OK(a->Place(*inner, 128, true));
  EXPECT_EQ(a->root_offset(), 384u);
  EXPECT_EQ(&a->root_storage(), outer.get());
}

TEST_F(StorageTest, SealingBytesThatAPlanSharesIsRefused) {
  const StorageHandle arena = Arena(256);
  const StorageHandle shared = Make(64), alone = Make(64);
  ASSERT_OK(shared->Place(*arena, 0, false));
  ASSERT_OK(alone->Place(*arena, 64, true));
  EXPECT_CODE(FailedPrecondition, shared->Seal());
  ASSERT_OK(alone->Seal());
  EXPECT_CODE(FailedPrecondition, alone->Unplace());
}

TEST_F(StorageTest, PlacesAllOrNone) {
  const StorageHandle arena = Arena(256);
  const StorageHandle a = Make(64), b = Make(64), taken = Arena(64);
  std::vector<Storage::PlaceRequest> requests = {{a.get(), arena.get(), 0, true},
                                                 {b.get(), arena.get(), 64, false},
                                                 {taken.get(), arena.get(), 128, true}};
  EXPECT_CODE(FailedPrecondition, Storage::PlaceAll(requests));
  EXPECT_FALSE(a->is_allocated());
  EXPECT_FALSE(b->is_allocated());
  requests[2].storage = a.get();  // a second time
  EXPECT_CODE(FailedPrecondition, Storage::PlaceAll(requests));
  EXPECT_FALSE(a->is_allocated());
  requests.pop_back();
  ASSERT_OK(Storage::PlaceAll(requests));
  EXPECT_EQ(b->root_offset(), 64u);
  EXPECT_OK(a->Seal());
  EXPECT_CODE(FailedPrecondition, b->Seal());
}

// A thread that allocates while others are placed gets bytes, its own or the arena's, that stay.
TEST_F(StorageTest, AllocatingRacesWithPlacingAll) {
  const StorageHandle arena = Arena(256), taken = Arena(64);
  for (int round = 0; round < 200; ++round) {
    const StorageHandle a = Make(64), b = Make(64);
    const bool fails = round % 2 == 0;
    const Storage::PlaceRequest requests[] = {{a.get(), arena.get(), 0, true},
                                              {(fails ? taken : b).get(), arena.get(), 64, true}};
    std::thread other([&] {
      EXPECT_OK(a->EnsureAllocated());
      EXPECT_TRUE(!fails || !a->is_placed());
    });
    const bool placed = Storage::PlaceAll(requests).ok();
    other.join();
    EXPECT_EQ(a->is_placed(), placed);
    EXPECT_EQ(b->is_placed(), placed);
    EXPECT_TRUE(a->is_allocated());
  }
}

TEST_F(StorageTest, OneOfManyThreadsPlaces) {
  for (int round = 0; round < 50; ++round) {
    const StorageHandle arena = Arena(4096);
    const StorageHandle storage = Make(64);
    std::atomic<int> placed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] { placed += storage->Place(*arena, 64 * t, true).ok() ? 1 : 0; });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(placed.load(), 1);
  }
}

// Sealed bytes must not be shared. The window is between the check of a plan's storages and their
// placement.
TEST_F(StorageTest, SealingAndPlacingInSharedBytesExcludeEachOther) {
  constexpr size_t kStorages = 300;
  const StorageHandle arena = Arena(64 * kStorages);
  for (int round = 0; round < 200; ++round) {
    std::vector<StorageHandle> storages;
    std::vector<Storage::PlaceRequest> requests;
    for (size_t i = 0; i < kStorages; ++i) {
      storages.push_back(Make(64));
      requests.push_back({storages[i].get(), arena.get(), 64 * i, false});
    }
    absl::Status sealed;
    std::atomic<bool> go{false};
    std::thread sealer([&] {
      while (!go) {
      }
      sealed = storages[0]->Seal();
    });
    go = true;
    const absl::Status placed = Storage::PlaceAll(requests);
    sealer.join();
    ASSERT_NE(sealed.ok(), placed.ok()) << "round " << round << ": " << sealed << ", " << placed;
  }
}

// Its first allocation throws.
class Throwing final : public Decorator {
 public:
  using Decorator::Decorator;
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override {
    if (!std::exchange(thrown_, true)) throw std::bad_alloc();
    return upstream()->Allocate(request);
  }

 private:
  bool thrown_ = false;
};

TEST_F(StorageTest, AnAllocationThatThrowsCanBeTriedAgain) {
  Throwing throwing(std::make_unique<CpuAllocator>());
  const StorageHandle storage = Storage::Make(throwing, 8, {});
  EXPECT_THROW(storage->EnsureAllocated().IgnoreError(), std::bad_alloc);
  EXPECT_OK(storage->EnsureAllocated());
}

// Its first allocation waits for Go().
class GatedAllocation final : public Decorator {
 public:
  using Decorator::Decorator;
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override {
    if (!std::exchange(begun_, true)) {
      inside_.Notify();
      go_.WaitForNotification();
    }
    return upstream()->Allocate(request);
  }
  void AwaitAllocation() { inside_.WaitForNotification(); }
  void Go() { go_.Notify(); }

 private:
  bool begun_ = false;
  absl::Notification inside_, go_;
};

TEST_F(StorageTest, AnImportThatMeetsAnAllocationIsRefused) {
  GatedAllocation gated(std::make_unique<CpuAllocator>());
  const StorageHandle storage = Storage::Make(gated, 8, {});
  std::thread allocator([&] { EXPECT_OK(storage->EnsureAllocated()); });
  gated.AwaitAllocation();
  uint8_t bytes[8];
  int released = 0;
  AllocationRequest request;
  request.foreign = ForeignMemory{.data = bytes, .release = [&] { ++released; }};
  absl::Status imported;
  std::thread importer([&] { imported = storage->Import(request); });
  absl::SleepFor(absl::Milliseconds(20));  // so that it has met the allocation, in most runs
  gated.Go();
  allocator.join();
  importer.join();
  EXPECT_CODE(FailedPrecondition, imported);
  EXPECT_EQ(released, 0) << "what was refused stays the caller's";
}

TEST(StorageImportsTest, AnImportThatThrowsOrFailsIsMadeAgain) {
  CpuAllocator cpu;
  StorageImports imports;
  EXPECT_THROW(
      (void)imports.Of(cpu, []() -> absl::StatusOr<Allocation> { throw std::bad_alloc(); }),
      std::bad_alloc);
  EXPECT_EQ(imports.Of(cpu, [] { return absl::AbortedError("no"); }).status().code(),
            absl::StatusCode::kAborted);
  absl::StatusOr<const Allocation*> made =
      imports.Of(cpu, [&] { return cpu.Allocate({.size_bytes = 64}); });
  ASSERT_OK(made);
  EXPECT_NE((*made)->host, nullptr);
  imports.Deallocate({});
  EXPECT_EQ(cpu.Stats().in_use_count, 0u);
}

}  // namespace
}  // namespace tenure
