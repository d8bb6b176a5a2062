// Entry points for device, managed, pinned and registered memory, its attributes, and IPC.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kUnit = 512;  // of device memory

uint64_t RoundUp(uint64_t size, uint64_t to) { return (size + to - 1) / to * to; }

// Nobody may take fresh memory for zeroed memory.
void FillFresh(std::byte* bytes, uint64_t size) {
  constexpr uint64_t kEdge = 64 << 10;
  if (size <= 16 * kEdge) {
    std::memset(bytes, 0xCD, size);
  } else {
    std::memset(bytes, 0xCD, kEdge);
    std::memset(bytes + size - kEdge, 0xCD, kEdge);
  }
}

CUresult MemGetInfo(size_t* free_bytes, size_t* total) {
  TENURE_FAKE_CALL("cuMemGetInfo", kContext);
  const Device& device = s.devices[s.CurrentDevice()];
  *total = device.options.memory_bytes;
  *free_bytes = device.limit_bytes - std::min(device.limit_bytes, device.used_bytes);
  return CUDA_SUCCESS;
}

CUresult AllocateDevice(State& s, CUdeviceptr* address, size_t size)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (size == 0 || address == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const int ordinal = s.CurrentDevice();
  Device& device = s.devices[ordinal];
  if (device.limit_bytes < device.used_bytes || size > device.limit_bytes - device.used_bytes ||
      RoundUp(size, kUnit) > device.limit_bytes - device.used_bytes) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  auto region = std::make_shared<Region>();
  region->kind = Region::kDevice;
  region->size_bytes = size;
  region->device = ordinal;
  region->mapped_bytes = RoundUp(size, kPage);
  region->file_offset = device.next_offset;
  if (ftruncate(device.fd, static_cast<off_t>(device.next_offset + region->mapped_bytes)) != 0) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  void* bytes = mmap(nullptr, region->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, device.fd,
                     static_cast<off_t>(device.next_offset));
  if (bytes == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  region->bytes = static_cast<std::byte*>(bytes);
  device.next_offset += region->mapped_bytes;
  device.used_bytes += RoundUp(size, kUnit);
  // A multiple of 512 and no more, with a gap behind.
  region->base = RoundUp(s.next_address, 2 * kUnit) + kUnit;
  s.next_address = region->base + size + kPage;
  region->id = s.next_id++;
  FillFresh(region->bytes, size);
  s.regions[region->base] = region;
  *address = region->base;
  return CUDA_SUCCESS;
}

CUresult MemAlloc(CUdeviceptr* address, size_t size) {
  TENURE_FAKE_CALL("cuMemAlloc", kContext);
  if (CUresult refused = s.RefuseInCapture(); refused != CUDA_SUCCESS) return refused;
  return AllocateDevice(s, address, size);
}

// There at once, which the real one's is to the stream only. Graphs with allocations are not there.
CUresult MemAllocAsync(CUdeviceptr* address, size_t size, CUstream handle) {
  TENURE_FAKE_CALL("cuMemAllocAsync", kContext);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  if (stream->capture != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return AllocateDevice(s, address, size);
}

// Host memory with a page behind it that faults; the same address for everybody.
CUresult AllocateHost(State& s, Region::Kind kind, size_t size, unsigned flags, CUdeviceptr* out)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (size == 0) return CUDA_ERROR_INVALID_VALUE;
  if (size > s.options.host_limit_bytes || s.host_bytes > s.options.host_limit_bytes - size) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (size > uint64_t{1} << 46) return CUDA_ERROR_OUT_OF_MEMORY;
  const uint64_t mapped = RoundUp(size, kPage) + kPage;
  void* bytes = mmap(nullptr, mapped, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (bytes == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  mprotect(static_cast<std::byte*>(bytes) + mapped - kPage, kPage, PROT_NONE);
  auto region = std::make_shared<Region>();
  region->kind = kind;
  region->base = reinterpret_cast<CUdeviceptr>(bytes);
  region->size_bytes = size;
  region->mapped_bytes = mapped;
  region->device = s.CurrentDevice();
  region->flags = flags;
  region->bytes = static_cast<std::byte*>(bytes);
  region->id = s.next_id++;
  s.host_bytes += size;
  FillFresh(region->bytes, size);
  s.regions[region->base] = region;
  *out = region->base;
  return CUDA_SUCCESS;
}

CUresult MemAllocManaged(CUdeviceptr* address, size_t size, unsigned flags) {
  TENURE_FAKE_CALL("cuMemAllocManaged", kContext);
  if (address == nullptr || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (CUresult refused = s.RefuseInCapture(); refused != CUDA_SUCCESS) return refused;
  return AllocateHost(s, Region::kManaged, size, flags, address);
}

CUresult MemHostAlloc(void** address, size_t size, unsigned flags) {
  TENURE_FAKE_CALL("cuMemHostAlloc", kContext);
  if (address == nullptr || flags > 7) return CUDA_ERROR_INVALID_VALUE;
  if (CUresult refused = s.RefuseInCapture(); refused != CUDA_SUCCESS) return refused;
  CUdeviceptr base = 0;
  const CUresult result = AllocateHost(s, Region::kPinned, size, flags, &base);
  if (result == CUDA_SUCCESS) *address = reinterpret_cast<void*>(base);
  return result;
}

// The region of this kind that begins here; null and a violation otherwise.
std::shared_ptr<Region> Owned(State& s, const char* call, CUdeviceptr base,
                              std::initializer_list<Region::Kind> kinds)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  auto found = s.regions.find(base);
  if (found != s.regions.end() &&
      std::find(kinds.begin(), kinds.end(), found->second->kind) != kinds.end()) {
    return found->second;
  }
  s.Violate(absl::StrCat(call, ": ", Hex(base), " is in ", s.Describe(base),
                         ", which is not what this call frees or not its start"),
            CUDA_SUCCESS);
  return nullptr;
}

// Takes it out of the world; its addresses stay known as freed.
void Bury(State& s, const std::shared_ptr<Region>& region) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  region->dead = true;
  s.regions.erase(region->base);
  if (region->kind == Region::kRegistered) return;
  s.graves[region->base] = region;
  if (region->kind == Region::kExternal) {
    munmap(region->bytes - region->file_offset, region->mapped_bytes);
    region->mapped_bytes = 0;
  } else if (region->kind == Region::kDevice || region->kind == Region::kImported) {
    munmap(region->bytes, region->mapped_bytes);
    if (region->kind == Region::kDevice) {
      Device& device = s.devices[region->device];
      device.used_bytes -= RoundUp(region->size_bytes, kUnit);
      fallocate(device.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(region->file_offset), static_cast<off_t>(region->mapped_bytes));
    }
    region->mapped_bytes = 0;
  } else {
    // Kept, so that nothing else comes to lie there.
    mmap(region->bytes, region->mapped_bytes, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    s.host_bytes -= region->size_bytes;
  }
}

CUresult Free(State& s, const char* call, CUdeviceptr address,
              std::initializer_list<Region::Kind> kinds) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (CUresult refused = s.RefuseInCapture(); refused != CUDA_SUCCESS) return refused;
  std::shared_ptr<Region> region = Owned(s, call, address, kinds);
  if (region == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const int device = region->kind == Region::kDevice ? region->device : -1;
  if (device >= 0 && s.devices[device].fault != CUDA_SUCCESS) return s.devices[device].fault;
  s.WaitForDevice(call, device, region->base, region->size_bytes);
  if (region->dead) {
    return s.Violate(absl::StrCat(call, ": freed by two threads at once"),
                     CUDA_ERROR_INVALID_VALUE);
  }
  Bury(s, region);
  return CUDA_SUCCESS;
}

CUresult MemFree(CUdeviceptr address) {
  TENURE_FAKE_CALL("cuMemFree", kContext);
  if (address == 0) return CUDA_SUCCESS;
  return Free(s, kCall, address, {Region::kDevice, Region::kManaged, Region::kExternal});
}

// When the stream gets there.
CUresult MemFreeAsync(CUdeviceptr address, CUstream handle) {
  TENURE_FAKE_CALL("cuMemFreeAsync", kContext);
  CUresult result;
  Stream* stream = s.FindStream(kCall, handle, &result);
  if (stream == nullptr) return result;
  if (stream->capture != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  std::shared_ptr<Region> region = Owned(s, kCall, address, {Region::kDevice});
  if (region == nullptr) return CUDA_ERROR_INVALID_VALUE;
  auto op = std::make_shared<Op>();
  op->call = kCall;
  op->node = {.call = kCall, .dst = address};
  op->frees = true;
  op->ranges.push_back(
      {.address = address, .size_bytes = region->size_bytes, .write = true, .region = region});
  op->run = [state = &s, region] {
    const Quiet quiet;
    absl::MutexLock freeing(&state->mutex);
    if (!region->dead) Bury(*state, region);  // else seen as a use of freed memory
  };
  return s.Submit(stream, op);
}

CUresult MemFreeHost(void* address) {
  TENURE_FAKE_CALL("cuMemFreeHost", kContext);
  return Free(s, kCall, reinterpret_cast<CUdeviceptr>(address), {Region::kPinned});
}

CUresult MemHostRegister(void* address, size_t size, unsigned flags) {
  TENURE_FAKE_CALL("cuMemHostRegister", kContext);
  const CUdeviceptr base = reinterpret_cast<CUdeviceptr>(address);
  if (address == nullptr || size == 0 || size > UINT64_MAX - base || flags > 15) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (s.FindIn(base, size) != nullptr) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  auto region = std::make_shared<Region>();
  region->kind = Region::kRegistered;
  region->base = base;
  region->size_bytes = size;
  region->device = s.CurrentDevice();
  region->flags = flags;
  region->bytes = static_cast<std::byte*>(address);
  region->id = s.next_id++;
  s.regions[base] = region;
  return CUDA_SUCCESS;
}

CUresult MemHostUnregister(void* address) {
  TENURE_FAKE_CALL("cuMemHostUnregister", kContext);
  const CUdeviceptr base = reinterpret_cast<CUdeviceptr>(address);
  auto found = s.regions.find(base);
  if (found == s.regions.end() || found->second->kind != Region::kRegistered) {
    return s.Violate(absl::StrCat("cuMemHostUnregister: ", Hex(base), " is in ", s.Describe(base),
                                  ", and no registration begins there"),
                     CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  }
  const std::shared_ptr<Region> region = found->second;
  s.CheckUnused(kCall, base, region->size_bytes);
  Bury(s, region);
  return CUDA_SUCCESS;
}

// What contains the address as one piece: an allocation, or a mapping.
bool PieceOf(const Region& region, CUdeviceptr address, CUdeviceptr* base, uint64_t* size) {
  *base = region.base;
  *size = region.size_bytes;
  if (region.kind != Region::kReserved) return true;
  auto next = region.mappings.upper_bound(address - region.base);
  if (next == region.mappings.begin()) return false;
  const auto& [offset, mapping] = *std::prev(next);
  *base = region.base + offset;
  *size = mapping.size_bytes;
  return address - *base < *size;
}

CUresult MemGetAddressRange(CUdeviceptr* base, size_t* size, CUdeviceptr address) {
  TENURE_FAKE_CALL("cuMemGetAddressRange", kContext);
  const std::shared_ptr<Region> region = s.Find(address);
  CUdeviceptr start = 0;
  uint64_t length = 0;
  if (region == nullptr || !PieceOf(*region, address, &start, &length)) {
    return CUDA_ERROR_NOT_FOUND;
  }
  if (base != nullptr) *base = start;
  if (size != nullptr) *size = length;
  return CUDA_SUCCESS;
}

template <typename T>
void Put(void* out, T value) {
  std::memcpy(out, &value, sizeof(value));
}

CUresult PointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** data,
                              CUdeviceptr address) {
  TENURE_FAKE_CALL("cuPointerGetAttributes", kContext);
  if (attributes == nullptr || data == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::shared_ptr<Region> region = s.Find(address);
  CUdeviceptr base = 0;
  uint64_t size = 0;
  if (region != nullptr && !PieceOf(*region, address, &base, &size)) region = nullptr;
  int ordinal = region == nullptr ? -2 : region->device;  // CU_DEVICE_INVALID
  if (region != nullptr && region->kind == Region::kReserved) {
    ordinal = s.handles.at(region->mappings.at(base - region->base).handle).device;
  }
  for (unsigned i = 0; i < count; ++i) {
    switch (attributes[i]) {
      case CU_POINTER_ATTRIBUTE_CONTEXT:
        Put(data[i], region == nullptr ? CUcontext{} : s.devices[region->device].context);
        break;
      case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        Put(data[i], region == nullptr  ? 0u
                     : region->OnHost() ? unsigned{CU_MEMORYTYPE_HOST}
                                        : unsigned{CU_MEMORYTYPE_DEVICE});
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        Put(data[i], region == nullptr ? CUdeviceptr{0} : address);
        break;
      case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        Put(data[i], region != nullptr && (region->OnHost() || region->kind == Region::kManaged)
                         ? address
                         : CUdeviceptr{0});
        break;
      case CU_POINTER_ATTRIBUTE_BUFFER_ID:
        Put(data[i], region == nullptr ? uint64_t{0} : region->id);
        break;
      case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        Put(data[i], region != nullptr && region->kind == Region::kManaged ? 1u : 0u);
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        Put(data[i], ordinal);
        break;
      case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        Put(data[i], region != nullptr && region->kind == Region::kDevice ? 1u : 0u);
        break;
      case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        Put(data[i], CUmemoryPool{});
        break;
      // As on an H200: the range of mapped memory is all that was reserved, mapped or not.
      case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        Put(data[i], region == nullptr                   ? CUdeviceptr{0}
                     : region->kind == Region::kReserved ? region->base
                                                         : base);
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        Put(data[i], region == nullptr                   ? uint64_t{0}
                     : region->kind == Region::kReserved ? region->size_bytes
                                                         : size);
        break;
      case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        Put(data[i], region == nullptr ? CUdeviceptr{0} : base);
        break;
      case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        Put(data[i], region == nullptr ? uint64_t{0} : size);
        break;
      case CU_POINTER_ATTRIBUTE_MAPPED:
        Put(data[i], region == nullptr ? 0u : 1u);
        break;
      case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        Put(data[i], region != nullptr && region->kind == Region::kReserved
                         ? unsigned{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR}
                         : 0u);
        break;
      default:
        return s.Violate(
            absl::StrCat("cuPointerGetAttributes: attribute ", attributes[i], " is not faked"),
            CUDA_ERROR_NOT_SUPPORTED);
    }
  }
  return CUDA_SUCCESS;
}

// Found again by the exporter's file, which /proc shows to processes of the same user.
struct IpcText {
  uint64_t magic;
  uint64_t inode;
  uint64_t offset;
  uint64_t size_bytes;
  int32_t pid;
  int32_t fd;
  int32_t device;
};
static_assert(sizeof(IpcText) <= sizeof(CUipcMemHandle));
constexpr uint64_t kIpcMagic = 0x74656e757265ULL;

CUresult IpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  TENURE_FAKE_CALL("cuIpcGetMemHandle", kContext);
  const std::shared_ptr<Region> region = s.Find(address);
  if (region == nullptr || region->kind != Region::kDevice) {
    return s.Violate(absl::StrCat("cuIpcGetMemHandle: ", Hex(address), " is in ",
                                  s.Describe(address), ", not memory of cuMemAlloc"),
                     CUDA_ERROR_INVALID_VALUE);
  }
  struct stat info = {};
  const int fd = s.devices[region->device].fd;
  if (fstat(fd, &info) != 0) return CUDA_ERROR_UNKNOWN;
  const IpcText text = {kIpcMagic, info.st_ino, region->file_offset, region->size_bytes,
                        getpid(),  fd,          region->device};
  *handle = {};
  std::memcpy(handle, &text, sizeof(text));
  return CUDA_SUCCESS;
}

CUresult IpcOpenMemHandle(CUdeviceptr* address, CUipcMemHandle handle, unsigned flags) {
  TENURE_FAKE_CALL("cuIpcOpenMemHandle", kContext);
  IpcText text;
  std::memcpy(&text, &handle, sizeof(text));
  if (text.magic != kIpcMagic || flags > CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (text.pid == getpid() && !s.options.ipc_within_process) return CUDA_ERROR_INVALID_CONTEXT;
  const std::string key(handle.reserved, sizeof(handle.reserved));
  for (const auto& [base, region] : s.regions) {
    if (region->kind == Region::kImported && region->ipc == key) {
      ++region->opened;
      *address = base;
      return CUDA_SUCCESS;
    }
  }
  const int fd =
      open(absl::StrCat("/proc/", text.pid, "/fd/", text.fd).c_str(), O_RDWR | O_CLOEXEC);
  struct stat info = {};
  if (fd < 0 || fstat(fd, &info) != 0 || info.st_ino != text.inode) {
    if (fd >= 0) close(fd);
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto region = std::make_shared<Region>();
  region->kind = Region::kImported;
  region->size_bytes = text.size_bytes;
  region->device = s.CurrentDevice();
  region->mapped_bytes = RoundUp(text.size_bytes, kPage);
  void* bytes = mmap(nullptr, region->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                     static_cast<off_t>(text.offset));
  close(fd);
  if (bytes == MAP_FAILED) return CUDA_ERROR_UNKNOWN;
  region->bytes = static_cast<std::byte*>(bytes);
  region->base = RoundUp(s.next_address, 2 * kUnit) + kUnit;
  s.next_address = region->base + region->size_bytes + kPage;
  region->id = s.next_id++;
  region->ipc = key;
  region->opened = 1;
  s.regions[region->base] = region;
  *address = region->base;
  return CUDA_SUCCESS;
}

CUresult IpcCloseMemHandle(CUdeviceptr address) {
  TENURE_FAKE_CALL("cuIpcCloseMemHandle", kContext);
  const std::shared_ptr<Region> region = Owned(s, kCall, address, {Region::kImported});
  if (region == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (--region->opened > 0) return CUDA_SUCCESS;
  s.CheckUnused(kCall, address, region->size_bytes);
  Bury(s, region);
  return CUDA_SUCCESS;
}

}  // namespace

void FillMemory(DriverTable* table) {
  table->MemGetInfo = MemGetInfo;
  table->MemAlloc = MemAlloc;
  table->MemFree = MemFree;
  table->MemAllocAsync = MemAllocAsync;
  table->MemFreeAsync = MemFreeAsync;
  table->MemAllocManaged = MemAllocManaged;
  table->MemHostAlloc = MemHostAlloc;
  table->MemFreeHost = MemFreeHost;
  table->MemHostRegister = MemHostRegister;
  table->MemHostUnregister = MemHostUnregister;
  table->MemGetAddressRange = MemGetAddressRange;
  table->PointerGetAttributes = PointerGetAttributes;
  table->IpcGetMemHandle = IpcGetMemHandle;
  table->IpcOpenMemHandle = IpcOpenMemHandle;
  table->IpcCloseMemHandle = IpcCloseMemHandle;
}

}  // namespace tenure::cuda::fake
