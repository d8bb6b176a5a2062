#include "tenure/allocator/vulkan/vulkan_allocator.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/allocator/errors.h"
#include "tenure/allocator/support/coherent_access.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/base/checked.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

Purpose PurposeOf(SpaceKind kind) {
  return kind == kUploadSpace     ? Purpose::kUpload
         : kind == kReadbackSpace ? Purpose::kReadback
                                  : Purpose::kDevice;
}

SpaceTraits TraitsOf(const DeviceInfo& info, const MemoryChoice& choice) {
  SpaceTraits traits;
  traits.max_allocation_bytes = info.max_allocation_bytes;
  traits.max_binding_bytes = info.max_binding_bytes;
  traits.min_alignment_bytes = std::max<uint64_t>(256, info.alignment_bytes);
  if (!choice.coherent) {
    traits.coherence_atom_bytes = info.coherence_atom_bytes;
    traits.min_alignment_bytes = std::max(traits.min_alignment_bytes, traits.coherence_atom_bytes);
  }
  traits.host_readable = choice.mapped;
  traits.host_writable = choice.mapped;
  traits.device_readable = true;
  traits.device_writable = true;
  return traits;
}

// The size of the heap that memory is taken from first.
uint64_t HeapBytes(const PhysicalDevice& device, const MemoryChoice& choice) {
  return device.memory.memoryHeaps[device.memory.memoryTypes[choice.types.front()].heapIndex].size;
}

PooledAllocator::Options PoolOptions(const AllocatorOptions& options, uint64_t heap_bytes,
                                     Purpose purpose) {
  PooledAllocator::Options pool;
  pool.max_reserved_bytes = options.max_reserved_bytes;
  pool.max_cached_bytes = options.max_cached_bytes;
  pool.max_wait = options.max_wait;
  // Slabs are large, because no block leaves its slab, and because the device permits only so many
  // pieces of memory. On a small heap they are small parts of it.
  const uint64_t wanted = purpose == Purpose::kDevice ? uint64_t{64} << 20 : uint64_t{16} << 20;
  pool.min_slab_bytes = std::clamp(heap_bytes / 16, uint64_t{1} << 20, wanted);
  pool.max_slab_bytes = 4 * pool.min_slab_bytes;
  pool.exact_slab_bytes = pool.min_slab_bytes;
  return pool;
}

// A region whose allocation may be gone when it is used.
class KeptRegion {
 public:
  explicit KeptRegion(const SubRegion& region)
      : allocation_(*region.allocation),
        offset_bytes_(region.offset_bytes),
        size_bytes_(region.size_bytes) {}
  SubRegion get() const { return {&allocation_, offset_bytes_, size_bytes_}; }

 private:
  Allocation allocation_;
  uint64_t offset_bytes_;
  uint64_t size_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<VulkanAllocator>> VulkanAllocator::Create(
    SpaceKind kind, const AllocatorOptions& options, std::shared_ptr<CopyEngine> engine) {
  const std::shared_ptr<Device>& device = engine->device();
  const Purpose purpose = PurposeOf(kind);
  MemoryChoice choice = ChooseMemory(device->physical(), purpose);
  MemorySpace space = MemorySpace::Device(kind, device->ordinal());
  if (choice.types.empty()) {
    return absl::UnavailableError(absl::StrCat("Vulkan device ", device->ordinal(), " (",
                                               device->info().name, ") has no memory for ",
                                               space.ToString()));
  }
  const Options pool = PoolOptions(options, HeapBytes(device->physical(), choice), purpose);
  const SpaceTraits traits = TraitsOf(device->info(), choice);
  auto shared = std::make_shared<SharedMemory>(device, choice);
  auto source = std::make_unique<MemorySource>(device, std::move(choice));
  std::unique_ptr<VulkanAllocator> made(new VulkanAllocator(
      std::move(space), traits, std::move(source), pool, std::move(engine), std::move(shared)));
  made->BindCopyTable(&VulkanCopyTable());
  return made;
}

void* VulkanAllocator::FindCapability(std::string_view name) {
  if (name == QueueCapability::kName) return static_cast<QueueCapability*>(this);
  if (name == EngineCapability::kName) return static_cast<EngineCapability*>(this);
  if (name == BufferViewCapability::kName) return static_cast<BufferViewCapability*>(this);
  // The host copies mapped memory itself, so it needs no batches.
  if (name == BatchCapability::kName && !traits().host_writable) {
    return static_cast<BatchCapability*>(this);
  }
  if (name == CoherenceCapability::kName && traits().coherence_atom_bytes > 1) {
    return static_cast<CoherenceCapability*>(this);
  }
  // Memory for upload and read-back is the host's: other processes have means of their own for it.
  const bool shares = shared_->is_supported() && space().kind() == kDeviceSpace;
  if (name == ForeignMemoryCapability::kName &&
      (shares || engine_->device()->physical().host_pointer_alignment_bytes != 0)) {
    return static_cast<ForeignMemoryCapability*>(this);
  }
  if (name == ShareCapability::kName && shares) return static_cast<ShareCapability*>(this);
  if (name == ExternalMemoryCapability::kName && shares) {
    return static_cast<ExternalMemoryCapability*>(this);
  }
  return nullptr;
}

absl::StatusOr<Allocation> VulkanAllocator::Make(const AllocationRequest& request) {
  if (request.hints.sharing != Sharing::kNone && !request.imports() && request.size_bytes > 0) {
    return MakeShared(request);
  }
  if (request.hints.mode == AccessMode::kBySpace && request.hints.access == AccessHint::kNone) {
    return MakeInPool(request);
  }
  bool is_met = true;
  Allocation made;
  TENURE_ASSIGN_OR_RETURN(const bool is_hinted, MakeHinted(request, made, is_met));
  if (!is_hinted) {
    TENURE_ASSIGN_OR_RETURN(made, MakeInPool(request));
  }
  if (!is_met) unmet_hints_.fetch_add(1, std::memory_order_relaxed);
  return made;
}

absl::StatusOr<Allocation> VulkanAllocator::MakeInPool(const AllocationRequest& request) {
  TENURE_ASSIGN_OR_RETURN(Allocation made, PooledAllocator::Make(request));
  const uint64_t alignment = AlignmentFor(request);
  if (made.host != nullptr && !made.imported &&
      reinterpret_cast<uint64_t>(made.host) % alignment != 0) {
    // Blocks are aligned by their device addresses. The driver maps memory at whole pages.
    Release(made);
    return absl::InvalidArgumentError(
        absl::StrCat("mapped memory of ", space().ToString(), " can't be aligned to ", alignment,
                     " bytes for the host and the device at the same time; ask for 4096 or less"));
  }
  return made;
}

absl::StatusOr<bool> VulkanAllocator::MakeHinted(const AllocationRequest& request, Allocation& made,
                                                 bool& is_met) {
  if (request.imports() || request.size_bytes == 0) return false;
  const HintedChoice choice = ChooseHinted(engine_->device()->physical(), PurposeOf(space().kind()),
                                           memory_->choice(), request.hints);
  is_met = choice.is_met;
  if (choice.memory.types.empty()) return false;
  uint64_t size = 0;
  if (!CheckedRoundUp(request.size_bytes, memory_->granularity_bytes(), &size) ||
      !TryReserveDedicated(size)) {
    is_met = false;
    return false;
  }
  absl::Cleanup unreserve = [&] { UnreserveDedicated(size); };
  absl::StatusOr<Slab> slab = memory_->Acquire(size, choice.memory);
  if (!slab.ok()) {
    if (!absl::IsResourceExhausted(slab.status())) return slab.status();
    is_met = false;
    return false;
  }
  absl::Cleanup release = [&] { memory_->Release(*slab); };
  const uint64_t alignment = AlignmentFor(request);
  if (slab->address % alignment != 0 || reinterpret_cast<uint64_t>(slab->host) % alignment != 0) {
    is_met = false;
    return false;
  }
  made.token = kNotABlock;
  made.size_bytes = request.size_bytes;
  made.reserved_bytes = size;
  made.alignment_bytes = alignment;
  made.host = slab->host;
  made.device_address = slab->device_address;
  made.native_handle = slab->native_handle;
  made.native_offset = slab->native_offset;
  made.native_size = slab->native_size;
  {
    absl::MutexLock lock(&mutex_);
    hinted_[made.native_handle] = *slab;
  }
  std::move(release).Cancel();
  std::move(unreserve).Cancel();
  if (request.zeroed) {
    if (absl::Status status = Zero(made); !status.ok()) {
      ReleaseHinted(made);
      return status;
    }
  }
  return true;
}

bool VulkanAllocator::ReleaseHinted(const Allocation& allocation) {
  Slab slab;
  {
    absl::MutexLock lock(&mutex_);
    auto it = hinted_.find(allocation.native_handle);
    if (it == hinted_.end()) return false;
    slab = it->second;
    hinted_.erase(it);
  }
  memory_->Release(slab);
  UnreserveDedicated(allocation.reserved_bytes);
  return true;
}

AllocatorStats VulkanAllocator::Stats() const {
  AllocatorStats stats = PooledAllocator::Stats();
  stats.unmet_hint_count = unmet_hints_.load(std::memory_order_relaxed);
  return stats;
}

absl::Status VulkanAllocator::FlushHostWrites(const SubRegion& region) {
  return memory_->Flush(region.allocation->native_handle,
                        region.allocation->native_offset + region.offset_bytes, region.size_bytes);
}

absl::Status VulkanAllocator::InvalidateForHostReads(const SubRegion& region) {
  return memory_->Invalidate(region.allocation->native_handle,
                             region.allocation->native_offset + region.offset_bytes,
                             region.size_bytes);
}

absl::StatusOr<Fence> VulkanAllocator::CopyIn(const SubRegion& to, const void* from,
                                              const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  if (!IsForHost(to, options)) return engine_->In(to, from, options);
  return host_jobs_->Run(
      options, to.size_bytes,
      [this, kept = KeptRegion(to), from, threads = options.max_threads]() -> absl::Status {
        const SubRegion region = kept.get();
        TENURE_ASSIGN_OR_RETURN(CoherentAccess access,
                                CoherentAccess::Begin(*this, region, CoherentAccess::Kind::kWrite));
        host::MoveBytes(region.host(), from, region.size_bytes, threads);
        return access.End();
      });
}

absl::StatusOr<Fence> VulkanAllocator::CopyOut(void* to, const SubRegion& from,
                                               const CopyOptions& options) {
  if (from.size_bytes == 0) return Fence();
  if (!IsForHost(from, options)) return engine_->Out(to, from, options);
  return host_jobs_->Run(
      options, from.size_bytes,
      [this, to, kept = KeptRegion(from), threads = options.max_threads]() -> absl::Status {
        const SubRegion region = kept.get();
        TENURE_ASSIGN_OR_RETURN(CoherentAccess access,
                                CoherentAccess::Begin(*this, region, CoherentAccess::Kind::kRead));
        host::MoveBytes(to, region.host(), region.size_bytes, threads);
        return access.End();
      });
}

absl::StatusOr<Fence> VulkanAllocator::CopyWithin(const SubRegion& to, const SubRegion& from,
                                                  const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  if (!IsForHost(to, options) || !IsForHost(from, options)) {
    return engine_->Between(to, from, options);
  }
  return host_jobs_->Run(
      options, to.size_bytes,
      [this, kept_to = KeptRegion(to), kept_from = KeptRegion(from),
       threads = options.max_threads]() -> absl::Status {
        const SubRegion target = kept_to.get(), source = kept_from.get();
        TENURE_ASSIGN_OR_RETURN(CoherentAccess reading,
                                CoherentAccess::Begin(*this, source, CoherentAccess::Kind::kRead));
        TENURE_ASSIGN_OR_RETURN(CoherentAccess writing,
                                CoherentAccess::Begin(*this, target, CoherentAccess::Kind::kWrite));
        host::MoveBytes(target.host(), source.host(), target.size_bytes, threads);
        return writing.End();
      });
}

absl::StatusOr<Fence> VulkanAllocator::Fill(const SubRegion& to, const FillPattern& pattern,
                                            const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  if (!IsForHost(to, options)) return engine_->Fill(to, pattern, options);
  TENURE_RETURN_IF_ERROR(host::CheckPattern(pattern));
  return host_jobs_->Run(
      options, to.size_bytes,
      [this, kept = KeptRegion(to), pattern, threads = options.max_threads]() -> absl::Status {
        const SubRegion region = kept.get();
        TENURE_ASSIGN_OR_RETURN(CoherentAccess access,
                                CoherentAccess::Begin(*this, region, CoherentAccess::Kind::kWrite));
        host::FillBytes(region.host(), region.size_bytes, pattern, threads);
        return access.End();
      });
}

absl::Status VulkanAllocator::Zero(const Allocation& allocation) {
  TENURE_ASSIGN_OR_RETURN(const Fence done,
                          Fill({&allocation, 0, allocation.size_bytes}, FillPattern(), {}));
  return done.Wait();
}

absl::Status VulkanAllocator::ImportPages(void* begin, uint64_t size_bytes, VkBuffer& buffer,
                                          Imported& imported) {
  const Device& device = *engine_->device();
  constexpr VkExternalMemoryHandleTypeFlagBits kHost =
      VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
  auto pages = Struct<VkMemoryHostPointerPropertiesEXT>(
      VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT);
  TENURE_RETURN_IF_ERROR(
      TENURE_VKD(device, GetMemoryHostPointerPropertiesEXT, kHost, begin, &pages));
  auto external = Struct<VkExternalMemoryBufferCreateInfo>(
      VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO);
  external.handleTypes = kHost;
  const VkBufferCreateInfo info = BufferInfo(device, size_bytes, &external);
  TENURE_RETURN_IF_ERROR(TENURE_VKD(device, CreateBuffer, &info, nullptr, &buffer));
  VkMemoryRequirements needs = {};
  device.calls().GetBufferMemoryRequirements(device.handle(), buffer, &needs);
  const uint32_t types = needs.memoryTypeBits & pages.memoryTypeBits;
  // The host goes on using the pages without a flush, so the memory has to be coherent.
  const VkPhysicalDeviceMemoryProperties& memory_types = device.physical().memory;
  for (imported.type = 0; imported.type < memory_types.memoryTypeCount; ++imported.type) {
    const VkMemoryPropertyFlags flags = memory_types.memoryTypes[imported.type].propertyFlags;
    const bool coherent = (flags & VK_MEMORY_PROPERTY_HOST_COHERENT_BIT) != 0;
    if (coherent && (types >> imported.type & 1) != 0) break;
  }
  if (imported.type == memory_types.memoryTypeCount) {
    return absl::UnimplementedError("the device has no coherent type of memory for its pages");
  }
  if (needs.size > size_bytes) {
    return absl::UnimplementedError(absl::StrCat("the device needs ", needs.size,
                                                 " bytes for a buffer over these ", size_bytes));
  }
  auto pointer = Struct<VkImportMemoryHostPointerInfoEXT>(
      VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT);
  pointer.handleType = kHost;
  pointer.pHostPointer = begin;
  auto flags =
      Struct<VkMemoryAllocateFlagsInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO, &pointer);
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  auto memory = Struct<VkMemoryAllocateInfo>(VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, &flags);
  memory.allocationSize = size_bytes;
  memory.memoryTypeIndex = imported.type;
  TENURE_ASSIGN_OR_RETURN(imported.memory, engine_->device()->ImportMemory(memory));
  return TENURE_VKD(device, BindBufferMemory, buffer, imported.memory, 0);
}

absl::StatusOr<Allocation> VulkanAllocator::MakeImport(const AllocationRequest& request) {
  if (!request.foreign.has_value()) return PooledAllocator::MakeImport(request);
  if (request.foreign->native_handle != 0) return WrapPiece(request);
  const uint64_t page = engine_->device()->physical().host_pointer_alignment_bytes;
  if (page == 0) {
    return absl::UnimplementedError(absl::StrCat(
        "the device of ", space().ToString(), " can't use host memory in place (it lacks ",
        VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, "); allocate there and copy"));
  }
  Allocation made = WrapForeign(request);
  if (request.size_bytes == 0) return made;
  const auto address = reinterpret_cast<uint64_t>(request.foreign->data);
  const uint64_t before = address % page;
  uint64_t size = 0;
  VkBuffer buffer = VK_NULL_HANDLE;
  Imported imported;
  absl::Status status;
  if (!CheckedAdd(request.size_bytes, before, &size) || !CheckedRoundUp(size, page, &size)) {
    status = absl::InvalidArgumentError("the range reaches beyond all addresses");
  } else {
    status = ImportPages(static_cast<std::byte*>(request.foreign->data) - before, size, buffer,
                         imported);
  }
  const Device& device = *engine_->device();
  if (!status.ok()) {
    if (buffer != VK_NULL_HANDLE) device.calls().DestroyBuffer(device.handle(), buffer, nullptr);
    if (imported.memory != VK_NULL_HANDLE) {
      engine_->device()->FreeMemory(imported.memory, imported.type, 0);
    }
    // The memory stays the caller's: its `release` is not called.
    delete reinterpret_cast<std::function<void()>*>(made.token);
    return absl::Status(status.code(),
                        absl::StrCat("foreign memory '", request.name, "' can't be wrapped in ",
                                     space().ToString(), ": ", status.message()));
  }
  auto which = Struct<VkBufferDeviceAddressInfo>(VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO);
  which.buffer = buffer;
  made.device_address = device.calls().GetBufferDeviceAddress(device.handle(), &which) + before;
  made.native_handle = reinterpret_cast<uint64_t>(buffer);
  made.native_offset = before;
  made.native_size = size;
  if (traits().host_readable) made.host = request.foreign->data;
  absl::MutexLock lock(&mutex_);
  imports_[made.native_handle] = imported;
  return made;
}

void VulkanAllocator::ReleaseImport(const Allocation& allocation) {
  // Imported pieces are not among these: their `release` destroys them.
  Imported imported;
  {
    absl::MutexLock lock(&mutex_);
    auto it = imports_.find(allocation.native_handle);
    if (it != imports_.end()) {
      imported = it->second;
      imports_.erase(it);
    }
  }
  if (imported.memory != VK_NULL_HANDLE) {
    const Device& device = *engine_->device();
    device.calls().DestroyBuffer(device.handle(),
                                 reinterpret_cast<VkBuffer>(allocation.native_handle), nullptr);
    engine_->device()->FreeMemory(imported.memory, imported.type, 0);
  }
  ReleaseForeign(allocation);
}

// ------------------------------------------------------------------------------------------------
// Memory that is shared

void VulkanAllocator::PointInto(const SharedMemory::Piece& piece, Allocation& made) {
  made.device_address = piece.address;
  made.host = piece.host;
  made.native_handle = reinterpret_cast<uint64_t>(piece.buffer);
  made.native_size = piece.buffer_bytes;
}

absl::StatusOr<Allocation> VulkanAllocator::MakeShared(const AllocationRequest& request) {
  if (request.hints.sharing != Sharing::kPosixFd) {
    return absl::UnimplementedError(absl::StrCat(
        space().ToString(), " shares memory by file descriptors only; ask for Sharing::kPosixFd"));
  }
  TENURE_ASSIGN_OR_RETURN(const uint64_t size, SharedMemory::RoundedBytes(request.size_bytes));
  uint64_t trimmed = 0;
  absl::StatusOr<SharedMemory::Piece> piece = absl::ResourceExhaustedError("");
  for (const bool again : {false, true}) {
    // The cached bytes may be the ones that are missing.
    if (again) trimmed = Trim(0);
    if (!TryReserveDedicated(size)) {
      piece = absl::ResourceExhaustedError("memory for sharing would pass the limit");
      continue;
    }
    piece = shared_->Make(size);
    if (piece.ok()) break;
    UnreserveDedicated(size);
    if (!absl::IsResourceExhausted(piece.status())) return piece.status();
  }
  if (!piece.ok()) {
    return Exhausted(request, size,
                     absl::StrCat("memory for sharing, twice, with ", trimmed,
                                  " cached bytes released in between: ", piece.status().message()));
  }
  Allocation made;
  made.token = kNotABlock;
  made.reserved_bytes = size;
  made.size_bytes = request.size_bytes;
  PointInto(*piece, made);
  made.alignment_bytes = uint64_t{1} << std::countr_zero(made.device_address);
  absl::Status status;
  if (made.alignment_bytes < AlignmentFor(request)) {
    status = absl::InvalidArgumentError(absl::StrCat("memory for sharing is aligned to ",
                                                     made.alignment_bytes, " bytes, not to ",
                                                     AlignmentFor(request), "; ask for less"));
  } else if (request.zeroed) {
    status = Zero(made);
  }
  if (status.ok()) return made;
  Release(made);
  return status;
}

void VulkanAllocator::Release(const Allocation& allocation) {
  views_.OnFreed(allocation);
  if (!allocation.imported && allocation.token == kNotABlock && allocation.native_handle != 0) {
    if (ReleaseHinted(allocation)) return;
    if (std::optional<SharedMemory::Piece> piece = shared_->Find(allocation.native_handle)) {
      shared_->Destroy(*piece);
      UnreserveDedicated(allocation.reserved_bytes);
    }
    return;
  }
  PooledAllocator::Release(allocation);
}

absl::StatusOr<SharedMemory::Piece> VulkanAllocator::PieceOf(const Allocation& allocation) const {
  std::optional<SharedMemory::Piece> piece = shared_->Find(allocation.native_handle);
  if (piece.has_value() && !allocation.imported) return *piece;
  return absl::FailedPreconditionError(
      absl::StrCat("allocation ", allocation.id.value(), " of ", space().ToString(),
                   " was not made for sharing: ask for Sharing::kPosixFd when it is made "
                   "(BufferOptions::hints)"));
}

absl::StatusOr<int> VulkanAllocator::ExportFd(const Allocation& allocation) {
  TENURE_ASSIGN_OR_RETURN(const SharedMemory::Piece piece, PieceOf(allocation));
  return shared_->ExportFd(piece);
}

absl::StatusOr<ExternalMemory> VulkanAllocator::ExportMemory(const Allocation& allocation) {
  TENURE_ASSIGN_OR_RETURN(const SharedMemory::Piece piece, PieceOf(allocation));
  ExternalMemory memory;
  memory.driver = kDriverName;
  memory.size_bytes = piece.memory_bytes;
  memory.dedicated = true;
  TENURE_ASSIGN_OR_RETURN(memory.fd, shared_->ExportFd(piece));
  return memory;
}

ForeignMemory VulkanAllocator::Wrapped(const SharedMemory::Piece& piece) const {
  ForeignMemory memory;
  memory.data = reinterpret_cast<void*>(piece.address);
  memory.native_handle = reinterpret_cast<uint64_t>(piece.buffer);
  memory.release = [shared = shared_, piece] { shared->Destroy(piece); };
  return memory;
}

absl::StatusOr<ForeignMemory> VulkanAllocator::ImportFd(int fd, uint64_t size_bytes) {
  TENURE_ASSIGN_OR_RETURN(const SharedMemory::Piece piece, shared_->ImportFd(fd, size_bytes));
  return Wrapped(piece);
}

absl::StatusOr<ForeignMemory> VulkanAllocator::ImportMemory(const ExternalMemory& memory) {
  TENURE_ASSIGN_OR_RETURN(const SharedMemory::Piece piece, shared_->Import(memory));
  return Wrapped(piece);
}

absl::StatusOr<std::string> VulkanAllocator::ExportIpc(const Allocation&) {
  return absl::UnimplementedError(
      absl::StrCat(space().ToString(), " has no IPC handles; use ExportFd"));
}

absl::StatusOr<ForeignMemory> VulkanAllocator::ImportIpc(std::string_view, uint64_t) {
  return absl::UnimplementedError(
      absl::StrCat(space().ToString(), " has no IPC handles; use ImportFd"));
}

absl::StatusOr<Allocation> VulkanAllocator::WrapPiece(const AllocationRequest& request) {
  std::optional<SharedMemory::Piece> piece = shared_->Find(request.foreign->native_handle);
  if (!piece.has_value() || reinterpret_cast<uint64_t>(request.foreign->data) != piece->address) {
    return absl::InvalidArgumentError(absl::StrCat(
        "foreign memory '", request.name, "' was not imported by ", space().ToString(),
        "; wrap what ImportFd or ImportMemory of this allocator has returned, as it is"));
  }
  if (request.size_bytes > piece->buffer_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("foreign memory '", request.name, "' has ",
                                                   piece->buffer_bytes, " bytes, not ",
                                                   request.size_bytes));
  }
  Allocation made = WrapForeign(request);
  PointInto(*piece, made);
  return made;
}

}  // namespace tenure::vulkan
