#include "tenure/allocator/cuda/copy_routes.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/cuda/copy_engine.h"
#include "tenure/allocator/cuda/cuda_allocator.h"
#include "tenure/allocator/cuda/spaces.h"
#include "tenure/base/status_macros.h"

namespace tenure::cuda {
namespace {

SpaceKind KindOf(const CopyEnd& end) { return end.allocator->space().kind(); }

// The engine of the end's device. Null if the allocator is not one of CUDA's, whatever its space is
// called.
CopyEngine* EngineOf(const CopyEnd& end) {
  auto* capability = end.allocator->Capability<EngineCapability>();
  return capability == nullptr ? nullptr : &capability->engine();
}

class OrderedRoute : public CopyRoute {
 public:
  bool CanWaitFor(const CopyEnd& to, const CopyEnd& from, const Fence& fence) const override {
    const CopyEngine* engine = EngineOf(to);
    if (engine == nullptr) engine = EngineOf(from);
    return DeviceStream::StreamsCanWaitFor(*engine->device(), fence);
  }
};

// Whether the engine's device can access memory of the other device.
bool Reaches(const CopyEngine& engine, const Device& other) {
  const Device& device = *engine.device();
  int can = 0;
  return device.ordinal() == other.ordinal() ||
         (device.driver()->DeviceCanAccessPeer(&can, device.handle(), other.handle()) ==
              CUDA_SUCCESS &&
          can != 0);
}

// Copies between unified addresses. Every device can access page-locked and managed memory; a
// device's own memory is accessible to its peers.
class UnifiedAddresses final : public OrderedRoute {
 public:
  // The host copies between two pinned buffers.
  bool Supports(const CopyEnd& to, const CopyEnd& from) const override {
    return (KindOf(to) != kPinnedSpace || KindOf(from) != kPinnedSpace) &&
           EngineOf(to) != nullptr && EngineOf(from) != nullptr;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    // Ranges that overlap may need scratch memory, which the allocator has.
    if (to.allocator == from.allocator) {
      return to.allocator->CopyWithin(to.region, from.region, options);
    }
    const SpaceKind target = KindOf(to), source = KindOf(from);
    // The device that owns the memory does the work.
    const bool by_source =
        target == kPinnedSpace || (target == kUnifiedSpace && source == kDeviceSpace);
    CopyEngine* engine = EngineOf(by_source ? from : to);
    const CopyEngine::Direction direction = source == kPinnedSpace ? CopyEngine::Direction::kIn
                                            : target == kPinnedSpace
                                                ? CopyEngine::Direction::kOut
                                                : CopyEngine::Direction::kWithin;
    if (target == kDeviceSpace && source == kDeviceSpace) {
      CopyEngine* other = EngineOf(from);
      if (engine != other) {
        for (const CopyEnd& end : {to, from}) {
          TENURE_RETURN_IF_ERROR(end.allocator->Capability<EngineCapability>()->MapForPeers());
        }
      }
      if (!Reaches(*engine, *other->device())) {
        if (!Reaches(*other, *engine->device())) return Staged(*engine, *other, to, from, options);
        engine = other;
      }
    }
    return engine->Between(to.region.device_address(), from.region.device_address(),
                           to.region.size_bytes, options, direction);
  }

 private:
  // Copies through page-locked memory of the target's device; the source's device writes the bytes
  // into it.
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

// Copies from host memory to managed memory only; the default routes serve the other spaces.
class FromHost final : public OrderedRoute {
 public:
  bool Supports(const CopyEnd& to, const CopyEnd& from) const override {
    return KindOf(to) == kUnifiedSpace && from.region.allocation->host != nullptr;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    return to.allocator->CopyIn(to.region, from.region.host(), options);
  }
};

class ToHost final : public OrderedRoute {
 public:
  bool Supports(const CopyEnd& to, const CopyEnd& from) const override {
    return KindOf(from) == kUnifiedSpace && to.region.allocation->host != nullptr;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    return from.allocator->CopyOut(to.region.host(), from.region, options);
  }
};

class FromFile final : public OrderedRoute {
 public:
  // Pinned memory is excluded, because the file's allocator can read into it directly.
  bool Supports(const CopyEnd& to, const CopyEnd&) const override {
    return KindOf(to) != kPinnedSpace && EngineOf(to) != nullptr;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    CopyEngine* engine = EngineOf(to);
    // Copies the Allocation value, which may be gone before the bytes are read.
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

void RegisterCopyRoutes(CopyTable& table) {
  table.Register(kDriverName, kDriverName, std::make_shared<UnifiedAddresses>());
  table.Register(kDiskSpace.driver(), kDriverName, std::make_shared<FromFile>());
  table.Register(kCpuSpace.driver(), kDriverName, std::make_shared<FromHost>());
  table.Register(kDriverName, kCpuSpace.driver(), std::make_shared<ToHost>());
}

const CopyTable& CudaCopyTable() {
  static const CopyTable* const table = [] {
    auto* made = new CopyTable;
    RegisterCopyRoutes(*made);
    return made;
  }();
  return *table;
}

}  // namespace tenure::cuda
