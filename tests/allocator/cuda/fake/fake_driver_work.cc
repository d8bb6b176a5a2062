// Entry points for what streams do: copies, fills, prefetches, kernels.

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

Range RangeOf(CUdeviceptr address, uint64_t size, bool write, const Place& place) {
  return {.address = address, .size_bytes = size, .write = write, .region = place.region};
}

// What each side of a copy may be.
enum class Side { kAny, kHost, kDevice };

CUresult CheckSide(State& s, const char* call, Side side, CUdeviceptr address, const Place& place,
                   const std::string& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (place.kind == Place::kBad) {
    return s.Violate(absl::StrCat(call, ": ", why), CUDA_ERROR_INVALID_VALUE);
  }
  if ((side == Side::kDevice && place.kind == Place::kPageable) ||
      (side == Side::kHost && place.kind == Place::kDevice)) {
    return s.Violate(absl::StrCat(call, ": ", Hex(address), " is in ", s.Describe(address),
                                  side == Side::kHost ? ", no host memory" : ", not the device's"),
                     CUDA_ERROR_INVALID_VALUE);
  }
  return CUDA_SUCCESS;
}

CUresult Copy(State& s, const char* call, CUdeviceptr dst, Side dst_side, CUdeviceptr src,
              Side src_side, uint64_t size, CUstream handle)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  CUresult result;
  Stream* stream = s.FindStream(call, handle, &result);
  if (stream == nullptr) return result;
  if (size == 0) return CUDA_SUCCESS;
  std::string why;
  // What was mapped must be so for the stream's device; memory of cuMemAlloc, of a device that this
  // one does not reach, the driver copies by way of the host.
  const auto reader = [&](CUdeviceptr address) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
    const std::shared_ptr<Region> region = s.Find(address);
    return region != nullptr && region->kind == Region::kReserved ? stream->device : -1;
  };
  const Place to = s.Locate(dst, size, reader(dst), true, &why);
  result = CheckSide(s, call, dst_side, dst, to, why);
  if (result != CUDA_SUCCESS) return result;
  const Place from = s.Locate(src, size, reader(src), false, &why);
  result = CheckSide(s, call, src_side, src, from, why);
  if (result != CUDA_SUCCESS) return result;
  if (dst < src ? src - dst < size : dst - src < size) {
    s.Violate(absl::StrCat(call, ": the ", size, " bytes at ", Hex(src), " and ", Hex(dst),
                           " overlap, and the result is not defined"),
              CUDA_SUCCESS);
  }
  const bool to_host = to.kind == Place::kPageable || to.kind == Place::kHost;
  const bool from_host = from.kind == Place::kPageable || from.kind == Place::kHost;
  const bool staged = from.kind == Place::kPageable && size <= kStagedBytes &&
                      to.kind != Place::kPageable && !to_host;
  const bool waits = to.kind == Place::kPageable || (to_host && from_host) ||
                     (from.kind == Place::kPageable && !staged);
  if (stream->capture != nullptr &&
      (waits || from.kind == Place::kPageable || to.kind == Place::kPageable)) {
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  auto op = std::make_shared<Op>();
  op->call = call;
  op->node = {.call = call, .dst = dst, .src = src, .size_bytes = size};
  op->ranges.push_back(RangeOf(dst, size, true, to));
  if (staged) {
    auto bytes = std::make_shared<std::vector<std::byte>>(size);
    {
      const Loud loud;
      std::memcpy(bytes->data(), from.bytes, size);
    }
    op->run = [bytes = std::move(bytes), out = to.bytes] {
      std::memcpy(out, bytes->data(), bytes->size());
    };
  } else {
    op->ranges.push_back(RangeOf(src, size, false, from));
    op->run = [out = to.bytes, in = from.bytes, size] { std::memmove(out, in, size); };
  }
  result = s.Submit(stream, op);
  return result == CUDA_SUCCESS && waits ? s.WaitFor(call, op) : result;
}

CUresult MemcpyAsync(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream) {
  TENURE_FAKE_CALL("cuMemcpyAsync", kContext);
  return Copy(s, kCall, dst, Side::kAny, src, Side::kAny, size, stream);
}

CUresult MemcpyHtoDAsync(CUdeviceptr dst, const void* src, size_t size, CUstream stream) {
  TENURE_FAKE_CALL("cuMemcpyHtoDAsync", kContext);
  return Copy(s, kCall, dst, Side::kDevice, reinterpret_cast<CUdeviceptr>(src), Side::kHost, size,
              stream);
}

CUresult MemcpyDtoHAsync(void* dst, CUdeviceptr src, size_t size, CUstream stream) {
  TENURE_FAKE_CALL("cuMemcpyDtoHAsync", kContext);
  return Copy(s, kCall, reinterpret_cast<CUdeviceptr>(dst), Side::kHost, src, Side::kDevice, size,
              stream);
}

CUresult MemcpyDtoDAsync(CUdeviceptr dst, CUdeviceptr src, size_t size, CUstream stream) {
  TENURE_FAKE_CALL("cuMemcpyDtoDAsync", kContext);
  return Copy(s, kCall, dst, Side::kDevice, src, Side::kDevice, size, stream);
}

template <typename T>
CUresult Fill(State& s, const char* call, CUdeviceptr dst, T value, uint64_t count, CUstream handle)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  CUresult result;
  Stream* stream = s.FindStream(call, handle, &result);
  if (stream == nullptr) return result;
  if (count > UINT64_MAX / sizeof(T)) return CUDA_ERROR_INVALID_VALUE;
  if (dst % sizeof(T) != 0) {
    return s.Violate(absl::StrCat(call, ": ", Hex(dst), " is not a multiple of ", sizeof(T)),
                     CUDA_ERROR_INVALID_VALUE);
  }
  if (count == 0) return CUDA_SUCCESS;
  const uint64_t size = count * sizeof(T);
  std::string why;
  const Place to = s.Locate(dst, size, stream->device, true, &why);
  result = CheckSide(s, call, Side::kDevice, dst, to, why);
  if (result != CUDA_SUCCESS) return result;
  auto op = std::make_shared<Op>();
  op->call = call;
  op->node = {.call = call, .dst = dst, .size_bytes = size, .value = value};
  op->ranges.push_back(RangeOf(dst, size, true, to));
  op->run = [out = to.bytes, value, count] {
    if constexpr (sizeof(T) == 1) {
      std::memset(out, value, count);
    } else {
      std::fill_n(reinterpret_cast<T*>(out), count, value);
    }
  };
  return s.Submit(stream, op);
}

CUresult MemsetD8Async(CUdeviceptr dst, unsigned char value, size_t count, CUstream stream) {
  TENURE_FAKE_CALL("cuMemsetD8Async", kContext);
  return Fill<uint8_t>(s, kCall, dst, value, count, stream);
}

CUresult MemsetD16Async(CUdeviceptr dst, unsigned short value, size_t count, CUstream stream) {
  TENURE_FAKE_CALL("cuMemsetD16Async", kContext);
  return Fill<uint16_t>(s, kCall, dst, value, count, stream);
}

CUresult MemsetD32Async(CUdeviceptr dst, unsigned value, size_t count, CUstream stream) {
  TENURE_FAKE_CALL("cuMemsetD32Async", kContext);
  return Fill<uint32_t>(s, kCall, dst, value, count, stream);
}

bool IsLocation(const State& s, const CUmemLocation& location)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  switch (location.type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
      return location.id >= 0 && static_cast<size_t>(location.id) < s.devices.size();
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
      return true;
    default:
      return false;
  }
}

CUresult CheckManaged(State& s, const char* call, CUdeviceptr address, uint64_t size, Place* place)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (size == 0) return CUDA_ERROR_INVALID_VALUE;
  std::string why;
  *place = s.Locate(address, size, -1, false, &why);
  if (place->kind == Place::kManaged) return CUDA_SUCCESS;
  return s.Violate(absl::StrCat(call, ": ", Hex(address), " is in ", s.Describe(address),
                                ", not (all of it) managed memory"),
                   CUDA_ERROR_INVALID_VALUE);
}

CUresult MemAdvise(CUdeviceptr address, size_t size, CUmem_advise advice, CUmemLocation location) {
  TENURE_FAKE_CALL("cuMemAdvise", kContext);
  if (advice < CU_MEM_ADVISE_SET_READ_MOSTLY || advice > CU_MEM_ADVISE_UNSET_ACCESSED_BY) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const bool located = advice != CU_MEM_ADVISE_SET_READ_MOSTLY &&
                       advice != CU_MEM_ADVISE_UNSET_READ_MOSTLY &&
                       advice != CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION;
  if (located && !IsLocation(s, location)) return CUDA_ERROR_INVALID_DEVICE;
  Place place;
  const CUresult result = CheckManaged(s, kCall, address, size, &place);
  if (result != CUDA_SUCCESS) return result;
  s.advices.push_back({kCall, address, size, static_cast<int>(advice), location, nullptr});
  return CUDA_SUCCESS;
}

CUresult MemPrefetchAsync(CUdeviceptr address, size_t size, CUmemLocation location, unsigned flags,
                          CUstream handle) {
  TENURE_FAKE_CALL("cuMemPrefetchAsync", kContext);
  if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
  if (!IsLocation(s, location)) return CUDA_ERROR_INVALID_DEVICE;
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  Place place;
  result = CheckManaged(s, kCall, address, size, &place);
  if (result != CUDA_SUCCESS) return result;
  if (stream->capture != nullptr) {
    stream->capture->invalid = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  auto op = std::make_shared<Op>();
  op->call = kCall;
  op->ranges.push_back(RangeOf(address, size, false, place));
  s.advices.push_back({kCall, address, size, 0, location, handle});
  return s.Submit(stream, op);
}

CUresult LaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                      CUstream handle, void** params, void** extra) {
  TENURE_FAKE_CALL("cuLaunchKernel", kContext);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  auto found = s.functions.find(function);
  if (found == s.functions.end()) {
    return s.Violate("cuLaunchKernel: no such function, or its module was unloaded",
                     CUDA_ERROR_INVALID_HANDLE);
  }
  const auto& [module, name] = found->second;
  if (s.modules[module] != stream->device || s.CurrentDevice() != stream->device) {
    return s.Violate(absl::StrCat("cuLaunchKernel: ", name, " of device ", s.modules[module],
                                  ", with the context of device ", s.CurrentDevice(),
                                  ", on a stream of device ", stream->device),
                     CUDA_ERROR_INVALID_HANDLE);
  }
  const State::Kernel& kernel = s.kernels[name];
  if (extra != nullptr) {
    return s.Violate("cuLaunchKernel: `extra` is not faked", CUDA_ERROR_NOT_SUPPORTED);
  }
  if (params == nullptr && !kernel.param_sizes.empty()) return CUDA_ERROR_INVALID_VALUE;
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || block_x == 0 || block_y == 0 || block_z == 0 ||
      grid_y > 65535 || grid_z > 65535 || grid_x > 2147483647 || block_x > 1024 || block_y > 1024 ||
      block_z > 64 || uint64_t{block_x} * block_y * block_z > 1024) {
    return s.Violate(
        absl::StrCat("cuLaunchKernel: ", name, " with a grid of ", grid_x, "x", grid_y, "x", grid_z,
                     " and blocks of ", block_x, "x", block_y, "x", block_z),
        CUDA_ERROR_INVALID_VALUE);
  }
  auto launch = std::make_shared<FakeLaunch>();
  launch->grid = {grid_x, grid_y, grid_z};
  launch->block = {block_x, block_y, block_z};
  launch->shared_bytes = shared_bytes;
  launch->device = stream->device;
  launch->fake = s.fake;
  auto op = std::make_shared<Op>();
  op->call = absl::StrCat("kernel ", name);
  op->node.call = op->call;
  op->function = function;
  for (size_t i = 0; i < kernel.param_sizes.size(); ++i) {
    std::vector<std::byte>& param = launch->params.emplace_back(kernel.param_sizes[i]);
    if (param.empty()) continue;
    {
      const Loud loud;
      std::memcpy(param.data(), params[i], param.size());
    }
    CUdeviceptr address = 0;
    if (param.size() != sizeof(address)) continue;
    std::memcpy(&address, param.data(), sizeof(address));
    if (std::shared_ptr<Region> region = s.Find(address)) {
      op->ranges.push_back({.address = address,
                            .size_bytes = 1,
                            .write = true,
                            .exact = false,
                            .region = std::move(region)});
    } else if (address >= kFirstDeviceAddress && s.Describe(address).starts_with("freed")) {
      s.Violate(absl::StrCat("cuLaunchKernel: parameter ", i, " of ", name, " points into ",
                             s.Describe(address)),
                CUDA_SUCCESS);
    }
  }
  op->run = [launch, run = kernel.run] { (*run)(*launch); };
  return s.Submit(stream, op);
}

}  // namespace

void FillWork(DriverTable* table) {
  table->MemcpyAsync = MemcpyAsync;
  table->MemcpyHtoDAsync = MemcpyHtoDAsync;
  table->MemcpyDtoHAsync = MemcpyDtoHAsync;
  table->MemcpyDtoDAsync = MemcpyDtoDAsync;
  table->MemsetD8Async = MemsetD8Async;
  table->MemsetD16Async = MemsetD16Async;
  table->MemsetD32Async = MemsetD32Async;
  table->MemAdvise = MemAdvise;
  table->MemPrefetchAsync = MemPrefetchAsync;
  table->LaunchKernel = LaunchKernel;
}

}  // namespace tenure::cuda::fake
