// Makes the allocators of CUDA's three spaces, bound to the driver's own copy routes.

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/copy_routes.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocatorOn(std::shared_ptr<Device> device,
                                                           SpaceKind kind,
                                                           const AllocatorOptions& options) {
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<CopyEngine> engine, CopyEngine::Of(std::move(device)));
  auto make = kind == kDeviceSpace    ? MakeDeviceAllocator
              : kind == kUnifiedSpace ? MakeUnifiedAllocator
              : kind == kPinnedSpace  ? MakePinnedAllocator
                                      : nullptr;
  if (make == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", kind.Pattern(), "' is not a space of CUDA; give cuda::kDeviceSpace, ",
                     "kUnifiedSpace or kPinnedSpace"));
  }
  absl::StatusOr<std::unique_ptr<Allocator>> made = make(engine, options);
  if (made.ok()) (*made)->BindCopyTable(&CudaCopyTable());
  return made;
}

}  // namespace tenure::cuda
