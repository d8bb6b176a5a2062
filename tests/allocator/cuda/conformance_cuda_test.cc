// The suite that every allocator passes, with CUDA's.

#include <memory>
#include <string>
#include <vector>

#include "tenure/allocator/decorators/caching.h"
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

std::vector<ConformanceSubject> Subjects() {
  std::vector<ConformanceSubject> subjects;
  for (const std::string& name : TestGpu::Names()) {
    for (const auto& [kind, text] :
         {std::pair(SpaceKind::kCuda, "Device"), std::pair(SpaceKind::kCudaUnified, "Unified"),
          std::pair(SpaceKind::kCudaPinned, "Pinned")}) {
      ConformanceSubject subject;
      subject.name = name + text;
      subject.make = [name, k = kind] { return Gpu(name)->Make(k); };
      subjects.push_back(subject);
    }
    subjects.push_back({name + "Cached", [name]() -> std::unique_ptr<Allocator> {
                          return std::make_unique<CachingAllocator>(
                              Gpu(name)->Make(SpaceKind::kCuda),
                              CachingAllocator::Options{.max_cached_bytes = 1 << 20});
                        }});
  }
  return subjects;
}

const bool registered = RegisterConformanceTests(Subjects());

}  // namespace
}  // namespace tenure::cuda
