#include "tenure/allocator/host/memory.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"
#include "tenure/allocator/host/workers.h"

// Sanitizers see through memcpy, not through streaming stores.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TENURE_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TENURE_SANITIZED 1
#endif
#if defined(__x86_64__) && !defined(TENURE_SANITIZED)
#define TENURE_STREAMING 1
#include <emmintrin.h>
#endif

namespace tenure::host {
namespace {

// What is claimed at a time: long enough that claiming is free, short enough
// that threads end together.
constexpr uint64_t kChunk = uint64_t{256} << 10;
// Each thread gets at least this much. A helper that the system interrupts keeps
// the caller waiting for a time slice: with less to win, a busy machine made
// copies slower by it (measured: 32 MiB on two threads 0.4 of memcpy, on one 1.6).
constexpr uint64_t kBytesPerThread = uint64_t{64} << 20;
// More saturate the memory of any socket.
constexpr int kMostThreads = 16;

int ThreadsFor(uint64_t size_bytes, int max_threads) {
  const int useful =
      static_cast<int>(std::min<uint64_t>(kMostThreads, size_bytes / kBytesPerThread));
  const int allowed = max_threads <= 0 ? kMostThreads : max_threads;
  return std::max(1, std::min({useful, allowed, UsableCpus()}));
}

// Calls work(offset, size) for consecutive pieces of [0, size_bytes).
template <typename Work>
void InPieces(uint64_t size_bytes, int max_threads, Work work) {
  const uint64_t chunks = size_bytes / kChunk + (size_bytes % kChunk != 0 ? 1 : 0);
  RunChunks(chunks, ThreadsFor(size_bytes, max_threads), [&](uint64_t i) {
    const uint64_t offset = i * kChunk;
    work(offset, std::min(kChunk, size_bytes - offset));
  });
}

#ifdef TENURE_STREAMING

// Copies past the caches: the destination is not read first, nor does it push
// anything out.
void StreamCopy(std::byte* to, const std::byte* from, uint64_t size) {
  const uint64_t head = std::min<uint64_t>(size, -reinterpret_cast<uintptr_t>(to) & 63);
  std::memcpy(to, from, head);
  uint64_t i = head;
  for (; size - i >= 64; i += 64) {
    const auto* source = reinterpret_cast<const __m128i*>(from + i);
    auto* target = reinterpret_cast<__m128i*>(to + i);
    _mm_prefetch(reinterpret_cast<const char*>(from + std::min(i + 1024, size - 1)), _MM_HINT_NTA);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(target, a);
    _mm_stream_si128(target + 1, b);
    _mm_stream_si128(target + 2, c);
    _mm_stream_si128(target + 3, d);
  }
  _mm_sfence();
  std::memcpy(to + i, from + i, size - i);
}

#else

void StreamCopy(std::byte* to, const std::byte* from, uint64_t size) {
  std::memcpy(to, from, size);
}

#endif

bool IsOneByteRepeated(const FillPattern& pattern) {
  return std::all_of(pattern.bytes, pattern.bytes + pattern.size_bytes,
                     [&](std::byte b) { return b == pattern.bytes[0]; });
}

}  // namespace

void internal::CopyLarge(void* to, const void* from, uint64_t size_bytes, int max_threads) {
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  InPieces(size_bytes, max_threads, [=](uint64_t offset, uint64_t size) {
    StreamCopy(target + offset, source + offset, size);
  });
}

void MoveBytes(void* to, const void* from, uint64_t size_bytes, int max_threads) {
  const auto t = reinterpret_cast<uintptr_t>(to);
  const auto f = reinterpret_cast<uintptr_t>(from);
  if ((t > f ? t - f : f - t) >= size_bytes) {
    CopyBytes(to, from, size_bytes, max_threads);
  } else {
    std::memmove(to, from, size_bytes);
  }
}

void FillBytes(void* to, uint64_t size_bytes, const FillPattern& pattern, int max_threads) {
  if (size_bytes == 0) return;
  const bool large = size_bytes >= kLargeBytes;
  auto* target = static_cast<std::byte*>(to);
  if (IsOneByteRepeated(pattern)) {
    const int value = static_cast<int>(pattern.bytes[0]);
    if (!large) {
      std::memset(target, value, size_bytes);
      return;
    }
    InPieces(size_bytes, max_threads,
             [=](uint64_t offset, uint64_t size) { std::memset(target + offset, value, size); });
    return;
  }
  // Every valid pattern goes into 64 bytes a whole number of times, and pieces
  // begin at multiples of 64: repetitions run on across both.
  std::byte block[64];
  for (size_t i = 0; i < sizeof(block); ++i) block[i] = pattern.bytes[i % pattern.size_bytes];
  auto fill = [target, &block](uint64_t offset, uint64_t size) {
    uint64_t i = 0;
    for (; size - i >= sizeof(block); i += sizeof(block)) {
      std::memcpy(target + offset + i, block, sizeof(block));
    }
    std::memcpy(target + offset + i, block, size - i);
  };
  if (large) {
    InPieces(size_bytes, max_threads, fill);
  } else {
    fill(0, size_bytes);
  }
}

absl::Status CheckPattern(const FillPattern& pattern) {
  if (IsPowerOfTwo(pattern.size_bytes) && pattern.size_bytes <= sizeof(pattern.bytes)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a fill pattern has 1, 2, 4, 8 or 16 bytes; this one has ", pattern.size_bytes));
}

}  // namespace tenure::host
