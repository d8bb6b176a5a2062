// Entry points for errors, devices, contexts and modules.

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

struct ErrorText {
  CUresult result;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {CUDA_ERROR_LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT",
     "the launch timed out and was terminated"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
     "part or all of the requested memory range is already mapped"},
    {CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
     "pointer does not correspond to a registered memory region"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
    {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
     "operation failed due to a previous error during capture"},
    {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
     "capture was not initiated in this stream"},
    {CUDA_ERROR_STREAM_CAPTURE_UNJOINED, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED",
     "capturing stream has unjoined work"},
    {CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
     "dependency created on uncaptured work in another stream"},
    {CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {CUDA_ERROR_CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT",
     "operation not permitted on an event last recorded in a capturing stream"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

// The real one leaves the pointer null for a code that it does not know.
CUresult TextOf(CUresult error, const char** out, bool name) {
  for (const ErrorText& known : kErrors) {
    if (known.result != error) continue;
    *out = name ? known.name : known.text;
    return CUDA_SUCCESS;
  }
  *out = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult GetErrorName(CUresult error, const char** text) {
  const Call call("cuGetErrorName", Call::kNothing);
  return call.result() != CUDA_SUCCESS ? call.result() : TextOf(error, text, true);
}

CUresult GetErrorString(CUresult error, const char** text) {
  const Call call("cuGetErrorString", Call::kNothing);
  return call.result() != CUDA_SUCCESS ? call.result() : TextOf(error, text, false);
}

CUresult Init(unsigned flags) {
  TENURE_FAKE_CALL("cuInit", kNothing);
  if (flags != 0) return s.Violate("cuInit: flags", CUDA_ERROR_INVALID_VALUE);
  if (s.devices.empty()) return CUDA_ERROR_NO_DEVICE;
  s.initialised = true;
  return CUDA_SUCCESS;
}

CUresult DriverGetVersion(int* version) {
  TENURE_FAKE_CALL("cuDriverGetVersion", kNothing);
  *version = s.options.driver_version;
  return CUDA_SUCCESS;
}

CUresult DeviceGetCount(int* count) {
  TENURE_FAKE_CALL("cuDeviceGetCount", kInit);
  *count = static_cast<int>(s.devices.size());
  return CUDA_SUCCESS;
}

bool IsDevice(const State& s, int device) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  return device >= 0 && static_cast<size_t>(device) < s.devices.size();
}

CUresult DeviceGet(CUdevice* device, int ordinal) {
  TENURE_FAKE_CALL("cuDeviceGet", kInit);
  if (!IsDevice(s, ordinal)) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult CopyText(const std::string& text, char* out, int length) {
  if (out == nullptr || length <= 0) return CUDA_ERROR_INVALID_VALUE;
  std::snprintf(out, static_cast<size_t>(length), "%s", text.c_str());
  return CUDA_SUCCESS;
}

CUresult DeviceGetName(char* name, int length, CUdevice device) {
  TENURE_FAKE_CALL("cuDeviceGetName", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  return CopyText(s.devices[device].options.name, name, length);
}

CUresult DeviceGetUuid(CUuuid* uuid, CUdevice device) {
  TENURE_FAKE_CALL("cuDeviceGetUuid", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  CUuuid made = {};
  std::memcpy(made.bytes, "tenure-fake-gpu", 15);
  made.bytes[15] = static_cast<char>(device);
  *uuid = s.devices[device].options.uuid.value_or(made);
  return CUDA_SUCCESS;
}

CUresult DeviceTotalMem(size_t* bytes, CUdevice device) {
  TENURE_FAKE_CALL("cuDeviceTotalMem", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  *bytes = s.devices[device].options.memory_bytes;
  return CUDA_SUCCESS;
}

// Those of an H200 with driver 580; what is not here is 0.
int AttributeOf(CUdevice_attribute attribute) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y:
      return 1024;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z:
      return 64;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X:
      return 2147483647;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z:
      return 65535;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK:
      return 49152;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE:
      return 32;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return 132;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR:
      return 2048;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      return 62914560;
    case CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT:
      return 3;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return 9;
    case CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT:
      return 512;
    case CU_DEVICE_ATTRIBUTE_GPU_OVERLAP:
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_PREEMPTION_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
    case CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
    case CU_DEVICE_ATTRIBUTE_TIMELINE_SEMAPHORE_INTEROP_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS:
      return 1;
    default:
      return 0;
  }
}

CUresult DeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  TENURE_FAKE_CALL("cuDeviceGetAttribute", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  if (attribute <= 0 || attribute >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
  const auto& own = s.devices[device].options.attributes;
  auto found = own.find(attribute);
  if (found != own.end()) {
    *value = found->second;
  } else {
    *value = attribute == CU_DEVICE_ATTRIBUTE_PCI_BUS_ID ? device + 1 : AttributeOf(attribute);
  }
  return CUDA_SUCCESS;
}

CUresult DeviceGetPCIBusId(char* id, int length, CUdevice device) {
  TENURE_FAKE_CALL("cuDeviceGetPCIBusId", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  const std::string& own = s.devices[device].options.pci_bus_id;
  return CopyText(
      own.empty() ? absl::StrCat("0000:", absl::Hex(device + 1, absl::kZeroPad2), ":00.0") : own,
      id, length);
}

CUresult DeviceCanAccessPeer(int* can, CUdevice device, CUdevice peer) {
  TENURE_FAKE_CALL("cuDeviceCanAccessPeer", kInit);
  if (!IsDevice(s, device) || !IsDevice(s, peer)) return CUDA_ERROR_INVALID_DEVICE;
  auto found = s.peers.find({device, peer});
  *can = device != peer && (found == s.peers.end() ? s.options.peer_access : found->second);
  return CUDA_SUCCESS;
}

CUresult DevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  TENURE_FAKE_CALL("cuDevicePrimaryCtxRetain", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  ++s.devices[device].retained;
  *context = s.devices[device].context;
  return CUDA_SUCCESS;
}

CUresult DevicePrimaryCtxRelease(CUdevice device) {
  TENURE_FAKE_CALL("cuDevicePrimaryCtxRelease", kInit);
  if (!IsDevice(s, device)) return CUDA_ERROR_INVALID_DEVICE;
  Device& d = s.devices[device];
  if (d.retained == 0) {
    return s.Violate("cuDevicePrimaryCtxRelease: the context is not retained",
                     CUDA_ERROR_INVALID_CONTEXT);
  }
  if (--d.retained > 0 || d.fault != CUDA_SUCCESS) return CUDA_SUCCESS;
  // The real one frees them without a word.
  size_t held = 0;
  for (const auto& [base, region] : s.regions) {
    held += region->device == device && region->kind != Region::kReserved;
  }
  for (const auto& [handle, stream] : s.streams) {
    held += stream->device == device && !stream->destroyed;
  }
  for (const auto& [handle, event] : s.events) held += event.device == device;
  for (const auto& [handle, of] : s.modules) held += of == device;
  if (held != 0) {
    s.Violate(absl::StrCat("cuDevicePrimaryCtxRelease: the last one, while ", held,
                           " allocations, streams, events and modules of device ", device, " live"),
              CUDA_SUCCESS);
  }
  return CUDA_SUCCESS;
}

CUresult CtxGetCurrent(CUcontext* context) {
  TENURE_FAKE_CALL("cuCtxGetCurrent", kInit);
  auto found = s.contexts.find(ThisThread());
  *context = found == s.contexts.end() || found->second.empty() ? nullptr : found->second.back();
  return CUDA_SUCCESS;
}

CUresult CtxPushCurrent(CUcontext context) {
  TENURE_FAKE_CALL("cuCtxPushCurrent", kInit);
  const int device = s.DeviceOf(context);
  if (device < 0 || s.devices[device].retained == 0) {
    return s.Violate("cuCtxPushCurrent: no context, or it was released",
                     CUDA_ERROR_INVALID_CONTEXT);
  }
  s.contexts[ThisThread()].push_back(context);
  return CUDA_SUCCESS;
}

CUresult CtxPopCurrent(CUcontext* context) {
  TENURE_FAKE_CALL("cuCtxPopCurrent", kInit);
  std::vector<CUcontext>& stack = s.contexts[ThisThread()];
  if (stack.empty()) {
    return s.Violate("cuCtxPopCurrent: nothing was pushed", CUDA_ERROR_INVALID_CONTEXT);
  }
  if (context != nullptr) *context = stack.back();
  stack.pop_back();
  return CUDA_SUCCESS;
}

CUresult ModuleLoadData(CUmodule* module, const void* image) {
  TENURE_FAKE_CALL("cuModuleLoadData", kContext);
  if (image == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *module = s.NewHandle<CUmodule>();
  s.modules[*module] = s.CurrentDevice();
  return CUDA_SUCCESS;
}

CUresult ModuleUnload(CUmodule module) {
  TENURE_FAKE_CALL("cuModuleUnload", kContext);
  if (s.modules.count(module) == 0) {
    return s.Violate(absl::StrCat("cuModuleUnload: the module is ", s.WhyNot(module)),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  for (Stream* stream : s.AllStreams(-1)) {
    for (const std::shared_ptr<Op>& op : stream->queue) {
      auto function = s.functions.find(op->function);
      if (function != s.functions.end() && function->second.first == module) {
        s.Violate(
            absl::StrCat("cuModuleUnload: while ", op->call, " is queued on ", StreamName(*stream)),
            CUDA_SUCCESS);
      }
    }
  }
  s.modules.erase(module);
  for (auto it = s.functions.begin(); it != s.functions.end();) {
    it = it->second.first == module ? s.functions.erase(it) : std::next(it);
  }
  return CUDA_SUCCESS;
}

CUresult ModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  TENURE_FAKE_CALL("cuModuleGetFunction", kContext);
  if (s.modules.count(module) == 0) {
    return s.Violate(absl::StrCat("cuModuleGetFunction: the module is ", s.WhyNot(module)),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  if (s.kernels.count(name) == 0) return CUDA_ERROR_NOT_FOUND;
  for (const auto& [known, of] : s.functions) {
    if (of.first == module && of.second == name) {
      *function = known;
      return CUDA_SUCCESS;
    }
  }
  *function = s.NewHandle<CUfunction>();
  s.functions[*function] = {module, name};
  return CUDA_SUCCESS;
}

}  // namespace

void FillDevices(DriverTable* table) {
  table->GetErrorName = GetErrorName;
  table->GetErrorString = GetErrorString;
  table->Init = Init;
  table->DriverGetVersion = DriverGetVersion;
  table->DeviceGetCount = DeviceGetCount;
  table->DeviceGet = DeviceGet;
  table->DeviceGetName = DeviceGetName;
  table->DeviceGetUuid = DeviceGetUuid;
  table->DeviceTotalMem = DeviceTotalMem;
  table->DeviceGetAttribute = DeviceGetAttribute;
  table->DeviceGetPCIBusId = DeviceGetPCIBusId;
  table->DeviceCanAccessPeer = DeviceCanAccessPeer;
  table->DevicePrimaryCtxRetain = DevicePrimaryCtxRetain;
  table->DevicePrimaryCtxRelease = DevicePrimaryCtxRelease;
  table->CtxGetCurrent = CtxGetCurrent;
  table->CtxPushCurrent = CtxPushCurrent;
  table->CtxPopCurrent = CtxPopCurrent;
  table->ModuleLoadData = ModuleLoadData;
  table->ModuleUnload = ModuleUnload;
  table->ModuleGetFunction = ModuleGetFunction;
}

}  // namespace tenure::cuda::fake
