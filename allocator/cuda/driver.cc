#include "tenure/allocator/cuda/driver.h"

#include <dlfcn.h>

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

constexpr char kLibrary[] = "libcuda.so.1";

std::string VersionText(int version) {
  return absl::StrCat(version / 1000, ".", version % 1000 / 10);
}

absl::Status TooOld(int version) {
  return absl::UnavailableError(absl::StrCat("the CUDA driver is of version ", VersionText(version),
                                             "; version ", VersionText(kOldestDriver),
                                             " or newer is needed: install a newer NVIDIA driver"));
}

absl::StatusOr<DriverTable> OpenLibrary() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    return absl::UnavailableError(
        absl::StrCat("no CUDA driver on this machine (", why == nullptr ? kLibrary : why,
                     "); install NVIDIA's driver, or use another memory space"));
  }
  // The library is never closed, because the driver does not survive it.
  auto get = reinterpret_cast<PFN_cuGetProcAddress_v12000>(dlsym(library, "cuGetProcAddress_v2"));
  auto version =
      reinterpret_cast<PFN_cuDriverGetVersion_v2020>(dlsym(library, "cuDriverGetVersion"));
  int found = 0;
  if (version != nullptr && version(&found) == CUDA_SUCCESS && found < kOldestDriver) {
    return TooOld(found);
  }
  if (get == nullptr) {
    return absl::UnavailableError(
        absl::StrCat(kLibrary,
                     " has no cuGetProcAddress_v2: it is older than CUDA 12; install a "
                     "newer NVIDIA driver"));
  }
  DriverTable table;
  auto load = [&](const char* name, int since, auto& entry) -> absl::Status {
    void* address = nullptr;
    CUdriverProcAddressQueryResult how;
    if (get(name, &address, since, CU_GET_PROC_ADDRESS_LEGACY_STREAM, &how) != CUDA_SUCCESS ||
        address == nullptr) {
      return absl::UnavailableError(absl::StrCat(kLibrary, " lacks ", name, " of CUDA ",
                                                 VersionText(since),
                                                 "; install a newer NVIDIA driver"));
    }
    entry = reinterpret_cast<std::decay_t<decltype(entry)>>(address);
    return absl::OkStatus();
  };
  absl::Status status;
#define TENURE_X(name, since) \
  if (status.ok()) status = load("cu" #name, since, table.name);
  TENURE_CUDA_ENTRY_POINTS(TENURE_X)
#undef TENURE_X
  if (!status.ok()) return status;
  return table;
}

absl::StatusCode CodeOf(CUresult result) {
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY:
      return absl::StatusCode::kResourceExhausted;
    case CUDA_ERROR_INVALID_VALUE:
    case CUDA_ERROR_INVALID_HANDLE:
    case CUDA_ERROR_INVALID_IMAGE:
      return absl::StatusCode::kInvalidArgument;
    case CUDA_ERROR_NOT_SUPPORTED:
    case CUDA_ERROR_NO_BINARY_FOR_GPU:
      return absl::StatusCode::kUnimplemented;
    case CUDA_ERROR_NO_DEVICE:
    case CUDA_ERROR_INVALID_DEVICE:
    case CUDA_ERROR_DEVICE_UNAVAILABLE:
    case CUDA_ERROR_DEVICE_NOT_LICENSED:
    case CUDA_ERROR_NOT_INITIALIZED:
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_INVALID_CONTEXT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_SYSTEM_DRIVER_MISMATCH:
    case CUDA_ERROR_SYSTEM_NOT_READY:
    case CUDA_ERROR_STUB_LIBRARY:
      return absl::StatusCode::kUnavailable;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED:
    case CUDA_ERROR_STREAM_CAPTURE_INVALIDATED:
    case CUDA_ERROR_STREAM_CAPTURE_MERGE:
    case CUDA_ERROR_STREAM_CAPTURE_UNMATCHED:
    case CUDA_ERROR_STREAM_CAPTURE_UNJOINED:
    case CUDA_ERROR_STREAM_CAPTURE_ISOLATION:
    case CUDA_ERROR_STREAM_CAPTURE_IMPLICIT:
    case CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD:
    case CUDA_ERROR_CAPTURED_EVENT:
    case CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED:
    case CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED:
    case CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED:
    case CUDA_ERROR_PEER_ACCESS_UNSUPPORTED:
      return absl::StatusCode::kFailedPrecondition;
    default:
      return absl::StatusCode::kInternal;
  }
}

}  // namespace

absl::Status Driver::ErrorOf(CUresult result, std::string_view call) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (table_.GetErrorName == nullptr || table_.GetErrorName(result, &name) != CUDA_SUCCESS ||
      name == nullptr) {
    name = "unknown CUDA error";
  }
  if (table_.GetErrorString == nullptr || table_.GetErrorString(result, &text) != CUDA_SUCCESS ||
      text == nullptr) {
    text = "no text";
  }
  return absl::Status(CodeOf(result),
                      absl::StrCat(call, ": ", name, " (", static_cast<int>(result), "): ", text));
}

absl::Status Driver::Initialize() {
  absl::Status status = TENURE_CU(*this, Init, 0);
  if (!status.ok()) {
    return absl::UnavailableError(
        absl::StrCat("the CUDA driver does not start: ", status.message(),
                     "; see whether nvidia-smi works here, or use another memory space"));
  }
  TENURE_RETURN_IF_ERROR(TENURE_CU(*this, DriverGetVersion, &version_));
  return version_ < kOldestDriver ? TooOld(version_) : absl::OkStatus();
}

absl::StatusOr<Driver> Driver::FromTable(const DriverTable& table) {
  const char* missing = nullptr;
#define TENURE_X(name, since) \
  if (table.name == nullptr) missing = "cu" #name;
  TENURE_CUDA_ENTRY_POINTS(TENURE_X)
#undef TENURE_X
  if (missing != nullptr) {
    return absl::InvalidArgumentError(absl::StrCat("the driver table lacks ", missing));
  }
  Driver driver(table);
  TENURE_RETURN_IF_ERROR(driver.Initialize());
  return driver;
}

absl::StatusOr<const Driver*> Driver::Default() {
  ABSL_CONST_INIT static absl::Mutex mutex(absl::kConstInit);
  static const Driver* opened ABSL_GUARDED_BY(mutex) = nullptr;
  absl::MutexLock lock(&mutex);
  if (opened == nullptr) {
    TENURE_ASSIGN_OR_RETURN(DriverTable table, OpenLibrary());
    TENURE_ASSIGN_OR_RETURN(Driver driver, FromTable(table));
    opened = new Driver(driver);
  }
  return opened;
}

}  // namespace tenure::cuda
