// Fills the elements of a window that may share bytes. Of elements that share bytes, the last one
// in row-major order stays. Dimensions are in three groups: those of the first are walked by the
// threads of a workgroup, those of the second in turn, and those of the third by workgroups.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "tools/trace/shaders/strided.glsl"

// What one turn has written is seen by the next.
layout(buffer_reference, std430, buffer_reference_align = 1) coherent buffer SharedByteAt {
  uint8_t value;
};

// The place of element `index` of some dimensions, and what it adds to the mixed number.
struct Place {
  uint64_t offset;
  uint64_t seed;
};

// Loops of a fixed number of steps are unrolled. That is faster, and Mesa's CPU driver ends the
// loops of a thread after 65,535 steps in all (VulkanKernels::FillOrdered keeps below that).
Place PlaceOf(uint64_t index, uint begin, uint end) {
  Place place = Place(0, 0);
  [[unroll]] for (uint d = 0; d < kDimensions; ++d) {
    if (d < begin || d >= end) continue;
    const uint64_t i = index % dimensions[d].extent;
    index /= dimensions[d].extent;
    place.offset += i * dimensions[d].stride_bytes;
    place.seed += i * dimensions[d].seed_step;
  }
  return place;
}

uint64_t Elements(uint begin, uint end) {
  uint64_t elements = 1;
  [[unroll]] for (uint d = 0; d < kDimensions; ++d) {
    if (d >= begin && d < end) elements *= dimensions[d].extent;
  }
  return elements;
}

void main() {
  const uint item_bytes = ItemBytes();
  const uint inner_end = (packed >> 8) & 255;
  const uint ordered_end = (packed >> 16) & 255;
  const uint end = packed >> 24;
  const uint64_t inner = Elements(0, inner_end);
  const uint64_t ordered = Elements(inner_end, ordered_end);
  const uint64_t outer = Elements(ordered_end, end);
  const uint64_t seed = SeedOf(seed_address, seed_plus) + kG;
  for (uint64_t block = gl_WorkGroupID.x; block < outer; block += gl_NumWorkGroups.x) {
    const Place of_block = PlaceOf(block, ordered_end, end);
    for (uint64_t turn = 0; turn < ordered; ++turn) {
      const Place of_turn = PlaceOf(turn, inner_end, ordered_end);
      for (uint64_t i = gl_LocalInvocationID.x; i < inner; i += gl_WorkGroupSize.x) {
        const Place of_item = PlaceOf(i, 0, inner_end);
        const uint64_t at = window + of_block.offset + of_turn.offset + of_item.offset;
        const uint64_t value = Mix(seed + of_block.seed + of_turn.seed + of_item.seed);
        [[unroll]] for (uint b = 0; b < 8; ++b) {
          if (b < item_bytes) SharedByteAt(at + b).value = uint8_t(value >> (8 * b));
        }
      }
      memoryBarrierBuffer();  // before the next turn may write the same bytes
      barrier();
    }
  }
}
