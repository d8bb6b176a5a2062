// The suite that every allocator passes, with Vulkan's.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/tests/allocator/conformance.h"
#include "tenure/tests/allocator/vulkan/cpu_device.h"

namespace tenure::vulkan {
namespace {

std::vector<ConformanceSubject> Subjects() {
  std::vector<ConformanceSubject> subjects;
  for (const auto& [kind, text] :
       {std::pair(kDeviceSpace, "Device"), std::pair(kUploadSpace, "Upload"),
        std::pair(kReadbackSpace, "Readback")}) {
    ConformanceSubject subject;
    subject.name = text;
    subject.make = [k = kind] { return CpuDevice::Get().Make(k); };
    // A GPU's driver maps memory at whole pages, wherever it is on the device.
    if (kind != kDeviceSpace && !CpuDevice::Get().device()->info().unified) {
      subject.largest_alignment_bytes = 4096;
    }
    subjects.push_back(subject);
  }
  ConformanceSubject cached;
  cached.name = "Cached";
  cached.make = []() -> std::unique_ptr<Allocator> {
    return std::make_unique<CachingAllocator>(
        CpuDevice::Get().Make(kDeviceSpace),
        CachingAllocator::Options{.max_cached_bytes = 1 << 20});
  };
  subjects.push_back(cached);
  ConformanceSubject decorated;
  decorated.name = "Decorated";
  decorated.make = []() -> std::unique_ptr<Allocator> {
    std::unique_ptr<Allocator> made = CpuDevice::Get().Make(kDeviceSpace);
    made = std::make_unique<DebugFillAllocator>(std::move(made), DebugFillAllocator::Options{});
    made = std::make_unique<FaultInjectingAllocator>(std::move(made), FaultPlan{});
    made = std::make_unique<RecordingAllocator>(std::move(made), RecordingAllocator::Options{});
    return std::make_unique<LimitingAllocator>(std::move(made), uint64_t{1} << 40);
  };
  subjects.push_back(decorated);
  return subjects;
}

const bool registered = RegisterConformanceTests(Subjects());

}  // namespace
}  // namespace tenure::vulkan
