// The allocator of `cuda-unified:N`.

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/slab_sources.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

// The bytes of a streamed region that are prefetched: half a millisecond's worth.
constexpr uint64_t kAheadBytes = uint64_t{32} << 20;

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

class UnifiedAllocator final : public CudaAllocator, public ResidencyCapability {
 public:
  UnifiedAllocator(const SpaceTraits& traits, const AllocatorOptions& options,
                   const std::shared_ptr<CopyEngine>& engine)
      : CudaAllocator(MemorySpace::Device(kUnifiedSpace, engine->device()->ordinal()), traits,
                      std::make_unique<ManagedSource>(engine->device()), options, engine) {}
  ~UnifiedAllocator() override { ClosePool(); }

  absl::Status Hint(const SubRegion& region, AccessHint hint) override {
    if (region.size_bytes == 0) return absl::OkStatus();
    const uint64_t address = region.device_address();
    Device::Scope scope(device());
    TENURE_RETURN_IF_ERROR(scope.status());
    // Remove earlier hints first.
    absl::Status status = Unset(address, region.size_bytes);
    if (!status.ok() || hint == AccessHint::kNone) return status;
    {
      // Recorded before the driver is told, because a failure may leave half of the hint in place.
      absl::MutexLock lock(&mutex_);
      uint64_t& size = hinted_[address];
      size = std::max(size, region.size_bytes);
      MarkHinted();
    }
    auto advise = [&](CUmem_advise advice, CUmemLocation where) {
      return Advise(address, region.size_bytes, advice, where);
    };
    switch (hint) {
      case AccessHint::kNone:
        break;
      case AccessHint::kCoherent:
        return absl::OkStatus();
      case AccessHint::kDevicePreferred:
        return advise(CU_MEM_ADVISE_SET_PREFERRED_LOCATION, On(device()));
      case AccessHint::kHostPreferred:
        status = advise(CU_MEM_ADVISE_SET_PREFERRED_LOCATION, OnHost());
        return status.ok() ? advise(CU_MEM_ADVISE_SET_ACCESSED_BY, On(device())) : status;
      case AccessHint::kReadMostly:
        return advise(CU_MEM_ADVISE_SET_READ_MOSTLY, On(device()));
      case AccessHint::kStreaming: {
        // The device uses the bytes. The first ones are prefetched; the others follow page by page.
        TENURE_RETURN_IF_ERROR(advise(CU_MEM_ADVISE_SET_ACCESSED_BY, On(device())));
        SubRegion first = region;
        first.size_bytes = std::min(first.size_bytes, kAheadBytes);
        return Prefetch(first, Side::kDevice, 0).status();
      }
    }
    return absl::InvalidArgumentError(
        absl::StrCat("there is no access hint ", static_cast<int>(hint)));
  }

  absl::StatusOr<Fence> Prefetch(const SubRegion& region, Side to, Queue* queue) override {
    if (region.size_bytes == 0) return Fence();
    CopyOptions options;
    options.may_block = false;
    options.queue = queue;
    return engine().Run(
        to == Side::kDevice ? CopyEngine::Direction::kIn : CopyEngine::Direction::kOut, options,
        [&](CUstream stream) -> absl::Status {
          TENURE_RETURN_IF_ERROR(RefuseCapture(device(), stream, "a prefetch"));
          return TENURE_CU(device().driver(), MemPrefetchAsync, region.device_address(),
                           region.size_bytes, to == Side::kDevice ? On(device()) : OnHost(), 0,
                           stream);
        });
  }

 protected:
  void* FindCapability(std::string_view name) override {
    if (name == ResidencyCapability::kName) return static_cast<ResidencyCapability*>(this);
    return CudaAllocator::FindCapability(name);
  }

  // Hints belong to a buffer, and end with it.
  void ClearHints(const Allocation& allocation) override {
    std::vector<std::pair<uint64_t, uint64_t>> over;
    {
      absl::MutexLock lock(&mutex_);
      const uint64_t begin = allocation.device_address;
      const uint64_t size = std::max(allocation.size_bytes, allocation.reserved_bytes);
      auto it = hinted_.lower_bound(begin);
      // Include a hint that begins before the freed bytes and reaches into them.
      if (it != hinted_.begin() && begin - std::prev(it)->first < std::prev(it)->second) --it;
      for (; it != hinted_.end() && it->first < begin + size;) {
        over.push_back(*it);
        it = hinted_.erase(it);
      }
    }
    if (over.empty()) return;
    Device::Scope scope(device());
    if (!scope.status().ok()) return;
    // A hint that remains only costs time.
    for (const auto& [address, bytes] : over) Unset(address, bytes).IgnoreError();
  }

  absl::Status CheckForeign(CUmemorytype, bool managed) const override {
    if (managed) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "it is not managed memory; wrap it in 'cuda', 'cuda-pinned' or 'cpu'");
  }

 private:
  absl::Status Advise(uint64_t address, uint64_t size_bytes, CUmem_advise advice,
                      CUmemLocation where) {
    return TENURE_CU(device().driver(), MemAdvise, address, size_bytes, advice, where);
  }
  absl::Status Unset(uint64_t address, uint64_t size_bytes) {
    absl::Status status;
    for (const CUmem_advise advice :
         {CU_MEM_ADVISE_UNSET_READ_MOSTLY, CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION,
          CU_MEM_ADVISE_UNSET_ACCESSED_BY}) {
      status.Update(Advise(address, size_bytes, advice, On(device())));
    }
    return status;
  }

  absl::Mutex mutex_;
  // The regions that have hints: sizes by address. Regions of one allocation may overlap.
  std::map<uint64_t, uint64_t> hinted_ ABSL_GUARDED_BY(mutex_);
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
