// SemaphoreFds: gives Mesa's CPU driver descriptors of timeline semaphores, which it lacks
// (VK_KHR_external_semaphore_fd), so that code which shares them runs without a GPU. A descriptor
// names the driver's semaphore; only this process can use it, and only through SemaphoreOf.
//
//   auto instance = vulkan::Instance::Create(SemaphoreFds::Loader(), {});
//   FakeDriver fake({.external_semaphore = SemaphoreFds::SemaphoreOf});
//
// Descriptors can't be imported by Vulkan. Use it without the validation layer, which knows what the
// driver lacks.
//
// Thread safety: thread-safe. Ownership: a descriptor does not keep its semaphore.

#ifndef TENURE_TESTS_INTEROP_SEMAPHORE_FDS_H_
#define TENURE_TESTS_INTEROP_SEMAPHORE_FDS_H_

#include "tenure/tests/allocator/cuda/fake/fake_driver.h"
#include "vulkan/vulkan.h"

namespace tenure {

class SemaphoreFds {
 public:
  // Of libvulkan.so.1, with the extension. Null without it.
  static PFN_vkGetInstanceProcAddr Loader();
  static cuda::FakeSemaphore SemaphoreOf(int fd);
};

}  // namespace tenure

#endif  // TENURE_TESTS_INTEROP_SEMAPHORE_FDS_H_
