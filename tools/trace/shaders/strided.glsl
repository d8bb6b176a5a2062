// Windows with strides (tools/trace/strided_walk.h).

#include "tools/trace/shaders/mixing.glsl"

// One dimension: its extent, its distance in memory, and what a step along it adds to the mixed
// number. VulkanKernels gives as many as push constants have room for on every device.
struct StridedDimension {
  uint64_t extent;
  uint64_t stride_bytes;
  uint64_t seed_step;
};
const uint kDimensions = 4;

layout(push_constant) uniform Operands {
  uint64_t window;
  uint64_t seed_address;
  uint64_t seed_plus;
  StridedDimension dimensions[kDimensions];
  // Four numbers of 8 bits: an element's bytes (1 to 8), then the ends of the three groups of
  // dimensions of an ordered window.
  uint packed;
};

uint ItemBytes() { return packed & 255; }
