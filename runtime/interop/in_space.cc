#include "tenure/runtime/interop/in_space.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/storage.h"

namespace tenure {
namespace {

absl::StatusOr<ExternalMemoryCapability*> SharingOf(Allocator& allocator) {
  auto* sharing = allocator.root().Capability<ExternalMemoryCapability>();
  if (sharing != nullptr) return sharing;
  return absl::UnimplementedError(
      absl::StrCat(allocator.space().ToString(),
                   " shares no memory with other APIs; use 'cuda:N' or 'vulkan:N' of a device that "
                   "does, or copy"));
}

// The whole allocation of `storage`, as an allocation of `other`.
absl::StatusOr<Allocation> Import(const Storage& storage, Allocator& other) {
  Allocator& own = storage.allocator();
  TENURE_ASSIGN_OR_RETURN(ExternalMemoryCapability* const from, SharingOf(own));
  TENURE_ASSIGN_OR_RETURN(ExternalMemoryCapability* const to, SharingOf(other));
  if (from->card() != to->card()) {
    return absl::UnimplementedError(absl::StrCat("they are two cards (", from->card(), " and ",
                                                 to->card(), "); copy the bytes instead"));
  }
  const Allocation& root = storage.root();
  // As the allocator below all decorators knows it.
  const SubRegion region = own.RootRegion({&root, 0, root.size_bytes});
  TENURE_ASSIGN_OR_RETURN(const ExternalMemory memory, from->ExportMemory(*region.allocation));
  absl::Cleanup close_fd = [&memory] { close(memory.fd); };
  TENURE_ASSIGN_OR_RETURN(const ForeignMemory foreign, to->ImportMemory(memory));
  // The import is given back unless the allocation has it, also after an exception.
  absl::Cleanup release = [&foreign] {
    if (foreign.release) foreign.release();
  };
  AllocationRequest request;
  request.size_bytes = root.size_bytes;
  request.foreign = foreign;
  request.name = storage.name();
  request.storage = storage.id();
  absl::StatusOr<Allocation> made = other.Allocate(request);
  if (made.ok()) std::move(release).Cancel();
  return made;
}

}  // namespace

absl::StatusOr<SpaceView> InSpace(const Buffer& buffer, Allocator& other, Access access) {
  TENURE_RETURN_IF_ERROR(access == Access::kWrite ? buffer.MutableDeviceAddress().status()
                                                  : buffer.DeviceAddress().status());
  Storage& storage = *buffer.storage();
  const Allocation* allocation = &storage.root();
  if (&other.root() != &storage.allocator().root() && allocation->size_bytes > 0) {
    Storage& root = storage.root_storage();
    absl::StatusOr<const Allocation*> imported =
        root.ImportedBy(other, [&] { return Import(root, other); });
    if (!imported.ok()) {
      return absl::Status(
          imported.status().code(),
          absl::StrCat("storage ", root.id().value(),
                       root.name().empty() ? "" : absl::StrCat(" '", root.name(), "'"), " of ",
                       root.allocator().space().ToString(), " can't be used in ",
                       other.space().ToString(), ": ", imported.status().message()));
    }
    allocation = *imported;
  }
  const uint64_t offset = storage.root_offset() + buffer.offset();
  SpaceView view;
  const SubRegion region{allocation, offset, buffer.size()};
  view.device_address = region.device_address();
  view.host = region.host();
  if (allocation->native_handle != 0) {
    view.binding = {allocation->native_handle, allocation->native_offset + offset, buffer.size()};
  }
  return view;
}

}  // namespace tenure
