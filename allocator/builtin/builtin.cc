#include "tenure/allocator/builtin/builtin.h"

#include <memory>

#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/cuda/allocators.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/base/status_macros.h"

namespace tenure {

absl::Status AddBuiltinDrivers(Registry& registry) {
  for (SpaceDriver (*driver)() :
       {CpuDriver, FileDriver, NullDriver, cuda::CudaDriver, vulkan::VulkanDriver}) {
    TENURE_RETURN_IF_ERROR(registry.AddDriver(driver()));
  }
  return absl::OkStatus();
}

// Adding drivers to an empty registry cannot fail: their names are reserved and differ.

Registry::Registry() : Registry(nullptr) { AddBuiltinDrivers(*this).IgnoreError(); }

Registry& Registry::Default() {
  static Registry* const registry = [] {
    Registry* made = MakeEmpty(&CopyTable::Default()).release();
    AddBuiltinDrivers(*made).IgnoreError();
    return made;
  }();
  return *registry;
}

}  // namespace tenure
