#include "tenure/base/host_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tenure::host {
namespace {

// Distinct at every position of a cache line, page and chunk.
std::byte At(uint64_t i) { return static_cast<std::byte>((i * 2654435761u) >> 13); }

std::vector<std::byte> Sequence(uint64_t size) {
  std::vector<std::byte> bytes(size);
  for (uint64_t i = 0; i < size; ++i) bytes[i] = At(i);
  return bytes;
}

TEST(CopyBytes, EverySmallSizeAtOddAddresses) {
  const std::vector<std::byte> from = Sequence(600);
  for (uint64_t size = 0; size < 300; ++size) {
    std::vector<std::byte> to(320, std::byte{0xee});
    CopyBytes(to.data() + 3, from.data() + size % 7, size);
    ASSERT_EQ(std::memcmp(to.data() + 3, from.data() + size % 7, size), 0) << size;
    ASSERT_EQ(to[2], std::byte{0xee});
    ASSERT_EQ(to[3 + size], std::byte{0xee}) << size;
  }
}

TEST(CopyBytes, NothingFromNowhere) {
  CopyBytes(nullptr, nullptr, 0);
  MoveBytes(nullptr, nullptr, 0);
  FillBytes(nullptr, 0, FillPattern{});
}

TEST(CopyBytes, LargeOddSizesWithAnyNumberOfThreads) {
  const uint64_t size = kLargeBytes + 4 * 256 * 1024 + 77;
  const std::vector<std::byte> from = Sequence(size + 8);
  std::vector<std::byte> to(size + 8);
  for (int threads : {0, 1, 2, 3, 64, -1}) {
    for (uint64_t shift : {uint64_t{0}, uint64_t{5}}) {
      std::memset(to.data(), 0xee, to.size());
      CopyBytes(to.data() + shift, from.data() + 1, size, threads);
      ASSERT_EQ(std::memcmp(to.data() + shift, from.data() + 1, size), 0) << threads;
      ASSERT_TRUE(shift == 0 || to[shift - 1] == std::byte{0xee});
      ASSERT_EQ(to[shift + size], std::byte{0xee});
    }
  }
}

TEST(CopyBytes, LargeCopiesOfSeveralThreadsShareTheHelpers) {
  const uint64_t size = kLargeBytes + 1;
  const std::vector<std::byte> from = Sequence(size);
  std::vector<std::thread> threads;
  std::vector<std::vector<std::byte>> to(4, std::vector<std::byte>(size));
  for (auto& t : to)
    threads.emplace_back([&from, &t] { CopyBytes(t.data(), from.data(), t.size()); });
  for (std::thread& thread : threads) thread.join();
  for (auto& t : to) EXPECT_EQ(std::memcmp(t.data(), from.data(), size), 0);
}

// Memory that nobody has touched, at an address as odd as wanted.
class FreshMemory {
 public:
  FreshMemory(uint64_t size, uint64_t skew) : all_(size + skew) {
    mapped_ = mmap(nullptr, all_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(mapped_, MAP_FAILED);
    data = static_cast<std::byte*>(mapped_) + skew;
  }
  ~FreshMemory() { munmap(mapped_, all_); }
  FreshMemory(const FreshMemory&) = delete;
  FreshMemory& operator=(const FreshMemory&) = delete;
  std::byte* data;

 private:
  uint64_t all_;
  void* mapped_;
};

TEST(CopyBytes, UntouchedMemoryAndTouchedWithAndWithoutHelpers) {
  const uint64_t size = (uint64_t{5} << 20) + 4099;
  const std::vector<std::byte> from = Sequence(size);
  for (int threads : {1, 2, 3}) {
    for (bool streaming : {false, true}) {
      for (uint64_t skew : {0, 1, 64, 70000}) {
        FreshMemory to(size + 1, skew);
        for (int touched : {0, 1}) {
          to.data[size] = std::byte{0xee};
          internal::CopyOnThreads(to.data, from.data(), size, threads, streaming);
          ASSERT_EQ(std::memcmp(to.data, from.data(), size), 0)
              << threads << " " << streaming << " " << skew << " " << touched;
          ASSERT_EQ(to.data[size], std::byte{0xee});
          std::memset(to.data, 0, size);
        }
      }
    }
  }
}

TEST(FillBytes, UntouchedMemoryAndTouchedWithAndWithoutHelpers) {
  const uint64_t size = (uint64_t{5} << 20) + 4099;
  for (uint32_t width : {1u, 4u, 16u}) {
    FillPattern pattern;
    pattern.size_bytes = width;
    for (uint32_t i = 0; i < width; ++i) pattern.bytes[i] = static_cast<std::byte>(i + 1);
    for (int threads : {1, 2}) {
      for (uint64_t skew : {0, 3, 64}) {
        FreshMemory to(size + 1, skew);
        for (int touched : {0, 1}) {
          to.data[size] = std::byte{0xee};
          internal::FillOnThreads(to.data, size, pattern, threads);
          uint64_t wrong = 0;
          for (uint64_t i = 0; i < size; ++i) wrong += to.data[i] != pattern.bytes[i % width];
          ASSERT_EQ(wrong, 0u) << width << " " << threads << " " << skew << " " << touched;
          ASSERT_EQ(to.data[size], std::byte{0xee});
          std::memset(to.data, 0, size);
        }
      }
    }
  }
}

TEST(MoveBytes, AnyOverlap) {
  for (int64_t shift : {-200, -64, -17, -1, 0, 1, 16, 63, 64, 250, 700}) {
    std::vector<std::byte> bytes = Sequence(2000);
    const std::vector<std::byte> before = bytes;
    MoveBytes(bytes.data() + 800 + shift, bytes.data() + 800, 400);
    ASSERT_EQ(std::memcmp(bytes.data() + 800 + shift, before.data() + 800, 400), 0) << shift;
  }
}

TEST(MoveBytes, LargeOverlap) {
  const uint64_t size = kLargeBytes + 100;
  for (int64_t shift : {-4096, -1, 1, 4096}) {
    std::vector<std::byte> bytes = Sequence(size + 8192);
    MoveBytes(bytes.data() + 4096 + shift, bytes.data() + 4096, size);
    for (uint64_t i = 0; i < size; i += 997) {
      ASSERT_EQ(bytes[4096 + shift + i], At(4096 + i)) << shift << " " << i;
    }
  }
}

TEST(FillBytes, RepeatsAndCutsTheLast) {
  for (uint32_t width : {1u, 2u, 4u, 8u, 16u}) {
    FillPattern pattern;
    pattern.size_bytes = width;
    for (uint32_t i = 0; i < width; ++i) pattern.bytes[i] = static_cast<std::byte>(i + 1);
    for (uint64_t size = 0; size < 200; ++size) {
      std::vector<std::byte> to(210, std::byte{0xee});
      FillBytes(to.data() + 1, size, pattern);
      for (uint64_t i = 0; i < size; ++i) ASSERT_EQ(to[1 + i], pattern.bytes[i % width]);
      ASSERT_EQ(to[0], std::byte{0xee});
      ASSERT_EQ(to[1 + size], std::byte{0xee});
    }
  }
}

TEST(FillBytes, Large) {
  const uint64_t size = kLargeBytes + 256 * 1024 + 5;
  std::vector<std::byte> to(size + 1, std::byte{0xee});
  FillPattern pattern;
  pattern.size_bytes = 16;
  for (uint32_t i = 0; i < 16; ++i) pattern.bytes[i] = static_cast<std::byte>(i + 1);
  FillBytes(to.data(), size, pattern, 3);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < size; ++i) wrong += to[i] != pattern.bytes[i % 16];
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(to[size], std::byte{0xee});
  pattern = {};
  FillBytes(to.data(), size, pattern);
  for (uint64_t i = 0; i < size; ++i) wrong += to[i] != std::byte{0};
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(to[size], std::byte{0xee});
}

TEST(CheckPattern, OnlyPowersOfTwoUpToSixteen) {
  for (uint32_t size = 0; size < 40; ++size) {
    FillPattern pattern;
    pattern.size_bytes = size;
    const bool valid = size == 1 || size == 2 || size == 4 || size == 8 || size == 16;
    EXPECT_EQ(CheckPattern(pattern).ok(), valid) << size;
  }
}

}  // namespace
}  // namespace tenure::host
