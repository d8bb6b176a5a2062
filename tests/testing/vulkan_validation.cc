#include "tenure/tests/testing/vulkan_validation.h"

// LeakSanitizer asks every program for this. Tests share one instance and one device, which they never
// destroy, so what the driver and the layer hold for them is no leak.
extern "C" __attribute__((visibility("default"), used)) const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libvulkan_lvp\nleak:libVkLayer_khronos_validation\nleak:libvulkan.so\nleak:"
         "libLLVM\n";
}
