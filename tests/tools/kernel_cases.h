// What every implementation of the reference kernel on a device has to do: the answers of
// reference_kernel.h, on windows of any size, alignment and strides.
//
//   class MyKernels : public KernelUnderTest { ... };
//   MyKernels kernels;
//   CheckEverySizeAndOffset(kernels);
//
// Failures are GoogleTest's. Thread safety: single-threaded.

#ifndef TENURE_TESTS_TOOLS_KERNEL_CASES_H_
#define TENURE_TESTS_TOOLS_KERNEL_CASES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace tenure {

// Operations on a copy of `memory` on the device, which begins at a multiple of 256 bytes there.
class KernelUnderTest {
 public:
  using Memory = std::vector<uint8_t>;
  virtual ~KernelUnderTest() = default;

  // What each adds to `sum`.
  virtual absl::Status AddDigest(const Memory& memory, uint64_t offset, uint64_t size,
                                 uint64_t& sum) = 0;
  // `memory` is as the device left it.
  virtual absl::Status Fill(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed) = 0;
  virtual absl::Status FillStrided(Memory& memory, uint64_t offset, uint64_t size, uint64_t seed,
                                   const std::vector<uint64_t>& shape,
                                   const std::vector<uint64_t>& strides, uint64_t item_bytes) = 0;
};

// Small windows at every offset: `size_step` from one size to the next.
void CheckEverySizeAndOffset(KernelUnderTest& kernels, uint64_t size_step);
// Windows large enough for every multiprocessor, up to `max_bytes`.
void CheckLargeWindows(KernelUnderTest& kernels, uint64_t max_bytes, int count);
// Strides as models have them, and those whose elements share bytes.
void CheckKnownStrides(KernelUnderTest& kernels);
void CheckRandomStrides(KernelUnderTest& kernels, int count);
// What can't be is refused, as by FillStrided.
void CheckRefusedStrides(KernelUnderTest& kernels);

}  // namespace tenure

#endif  // TENURE_TESTS_TOOLS_KERNEL_CASES_H_
