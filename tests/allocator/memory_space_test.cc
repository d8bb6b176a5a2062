#include "tenure/allocator/memory_space.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "gtest/gtest.h"
#include "tenure/allocator/cuda/spaces.h"

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
  EXPECT_EQ(*MemorySpace::Parse("cuda-pinned:2"), MemorySpace::Device(cuda::kPinnedSpace, 2));
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

TEST(SpaceKind, ReservedNamesAreThoseOfTheDrivers) {
  for (const SpaceKind kind : {kCpuSpace, kDiskSpace, kNullSpace, cuda::kDeviceSpace,
                               cuda::kUnifiedSpace, cuda::kPinnedSpace}) {
    EXPECT_NE(std::find(std::begin(kReservedSpaces), std::end(kReservedSpaces), kind.declaration()),
              std::end(kReservedSpaces))
        << kind;
  }
}

TEST(SpaceKind, IsDeclaredUnderOneName) {
  const SpaceKind::Declaration attic{"attic", SpaceKind::Form::kPath, "house"};
  EXPECT_FALSE(MemorySpace::Parse("attic:/roof").ok());
  const SpaceKind kind = *SpaceKind::Declare(attic);
  EXPECT_EQ(*SpaceKind::Declare(attic), kind);
  EXPECT_EQ(kind.driver(), "house");
  const MemorySpace space = *MemorySpace::Parse("attic:/roof");
  EXPECT_EQ(space, MemorySpace::AtPath(kind, "/roof"));
  EXPECT_EQ(space.ToString(), "attic:/roof");
  EXPECT_NE(MemorySpace::Parse("cellar").status().message().find("attic:/path"), std::string::npos);

  using Form = SpaceKind::Form;
  EXPECT_TRUE(absl::IsAlreadyExists(SpaceKind::Declare({"attic", Form::kPath, "hut"}).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(SpaceKind::Declare({"cpu", Form::kOrdinal, "host"}).status()));
  for (const char* name : {"", "a:b", "a b", "A", "a\n"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SpaceKind::Declare({name, Form::kPlain, "x"}).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(SpaceKind::Declare({"x", Form::kPlain, name}).status()));
  }
}

}  // namespace
}  // namespace tenure
