#include "tenure/allocator/decorators/decorator.h"

#include <memory>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/limiting.h"

namespace tenure {
namespace {

// Takes advice, and remembers on which address.
class Advised final : public Decorator, public AdviceCapability {
 public:
  Advised(std::unique_ptr<Allocator> upstream, std::vector<const void*>& seen)
      : Decorator(std::move(upstream)), seen_(seen) {}
  absl::Status Advise(const SubRegion& region, Advice) override {
    seen_.push_back(region.host());
    return absl::OkStatus();
  }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == AdviceCapability::kName) return static_cast<AdviceCapability*>(this);
    return Decorator::FindCapability(name);
  }

 private:
  std::vector<const void*>& seen_;
};

struct Unknown {
  static constexpr std::string_view kName = "something else";
};

TEST(Decorator, AdviceGoesDownToTheRightBytes) {
  std::vector<const void*> seen;
  auto advised = std::make_unique<Advised>(std::make_unique<CpuAllocator>(), seen);
  CachingAllocator top(std::make_unique<DebugFillAllocator>(
                           std::make_unique<LimitingAllocator>(std::move(advised), 1 << 20),
                           DebugFillAllocator::Options{}),
                       {});
  auto a = top.Allocate({.size_bytes = 100});
  ASSERT_TRUE(a.ok());
  auto* advise = top.Capability<AdviceCapability>();
  ASSERT_NE(advise, nullptr);
  ASSERT_TRUE(advise->Advise({&*a, 10, 20}, Advice::kWillNeed).ok());
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0], static_cast<std::byte*>(a->host) + 10);
  EXPECT_EQ(top.Capability<Unknown>(), nullptr);
  EXPECT_EQ(top.Capability<FileCapability>(), nullptr);
  EXPECT_NE(top.Capability<ForeignMemoryCapability>(), nullptr);
  top.Deallocate(*a);
}

TEST(Decorator, WhatStillWaitsGoesToTheUpstreamAtTheEnd) {
  testing::internal::CaptureStderr();
  auto timeline = std::make_shared<HostTimeline>();
  {
    LimitingAllocator top(std::make_unique<CachingAllocator>(
                              std::make_unique<DebugFillAllocator>(std::make_unique<CpuAllocator>(),
                                                                   DebugFillAllocator::Options{}),
                              CachingAllocator::Options{}),
                          1 << 20);
    auto a = top.Allocate({.size_bytes = 100});
    ASSERT_TRUE(a.ok());
    const Fence users[] = {Fence(timeline, 1)};
    top.Deallocate(*a, users);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("1 freed allocations"), std::string::npos) << said;
  EXPECT_EQ(said.find("are out"), std::string::npos) << said;
}

}  // namespace
}  // namespace tenure
