#include "tenure/allocator/decorators/decorator.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/tests/testing/status_matchers.h"

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

// Refuses the transfers from number `refused` on, and counts them.
class Admitting final : public Decorator {
 public:
  explicit Admitting(std::unique_ptr<Allocator> upstream, int refused = 1000)
      : Decorator(std::move(upstream)), refused_(refused) {}
  int admitted() const { return admitted_; }
  int ended() const { return ended_; }
  int failed() const { return failed_; }

 protected:
  absl::Status BeforeTransfer(TransferKind, const SubRegion&) override {
    if (admitted_ + 1 >= refused_) return absl::UnavailableError("not now");
    ++admitted_;
    return absl::OkStatus();
  }
  void AfterTransfer(TransferKind, const SubRegion&, const absl::Status& status) override {
    ++ended_;
    if (!status.ok()) ++failed_;
  }

 private:
  const int refused_;
  int admitted_ = 0, ended_ = 0, failed_ = 0;
};

TEST(Decorator, WhatItAdmittedEndsThoughTheUpstreamRefuses) {
  Admitting top(std::make_unique<Admitting>(std::make_unique<CpuAllocator>(), 1));
  auto a = top.Allocate({.size_bytes = 8});
  ASSERT_OK(a);
  EXPECT_EQ(top.AdmitTransfer(TransferKind::kIn, {&*a, 0, 8}).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(top.admitted(), 1);
  EXPECT_EQ(top.failed(), 1);
  top.Deallocate(*a);
}

TEST(Decorator, WhatItAdmittedEndsThoughTheOtherEndRefuses) {
  Admitting from(std::make_unique<CpuAllocator>());
  Admitting to(std::make_unique<CpuAllocator>(), 1);
  auto a = from.Allocate({.size_bytes = 8, .zeroed = true});
  auto b = to.Allocate({.size_bytes = 8});
  ASSERT_OK(a);
  ASSERT_OK(b);
  const CopyEnd source{&from, {&*a, 0, 8}}, target{&to, {&*b, 0, 8}};
  EXPECT_EQ(CopyTable::Default().Copy(target, source, {}).status().code(),
            absl::StatusCode::kUnavailable);
  EXPECT_EQ(from.admitted(), 1);
  EXPECT_EQ(from.failed(), 1);
  EXPECT_EQ(to.ended(), 0);
  from.Deallocate(*a);
  to.Deallocate(*b);
}

// Accepts batches, and does nothing.
// Leaves every copy to the default route.
class UnableRoute final : public CopyRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd&, const CopyEnd&, const CopyOptions&) override {
    return absl::UnimplementedError("not these two, says a test's route");
  }
};

TEST(Decorator, ACopyThatARouteLeavesToOthersIsSeenOnce) {
  CopyTable table;
  table.Register("host", "host", std::make_shared<UnableRoute>());
  Admitting a(std::make_unique<CpuAllocator>());
  Admitting b(std::make_unique<CpuAllocator>());
  a.BindCopyTable(&table);
  const Allocation to = *a.Allocate({.size_bytes = 64});
  const Allocation from = *b.Allocate({.size_bytes = 64, .zeroed = true});
  std::memset(to.host, 1, 64);
  ASSERT_TRUE(table.Copy({&a, {&to, 0, 64}}, {&b, {&from, 0, 64}}, {}).ok());
  EXPECT_EQ(static_cast<const char*>(to.host)[63], 0);
  for (const Admitting* end : {&a, &b}) {
    EXPECT_EQ(end->admitted(), 1);
    EXPECT_EQ(end->ended(), 1);
    EXPECT_EQ(end->failed(), 0);
  }
  a.Deallocate(to);
  b.Deallocate(from);
}

class Batching final : public Decorator, public BatchCapability {
 public:
  using Decorator::Decorator;
  absl::Status CopyInMany(absl::Span<const In>) override { return absl::OkStatus(); }
  absl::Status CopyOutMany(absl::Span<const Out>) override { return absl::OkStatus(); }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == BatchCapability::kName) return static_cast<BatchCapability*>(this);
    return Decorator::FindCapability(name);
  }
};

TEST(Decorator, PartsThatItAdmittedEndThoughALaterOneIsRefused) {
  for (const int refused : {3, 1000}) {
    Admitting top(std::make_unique<Batching>(std::make_unique<CpuAllocator>()), refused);
    auto a = top.Allocate({.size_bytes = 9});
    ASSERT_OK(a);
    std::byte bytes[9] = {};
    const BatchCapability::In in[] = {
        {{&*a, 0, 3}, bytes}, {{&*a, 3, 3}, bytes}, {{&*a, 6, 3}, bytes}};
    const absl::Status status = top.Capability<BatchCapability>()->CopyInMany(in);
    EXPECT_EQ(status.ok(), refused > 3);
    EXPECT_EQ(top.admitted(), refused > 3 ? 3 : 2);
    EXPECT_EQ(top.ended(), top.admitted());
    EXPECT_EQ(top.failed(), refused > 3 ? 0 : 2);
    top.Deallocate(*a);
  }
}

}  // namespace
}  // namespace tenure
