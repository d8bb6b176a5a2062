// Mesa's CPU driver as a Vulkan device for tests, with the validation layer below it. A message of
// the layer fails the test that is running.
//
//   std::unique_ptr<Allocator> upload = CpuDevice::Get().Make(kUploadSpace);
//
// The driver is the one whose device is a CPU. Tests fail if there is none: tools/setup installs it.
// With TENURE_TEST_VULKAN=discrete in the environment, it is the first discrete device instead: the
// same tests then run on a GPU.

#ifndef TENURE_TESTS_ALLOCATOR_VULKAN_CPU_DEVICE_H_
#define TENURE_TESTS_ALLOCATOR_VULKAN_CPU_DEVICE_H_

#include <memory>

#include "tenure/allocator/allocator.h"
#include "tenure/allocator/vulkan/allocators.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/device_queue.h"

namespace tenure::vulkan {

class CpuDevice {
 public:
  // One for all tests of a program.
  static CpuDevice& Get();

  const std::shared_ptr<Instance>& instance() const { return instance_; }
  const std::shared_ptr<Device>& device() const { return device_; }
  std::unique_ptr<Allocator> Make(SpaceKind kind, const AllocatorOptions& options = {});
  std::shared_ptr<DeviceQueue> MakeQueue();

 private:
  CpuDevice();

  std::shared_ptr<Instance> instance_;
  std::shared_ptr<Device> device_;
  std::shared_ptr<CopyEngine> engine_;
};

}  // namespace tenure::vulkan

#endif  // TENURE_TESTS_ALLOCATOR_VULKAN_CPU_DEVICE_H_
