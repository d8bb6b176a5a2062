#include "tenure/allocator/decorators/fault_injecting.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"

namespace tenure {
namespace {

// 'x' for each of `count` attempts that fails.
std::string Pattern(const FaultPlan& plan, int count, uint64_t size = 8) {
  FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), plan);
  std::string pattern;
  for (int i = 0; i < count; ++i) {
    auto made = faulty.Allocate({.size_bytes = size, .name = "w"});
    pattern += made.ok() ? '.' : 'x';
    if (made.ok()) {
      faulty.Deallocate(*made);
    } else {
      EXPECT_TRUE(absl::IsResourceExhausted(made.status()));
      EXPECT_NE(made.status().message().find("on purpose"), std::string::npos);
      EXPECT_NE(made.status().message().find("'w'"), std::string::npos);
    }
  }
  EXPECT_EQ(faulty.attempts(), static_cast<uint64_t>(count));
  EXPECT_EQ(faulty.Stats().failure_count, faulty.faults());
  return pattern;
}

TEST(FaultInjectingAllocator, ByCount) {
  EXPECT_EQ(Pattern({}, 6), "......");
  EXPECT_EQ(Pattern({.nth = 1}, 6), "x.....");
  EXPECT_EQ(Pattern({.nth = 3}, 6), "..x...");
  EXPECT_EQ(Pattern({.every_nth = 2}, 6), ".x.x.x");
  EXPECT_EQ(Pattern({.every_nth = 1}, 3), "xxx");
  EXPECT_EQ(Pattern({.nth = 1, .every_nth = 3}, 6), "x.x..x");
}

TEST(FaultInjectingAllocator, BySize) {
  EXPECT_EQ(Pattern({.from_size_bytes = 100}, 2, 99), "..");
  EXPECT_EQ(Pattern({.from_size_bytes = 100}, 2, 100), "xx");
}

TEST(FaultInjectingAllocator, ByRateIsDeterministic) {
  const std::string one = Pattern({.rate = 0.3, .seed = 7}, 1000);
  EXPECT_EQ(one, Pattern({.rate = 0.3, .seed = 7}, 1000));
  EXPECT_NE(one, Pattern({.rate = 0.3, .seed = 8}, 1000));
  const auto failed = std::count(one.begin(), one.end(), 'x');
  EXPECT_GT(failed, 230);
  EXPECT_LT(failed, 370);
  EXPECT_EQ(Pattern({.rate = 0}, 50), std::string(50, '.'));
  EXPECT_EQ(Pattern({.rate = 1}, 50), std::string(50, 'x'));
}

TEST(FaultInjectingAllocator, CopiesAreCountedApart) {
  FaultInjectingAllocator faulty(std::make_unique<CpuAllocator>(), {.every_nth_copy = 2});
  auto a = faulty.Allocate({.size_bytes = 16});
  ASSERT_TRUE(a.ok());
  char bytes[16] = {};
  EXPECT_TRUE(faulty.CopyIn({&*a, 0, 16}, bytes, {}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(faulty.CopyOut(bytes, {&*a, 0, 16}, {}).status()));
  EXPECT_TRUE(faulty.CopyWithin({&*a, 0, 8}, {&*a, 8, 8}, {}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(faulty.Fill({&*a, 0, 16}, {}, {}).status()));
  EXPECT_EQ(faulty.faults(), 2u);
  faulty.SetPlan({.nth_copy = 1});
  EXPECT_FALSE(faulty.Fill({&*a, 0, 16}, {}, {}).ok());
  EXPECT_TRUE(faulty.Fill({&*a, 0, 16}, {}, {}).ok());
  faulty.Deallocate(*a);
}

// Takes advice, and can be asked to wait.
class Advisable final : public Decorator, public AdviceCapability {
 public:
  Advisable() : Decorator(std::make_unique<CpuAllocator>()) {}
  absl::Status Advise(const SubRegion&, Advice) override { return absl::OkStatus(); }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == AdviceCapability::kName) return static_cast<AdviceCapability*>(this);
    return Decorator::FindCapability(name);
  }
};

TEST(FaultInjectingAllocator, OtherCallsAreCountedApart) {
  FaultInjectingAllocator faulty(std::make_unique<Advisable>(), {.every_nth_call = 2});
  auto a = faulty.Allocate({.size_bytes = 16});
  ASSERT_TRUE(a.ok());
  auto* advice = faulty.Capability<AdviceCapability>();
  ASSERT_NE(advice, nullptr);
  EXPECT_TRUE(advice->Advise({&*a, 0, 16}, Advice::kNormal).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(faulty.Synchronize()));
  EXPECT_TRUE(faulty.Fill({&*a, 0, 16}, {}, {}).ok());
  EXPECT_TRUE(faulty.Synchronize().ok());
  const absl::Status refused = advice->Advise({&*a, 0, 16}, Advice::kNormal);
  EXPECT_TRUE(absl::IsResourceExhausted(refused));
  EXPECT_NE(refused.message().find("advice in cpu: call 4"), std::string::npos) << refused;
  EXPECT_EQ(faulty.calls(), 4u);
  EXPECT_EQ(faulty.faults(), 2u);
  faulty.Deallocate(*a);
}

// A scenario over a whole stack, with each allocation and each copy of the
// lowest layer failing once: it ends in a clear error or succeeds, and leaves
// nothing behind.
TEST(FaultInjectingAllocator, SweepOverAStack) {
  for (bool copies : {false, true}) {
    int failures = 0;
    for (uint64_t n = 1;; ++n) {
      std::vector<std::string> report;
      auto faulty = std::make_unique<FaultInjectingAllocator>(
          std::make_unique<CpuAllocator>(),
          copies ? FaultPlan{.nth_copy = n} : FaultPlan{.nth = n});
      FaultInjectingAllocator& below = *faulty;
      auto checked = std::make_unique<DebugFillAllocator>(
          std::make_unique<CachingAllocator>(std::move(faulty),
                                             CachingAllocator::Options{.max_cached_bytes = 5000}),
          DebugFillAllocator::Options{});
      RecordingAllocator top(std::make_unique<LimitingAllocator>(std::move(checked), 100000),
                             {.report = [&](std::string_view line) { report.emplace_back(line); }});
      std::vector<Allocation> made;
      for (uint64_t i = 0; i < 20; ++i) {
        auto a = top.Allocate({.size_bytes = 700 * (1 + i % 5), .zeroed = i % 3 == 0});
        if (!a.ok()) {
          ++failures;
          EXPECT_TRUE(absl::IsResourceExhausted(a.status())) << a.status();
          EXPECT_NE(a.status().message().find("on purpose"), std::string::npos) << a.status();
          continue;
        }
        made.push_back(*a);
        if (i % 2 == 1) {
          top.Deallocate(made.front());
          made.erase(made.begin());
        }
      }
      for (const Allocation& a : made) top.Deallocate(a);
      EXPECT_EQ(top.Stats().in_use_count, 0u);
      top.Trim(0);
      EXPECT_EQ(below.Stats().in_use_count, 0u);
      EXPECT_EQ(below.Stats().reserved_bytes, 0u);
      EXPECT_TRUE(report.empty());
      if (below.faults() == 0) break;
    }
    // Allocations that fail once are tried again by the cache; fills are not.
    if (copies) {
      EXPECT_GT(failures, 10);
    } else {
      EXPECT_EQ(failures, 0);
    }
  }
}

}  // namespace
}  // namespace tenure
