// What the build promises to a program that embeds tenure: Abseil's types are the standard's, the
// process keeps its own malloc and operator new although mimalloc is linked, and under a sanitizer
// the third-party code is instrumented too.

#include <gtest/gtest.h>
#include <malloc.h>
#include <mimalloc.h>
#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <thread>
#include <type_traits>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "absl/types/optional.h"
#include "absl/types/variant.h"

#if defined(__has_feature)
#define TENURE_HAS_FEATURE(x) __has_feature(x)
#else
#define TENURE_HAS_FEATURE(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || TENURE_HAS_FEATURE(address_sanitizer)
#define TENURE_ASAN 1
#else
#define TENURE_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || TENURE_HAS_FEATURE(thread_sanitizer)
#define TENURE_TSAN 1
#else
#define TENURE_TSAN 0
#endif

namespace {

static_assert(std::is_same_v<absl::string_view, std::string_view>);
static_assert(std::is_same_v<absl::optional<int>, std::optional<int>>);
static_assert(std::is_same_v<absl::variant<int, char>, std::variant<int, char>>);

#if !TENURE_ASAN && !TENURE_TSAN

// What libc's own malloc has handed out, in bytes.
uint64_t LibcBytesInUse() { return mallinfo2().uordblks; }

// Blocks far below the size from which libc maps memory for each block (those are counted apart).
constexpr size_t kBlocks = 1000;
constexpr size_t kBlockSize = 1000;

TEST(AbiTest, MallocIsLibcs) {
  mi_free(mi_malloc(1));  // linked for sure, and set up
  std::vector<void*> blocks(kBlocks);
  const uint64_t before = LibcBytesInUse();
  for (void*& block : blocks) block = malloc(kBlockSize);
  EXPECT_GE(LibcBytesInUse() - before, kBlocks * kBlockSize);
  for (void* block : blocks) free(block);
  EXPECT_LT(LibcBytesInUse() - before, kBlocks * kBlockSize);
}

TEST(AbiTest, OperatorNewTakesFromLibc) {
  mi_free(mi_malloc(1));
  std::vector<void*> blocks(kBlocks);
  const uint64_t before = LibcBytesInUse();
  for (void*& block : blocks) block = ::operator new(kBlockSize);
  EXPECT_GE(LibcBytesInUse() - before, kBlocks * kBlockSize);
  for (void* block : blocks) ::operator delete(block);
  EXPECT_LT(LibcBytesInUse() - before, kBlocks * kBlockSize);
}

TEST(AbiTest, MimallocDoesNotTakeFromLibc) {
  const uint64_t before = LibcBytesInUse();
  std::vector<void*> blocks(kBlocks);
  for (void*& block : blocks) block = mi_malloc(kBlockSize);
  EXPECT_LT(LibcBytesInUse() - before, kBlocks * kBlockSize);
  for (void* block : blocks) mi_free(block);
}

#endif

// CVE-2025-0838: such a size used to wrap and give a table of the wrong size.
TEST(AbiDeathTest, HashContainersRefuseSizesThatWrap) {
  absl::flat_hash_set<uint64_t> set;
  EXPECT_DEATH(set.reserve(std::numeric_limits<size_t>::max() / 8), "Hash table size overflow");
}

#if TENURE_ASAN

TEST(AbiDeathTest, AddressSanitizerSeesInsideTheDependencies) {
  const std::unique_ptr<Bytef[]> bytes(new Bytef[64]());
  EXPECT_DEATH(crc32(0, bytes.get(), 65), "heap-buffer-overflow");
}

#endif

#if TENURE_TSAN

// The read is zlib's, the write is ours, and nothing orders the two.
void RaceWithZlib() {
  std::vector<Bytef> bytes(64);
  std::atomic<bool> written = false;
  std::thread writer([&] {
    bytes[3] = 1;
    written.store(true, std::memory_order_relaxed);
  });
  while (!written.load(std::memory_order_relaxed)) std::this_thread::yield();
  crc32(0, bytes.data(), 64);
  writer.join();
}

TEST(AbiDeathTest, ThreadSanitizerSeesInsideTheDependencies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(RaceWithZlib(), "data race");
}

#endif

}  // namespace
