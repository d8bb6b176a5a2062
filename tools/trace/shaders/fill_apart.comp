// Fills the elements of a window that share no bytes. It divides only once: from one element of a
// thread to its next, the index grows by a constant, which is added digit by digit.

#version 460
#extension GL_GOOGLE_include_directive : require
#include "tools/trace/shaders/strided.glsl"

void Store(uint64_t at, uint64_t value, uint item_bytes, bool is_aligned) {
  if (is_aligned && item_bytes == 4) {
    HalfAt(at).value = uint(value);
  } else if (is_aligned && item_bytes == 8) {
    WordAt(at).value = value;
  } else if (item_bytes == 2) {
    ByteAt(at).value = uint8_t(value);
    ByteAt(at + 1).value = uint8_t(value >> 8);
  } else {
    for (uint b = 0; b < item_bytes; ++b) ByteAt(at + b).value = uint8_t(value >> (8 * b));
  }
}

void main() {
  const uint item_bytes = ItemBytes();
  const bool is_aligned = window % item_bytes == 0;
  uint64_t digit[kDimensions];
  uint64_t step[kDimensions];
  uint64_t elements = 1;  // they share no bytes, so there are fewer than the window has bytes
  uint64_t index = Thread();
  uint64_t stride = Threads();
  uint64_t offset = 0;
  uint64_t value = SeedOf(seed_address, seed_plus) + kG;
  uint64_t offset_step = 0;
  uint64_t value_step = 0;
  [[unroll]] for (uint d = 0; d < kDimensions; ++d) {
    const StridedDimension dimension = dimensions[d];
    elements *= dimension.extent;
    digit[d] = index % dimension.extent;
    index /= dimension.extent;
    step[d] = stride % dimension.extent;
    stride /= dimension.extent;
    offset += digit[d] * dimension.stride_bytes;
    value += digit[d] * dimension.seed_step;
    offset_step += step[d] * dimension.stride_bytes;
    value_step += step[d] * dimension.seed_step;
  }
  for (uint64_t e = Thread(); e < elements; e += Threads()) {
    Store(window + offset, Mix(value), item_bytes, is_aligned);
    offset += offset_step;
    value += value_step;
    uint64_t carry = 0;
    [[unroll]] for (uint d = 0; d < kDimensions; ++d) {
      const StridedDimension dimension = dimensions[d];
      digit[d] += step[d] + carry;
      carry = 0;
      if (digit[d] >= dimension.extent) {
        digit[d] -= dimension.extent;
        carry = 1;
        offset -= dimension.extent * dimension.stride_bytes;
        value -= dimension.extent * dimension.seed_step;
        if (d + 1 < kDimensions) {
          offset += dimensions[d + 1].stride_bytes;
          value += dimensions[d + 1].seed_step;
        }
      }
    }
  }
}
