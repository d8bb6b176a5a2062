// The reference kernel (reference_kernel.h) on a CUDA device, byte for byte.
//
// Windows may begin at any byte and have any size, 2^32 and more included. Most of a window is read
// and written as aligned pairs of words, at any alignment of the window. If a window begins `shift`
// bytes after an aligned word, each of its words is made of two neighbouring aligned words.
//
//   aligned words   |.......A0......|.......A1......|.......A2......|
//   window               |=====word 0======|=====word 1======|==...
//                   shift
//
// Only aligned words that lie inside the window are touched. The bytes before and after them are
// handled one by one. Work is spread by grid strides, so any launch geometry gives the same result.

#include "tools/trace/reference_kernel_params.h"

namespace tenure_kernel {
namespace {

using u8 = unsigned char;

__device__ inline u64 Mix(u64 x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebu;
  x ^= x >> 31;
  return x;
}

__device__ inline u64 Thread() { return blockIdx.x * u64{blockDim.x} + threadIdx.x; }
__device__ inline u64 Threads() { return gridDim.x * u64{blockDim.x}; }

// Returns the number of bytes between the last aligned word and the window.
__device__ inline unsigned ShiftOf(const u8* bytes) {
  return static_cast<unsigned>(reinterpret_cast<unsigned long>(bytes) % 8);
}

// Returns the first aligned word inside the window that begins a pair.
__device__ inline u64 FirstOfPairs(const u8* aligned, unsigned shift) {
  const u64 first = shift != 0 ? 1 : 0;
  return first + (reinterpret_cast<unsigned long>(aligned) / 8 + first) % 2;
}

// Adds the values of all threads of the block to *sum.
__device__ inline void AddToSum(u64 value, u64* sum) {
#ifdef __CUDACC__
  __shared__ u64 of_warp[kThreads / 32];
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_down_sync(~0u, value, lanes);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) value += of_warp[warp];
  atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(value));
#else
  *sum += value;
#endif
}

// The seed of an op's writes may not be computed yet when they are queued, so it is read on the
// device.
__device__ inline u64 SeedOf(const u64* value, u64 plus) {
  return (value != nullptr ? *value : 0) + plus;
}

__device__ inline void Store(u8* at, u64 value, u64 item_bytes, bool is_aligned) {
  if (is_aligned && item_bytes == 4) {
    *reinterpret_cast<unsigned*>(at) = static_cast<unsigned>(value);
  } else if (is_aligned && item_bytes == 2) {
    *reinterpret_cast<unsigned short*>(at) = static_cast<unsigned short>(value);
  } else if (is_aligned && item_bytes == 8) {
    *reinterpret_cast<u64*>(at) = value;
  } else {
    for (u64 b = 0; b < item_bytes; ++b) at[b] = static_cast<u8>(value >> (8 * b));
  }
}

// Computes the place of element `index` of some dimensions, and what it adds to the mixed number.
struct Place {
  u64 offset, seed;
};

__device__ inline Place PlaceOf(u64 index, const StridedDimension* begin,
                                const StridedDimension* end) {
  Place place = {0, 0};
#pragma unroll 1
  for (; begin != end; ++begin) {
    const u64 i = index % begin->extent;
    index /= begin->extent;
    place.offset += i * begin->stride_bytes;
    place.seed += i * begin->seed_step;
  }
  return place;
}

// Returns the sum of the mixed words of a window, over this thread's share of its aligned pairs.
template <bool kShifted>
__device__ inline u64 DigestPairs(const u64* aligned, u64 first, u64 pairs, unsigned shift) {
  constexpr int kUnroll = 4;
  const u64 stride = Threads();
  const u64 step = stride * 2 * kG;
  const auto mixed = [&](const ulonglong2& pair, u64 next, u64 at) {
    u64 low = pair.x;
    u64 high = pair.y;
    if (kShifted) {
      low = low >> (8 * shift) | high << (64 - 8 * shift);
      high = high >> (8 * shift) | next << (64 - 8 * shift);
    }
    return Mix(low + at) + Mix(high + at + kG);
  };
  u64 sum = 0;
  u64 j = Thread();
  u64 at = (first + 2 * j + 1) * kG;
  const u64* from = aligned + first;
  for (; j < pairs && pairs - j > (kUnroll - 1) * stride; j += kUnroll * stride) {
    ulonglong2 pair[kUnroll];
    u64 next[kUnroll] = {};
    for (int k = 0; k < kUnroll; ++k) {  // all loads before their first use
      const u64* word = from + 2 * (j + k * stride);
      pair[k] = *reinterpret_cast<const ulonglong2*>(word);
      if (kShifted) next[k] = word[2];
    }
    for (int k = 0; k < kUnroll; ++k) sum += mixed(pair[k], next[k], at + k * step);
    at += kUnroll * step;
  }
#pragma unroll 1
  for (; j < pairs; j += stride, at += step) {
    const u64* word = from + 2 * j;
    sum += mixed(*reinterpret_cast<const ulonglong2*>(word), kShifted ? word[2] : 0, at);
  }
  return sum;
}

// Writes this thread's share of a window's aligned pairs. Aligned word k holds the end of word k -
// 1 and the beginning of word k.
template <bool kShifted>
__device__ inline void FillPairs(u64* aligned, u64 first, u64 pairs, unsigned shift, u64 seed) {
  const u64 stride = Threads();
  u64 j = Thread();
  u64 at = seed + (first + 2 * j + 1) * kG;
#pragma unroll 2
  for (; j < pairs; j += stride, at += stride * 2 * kG) {
    const u64 word = Mix(at);
    const u64 next = Mix(at + kG);
    ulonglong2 pair = make_ulonglong2(word, next);
    if (kShifted) {
      const u64 before = Mix(at - kG);
      pair.x = before >> (64 - 8 * shift) | word << (8 * shift);
      pair.y = word >> (64 - 8 * shift) | next << (8 * shift);
    }
    // Plain stores would be two instructions.
    __stcg(reinterpret_cast<ulonglong2*>(aligned + first + 2 * j), pair);
  }
}

}  // namespace

// Adds the digest of [bytes, bytes + size) to *sum.
extern "C" __global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    tenure_digest(const u8* bytes, u64 size, u64* sum) {
  const unsigned shift = ShiftOf(bytes);
  const u64* aligned = reinterpret_cast<const u64*>(bytes - shift);
  const u64 words = size / 8;
  const u64 all_words = words + (size % 8 != 0 ? 1 : 0);
  // The last whole word of a shifted window reaches into an aligned word that may end outside.
  const u64 end = shift != 0 && words > 0 ? words - 1 : words;
  const u64 first = FirstOfPairs(reinterpret_cast<const u8*>(aligned), shift);
  const u64 pairs = end > first ? (end - first) / 2 : 0;

  u64 total = shift != 0 ? DigestPairs<true>(aligned, first, pairs, shift)
                         : DigestPairs<false>(aligned, first, pairs, shift);
  if (blockIdx.x == 0) {
    const u64 head = first < all_words ? first : all_words;
    const u64 tail = first + 2 * pairs;
    const u64 singles = head + (tail < all_words ? all_words - tail : 0);
#pragma unroll 1
    for (u64 s = threadIdx.x; s < singles; s += blockDim.x) {
      const u64 i = s < head ? s : tail + (s - head);
      const unsigned count = size - i * 8 < 8 ? static_cast<unsigned>(size - i * 8) : 8;
      u64 word = 0;
      for (unsigned b = 0; b < count; ++b) word |= static_cast<u64>(bytes[i * 8 + b]) << (8 * b);
      total += Mix(word + (i + 1) * kG);
    }
  }
  AddToSum(total, sum);
}

// chain[r] is the mix of reads 0 to r: d = start; d = Mix(d + digests[r]) for each.
extern "C" __global__ void tenure_chain(u64 start, const u64* digests, u64 count, u64* chain) {
  if (Thread() != 0) return;
  u64 d = start;
#pragma unroll 1
  for (u64 r = 0; r < count; ++r) {
    d = Mix(d + digests[r]);
    chain[r] = d;
  }
}

// Fills a contiguous window.
extern "C" __global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    tenure_fill(u8* bytes, u64 size, const u64* seed_value, u64 seed_plus) {
  const u64 seed = SeedOf(seed_value, seed_plus);
  const unsigned shift = ShiftOf(bytes);
  u64* aligned = reinterpret_cast<u64*>(bytes - shift);
  const u64 end = (size + shift) / 8;  // of the aligned words inside
  const u64 first = FirstOfPairs(reinterpret_cast<const u8*>(aligned), shift);
  const u64 pairs = end > first ? (end - first) / 2 : 0;

  if (shift != 0) {
    FillPairs<true>(aligned, first, pairs, shift, seed);
  } else {
    FillPairs<false>(aligned, first, pairs, shift, seed);
  }
  if (blockIdx.x != 0) return;
  const u64 head = first * 8 - shift < size ? first * 8 - shift : size;
  const u64 tail = (first + 2 * pairs) * 8 - shift;
  const u64 singles = head + (tail < size ? size - tail : 0);
#pragma unroll 1
  for (u64 s = threadIdx.x; s < singles; s += blockDim.x) {
    const u64 b = s < head ? s : tail + (s - head);
    bytes[b] = static_cast<u8>(Mix(seed + (b / 8 + 1) * kG) >> (8 * (b % 8)));
  }
}

// Fills the elements of a window that share no bytes. It divides only once: from one element of a
// thread to its next, the index grows by a constant, which is added digit by digit.
extern "C" __global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    tenure_fill_apart(u8* bytes, const u64* seed_value, u64 seed_plus,
                      const __grid_constant__ ApartWindow window) {
  u64 digit[kApartDimensions];
  u64 step[kApartDimensions];
  u64 index = Thread();
  u64 stride = Threads();
  u64 offset = 0;
  u64 value = SeedOf(seed_value, seed_plus) + kG;
  u64 offset_step = 0;
  u64 value_step = 0;
#pragma unroll
  for (int d = 0; d < kApartDimensions; ++d) {
    const StridedDimension& dimension = window.dimensions[d];
    digit[d] = index % dimension.extent;
    index /= dimension.extent;
    step[d] = stride % dimension.extent;
    stride /= dimension.extent;
    offset += digit[d] * dimension.stride_bytes;
    value += digit[d] * dimension.seed_step;
    offset_step += step[d] * dimension.stride_bytes;
    value_step += step[d] * dimension.seed_step;
  }
  const bool is_aligned = reinterpret_cast<unsigned long>(bytes) % window.item_bytes == 0;
#pragma unroll 1
  for (u64 e = Thread(); e < window.elements; e += Threads()) {
    Store(bytes + offset, Mix(value), window.item_bytes, is_aligned);
    offset += offset_step;
    value += value_step;
    u64 carry = 0;
#pragma unroll
    for (int d = 0; d < kApartDimensions; ++d) {
      const StridedDimension& dimension = window.dimensions[d];
      digit[d] += step[d] + carry;
      carry = 0;
      if (digit[d] >= dimension.extent) {
        digit[d] -= dimension.extent;
        carry = 1;
        offset -= dimension.extent * dimension.stride_bytes;
        value -= dimension.extent * dimension.seed_step;
        if (d + 1 < kApartDimensions) {
          offset += window.dimensions[d + 1].stride_bytes;
          value += window.dimensions[d + 1].seed_step;
        }
      }
    }
  }
}

// Fills the elements of a window that may share bytes. Of elements that share bytes, the last one
// in row-major order stays.
extern "C" __global__ void __launch_bounds__(kThreads)
    tenure_fill_ordered(u8* bytes, const u64* seed_value, u64 seed_plus,
                        const __grid_constant__ OrderedWindow window) {
  const u64 seed = SeedOf(seed_value, seed_plus) + kG;
  const bool is_aligned = reinterpret_cast<unsigned long>(bytes) % window.item_bytes == 0;
  const StridedDimension* inner = window.dimensions;
  const StridedDimension* ordered = inner + window.inner_end;
  const StridedDimension* outer = inner + window.ordered_end;
  const StridedDimension* end = inner + window.end;
  for (u64 block = blockIdx.x; block < window.outer; block += gridDim.x) {
    const Place of_block = PlaceOf(block, outer, end);
#pragma unroll 1
    for (u64 turn = 0; turn < window.ordered; ++turn) {
      const Place of_turn = PlaceOf(turn, ordered, outer);
#pragma unroll 1
      for (u64 i = threadIdx.x; i < window.inner; i += blockDim.x) {
        const Place of_item = PlaceOf(i, inner, ordered);
        Store(bytes + of_block.offset + of_turn.offset + of_item.offset,
              Mix(seed + of_block.seed + of_turn.seed + of_item.seed), window.item_bytes,
              is_aligned);
      }
      __syncthreads();  // before the next turn may write the same bytes
    }
  }
}

}  // namespace tenure_kernel
