// cuda-unified:N.

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/slab_sources.h"

namespace tenure::cuda {
namespace {

CUmemLocation On(const Device& device) {
  CUmemLocation location;
  std::memset(&location, 0, sizeof(location));
  location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  location.id = static_cast<int>(device.ordinal());
  return location;
}

CUmemLocation OnHost() {
  CUmemLocation location;
  std::memset(&location, 0, sizeof(location));
  location.type = CU_MEM_LOCATION_TYPE_HOST;
  return location;
}

class UnifiedAllocator final : public CudaAllocator, public UnifiedCapability {
 public:
  UnifiedAllocator(const SpaceTraits& traits, const AllocatorOptions& options,
                   const std::shared_ptr<CopyEngine>& engine)
      : CudaAllocator(MemorySpace::Device(SpaceKind::kCudaUnified, engine->device()->ordinal()),
                      traits, std::make_unique<ManagedSource>(engine->device()), options, engine) {}
  ~UnifiedAllocator() override { ClosePool(); }

  absl::Status Hint(const SubRegion& region, AccessHint hint) override {
    if (region.size_bytes == 0) return absl::OkStatus();
    Device::Scope scope(device());
    if (!scope.status().ok()) return scope.status();
    auto advise = [&](CUmem_advise advice, CUmemLocation where) {
      return TENURE_CU(device().driver(), MemAdvise, region.device_address(), region.size_bytes,
                       advice, where);
    };
    const CUmemLocation on_device = On(device());
    // What was said before is taken back first.
    absl::Status status = advise(CU_MEM_ADVISE_UNSET_READ_MOSTLY, on_device);
    if (status.ok()) status = advise(CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION, on_device);
    if (status.ok()) status = advise(CU_MEM_ADVISE_UNSET_ACCESSED_BY, on_device);
    if (!status.ok()) return status;
    switch (hint) {
      case AccessHint::kNone:
        return absl::OkStatus();
      case AccessHint::kDevicePreferred:
        return advise(CU_MEM_ADVISE_SET_PREFERRED_LOCATION, on_device);
      case AccessHint::kHostPreferred:
        status = advise(CU_MEM_ADVISE_SET_PREFERRED_LOCATION, OnHost());
        return status.ok() ? advise(CU_MEM_ADVISE_SET_ACCESSED_BY, on_device) : status;
      case AccessHint::kReadMostly:
        return advise(CU_MEM_ADVISE_SET_READ_MOSTLY, on_device);
      case AccessHint::kStreaming: {
        // The device is where it is used; the first bytes are brought at once, the others follow
        // page by page.
        status = advise(CU_MEM_ADVISE_SET_ACCESSED_BY, on_device);
        if (!status.ok()) return status;
        absl::StatusOr<Fence> ahead = Prefetch(region, Side::kDevice, 0);
        return ahead.status();
      }
    }
    return absl::InvalidArgumentError(
        absl::StrCat("there is no access hint ", static_cast<int>(hint)));
  }

  absl::StatusOr<Fence> Prefetch(const SubRegion& region, Side to, uint64_t queue) override {
    if (region.size_bytes == 0) return Fence();
    CopyOptions options;
    options.may_block = false;
    options.queue = queue;
    return engine().Run(to == Side::kDevice ? CopyEngine::Lane::kIn : CopyEngine::Lane::kOut,
                        options, [&](CUstream stream) -> absl::Status {
                          absl::Status status = RefuseCapture(device(), stream, "a prefetch");
                          if (!status.ok()) return status;
                          return TENURE_CU(device().driver(), MemPrefetchAsync,
                                           region.device_address(), region.size_bytes,
                                           to == Side::kDevice ? On(device()) : OnHost(), 0,
                                           stream);
                        });
  }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == UnifiedCapability::kName) return static_cast<UnifiedCapability*>(this);
    return CudaAllocator::FindCapability(name);
  }

  absl::Status CheckForeign(CUmemorytype, bool managed) const override {
    if (managed) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "it is not managed memory; wrap it in 'cuda', 'cuda-pinned' or 'cpu'");
  }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Allocator>> MakeUnifiedAllocator(
    const std::shared_ptr<CopyEngine>& engine, const AllocatorOptions& options) {
  const DeviceInfo& info = engine->device()->info();
  if (!info.managed_memory || !info.concurrent_managed_access) {
    return absl::UnimplementedError(
        absl::StrCat("CUDA device ", info.ordinal, " (", info.name,
                     ") has no managed memory that host and kernels can use at the same time; use "
                     "'cuda' and copies, or 'cuda-pinned'"));
  }
  SpaceTraits traits;
  traits.max_allocation_bytes = info.memory_total_bytes;
  traits.min_alignment_bytes = 256;
  traits.device_readable = true;
  traits.device_writable = true;
  return std::make_unique<UnifiedAllocator>(traits, options, engine);
}

}  // namespace tenure::cuda
