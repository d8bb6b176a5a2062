#include "tenure/allocator/cuda/cuda_allocator.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/checked.h"
#include "tenure/allocator/errors.h"

namespace tenure::cuda {
namespace {

PooledAllocator::Options PoolOptions(const AllocatorOptions& options) {
  PooledAllocator::Options pool;
  pool.max_reserved_bytes = options.max_reserved_bytes;
  pool.max_cached_bytes = options.max_cached_bytes;
  return pool;
}

}  // namespace

CudaAllocator::CudaAllocator(MemorySpace space, const SpaceTraits& traits,
                             std::unique_ptr<SlabSource> source, const AllocatorOptions& options,
                             std::shared_ptr<CopyEngine> engine)
    : PooledAllocator(std::move(space), traits, std::move(source), PoolOptions(options)),
      engine_(std::move(engine)) {}

void* CudaAllocator::FindCapability(std::string_view name) {
  if (name == OrderingCapability::kName) return static_cast<OrderingCapability*>(this);
  if (name == ForeignMemoryCapability::kName) return static_cast<ForeignMemoryCapability*>(this);
  // The host copies its own memory as it is.
  if (name == BatchCapability::kName && space().kind() != SpaceKind::kCudaPinned) {
    return static_cast<BatchCapability*>(this);
  }
  if (name == EngineCapability::kName) return static_cast<EngineCapability*>(this);
  return nullptr;
}

absl::StatusOr<std::unique_ptr<CudaAllocator::SpecialMemory>> CudaAllocator::MakeSpecial(
    const AllocationRequest&) {
  return nullptr;
}

const CudaAllocator::SpecialMemory* CudaAllocator::FindSpecial(uint64_t address) const {
  absl::MutexLock lock(&mutex_);
  auto it = special_.find(address);
  return it == special_.end() ? nullptr : it->second.get();
}

absl::StatusOr<Allocation> CudaAllocator::Make(const AllocationRequest& request) {
  if (request.imports() || request.size_bytes == 0 ||
      (request.sharing == Sharing::kNone && !request.write_combined)) {
    return PooledAllocator::Make(request);
  }
  // Beside the pool, under the same budget.
  const uint64_t limit = Stats().limit_bytes;
  if (request.size_bytes > limit - std::min(limit, Stats().reserved_bytes)) Trim(0);
  if (request.size_bytes > limit - std::min(limit, Stats().reserved_bytes)) {
    return Exhausted(request, request.size_bytes,
                     "nothing: memory of its own would exceed the budget");
  }
  absl::StatusOr<std::unique_ptr<SpecialMemory>> special = MakeSpecial(request);
  if (absl::IsResourceExhausted(special.status())) {
    // What the pool does not use may be what is missing.
    const uint64_t trimmed = Trim(0);
    special = MakeSpecial(request);
    if (absl::IsResourceExhausted(special.status())) {
      return Exhausted(
          request, request.size_bytes,
          absl::StrCat("memory of its own, twice, with ", trimmed,
                       " cached bytes given back between: ", special.status().message()));
    }
  }
  if (!special.ok()) return special.status();
  if (*special == nullptr) return PooledAllocator::Make(request);
  Allocation made;
  made.reserved_bytes = (*special)->reserved_bytes;
  made.device_address = (*special)->address;
  if ((*special)->host) made.host = reinterpret_cast<void*>(made.device_address);
  made.alignment_bytes = uint64_t{1} << std::countr_zero(made.device_address);
  if (made.alignment_bytes < AlignmentFor(request)) {
    ((*special)->release)().IgnoreError();
    return absl::InvalidArgumentError(absl::StrCat("memory of its own is aligned to ",
                                                   made.alignment_bytes, " bytes, not to ",
                                                   AlignmentFor(request), "; ask for less"));
  }
  {
    absl::MutexLock lock(&mutex_);
    special_[made.device_address] = *std::move(special);
    special_bytes_.fetch_add(made.reserved_bytes, std::memory_order_relaxed);
    special_count_.fetch_add(1, std::memory_order_relaxed);
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

AllocatorStats CudaAllocator::Stats() const {
  AllocatorStats stats = PooledAllocator::Stats();
  stats.reserved_bytes += special_bytes_.load(std::memory_order_relaxed);
  return stats;
}

void CudaAllocator::Release(const Allocation& allocation) {
  if (special_count_.load(std::memory_order_relaxed) != 0 && !allocation.imported) {
    std::unique_ptr<SpecialMemory> special;
    {
      absl::MutexLock lock(&mutex_);
      auto it = special_.find(allocation.device_address);
      if (it != special_.end()) {
        special = std::move(it->second);
        special_.erase(it);
      }
    }
    if (special != nullptr) {
      special_count_.fetch_sub(1, std::memory_order_relaxed);
      special_bytes_.fetch_sub(allocation.reserved_bytes, std::memory_order_relaxed);
      if (absl::Status status = special->release(); !status.ok()) {
        ReportToStderr(absl::StrCat(allocation.reserved_bytes,
                                    " bytes could not be given back: ", status.message()));
      }
      return;
    }
  }
  PooledAllocator::Release(allocation);
}

absl::StatusOr<Allocation> CudaAllocator::MakeImport(const AllocationRequest& request) {
  const auto address = reinterpret_cast<uint64_t>(request.foreign->data);
  if (request.size_bytes > 0) {
    CUmemorytype type = static_cast<CUmemorytype>(0);
    unsigned int managed = 0;
    CUdeviceptr begin = 0;
    size_t size = 0;
    CUpointer_attribute attributes[] = {
        CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
        CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, CU_POINTER_ATTRIBUTE_RANGE_SIZE};
    void* values[] = {&type, &managed, &begin, &size};
    Device::Scope scope(device());
    absl::Status status = scope.status();
    if (status.ok()) {
      status = TENURE_CU(device().driver(), PointerGetAttributes, 4, attributes, values, address);
    }
    if (status.ok()) status = CheckForeign(type, managed != 0);
    // Mapped addresses may go on behind the range that the driver tells of: one mapping each.
    if (status.ok() && address < begin) {
      status = absl::InvalidArgumentError("the address is not of that memory");
    }
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
  return engine_->Between(to.device_address(), from.device_address(), to.size_bytes, options);
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

absl::StatusOr<std::unique_ptr<Allocator>> MakeAllocatorOn(std::shared_ptr<Device> device,
                                                           SpaceKind kind,
                                                           const AllocatorOptions& options) {
  absl::StatusOr<std::shared_ptr<CopyEngine>> engine = CopyEngine::Of(std::move(device));
  if (!engine.ok()) return engine.status();
  switch (kind) {
    case SpaceKind::kCuda:
      return MakeDeviceAllocator(*engine, options);
    case SpaceKind::kCudaUnified:
      return MakeUnifiedAllocator(*engine, options);
    case SpaceKind::kCudaPinned:
      return MakePinnedAllocator(*engine, options);
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("'", SpaceKindName(kind), "' is no space of CUDA's"));
  }
}

}  // namespace tenure::cuda
