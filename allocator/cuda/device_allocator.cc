// The allocator of `cuda:N`.

#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/external_import.h"
#include "tenure/allocator/cuda/slab_sources.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// The unit of cuMemAlloc: it divides one piece of this size among small allocations.
constexpr uint64_t kIpcPiece = uint64_t{2} << 20;

// A range of reserved addresses with one piece of memory mapped to it.
struct MappedMemory {
  CUdeviceptr address = 0;
  uint64_t size_bytes = 0;
};

absl::Status Unmap(const Device& device, const MappedMemory& mapped) {
  Device::Scope scope(device);
  TENURE_RETURN_IF_ERROR(scope.status());
  const Driver& driver = device.driver();
  // After an error the addresses stay reserved.
  TENURE_RETURN_IF_ERROR(TENURE_CU(driver, MemUnmap, mapped.address, mapped.size_bytes));
  return TENURE_CU(driver, MemAddressFree, mapped.address, mapped.size_bytes);
}

absl::StatusOr<MappedMemory> Map(const Device& device, CUmemGenericAllocationHandle memory,
                                 uint64_t size_bytes) {
  const Driver& driver = device.driver();
  MappedMemory mapped{0, size_bytes};
  TENURE_RETURN_IF_ERROR(
      TENURE_CU(driver, MemAddressReserve, &mapped.address, size_bytes, 0, 0, 0));
  absl::Status status = TENURE_CU(driver, MemMap, mapped.address, size_bytes, 0, memory, 0);
  if (!status.ok()) {
    (void)driver->MemAddressFree(mapped.address, size_bytes);
    return status;
  }
  status = GrantAccess(device, mapped.address, size_bytes);
  if (!status.ok()) {
    Unmap(device, mapped).IgnoreError();
    return status;
  }
  return mapped;
}

class DeviceAllocator final : public CudaAllocator,
                              public ShareCapability,
                              public ExternalMemoryCapability {
 public:
  // `mapped` is the source, if its slabs are mapped.
  DeviceAllocator(const SpaceTraits& traits, std::unique_ptr<SlabSource> source,
                  VirtualMemorySource* mapped, const AllocatorOptions& options,
                  const std::shared_ptr<CopyEngine>& engine)
      : CudaAllocator(MemorySpace::Device(kDeviceSpace, engine->device()->ordinal()), traits,
                      std::move(source), options, engine),
        mapped_(mapped) {}
  ~DeviceAllocator() override { ClosePool(); }

  absl::Status MapForPeers() override {
    return mapped_ == nullptr ? absl::OkStatus() : mapped_->MapForPeers();
  }

  absl::StatusOr<int> ExportFd(const Allocation& allocation) override {
    const DedicatedMemory* memory = FindDedicated(allocation.device_address);
    if (memory == nullptr || memory->sharing != Sharing::kPosixFd) {
      return NotForSharing("kPosixFd");
    }
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    int fd = -1;
    TENURE_RETURN_IF_ERROR(TENURE_CU(device().driver(), MemExportToShareableHandle, &fd,
                                     memory->handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    return fd;
  }

  absl::StatusOr<ForeignMemory> ImportFd(int fd, uint64_t size_bytes) override {
    TENURE_ASSIGN_OR_RETURN(uint64_t rounded, RoundedToPages(size_bytes));
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    const Driver& driver = device().driver();
    CUmemGenericAllocationHandle memory = 0;
    TENURE_RETURN_IF_ERROR(TENURE_CU(driver, MemImportFromShareableHandle, &memory,
                                     reinterpret_cast<void*>(static_cast<intptr_t>(fd)),
                                     CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    absl::StatusOr<MappedMemory> mapped = Map(device(), memory, rounded);
    // The mapping keeps the memory alive.
    (void)driver->MemRelease(memory);
    if (absl::IsInvalidArgument(mapped.status()) || absl::IsUnimplemented(mapped.status())) {
      // What the driver says where the memory is smaller.
      return absl::InvalidArgumentError(
          absl::StrCat("the descriptor's memory can't be mapped as ", rounded, " bytes (",
                       size_bytes, " in whole pages); name the size that it was exported with: ",
                       mapped.status().message()));
    }
    if (!mapped.ok()) return mapped.status();
    ForeignMemory foreign;
    foreign.data = reinterpret_cast<void*>(mapped->address);
    foreign.release = [owner = engine().device(), m = *mapped] { Unmap(*owner, m).IgnoreError(); };
    return foreign;
  }

  const std::string& card() const override { return device().card(); }

  absl::StatusOr<ExternalMemory> ExportMemory(const Allocation& allocation) override {
    ExternalMemory memory;
    memory.driver = kDriverName;
    TENURE_ASSIGN_OR_RETURN(memory.fd, ExportFd(allocation));
    memory.size_bytes = FindDedicated(allocation.device_address)->reserved_bytes;
    return memory;
  }

  absl::StatusOr<ForeignMemory> ImportMemory(const ExternalMemory& memory) override {
    // Its own descriptors are of another kind than those of other APIs.
    if (memory.driver == kDriverName) return ImportFd(memory.fd, memory.size_bytes);
    return ImportExternal(engine().device(), memory);
  }

  absl::StatusOr<std::string> ExportIpc(const Allocation& allocation) override {
    const DedicatedMemory* memory = FindDedicated(allocation.device_address);
    if (memory == nullptr || memory->sharing != Sharing::kIpc) return NotForSharing("kIpc");
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    CUipcMemHandle handle;
    TENURE_RETURN_IF_ERROR(
        TENURE_CU(device().driver(), IpcGetMemHandle, &handle, allocation.device_address));
    return std::string(handle.reserved, sizeof(handle.reserved));
  }

  absl::StatusOr<ForeignMemory> ImportIpc(std::string_view bytes, uint64_t size_bytes) override {
    CUipcMemHandle handle;
    if (bytes.size() != sizeof(handle.reserved)) {
      return absl::InvalidArgumentError(absl::StrCat("an IPC handle has ", sizeof(handle.reserved),
                                                     " bytes; this one has ", bytes.size()));
    }
    std::memcpy(handle.reserved, bytes.data(), bytes.size());
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    const Driver& driver = device().driver();
    CUdeviceptr address = 0;
    TENURE_RETURN_IF_ERROR(
        TENURE_CU(driver, IpcOpenMemHandle, &address, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    CUdeviceptr begin = 0;
    size_t size = 0;
    absl::Status status = TENURE_CU(driver, MemGetAddressRange, &begin, &size, address);
    if (status.ok() && size_bytes > size) {
      status = absl::InvalidArgumentError(
          absl::StrCat("the handle is of ", size, " bytes, not of ", size_bytes));
    }
    if (!status.ok()) {
      (void)driver->IpcCloseMemHandle(address);
      return status;
    }
    ForeignMemory foreign;
    foreign.data = reinterpret_cast<void*>(address);
    foreign.release = [owner = engine().device(), address] {
      Device::Scope closing(*owner);
      (void)owner->driver()->IpcCloseMemHandle(address);
    };
    return foreign;
  }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == ShareCapability::kName) return static_cast<ShareCapability*>(this);
    if (name == ExternalMemoryCapability::kName) {
      return static_cast<ExternalMemoryCapability*>(this);
    }
    return CudaAllocator::FindCapability(name);
  }

  absl::Status CheckForeign(CUmemorytype type, bool managed) const override {
    if (type == CU_MEMORYTYPE_DEVICE && !managed) return absl::OkStatus();
    return absl::InvalidArgumentError(
        managed ? "it is managed memory; wrap it in 'cuda-unified'"
                : "it is not memory of a device; wrap it in 'cpu' or 'cuda-pinned'");
  }

  absl::StatusOr<uint64_t> DedicatedBytes(const AllocationRequest& request) const override {
    switch (request.hints.sharing) {
      case Sharing::kNone:
        break;
      case Sharing::kPosixFd:
        return RoundedToPages(request.size_bytes);
      case Sharing::kIpc: {
        // A smaller allocation would share a piece with other memory, which the handle would expose
        // too.
        uint64_t rounded;
        if (!CheckedRoundUp(request.size_bytes, kIpcPiece, &rounded))
          return NotSharable(request.size_bytes);
        return rounded;
      }
    }
    return 0;
  }

  absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeDedicated(const AllocationRequest& request,
                                                                 uint64_t reserved_bytes) override {
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    return request.hints.sharing == Sharing::kIpc ? MakeForIpc(reserved_bytes)
                                                  : MakeForFd(reserved_bytes);
  }

 private:
  absl::Status NotForSharing(std::string_view kind) const {
    return absl::FailedPreconditionError(absl::StrCat(
        "the allocation was not made for this kind of sharing: ask for Sharing::", kind,
        " when it is made (BufferOptions::hints); it has no dedicated memory otherwise"));
  }

  static absl::Status NotSharable(uint64_t size_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(size_bytes, " bytes can't be shared; between 1 and what the device has can"));
  }

  absl::StatusOr<uint64_t> RoundedToPages(uint64_t size_bytes) const {
    if (!device().info().virtual_memory) {
      return absl::UnimplementedError("this device has no virtual memory management; share by IPC");
    }
    const CUmemAllocationProp properties = PhysicalMemory(device(), true);
    size_t page = 0;
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    TENURE_RETURN_IF_ERROR(TENURE_CU(device().driver(), MemGetAllocationGranularity, &page,
                                     &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED));
    uint64_t rounded = 0;
    if (!CheckedRoundUp(size_bytes, page, &rounded) || rounded == 0) {
      return NotSharable(size_bytes);
    }
    return rounded;
  }

  absl::Status TakeMemory(uint64_t size_bytes) {
    return engine().device()->TakeMemory(Device::MemoryKind::kDevice, size_bytes);
  }
  void ReturnMemory(uint64_t size_bytes) {
    engine().device()->ReturnMemory(Device::MemoryKind::kDevice, size_bytes);
  }

  absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeForFd(uint64_t size_bytes) {
    const Driver& driver = device().driver();
    const CUmemAllocationProp properties = PhysicalMemory(device(), true);
    TENURE_RETURN_IF_ERROR(TakeMemory(size_bytes));
    CUmemGenericAllocationHandle memory = 0;
    absl::Status status = TENURE_CU(driver, MemCreate, &memory, size_bytes, &properties, 0);
    if (!status.ok()) {
      ReturnMemory(size_bytes);
      return status;
    }
    absl::StatusOr<MappedMemory> mapped = Map(device(), memory, size_bytes);
    if (!mapped.ok()) {
      (void)driver->MemRelease(memory);
      ReturnMemory(size_bytes);
      return mapped.status();
    }
    auto dedicated = std::make_unique<DedicatedMemory>();
    dedicated->address = mapped->address;
    dedicated->reserved_bytes = size_bytes;
    dedicated->handle = memory;
    dedicated->sharing = Sharing::kPosixFd;
    dedicated->release = [this, m = *mapped, memory]() -> absl::Status {
      absl::Status unmapped = Unmap(device(), m);
      Device::Scope scope(device());
      absl::Status released = TENURE_CU(device().driver(), MemRelease, memory);
      if (unmapped.ok()) unmapped = std::move(released);
      if (unmapped.ok()) ReturnMemory(m.size_bytes);
      return unmapped;
    };
    return dedicated;
  }

  absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeForIpc(uint64_t size_bytes) {
    TENURE_RETURN_IF_ERROR(TakeMemory(size_bytes));
    CUdeviceptr address = 0;
    if (absl::Status status = TENURE_CU(device().driver(), MemAlloc, &address, size_bytes);
        !status.ok()) {
      ReturnMemory(size_bytes);
      return status;
    }
    auto dedicated = std::make_unique<DedicatedMemory>();
    dedicated->address = address;
    dedicated->reserved_bytes = size_bytes;
    dedicated->sharing = Sharing::kIpc;
    dedicated->waits = true;
    dedicated->release = [this, address, size_bytes]() -> absl::Status {
      Device::Scope scope(device());
      TENURE_RETURN_IF_ERROR(TENURE_CU(device().driver(), MemFree, address));
      ReturnMemory(size_bytes);
      return absl::OkStatus();
    };
    return dedicated;
  }

  VirtualMemorySource* const mapped_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Allocator>> MakeDeviceAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options) {
  const std::shared_ptr<Device>& device = engine->device();
  SpaceTraits traits;
  traits.max_allocation_bytes = device->info().memory_total_bytes;
  traits.min_alignment_bytes = 256;
  traits.host_readable = false;
  traits.host_writable = false;
  traits.device_readable = true;
  traits.device_writable = true;
  std::unique_ptr<SlabSource> source;
  VirtualMemorySource* mapped = nullptr;
  if (device->info().virtual_memory) {
    TENURE_ASSIGN_OR_RETURN(std::unique_ptr<VirtualMemorySource> made,
                            VirtualMemorySource::Make(device, options.peer_access));
    mapped = made.get();
    source = std::move(made);
  } else {
    source = std::make_unique<DeviceSource>(device);
  }
  return std::make_unique<DeviceAllocator>(traits, std::move(source), mapped, options, engine);
}

}  // namespace tenure::cuda
