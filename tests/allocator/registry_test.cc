#include "tenure/allocator/registry.h"

#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/builtin/builtin.h"
#include "tenure/allocator/null/null_allocator.h"

namespace tenure {
namespace {

TEST(Registry, KnowsWhatIsBuiltIn) {
  Registry registry;
  for (const char* name : {"cpu", "null"}) {
    const MemorySpace space = *MemorySpace::Parse(name);
    auto allocator = registry.Get(space);
    ASSERT_TRUE(allocator.ok()) << allocator.status();
    EXPECT_EQ((*allocator)->space(), space);
    EXPECT_EQ(*registry.Get(space), *allocator);
  }
  EXPECT_EQ(registry.Allocators().size(), 2u);
  EXPECT_EQ(*Registry::Default().Get(MemorySpace::Cpu()),
            *Registry::Default().Get(MemorySpace::Cpu()));
}

TEST(Registry, SaysWhatIsNotThere) {
  Registry registry;
  for (const char* name : {"vulkan", "vulkan-upload", "vulkan-readback"}) {
    const MemorySpace space = *MemorySpace::Parse(name);
    registry.SetFactory(space.kind(), nullptr);
    auto allocator = registry.Get(space);
    ASSERT_TRUE(absl::IsUnimplemented(allocator.status())) << allocator.status();
    EXPECT_NE(allocator.status().message().find(space.ToString()), std::string::npos);
    EXPECT_NE(allocator.status().message().find("disk:/path"), std::string::npos);
  }
  EXPECT_TRUE(registry.Allocators().empty());
  EXPECT_TRUE(absl::IsUnimplemented(Registry::MakeEmpty()->Get(MemorySpace::Cpu()).status()));
}

TEST(Registry, BuiltinDriversAreAddedOnceToAnyRegistry) {
  std::unique_ptr<Registry> registry = Registry::MakeEmpty();
  EXPECT_TRUE(registry->Kinds().empty());
  ASSERT_TRUE(AddBuiltinDrivers(*registry).ok());
  EXPECT_EQ(registry->Kinds(), Registry().Kinds());
  EXPECT_EQ(registry->Kinds().size(), std::size(kReservedSpaces));
  EXPECT_TRUE(registry->Get(MemorySpace::Cpu()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(AddBuiltinDrivers(*registry)));
}

TEST(Registry, DevicesAreThoseOfTheDriver) {
  Registry registry;
  EXPECT_TRUE(registry.Devices("host")->empty());
  EXPECT_TRUE(absl::IsNotFound(registry.Devices("toy").status()));
  const auto devices = registry.Devices("cuda");
  EXPECT_EQ(devices.ok(), devices.ok() && !devices->empty());
}

TEST(Registry, FactoriesThatAreTakenAwayAreGone) {
  Registry registry;
  registry.SetFactory(kNullSpace, nullptr);
  const absl::Status status = registry.Get(MemorySpace::Null()).status();
  EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
  EXPECT_EQ(status.message().find(", null"), std::string::npos) << status;
}

TEST(Registry, DevicesThatAreNotThereAreUnavailable) {
  Registry registry;
  for (const char* name : {"cuda:77", "cuda-unified:77", "cuda-pinned:77", "vulkan:77",
                           "vulkan-upload:77", "vulkan-readback:77"}) {
    const absl::Status status = registry.Get(*MemorySpace::Parse(name)).status();
    // Unimplemented where this was built without the CUDA Toolkit.
    EXPECT_TRUE(absl::IsUnavailable(status) || absl::IsUnimplemented(status)) << status;
    EXPECT_GT(status.message().size(), 40u);
  }
}

TEST(Registry, MissingFilesAreTriedAgain) {
  Registry registry;
  const MemorySpace space = MemorySpace::Disk(testing::TempDir() + "/registry_none");
  for (int i = 0; i < 2; ++i) {
    auto allocator = registry.Get(space);
    EXPECT_TRUE(absl::IsNotFound(allocator.status())) << allocator.status();
    EXPECT_NE(allocator.status().message().find(space.path()), std::string::npos);
  }
}

void WriteText(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".fresh";
  std::ofstream(fresh, std::ios::binary) << text;
  ASSERT_EQ(std::rename(fresh.c_str(), path.c_str()), 0);
}

std::string FirstBytes(Allocator& disk, uint64_t size) {
  auto window = disk.Allocate({.size_bytes = size, .file = FileWindow{0}});
  if (!window.ok()) return std::string(window.status().message());
  std::string text(static_cast<const char*>(window->host), size);
  disk.Deallocate(*window);
  return text;
}

TEST(Registry, AFileThatWasReplacedIsMappedAgain) {
  Registry registry;
  const MemorySpace space = MemorySpace::Disk(testing::TempDir() + "/registry_replaced");
  WriteText(space.path(), "old");
  Allocator* const old = *registry.Get(space);
  EXPECT_EQ(*registry.Get(space), old);
  WriteText(space.path(), "new");
  Allocator* const fresh = *registry.Get(space);
  EXPECT_NE(fresh, old);
  EXPECT_EQ(*registry.Get(space), fresh);
  EXPECT_EQ(FirstBytes(*fresh, 3), "new");
  EXPECT_EQ(FirstBytes(*old, 3), "old") << "who has it keeps the old bytes";
  std::ofstream(space.path(), std::ios::app) << "er";
  EXPECT_EQ(FirstBytes(**registry.Get(space), 5), "newer");
  ASSERT_EQ(unlink(space.path().c_str()), 0);
  EXPECT_TRUE(registry.Get(space).ok()) << "without another file, the bytes that are mapped stay";
}

TEST(Registry, SpacesThatNobodyUsesCanBeDropped) {
  Registry registry;
  const MemorySpace space = MemorySpace::Disk(testing::TempDir() + "/registry_dropped");
  EXPECT_TRUE(absl::IsNotFound(registry.Drop(space)));
  WriteText(space.path(), "old");
  Allocator* const old = *registry.Get(space);
  auto window = old->Allocate({.size_bytes = 3, .file = FileWindow{0}});
  ASSERT_TRUE(window.ok()) << window.status();
  WriteText(space.path(), "new");
  ASSERT_NE(*registry.Get(space), old);
  EXPECT_EQ(registry.Allocators().size(), 2u);
  // The one in use stays.
  EXPECT_TRUE(absl::IsFailedPrecondition(registry.Drop(space)));
  EXPECT_EQ(registry.Allocators(), std::vector<Allocator*>{old});
  EXPECT_EQ(*static_cast<const char*>(window->host), 'o');
  old->Deallocate(*window);
  EXPECT_EQ(registry.Drop(space), absl::OkStatus());
  EXPECT_TRUE(registry.Allocators().empty());
  EXPECT_EQ(FirstBytes(**registry.Get(space), 3), "new");
}

TEST(Registry, DroppedFilesGiveTheirDescriptorsBack) {
  Registry registry;
  const std::string path = testing::TempDir() + "/registry_many_";
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  for (int i = 0; i < 200; ++i) {
    const MemorySpace space = MemorySpace::Disk(path + std::to_string(i));
    WriteText(space.path(), "text");
    const auto disk = registry.Get(space);
    ASSERT_TRUE(disk.ok()) << disk.status();
    EXPECT_EQ(FirstBytes(**disk, 4), "text");
    EXPECT_TRUE(registry.Drop(space).ok());
    unlink(space.path().c_str());
  }
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(Registry, UsersAllocatorsComeFirstOrNotAtAll) {
  Registry registry;
  const MemorySpace space = *MemorySpace::Parse("cuda:2");
  auto mine =
      registry.Register(std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), space));
  ASSERT_TRUE(mine.ok()) << mine.status();
  EXPECT_EQ(*registry.Get(space), *mine);
  EXPECT_TRUE(absl::IsAlreadyExists(
      registry.Register(std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), space))
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(registry.Register(nullptr).status()));
  ASSERT_TRUE(registry.Get(MemorySpace::Null()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(registry.Register(std::make_unique<NullAllocator>()).status()));
}

TEST(Registry, RacingThreadsGetOneAllocator) {
  for (int round = 0; round < 5; ++round) {
    Registry registry;
    std::atomic<int> made{0};
    const MemorySpace space = *MemorySpace::Parse("vulkan:0");
    registry.SetFactory(space.kind(), [&](const MemorySpace& asked) {
      ++made;
      std::this_thread::yield();
      return std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), asked);
    });
    std::vector<Allocator*> got(64);
    std::vector<std::thread> threads;
    for (Allocator*& mine : got) {
      threads.emplace_back([&] { mine = *registry.Get(space); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(made, 1);
    for (Allocator* mine : got) EXPECT_EQ(mine, got[0]);
  }
}

TEST(Registry, FactoriesMayFailAndMayAskTheRegistry) {
  Registry registry;
  int calls = 0;
  const MemorySpace space = *MemorySpace::Parse("cuda-pinned:0");
  registry.SetFactory(
      space.kind(), [&](const MemorySpace& asked) -> absl::StatusOr<std::unique_ptr<Allocator>> {
        if (++calls == 1) return absl::UnavailableError("no driver yet");
        if (calls == 2) return std::unique_ptr<Allocator>();
        EXPECT_TRUE(registry.Get(MemorySpace::Cpu()).ok());
        return std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), asked);
      });
  EXPECT_TRUE(absl::IsUnavailable(registry.Get(space).status()));
  EXPECT_TRUE(absl::IsInternal(registry.Get(space).status()));
  EXPECT_TRUE(registry.Get(space).ok());
  EXPECT_EQ(calls, 3);
}

TEST(Registry, AFactoryThatThrowsIsAskedAgain) {
  Registry registry;
  int calls = 0;
  const MemorySpace space = *MemorySpace::Parse("cuda-pinned:0");
  registry.SetFactory(space.kind(), [&](const MemorySpace& asked) {
    if (++calls == 1) throw std::bad_alloc();
    return std::make_unique<NullAllocator>(NullAllocator::DefaultTraits(), asked);
  });
  EXPECT_THROW(registry.Get(space).IgnoreError(), std::bad_alloc);
  EXPECT_TRUE(registry.Get(space).ok());
}

}  // namespace
}  // namespace tenure
