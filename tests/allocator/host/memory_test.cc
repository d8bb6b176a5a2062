#include "tenure/allocator/host/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace tenure::host {
namespace {

// Each 64-bit word is another: no two cache lines, pages or pieces are alike.
std::vector<std::byte> Sequence(uint64_t size) {
  std::vector<std::byte> bytes(size);
  for (uint64_t i = 0; i < size; i += 8) {
    const uint64_t word = (i + 1) * 0x9e3779b97f4a7c15u;
    std::memcpy(bytes.data() + i, &word, std::min<uint64_t>(8, size - i));
  }
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
  for (int threads : {0, 1, 3}) {
    for (uint64_t shift : {uint64_t{0}, uint64_t{5}}) {
      std::memset(to.data(), 0xee, to.size());
      CopyBytes(to.data() + shift, from.data() + 1, size, threads);
      ASSERT_EQ(std::memcmp(to.data() + shift, from.data() + 1, size), 0) << threads;
      ASSERT_TRUE(shift == 0 || to[shift - 1] == std::byte{0xee});
      ASSERT_EQ(to[shift + size], std::byte{0xee});
    }
  }
}

TEST(CopyBytes, InPiecesOfSeveralThreads) {
  const uint64_t size = 4 * kLargeBytes + 12345;
  std::vector<std::byte> from(size, std::byte{1});
  for (uint64_t i = 0; i < size; i += 4096)
    std::memcpy(&from[i], &i, std::min<uint64_t>(8, size - i));
  std::vector<std::byte> to(size);
  CopyBytes(to.data(), from.data(), size, 2);
  EXPECT_EQ(std::memcmp(to.data(), from.data(), size), 0);
}

TEST(CopyBytes, LargeCopiesOfSeveralCallers) {
  const uint64_t size = kLargeBytes + 1;
  const std::vector<std::byte> from = Sequence(size);
  std::vector<std::thread> threads;
  std::vector<std::vector<std::byte>> to(3, std::vector<std::byte>(size));
  for (auto& t : to)
    threads.emplace_back([&from, &t] { CopyBytes(t.data(), from.data(), t.size()); });
  for (std::thread& thread : threads) thread.join();
  for (auto& t : to) EXPECT_EQ(std::memcmp(t.data(), from.data(), size), 0);
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
  const std::vector<std::byte> before = Sequence(size + 8192);
  std::vector<std::byte> bytes = before;
  MoveBytes(bytes.data() + 4097, bytes.data() + 4096, size);
  EXPECT_EQ(std::memcmp(bytes.data() + 4097, before.data() + 4096, size), 0);
  bytes = before;
  MoveBytes(bytes.data() + 96, bytes.data() + 4096, size);
  EXPECT_EQ(std::memcmp(bytes.data() + 96, before.data() + 4096, size), 0);
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
  EXPECT_EQ(std::memcmp(to.data(), pattern.bytes, 16), 0);
  EXPECT_EQ(std::memcmp(to.data(), to.data() + 16, size - 16), 0);
  EXPECT_EQ(to[size], std::byte{0xee});
  FillBytes(to.data(), size, FillPattern());
  EXPECT_EQ(to[0], std::byte{0});
  EXPECT_EQ(std::memcmp(to.data(), to.data() + 1, size - 1), 0);
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
