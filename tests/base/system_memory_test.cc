#include "tenure/base/system_memory.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace tenure::host {
namespace {

class SystemMemoryTest : public testing::Test {
 protected:
  SystemMemoryTest() : root_(testing::TempDir() + "/" + Name()) {
    std::filesystem::remove_all(root_);
  }
  static std::string Name() {
    return testing::UnitTest::GetInstance()->current_test_info()->name();
  }
  void Write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_ + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void WriteMeminfo() {
    Write("/proc/meminfo", "MemTotal:       1000 kB\nMemFree:  5 kB\nMemAvailable:    700 kB\n");
  }
  const std::string root_;
};

TEST_F(SystemMemoryTest, IsWhatTheSystemSays) {
  WriteMeminfo();
  EXPECT_EQ(ReadSystemMemory(root_).total_bytes, 1000u * 1024);
  EXPECT_EQ(ReadSystemMemory(root_).available_bytes, 700u * 1024);
}

TEST_F(SystemMemoryTest, IsWhatTheNarrowestGroupLeaves) {
  WriteMeminfo();
  Write("/proc/self/cgroup", "0::/jobs/mine\n");
  Write("/sys/fs/cgroup/jobs/mine/memory.max", "max\n");
  Write("/sys/fs/cgroup/jobs/mine/memory.current", "100000\n");
  Write("/sys/fs/cgroup/jobs/memory.max", "500000\n");
  Write("/sys/fs/cgroup/jobs/memory.current", "400000\n");
  Write("/sys/fs/cgroup/jobs/memory.stat", "anon 1\ninactive_file 20000\nactive_file 3000\n");
  EXPECT_EQ(ReadSystemMemory(root_).total_bytes, 500000u);
  EXPECT_EQ(ReadSystemMemory(root_).available_bytes, 123000u);
  // Used beyond a limit that was lowered.
  Write("/sys/fs/cgroup/jobs/memory.max", "300000\n");
  EXPECT_EQ(ReadSystemMemory(root_).available_bytes, 0u);
}

TEST_F(SystemMemoryTest, KnowsGroupsOfTheFirstVersion) {
  WriteMeminfo();
  Write("/proc/self/cgroup", "5:memory:/docker/abc\n0::/\n");
  Write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "600000\n");
  Write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");
  Write("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 50000\n");
  EXPECT_EQ(ReadSystemMemory(root_).available_bytes, 550000u);
}

TEST_F(SystemMemoryTest, WhatIsNotThereIsNoLimit) {
  EXPECT_EQ(ReadSystemMemory(root_).available_bytes, ~uint64_t{0});
}

TEST_F(SystemMemoryTest, OfThisMachine) {
  const SystemMemory memory = ReadSystemMemory();
  EXPECT_GT(memory.available_bytes, 0u);
  EXPECT_LE(memory.available_bytes, memory.total_bytes);
}

}  // namespace
}  // namespace tenure::host
