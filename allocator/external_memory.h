// Memory that one card has and that two APIs use: an allocator exports an allocation as a file
// descriptor, and the allocator of the other API imports it as foreign memory.
//
//   vulkan:0   ExportMemory(allocation) -> descriptor -> cuda:0   ImportMemory(...) -> ForeignMemory
//
// ExportMemory takes allocations that were made with Sharing::kPosixFd. An importing allocator only
// wraps what it has imported itself: the ForeignMemory goes into AllocationRequest::foreign of that
// allocator. runtime/interop/in_space.h does all of it for buffers.
//
// ShareCapability (capabilities.h) does the same for two processes that use one API. The capability
// of this file stops at decorators; ask `allocator.root()` for it, with allocations from RootRegion.
//
// Thread safety: thread-safe, as allocators are. Ownership: the capability is borrowed from the
// allocator. Descriptors belong to the caller; the bytes live until both sides have released them.
// Errors: Unimplemented (the device or driver lacks something, which the message names),
// FailedPrecondition (the allocation was not made for sharing), and those of the driver.

#ifndef TENURE_ALLOCATOR_EXTERNAL_MEMORY_H_
#define TENURE_ALLOCATOR_EXTERNAL_MEMORY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/strip.h"
#include "tenure/allocator/allocation.h"

namespace tenure {

// All bytes of an allocation that was made for sharing.
struct ExternalMemory {
  std::string driver;       // that made the descriptor: "cuda", "vulkan"
  int fd = -1;              // whoever imports it makes a descriptor of its own of it
  uint64_t size_bytes = 0;  // of the driver's object, which begins where the allocation does
  bool dedicated = false;   // the driver's object was made for one buffer only
};

// The same text for every API that names the card: CUDA writes "GPU-" before the UUID, Vulkan does
// not.
inline std::string CardOfUuid(std::string_view uuid) {
  return absl::AsciiStrToLower(absl::StripPrefix(uuid, "GPU-"));
}

class ExternalMemoryCapability {
 public:
  static constexpr std::string_view kName = "memory of other APIs";
  virtual ~ExternalMemoryCapability() = default;
  // The card that has the memory (CardOfUuid).
  virtual const std::string& card() const = 0;
  // The caller closes the descriptor.
  virtual absl::StatusOr<ExternalMemory> ExportMemory(const Allocation& allocation) = 0;
  // The result's `release` gives the import back.
  virtual absl::StatusOr<ForeignMemory> ImportMemory(const ExternalMemory& memory) = 0;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_EXTERNAL_MEMORY_H_
