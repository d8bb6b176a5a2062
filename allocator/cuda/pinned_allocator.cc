// The allocator of `cuda-pinned:N`.

#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/slab_sources.h"
#include "tenure/base/checked.h"
#include "tenure/base/host_memory.h"
#include "tenure/base/status_macros.h"
#include "tenure/base/system_memory.h"

namespace tenure::cuda {
namespace {

constexpr uint64_t kPage = 4096;

class PinnedAllocator final : public CudaAllocator {
 public:
  PinnedAllocator(const SpaceTraits& traits, const AllocatorOptions& options,
                  const std::shared_ptr<CopyEngine>& engine)
      : CudaAllocator(MemorySpace::Device(kPinnedSpace, engine->device()->ordinal()), traits,
                      std::make_unique<PinnedSource>(engine->device()), options, engine) {}
  ~PinnedAllocator() override { ClosePool(); }

  // This is host memory, so the host copies it, unless a queue's order must be kept.
  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override {
    if (InOrderOfDevice(options) || to.allocation->read_only) {
      return CudaAllocator::CopyIn(to, from, options);
    }
    host::MoveBytes(to.host(), from, to.size_bytes, options.max_threads);
    return Fence();
  }
  absl::StatusOr<Fence> CopyOut(void* to, const SubRegion& from,
                                const CopyOptions& options) override {
    if (InOrderOfDevice(options)) return CudaAllocator::CopyOut(to, from, options);
    host::MoveBytes(to, from.host(), from.size_bytes, options.max_threads);
    return Fence();
  }
  absl::StatusOr<Fence> CopyWithin(const SubRegion& to, const SubRegion& from,
                                   const CopyOptions& options) override {
    if (InOrderOfDevice(options) || to.allocation->read_only) {
      return CudaAllocator::CopyWithin(to, from, options);
    }
    host::MoveBytes(to.host(), from.host(), to.size_bytes, options.max_threads);
    return Fence();
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override {
    if (InOrderOfDevice(options) || to.allocation->read_only) {
      return CudaAllocator::Fill(to, pattern, options);
    }
    TENURE_RETURN_IF_ERROR(host::CheckPattern(pattern));
    host::FillBytes(to.host(), to.size_bytes, pattern, options.max_threads);
    return Fence();
  }

 protected:
  absl::Status Zero(const Allocation& allocation) override {
    host::FillBytes(allocation.host, allocation.size_bytes, FillPattern());
    return absl::OkStatus();
  }

  absl::Status CheckForeign(CUmemorytype type, bool managed) const override {
    if (type == CU_MEMORYTYPE_HOST && !managed) return absl::OkStatus();
    return absl::InvalidArgumentError(
        managed ? "it is managed memory; wrap it in 'cuda-unified'"
        : type == CU_MEMORYTYPE_DEVICE
            ? "it is memory of a device; wrap it in 'cuda'"
            : "it is not page-locked; wrap it in 'cpu', or register it with the driver first");
  }

  absl::StatusOr<uint64_t> DedicatedBytes(const AllocationRequest& request) const override {
    if (!request.hints.write_combined && request.hints.mode != AccessMode::kWriteOnly) return 0;
    uint64_t rounded;
    if (!CheckedRoundUp(request.size_bytes, kPage, &rounded)) {
      return Exhausted(request, request.size_bytes, "nothing: no memory is that large");
    }
    return rounded;
  }

  absl::StatusOr<std::unique_ptr<DedicatedMemory>> MakeDedicated(const AllocationRequest&,
                                                                 uint64_t reserved_bytes) override {
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    void* memory = nullptr;
    TENURE_RETURN_IF_ERROR(TENURE_CU(device().driver(), MemHostAlloc, &memory, reserved_bytes,
                                     CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_WRITECOMBINED));
    auto dedicated = std::make_unique<DedicatedMemory>();
    dedicated->address = reinterpret_cast<uint64_t>(memory);
    dedicated->reserved_bytes = reserved_bytes;
    dedicated->host = true;
    dedicated->waits = true;
    dedicated->release = [this, memory]() -> absl::Status {
      Device::Scope freeing(device());
      return TENURE_CU(device().driver(), MemFreeHost, memory);
    };
    return dedicated;
  }

 private:
  static bool InOrderOfDevice(const CopyOptions& options) {
    return options.queue != nullptr || !options.after.empty();
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Allocator>> MakePinnedAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options) {
  SpaceTraits traits;
  traits.max_allocation_bytes = host::ReadSystemMemory().total_bytes;
  traits.min_alignment_bytes = 256;
  traits.device_readable = true;
  traits.device_writable = true;
  return std::make_unique<PinnedAllocator>(traits, options, engine);
}

}  // namespace tenure::cuda
