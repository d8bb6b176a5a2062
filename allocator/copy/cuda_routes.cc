#include "tenure/allocator/copy/cuda_routes.h"

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
  bool CanWaitFor(const Fence& fence) const override {
    return DeviceStream::AnyStreamCanWaitFor(fence);
  }
};

// Whether the engine's device can touch memory of that device.
bool Reaches(const CopyEngine& engine, const cuda::Device& other) {
  const cuda::Device& device = *engine.device();
  int can = 0;
  return device.ordinal() == other.ordinal() ||
         (device.driver()->DeviceCanAccessPeer(&can, device.handle(), other.handle()) ==
              CUDA_SUCCESS &&
          can != 0);
}

// Page-locked and managed memory is every device's; memory of one device is that of its peers.
class UnifiedAddresses final : public OrderedRoute {
 public:
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    const SpaceKind target = to.allocator->space().kind(), source = from.allocator->space().kind();
    // Who does the work: the device whose memory it is.
    const bool by_source = target == SpaceKind::kCudaPinned ||
                           (target == SpaceKind::kCudaUnified && source == SpaceKind::kCuda);
    CopyEngine* engine = EngineOf(by_source ? from : to);
    if (engine == nullptr) return NotCudas();
    CopyEngine::Direction direction = source == SpaceKind::kCudaPinned ? CopyEngine::Direction::kIn
                                      : target == SpaceKind::kCudaPinned
                                          ? CopyEngine::Direction::kOut
                                          : CopyEngine::Direction::kWithin;
    if (target == SpaceKind::kCuda && source == SpaceKind::kCuda) {
      CopyEngine* other = EngineOf(from);
      if (other == nullptr) return NotCudas();
      if (!Reaches(*engine, *other->device())) {
        if (!Reaches(*other, *engine->device())) return Staged(*engine, *other, to, from, options);
        engine = other;
      }
    }
    return engine->Between(to.region.device_address(), from.region.device_address(),
                           to.region.size_bytes, options, direction);
  }

 private:
  // Through the page-locked memory of the target's device, into which the source's brings the
  // bytes.
  static absl::StatusOr<Fence> Staged(CopyEngine& to_engine, CopyEngine& from_engine,
                                      const CopyEnd& to, const CopyEnd& from,
                                      const CopyOptions& options) {
    auto read = [&from_engine, begin = from.region.device_address()](
                    uint64_t offset, void* slot, uint64_t size) -> absl::Status {
      absl::StatusOr<Fence> done = from_engine.Out(slot, begin + offset, size, {});
      return done.ok() ? done->Wait() : done.status();
    };
    return to_engine.InFrom(to.region.device_address(), to.region.size_bytes, read, options);
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
