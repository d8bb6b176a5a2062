// SameCard: which device of one API is the same card as a device of another.
//
//   for (const SpaceDevice& device : cuda_devices) {
//     absl::StatusOr<uint32_t> vulkan_ordinal = SameCard(device, vulkan_devices);
//   }
//
// Registry::Devices lists the devices. Cards are compared by UUID. Where one side tells none, a name
// decides, if exactly one device has it.
//
// Thread safety: a pure function. Errors: NotFound.

#ifndef TENURE_RUNTIME_INTEROP_SAME_CARD_H_
#define TENURE_RUNTIME_INTEROP_SAME_CARD_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/space_driver.h"

namespace tenure {

// The ordinal of that one of `others`.
absl::StatusOr<uint32_t> SameCard(const SpaceDevice& device, absl::Span<const SpaceDevice> others);

}  // namespace tenure

#endif  // TENURE_RUNTIME_INTEROP_SAME_CARD_H_
