// Word r of the chain is the mix of reads 0 to r: d = start, then d = Mix(d + digest r) for each.
// It is the work of one thread.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "tools/trace/shaders/mixing.glsl"

layout(push_constant) uniform Operands {
  uint64_t start;
  uint64_t digests;
  uint64_t count;
  uint64_t chain;
};

void main() {
  if (Thread() != 0) return;
  uint64_t d = start;
  for (uint64_t r = 0; r < count; ++r) {
    d = Mix(d + WordAt(digests + 8 * r).value);
    WordAt(chain + 8 * r).value = d;
  }
}
