#include "tenure/allocator/memory_space.h"

#include <string>

#include "gtest/gtest.h"

namespace tenure {
namespace {

TEST(MemorySpace, ParsesWhatItPrints) {
  for (std::string text :
       {"cpu", "null", "disk:/a/b c:d", "disk:relative", "cuda:0", "cuda:7", "cuda-unified:1",
        "cuda-pinned:0", "vulkan:3", "vulkan-upload:0", "vulkan-readback:4294967295"}) {
    auto space = MemorySpace::Parse(text);
    ASSERT_TRUE(space.ok()) << space.status();
    EXPECT_EQ(space->ToString(), text);
    EXPECT_EQ(*MemorySpace::Parse(space->ToString()), *space);
  }
  EXPECT_EQ(MemorySpace::Parse("cuda")->ToString(), "cuda:0");
  EXPECT_EQ(*MemorySpace::Parse("disk:/x"), MemorySpace::Disk("/x"));
  EXPECT_EQ(MemorySpace::Parse("disk:a:b")->path(), "a:b");
  EXPECT_EQ(*MemorySpace::Parse("vulkan:2"), MemorySpace::Device(SpaceKind::kVulkan, 2));
  EXPECT_EQ(MemorySpace(), MemorySpace::Cpu());
}

TEST(MemorySpace, RefusesTheRestAndSaysWhatThereIs) {
  for (std::string text : {"", "CPU", "cpu:", "cpu:0", "disk", "disk:", "null:1",
                           "cuda:", "cuda:-1", "cuda:+1", "cuda: 1", "cuda:1x", "cuda:4294967296",
                           "cuda:99999999999999999999", "cudax", " cpu", "cpu "}) {
    auto space = MemorySpace::Parse(text);
    ASSERT_TRUE(absl::IsInvalidArgument(space.status())) << text;
    EXPECT_NE(space.status().message().find("vulkan-readback:N"), std::string::npos);
    EXPECT_NE(space.status().message().find("'" + text + "'"), std::string::npos);
  }
  EXPECT_FALSE(MemorySpace::Parse(std::string("disk:/a\0b", 9)).ok());
}

}  // namespace
}  // namespace tenure
