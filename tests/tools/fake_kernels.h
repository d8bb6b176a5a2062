// The reference kernel on a FakeDriver: what CudaKernels launches there runs the kernels' own
// source on the host, on the bytes behind the addresses that it was given.
//
//   FakeDriver fake;
//   RegisterReferenceKernels(fake);
//
// A window, sum or seed that is not the device's to touch becomes a violation of the fake.

#ifndef TENURE_TESTS_TOOLS_FAKE_KERNELS_H_
#define TENURE_TESTS_TOOLS_FAKE_KERNELS_H_

#include "tenure/build_defs/embedded_image.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver.h"

namespace tenure {

void RegisterReferenceKernels(cuda::FakeDriver& fake);

// Loads on a fake, whatever was built into the program.
inline constexpr unsigned char kFakeImageBytes[] = {0};
inline constexpr EmbeddedImage kFakeImage = {kFakeImageBytes, sizeof(kFakeImageBytes), ""};

}  // namespace tenure

#endif  // TENURE_TESTS_TOOLS_FAKE_KERNELS_H_
