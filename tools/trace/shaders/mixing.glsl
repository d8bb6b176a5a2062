// What the shaders of the reference kernel (tools/trace/reference_kernel.h) have in common.

#include "allocator/vulkan/shaders/addresses.glsl"

const uint64_t kG = 0x9e3779b97f4a7c15ul;

uint64_t Mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xbf58476d1ce4e5b9ul;
  x ^= x >> 27;
  x *= 0x94d049bb133111ebul;
  x ^= x >> 31;
  return x;
}

// The seed of an op's writes may not be computed yet when they are recorded, so it is read on the
// device.
uint64_t SeedOf(uint64_t address, uint64_t plus) {
  return (address != 0 ? WordAt(address).value : 0ul) + plus;
}

uint64_t LowWord(uvec4 pair) { return packUint2x32(pair.xy); }
uint64_t HighWord(uvec4 pair) { return packUint2x32(pair.zw); }

// Where a window of words lies. Most of it is read and written as aligned pairs of words (16
// bytes), at any alignment of the window. If the window begins `shift` bytes after an aligned word,
// each of its words is made of two neighbouring aligned words:
//
//   aligned words   |.......A0......|.......A1......|.......A2......|
//   window               |=====word 0======|=====word 1======|==...
//                   shift
//
// Only aligned words that lie inside the window are touched. The bytes before and after them are
// handled one by one.
struct Layout {
  uint shift;        // the bytes between the last aligned word and the window
  uint64_t aligned;  // the address of that word
  uint64_t first;    // the first aligned word inside the window that begins a pair
};

Layout LayoutOf(uint64_t window) {
  Layout at;
  at.shift = uint(window) & 7;
  at.aligned = window - at.shift;
  at.first = at.shift != 0 ? 1 : 0;
  at.first += (at.aligned / 8 + at.first) & 1;
  return at;
}
