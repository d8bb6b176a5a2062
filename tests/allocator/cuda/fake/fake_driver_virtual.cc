// Entry points for virtual memory: reserved addresses, physical memory, mappings, access, export.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tenure/tests/allocator/cuda/fake/fake_driver_state.h"

namespace tenure::cuda::fake {
namespace {

// The name of a memory file tells the importer that it is ours, and the device.
constexpr char kFileName[] = "tenure-fake-cuda-vmm-";

bool IsDeviceLocation(const State& s, const CUmemLocation& location)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  return location.type == CU_MEM_LOCATION_TYPE_DEVICE && location.id >= 0 &&
         static_cast<size_t>(location.id) < s.devices.size();
}

CUresult CheckProperties(const State& s, const CUmemAllocationProp* properties)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
      !IsDeviceLocation(s, properties->location)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return (properties->requestedHandleTypes & ~CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0
             ? CUDA_ERROR_NOT_SUPPORTED
             : CUDA_SUCCESS;
}

CUresult MemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* properties,
                                     CUmemAllocationGranularity_flags) {
  TENURE_FAKE_CALL("cuMemGetAllocationGranularity", kInit);
  const CUresult result = CheckProperties(s, properties);
  if (result == CUDA_SUCCESS) *granularity = kGranularity;
  return result;
}

CUresult MemAddressReserve(CUdeviceptr* address, size_t size, size_t alignment, CUdeviceptr hint,
                           unsigned long long flags) {
  TENURE_FAKE_CALL("cuMemAddressReserve", kInit);
  if (size == 0 || size % kGranularity != 0 || flags != 0 || size > uint64_t{1} << 46 ||
      (alignment & (alignment - 1)) != 0 || alignment > uint64_t{1} << 46) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  uint64_t reserved = size;
  for (const auto& [base, other] : s.regions) {
    if (other->kind == Region::kReserved) reserved += other->size_bytes;
  }
  if (reserved > s.options.address_limit_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  auto region = std::make_shared<Region>();
  region->kind = Region::kReserved;
  region->size_bytes = size;
  region->id = s.next_id++;
  const uint64_t align = alignment > kGranularity ? alignment : kGranularity;
  // A hint is followed where nothing ever lay, as an address asked for to grow a range does.
  if (hint != 0 && hint % align == 0 && hint >= s.next_address && hint < uint64_t{1} << 56) {
    region->base = hint;
  } else {
    region->base = (s.next_address + align - 1) / align * align;
  }
  s.next_address = region->base + size;
  s.regions[region->base] = region;
  *address = region->base;
  return CUDA_SUCCESS;
}

// The reservation that contains all of it.
std::shared_ptr<Region> Reservation(State& s, const char* call, CUdeviceptr address, uint64_t size)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  std::shared_ptr<Region> region = s.Find(address);
  if (region == nullptr || region->kind != Region::kReserved || size == 0 ||
      size > region->size_bytes - (address - region->base)) {
    s.Violate(absl::StrCat(call, ": ", size, " bytes at ", Hex(address), " are in ",
                           s.Describe(address), ", not in one reserved range"),
              CUDA_SUCCESS);
    return nullptr;
  }
  return region;
}

CUresult MemAddressFree(CUdeviceptr address, size_t size) {
  TENURE_FAKE_CALL("cuMemAddressFree", kInit);
  const std::shared_ptr<Region> region = Reservation(s, kCall, address, size);
  if (region == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (region->base != address || region->size_bytes != size) {
    return s.Violate("cuMemAddressFree: only a part of what was reserved",
                     CUDA_ERROR_INVALID_VALUE);
  }
  if (!region->mappings.empty()) {
    return s.Violate("cuMemAddressFree: memory is still mapped there", CUDA_ERROR_INVALID_VALUE);
  }
  region->dead = true;
  s.regions.erase(address);
  for (const auto& [where, bytes] : region->windows) munmap(bytes, where.second);
  region->windows.clear();
  s.graves[address] = region;
  return CUDA_SUCCESS;
}

CUresult MemCreate(CUmemGenericAllocationHandle* handle, size_t size,
                   const CUmemAllocationProp* properties, unsigned long long flags) {
  TENURE_FAKE_CALL("cuMemCreate", kInit);
  if (size == 0 || size % kGranularity != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = CheckProperties(s, properties);
  if (result != CUDA_SUCCESS) return result;
  Device& device = s.devices[properties->location.id];
  if (device.fault != CUDA_SUCCESS) return device.fault;
  if (device.used_bytes > device.limit_bytes || size > device.limit_bytes - device.used_bytes) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  Handle made;
  made.fd = memfd_create(absl::StrCat(kFileName, properties->location.id).c_str(), MFD_CLOEXEC);
  if (made.fd < 0) return CUDA_ERROR_OUT_OF_MEMORY;
  if (ftruncate(made.fd, static_cast<off_t>(size)) != 0) {
    close(made.fd);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  made.size_bytes = size;
  made.device = properties->location.id;
  made.exportable =
      (properties->requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) != 0;
  device.used_bytes += size;
  *handle = kFirstHandle + 16 * s.next_id++;
  s.handles[*handle] = made;
  return CUDA_SUCCESS;
}

// Physical memory lives while a handle or a mapping holds it.
void DropHandle(State& s, CUmemGenericAllocationHandle id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(s.mutex) {
  const Handle& handle = s.handles[id];
  if (handle.references > 0 || handle.mappings > 0) return;
  close(handle.fd);
  if (!handle.imported) s.devices[handle.device].used_bytes -= handle.size_bytes;
  s.handles.erase(id);
}

CUresult MemRelease(CUmemGenericAllocationHandle id) {
  TENURE_FAKE_CALL("cuMemRelease", kInit);
  auto found = s.handles.find(id);
  if (found == s.handles.end() || found->second.references == 0) {
    return s.Violate("cuMemRelease: the handle is unknown, or released", CUDA_ERROR_INVALID_VALUE);
  }
  --found->second.references;
  DropHandle(s, id);
  return CUDA_SUCCESS;
}

// Where the host is to find these bytes; null: no room.
std::byte* WindowFor(Region* region, uint64_t start, uint64_t size) {
  uint64_t from = start / kWindow * kWindow;
  uint64_t length = std::min(kWindow, region->size_bytes - from);
  if (size > length - (start - from)) {  // across the end of one: a window of its own
    from = start;
    length = size;
  }
  std::byte*& window = region->windows[{from, length}];
  if (window == nullptr) {
    void* made =
        mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
      region->windows.erase({from, length});
      return nullptr;
    }
    window = static_cast<std::byte*>(made);
  }
  return window + (start - from);
}

CUresult MemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle id,
                unsigned long long flags) {
  TENURE_FAKE_CALL("cuMemMap", kInit);
  auto handle = s.handles.find(id);
  if (handle == s.handles.end() || handle->second.references == 0) {
    return s.Violate("cuMemMap: the handle is unknown, or released", CUDA_ERROR_INVALID_VALUE);
  }
  const std::shared_ptr<Region> region = Reservation(s, kCall, address, size);
  // The driver takes whole allocations only: the offset must be 0.
  if (region == nullptr || offset != 0 || flags != 0 || size % kGranularity != 0 ||
      address % kGranularity != 0 || size > handle->second.size_bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const uint64_t start = address - region->base;
  auto next = region->mappings.lower_bound(start);
  if ((next != region->mappings.end() && next->first - start < size) ||
      (next != region->mappings.begin() &&
       start - std::prev(next)->first < std::prev(next)->second.size_bytes)) {
    return s.Violate("cuMemMap: something is mapped there", CUDA_ERROR_INVALID_VALUE);
  }
  std::byte* const bytes = WindowFor(region.get(), start, size);
  if (bytes == nullptr || mmap(bytes, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                               handle->second.fd, 0) == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  ++handle->second.mappings;
  region->mappings[start] = {.size_bytes = size, .handle = id, .bytes = bytes};
  return CUDA_SUCCESS;
}

// The mappings that are exactly this range; empty: it cuts one, or a part is not mapped.
std::vector<uint64_t> WholeMappings(const Region& region, uint64_t start, uint64_t size) {
  std::vector<uint64_t> offsets;
  uint64_t at = start;
  while (at < start + size) {
    auto found = region.mappings.find(at);
    if (found == region.mappings.end() || found->second.size_bytes > start + size - at) return {};
    offsets.push_back(at);
    at += found->second.size_bytes;
  }
  return offsets;
}

CUresult MemUnmap(CUdeviceptr address, size_t size) {
  TENURE_FAKE_CALL("cuMemUnmap", kInit);
  const std::shared_ptr<Region> region = Reservation(s, kCall, address, size);
  if (region == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t start = address - region->base;
  if (WholeMappings(*region, start, size).empty()) {
    return s.Violate("cuMemUnmap: not whole mappings", CUDA_ERROR_INVALID_VALUE);
  }
  s.CheckUnused(kCall, address, size);
  // Again: another thread may have been here while that waited.
  for (const uint64_t offset : WholeMappings(*region, start, size)) {
    const Mapping mapping = region->mappings[offset];
    mmap(mapping.bytes, mapping.size_bytes, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    region->mappings.erase(offset);
    --s.handles[mapping.handle].mappings;
    DropHandle(s, mapping.handle);
  }
  return CUDA_SUCCESS;
}

CUresult MemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc* access,
                      size_t count) {
  TENURE_FAKE_CALL("cuMemSetAccess", kInit);
  const std::shared_ptr<Region> region = Reservation(s, kCall, address, size);
  if (region == nullptr || access == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const std::vector<uint64_t> offsets = WholeMappings(*region, address - region->base, size);
  if (offsets.empty()) {
    return s.Violate("cuMemSetAccess: not whole mappings", CUDA_ERROR_INVALID_VALUE);
  }
  for (size_t i = 0; i < count; ++i) {
    if (!IsDeviceLocation(s, access[i].location)) return CUDA_ERROR_INVALID_DEVICE;
  }
  for (const uint64_t offset : offsets) {
    Mapping& mapping = region->mappings[offset];
    for (size_t i = 0; i < count; ++i) {
      const uint64_t bit = uint64_t{1} << access[i].location.id;
      const bool read = access[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE;
      const bool write = access[i].flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
      mapping.readers = read ? mapping.readers | bit : mapping.readers & ~bit;
      mapping.writers = write ? mapping.writers | bit : mapping.writers & ~bit;
    }
  }
  return CUDA_SUCCESS;
}

CUresult MemExportToShareableHandle(void* out, CUmemGenericAllocationHandle id,
                                    CUmemAllocationHandleType type, unsigned long long flags) {
  TENURE_FAKE_CALL("cuMemExportToShareableHandle", kInit);
  auto found = s.handles.find(id);
  if (found == s.handles.end() || found->second.references == 0) {
    return s.Violate("cuMemExportToShareableHandle: the handle is unknown, or released",
                     CUDA_ERROR_INVALID_VALUE);
  }
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || flags != 0 || !found->second.exportable) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int fd = fcntl(found->second.fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  *static_cast<int*>(out) = fd;
  return CUDA_SUCCESS;
}

CUresult MemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* os_handle,
                                      CUmemAllocationHandleType type) {
  TENURE_FAKE_CALL("cuMemImportFromShareableHandle", kInit);
  if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_NOT_SUPPORTED;
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(os_handle));
  char name[PATH_MAX] = {};
  struct stat info = {};
  const std::string prefix = absl::StrCat("/memfd:", kFileName);
  int device = 0;
  if (readlink(absl::StrCat("/proc/self/fd/", fd).c_str(), name, sizeof(name) - 1) <= 0 ||
      !absl::StartsWith(name, prefix) || fstat(fd, &info) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::string_view digits = std::string_view(name).substr(prefix.size());
  digits = digits.substr(0, digits.find(' '));
  if (!absl::SimpleAtoi(digits, &device) || static_cast<size_t>(device) >= s.devices.size()) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  Handle made;
  made.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);  // the caller keeps and closes its own
  if (made.fd < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  made.size_bytes = static_cast<uint64_t>(info.st_size);
  made.device = device;
  made.imported = true;
  made.exportable = true;
  *handle = kFirstHandle + 16 * s.next_id++;
  s.handles[*handle] = made;
  return CUDA_SUCCESS;
}

}  // namespace

void FillVirtual(DriverTable* table) {
  table->MemGetAllocationGranularity = MemGetAllocationGranularity;
  table->MemAddressReserve = MemAddressReserve;
  table->MemAddressFree = MemAddressFree;
  table->MemCreate = MemCreate;
  table->MemRelease = MemRelease;
  table->MemMap = MemMap;
  table->MemUnmap = MemUnmap;
  table->MemSetAccess = MemSetAccess;
  table->MemExportToShareableHandle = MemExportToShareableHandle;
  table->MemImportFromShareableHandle = MemImportFromShareableHandle;
}

}  // namespace tenure::cuda::fake
