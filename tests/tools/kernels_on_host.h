// The CUDA kernels of tools/trace/reference_kernel.cu, compiled for the host: the same source, so
// that tests see its arithmetic and its bounds (under AddressSanitizer, too) without a GPU.
//
// A launch runs its threads one after the other. Where a kernel has barriers, run it with one
// thread: its loops then do all of the block's work, as they do for any number of threads.

#ifndef TENURE_TESTS_TOOLS_KERNELS_ON_HOST_H_
#define TENURE_TESTS_TOOLS_KERNELS_ON_HOST_H_

#include <cstdint>
#include <functional>

#include "tenure/tools/trace/reference_kernel_params.h"

extern "C" {
void tenure_digest(const unsigned char* bytes, uint64_t size, uint64_t* sum);
void tenure_chain(uint64_t start, const uint64_t* digests, uint64_t count, uint64_t* chain);
void tenure_fill(unsigned char* bytes, uint64_t size, const uint64_t* seed_value,
                 uint64_t seed_plus);
void tenure_fill_apart(unsigned char* bytes, const uint64_t* seed_value, uint64_t seed_plus,
                       tenure_kernel::ApartWindow window);
void tenure_fill_ordered(unsigned char* bytes, const uint64_t* seed_value, uint64_t seed_plus,
                         tenure_kernel::OrderedWindow window);
}

namespace tenure {

// Calls `kernel` once for each thread of the grid.
void LaunchOnHost(unsigned blocks, unsigned threads, const std::function<void()>& kernel);

}  // namespace tenure

#endif  // TENURE_TESTS_TOOLS_KERNELS_ON_HOST_H_
