// The drivers of this library: cpu, files, null, CUDA, Vulkan. Registry() and Registry::Default() have
// them. This function adds them to a registry that was made empty:
//
//   std::unique_ptr<Registry> registry = Registry::MakeEmpty();
//   TENURE_RETURN_IF_ERROR(AddBuiltinDrivers(*registry));
//
// Thread safety: free function. Errors: those of Registry::AddDriver.

#ifndef TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_
#define TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_

#include "absl/status/status.h"
#include "tenure/allocator/registry.h"

namespace tenure {

absl::Status AddBuiltinDrivers(Registry& registry);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_
