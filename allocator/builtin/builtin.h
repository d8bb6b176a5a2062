// The drivers that this library brings: cpu, files, null, CUDA. Registry() and Registry::Default()
// have them; a registry that is made empty gets them here:
//
//   std::unique_ptr<Registry> registry = Registry::MakeEmpty();
//   TENURE_RETURN_IF_ERROR(AddBuiltinDrivers(*registry));
//
// Thread safety: free function. Errors: as Registry::AddDriver.

#ifndef TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_
#define TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_

#include "absl/status/status.h"
#include "tenure/allocator/registry.h"

namespace tenure {

absl::Status AddBuiltinDrivers(Registry& registry);

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_BUILTIN_BUILTIN_H_
