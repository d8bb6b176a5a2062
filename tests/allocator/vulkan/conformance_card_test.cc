// The suite that every allocator passes, on a discrete card that FakeCard plays: memory that the host
// can't map, and memory that is not coherent.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tenure/allocator/decorators/recording.h"
#include "tenure/tests/allocator/conformance.h"
#include "tenure/tests/allocator/vulkan/card_test.h"

namespace tenure::vulkan {
namespace {

// One card for all tests. It is never closed.
const std::shared_ptr<CopyEngine>& Engine() {
  static auto* const engine = [] {
    static auto* const card = new FakeCard;
    auto instance = *Instance::Create(card->loader(), WithValidation());
    return new std::shared_ptr<CopyEngine>(*CopyEngine::Of(*Device::Open(instance, 0)));
  }();
  return *engine;
}

std::vector<ConformanceSubject> Subjects() {
  std::vector<ConformanceSubject> subjects;
  for (const auto& [kind, text] :
       {std::pair(kDeviceSpace, "Device"), std::pair(kUploadSpace, "Upload"),
        std::pair(kReadbackSpace, "Readback")}) {
    ConformanceSubject subject;
    subject.name = std::string("Card") + text;
    subject.make = [k = kind]() -> std::unique_ptr<Allocator> {
      return *VulkanAllocator::Create(k, {}, Engine());
    };
    // The driver maps memory at whole pages, wherever it is on the device.
    if (kind != kDeviceSpace) subject.largest_alignment_bytes = 4096;
    subjects.push_back(subject);
    ConformanceSubject recorded = subject;
    recorded.name += "Recorded";
    recorded.make = [k = kind]() -> std::unique_ptr<Allocator> {
      return std::make_unique<RecordingAllocator>(*VulkanAllocator::Create(k, {}, Engine()),
                                                  RecordingAllocator::Options{});
    };
    subjects.push_back(recorded);
  }
  return subjects;
}

const bool registered = RegisterConformanceTests(Subjects());

}  // namespace
}  // namespace tenure::vulkan
