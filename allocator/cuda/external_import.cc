#include "tenure/allocator/cuda/external_import.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// The driver takes `fd` if it succeeds.
absl::StatusOr<CUexternalMemory> Import(const Driver& driver, int fd,
                                        const ExternalMemory& memory) {
  CUDA_EXTERNAL_MEMORY_HANDLE_DESC description = {};
  description.type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD;
  description.handle.fd = fd;
  description.size = memory.size_bytes;
  description.flags = memory.dedicated ? CUDA_EXTERNAL_MEMORY_DEDICATED : 0;
  CUexternalMemory imported = nullptr;
  TENURE_RETURN_IF_ERROR(TENURE_CU(driver, ImportExternalMemory, &imported, &description));
  return imported;
}

}  // namespace

absl::StatusOr<ForeignMemory> ImportExternal(const std::shared_ptr<Device>& device,
                                             const ExternalMemory& memory) {
  const auto annotated = [&](const absl::Status& status) {
    return absl::Status(
        status.code(),
        absl::StrCat("CUDA device ", device->ordinal(), " (", device->info().name,
                     ") can't import ", memory.size_bytes, " bytes of '", memory.driver,
                     "' (descriptor ", memory.fd, "): ", status.message()));
  };
  Device::Scope scope(*device);
  TENURE_RETURN_IF_ERROR(scope.status());
  const Driver& driver = device->driver();
  const int own = fcntl(memory.fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return annotated(absl::InvalidArgumentError("the descriptor is not open"));
  absl::StatusOr<CUexternalMemory> imported = Import(driver, own, memory);
  if (!imported.ok()) {
    close(own);
    return annotated(imported.status());
  }
  CUDA_EXTERNAL_MEMORY_BUFFER_DESC range = {};
  range.size = memory.size_bytes;
  CUdeviceptr address = 0;
  absl::Status status =
      TENURE_CU(driver, ExternalMemoryGetMappedBuffer, &address, *imported, &range);
  if (!status.ok()) {
    (void)driver->DestroyExternalMemory(*imported);
    return annotated(status);
  }
  ForeignMemory foreign;
  foreign.data = reinterpret_cast<void*>(address);
  foreign.release = [device, address, object = *imported] {
    Device::Scope releasing(*device);
    (void)device->driver()->MemFree(address);
    (void)device->driver()->DestroyExternalMemory(object);
  };
  return foreign;
}

}  // namespace tenure::cuda
