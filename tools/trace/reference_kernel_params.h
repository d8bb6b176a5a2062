// How a device walks a window with strides, as the host tells it, and the launch geometry of
// reference_kernel.cu.
//
// The CUDA compiler includes this header too, so it holds only plain data of fixed layout.

#ifndef TENURE_TOOLS_TRACE_REFERENCE_KERNEL_CUDA_PARAMS_H_
#define TENURE_TOOLS_TRACE_REFERENCE_KERNEL_CUDA_PARAMS_H_

#include <cstdint>

namespace tenure_kernel {

using u64 = uint64_t;

constexpr u64 kG = 0x9e3779b97f4a7c15u;

// The most threads of a block, and the number of blocks that fit on a multiprocessor at the same
// time.
constexpr unsigned kThreads = 256;
constexpr unsigned kBlocksPerMultiprocessor = 4;

// One dimension: its extent, its distance in memory, and what a step along it adds to the mixed
// number.
struct StridedDimension {
  u64 extent;
  u64 stride_bytes;
  u64 seed_step;
};

// A window whose elements share no bytes. Dimensions go from the closest elements to the farthest.
// Unused dimensions have extent 1.
constexpr int kApartDimensions = 4;

struct ApartWindow {
  u64 elements;
  u64 item_bytes;  // 1 to 8
  StridedDimension dimensions[kApartDimensions];
};

// Any window, with its dimensions in three groups, each from the innermost out:
//
//   [0, inner_end)           elements that share no bytes with each other: side by side, by threads
//   [inner_end, ordered_end) may share bytes: one after the other, in row-major order
//   [ordered_end, end)       share no bytes with anything of another index: side by side, by blocks
constexpr int kOrderedDimensions = 32;

struct OrderedWindow {
  u64 inner, ordered, outer;  // the groups' elements
  u64 item_bytes;             // 1 to 8
  int inner_end, ordered_end, end;
  StridedDimension dimensions[kOrderedDimensions];
};

}  // namespace tenure_kernel

#endif  // TENURE_TOOLS_TRACE_REFERENCE_KERNEL_CUDA_PARAMS_H_
