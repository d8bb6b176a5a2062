#include "tenure/allocator/cuda/cuda_allocator.h"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/allocator/errors.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// Scratch memory of less than this is not worth asking for, unless the copy needs no more.
constexpr uint64_t kLeastScratchBytes = uint64_t{1} << 20;

// Whether the memory of a device is mapped (cuMemMap), and not of cuMemAlloc or a pool.
bool IsMapped(const Driver& driver, CUdeviceptr address) {
  unsigned int legacy = 0;
  CUmemoryPool pool = nullptr;
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE,
                                      CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE};
  void* values[] = {&legacy, &pool};
  return driver->PointerGetAttributes(2, attributes, values, address) == CUDA_SUCCESS &&
         legacy == 0 && pool == nullptr;
}

// How many bytes are mapped from this address of a device on. RANGE_SIZE tells of mapped memory only
// how many addresses were reserved. No limit where the driver does not say.
uint64_t MappedBytesFrom(const Driver& driver, CUdeviceptr address) {
  CUdeviceptr base = 0;
  size_t size = 0;
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR,
                                      CU_POINTER_ATTRIBUTE_MAPPING_SIZE};
  void* values[] = {&base, &size};
  const bool told = driver->PointerGetAttributes(2, attributes, values, address) == CUDA_SUCCESS &&
                    size != 0 && address >= base && address - base < size;
  return told ? size - (address - base) : SpaceTraits::kUnlimited;
}

PooledAllocator::Options PoolOptions(const AllocatorOptions& options) {
  PooledAllocator::Options pool;
  pool.max_reserved_bytes = options.max_reserved_bytes;
  pool.max_cached_bytes = options.max_cached_bytes;
  pool.max_wait = options.max_wait;
  return pool;
}

}  // namespace

CudaAllocator::CudaAllocator(MemorySpace space, const SpaceTraits& traits,
                             std::unique_ptr<SlabSource> source, const AllocatorOptions& options,
                             std::shared_ptr<CopyEngine> engine)
    : PooledAllocator(std::move(space), traits, std::move(source), PoolOptions(options)),
      engine_(std::move(engine)) {}

void* CudaAllocator::FindCapability(std::string_view name) {
  if (name == QueueCapability::kName) return static_cast<QueueCapability*>(this);
  if (name == ForeignMemoryCapability::kName) return static_cast<ForeignMemoryCapability*>(this);
  // The host copies pinned memory itself, so it needs no batches.
  if (name == BatchCapability::kName && space().kind() != kPinnedSpace) {
    return static_cast<BatchCapability*>(this);
  }
  if (name == EngineCapability::kName) return static_cast<EngineCapability*>(this);
  return nullptr;
}

absl::StatusOr<uint64_t> CudaAllocator::DedicatedBytes(const AllocationRequest&) const { return 0; }

absl::StatusOr<std::unique_ptr<CudaAllocator::DedicatedMemory>> CudaAllocator::MakeDedicated(
    const AllocationRequest&, uint64_t) {
  return absl::UnimplementedError("this space has no dedicated memory");
}

const CudaAllocator::DedicatedMemory* CudaAllocator::FindDedicated(uint64_t address) const {
  absl::MutexLock lock(&mutex_);
  auto it = dedicated_.find(address);
  return it == dedicated_.end() ? nullptr : it->second.get();
}

absl::StatusOr<Allocation> CudaAllocator::Make(const AllocationRequest& request) {
  if (request.imports() || request.size_bytes == 0 || !request.hints.needs_dedicated()) {
    return PooledAllocator::Make(request);
  }
  TENURE_ASSIGN_OR_RETURN(uint64_t size, DedicatedBytes(request));
  if (size == 0) return PooledAllocator::Make(request);
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<DedicatedMemory> dedicated,
                          AcquireDedicated(request, size));
  Allocation made;
  made.token = kNotABlock;
  made.reserved_bytes = dedicated->reserved_bytes;
  made.device_address = dedicated->address;
  if (dedicated->host) made.host = reinterpret_cast<void*>(made.device_address);
  made.alignment_bytes = uint64_t{1} << std::countr_zero(made.device_address);
  if (made.alignment_bytes < AlignmentFor(request)) {
    ReleaseDedicated(std::move(dedicated));
    return absl::InvalidArgumentError(absl::StrCat("dedicated memory is aligned to ",
                                                   made.alignment_bytes, " bytes, not to ",
                                                   AlignmentFor(request), "; ask for less"));
  }
  {
    absl::MutexLock lock(&mutex_);
    dedicated_[made.device_address] = std::move(dedicated);
    dedicated_count_.fetch_add(1, std::memory_order_relaxed);
  }
  if (request.zeroed) {
    made.size_bytes = request.size_bytes;
    if (absl::Status status = Zero(made); !status.ok()) {
      Release(made);
      return status;
    }
  }
  return made;
}

absl::StatusOr<std::unique_ptr<CudaAllocator::DedicatedMemory>> CudaAllocator::AcquireDedicated(
    const AllocationRequest& request, uint64_t size_bytes) {
  absl::StatusOr<std::unique_ptr<DedicatedMemory>> dedicated(nullptr);
  auto take_kept = [&] {
    std::unique_ptr<DedicatedMemory> kept = AcquireKept(request.hints.sharing, size_bytes);
    if (kept == nullptr) return false;
    dedicated = std::move(kept);
    return true;
  };
  // False: the budget or the driver is exhausted.
  auto take = [&] {
    if (take_kept()) return true;
    if (!TryReserveDedicated(size_bytes)) {
      dedicated = absl::ResourceExhaustedError("it would pass the limit");
      return false;
    }
    dedicated = MakeDedicated(request, size_bytes);
    if (!dedicated.ok()) UnreserveDedicated(size_bytes);
    return !absl::IsResourceExhausted(dedicated.status());
  };
  uint64_t trimmed = 0;
  auto trim_and_take = [&] {
    // The cached bytes may be the ones that are missing.
    trimmed += Trim(0);
    return take();
  };
  if (take()) return dedicated;
  std::string waited;
  if (size_bytes <= Stats().limit_bytes) {
    const uint64_t settled = deferred().settled_count();
    if (trim_and_take() || (request.may_wait && WaitForDeferred(size_bytes, settled, take_kept,
                                                                trim_and_take, waited))) {
      return dedicated;
    }
  }
  return Exhausted(request, size_bytes,
                   absl::StrCat("dedicated memory, also after giving back ", trimmed,
                                " cached bytes", waited, ": ", dedicated.status().message()));
}

std::unique_ptr<CudaAllocator::DedicatedMemory> CudaAllocator::AcquireKept(Sharing sharing,
                                                                           uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
    if ((*it)->sharing != sharing || (*it)->reserved_bytes != size_bytes) continue;
    std::unique_ptr<DedicatedMemory> kept = std::move(*it);
    kept_.erase(std::next(it).base());
    kept_bytes_ -= size_bytes;
    return kept;
  }
  return nullptr;
}

void CudaAllocator::ReleaseDedicated(std::unique_ptr<DedicatedMemory> dedicated) {
  if (!dedicated->waits) {
    ReturnToDriver(*dedicated);
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    kept_bytes_ += dedicated->reserved_bytes;
    kept_.push_back(std::move(dedicated));
  }
  if (Stats().cached_bytes > pool_options().max_cached_bytes) ReleaseKeptDedicated();
}

bool CudaAllocator::ReturnToDriver(const DedicatedMemory& dedicated) {
  if (absl::Status status = dedicated.release(); !status.ok()) {
    // The bytes stay counted as reserved, because the driver still has them.
    ReportToStderr(absl::StrCat(dedicated.reserved_bytes,
                                " bytes could not be given back: ", status.message()));
    return false;
  }
  UnreserveDedicated(dedicated.reserved_bytes);
  return true;
}

uint64_t CudaAllocator::ReleaseKeptDedicated() {
  std::vector<std::unique_ptr<DedicatedMemory>> kept;
  {
    absl::MutexLock lock(&mutex_);
    kept.swap(kept_);
    kept_bytes_ = 0;
  }
  uint64_t given = 0;
  for (const std::unique_ptr<DedicatedMemory>& dedicated : kept) {
    if (ReturnToDriver(*dedicated)) given += dedicated->reserved_bytes;
  }
  return given;
}

uint64_t CudaAllocator::Trim(uint64_t keep_bytes) {
  Poll();
  const uint64_t given = Stats().cached_bytes > keep_bytes ? ReleaseKeptDedicated() : 0;
  uint64_t kept;
  {
    absl::MutexLock lock(&mutex_);
    kept = kept_bytes_;
  }
  return given + PooledAllocator::Trim(keep_bytes - std::min(keep_bytes, kept));
}

AllocatorStats CudaAllocator::Stats() const {
  AllocatorStats stats = PooledAllocator::Stats();
  absl::MutexLock lock(&mutex_);
  stats.cached_bytes += kept_bytes_;
  return stats;
}

void CudaAllocator::Release(const Allocation& allocation) {
  if (has_hints_.load(std::memory_order_relaxed)) ClearHints(allocation);
  if (dedicated_count_.load(std::memory_order_relaxed) != 0 && !allocation.imported) {
    std::unique_ptr<DedicatedMemory> dedicated;
    {
      absl::MutexLock lock(&mutex_);
      auto it = dedicated_.find(allocation.device_address);
      if (it != dedicated_.end()) {
        dedicated = std::move(it->second);
        dedicated_.erase(it);
      }
    }
    if (dedicated != nullptr) {
      dedicated_count_.fetch_sub(1, std::memory_order_relaxed);
      ReleaseDedicated(std::move(dedicated));
      return;
    }
  }
  PooledAllocator::Release(allocation);
}

absl::Status CudaAllocator::CheckForeignRange(uint64_t address, uint64_t size_bytes) const {
  Device::Scope scope(device());
  TENURE_RETURN_IF_ERROR(scope.status());
  const Driver& driver = device().driver();
  for (uint64_t known = 0; known < size_bytes;) {
    const CUdeviceptr at = address + known;
    CUmemorytype type = static_cast<CUmemorytype>(0);
    unsigned int managed = 0;
    int ordinal = 0;
    CUdeviceptr begin = 0;
    size_t size = 0;
    CUpointer_attribute attributes[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
        CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
        CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void* values[] = {&type, &managed, &ordinal, &begin, &size};
    absl::Status status = TENURE_CU(driver, PointerGetAttributes, 5, attributes, values, at);
    const bool is_device = status.ok() && type == CU_MEMORYTYPE_DEVICE && managed == 0;
    if (status.ok()) status = CheckForeign(type, managed != 0);
    if (status.ok() && (at < begin || at - begin >= size)) {
      status = absl::InvalidArgumentError("the address is not of that memory");
    }
    if (status.ok() && is_device && ordinal != static_cast<int>(device().ordinal())) {
      status = absl::InvalidArgumentError(absl::StrCat("it is memory of CUDA device ", ordinal,
                                                       "; wrap it in '", kDeviceSpace.name(), ":",
                                                       ordinal, "'"));
    }
    if (!status.ok() && known == 0) return status;
    if (status.ok()) {
      const uint64_t mapped = is_device ? MappedBytesFrom(driver, at) : SpaceTraits::kUnlimited;
      known += std::min<uint64_t>(size - (at - begin), mapped);
    }
    if (known >= size_bytes) break;
    // Each mapping has a range of its own, so mapped memory may continue behind this one. Other
    // memory ends there, even if a neighbour follows.
    if (!status.ok() || !is_device || !IsMapped(driver, at)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the memory has ", known, " bytes from this address on, and ", size_bytes,
                       " were named; name no more than it has"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Allocation> CudaAllocator::MakeImport(const AllocationRequest& request) {
  const auto address = reinterpret_cast<uint64_t>(request.foreign->data);
  if (request.size_bytes > 0) {
    const absl::Status status = CheckForeignRange(address, request.size_bytes);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("foreign memory '", request.name, "' can't be wrapped in ",
                                       space().ToString(), ": ", status.message()));
    }
  }
  Allocation made = WrapForeign(request);
  if (request.size_bytes > 0) {
    made.device_address = address;
    if (traits().host_readable) made.host = request.foreign->data;
  }
  return made;
}

void CudaAllocator::ReleaseImport(const Allocation& allocation) { ReleaseForeign(allocation); }

absl::StatusOr<Fence> CudaAllocator::CopyIn(const SubRegion& to, const void* from,
                                            const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  return engine_->In(to.device_address(), from, to.size_bytes, options);
}

absl::StatusOr<Fence> CudaAllocator::CopyOut(void* to, const SubRegion& from,
                                             const CopyOptions& options) {
  if (from.size_bytes == 0) return Fence();
  return engine_->Out(to, from.device_address(), from.size_bytes, options);
}

absl::StatusOr<Fence> CudaAllocator::CopyWithin(const SubRegion& to, const SubRegion& from,
                                                const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  const uint64_t scratch_bytes =
      CopyEngine::ScratchBytes(to.device_address(), from.device_address(), to.size_bytes);
  if (scratch_bytes != 0) return CopyByScratch(to, from, scratch_bytes, options);
  return engine_->Between(to.device_address(), from.device_address(), to.size_bytes, options);
}

absl::StatusOr<Fence> CudaAllocator::CopyByScratch(const SubRegion& to, const SubRegion& from,
                                                   uint64_t scratch_bytes,
                                                   const CopyOptions& options) {
  std::vector<Fence> after(options.after.begin(), options.after.end());
  AllocationRequest request;
  request.name = "scratch memory of a copy";
  request.may_wait = false;
  if (options.queue != nullptr) {
    // The same memory then serves several copies of that queue.
    request.hints.queue = options.queue->shared_from_this();
    request.pending = &after;
  }
  absl::StatusOr<Allocation> scratch(absl::in_place);
  // A stream that is captured takes no scratch memory; the engine refuses the copy.
  if (options.queue == nullptr || options.queue->AcceptsWaits()) {
    request.size_bytes = scratch_bytes;
    do {
      scratch = Allocate(request);
      request.size_bytes /= 4;
    } while (absl::IsResourceExhausted(scratch.status()) &&
             request.size_bytes >= kLeastScratchBytes);
    // The engine copies without it, but more slowly.
    if (absl::IsResourceExhausted(scratch.status())) scratch = Allocation();
    if (!scratch.ok()) return scratch.status();
  }
  CopyOptions then = options;
  then.after = after;
  absl::StatusOr<Fence> copied = engine_->Between(
      to.device_address(), from.device_address(), to.size_bytes, then,
      CopyEngine::Direction::kWithin, {scratch->device_address, scratch->size_bytes});
  if (copied.ok()) {
    Deallocate(*scratch, absl::MakeConstSpan(&*copied, 1));
  } else {
    // Earlier work of the queue may still use its bytes.
    Deallocate(*scratch, after);
  }
  return copied;
}

absl::StatusOr<Fence> CudaAllocator::Fill(const SubRegion& to, const FillPattern& pattern,
                                          const CopyOptions& options) {
  if (to.size_bytes == 0) return Fence();
  if (to.allocation->read_only) return ReadOnlyError(*to.allocation);
  return engine_->Fill(to.device_address(), to.size_bytes, pattern, options);
}

absl::Status CudaAllocator::Zero(const Allocation& allocation) {
  absl::StatusOr<Fence> done =
      engine_->Fill(allocation.device_address, allocation.size_bytes, FillPattern(), {});
  return done.ok() ? done->Wait() : done.status();
}

}  // namespace tenure::cuda
