#include "tenure/runtime/copy/cuda_routes.h"

#include <memory>

#include "absl/status/status.h"
#include "tenure/allocator/cuda/copy_engine.h"
#include "tenure/allocator/cuda/cuda_allocator.h"

namespace tenure {
namespace {

using cuda::CopyEngine;
using cuda::DeviceStream;
using cuda::EngineCapability;

// The engine of the end's device; null for an allocator of somebody else's under this name.
CopyEngine* EngineOf(const CopyEnd& end) {
  auto* capability = end.allocator->Capability<EngineCapability>();
  return capability == nullptr ? nullptr : &capability->engine();
}

absl::Status NotCudas() {
  return absl::UnimplementedError("the allocator of a CUDA space is not tenure's own");
}

class OrderedRoute : public CopyRoute {
 public:
  bool CanFollow(const Fence& fence) const override { return DeviceStream::IsDeviceFence(fence); }
};

class UnifiedAddresses final : public OrderedRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    // Page-locked memory has no device of its own: the other side's does the work.
    const CopyEnd& actor = to.allocator->space().kind() == SpaceKind::kCudaPinned ? from : to;
    CopyEngine* engine = EngineOf(actor);
    if (engine == nullptr) return NotCudas();
    return engine->Between(to.region.device_address(), from.region.device_address(),
                           to.region.size_bytes, options);
  }
};

class FromHost final : public OrderedRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    return to.allocator->CopyIn(to.region, from.region.host(), options);
  }
};

class ToHost final : public OrderedRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    return from.allocator->CopyOut(to.region.host(), from.region, options);
  }
};

class FromFile final : public OrderedRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    CopyEngine* engine = EngineOf(to);
    if (engine == nullptr) return NotCudas();
    // The allocation is a value that may be gone before the bytes are read; its copy is as good.
    auto read = [allocator = from.allocator, allocation = *from.region.allocation,
                 begin = from.region.offset_bytes](uint64_t offset, void* slot,
                                                   uint64_t size) -> absl::Status {
      const SubRegion piece{&allocation, begin + offset, size};
      absl::StatusOr<Fence> done = allocator->CopyOut(slot, piece, {.max_threads = 1});
      return done.ok() ? done->Wait() : done.status();
    };
    return engine->InFrom(to.region.device_address(), to.region.size_bytes, read, options);
  }
};

}  // namespace

void RegisterCudaRoutes(CopyTable& table) {
  for (const SpaceKind from : {SpaceKind::kCuda, SpaceKind::kCudaUnified, SpaceKind::kCudaPinned}) {
    for (const SpaceKind to : {SpaceKind::kCuda, SpaceKind::kCudaUnified, SpaceKind::kCudaPinned}) {
      if (from == SpaceKind::kCudaPinned && to == SpaceKind::kCudaPinned) continue;  // the host's
      table.Register(from, to, std::make_unique<UnifiedAddresses>());
    }
  }
  for (const SpaceKind to : {SpaceKind::kCuda, SpaceKind::kCudaUnified}) {
    table.Register(SpaceKind::kDisk, to, std::make_unique<FromFile>());
  }
  table.Register(SpaceKind::kCpu, SpaceKind::kCudaUnified, std::make_unique<FromHost>());
  table.Register(SpaceKind::kCudaUnified, SpaceKind::kCpu, std::make_unique<ToHost>());
}

}  // namespace tenure
