#include "tenure/allocator/cpu/cpu_allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

bool AlignedTo(const void* p, uint64_t alignment) {
  return (reinterpret_cast<uintptr_t>(p) & (alignment - 1)) == 0;
}

// Pages of [data, data + size) that have memory behind them.
uint64_t ResidentPages(const void* data, uint64_t size) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> in((size + page - 1) / page);
  if (mincore(const_cast<void*>(data), size, in.data()) != 0) return ~uint64_t{0};
  uint64_t count = 0;
  for (unsigned char c : in) count += c & 1;
  return count;
}

TEST(CpuAllocator, AlignmentsUpToHugeOnes) {
  CpuAllocator cpu;
  for (uint64_t alignment = 1; alignment <= uint64_t{1} << 36; alignment *= 2) {
    for (uint64_t size : {uint64_t{1}, uint64_t{100}, uint64_t{4160}, 3 * kMiB, 5 * kMiB + 1}) {
      for (bool zeroed : {false, true}) {
        auto a = cpu.Allocate({.size_bytes = size, .alignment_bytes = alignment, .zeroed = zeroed});
        ASSERT_TRUE(a.ok()) << a.status() << " " << alignment;
        ASSERT_TRUE(AlignedTo(a->host, alignment)) << alignment << " " << size;
        ASSERT_TRUE(AlignedTo(a->host, 64));
        ASSERT_GE(a->alignment_bytes, alignment);
        ASSERT_GE(a->reserved_bytes, size);
        auto* bytes = static_cast<unsigned char*>(a->host);
        if (zeroed) {
          ASSERT_EQ(bytes[0], 0);
          ASSERT_EQ(bytes[size - 1], 0);
        }
        bytes[0] = bytes[size - 1] = 0xab;
        cpu.Deallocate(*a);
      }
    }
  }
  EXPECT_EQ(cpu.Stats().reserved_bytes, 0u);
}

TEST(CpuAllocator, SmallBlocksWasteLittle) {
  CpuAllocator cpu;
  for (uint64_t size = 64; size < 128 * 1024; size += size / 3) {
    auto a = cpu.Allocate({.size_bytes = size});
    ASSERT_TRUE(a.ok());
    EXPECT_LE(a->reserved_bytes, size + size / 3 + 64) << size;
    cpu.Deallocate(*a);
  }
  auto page = cpu.Allocate({.size_bytes = 4096});
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->reserved_bytes, 4096u);
  cpu.Deallocate(*page);
}

TEST(CpuAllocator, ZeroedAfterUseByOthers) {
  CpuAllocator cpu;
  for (uint64_t size : {uint64_t{64}, uint64_t{1000}, uint64_t{70000}, 2 * kMiB, 6 * kMiB}) {
    for (int round = 0; round < 4; ++round) {
      auto a = cpu.Allocate({.size_bytes = size, .zeroed = true});
      ASSERT_TRUE(a.ok());
      auto* bytes = static_cast<unsigned char*>(a->host);
      uint64_t wrong = 0;
      for (uint64_t i = 0; i < size; ++i) wrong += bytes[i] != 0;
      ASSERT_EQ(wrong, 0u) << size;
      std::memset(bytes, 0xff, size);
      cpu.Deallocate(*a);
    }
  }
}

TEST(CpuAllocator, ZeroedSlabsAreNotTouched) {
  CpuAllocator cpu;
  const uint64_t size = 256 * kMiB;
  auto a = cpu.Allocate({.size_bytes = size, .zeroed = true});
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(ResidentPages(a->host, size), 0u);
  cpu.Deallocate(*a);
}

TEST(CpuAllocator, SlabsAdviseHugePages) {
  for (bool wanted : {false, true}) {
    CpuAllocator cpu({.huge_pages = wanted});
    auto a = cpu.Allocate({.size_bytes = 8 * kMiB});
    ASSERT_TRUE(a.ok());
    // "hg" among the flags of the mapping that starts there.
    char start[32];
    std::snprintf(start, sizeof(start), "%lx-", reinterpret_cast<unsigned long>(a->host));
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    bool in_it = false;
    bool advised = false;
    while (std::getline(maps, line)) {
      if (line.find("-") != line.npos && line.find(" ") > line.find("-") &&
          std::isxdigit(static_cast<unsigned char>(line[0])) != 0) {
        in_it = line.rfind(start, 0) == 0;
      }
      if (in_it && line.rfind("VmFlags:", 0) == 0) advised = line.find(" hg") != line.npos;
    }
    EXPECT_EQ(advised, wanted);
    cpu.Deallocate(*a);
  }
}

TEST(CpuAllocator, SizesBeyondReasonAreRefusedWithAReason) {
  CpuAllocator cpu;
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  for (uint64_t size : {most, most - 1, most - 63, most - 4096, most / 2, most / 2 + 1,
                        uint64_t{1} << 60, uint64_t{1} << 48}) {
    for (uint64_t alignment : {uint64_t{0}, uint64_t{64}, uint64_t{1} << 40, uint64_t{1} << 63}) {
      auto a = cpu.Allocate({.size_bytes = size, .alignment_bytes = alignment, .name = "kv"});
      ASSERT_FALSE(a.ok());
      EXPECT_TRUE(absl::IsResourceExhausted(a.status())) << a.status();
      EXPECT_NE(a.status().message().find("'kv'"), std::string::npos);
      EXPECT_NE(a.status().message().find(std::to_string(size)), std::string::npos);
    }
  }
  auto a = cpu.Allocate({.size_bytes = 1, .alignment_bytes = uint64_t{1} << 63});
  EXPECT_TRUE(absl::IsResourceExhausted(a.status())) << a.status();
  EXPECT_EQ(cpu.Stats().failure_count, 33u);
  EXPECT_EQ(cpu.Stats().in_use_count, 0u);
}

TEST(CpuAllocator, SizesBeyondReasonAreRefusedWithoutSlabsToo) {
  CpuAllocator cpu({.slab_bytes = SpaceTraits::kUnlimited});
  for (const uint64_t size : {~uint64_t{0} - 7, ~uint64_t{0} - 63, ~uint64_t{0}, uint64_t{1} << 63,
                              (uint64_t{1} << 63) - 1, uint64_t{1} << 62}) {
    for (const uint64_t alignment : {0, 64, 4096, 1 << 20, 1 << 21}) {
      auto made = cpu.Allocate({.size_bytes = size, .alignment_bytes = alignment});
      EXPECT_TRUE(absl::IsResourceExhausted(made.status())) << size << ", " << alignment;
    }
  }
  auto made = cpu.Allocate({.size_bytes = 64 * kMiB});
  ASSERT_TRUE(made.ok()) << made.status();
  cpu.Deallocate(*made);
}

TEST(CpuAllocator, ForeignMemoryIsReleasedOnceAfterItsFences) {
  CpuAllocator cpu;
  alignas(64) char bytes[100] = "hello";
  int released = 0;
  auto a = cpu.Allocate(
      {.size_bytes = 100, .foreign = ForeignMemory{bytes, false, [&] { ++released; }}});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->host, bytes);
  EXPECT_TRUE(a->imported);
  EXPECT_EQ(a->reserved_bytes, 0u);
  auto timeline = std::make_shared<HostTimeline>();
  const Fence users[] = {Fence(timeline, 2), Fence(timeline, 1)};
  cpu.Deallocate(*a, users);
  cpu.Poll();
  EXPECT_EQ(released, 0);
  timeline->Signal(1);
  cpu.Poll();
  EXPECT_EQ(released, 0);
  timeline->Signal(2);
  cpu.Poll();
  EXPECT_EQ(released, 1);
  cpu.Poll();
  EXPECT_EQ(released, 1);
}

TEST(CpuAllocator, ForeignMemoryIsReleasedOnceByRacingPolls) {
  CpuAllocator cpu;
  std::atomic<int> released{0};
  auto timeline = std::make_shared<HostTimeline>();
  char byte = 0;
  for (int i = 0; i < 200; ++i) {
    auto a = cpu.Allocate(
        {.size_bytes = 1, .foreign = ForeignMemory{&byte, false, [&] { ++released; }}});
    ASSERT_TRUE(a.ok()) << a.status();
    const Fence users[] = {Fence(timeline, 1 + static_cast<uint64_t>(i))};
    cpu.Deallocate(*a, users);
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (uint64_t i = 0; i <= 200; ++i) {
        timeline->Signal(i);
        cpu.Poll();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  cpu.Poll();
  EXPECT_EQ(released, 200);
}

TEST(CpuAllocator, ForeignMemoryIsCheckedAndMayBeReadOnly) {
  CpuAllocator cpu;
  alignas(64) static const char bytes[64] = {1, 2, 3};
  auto* data = const_cast<char*>(bytes);
  EXPECT_TRUE(absl::IsInvalidArgument(
      cpu.Allocate({.size_bytes = 8, .alignment_bytes = 64, .foreign = ForeignMemory{data + 1}})
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cpu.Allocate({.size_bytes = 8, .foreign = ForeignMemory{nullptr}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cpu.Allocate({.size_bytes = 8, .zeroed = true, .foreign = ForeignMemory{data}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      cpu.Allocate({.size_bytes = ~uint64_t{0}, .foreign = ForeignMemory{data}}).status()));
  auto odd = cpu.Allocate({.size_bytes = 8, .foreign = ForeignMemory{data + 1, true}});
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_EQ(odd->alignment_bytes, 1u);
  EXPECT_TRUE(odd->read_only);
  char to[8] = {};
  EXPECT_TRUE(absl::IsFailedPrecondition(cpu.CopyIn({&*odd, 0, 8}, to, {}).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(cpu.Fill({&*odd, 0, 8}, {}, {}).status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(cpu.CopyWithin({&*odd, 0, 4}, {&*odd, 4, 4}, {}).status()));
  ASSERT_TRUE(cpu.CopyOut(to, {&*odd, 0, 8}, {}).ok());
  EXPECT_EQ(to[0], 2);
  cpu.Deallocate(*odd);
  auto nothing = cpu.Allocate({.size_bytes = 0, .foreign = ForeignMemory{}});
  ASSERT_TRUE(nothing.ok()) << nothing.status();
  cpu.Deallocate(*nothing);
}

TEST(CpuAllocator, DestroyedTooEarlySaysSoAndLeavesTheBytes) {
  Allocation out;
  testing::internal::CaptureStderr();
  {
    CpuAllocator cpu;
    out = *cpu.Allocate({.size_bytes = 5 * kMiB, .zeroed = true});
    auto timeline = std::make_shared<HostTimeline>();
    char byte = 0;
    auto b = cpu.Allocate({.size_bytes = 1, .foreign = ForeignMemory{&byte, false, [] {}}});
    const Fence users[] = {Fence(timeline, 1)};
    cpu.Deallocate(*b, users);
  }
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("1 allocations of 5242880 bytes are out"), std::string::npos) << said;
  EXPECT_NE(said.find("wait for fences"), std::string::npos) << said;
  EXPECT_EQ(static_cast<char*>(out.host)[5 * kMiB - 1], 0);  // still there
  munmap(out.host, out.reserved_bytes);
}

}  // namespace
}  // namespace tenure
