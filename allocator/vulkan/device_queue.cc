#include "tenure/allocator/vulkan/device_queue.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "tenure/allocator/copy/host_worker.h"
#include "tenure/base/guarded.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

// The device's part of a timeline: what its host parts wait for.
class DevicePart final : public Timeline {
 public:
  explicit DevicePart(std::shared_ptr<SemaphoreTimeline> whole) : whole_(std::move(whole)) {}
  uint64_t Reached() const override { return whole_->DeviceReached(); }
  absl::Status Wait(uint64_t value, absl::Time deadline) override {
    return whole_->WaitForDevice(value, deadline);
  }
  absl::Status Failure() const override { return whole_->Failure(); }

 private:
  const std::shared_ptr<SemaphoreTimeline> whole_;
};

void Barrier(const Device& device, VkCommandBuffer commands, VkPipelineStageFlags stages,
             VkAccessFlags accesses) {
  auto barrier = Struct<VkMemoryBarrier>(VK_STRUCTURE_TYPE_MEMORY_BARRIER);
  barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
  barrier.dstAccessMask = accesses;
  device.calls().CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT, stages, 0, 1,
                                    &barrier, 0, nullptr, 0, nullptr);
}

void RecordHostBarrier(const Device& device, VkCommandBuffer commands) {
  Barrier(device, commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
}

}  // namespace

void RecordBarrier(const Device& device, VkCommandBuffer commands) {
  Barrier(device, commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
          VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT);
}

absl::StatusOr<std::shared_ptr<DeviceQueue>> DeviceQueue::Create(std::shared_ptr<Device> device,
                                                                 QueueUse use) {
  SharedQueue& queue = device->NextQueue(use);
  TENURE_ASSIGN_OR_RETURN(std::shared_ptr<SemaphoreTimeline> timeline,
                          SemaphoreTimeline::Create(device));
  auto info = Struct<VkCommandPoolCreateInfo>(VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO);
  info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  info.queueFamilyIndex = queue.family;
  VkCommandPool pool = VK_NULL_HANDLE;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device, CreateCommandPool, &info, nullptr, &pool));
  std::shared_ptr<DeviceQueue> made(
      new DeviceQueue(std::move(device), queue, pool, std::move(timeline)));
  absl::MutexLock lock(&made->mutex_);
  TENURE_RETURN_IF_ERROR(made->RecordBarriers());
  return made;
}

absl::Status DeviceQueue::RecordBarriers() {
  auto begin = Struct<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
  begin.flags = VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT;
  for (VkCommandBuffer* buffer : {&before_, &behind_}) {
    TENURE_ASSIGN_OR_RETURN(*buffer, AllocateCommands());
    TENURE_RETURN_IF_ERROR(device_->Check(device_->calls().BeginCommandBuffer(*buffer, &begin),
                                          "vkBeginCommandBuffer"));
    if (buffer == &before_) {
      RecordBarrier(*device_, *buffer);
    } else {
      RecordHostBarrier(*device_, *buffer);
    }
    TENURE_RETURN_IF_ERROR(
        device_->Check(device_->calls().EndCommandBuffer(*buffer), "vkEndCommandBuffer"));
  }
  return absl::OkStatus();
}

DeviceQueue::~DeviceQueue() {
  // A command pool must not be destroyed while the device executes its buffers.
  timeline_->Wait(timeline_->issued(), absl::InfiniteFuture()).IgnoreError();
  device_->calls().DestroyCommandPool(device_->handle(), pool_, nullptr);
}

absl::StatusOr<VkCommandBuffer> DeviceQueue::AllocateCommands() {
  auto info = Struct<VkCommandBufferAllocateInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO);
  info.commandPool = pool_;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  VkCommandBuffer buffer = VK_NULL_HANDLE;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, AllocateCommandBuffers, &info, &buffer));
  return buffer;
}

void DeviceQueue::Reap() {
  if (used_.empty() || used_.front().value > timeline_->DeviceReached()) return;
  const uint64_t reached = timeline_->DeviceReached();
  while (!used_.empty() && used_.front().value <= reached) {
    if (used_.front().buffer != VK_NULL_HANDLE) idle_.push_back(used_.front().buffer);
    used_.pop_front();
  }
}

absl::StatusOr<VkCommandBuffer> DeviceQueue::AcquireCommands() {
  if (idle_.empty()) Reap();
  if (idle_.empty()) return AllocateCommands();
  VkCommandBuffer buffer = idle_.back();
  idle_.pop_back();
  return buffer;
}

void DeviceQueue::Waits::Add(VkSemaphore semaphore, uint64_t value,
                             const std::shared_ptr<Timeline>& timeline) {
  auto known = std::find(semaphores.begin(), semaphores.end(), semaphore);
  if (known == semaphores.end()) {
    semaphores.push_back(semaphore);
    values.push_back(value);
    timelines.push_back(timeline);
    return;
  }
  uint64_t& most = values[static_cast<size_t>(known - semaphores.begin())];
  most = std::max(most, value);
}

absl::StatusOr<DeviceQueue::Waits> DeviceQueue::WaitsFor(absl::Span<const Fence> fences) const {
  Waits waits;
  for (const Fence& fence : fences) {
    if (fence.timeline() == nullptr || HasRecorded(fence)) continue;
    if (!DeviceCanWaitFor(*device_, fence)) {
      const bool is_vulkan = dynamic_cast<SemaphoreTimeline*>(fence.timeline().get()) != nullptr;
      return absl::FailedPreconditionError(absl::StrCat(
          "a queue of Vulkan device ", device_->ordinal(), " can't wait for a fence of ",
          is_vulkan ? "another device" : "the host or of another driver",
          "; wait for it on the host before queueing"));
    }
    Timeline* const timeline = fence.timeline().get();
    if (auto* own = dynamic_cast<SemaphoreTimeline*>(timeline)) {
      if (&own->device() != device_.get()) continue;  // reached
      TENURE_RETURN_IF_ERROR(own->Failure());
      if (own->DeviceReached() >= fence.value()) continue;
      waits.Add(own->semaphore(), fence.value(), fence.timeline());
    } else if (auto* imported = dynamic_cast<SharedSemaphore*>(timeline)) {
      if (&imported->device() != device_.get() || fence.IsReached()) continue;
      waits.Add(imported->semaphore(), fence.value(), fence.timeline());
    } else if (dynamic_cast<SignallingTimeline*>(timeline) != nullptr && !fence.IsReached()) {
      TENURE_ASSIGN_OR_RETURN(const std::shared_ptr<SharedSemaphore> raised,
                              timeline_->foreign_waits().SemaphoreFor(device_, fence));
      if (raised == nullptr) continue;
      waits.Add(raised->semaphore(), fence.value(), raised);
      // It tells if its device fails (ForeignWaits::EndFailed).
      waits.timelines.push_back(fence.timeline());
    }
  }
  return waits;
}

absl::StatusOr<uint64_t> DeviceQueue::SubmitBatch(Waits waits, VkCommandBuffer own,
                                                  absl::Span<const VkCommandBuffer> buffers) {
  const uint64_t value = timeline_->issued() + 1;
  VkSemaphore signalled = timeline_->semaphore();
  const std::vector<VkPipelineStageFlags> stages(waits.semaphores.size(),
                                                 VK_PIPELINE_STAGE_ALL_COMMANDS_BIT);
  auto values =
      Struct<VkTimelineSemaphoreSubmitInfo>(VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO);
  values.waitSemaphoreValueCount = static_cast<uint32_t>(waits.values.size());
  values.pWaitSemaphoreValues = waits.values.data();
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &value;
  auto info = Struct<VkSubmitInfo>(VK_STRUCTURE_TYPE_SUBMIT_INFO, &values);
  info.waitSemaphoreCount = static_cast<uint32_t>(waits.semaphores.size());
  info.pWaitSemaphores = waits.semaphores.data();
  info.pWaitDstStageMask = stages.data();
  info.commandBufferCount = static_cast<uint32_t>(buffers.size());
  info.pCommandBuffers = buffers.data();
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &signalled;
  if (own == VK_NULL_HANDLE) Reap();
  // Before the submission, behind which nothing may fail.
  const bool keeps = own != VK_NULL_HANDLE || !waits.timelines.empty();
  if (keeps) used_.push_back({own, value, std::move(waits.timelines)});
  VkResult result = VK_SUCCESS;
  {
    const Lock lock(*this);
    result = device_->calls().QueueSubmit(queue_.handle, 1, &info, VK_NULL_HANDLE);
  }
  if (absl::Status status = device_->Check(result, "vkQueueSubmit"); !status.ok()) {
    if (keeps) used_.pop_back();
    return status;
  }
  timeline_->SetIssued(value);
  return value;
}

absl::StatusOr<Fence> DeviceQueue::SubmitRecorded(absl::Span<const Fence> after, Recorder record,
                                                  std::function<absl::Status()> host_part) {
  const bool has_host_part = host_part != nullptr;
  std::shared_ptr<Timeline> device_part;
  if (has_host_part) device_part = std::make_shared<DevicePart>(timeline_);
  Fence fence;
  {
    absl::MutexLock lock(&mutex_);
    TENURE_RETURN_IF_ERROR(device_->lost());
    TENURE_ASSIGN_OR_RETURN(Waits waits, WaitsFor(after));
    TENURE_ASSIGN_OR_RETURN(VkCommandBuffer commands, AcquireCommands());
    auto begin = Struct<VkCommandBufferBeginInfo>(VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO);
    begin.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    absl::Status status = device_->Check(device_->calls().BeginCommandBuffer(commands, &begin),
                                         "vkBeginCommandBuffer");
    if (status.ok()) {
      RecordBarrier(*device_, commands);
      status = record(commands);
      RecordHostBarrier(*device_, commands);
      absl::Status ended =
          device_->Check(device_->calls().EndCommandBuffer(commands), "vkEndCommandBuffer");
      if (status.ok()) status = std::move(ended);
    }
    const uint64_t next = timeline_->issued() + 1;
    if (status.ok()) {
      // Before the submission: nobody may see the value as reached without its host part.
      if (has_host_part) timeline_->AddHostPart(next, std::move(host_part));
      absl::Cleanup drop = [&] {
        if (has_host_part) timeline_->DropHostPart(next);
      };
      VkCommandBuffer buffers[] = {commands};
      status = SubmitBatch(std::move(waits), commands, buffers).status();
      if (status.ok()) std::move(drop).Cancel();
    }
    if (!status.ok()) {
      // It may still be recording, if vkEndCommandBuffer failed.
      if (device_->calls().ResetCommandBuffer(commands, 0) == VK_SUCCESS) {
        idle_.push_back(commands);
      }
      return status;
    }
    fence = Fence(timeline_, next);
  }
  if (has_host_part) {
    // Without a thread or memory for it, the host's part is done by those that wait for the fence.
    host::Guarded([&] {
      return HostWorker::Default()
          .Submit({Fence(std::move(device_part), fence.value())}, absl::InfiniteFuture(),
                  [timeline = timeline_] {
                    timeline->DoHostParts();
                    return absl::OkStatus();
                  })
          .status();
    }).IgnoreError();
  }
  return fence;
}

absl::StatusOr<Fence> DeviceQueue::Submit(absl::Span<const uint64_t> command_buffers) {
  absl::MutexLock lock(&mutex_);
  TENURE_RETURN_IF_ERROR(device_->lost());
  std::vector<VkCommandBuffer> buffers = {before_};
  for (uint64_t buffer : command_buffers) {
    if (buffer == 0) return absl::InvalidArgumentError("a command buffer is null");
    buffers.push_back(reinterpret_cast<VkCommandBuffer>(buffer));
  }
  buffers.push_back(behind_);
  TENURE_ASSIGN_OR_RETURN(const uint64_t value, SubmitBatch({}, VK_NULL_HANDLE, buffers));
  return Fence(timeline_, value);
}

absl::StatusOr<Fence> DeviceQueue::Record() { return Submit({}); }

absl::Status DeviceQueue::WaitFor(absl::Span<const Fence> fences) {
  absl::MutexLock lock(&mutex_);
  TENURE_ASSIGN_OR_RETURN(Waits waits, WaitsFor(fences));
  if (waits.semaphores.empty()) return absl::OkStatus();
  TENURE_RETURN_IF_ERROR(device_->lost());
  VkCommandBuffer buffers[] = {before_};
  return SubmitBatch(std::move(waits), VK_NULL_HANDLE, buffers).status();
}

absl::Status DeviceQueue::Synchronize() {
  // Also work that the program has submitted to the VkQueue itself.
  TENURE_ASSIGN_OR_RETURN(const Fence last, Record());
  return last.Wait();
}

bool DeviceQueue::DeviceCanWaitFor(const Device& device, const Fence& fence) {
  // The order matters: asking a device's timeline whether the fence is reached would call the
  // driver.
  const Timeline* const timeline = fence.timeline().get();
  if (auto* own = dynamic_cast<const SemaphoreTimeline*>(timeline)) {
    return &own->device() == &device || fence.IsReached();
  }
  if (auto* imported = dynamic_cast<const SharedSemaphore*>(timeline)) {
    return &imported->device() == &device || fence.IsReached();
  }
  if (auto* foreign = dynamic_cast<const SignallingTimeline*>(timeline)) {
    return ForeignWaits::CanWaitFor(device, *foreign) || fence.IsReached();
  }
  return fence.IsReached();
}

absl::StatusOr<DeviceQueue*> DeviceQueue::Of(Queue& queue, const Device& device) {
  auto* own = dynamic_cast<DeviceQueue*>(&queue);
  if (own == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a queue of '", queue.driver(), "' was given for work on Vulkan device ", device.ordinal(),
        "; give a vulkan::CommandQueue of that device (CommandQueue::Create)"));
  }
  if (own->device().get() != &device) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the queue is of Vulkan device ", own->device()->ordinal(), ", and the work is on device ",
        device.ordinal(), "; give a queue of that device"));
  }
  return own;
}

}  // namespace tenure::vulkan
