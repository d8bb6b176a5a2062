#include "tenure/allocator/pool/pooled_allocator.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/tests/allocator/conformance.h"
#include "tenure/tests/allocator/pool/host_slabs.h"

namespace tenure {
namespace {

constexpr uint64_t kKiB = 1024;
constexpr uint64_t kMiB = kKiB * kKiB;
constexpr uint64_t kUnit = 64 * kKiB;  // HostSlabs' granularity
using Control = HostSlabs::Control;
using Options = PooledAllocator::Options;

std::shared_ptr<Control> MakeControl(bool joins) {
  auto control = std::make_shared<Control>();
  control->joins = joins;
  return control;
}

std::unique_ptr<Allocator> Pool(bool joins, const Options& options = {}) {
  return std::make_unique<HostPool>(MakeControl(joins), options);
}

const bool registered = RegisterConformanceTests({
    {"PooledAlone", [] { return Pool(false); }},
    {"PooledJoining", [] { return Pool(true); }},
    {"PooledWithoutChunks", [] { return Pool(true, {.small_bytes = 0}); }},
    {"PooledKeepingNothing",
     [] { return Pool(false, {.granule_bytes = 4096, .max_cached_bytes = 0}); }},
    {"PooledMovingAlways",
     [] { return Pool(true, {.max_slab_bytes = 0, .joining_slack_percent = 0}); }},
    {"CachingDebugFillPooled",
     [] {
       return std::make_unique<CachingAllocator>(
           std::make_unique<DebugFillAllocator>(Pool(true), DebugFillAllocator::Options{}),
           CachingAllocator::Options{.max_cached_bytes = kMiB});
     }},
});

// No chunks and no growth beyond what is asked for: sizes are easy to reckon.
Options Plain() {
  Options options;
  options.small_bytes = 0;
  options.min_slab_bytes = kUnit;
  options.max_slab_bytes = kUnit;
  options.joining_slack_percent = PooledAllocator::kNever;
  options.max_wait = absl::ZeroDuration();
  return options;
}

// A pool and its source's Control.
struct Tried {
  explicit Tried(bool joins, const Options& options = Plain())
      : control(MakeControl(joins)), pool(std::make_unique<HostPool>(control, options)) {}

  Allocation Make(uint64_t size, uint64_t alignment = 0, std::string_view name = "tried") {
    auto made = pool->Allocate({.size_bytes = size, .alignment_bytes = alignment, .name = name});
    EXPECT_TRUE(made.ok()) << made.status();
    if (!made.ok()) return {};
    std::memset(made->host, 0x77, size);
    return *made;
  }
  uint64_t Reserved() const { return pool->Stats().reserved_bytes; }
  uint64_t Cached() const { return pool->Stats().cached_bytes; }

  std::shared_ptr<Control> control;
  std::unique_ptr<HostPool> pool;
};

TEST(PooledAllocator, NamesABlockInAllWays) {
  Tried t(false);
  const Allocation first = t.Make(1000);
  const Allocation second = t.Make(1000);
  EXPECT_EQ(static_cast<std::byte*>(second.host), static_cast<std::byte*>(first.host) + 1024);
  EXPECT_EQ(first.reserved_bytes, 1024u);
  EXPECT_EQ(first.device_address, 0u);
  EXPECT_EQ(first.native_handle, 1u);
  EXPECT_EQ(first.native_offset, 16u);
  EXPECT_EQ(second.native_handle, 1u);
  EXPECT_EQ(second.native_offset, 16u + 1024);
  EXPECT_EQ(second.native_size, kUnit + 16);
  const Allocation other = t.Make(kUnit);
  EXPECT_EQ(other.native_handle, 2u);
  EXPECT_EQ(t.pool->slab_count(), 2u);
  for (const Allocation& made : {first, second, other}) t.pool->Deallocate(made);
  EXPECT_EQ(t.Cached(), 2 * kUnit);
}

TEST(PooledAllocator, WhatIsTakenBesideItIsOfTheSameBudget) {
  Options options = Plain();
  options.max_reserved_bytes = 4 * kUnit;
  Tried t(false, options);
  ASSERT_TRUE(t.pool->TryReserveDedicated(kUnit));
  EXPECT_EQ(t.Reserved(), kUnit);
  // While the source works for the pool, its slab counts already.
  bool reserved_meanwhile = true;
  t.control->while_working = [&] { reserved_meanwhile = t.pool->TryReserveDedicated(kUnit); };
  const Allocation made = t.Make(3 * kUnit);
  t.control->while_working = nullptr;
  EXPECT_FALSE(reserved_meanwhile);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  EXPECT_FALSE(t.pool->TryReserveDedicated(1));
  EXPECT_FALSE(t.pool->Allocate({.size_bytes = kUnit}).ok());
  // What is kept there without use goes for the pool's sake.
  t.pool->kept_outside = kUnit;
  const Allocation more = t.Make(kUnit);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  t.pool->Deallocate(made);
  t.pool->Deallocate(more);
}

TEST(PooledAllocator, JoiningSlabsBringWhatIsMissing) {
  Tried t(true);
  const Allocation a = t.Make(kUnit / 2);
  EXPECT_EQ(t.Reserved(), kUnit);
  const Allocation b = t.Make(3 * kUnit + kUnit / 2);  // spans the slabs
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  EXPECT_EQ(static_cast<std::byte*>(b.host), static_cast<std::byte*>(a.host) + kUnit / 2);
  EXPECT_EQ(b.native_handle, 0u);  // of no one object
  EXPECT_NE(a.native_handle, 0u);
  t.pool->Deallocate(a);
  t.pool->Deallocate(b);
  EXPECT_EQ(t.pool->Stats().largest_free_bytes, 4 * kUnit);
  const Allocation all = t.Make(4 * kUnit);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  // Beyond its start what is free counts only as far as it is aligned.
  const Allocation aligned = t.Make(kUnit, 16 * kUnit);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned.host) % (16 * kUnit), 0u);
  t.pool->Deallocate(all);
  t.pool->Deallocate(aligned);
}

TEST(PooledAllocator, GrowsByMoreTheMoreThereIs) {
  Tried t(false, {.small_bytes = 0,
                  .min_slab_bytes = 2 * kUnit,
                  .max_slab_bytes = 8 * kUnit,
                  .exact_slab_bytes = 20 * kUnit});
  std::vector<Allocation> all;
  std::vector<uint64_t> reserved = {0};
  while (reserved.size() < 30) {
    all.push_back(t.Make(kUnit));
    if (t.Reserved() != reserved.back()) reserved.push_back(t.Reserved());
  }
  EXPECT_EQ(reserved[1], 2 * kUnit);
  EXPECT_EQ(reserved[2], 4 * kUnit);
  EXPECT_EQ(reserved[29] - reserved[28], 8 * kUnit);
  for (size_t i = 1; i < reserved.size(); ++i) {
    const uint64_t slab = reserved[i] - reserved[i - 1];
    EXPECT_GE(slab, 2 * kUnit);
    EXPECT_LE(slab, std::max(2 * kUnit, reserved[i - 1] / 8 + kUnit));
  }
  const uint64_t before = t.Reserved();
  all.push_back(t.Make(21 * kUnit + 1));
  EXPECT_EQ(t.Reserved() - before, 22 * kUnit);
  for (const Allocation& made : all) t.pool->Deallocate(made);
}

TEST(PooledAllocator, SmallBlocksKeepOutOfTheWay) {
  Tried t(true, {.small_bytes = 16 * kKiB, .chunk_bytes = 2 * kUnit});
  std::vector<Allocation> large;
  std::vector<Allocation> small;
  for (int i = 0; i < 16; ++i) {
    large.push_back(t.Make(4 * kUnit));
    small.push_back(t.Make(1000));
  }
  EXPECT_EQ(t.Reserved(), (16 * 4 + 2) * kUnit);
  for (const Allocation& made : large) t.pool->Deallocate(made);
  // One chunk of small blocks lies between them, not sixteen.
  EXPECT_GE(t.pool->Stats().largest_free_bytes, 60 * kUnit);
  for (const Allocation& made : small) t.pool->Deallocate(made);
  EXPECT_EQ(t.pool->Trim(0), (16 * 4 + 2) * kUnit);
}

TEST(PooledAllocator, ChunksWithoutBlocksAreReused) {
  Tried t(true, {.small_bytes = 16 * kKiB, .chunk_bytes = 2 * kUnit});
  std::vector<Allocation> small;
  for (int i = 0; i < 80; ++i) small.push_back(t.Make(16 * kKiB));
  EXPECT_EQ(t.Reserved(), 20 * kUnit);
  for (const Allocation& made : small) t.pool->Deallocate(made);
  const Allocation large = t.Make(16 * kUnit);
  EXPECT_EQ(t.Reserved(), 20 * kUnit);
  // Even the chunk that is kept for the next small block, if it must be.
  t.control->capacity_bytes = 20 * kUnit;
  const Allocation rest = t.Make(4 * kUnit);
  EXPECT_EQ(t.Reserved(), 20 * kUnit);
  t.pool->Deallocate(large);
  t.pool->Deallocate(rest);
}

TEST(PooledAllocator, KeepsToItsBudget) {
  for (const bool joins : {false, true}) {
    Options options;
    options.max_reserved_bytes = 10 * kUnit;
    Tried t(joins, options);
    EXPECT_EQ(t.pool->Stats().limit_bytes, 10 * kUnit);
    const Allocation a = t.Make(6 * kUnit);
    auto b = t.pool->Allocate({.size_bytes = 5 * kUnit, .name = "too much"});
    ASSERT_TRUE(absl::IsResourceExhausted(b.status())) << b.status();
    for (const char* word : {"too much", "requested 327680", "rounded to 327680", "limit 655360",
                             "in use 393216", "alignment", "cached 0", "largest free 0", "giving",
                             "327680 bytes more than the 393216 reserved"}) {
      EXPECT_NE(b.status().message().find(word), std::string::npos) << word << b.status();
    }
    // What fits exactly is given though the policy would take more.
    const Allocation c = t.Make(4 * kUnit);
    EXPECT_EQ(t.Reserved(), 10 * kUnit);
    t.pool->Deallocate(a);
    // The free slab of the wrong size makes room.
    const Allocation d = t.Make(5 * kUnit + 1);
    EXPECT_LE(t.Reserved(), 10 * kUnit);
    t.pool->SetMaxReservedBytes(20 * kUnit);
    const Allocation e = t.Make(8 * kUnit);
    for (const Allocation& made : {c, d, e}) t.pool->Deallocate(made);
    EXPECT_EQ(t.pool->Stats().failure_count, 1u);
  }
}

TEST(PooledAllocator, GivesBackAndTriesAgainWhenTheSourceIsExhausted) {
  Tried t(false);
  t.control->capacity_bytes = 8 * kUnit;
  std::vector<Allocation> all;
  for (int i = 0; i < 8; ++i) all.push_back(t.Make(kUnit));
  for (int i = 0; i < 6; ++i) t.pool->Deallocate(all[static_cast<size_t>(i)]);
  const Allocation large = t.Make(5 * kUnit);  // six slabs of one unit are free
  EXPECT_EQ(t.Reserved(), 7 * kUnit);
  EXPECT_EQ(t.control->gives, 6);
  auto more = t.pool->Allocate({.size_bytes = 2 * kUnit});
  EXPECT_TRUE(absl::IsResourceExhausted(more.status()));
  EXPECT_NE(more.status().message().find("HOST_OUT_OF_MEMORY: 131072"), std::string::npos);
  t.pool->Deallocate(large);
  t.pool->Deallocate(all[6]);
  t.pool->Deallocate(all[7]);
}

TEST(PooledAllocator, ReapsBeforeItGivesUp) {
  // A timeline that moves on while the source is asked.
  auto timeline = std::make_shared<HostTimeline>();
  Tried t(false);
  t.control->capacity_bytes = kUnit;
  const Allocation a = t.Make(kUnit);
  const Fence users[] = {Fence(timeline, 1)};
  t.pool->Deallocate(a, users);
  EXPECT_FALSE(t.pool->Allocate({.size_bytes = kUnit}).ok());
  EXPECT_EQ(t.pool->Stats().deferred_bytes, kUnit);
  EXPECT_EQ(t.Cached(), 0u);
  t.control->while_working = [&] { timeline->Signal(1); };
  const Allocation b = t.Make(kUnit);
  EXPECT_EQ(b.host, a.host);
  EXPECT_EQ(t.control->gives, 0);
  t.pool->Deallocate(b);
}

TEST(PooledAllocator, OtherErrorsOfTheSourceComeThrough) {
  Tried t(false);
  t.control->fail_hard = true;
  t.control->fail_take = 0;
  auto made = t.pool->Allocate({.size_bytes = 10});
  EXPECT_TRUE(absl::IsUnavailable(made.status())) << made.status();
  EXPECT_EQ(t.control->takes, 1);
  t.pool->Deallocate(t.Make(10));
}

// Whichever call fails, nothing is lost and later ones succeed.
TEST(PooledAllocator, SurvivesAFailureOfAnyCall) {
  for (const bool joins : {false, true}) {
    for (const bool hard : {false, true}) {
      int refused = 0;
      for (int fail = 0; fail < 12; ++fail) {
        Tried t(joins, {.small_bytes = 16 * kKiB, .chunk_bytes = 2 * kUnit});
        t.control->fail_take = fail;
        t.control->fail_hard = hard;
        std::vector<Allocation> all;
        for (int i = 0; i < 12; ++i) {
          const uint64_t size = i % 3 == 0 ? 5000 : static_cast<uint64_t>(i) * 20000;
          auto made = t.pool->Allocate({.size_bytes = size, .zeroed = true});
          if (made.ok()) {
            std::memset(made->host, 1, size);
            all.push_back(*made);
          } else {
            ++refused;
          }
          if (i % 4 == 3) {
            t.pool->Deallocate(all.front());
            all.erase(all.begin());
          }
        }
        for (const Allocation& made : all) t.pool->Deallocate(made);
        EXPECT_EQ(t.Cached(), t.Reserved());
        t.pool->Trim(0);
        EXPECT_EQ(t.Reserved(), 0u);
        EXPECT_EQ(t.control->taken_bytes, 0u);
      }
      // One that says it is exhausted is asked once more.
      EXPECT_EQ(refused > 0, hard);
    }
  }
}

TEST(PooledAllocator, TrimGivesBackTheLargestFirst) {
  Tried t(false);
  const Allocation a = t.Make(2 * kUnit);
  const Allocation b = t.Make(5 * kUnit);
  const Allocation c = t.Make(3 * kUnit);
  const Allocation d = t.Make(4 * kUnit);
  for (const Allocation& made : {a, b, c}) t.pool->Deallocate(made);
  EXPECT_EQ(t.Cached(), 10 * kUnit);
  EXPECT_EQ(t.pool->Trim(10 * kUnit), 0u);
  EXPECT_EQ(t.pool->Trim(9 * kUnit), 5 * kUnit);
  EXPECT_EQ(t.Cached(), 5 * kUnit);
  EXPECT_EQ(t.pool->Stats().largest_free_bytes, 3 * kUnit);
  EXPECT_EQ(t.pool->Trim(0), 5 * kUnit);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  EXPECT_EQ(t.pool->slab_count(), 1u);
  t.pool->Deallocate(d);
}

TEST(PooledAllocator, TrimLeavesWhatIsPartlyUsed) {
  Tried t(true);
  std::vector<Allocation> all;
  for (int i = 0; i < 6; ++i) all.push_back(t.Make(kUnit));
  const Allocation front = t.Make(kUnit / 2);
  const Allocation part = t.Make(kUnit / 2);
  t.pool->Deallocate(front);
  for (size_t i : {1u, 2u, 4u, 5u}) t.pool->Deallocate(all[i]);
  EXPECT_EQ(t.pool->Trim(0), 4 * kUnit);
  EXPECT_EQ(t.Cached(), kUnit / 2);
  // Bytes around the holes are whole, and growth goes on behind.
  const Allocation more = t.Make(2 * kUnit);
  EXPECT_EQ(static_cast<std::byte*>(more.host), static_cast<std::byte*>(part.host) + kUnit / 2);
  for (size_t i : {0u, 3u}) t.pool->Deallocate(all[i]);
  t.pool->Deallocate(part);
  t.pool->Deallocate(more);
  t.pool->Trim(0);
  EXPECT_EQ(t.Reserved(), 0u);
}

TEST(PooledAllocator, KeepsNoMoreThanItMay) {
  Options options = Plain();
  options.max_cached_bytes = 4 * kUnit;
  Tried t(false, options);
  std::vector<Allocation> all;
  for (int i = 0; i < 8; ++i) all.push_back(t.Make(kUnit));
  for (const Allocation& made : all) {
    t.pool->Deallocate(made);
    EXPECT_LE(t.Cached(), 4 * kUnit);
  }
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  EXPECT_EQ(t.control->taken_bytes, 4 * kUnit);
}

TEST(PooledAllocator, FreeSlabsMoveRatherThanThatMoreIsTaken) {
  for (const bool joins : {false, true}) {
    Options options = Plain();
    options.joining_slack_percent = options.alone_slack_percent = 10;
    options.max_slab_bytes = 4 * kUnit;
    Tried t(joins, options);
    std::vector<Allocation> all;
    for (int i = 0; i < 20; ++i) all.push_back(t.Make(8 * kUnit));
    // Every other one: holes that are too small.
    for (size_t i = 0; i < 10; i += 2) t.pool->Deallocate(all[i]);
    EXPECT_EQ(t.Reserved(), 160 * kUnit);
    const Allocation large = t.Make(16 * kUnit);
    EXPECT_EQ(t.Reserved(), 160 * kUnit);
    EXPECT_EQ(t.control->gives, 2);
    EXPECT_EQ(t.Cached(), 24 * kUnit);
    const Allocation fits = t.Make(8 * kUnit);
    EXPECT_EQ(t.control->gives, 2);
    for (size_t i = 0; i < 20; ++i) {
      if (i % 2 == 1 || i >= 10) t.pool->Deallocate(all[i]);
    }
    t.pool->Deallocate(large);
    t.pool->Deallocate(fits);
  }
}

TEST(PooledAllocator, WhatFencesGuardIsNeitherGivenNorGivenBack) {
  Tried t(true);
  auto timeline = std::make_shared<HostTimeline>();
  const Allocation a = t.Make(2 * kUnit);
  const Fence users[] = {Fence(timeline, 1)};
  t.pool->Deallocate(a, users);
  t.pool->Trim(0);
  EXPECT_EQ(t.Reserved(), 2 * kUnit);
  EXPECT_EQ(t.pool->Stats().deferred_bytes, 2 * kUnit);
  const Allocation b = t.Make(2 * kUnit);
  EXPECT_NE(a.host, b.host);
  timeline->Signal(1);
  t.pool->Trim(0);
  EXPECT_EQ(t.Reserved(), 2 * kUnit);
  t.pool->Deallocate(b);
}

// What the request can continue stays where it is.
TEST(PooledAllocator, SlabsBeforeTheTailDoNotMove) {
  Options options = Plain();
  options.joining_slack_percent = 10;
  options.max_slab_bytes = 4 * kUnit;
  Tried t(true, options);
  std::vector<Allocation> all;
  for (int i = 0; i < 20; ++i) all.push_back(t.Make(8 * kUnit));
  for (size_t i : {5u, 10u, 19u}) t.pool->Deallocate(all[i]);
  const Allocation large = t.Make(16 * kUnit);
  EXPECT_EQ(large.host, all[19].host);
  EXPECT_EQ(t.Reserved(), 160 * kUnit);
  EXPECT_EQ(t.control->gives, 1);
  for (size_t i = 0; i < 20; ++i) {
    if (i != 5 && i != 10 && i != 19) t.pool->Deallocate(all[i]);
  }
  t.pool->Deallocate(large);
}

// What becomes due between the end of the pool and that of its base is no one's
// to release.
TEST(PooledAllocator, MayEndWhileAFenceIsNotReached) {
  auto timeline = std::make_shared<HostTimeline>();
  testing::internal::CaptureStderr();
  {
    Tried t(false);
    const Fence users[] = {Fence(timeline, 1)};
    t.pool->Deallocate(t.Make(kUnit), users);
    const Allocation free = t.Make(kUnit);
    t.pool->Deallocate(free);
    t.control->while_working = [&] { timeline->Signal(1); };  // while slabs are given back
    t.pool.reset();
    EXPECT_EQ(t.control->gives, 1);
    EXPECT_EQ(t.control->taken_bytes, kUnit);
  }
  EXPECT_NE(testing::internal::GetCapturedStderr().find("wait for fences"), std::string::npos);
}

TEST(PooledAllocator, GivesSlabsOfTheirOwn) {
  for (const bool joins : {false, true}) {
    Tried t(joins);
    t.pool->own_slabs = true;
    const Allocation shared = t.Make(100);
    const Allocation own = t.Make(100, 4 * kUnit, "own");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(own.host) % (4 * kUnit), 0u);
    EXPECT_NE(own.native_handle, shared.native_handle);
    EXPECT_EQ(t.pool->slab_count(), 1u);
    EXPECT_EQ(t.Cached(), kUnit - 256);
    EXPECT_GE(t.Reserved(), 2 * kUnit);
    const Allocation other = t.Make(kUnit);  // grows behind it
    t.pool->Deallocate(own);
    EXPECT_EQ(t.control->gives, 1);
    t.control->capacity_bytes = t.control->taken_bytes.load();
    auto refused = t.pool->Allocate({.size_bytes = 100, .name = "own"});
    EXPECT_TRUE(absl::IsResourceExhausted(refused.status()));
    t.pool->Deallocate(other);
    t.pool->Deallocate(t.Make(100, 0, "own"));  // its slab makes room
    t.pool->Deallocate(shared);
  }
}

TEST(PooledAllocator, ASecondFreeIsReportedAndIgnored) {
  Tried t(false);
  const Allocation a = t.Make(1000);
  const Allocation guard = t.Make(1000);
  t.pool->Deallocate(a);
  const uint64_t cached = t.Cached();
  testing::internal::CaptureStderr();
  t.pool->Deallocate(a);
  EXPECT_EQ(t.Cached(), cached);
  const Allocation b = t.Make(500);  // in the same place, of another size
  EXPECT_EQ(b.host, a.host);
  t.pool->Deallocate(a);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("freed twice"), std::string::npos);
  EXPECT_NE(t.Make(400).host, b.host);
  (void)guard;
  testing::internal::CaptureStderr();
  t.pool.reset();
  EXPECT_NE(testing::internal::GetCapturedStderr().find("destroyed while"), std::string::npos);
}

TEST(PooledAllocator, BlocksThatCanNotBeZeroedAreNotLost) {
  Tried t(true);
  t.pool->fail_zero = true;
  auto made = t.pool->Allocate({.size_bytes = 3 * kUnit, .zeroed = true});
  EXPECT_TRUE(absl::IsUnavailable(made.status()));
  EXPECT_EQ(t.Cached(), t.Reserved());
}

TEST(PooledAllocator, RefusesWhatABrokenSourceGives) {
  for (const bool second : {false, true}) {
    Tried t(false);
    if (second) t.Make(kUnit);
    for (int how = 0; how < 3; ++how) {
      t.control->spoil = [how](Slab& slab) {
        if (how == 0) slab.size_bytes -= 256;
        if (how == 1) slab.address += 1;
        if (how == 2) slab.address = ~uint64_t{0} - 255;
      };
      auto made = t.pool->Allocate({.size_bytes = 2 * kUnit});
      EXPECT_EQ(made.status().code(), absl::StatusCode::kInternal) << made.status();
      EXPECT_EQ(t.control->gives, how + 1);
    }
    t.control->spoil = nullptr;
    t.pool->Deallocate(t.Make(2 * kUnit));
    testing::internal::CaptureStderr();
    t.pool.reset();
    testing::internal::GetCapturedStderr();
  }
}

TEST(PooledAllocator, UsesTheOtherHeapBeforeItGivesUp) {
  Tried t(false, {.small_bytes = 16 * kKiB,
                  .chunk_bytes = 2 * kUnit,
                  .min_slab_bytes = 2 * kUnit,
                  .max_reserved_bytes = 4 * kUnit});
  const Allocation small = t.Make(1000);  // a chunk, nearly empty
  const Allocation large = t.Make(kUnit + kUnit / 2);
  const Allocation in_chunk = t.Make(kUnit + kUnit / 2);
  EXPECT_EQ(in_chunk.native_handle, small.native_handle);
  const Allocation filler = t.Make(20 * kKiB);  // rest of the chunk: less than 16 KiB
  const Allocation in_large = t.Make(16 * kKiB);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  for (const Allocation& made : {small, large, in_chunk, filler, in_large}) {
    t.pool->Deallocate(made);
  }
  t.pool->Trim(0);
  EXPECT_EQ(t.Reserved(), 0u);
}

// ------------------------------------------------------------------------------------------------
// threads

TEST(PooledAllocator, CachedBlocksComeWhileTheSourceWorks) {
  Tried t(false);
  const Allocation held = t.Make(kUnit / 2);
  bool reached = false;
  t.control->while_working = [&] {
    std::thread([&] {
      const Allocation made = *t.pool->Allocate({.size_bytes = 1000});
      (void)t.pool->Stats();
      t.pool->Deallocate(made);
      reached = true;
    }).join();
  };
  t.pool->Deallocate(t.Make(2 * kUnit));
  EXPECT_TRUE(reached);
  reached = false;
  t.pool->Trim(0);
  EXPECT_TRUE(reached);
  t.control->while_working = nullptr;
  t.pool->Deallocate(held);
}

// The free bytes that were to be continued are gone when the slab is there.
TEST(PooledAllocator, BringsItAllWhenOthersWereFaster) {
  Allocation thief;
  Tried t(true);
  const Allocation first = t.Make(kUnit / 2);
  t.control->while_working = [&] {
    if (!thief) std::thread([&] { thief = *t.pool->Allocate({.size_bytes = kUnit / 2}); }).join();
  };
  const Allocation made = t.Make(kUnit + kUnit / 2);
  EXPECT_EQ(t.control->takes, 3);
  EXPECT_EQ(t.Reserved(), 4 * kUnit);
  for (const Allocation& one : {first, thief, made}) t.pool->Deallocate(one);
}

TEST(PooledAllocator, OneSlabServesAllWhoWaitForIt) {
  constexpr int kThreads = 8;
  std::atomic<int> started{0};
  Tried t(false, {.small_bytes = 0, .min_slab_bytes = kThreads * kUnit});
  t.control->while_working = [&] {
    while (started < kThreads) std::this_thread::yield();
  };
  std::vector<std::thread> threads;
  std::vector<Allocation> all(kThreads);
  for (Allocation& made : all) {
    threads.emplace_back([&] {
      ++started;
      made = *t.pool->Allocate({.size_bytes = kUnit});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(t.control->takes, 1);
  for (const Allocation& made : all) t.pool->Deallocate(made);
}

// Each block is filled with its owner's mark, and checked when it is freed.
void Race(bool joins, const Options& options) {
  constexpr int kThreads = 6;
  Tried t(joins, options);
  t.control->capacity_bytes = 3 * kMiB;
  auto timeline = std::make_shared<HostTimeline>();
  std::atomic<uint64_t> clock{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 random(static_cast<unsigned>(thread));
      std::vector<Allocation> mine(12);
      auto drop = [&](Allocation& made) {
        if (!made) return;
        const auto* bytes = static_cast<const unsigned char*>(made.host);
        if (bytes[0] != thread || bytes[made.size_bytes / 2] != thread ||
            bytes[made.size_bytes - 1] != thread) {
          ++wrong;
        }
        const Fence users[] = {Fence(timeline, clock + 1)};
        t.pool->Deallocate(made, {users, random() % 3 == 0 ? 1u : 0u});
        made = Allocation();
      };
      for (int i = 0; i < 400; ++i) {
        Allocation& slot = mine[random() % mine.size()];
        drop(slot);
        const uint64_t size = 1 + random() % (uint64_t{1} << (8 + random() % 12));
        auto made =
            t.pool->Allocate({.size_bytes = size, .alignment_bytes = uint64_t{1} << random() % 18});
        if (made.ok()) {
          slot = *made;
          std::memset(slot.host, thread, slot.size_bytes);
        } else if (!absl::IsResourceExhausted(made.status())) {
          ++wrong;
        }
        if (i % 8 == 0) timeline->Signal(++clock);
        if (i % 100 == 50) t.pool->Trim(random() % kMiB);
        if (i % 64 == 0) (void)t.pool->Stats();
      }
      for (Allocation& made : mine) drop(made);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  timeline->Signal(clock + 1);
  t.pool->Trim(0);
  EXPECT_EQ(t.Reserved(), 0u);
  EXPECT_EQ(t.control->taken_bytes, 0u);
  EXPECT_EQ(t.pool->Stats().in_use_count, 0u);
}

TEST(PooledAllocator, ThreadsRaceForAlone) {
  Race(false, {.small_bytes = 16 * kKiB,
               .chunk_bytes = 2 * kUnit,
               .min_slab_bytes = 2 * kUnit,
               .max_wait = absl::Milliseconds(1)});
}
TEST(PooledAllocator, ThreadsRaceForJoiningThatMove) {
  Race(true, {.small_bytes = 16 * kKiB,
              .chunk_bytes = 2 * kUnit,
              .max_slab_bytes = 0,
              .joining_slack_percent = 1,
              .max_wait = absl::Milliseconds(1)});
}
TEST(PooledAllocator, ThreadsRaceForFewCached) {
  Race(true, {.small_bytes = 16 * kKiB,
              .chunk_bytes = 2 * kUnit,
              .max_cached_bytes = 4 * kUnit,
              .max_wait = absl::Milliseconds(1)});
}

}  // namespace
}  // namespace tenure
