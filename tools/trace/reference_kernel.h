// The reference kernel: what every op of a trace does to its bytes, so that a planned run can be
// compared with an unplanned one.
//
// Why an artificial kernel: it needs no device and no model; every byte that an op reads changes
// every byte that it writes; and the answer is easy to compute independently (a hundred lines of
// numpy do it). If a plan lets two live storages overlap, some digest differs.
//
// Everything is 64-bit little-endian words and arithmetic modulo 2^64, with G = 0x9e3779b97f4a7c15:
//
//   Mix(x)      x ^= x >> 30; x *= 0xbf58476d1ce4e5b9;
//               x ^= x >> 27; x *= 0x94d049bb133111eb; x ^= x >> 31
//   Digest      the sum over i of Mix(word_i + (i + 1) * G), the last word padded with zero bytes
//   FillWords   word i becomes Mix(seed + (i + 1) * G), the last one cut to what is left
//   at first    weight or input b: FillWords with the seed (b + 1) * 0xa0761d6478bd642f
//   op j        d = Mix(j + 1); for each read in order d = Mix(d + Digest(window));
//               then write k (from 0) is filled from the seed d + (k + 1) * 0xd1342543de82ef95.
//               All reads come before any write, so windows may overlap.
//
//   std::vector<KernelWrite> writes = {{.bytes = MutableBytes(out)}};
//   TENURE_RETURN_IF_ERROR(RunReferenceOp(j, {Bytes(a), Bytes(b)}, writes, /*max_threads=*/2));
//
// Cost: it runs at memory bandwidth on machines with AVX-512 (vpmullq) or AVX2, and takes about 1.3
// ns per word on others. `max_threads` is the most threads that a call may use, the calling one
// included; windows below 2 MiB use one. Sums are the same for any number of threads.
//
// Thread safety: free functions without state. The caller ensures that no other thread writes the
// windows during a call. Ownership: windows are borrowed for the call. Errors: InvalidArgument if
// shape, strides and item size reach beyond a window, or if an element is larger than the 8 bytes
// that the kernel supports.

#ifndef TENURE_TOOLS_TRACE_REFERENCE_KERNEL_H_
#define TENURE_TOOLS_TRACE_REFERENCE_KERNEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace tenure {

// One mixing step.
inline uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  x ^= x >> 31;
  return x;
}

// The part of the seed of write `k` that does not depend on the op's reads.
inline constexpr uint64_t WriteSeedStep(uint64_t k) { return (k + 1) * 0xd1342543de82ef95u; }

// Returns the digest of a window's bytes, 0 if there are none.
uint64_t Digest(absl::Span<const uint8_t> bytes, int max_threads = 1);

// Fills a contiguous window.
void FillWords(absl::Span<uint8_t> bytes, uint64_t seed, int max_threads = 1);

// Writes the low `item_bytes` bytes of Mix(seed + (e + 1) * G) to logical element e, in row-major
// order of `shape`. The bytes between elements are unchanged. Strides are in elements. If elements
// share bytes, the last one in row-major order stays.
absl::Status FillStrided(absl::Span<uint8_t> bytes, uint64_t seed, absl::Span<const uint64_t> shape,
                         absl::Span<const uint64_t> strides, uint64_t item_bytes,
                         int max_threads = 1);

// Returns the error that FillStrided gives for a window of `size_bytes` bytes before it writes any.
absl::Status CheckStrided(uint64_t size_bytes, absl::Span<const uint64_t> shape,
                          absl::Span<const uint64_t> strides, uint64_t item_bytes);

// Writes the contents that weight or input `base_id` has before the first op. `bytes` are those
// from word `first_word` on.
void FillStart(absl::Span<uint8_t> bytes, uint32_t base_id, int max_threads = 1,
               uint64_t first_word = 0);

// A window that an op writes.
struct KernelWrite {
  absl::Span<uint8_t> bytes;  // the whole window
  // For a window with strides, the bytes per element are the bytes of the window divided by the
  // elements that it spans, rounded down.
  bool strided = false;
  absl::Span<const uint64_t> shape;
  absl::Span<const uint64_t> strides;
};

// Returns the value that op `op_index` (from 0) computes from its reads. It seeds the op's writes.
uint64_t DigestReads(uint64_t op_index, absl::Span<const absl::Span<const uint8_t>> reads,
                     int max_threads = 1, std::vector<uint64_t>* chain = nullptr);

// Runs one op. After an error, some writes may have been done. `chain`, if given, receives the
// value after each read. The first value in which two runs of one op differ belongs to the read
// that found other bytes.
absl::Status RunReferenceOp(uint64_t op_index, absl::Span<const absl::Span<const uint8_t>> reads,
                            absl::Span<const KernelWrite> writes, int max_threads = 1,
                            std::vector<uint64_t>* chain = nullptr);

namespace internal_kernel {

// One implementation of the inner loops, for one kind of processor. Each works on `count` words.
struct Path {
  const char* name;
  // Sum of Mix(word_i + first + i * G) over unaligned words.
  uint64_t (*digest)(const uint8_t* words, uint64_t count, uint64_t first);
  // Word i becomes Mix(first + i * step); unaligned.
  void (*fill)(uint8_t* words, uint64_t count, uint64_t first, uint64_t step);
};

// Returns the implementations that this processor can run, slowest first. The functions above use
// the last one.
std::vector<Path> Paths();

}  // namespace internal_kernel
}  // namespace tenure

#endif  // TENURE_TOOLS_TRACE_REFERENCE_KERNEL_H_
