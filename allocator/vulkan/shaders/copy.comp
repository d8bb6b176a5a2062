// Copies `size` bytes from one address to another. The two windows may begin at any byte and have
// any size, 2^32 and more included, but must not overlap.
//
// Most of the bytes are stored as aligned vectors of 16 bytes. If the source has another alignment
// than the destination, each stored vector is made of two neighbouring aligned vectors of the
// source:
//
//   source        |.........A0.........|.........A1.........|.........A2.........|
//   window                 |=====vector 0=======|=====vector 1=======|==...
//                 shift: the bytes before the window's vectors
//
// Only vectors that lie inside the windows are touched. The bytes before and after them are copied
// one by one by the first workgroup.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "allocator/vulkan/shaders/addresses.glsl"

layout(push_constant) uniform Operands {
  uint64_t from;
  uint64_t to;
  uint64_t size;
};

// As many loads are issued before the first of their results is used.
const uint kUnroll = 4;

// Returns the 16 bytes that begin `shift` bytes after the beginning of `low`. `high` follows it.
uvec4 Joined(uvec4 low, uvec4 high, uint shift) {
  uvec4 words;
  uint next;
  switch (shift / 4) {
    case 0:
      words = low;
      next = high.x;
      break;
    case 1:
      words = uvec4(low.yzw, high.x);
      next = high.y;
      break;
    case 2:
      words = uvec4(low.zw, high.xy);
      next = high.z;
      break;
    default:
      words = uvec4(low.w, high.xyz);
      next = high.w;
  }
  const uint bits = 8 * (shift % 4);
  // Two shifts, because a shift by 32 is undefined.
  return words >> bits | (uvec4(words.yzw, next) << 1) << (31 - bits);
}

void CopyVectors(uint64_t source, uint64_t target, uint64_t count) {
  const uint64_t stride = Threads();
  uint64_t j = Thread();
  for (; j + (kUnroll - 1) * stride < count; j += kUnroll * stride) {
    uvec4 v[kUnroll];
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      v[k] = VectorAt(source + 16 * (j + k * stride)).value;
    }
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      VectorAt(target + 16 * (j + k * stride)).value = v[k];
    }
  }
  for (; j < count; j += stride) {
    VectorAt(target + 16 * j).value = VectorAt(source + 16 * j).value;
  }
}

// `source` is aligned; the first vector begins `shift` bytes after it.
void CopyShifted(uint64_t source, uint64_t target, uint64_t count, uint shift) {
  const uint64_t stride = Threads();
  uint64_t j = Thread();
  for (; j + (kUnroll - 1) * stride < count; j += kUnroll * stride) {
    uvec4 low[kUnroll];
    uvec4 high[kUnroll];
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      low[k] = VectorAt(source + 16 * (j + k * stride)).value;
      high[k] = VectorAt(source + 16 * (j + k * stride) + 16).value;
    }
    [[unroll]] for (uint k = 0; k < kUnroll; ++k) {
      VectorAt(target + 16 * (j + k * stride)).value = Joined(low[k], high[k], shift);
    }
  }
  for (; j < count; j += stride) {
    const uint64_t at = source + 16 * j;
    VectorAt(target + 16 * j).value =
        Joined(VectorAt(at).value, VectorAt(at + 16).value, shift);
  }
}

void main() {
  const uint shift = uint(from - to) & 15;
  // The offsets of the first vector, and of the end of the last one at most.
  uint64_t first = -to & 15;
  if (first < shift) first += 16;  // the aligned vector that holds its beginning is not all inside
  const uint64_t end = shift == 0 ? size : size - min(size, uint64_t(16 - shift));
  const uint64_t count = end > first ? (end - first) / 16 : 0;

  if (shift == 0) {
    CopyVectors(from + first, to + first, count);
  } else {
    CopyShifted(from + first - shift, to + first, count, shift);
  }
  const uint64_t head = min(first, size);
  const uint64_t tail = first + 16 * count;
  const uint64_t singles = head + (tail < size ? size - tail : 0);
  if (Thread() < singles) {  // there are fewer of them than a workgroup has threads
    const uint64_t b = Thread() < head ? Thread() : tail + (Thread() - head);
    ByteAt(to + b).value = ByteAt(from + b).value;
  }
}
