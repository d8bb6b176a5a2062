// Fills a contiguous window: word i becomes Mix(seed + (i + 1) * kG), the last one cut.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "tools/trace/shaders/mixing.glsl"

layout(push_constant) uniform Operands {
  uint64_t window;
  uint64_t size;
  uint64_t seed_address;
  uint64_t seed_plus;
};

// Writes this thread's share of the pairs that begin at `to`.
void FillPairs(uint64_t to, uint64_t first, uint64_t pairs, uint64_t seed) {
  const uint64_t stride = Threads();
  uint64_t at = seed + (first + 2 * Thread() + 1) * kG;
  for (uint64_t j = Thread(); j < pairs; j += stride, at += stride * 2 * kG) {
    VectorAt(to + 16 * j).value =
        uvec4(unpackUint2x32(Mix(at)), unpackUint2x32(Mix(at + kG)));
  }
}

// The same for a window that begins `shift` bytes after an aligned word; `shift` is not 0. An
// aligned word holds the end of one word of the window and the beginning of the next.
void FillShifted(uint64_t to, uint64_t first, uint64_t pairs, uint shift, uint64_t seed) {
  const uint left = 8 * shift;
  const uint right = 64 - left;
  const uint64_t stride = Threads();
  uint64_t at = seed + (first + 2 * Thread() + 1) * kG;
  for (uint64_t j = Thread(); j < pairs; j += stride, at += stride * 2 * kG) {
    const uint64_t before = Mix(at - kG);
    const uint64_t word = Mix(at);
    const uint64_t next = Mix(at + kG);
    VectorAt(to + 16 * j).value = uvec4(unpackUint2x32(before >> right | word << left),
                                        unpackUint2x32(word >> right | next << left));
  }
}

void main() {
  const uint64_t seed = SeedOf(seed_address, seed_plus);
  const Layout at = LayoutOf(window);
  const uint64_t end = (size + at.shift) / 8;  // of the aligned words inside
  const uint64_t pairs = end > at.first ? (end - at.first) / 2 : 0;
  const uint64_t to = at.aligned + 8 * at.first;
  if (at.shift != 0) {
    FillShifted(to, at.first, pairs, at.shift, seed);
  } else {
    FillPairs(to, at.first, pairs, seed);
  }
  const uint64_t head = min(at.first * 8 - at.shift, size);
  const uint64_t tail = (at.first + 2 * pairs) * 8 - at.shift;
  const uint64_t singles = head + (tail < size ? size - tail : 0);
  if (Thread() < singles) {  // there are fewer of them than a workgroup has threads
    const uint64_t b = Thread() < head ? Thread() : tail + (Thread() - head);
    ByteAt(window + b).value = uint8_t(Mix(seed + (b / 8 + 1) * kG) >> (8 * (uint(b) & 7)));
  }
}
