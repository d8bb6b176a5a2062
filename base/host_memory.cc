#include "tenure/base/host_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstddef>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/workers.h"

// Sanitizers understand memcpy, but not streaming stores.
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

// The bytes that a thread claims at a time: enough to make claiming cheap, and few enough that
// threads finish together.
constexpr uint64_t kPiece = uint64_t{256} << 10;
// For untouched memory, a huge page. The first touch provides it as a whole, and two threads that
// touch it at once would both clear one.
constexpr uint64_t kUntouchedPiece = uint64_t{2} << 20;
// Each thread gets at least this much.
constexpr uint64_t kBytesPerThread = uint64_t{16} << 20;
// This many threads saturate the memory of any socket.
constexpr int kMostThreads = 16;

// Whether the system has yet to provide some of the range. Memory that it has just cleared is in
// the caches, and writing past those would be slower than memcpy (0.6 of it). One page of every
// huge page is checked, which takes 0.3 us each.
bool IsUntouched(const std::byte* to, uint64_t size) {
  static const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(to);
  unsigned char state;
  for (uint64_t i = 0; i < size; i += kUntouchedPiece) {
    const uintptr_t at = (begin + i) & ~(page - 1);
    // If this is unknown, the memory counts as touched.
    if (mincore(reinterpret_cast<void*>(at), page, &state) == 0 && (state & 1) == 0) return true;
  }
  return false;
}

// The size of the largest cache, which CPUs share. A copy of that size still finds some of its
// bytes there.
uint64_t SharedCacheBytes() {
  static const uint64_t bytes = [] {
    uint64_t kib = 0;
    if (FILE* file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re")) {
      if (fscanf(file, "%" SCNu64 "K", &kib) != 1) kib = 0;
      fclose(file);
    }
    return kib << 10;
  }();
  return bytes;
}

// Calls work(offset, size) for the parts of [0, size) of `to`. Except for the first, they begin at
// multiples of `piece` in memory. If `to` is not aligned they begin less than 64 bytes away from
// those, so that offsets are multiples of 64.
template <typename Work>
void InPieces(const std::byte* to, uint64_t size, uint64_t piece, int threads, Work work) {
  const uint64_t skew = reinterpret_cast<uintptr_t>(to) & (piece - 1) & ~uint64_t{63};
  const uint64_t pieces = (skew + size - 1) / piece + 1;
  RunChunks(pieces, threads, [&](uint64_t i) {
    const uint64_t begin = i == 0 ? 0 : i * piece - skew;
    work(begin, std::min((i + 1) * piece - skew, size) - begin);
  });
}

#ifdef TENURE_STREAMING

// Copies past the caches: the destination is not read first, and nothing is evicted.
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

// Uses only idle CPUs. A helper that the system interrupts keeps the caller waiting for a time
// slice, which is longer than most copies take (measured for 32 MiB on two busy CPUs: 0.4 of
// memcpy's speed with a helper, 1.2 without).
int ThreadsFor(uint64_t size_bytes, int max_threads) {
  const int useful =
      static_cast<int>(std::min<uint64_t>(kMostThreads, size_bytes / kBytesPerThread));
  const int allowed = max_threads <= 0 ? kMostThreads : max_threads;
  const int threads = std::min({useful, allowed, UsableCpus()});
  return threads <= 1 ? 1 : std::min(threads, 1 + IdleCpus());
}

void internal::CopyLarge(void* to, const void* from, uint64_t size_bytes, int max_threads) {
  CopyOnThreads(to, from, size_bytes, ThreadsFor(size_bytes, max_threads),
                /*streaming=*/size_bytes > SharedCacheBytes());
}

void internal::CopyOnThreads(void* to, const void* from, uint64_t size_bytes, int threads,
                             bool streaming) {
  if (threads == 1 && !streaming) {
    std::memcpy(to, from, size_bytes);
    return;
  }
  auto* target = static_cast<std::byte*>(to);
  const auto* source = static_cast<const std::byte*>(from);
  const bool untouched = IsUntouched(target, size_bytes);
  if (streaming && !untouched) {
    InPieces(target, size_bytes, kPiece, threads, [=](uint64_t offset, uint64_t size) {
      StreamCopy(target + offset, source + offset, size);
    });
  } else if (threads > 1) {
    const uint64_t piece = untouched ? kUntouchedPiece : kPiece;
    InPieces(target, size_bytes, piece, threads, [=](uint64_t offset, uint64_t size) {
      std::memcpy(target + offset, source + offset, size);
    });
  } else {
    std::memcpy(to, from, size_bytes);
  }
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
  const int threads = size_bytes < kLargeBytes ? 1 : ThreadsFor(size_bytes, max_threads);
  internal::FillOnThreads(to, size_bytes, pattern, threads);
}

void internal::FillOnThreads(void* to, uint64_t size_bytes, const FillPattern& pattern,
                             int threads) {
  if (size_bytes == 0) return;
  auto* target = static_cast<std::byte*>(to);
  const bool one_byte = IsOneByteRepeated(pattern);
  // Every valid pattern fits into 64 bytes a whole number of times, and pieces begin at multiples
  // of 64, so repetitions continue across both.
  alignas(64) std::byte block[64];
  for (size_t i = 0; i < sizeof(block); ++i) block[i] = pattern.bytes[i % pattern.size_bytes];
  auto fill = [&](uint64_t offset, uint64_t size) {
    if (one_byte) {
      std::memset(target + offset, static_cast<int>(block[0]), size);
      return;
    }
    uint64_t i = 0;
    for (; size - i >= sizeof(block); i += sizeof(block)) {
      std::memcpy(target + offset + i, block, sizeof(block));
    }
    std::memcpy(target + offset + i, block, size - i);
  };
  if (threads == 1) {
    fill(0, size_bytes);
  } else {
    const uint64_t piece = IsUntouched(target, size_bytes) ? kUntouchedPiece : kPiece;
    InPieces(target, size_bytes, piece, threads, fill);
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
