// The copy routes between Vulkan's spaces and others.

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tenure/allocator/copy/copy_table.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"

namespace tenure::vulkan {
namespace {

// The engine of the end's device. Null if the allocator is not one of Vulkan's, whatever its space
// is called.
CopyEngine* EngineOf(const CopyEnd& end) {
  auto* capability = end.allocator->Capability<EngineCapability>();
  return capability == nullptr ? nullptr : &capability->engine();
}

// Between spaces of one device.
class WithinDevice final : public CopyRoute {
 public:
  bool Supports(const CopyEnd& to, const CopyEnd& from) const override {
    return EngineOf(to) != nullptr && EngineOf(to) == EngineOf(from);
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    // Bytes that the host reaches at both ends are copied by the host. In a queue's order it can't:
    // earlier work of the queue may have yet to write them.
    if (options.queue == nullptr && to.region.allocation->host != nullptr &&
        from.region.allocation->host != nullptr &&
        from.allocator->traits().coherence_atom_bytes <= 1) {
      return to.allocator->CopyIn(to.region, from.region.host(), options);
    }
    return EngineOf(to)->Between(to.region, from.region, options);
  }
  bool CanWaitFor(const CopyEnd& to, const CopyEnd&, const Fence& fence) const override {
    return DeviceQueue::DeviceCanWaitFor(*EngineOf(to)->device(), fence);
  }
};

// The file's allocator reads straight into staging memory.
class FromFile final : public CopyRoute {
 public:
  // It can read into mapped memory directly.
  bool Supports(const CopyEnd& to, const CopyEnd&) const override {
    return to.region.allocation->host == nullptr && EngineOf(to) != nullptr;
  }
  absl::StatusOr<Fence> Copy(const CopyEnd& to, const CopyEnd& from,
                             const CopyOptions& options) override {
    // Copies the Allocation value, which may be gone before the bytes are read.
    auto read = [allocator = from.allocator, allocation = *from.region.allocation,
                 begin = from.region.offset_bytes](uint64_t offset, void* slot,
                                                   uint64_t size) -> absl::Status {
      const SubRegion piece{&allocation, begin + offset, size};
      absl::StatusOr<Fence> done = allocator->CopyOut(slot, piece, {.max_threads = 1});
      return done.ok() ? done->Wait() : done.status();
    };
    return EngineOf(to)->InFrom(to.region, read, options);
  }
  bool CanWaitFor(const CopyEnd& to, const CopyEnd&, const Fence& fence) const override {
    return DeviceQueue::DeviceCanWaitFor(*EngineOf(to)->device(), fence);
  }
};

}  // namespace

void RegisterCopyRoutes(CopyTable& table) {
  table.Register(kDriverName, kDriverName, std::make_shared<WithinDevice>());
  table.Register(kDiskSpace.driver(), kDriverName, std::make_shared<FromFile>());
}

const CopyTable& VulkanCopyTable() {
  static const CopyTable* const table = [] {
    auto* made = new CopyTable;
    RegisterCopyRoutes(*made);
    return made;
  }();
  return *table;
}

}  // namespace tenure::vulkan
