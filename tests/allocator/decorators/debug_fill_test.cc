#include "tenure/allocator/decorators/debug_fill.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/null/null_allocator.h"

namespace tenure {
namespace {

using Damage = DebugFillAllocator::Damage;

struct Checked {
  std::vector<Damage> damages;
  DebugFillAllocator allocator{std::make_unique<CachingAllocator>(std::make_unique<CpuAllocator>(),
                                                                  CachingAllocator::Options{}),
                               {.on_damage = [this](const Damage& d) { damages.push_back(d); }}};
};

TEST(DebugFillAllocator, PoisonsFreshAndFreedBytes) {
  Checked checked;
  auto a = checked.allocator.Allocate({.size_bytes = 1000});
  ASSERT_TRUE(a.ok());
  auto* bytes = static_cast<uint8_t*>(a->host);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(bytes[i], 0xa5);
  std::memset(bytes, 1, 1000);
  checked.allocator.Deallocate(*a);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(bytes[i], 0xdd);  // cached below
  auto zeroed = checked.allocator.Allocate({.size_bytes = 1000, .zeroed = true});
  ASSERT_TRUE(zeroed.ok());
  EXPECT_EQ(static_cast<uint8_t*>(zeroed->host)[999], 0);
  checked.allocator.Deallocate(*zeroed);
  EXPECT_TRUE(checked.damages.empty());
}

TEST(DebugFillAllocator, FindsWhatWasWrittenOutside) {
  for (uint64_t alignment : {uint64_t{0}, uint64_t{4096}}) {
    for (int64_t at : {int64_t{-64}, int64_t{-1}, int64_t{100}, int64_t{163}}) {
      Checked checked;
      auto a = checked.allocator.Allocate({.size_bytes = 100,
                                           .alignment_bytes = alignment,
                                           .name = "attention",
                                           .storage = StorageId(77)});
      ASSERT_TRUE(a.ok());
      static_cast<uint8_t*>(a->host)[at] = 0x42;
      checked.allocator.Deallocate(*a);
      ASSERT_EQ(checked.damages.size(), 1u);
      const Damage& damage = checked.damages[0];
      EXPECT_EQ(damage.offset_bytes, at);
      EXPECT_EQ(damage.found, 0x42);
      EXPECT_EQ(damage.changed_bytes, 1u);
      EXPECT_EQ(damage.allocation, a->id);
      EXPECT_EQ(damage.storage, StorageId(77));
      EXPECT_NE(damage.ToString().find("attention"), std::string::npos);
      EXPECT_NE(damage.ToString().find(at < 0 ? "in front of" : "behind"), std::string::npos);
      EXPECT_EQ(checked.allocator.damaged_count(), 1u);
    }
  }
}

TEST(DebugFillAllocator, LooksOnlyAfterTheLastFence) {
  Checked checked;
  auto a = checked.allocator.Allocate({.size_bytes = 100});
  ASSERT_TRUE(a.ok());
  auto timeline = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(timeline, 1)};
  checked.allocator.Deallocate(*a, users);
  auto* bytes = static_cast<uint8_t*>(a->host);
  bytes[99] = 1;   // the device may
  bytes[100] = 1;  // but not this
  checked.allocator.Poll();
  EXPECT_EQ(bytes[99], 1);
  EXPECT_TRUE(checked.damages.empty());
  timeline->Signal(1);
  checked.allocator.Poll();
  EXPECT_EQ(bytes[99], 0xdd);
  EXPECT_EQ(checked.damages.size(), 1u);
}

TEST(DebugFillAllocator, ReportsOnStderrByDefault) {
  testing::internal::CaptureStderr();
  {
    DebugFillAllocator allocator(std::make_unique<CpuAllocator>(), {});
    auto a = allocator.Allocate({.size_bytes = 8, .name = "logits"});
    ASSERT_TRUE(a.ok());
    static_cast<uint8_t*>(a->host)[9] = 0;
    allocator.Deallocate(*a);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("'logits'"), std::string::npos) << said;
  EXPECT_NE(said.find("offset 9"), std::string::npos) << said;
}

TEST(DebugFillAllocator, DoesNothingWithoutBytesAndToImports) {
  DebugFillAllocator null(std::make_unique<NullAllocator>(), {});
  EXPECT_FALSE(null.applies());
  auto a = null.Allocate({.size_bytes = 100});
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->reserved_bytes, 100u);
  null.Deallocate(*a);
  Checked checked;
  EXPECT_TRUE(checked.allocator.applies());
  uint8_t bytes[16] = {1, 2, 3};
  auto wrapped = checked.allocator.Allocate({.size_bytes = 16, .foreign = ForeignMemory{bytes}});
  ASSERT_TRUE(wrapped.ok());
  EXPECT_EQ(wrapped->host, bytes);
  checked.allocator.Deallocate(*wrapped);
  EXPECT_EQ(bytes[2], 3);
}

TEST(DebugFillAllocator, GuardsOfAnyWidth) {
  for (uint64_t guard : {0u, 1u, 63u, 65u, 5000u}) {
    std::vector<Damage> damages;
    DebugFillAllocator allocator(
        std::make_unique<CpuAllocator>(),
        {.guard_bytes = guard, .on_damage = [&](const Damage& d) { damages.push_back(d); }});
    auto a = allocator.Allocate({.size_bytes = 10, .alignment_bytes = 128});
    ASSERT_TRUE(a.ok());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(a->host) % 128, 0u);
    if (guard > 0) static_cast<uint8_t*>(a->host)[9 + guard] = 7;
    allocator.Deallocate(*a);
    EXPECT_EQ(damages.size(), guard > 0 ? 1u : 0u);
  }
}

TEST(DebugFillAllocator, LargestAllocationIsWhatFitsWithGuards) {
  SpaceTraits traits;
  traits.max_allocation_bytes = 1 << 20;
  DebugFillAllocator null(std::make_unique<NullAllocator>(traits), {});
  EXPECT_EQ(null.traits().max_allocation_bytes, 1u << 20);  // nothing to guard
}

}  // namespace
}  // namespace tenure
