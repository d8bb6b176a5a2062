// Adds the digest of a window to the word at `sum`.
//
// The sum of a workgroup is added to the word with two atomic operations on 32 bits, because 64-bit
// atomics are optional in Vulkan. The carry is exact: every addition to the lower half learns the
// value that it found. The word is right as soon as all workgroups are done.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "tools/trace/shaders/mixing.glsl"

layout(push_constant) uniform Operands {
  uint64_t window;
  uint64_t size;
  uint64_t sum;
};

// As many loads are issued before the first of their results is used.
const uint kUnroll = 4;

shared uint64_t of_thread[gl_WorkGroupSize.x];

uint64_t Mixed(uint64_t low, uint64_t high, uint64_t at) {
  return Mix(low + at) + Mix(high + at + kG);
}

// Returns the sum of the mixed words, over this thread's share of the pairs that begin at `from`.
uint64_t DigestPairs(uint64_t from, uint64_t first, uint64_t pairs) {
  const uint64_t stride = Threads();
  const uint64_t step = stride * 2 * kG;
  uint64_t total = 0;
  uint64_t j = Thread();
  uint64_t at = (first + 2 * j + 1) * kG;
  for (; j + (kUnroll - 1) * stride < pairs; j += kUnroll * stride) {
    uvec4 pair[kUnroll];
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      pair[k] = VectorAt(from + 16 * (j + k * stride)).value;
    }
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      total += Mixed(LowWord(pair[k]), HighWord(pair[k]), at);
      at += step;
    }
  }
  for (; j < pairs; j += stride, at += step) {
    const uvec4 pair = VectorAt(from + 16 * j).value;
    total += Mixed(LowWord(pair), HighWord(pair), at);
  }
  return total;
}

// The same for a window that begins `shift` bytes after an aligned word; `shift` is not 0.
uint64_t DigestShifted(uint64_t from, uint64_t first, uint64_t pairs, uint shift) {
  const uint right = 8 * shift;
  const uint left = 64 - right;
  const uint64_t stride = Threads();
  const uint64_t step = stride * 2 * kG;
  uint64_t total = 0;
  uint64_t j = Thread();
  uint64_t at = (first + 2 * j + 1) * kG;
  for (; j + (kUnroll - 1) * stride < pairs; j += kUnroll * stride) {
    uvec4 pair[kUnroll];
    uint64_t next[kUnroll];
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      pair[k] = VectorAt(from + 16 * (j + k * stride)).value;
      next[k] = WordAt(from + 16 * (j + k * stride) + 16).value;
    }
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      const uint64_t high = HighWord(pair[k]);
      total += Mixed(LowWord(pair[k]) >> right | high << left, high >> right | next[k] << left, at);
      at += step;
    }
  }
  for (; j < pairs; j += stride, at += step) {
    const uvec4 pair = VectorAt(from + 16 * j).value;
    const uint64_t next = WordAt(from + 16 * j + 16).value;
    const uint64_t high = HighWord(pair);
    total += Mixed(LowWord(pair) >> right | high << left, high >> right | next << left, at);
  }
  return total;
}

void AddToSum(uint64_t value) {
  const uint thread = gl_LocalInvocationID.x;
  of_thread[thread] = value;
  for (uint half_of_them = gl_WorkGroupSize.x / 2; half_of_them > 0; half_of_them /= 2) {
    barrier();
    if (thread < half_of_them) of_thread[thread] += of_thread[thread + half_of_them];
  }
  if (thread != 0) return;
  const uvec2 added = unpackUint2x32(of_thread[0]);
  const uint found = atomicAdd(HalfAt(sum).value, added.x);
  uint carry;
  uaddCarry(found, added.x, carry);
  atomicAdd(HalfAt(sum + 4).value, added.y + carry);
}

void main() {
  const Layout at = LayoutOf(window);
  const uint64_t words = size / 8;
  const uint64_t all_words = words + (size % 8 != 0 ? 1 : 0);
  // The last whole word of a shifted window reaches into an aligned word that may end outside.
  const uint64_t end = at.shift != 0 && words > 0 ? words - 1 : words;
  const uint64_t pairs = end > at.first ? (end - at.first) / 2 : 0;
  const uint64_t from = at.aligned + 8 * at.first;

  uint64_t total = at.shift != 0 ? DigestShifted(from, at.first, pairs, at.shift)
                                 : DigestPairs(from, at.first, pairs);
  const uint64_t head = min(at.first, all_words);
  const uint64_t tail = at.first + 2 * pairs;
  const uint64_t singles = head + (tail < all_words ? all_words - tail : 0);
  if (Thread() < singles) {  // there are fewer of them than a workgroup has threads
    const uint64_t i = Thread() < head ? Thread() : tail + (Thread() - head);
    const uint count = uint(min(size - i * 8, uint64_t(8)));
    uint64_t word = 0;
    for (uint b = 0; b < count; ++b) {
      word |= uint64_t(ByteAt(window + i * 8 + b).value) << (8 * b);
    }
    total += Mix(word + (i + 1) * kG);
  }
  AddToSum(total);
}
