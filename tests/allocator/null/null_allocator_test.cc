#include "tenure/allocator/null/null_allocator.h"

#include <string>

#include "gtest/gtest.h"

namespace tenure {
namespace {

constexpr uint64_t kTiB = uint64_t{1} << 40;

TEST(NullAllocator, TerabytesOfNothing) {
  NullAllocator null;
  auto one = null.Allocate({.size_bytes = 900 * kTiB, .alignment_bytes = 1 << 20});
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->host, nullptr);
  EXPECT_EQ(one->device_address, 0u);
  EXPECT_EQ(one->native_handle, 0u);
  EXPECT_EQ(one->alignment_bytes, 1u << 20);
  EXPECT_EQ(null.Stats().in_use_bytes, 900 * kTiB);
  null.Deallocate(*one);
  EXPECT_EQ(null.Stats().reserved_bytes, 0u);
}

TEST(NullAllocator, SumsThatNeedMoreThan64BitsAreRefused) {
  NullAllocator null;
  auto half = null.Allocate({.size_bytes = uint64_t{1} << 63});
  ASSERT_TRUE(half.ok());
  EXPECT_TRUE(absl::IsResourceExhausted(null.Allocate({.size_bytes = uint64_t{1} << 63}).status()));
  null.Deallocate(*half);
}

TEST(NullAllocator, PlaysAnyDevice) {
  SpaceTraits traits;
  traits.max_allocation_bytes = 1000;
  traits.min_alignment_bytes = 256;
  NullAllocator device(traits, *MemorySpace::Parse("vulkan:3"));
  EXPECT_EQ(device.space().ToString(), "vulkan:3");
  EXPECT_FALSE(device.traits().has_bytes);
  EXPECT_FALSE(device.traits().host_readable);
  auto fits = device.Allocate({.size_bytes = 1000});
  ASSERT_TRUE(fits.ok());
  EXPECT_EQ(fits->alignment_bytes, 256u);
  auto beyond = device.Allocate({.size_bytes = 1001, .name = "logits"});
  EXPECT_TRUE(absl::IsResourceExhausted(beyond.status()));
  for (const char* word : {"logits", "1001", "1000 bytes", "vulkan:3"}) {
    EXPECT_NE(beyond.status().message().find(word), std::string::npos) << beyond.status();
  }
  device.Deallocate(*fits);
}

TEST(NullAllocator, CopiesSayWhyNot) {
  NullAllocator null;
  auto a = null.Allocate({.size_bytes = 10});
  ASSERT_TRUE(a.ok());
  char bytes[10];
  for (const absl::Status& status : {null.CopyIn({&*a, 0, 10}, bytes, {}).status(),
                                     null.CopyOut(bytes, {&*a, 0, 10}, {}).status(),
                                     null.CopyWithin({&*a, 0, 5}, {&*a, 5, 5}, {}).status(),
                                     null.Fill({&*a, 0, 10}, {}, {}).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(status.message().find("use 'cpu'"), std::string::npos) << status;
  }
  null.Deallocate(*a);
}

}  // namespace
}  // namespace tenure
