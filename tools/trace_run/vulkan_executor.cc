// What a DeviceExecutor needs of Vulkan: a queue, the kernels, and words of device memory. Each op
// is one command buffer.

#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/allocator/vulkan/copy_engine.h"
#include "tenure/allocator/vulkan/device_queue.h"
#include "tenure/allocator/vulkan/spaces.h"
#include "tenure/allocator/vulkan/vulkan_allocator.h"
#include "tenure/base/status_macros.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tools/trace/vulkan_kernels.h"
#include "tenure/tools/trace_run/device_executor.h"
#include "tenure/tools/trace_run/executor.h"

namespace tenure::cli {
namespace {

using vulkan::Device;
using vulkan::DeviceQueue;

class VulkanWork final : public DeviceWork {
 public:
  // `log` is an allocator of its own, so that the words do not count among the bytes of the run.
  VulkanWork(std::unique_ptr<Allocator> log, std::shared_ptr<DeviceQueue> queue,
             std::unique_ptr<VulkanKernels> kernels)
      : log_(std::move(log)), queue_(std::move(queue)), kernels_(std::move(kernels)) {}

  ~VulkanWork() override {
    // Kernels may still use buffers of others, the words, and the code itself.
    queue_->Synchronize().IgnoreError();
  }

  std::string_view device_name() const override { return queue_->device()->info().name; }
  std::shared_ptr<Queue> queue() const override { return queue_; }
  const OpKernels& kernels() const override { return *kernels_; }

  absl::StatusOr<uint64_t> AllocateZeros(uint64_t words) override {
    TENURE_ASSIGN_OR_RETURN(words_, Buffer::Create(*log_, DType::kInt64, Shape::Vector(words)));
    TENURE_ASSIGN_OR_RETURN(address_, words_.MutableDeviceAddress());
    TENURE_RETURN_IF_ERROR(
        Submit([&](uint64_t work) { return kernels_->Zero(work, address_, 8 * words); }));
    return address_;
  }

  absl::Status Submit(absl::FunctionRef<absl::Status(uint64_t work)> give) override {
    return queue_
        ->SubmitRecorded(
            {}, [&](VkCommandBuffer commands) { return give(VulkanKernels::Work(commands)); })
        .status();
  }

  absl::StatusOr<std::vector<uint64_t>> Read(uint64_t address, uint64_t words) override {
    TENURE_RETURN_IF_ERROR(queue_->Synchronize());
    std::vector<uint64_t> read(words);
    if (words == 0) return read;
    TENURE_RETURN_IF_ERROR(words_.CopyOutAt(address - address_, read.data(), 8 * words));
    return read;
  }

 private:
  const std::unique_ptr<Allocator> log_;
  const std::shared_ptr<DeviceQueue> queue_;
  const std::unique_ptr<VulkanKernels> kernels_;
  Buffer words_;
  uint64_t address_ = 0;  // of words_
};

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> MakeVulkanExecutor(const Trace& trace,
                                                             Allocator& allocator) {
  auto* engine = allocator.Capability<vulkan::EngineCapability>();
  if (engine == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("the allocator of ", allocator.space().ToString(),
                     " is not a Vulkan space, so there is no device to run ops on"));
  }
  const std::shared_ptr<Device>& device = engine->engine().device();
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<VulkanKernels> kernels, VulkanKernels::Create(device));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<DeviceQueue> queue, DeviceQueue::Create(device));
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<vulkan::CopyEngine> own, vulkan::CopyEngine::Of(device));
  TENURE_ASSIGN_OR_RETURN(
      std::unique_ptr<Allocator> log,
      vulkan::VulkanAllocator::Create(vulkan::kDeviceSpace, {}, std::move(own)));
  return MakeDeviceExecutor(
      trace, std::make_unique<VulkanWork>(std::move(log), std::move(queue), std::move(kernels)));
}

}  // namespace tenure::cli
