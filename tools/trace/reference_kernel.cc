#include "tenure/tools/trace/reference_kernel.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure {
namespace {

constexpr uint64_t kG = 0x9e3779b97f4a7c15u;
constexpr uint64_t kStartStep = 0xa0761d6478bd642fu;
constexpr uint64_t kMul1 = 0xbf58476d1ce4e5b9u;
constexpr uint64_t kMul2 = 0x94d049bb133111ebu;

// Less work than this takes less time than starting a thread.
constexpr uint64_t kWordsPerThread = uint64_t{1} << 17;  // 1 MiB

uint64_t LittleEndian(uint64_t word) {
  if constexpr (std::endian::native == std::endian::little) {
    return word;
  } else {
    return __builtin_bswap64(word);
  }
}

uint64_t LoadWord(const uint8_t* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof(word));
  return LittleEndian(word);
}

void StoreWord(uint8_t* at, uint64_t word) {
  word = LittleEndian(word);
  std::memcpy(at, &word, sizeof(word));
}

uint64_t DigestPortable(const uint8_t* words, uint64_t count, uint64_t first) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; ++i, first += kG) sum += Mix(LoadWord(words + i * 8) + first);
  return sum;
}

void FillPortable(uint8_t* words, uint64_t count, uint64_t first, uint64_t step) {
  for (uint64_t i = 0; i < count; ++i, first += step) StoreWord(words + i * 8, Mix(first));
}

#if defined(__x86_64__)
#define TENURE_KERNEL_NAMESPACE avx2
#define TENURE_KERNEL_TARGET __attribute__((target("avx2")))
#define TENURE_KERNEL_LANES 4
#include "tools/trace/reference_kernel_loops.inc"

#define TENURE_KERNEL_NAMESPACE avx512
#define TENURE_KERNEL_TARGET __attribute__((target("avx512f,avx512dq")))
#define TENURE_KERNEL_LANES 8
#include "tools/trace/reference_kernel_loops.inc"
#endif  // __x86_64__

const internal_kernel::Path& BestPath() {
  static const internal_kernel::Path best = internal_kernel::Paths().back();
  return best;
}

// Splits [0, count) into equal parts and runs `work(part, begin, end)` for each, one of them on
// this thread. If a thread can't be started, this thread does its part too.
template <typename Work>
void InParallel(uint64_t count, uint64_t least, int max_threads, const Work& work) {
  const uint64_t most = std::max<uint64_t>(1, count / std::max<uint64_t>(1, least));
  const uint64_t parts =
      std::min<uint64_t>({static_cast<uint64_t>(std::max(1, max_threads)), most, 64});
  struct Part {
    const Work* work;
    uint64_t index, begin, end;
    pthread_t thread;
    bool running;
  };
  std::vector<Part> list(parts);
  const auto begin_of = [&](uint64_t p) { return count / parts * p + std::min(p, count % parts); };
  for (uint64_t p = 0; p < parts; ++p)
    list[p] = {&work, p, begin_of(p), begin_of(p + 1), pthread_t{}, false};
  const auto entry = [](void* argument) -> void* {
    const Part* part = static_cast<Part*>(argument);
    (*part->work)(part->index, part->begin, part->end);
    return nullptr;
  };
  for (uint64_t p = 1; p < parts; ++p) {
    list[p].running = pthread_create(&list[p].thread, nullptr, entry, &list[p]) == 0;
  }
  for (Part& part : list) {
    if (!part.running) entry(&part);
  }
  for (Part& part : list) {
    if (part.running) pthread_join(part.thread, nullptr);
  }
}

// A dimension of a strided window.
struct Dimension {
  uint64_t extent;
  uint64_t stride_bytes;
  uint64_t seed_step;  // what one step along it adds to the number that is mixed
};

// Writes `count` elements, `stride` bytes apart, with the mixed values of seed, seed + step, and so
// on.
void StoreRun(uint8_t* to, uint64_t count, uint64_t seed, const Dimension& inner,
              uint64_t item_bytes) {
  constexpr uint64_t kBlock = 256;
  alignas(64) uint64_t values[kBlock];
  const internal_kernel::Path& path = BestPath();
  for (uint64_t done = 0; done < count; done += kBlock) {
    const uint64_t n = std::min(kBlock, count - done);
    path.fill(reinterpret_cast<uint8_t*>(values), n, seed + done * inner.seed_step,
              inner.seed_step);
    uint8_t* at = to + done * inner.stride_bytes;
    const uint8_t* from = reinterpret_cast<const uint8_t*>(values);
    const auto store = [&](auto size) {
      for (uint64_t i = 0; i < n; ++i) std::memcpy(at + i * inner.stride_bytes, from + i * 8, size);
    };
    switch (item_bytes) {
      case 1:
        store(std::integral_constant<size_t, 1>());
        break;
      case 2:
        store(std::integral_constant<size_t, 2>());
        break;
      case 4:
        store(std::integral_constant<size_t, 4>());
        break;
      case 8:
        store(std::integral_constant<size_t, 8>());
        break;
      default:
        store(item_bytes);
    }
  }
}

// Returns the number of elements from the first to the last that are reached; kWraps if it exceeds
// 64 bits.
constexpr uint64_t kWraps = ~uint64_t{0};

uint64_t SpanOf(absl::Span<const uint64_t> shape, absl::Span<const uint64_t> strides) {
  for (const uint64_t extent : shape) {
    if (extent == 0) return 0;
  }
  uint64_t span = 1;
  for (size_t d = 0; d < shape.size(); ++d) {
    uint64_t reach = 0;
    if (__builtin_mul_overflow(shape[d] - 1, strides[d], &reach) ||
        __builtin_add_overflow(span, reach, &span)) {
      return kWraps;
    }
  }
  return span;
}

}  // namespace

namespace internal_kernel {

std::vector<Path> Paths() {
  std::vector<Path> paths;
  paths.push_back({"portable", DigestPortable, FillPortable});
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    paths.push_back({"avx2", avx2::Digest, avx2::Fill});
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) {
    paths.push_back({"avx512", avx512::Digest, avx512::Fill});
  }
#endif
  return paths;
}

}  // namespace internal_kernel

uint64_t Digest(absl::Span<const uint8_t> bytes, int max_threads) {
  const uint64_t words = bytes.size() / 8;
  std::vector<uint64_t> sums(static_cast<size_t>(std::clamp(max_threads, 1, 64)), 0);
  const internal_kernel::Path& path = BestPath();
  if (words < 2 * kWordsPerThread || max_threads <= 1) {
    sums[0] = path.digest(bytes.data(), words, kG);
  } else {
    InParallel(words, kWordsPerThread, max_threads,
               [&](uint64_t part, uint64_t begin, uint64_t end) {
                 sums[part] = path.digest(bytes.data() + begin * 8, end - begin, (begin + 1) * kG);
               });
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  if (const size_t rest = bytes.size() % 8; rest != 0) {
    uint8_t last[8] = {};
    std::memcpy(last, bytes.data() + words * 8, rest);
    sum += Mix(LoadWord(last) + (words + 1) * kG);
  }
  return sum;
}

void FillWords(absl::Span<uint8_t> bytes, uint64_t seed, int max_threads) {
  const uint64_t words = bytes.size() / 8;
  const internal_kernel::Path& path = BestPath();
  if (words < 2 * kWordsPerThread || max_threads <= 1) {
    path.fill(bytes.data(), words, seed + kG, kG);
  } else {
    InParallel(words, kWordsPerThread, max_threads,
               [&](uint64_t /*part*/, uint64_t begin, uint64_t end) {
                 path.fill(bytes.data() + begin * 8, end - begin, seed + (begin + 1) * kG, kG);
               });
  }
  if (const size_t rest = bytes.size() % 8; rest != 0) {
    uint8_t last[8];
    StoreWord(last, Mix(seed + (words + 1) * kG));
    std::memcpy(bytes.data() + words * 8, last, rest);
  }
}

absl::Status CheckStrided(uint64_t size_bytes, absl::Span<const uint64_t> shape,
                          absl::Span<const uint64_t> strides, uint64_t item_bytes) {
  if (shape.size() != strides.size()) {
    return absl::InvalidArgumentError(absl::StrCat("a strided window of ", shape.size(),
                                                   " dimensions has ", strides.size(),
                                                   " strides; give one for each"));
  }
  if (item_bytes > 8) {
    return absl::InvalidArgumentError(
        absl::StrCat("elements of ", item_bytes,
                     " bytes: the reference kernel has 8 bytes for each element of a "
                     "strided window; write it contiguously"));
  }
  const uint64_t span = SpanOf(shape, strides);
  uint64_t reach = 0;
  if (span == kWraps || __builtin_mul_overflow(span, item_bytes, &reach) || reach > size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a strided window of ", size_bytes,
                     " bytes is reached beyond its end: shape and strides span ",
                     span == kWraps ? "2^64 or more" : absl::StrCat(span), " elements of ",
                     item_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status FillStrided(absl::Span<uint8_t> bytes, uint64_t seed, absl::Span<const uint64_t> shape,
                         absl::Span<const uint64_t> strides, uint64_t item_bytes, int max_threads) {
  TENURE_RETURN_IF_ERROR(CheckStrided(bytes.size(), shape, strides, item_bytes));
  const uint64_t span = SpanOf(shape, strides);
  if (span == 0 || item_bytes == 0) return absl::OkStatus();

  // Nothing below wraps unintentionally: every product is bounded by reach, or is modulo 2^64. (It
  // does not bound the extents of dimensions with stride 0, which only repeat.)
  std::vector<Dimension> dimensions;
  uint64_t row_major = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1) dimensions.push_back({shape[d], strides[d] * item_bytes, row_major * kG});
    row_major *= shape[d];
  }
  // `dimensions` goes from the innermost out. If no two elements share bytes, they may be written
  // in any order, and the order of addresses is the fastest.
  std::vector<Dimension> by_address = dimensions;
  std::stable_sort(
      by_address.begin(), by_address.end(),
      [](const Dimension& a, const Dimension& b) { return a.stride_bytes < b.stride_bytes; });
  uint64_t covered = item_bytes;
  bool apart = true;
  for (const Dimension& dimension : by_address) {
    apart = apart && dimension.stride_bytes >= covered;
    covered += (dimension.extent - 1) * dimension.stride_bytes;
  }
  if (apart) dimensions = std::move(by_address);
  if (dimensions.empty()) dimensions.push_back({1, 0, 0});

  const Dimension inner = dimensions.front();
  uint64_t rows = 1;
  for (size_t d = 1; d < dimensions.size(); ++d) rows *= dimensions[d].extent;
  const uint64_t least_rows = apart ? std::max<uint64_t>(1, kWordsPerThread / inner.extent) : rows;
  InParallel(rows, least_rows, max_threads, [&](uint64_t /*part*/, uint64_t begin, uint64_t end) {
    for (uint64_t row = begin; row < end; ++row) {
      uint64_t offset = 0;
      uint64_t value = seed + kG;
      uint64_t rest = row;
      for (size_t d = 1; d < dimensions.size(); ++d) {
        const uint64_t index = rest % dimensions[d].extent;
        rest /= dimensions[d].extent;
        offset += index * dimensions[d].stride_bytes;
        value += index * dimensions[d].seed_step;
      }
      StoreRun(bytes.data() + offset, inner.extent, value, inner, item_bytes);
    }
  });
  return absl::OkStatus();
}

void FillStart(absl::Span<uint8_t> bytes, uint32_t base_id, int max_threads, uint64_t first_word) {
  FillWords(bytes, (uint64_t{base_id} + 1) * kStartStep + first_word * kG, max_threads);
}

uint64_t DigestReads(uint64_t op_index, absl::Span<const absl::Span<const uint8_t>> reads,
                     int max_threads, std::vector<uint64_t>* chain) {
  uint64_t d = Mix(op_index + 1);
  for (const absl::Span<const uint8_t>& window : reads) {
    d = Mix(d + Digest(window, max_threads));
    if (chain != nullptr) chain->push_back(d);
  }
  return d;
}

absl::Status RunReferenceOp(uint64_t op_index, absl::Span<const absl::Span<const uint8_t>> reads,
                            absl::Span<const KernelWrite> writes, int max_threads,
                            std::vector<uint64_t>* chain) {
  const uint64_t d = DigestReads(op_index, reads, max_threads, chain);
  for (size_t k = 0; k < writes.size(); ++k) {
    const KernelWrite& write = writes[k];
    const uint64_t seed = d + WriteSeedStep(k);
    if (!write.strided) {
      FillWords(write.bytes, seed, max_threads);
      continue;
    }
    uint64_t item_bytes = 0;
    if (write.shape.size() == write.strides.size()) {
      const uint64_t span = SpanOf(write.shape, write.strides);
      item_bytes = span == 0 || span == kWraps ? 0 : write.bytes.size() / span;
    }
    absl::Status status =
        FillStrided(write.bytes, seed, write.shape, write.strides, item_bytes, max_threads);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("op ", op_index, ", write ", k, ": ", status.message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace tenure
