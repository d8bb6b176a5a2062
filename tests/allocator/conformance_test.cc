#include "tenure/tests/allocator/conformance.h"

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/debug_fill.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/mmap/mmap_allocator.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/tests/testing/two_views_allocator.h"

namespace tenure {
namespace {

using Made = std::unique_ptr<Allocator>;

constexpr uint64_t kFileBytes = 20000;

Made Cpu() { return std::make_unique<CpuAllocator>(); }
Made Null() { return std::make_unique<NullAllocator>(); }
Made TwoViews() { return std::make_unique<TwoViewsAllocator>(); }
Made File() {
  static const std::string path = [] {
    const char* folder = std::getenv("TEST_TMPDIR");
    std::string name = std::string(folder != nullptr ? folder : "/tmp") + "/conformance.bin";
    std::ofstream file(name, std::ios::binary);
    for (uint64_t i = 0; i < kFileBytes; ++i) file.put(static_cast<char>(i * 7));
    return name;
  }();
  return *MmapAllocator::Open(path);
}

Made Caching(Made upstream, uint64_t bytes = 1 << 20) {
  return std::make_unique<CachingAllocator>(std::move(upstream),
                                            CachingAllocator::Options{.max_cached_bytes = bytes});
}
Made Limiting(Made upstream) {
  return std::make_unique<LimitingAllocator>(std::move(upstream), uint64_t{1} << 40);
}
Made Recording(Made upstream) {
  return std::make_unique<RecordingAllocator>(std::move(upstream), RecordingAllocator::Options{});
}
Made Faulty(Made upstream) {
  return std::make_unique<FaultInjectingAllocator>(std::move(upstream), FaultPlan{});
}
Made DebugFill(Made upstream) {
  return std::make_unique<DebugFillAllocator>(std::move(upstream), DebugFillAllocator::Options{});
}

const bool registered = RegisterConformanceTests({
    {"Cpu", [] { return Cpu(); }},
    {"Null", [] { return Null(); }},
    {"NotCoherent", [] { return TwoViews(); }},
    {"AllOverNotCoherent",
     [] { return Limiting(Caching(Recording(Faulty(DebugFill(TwoViews()))))); }},
    {"Mmap", [] { return File(); }, kFileBytes},
    {"Caching", [] { return Caching(Cpu()); }},
    {"CachingNothing", [] { return Caching(Cpu(), 0); }},
    {"CachingNull", [] { return Caching(Null()); }},
    {"Limiting", [] { return Limiting(Cpu()); }},
    {"Recording", [] { return Recording(Cpu()); }},
    {"FaultInjecting", [] { return Faulty(Cpu()); }},
    {"DebugFill", [] { return DebugFill(Cpu()); }},
    {"DebugFillNull", [] { return DebugFill(Null()); }},
    {"AllOverCpu", [] { return Limiting(Caching(Recording(Faulty(DebugFill(Cpu()))))); }},
    {"AllOverCpuOtherWay", [] { return DebugFill(Faulty(Recording(Caching(Limiting(Cpu()))))); }},
    {"CachingTwice", [] { return Caching(DebugFill(Caching(Cpu(), 1 << 16))); }},
    {"AllOverNull", [] { return Recording(DebugFill(Caching(Limiting(Faulty(Null()))))); }},
    {"AllOverMmap", [] { return Caching(DebugFill(Recording(Limiting(Faulty(File()))))); },
     kFileBytes},
});

}  // namespace
}  // namespace tenure
