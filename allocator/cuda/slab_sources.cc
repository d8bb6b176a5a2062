#include "tenure/allocator/cuda/slab_sources.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/base/workers.h"

namespace tenure::cuda {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kSmallPage = 4096;
// At most this much of the available host memory is left to others.
constexpr uint64_t kMostSpared = uint64_t{256} << 20;
// Threads touch pages in pieces of this size.
constexpr uint64_t kTouchBytes = uint64_t{16} << 20;

// Reports memory that could not be freed, and returns its size. It goes to stderr because there is
// no caller to return an error to.
uint64_t ReportLost(const absl::Status& status, uint64_t size_bytes) {
  if (status.ok()) return 0;
  if (absl::IsUnavailable(status)) return size_bytes;  // the process is ending
  ReportToStderr(absl::StrCat(size_bytes, " bytes could not be given back: ", status.message()));
  return size_bytes;
}

}  // namespace

CUmemAllocationProp PhysicalMemory(const Device& device, bool exportable) {
  CUmemAllocationProp properties;
  std::memset(&properties, 0, sizeof(properties));
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = static_cast<int>(device.ordinal());
  if (exportable) properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return properties;
}

absl::Status GrantAccess(const Device& device, CUdeviceptr address, uint64_t size_bytes,
                         bool peers) {
  const Driver& driver = device.driver();
  std::vector<CUmemAccessDesc> access;
  auto add = [&](uint32_t ordinal) {
    CUmemAccessDesc one;
    std::memset(&one, 0, sizeof(one));
    one.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    one.location.id = static_cast<int>(ordinal);
    one.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    access.push_back(one);
  };
  add(device.ordinal());
  int count = 0;
  if (peers) (void)driver->DeviceGetCount(&count);
  for (uint32_t other = 0; other < static_cast<uint32_t>(std::max(count, 0)); ++other) {
    CUdevice handle = 0;
    int can = 0;
    if (other != device.ordinal() &&
        driver->DeviceGet(&handle, static_cast<int>(other)) == CUDA_SUCCESS &&
        driver->DeviceCanAccessPeer(&can, handle, device.handle()) == CUDA_SUCCESS && can != 0) {
      add(other);
    }
  }
  absl::Status status =
      TENURE_CU(driver, MemSetAccess, address, size_bytes, access.data(), access.size());
  // Access by other devices is optional.
  if (!status.ok() && access.size() > 1) {
    status = TENURE_CU(driver, MemSetAccess, address, size_bytes, access.data(), 1);
  }
  return status;
}

// ------------------------------------------------------------------------------------------------
// VirtualMemorySource

absl::StatusOr<std::unique_ptr<VirtualMemorySource>> VirtualMemorySource::Make(
    std::shared_ptr<Device> device, PeerAccess peer_access) {
  Device::Scope scope(*device);
  TENURE_RETURN_IF_ERROR(scope.status());
  const CUmemAllocationProp properties = PhysicalMemory(*device, false);
  size_t granularity = 0;
  TENURE_RETURN_IF_ERROR(TENURE_CU(device->driver(), MemGetAllocationGranularity, &granularity,
                                   &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
  if (!IsPowerOfTwo(granularity)) {
    return absl::InternalError(
        absl::StrCat("the driver says that memory comes in pieces of ", granularity, " bytes"));
  }
  return std::unique_ptr<VirtualMemorySource>(
      new VirtualMemorySource(std::move(device), granularity, peer_access == PeerAccess::kAtOnce));
}

VirtualMemorySource::~VirtualMemorySource() {
  tail_ = 0;
  DropUnused();
}

absl::Status VirtualMemorySource::Reserve(uint64_t least_bytes) {
  uint64_t size = std::max(least_bytes, device_->info().memory_total_bytes);
  size = size / granularity_ * granularity_;
  CUdeviceptr address = 0;
  while (true) {
    absl::Status status = TENURE_CU(device_->driver(), MemAddressReserve, &address, size, 0, 0, 0);
    if (status.ok()) break;
    // The process may have few addresses left, or a limit on them.
    if (size <= least_bytes || !absl::IsResourceExhausted(status)) return status;
    size = std::max(least_bytes, size / 2 / granularity_ * granularity_);
  }
  tail_ = address;
  end_ = address + size;
  regions_[address] = {size, 0};
  return absl::OkStatus();
}

// Frees the addresses of regions that are used up and hold no slab any more.
void VirtualMemorySource::DropUnused() {
  Device::Scope scope(*device_);
  for (auto it = regions_.begin(); it != regions_.end();) {
    const bool current = tail_ != 0 && end_ == it->first + it->second.size;
    if (it->second.slabs == 0 && !current) {
      ReportLost(TENURE_CU(device_->driver(), MemAddressFree, it->first, it->second.size),
                 it->second.size);
      it = regions_.erase(it);
    } else {
      ++it;
    }
  }
}

absl::StatusOr<Slab> VirtualMemorySource::Acquire(uint64_t size_bytes) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  const Driver& driver = device_->driver();
  if (tail_ == 0 || size_bytes > end_ - tail_) {
    const uint64_t rest = std::exchange(tail_, 0);
    DropUnused();
    if (absl::Status status = Reserve(size_bytes); !status.ok()) {
      // A smaller request may fit into what is left of the region, if that is still there.
      const auto region = regions_.upper_bound(rest);
      const bool is_there = rest != 0 && region != regions_.begin() &&
                            std::prev(region)->first + std::prev(region)->second.size == end_;
      if (is_there && rest < end_) tail_ = rest;
      return status;
    }
  }
  TENURE_RETURN_IF_ERROR(device_->TakeMemory(Device::MemoryKind::kDevice, size_bytes));
  const CUmemAllocationProp properties = PhysicalMemory(*device_, false);
  CUmemGenericAllocationHandle memory = 0;
  absl::Status status = TENURE_CU(driver, MemCreate, &memory, size_bytes, &properties, 0);
  if (!status.ok()) {
    device_->ReturnMemory(Device::MemoryKind::kDevice, size_bytes);
    return status;
  }
  status = TENURE_CU(driver, MemMap, tail_, size_bytes, 0, memory, 0);
  const bool mapped = status.ok();
  absl::MutexLock lock(&mutex_);
  if (status.ok()) status = GrantAccess(*device_, tail_, size_bytes, for_peers_);
  // The mapping keeps the memory alive.
  absl::Status released = TENURE_CU(driver, MemRelease, memory);
  if (status.ok()) status = std::move(released);
  if (!status.ok()) {
    if (!mapped || ReportLost(TENURE_CU(driver, MemUnmap, tail_, size_bytes), size_bytes) == 0) {
      device_->ReturnMemory(Device::MemoryKind::kDevice, size_bytes);
    }
    return status;
  }
  Slab slab;
  slab.address = tail_;
  slab.size_bytes = size_bytes;
  slab.device_address = tail_;
  slab.joins = true;
  tail_ += size_bytes;
  slabs_[slab.address] = size_bytes;
  ++std::prev(regions_.upper_bound(slab.address))->second.slabs;
  return slab;
}

absl::Status VirtualMemorySource::MapForPeers() {
  // Copies ask each time, and must not wait for a slab that comes or goes.
  if (for_peers_.load(std::memory_order_acquire)) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  for (const auto& [address, size_bytes] : slabs_) {
    TENURE_RETURN_IF_ERROR(GrantAccess(*device_, address, size_bytes));
  }
  for_peers_.store(true, std::memory_order_release);
  return absl::OkStatus();
}

void VirtualMemorySource::Release(const Slab& slab) {
  Device::Scope scope(*device_);
  absl::MutexLock lock(&mutex_);
  slabs_.erase(slab.address);
  const absl::Status status = TENURE_CU(device_->driver(), MemUnmap, slab.address, slab.size_bytes);
  lost_bytes_ += ReportLost(status, slab.size_bytes);
  if (!status.ok()) return;  // its addresses stay reserved
  device_->ReturnMemory(Device::MemoryKind::kDevice, slab.size_bytes);
  auto region = std::prev(regions_.upper_bound(slab.address));
  if (--region->second.slabs == 0) DropUnused();
}

// ------------------------------------------------------------------------------------------------
// DeviceSource, ManagedSource

absl::StatusOr<Slab> DeviceSource::Acquire(uint64_t size_bytes) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(device_->TakeMemory(Device::MemoryKind::kDevice, size_bytes));
  CUdeviceptr address = 0;
  if (absl::Status status = TENURE_CU(device_->driver(), MemAlloc, &address, size_bytes);
      !status.ok()) {
    device_->ReturnMemory(Device::MemoryKind::kDevice, size_bytes);
    return status;
  }
  Slab slab;
  slab.address = address;
  slab.size_bytes = size_bytes;
  slab.device_address = address;
  return slab;
}

void DeviceSource::Release(const Slab& slab) {
  Device::Scope scope(*device_);
  const uint64_t lost =
      ReportLost(TENURE_CU(device_->driver(), MemFree, slab.address), slab.size_bytes);
  lost_bytes_ += lost;
  if (lost == 0) device_->ReturnMemory(Device::MemoryKind::kDevice, slab.size_bytes);
}

absl::StatusOr<Slab> ManagedSource::Acquire(uint64_t size_bytes) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  TENURE_RETURN_IF_ERROR(device_->TakeMemory(Device::MemoryKind::kManaged, size_bytes));
  CUdeviceptr address = 0;
  if (absl::Status status =
          TENURE_CU(device_->driver(), MemAllocManaged, &address, size_bytes, CU_MEM_ATTACH_GLOBAL);
      !status.ok()) {
    device_->ReturnMemory(Device::MemoryKind::kManaged, size_bytes);
    return status;
  }
  Slab slab;
  slab.address = address;
  slab.size_bytes = size_bytes;
  slab.host = reinterpret_cast<void*>(address);
  slab.device_address = address;
  return slab;
}

void ManagedSource::Release(const Slab& slab) {
  Device::Scope scope(*device_);
  const uint64_t lost =
      ReportLost(TENURE_CU(device_->driver(), MemFree, slab.address), slab.size_bytes);
  lost_bytes_ += lost;
  if (lost == 0) device_->ReturnMemory(Device::MemoryKind::kManaged, slab.size_bytes);
}

// ------------------------------------------------------------------------------------------------
// PinnedSource

absl::StatusOr<Slab> PinnedSource::Acquire(uint64_t size_bytes) {
  Device::Scope scope(*device_);
  TENURE_RETURN_IF_ERROR(scope.status());
  const host::SystemMemory memory = ask_();
  const uint64_t spare = std::min(memory.total_bytes / 64, kMostSpared);
  if (size_bytes > memory.available_bytes - std::min(memory.available_bytes, spare)) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "of ", memory.total_bytes, " bytes of host memory ", memory.available_bytes,
        " are available, of which ", spare,
        " are left to others: page-locking more could make the system kill processes"));
  }
  uint64_t span;
  if (!CheckedAdd(size_bytes, kHugePage, &span)) {
    return absl::ResourceExhaustedError("the size exceeds the address space");
  }
  // Reserved memory, so that the system can refuse here already.
  void* mapped = mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the system has no ", span, " bytes of addresses: ", std::strerror(errno)));
  }
  auto* begin = static_cast<std::byte*>(mapped);
  const uint64_t head = -reinterpret_cast<uintptr_t>(begin) & (kHugePage - 1);
  if (head > 0) munmap(begin, head);
  if (span - head - size_bytes > 0) munmap(begin + head + size_bytes, span - head - size_bytes);
  begin += head;
  (void)madvise(begin, size_bytes, MADV_HUGEPAGE);
  // A forked child must not get copies of pages that devices write to.
  (void)madvise(begin, size_bytes, MADV_DONTFORK);
  host::RunChunks((size_bytes + kTouchBytes - 1) / kTouchBytes, host::UsableCpus(),
                  [&](uint64_t piece) {
                    const uint64_t end = std::min(size_bytes, (piece + 1) * kTouchBytes);
                    for (uint64_t at = piece * kTouchBytes; at < end; at += kSmallPage) {
                      *reinterpret_cast<volatile std::byte*>(begin + at) = std::byte{0};
                    }
                  });
  absl::Status status =
      TENURE_CU(device_->driver(), MemHostRegister, begin, size_bytes, CU_MEMHOSTREGISTER_PORTABLE);
  if (!status.ok()) {
    munmap(begin, size_bytes);
    if (absl::IsResourceExhausted(status)) return status;
    return absl::ResourceExhaustedError(
        absl::StrCat("host memory could not be page-locked: ", status.message()));
  }
  Slab slab;
  slab.address = reinterpret_cast<uint64_t>(begin);
  slab.size_bytes = size_bytes;
  slab.host = begin;
  slab.device_address = slab.address;
  return slab;
}

void PinnedSource::Release(const Slab& slab) {
  Device::Scope scope(*device_);
  const absl::Status status = TENURE_CU(device_->driver(), MemHostUnregister, slab.host);
  const uint64_t lost = ReportLost(status, slab.size_bytes);
  if (!absl::IsUnavailable(status)) lost_bytes_ += lost;
  // If unlocking failed, the device would still map the memory after munmap.
  if (status.ok() || absl::IsUnavailable(status)) munmap(slab.host, slab.size_bytes);
}

}  // namespace tenure::cuda
