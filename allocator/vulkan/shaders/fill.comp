// Fills `size` bytes, from any byte address on, with a repeated pattern of 16 bytes.
//
// Byte i of `pattern` goes to the addresses that are i modulo 16. So every aligned vector gets the
// same value, and a shorter pattern, whose size divides 16, is repeated and rotated by the host.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "allocator/vulkan/shaders/addresses.glsl"

layout(push_constant) uniform Operands {
  uint64_t to;
  uint64_t size;
  uvec4 pattern;
};

void main() {
  const uint64_t first = -to & 15;
  const uint64_t count = size > first ? (size - first) / 16 : 0;
  const uint64_t target = to + first;
  const uvec4 value = pattern;
  const uint64_t stride = Threads();
  for (uint64_t j = Thread(); j < count; j += stride) {
    VectorAt(target + 16 * j).value = value;
  }
  const uint64_t head = min(first, size);
  const uint64_t tail = first + 16 * count;
  const uint64_t singles = head + (tail < size ? size - tail : 0);
  if (Thread() < singles) {  // there are fewer of them than a workgroup has threads
    const uint64_t b = Thread() < head ? Thread() : tail + (Thread() - head);
    const uint place = uint(to + b) & 15;
    ByteAt(to + b).value = uint8_t(value[place / 4] >> (8 * (place % 4)));
  }
}
