// The suite that every allocator passes, with CUDA's.

#include <functional>
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
#include "tenure/tests/allocator/cuda/test_gpu.h"

namespace tenure::cuda {
namespace {

// A device's allocators, which keep the device.
std::unique_ptr<TestGpu>& Gpu(const std::string& name) {
  static auto* const fake = new std::unique_ptr<TestGpu>;
  static auto* const real = new std::unique_ptr<TestGpu>;
  std::unique_ptr<TestGpu>& gpu = name == "Real" ? *real : *fake;
  if (gpu == nullptr) gpu = TestGpu::Make(name);
  return gpu;
}

// What another allocator of that space has given.
std::function<std::shared_ptr<void>(uint64_t)> ForeignOf(const std::string& name, SpaceKind kind) {
  return [name, kind](uint64_t size) -> std::shared_ptr<void> {
    std::shared_ptr<Allocator> other = Gpu(name)->Make(kind);
    const Allocation a = *other->Allocate({.size_bytes = size});
    return {reinterpret_cast<void*>(a.device_address),
            [other, a](void*) { other->Deallocate(a, {}); }};
  };
}

std::vector<ConformanceSubject> Subjects() {
  std::vector<ConformanceSubject> subjects;
  for (const std::string& name : TestGpu::Names()) {
    for (const auto& [kind, text] :
         {std::pair(kDeviceSpace, "Device"), std::pair(kUnifiedSpace, "Unified"),
          std::pair(kPinnedSpace, "Pinned")}) {
      ConformanceSubject subject;
      subject.name = name + text;
      subject.make = [name, k = kind] { return Gpu(name)->Make(k); };
      subject.foreign = ForeignOf(name, kind);
      subjects.push_back(subject);
    }
    ConformanceSubject cached;
    cached.name = name + "Cached";
    cached.make = [name]() -> std::unique_ptr<Allocator> {
      return std::make_unique<CachingAllocator>(
          Gpu(name)->Make(kDeviceSpace), CachingAllocator::Options{.max_cached_bytes = 1 << 20});
    };
    cached.foreign = ForeignOf(name, kDeviceSpace);
    subjects.push_back(cached);
    ConformanceSubject decorated = cached;
    decorated.name = name + "Decorated";
    decorated.make = [name]() -> std::unique_ptr<Allocator> {
      std::unique_ptr<Allocator> made = Gpu(name)->Make(kDeviceSpace);
      made = std::make_unique<DebugFillAllocator>(std::move(made), DebugFillAllocator::Options{});
      made = std::make_unique<FaultInjectingAllocator>(std::move(made), FaultPlan{});
      made = std::make_unique<RecordingAllocator>(std::move(made), RecordingAllocator::Options{});
      return std::make_unique<LimitingAllocator>(std::move(made), uint64_t{1} << 40);
    };
    subjects.push_back(decorated);
  }
  return subjects;
}

const bool registered = RegisterConformanceTests(Subjects());

}  // namespace
}  // namespace tenure::cuda
