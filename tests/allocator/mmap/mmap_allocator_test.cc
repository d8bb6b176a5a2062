#include "tenure/allocator/mmap/mmap_allocator.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tenure {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;

std::byte At(uint64_t i) { return static_cast<std::byte>((i * 2654435761u) >> 11); }

// A file in the test's folder, removed at the end.
class TestFile {
 public:
  explicit TestFile(uint64_t size, bool filled = true)
      : path(testing::TempDir() + "/mmap_test_" + std::to_string(++count_)) {
    std::ofstream out(path, std::ios::binary);
    if (filled) {
      std::string bytes(size, '\0');
      for (uint64_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(At(i));
      out << bytes;
    }
    out.close();
    if (!filled) Resize(size);
  }
  ~TestFile() { unlink(path.c_str()); }
  void Resize(uint64_t size) const {
    ASSERT_EQ(truncate(path.c_str(), static_cast<off_t>(size)), 0);
  }

  const std::string path;

 private:
  static inline int count_ = 0;
};

std::unique_ptr<MmapAllocator> Open(const TestFile& file) {
  auto disk = MmapAllocator::Open(file.path);
  EXPECT_TRUE(disk.ok()) << disk.status();
  return *std::move(disk);
}

TEST(MmapAllocator, APathWithAZeroByteNamesNoFile) {
  const TestFile file(8);
  using std::string_literals::operator""s;
  const auto opened = MmapAllocator::Open(file.path + "\0.safetensors"s);
  EXPECT_TRUE(absl::IsInvalidArgument(opened.status())) << opened.status();
}

Allocation Window(MmapAllocator& disk, uint64_t offset, uint64_t size) {
  auto window = disk.Allocate({.size_bytes = size, .file = FileWindow{offset}});
  EXPECT_TRUE(window.ok()) << window.status();
  return window.ok() ? *window : Allocation();
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0;
  uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST(MmapAllocator, WindowsShareOneMapping) {
  const TestFile file(10000);
  auto disk = Open(file);
  EXPECT_EQ(disk->space().ToString(), "disk:" + file.path);
  const Allocation one = Window(*disk, 0, 10000);
  const Allocation two = Window(*disk, 777, 5);
  EXPECT_EQ(static_cast<std::byte*>(two.host), static_cast<std::byte*>(one.host) + 777);
  EXPECT_EQ(two.alignment_bytes, 1u);
  const Allocation three = Window(*disk, 4096 + 8, 5);
  EXPECT_EQ(three.alignment_bytes, 8u);
  EXPECT_EQ(two.native_offset, 777u);
  EXPECT_EQ(two.native_size, 10000u);
  auto aligned = disk->Allocate({.size_bytes = 5, .alignment_bytes = 64, .file = FileWindow{777}});
  EXPECT_TRUE(absl::IsInvalidArgument(aligned.status())) << aligned.status();
  EXPECT_EQ(disk->Stats().in_use_count, 3u);
  disk->Deallocate(one);
  disk->Deallocate(two);
  disk->Deallocate(three);
  EXPECT_EQ(disk->Stats().in_use_count, 0u);
}

TEST(MmapAllocator, EmptyFile) {
  const TestFile file(0);
  auto disk = Open(file);
  EXPECT_EQ(*disk->FileSize(), 0u);
  const Allocation nothing = Window(*disk, 0, 0);
  EXPECT_EQ(nothing.host, nullptr);
  EXPECT_TRUE(disk->CopyOut(nullptr, {&nothing, 0, 0}, {}).ok());
  EXPECT_TRUE(disk->Advise({&nothing, 0, 0}, Advice::kWillNeed).ok());
  auto beyond = disk->Allocate({.size_bytes = 1, .file = FileWindow{0}});
  EXPECT_TRUE(absl::IsOutOfRange(beyond.status()));
  EXPECT_NE(beyond.status().message().find("had 0 bytes"), std::string::npos);
  disk->Deallocate(nothing);
}

TEST(MmapAllocator, FiveGigabytesCostNothingUntilRead) {
  const TestFile file(5 * kGiB, false);
  {
    std::fstream out(file.path, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(4 * kGiB + 12345));
    out << "here";
  }
  const uint64_t before = ResidentBytes();
  auto disk = Open(file);
  const Allocation all = Window(*disk, 0, 5 * kGiB);
  EXPECT_EQ(std::memcmp(static_cast<char*>(all.host) + 4 * kGiB + 12345, "here", 4), 0);
  const Allocation far = Window(*disk, 4 * kGiB + 12345, 4);
  char four[4];
  ASSERT_TRUE(disk->CopyOut(four, {&far, 0, 4}, {}).ok());
  EXPECT_EQ(std::memcmp(four, "here", 4), 0);
  EXPECT_LT(ResidentBytes(), before + 16 * kMiB);
  disk->Deallocate(all);
  disk->Deallocate(far);
}

TEST(MmapAllocator, LargeCopiesWithAnyNumberOfThreads) {
  const uint64_t size = 40 * kMiB + 123;
  const TestFile file(size);
  auto disk = Open(file);
  const Allocation window = Window(*disk, 3, size - 3);
  std::vector<std::byte> bytes(size - 3);
  for (int threads : {0, 1, 2, 7}) {
    std::memset(bytes.data(), 0, bytes.size());
    ASSERT_TRUE(disk->CopyOut(bytes.data(), {&window, 0, size - 3}, {threads}).ok());
    EXPECT_EQ(std::memcmp(bytes.data(), window.host, size - 3), 0);
  }
  EXPECT_EQ(bytes[1000], At(1003));
  disk->Deallocate(window);
}

TEST(MmapAllocator, AFileThatShrankIsDataLoss) {
  for (uint64_t size : {uint64_t{20000}, 40 * kMiB}) {
    const TestFile file(size, size < kMiB);
    auto disk = Open(file);
    const Allocation window = Window(*disk, 0, size);
    file.Resize(10000);
    std::vector<std::byte> bytes(size);
    ASSERT_TRUE(disk->CopyOut(bytes.data(), {&window, 0, 10000}, {}).ok());
    auto lost = disk->CopyOut(bytes.data(), {&window, 0, size}, {});
    EXPECT_TRUE(absl::IsDataLoss(lost.status())) << lost.status();
    EXPECT_NE(lost.status().message().find(file.path), std::string::npos);
    EXPECT_TRUE(absl::IsDataLoss(disk->CopyOut(bytes.data(), {&window, 15000, 1}, {}).status()));
    disk->Deallocate(window);
  }
}

TEST(MmapAllocator, WhatCannotBeMappedSaysWhy) {
  const std::string folder = testing::TempDir();
  const std::string none = folder + "/no/such/file";
  auto missing = MmapAllocator::Open(none);
  EXPECT_TRUE(absl::IsNotFound(missing.status())) << missing.status();
  EXPECT_NE(missing.status().message().find(none), std::string::npos);
  auto directory = MmapAllocator::Open(folder);
  EXPECT_TRUE(absl::IsFailedPrecondition(directory.status())) << directory.status();
  EXPECT_NE(directory.status().message().find("directory"), std::string::npos);
  const std::string pipe = folder + "/mmap_test_pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  auto from_pipe = MmapAllocator::Open(pipe);
  EXPECT_TRUE(absl::IsFailedPrecondition(from_pipe.status())) << from_pipe.status();
  unlink(pipe.c_str());
  EXPECT_TRUE(absl::IsFailedPrecondition(MmapAllocator::Open("/dev/null").status()));
  const TestFile locked(10);
  ASSERT_EQ(chmod(locked.path.c_str(), 0), 0);
  if (access(locked.path.c_str(), R_OK) != 0) {  // root may read anything
    EXPECT_TRUE(absl::IsPermissionDenied(MmapAllocator::Open(locked.path).status()));
  }
}

TEST(MmapAllocator, OnlyWindowsAndNoWrites) {
  const TestFile file(100);
  auto disk = Open(file);
  for (uint64_t size : {0u, 10u}) {
    auto fresh = disk->Allocate({.size_bytes = size, .name = "fresh"});
    EXPECT_TRUE(absl::IsFailedPrecondition(fresh.status())) << fresh.status();
    EXPECT_NE(fresh.status().message().find("'cpu'"), std::string::npos);
  }
  auto zeroed = disk->Allocate({.size_bytes = 10, .zeroed = true, .file = FileWindow{0}});
  EXPECT_TRUE(absl::IsInvalidArgument(zeroed.status()));
  const Allocation window = Window(*disk, 0, 100);
  EXPECT_TRUE(absl::IsFailedPrecondition(
      disk->CopyWithin({&window, 0, 10}, {&window, 50, 10}, {}).status()));
  EXPECT_TRUE(absl::IsOutOfRange(disk->Advise({&window, 90, 11}, Advice::kRandom)));
  disk->Deallocate(window);
}

TEST(MmapAllocator, WindowsOutliveTheAllocatorAfterAComplaint) {
  const TestFile file(5000);
  Allocation window;
  testing::internal::CaptureStderr();
  {
    auto disk = Open(file);
    window = Window(*disk, 100, 50);
  }
  EXPECT_NE(testing::internal::GetCapturedStderr().find("50 bytes are out"), std::string::npos);
  EXPECT_EQ(*static_cast<std::byte*>(window.host), At(100));
}

TEST(MmapAllocator, ManyThreadsReadWindows) {
  const TestFile file(kMiB);
  auto disk = Open(file);
  std::vector<std::thread> threads;
  std::vector<int> wrong(16);
  for (int t = 0; t < 16; ++t) {
    threads.emplace_back([&, t] {
      for (uint64_t i = 0; i < 200; ++i) {
        const uint64_t offset = (i * 7919 + static_cast<uint64_t>(t) * 104729) % (kMiB - 100);
        auto window = disk->Allocate({.size_bytes = 100, .file = FileWindow{offset}});
        std::byte bytes[100];
        if (!window.ok() || !disk->CopyOut(bytes, {&*window, 0, 100}, {}).ok()) {
          ++wrong[t];
          continue;
        }
        wrong[t] += std::memcmp(bytes, window->host, 100) != 0 || bytes[0] != At(offset);
        disk->Deallocate(*window);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int w : wrong) EXPECT_EQ(w, 0);
  EXPECT_EQ(disk->Stats().in_use_count, 0u);
}

}  // namespace
}  // namespace tenure
