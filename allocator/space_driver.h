// SpaceDriver: everything that a registry needs to know about a driver of memory spaces. Each
// driver has one function that returns it (CpuDriver, cuda::CudaDriver). allocator/builtin/ adds
// the drivers of this library, and a program adds its own:
//
//   TENURE_RETURN_IF_ERROR(registry.AddDriver({
//       .name = "toy",
//       .spaces = {kToySpace},
//       .factory = [](const MemorySpace& space) { return std::make_unique<ToyAllocator>(space); },
//       .routes = [](CopyTable& table) {
//         table.Register("host", "toy", std::make_unique<ToyRoute>());
//       },
//   }));
//
// Thread safety: thread-compatible value. Ownership: a registry keeps its copy. Several threads may
// call the functions at the same time.

#ifndef TENURE_ALLOCATOR_SPACE_DRIVER_H_
#define TENURE_ALLOCATOR_SPACE_DRIVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/allocator.h"
#include "tenure/allocator/memory_space.h"
#include "tenure/allocator/space_kind.h"

namespace tenure {

class CopyTable;

using AllocatorFactory =
    std::function<absl::StatusOr<std::unique_ptr<Allocator>>(const MemorySpace& space)>;

// A device, described without any type of its driver.
struct SpaceDevice {
  using Fact = std::variant<std::string, uint64_t, bool>;

  uint32_t ordinal = 0;
  std::string name;     // "NVIDIA H200"
  std::string uuid;     // empty if it has none
  std::string summary;  // a line for people, without the name
  // What programs may want to know, by name ("memory_total_bytes"). `tenure devices --json` prints
  // them.
  std::vector<std::pair<std::string, Fact>> facts = {};
};

// The device that a user's `selector` names: an index ("1"), a UUID or the beginning of one
// ("GPU-3f2a"), or a part of a name that only one device has ("H200"). NotFound lists the devices.
// `driver` is a name for the message: "CUDA".
absl::StatusOr<uint32_t> SelectDevice(absl::Span<const SpaceDevice> devices,
                                      std::string_view driver, std::string_view selector);

struct SpaceDriver {
  std::string name;               // SpaceKind::driver() of all its spaces
  std::vector<SpaceKind> spaces;  // the registry declares them
  AllocatorFactory factory;       // makes allocators for all of `spaces`
  // Registers the driver's copy routes between its spaces and other spaces; may be empty.
  std::function<void(CopyTable& table)> routes = nullptr;
  // The devices of this machine; empty if the driver has no devices.
  std::function<absl::StatusOr<std::vector<SpaceDevice>>()> devices = nullptr;
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_SPACE_DRIVER_H_
