#include "tenure/allocator/cuda/cuda_allocator.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
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

absl::StatusOr<uint64_t> CudaAllocator::SpecialBytes(const AllocationRequest&) const { return 0; }

absl::StatusOr<std::unique_ptr<CudaAllocator::SpecialMemory>> CudaAllocator::MakeSpecial(
    const AllocationRequest&, uint64_t) {
  return absl::UnimplementedError("there is no memory but the pool's");
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
  absl::StatusOr<uint64_t> size = SpecialBytes(request);
  if (!size.ok()) return size.status();
  if (*size == 0) return PooledAllocator::Make(request);
  absl::StatusOr<std::unique_ptr<SpecialMemory>> special = TakeSpecial(request, *size);
  if (!special.ok()) return special.status();
  Allocation made;
  made.token = kNotABlock;
  made.reserved_bytes = (*special)->reserved_bytes;
  made.device_address = (*special)->address;
  if ((*special)->host) made.host = reinterpret_cast<void*>(made.device_address);
  made.alignment_bytes = uint64_t{1} << std::countr_zero(made.device_address);
  if (made.alignment_bytes < AlignmentFor(request)) {
    LetGo(*std::move(special));
    return absl::InvalidArgumentError(absl::StrCat("memory of its own is aligned to ",
                                                   made.alignment_bytes, " bytes, not to ",
                                                   AlignmentFor(request), "; ask for less"));
  }
  {
    absl::MutexLock lock(&mutex_);
    special_[made.device_address] = *std::move(special);
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

absl::StatusOr<std::unique_ptr<CudaAllocator::SpecialMemory>> CudaAllocator::TakeSpecial(
    const AllocationRequest& request, uint64_t size_bytes) {
  if (std::unique_ptr<SpecialMemory> kept = TakeKept(request.sharing, size_bytes)) return kept;
  uint64_t trimmed = 0;
  if (!TryReserveOutside(size_bytes)) {
    if (size_bytes <= Stats().limit_bytes) trimmed = Trim(0);
    if (!TryReserveOutside(size_bytes)) {
      return Exhausted(request, size_bytes,
                       absl::StrCat("giving back ", trimmed,
                                    " cached bytes: memory of its own would pass the limit"));
    }
  }
  absl::StatusOr<std::unique_ptr<SpecialMemory>> special = MakeSpecial(request, size_bytes);
  if (absl::IsResourceExhausted(special.status())) {
    // What is cached may be what is missing.
    trimmed += Trim(0);
    special = MakeSpecial(request, size_bytes);
  }
  if (special.ok()) return special;
  ReleaseOutside(size_bytes);
  if (!absl::IsResourceExhausted(special.status())) return special.status();
  return Exhausted(request, size_bytes,
                   absl::StrCat("memory of its own, twice, with ", trimmed,
                                " cached bytes given back between: ", special.status().message()));
}

std::unique_ptr<CudaAllocator::SpecialMemory> CudaAllocator::TakeKept(Sharing sharing,
                                                                      uint64_t size_bytes) {
  absl::MutexLock lock(&mutex_);
  for (auto it = kept_.rbegin(); it != kept_.rend(); ++it) {
    if ((*it)->sharing != sharing || (*it)->reserved_bytes != size_bytes) continue;
    std::unique_ptr<SpecialMemory> kept = std::move(*it);
    kept_.erase(std::next(it).base());
    kept_bytes_ -= size_bytes;
    return kept;
  }
  return nullptr;
}

void CudaAllocator::LetGo(std::unique_ptr<SpecialMemory> special) {
  if (!special->waits) {
    GiveBack(*special);
    return;
  }
  {
    absl::MutexLock lock(&mutex_);
    kept_bytes_ += special->reserved_bytes;
    kept_.push_back(std::move(special));
  }
  if (Stats().cached_bytes > pool_options().max_cached_bytes) GiveKeptOutside();
}

bool CudaAllocator::GiveBack(const SpecialMemory& special) {
  if (absl::Status status = special.release(); !status.ok()) {
    // Still counted: the driver has it.
    ReportToStderr(
        absl::StrCat(special.reserved_bytes, " bytes could not be given back: ", status.message()));
    return false;
  }
  ReleaseOutside(special.reserved_bytes);
  return true;
}

uint64_t CudaAllocator::GiveKeptOutside() {
  std::vector<std::unique_ptr<SpecialMemory>> kept;
  {
    absl::MutexLock lock(&mutex_);
    kept.swap(kept_);
    kept_bytes_ = 0;
  }
  uint64_t given = 0;
  for (const std::unique_ptr<SpecialMemory>& special : kept) {
    if (GiveBack(*special)) given += special->reserved_bytes;
  }
  return given;
}

uint64_t CudaAllocator::Trim(uint64_t keep_bytes) {
  Poll();
  const uint64_t given = Stats().cached_bytes > keep_bytes ? GiveKeptOutside() : 0;
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
  if (remembers_.load(std::memory_order_relaxed)) Forget(allocation);
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
      LetGo(std::move(special));
      return;
    }
  }
  PooledAllocator::Release(allocation);
}

PooledAllocator::Order CudaAllocator::OrderAfter(uint64_t queue, const Fence& fence) const {
  const auto* timeline = dynamic_cast<const EventTimeline*>(fence.timeline().get());
  if (timeline == nullptr) return Order::kNone;
  return timeline->stream() == reinterpret_cast<CUstream>(queue) ? Order::kKept : Order::kIfItWaits;
}

bool CudaAllocator::QueueCanWait(uint64_t queue) const {
  // A graph that is being captured can't wait for what is not in it.
  Device::Scope scope(device());
  CUstreamCaptureStatus capturing = CU_STREAM_CAPTURE_STATUS_ACTIVE;
  return scope.status().ok() &&
         device().driver()->StreamIsCapturing(reinterpret_cast<CUstream>(queue), &capturing) ==
             CUDA_SUCCESS &&
         capturing == CU_STREAM_CAPTURE_STATUS_NONE;
}

absl::Status CudaAllocator::MakeQueueWait(uint64_t queue, absl::Span<const Fence> fences) {
  return QueueWaits(device(), reinterpret_cast<CUstream>(queue), fences);
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
