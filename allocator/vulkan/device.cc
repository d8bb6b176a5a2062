#include "tenure/allocator/vulkan/device.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

// More queues than this bring nothing: work of the library is bound by memory.
constexpr uint32_t kMostQueues = 8;
constexpr uint32_t kMostTransferQueues = 2;

// The devices that are open.
struct OpenDevices {
  absl::Mutex mutex;
  std::map<std::pair<const Instance*, uint32_t>, std::weak_ptr<Device>> devices
      ABSL_GUARDED_BY(mutex);
};
OpenDevices& Opened() {
  static auto* const opened = new OpenDevices;
  return *opened;
}

// Extensions that are used where the device has them.
constexpr const char* kWantedExtensions[] = {
    VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME,
    VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME,
    VK_KHR_EXTERNAL_SEMAPHORE_FD_EXTENSION_NAME,
    VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
};

}  // namespace

absl::StatusOr<std::shared_ptr<Device>> Device::Open(std::shared_ptr<Instance> instance,
                                                     uint32_t ordinal) {
  const std::vector<PhysicalDevice>& devices = instance->devices();
  if (ordinal >= devices.size()) {
    return absl::UnavailableError(absl::StrCat(
        "there is no Vulkan device ", ordinal, ": this machine has ", devices.size(),
        devices.empty() ? "; install a driver (mesa-vulkan-drivers has one for the CPU)"
                        : "; `tenure devices` lists them"));
  }
  const PhysicalDevice& physical = devices[ordinal];
  if (!physical.info.missing.empty()) {
    return absl::UnavailableError(absl::StrCat("Vulkan device ", ordinal, " (", physical.info.name,
                                               ") can't be used: ", physical.info.missing,
                                               "; install a newer driver, or use another device"));
  }
  OpenDevices& opened = Opened();
  // Held while the device is opened, so that it is opened only once. This is rare.
  absl::MutexLock lock(&opened.mutex);
  std::weak_ptr<Device>& slot = opened.devices[{instance.get(), ordinal}];
  if (std::shared_ptr<Device> device = slot.lock()) return device;
  std::shared_ptr<Device> device(new Device(std::move(instance), physical));
  if (absl::Status status = device->Create(); !status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("Vulkan device ", ordinal, " (", physical.info.name,
                                     ") can't be used: ", status.message()));
  }
  slot = device;
  return device;
}

absl::Status Device::Create() {
  const std::vector<float> priorities(kMostQueues, 0.5f);
  std::vector<VkDeviceQueueCreateInfo> queues;
  const auto want = [&](uint32_t family, uint32_t count) {
    if (count == 0) return;
    queues.push_back(Struct<VkDeviceQueueCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO));
    queues.back().queueFamilyIndex = family;
    queues.back().queueCount = count;
    queues.back().pQueuePriorities = priorities.data();
    families_.push_back(family);
  };
  want(physical_.family, std::min(physical_.queue_count, kMostQueues));
  want(physical_.transfer_family, std::min(physical_.transfer_queue_count, kMostTransferQueues));

  std::vector<const char*> extensions;
  for (const char* name : kWantedExtensions) {
    if (physical_.HasExtension(name)) extensions.push_back(name);
  }
  auto vulkan12 = Struct<VkPhysicalDeviceVulkan12Features>(
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
  vulkan12.timelineSemaphore = VK_TRUE;
  vulkan12.bufferDeviceAddress = VK_TRUE;
  auto features =
      Struct<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &vulkan12);
  if (physical_.byte_kernels) {
    features.features.shaderInt64 = VK_TRUE;
    vulkan12.shaderInt8 = VK_TRUE;
    vulkan12.storageBuffer8BitAccess = VK_TRUE;
  }
  auto info = Struct<VkDeviceCreateInfo>(VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features);
  info.queueCreateInfoCount = static_cast<uint32_t>(queues.size());
  info.pQueueCreateInfos = queues.data();
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  const InstanceCalls& calls = instance_->calls();
  absl::Status status = TENURE_VK(calls, CreateDevice, physical_.handle, &info, nullptr, &handle_);
  if (!status.ok()) {
    handle_ = VK_NULL_HANDLE;
    return status;
  }
  absl::StatusOr<DeviceCalls> loaded = LoadDeviceCalls(calls.GetDeviceProcAddr, handle_);
  if (!loaded.ok()) {
    auto destroy =
        reinterpret_cast<PFN_vkDestroyDevice>(calls.GetDeviceProcAddr(handle_, "vkDestroyDevice"));
    if (destroy != nullptr) destroy(handle_, nullptr);
    handle_ = VK_NULL_HANDLE;
    return loaded.status();
  }
  calls_ = *loaded;
  for (const VkDeviceQueueCreateInfo& of : queues) {
    for (uint32_t i = 0; i < of.queueCount; ++i) {
      auto queue = std::make_unique<SharedQueue>();
      queue->family = of.queueFamilyIndex;
      calls_.GetDeviceQueue(handle_, of.queueFamilyIndex, i, &queue->handle);
      queues_.push_back(std::move(queue));
    }
  }
  compute_queues_ = queues.front().queueCount;
  return absl::OkStatus();
}

Device::~Device() {
  if (handle_ != VK_NULL_HANDLE && !adopted_) calls_.DestroyDevice(handle_, nullptr);
  if (on_released_) on_released_();
}

absl::Status Device::Check(VkResult result, std::string_view call) const {
  absl::Status status = StatusOfResult(result, call);
  if (result == VK_ERROR_DEVICE_LOST) {
    absl::MutexLock lock(&mutex_);
    if (lost_.ok()) {
      lost_ = absl::InternalError(absl::StrCat(
          "Vulkan device ", ordinal(), " (", info().name, ") is lost (", status.message(),
          "): a kernel or the driver has failed, and nothing works on it any more; start a new "
          "process"));
    }
    is_lost_.store(true, std::memory_order_release);
    return lost_;
  }
  return status;
}

absl::Status Device::lost() const {
  if (!is_lost_.load(std::memory_order_acquire)) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  return lost_;
}

absl::StatusOr<VkDeviceMemory> Device::AllocateMemory(const VkMemoryAllocateInfo& info,
                                                      uint64_t size) {
  const uint32_t heap = HeapOf(info.memoryTypeIndex);
  const MemoryHeap now = instance_->Heaps(physical_)[heap];
  {
    absl::MutexLock lock(&mutex_);
    if (memory_count_ >= physical_.info.max_allocation_count) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the device permits no more than ", physical_.info.max_allocation_count,
                       " pieces of memory (maxMemoryAllocationCount)"));
    }
    // The driver's own count includes other users of the process; ours is never late.
    const uint64_t used = std::max(now.usage_bytes, taken_[heap]);
    if (size > now.budget_bytes - std::min(used, now.budget_bytes)) {
      return absl::ResourceExhaustedError(
          absl::StrCat("heap ", heap, " has a budget of ", now.budget_bytes, " bytes, of which ",
                       used, " are in use: ", size, " more would pass it"));
    }
    ++memory_count_;
    taken_[heap] += size;
  }
  VkDeviceMemory memory = VK_NULL_HANDLE;
  absl::Status status = TENURE_VKD(*this, AllocateMemory, &info, nullptr, &memory);
  if (status.ok()) return memory;
  absl::MutexLock lock(&mutex_);
  --memory_count_;
  taken_[heap] -= size;
  return status;
}

void Device::FreeMemory(VkDeviceMemory memory, uint32_t type, uint64_t size_bytes) {
  calls_.FreeMemory(handle_, memory, nullptr);
  absl::MutexLock lock(&mutex_);
  --memory_count_;
  taken_[HeapOf(type)] -= size_bytes;
}

void Device::KeepForever(std::shared_ptr<Device> device) {
  struct Kept {
    absl::Mutex mutex;
    std::vector<std::shared_ptr<Device>> devices ABSL_GUARDED_BY(mutex);
  };
  static auto* const kept = new Kept;
  absl::MutexLock lock(&kept->mutex);
  if (std::find(kept->devices.begin(), kept->devices.end(), device) == kept->devices.end()) {
    kept->devices.push_back(std::move(device));
  }
}

absl::Status Device::WaitIdle() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  // Vulkan wants nobody to submit meanwhile. Always locked in this order, and nowhere else together.
  for (const auto& queue : queues_) queue->Lock();
  // An adopted device has queues of the program's, which nothing here may wait for.
  absl::Status status =
      adopted_ ? Check(calls_.QueueWaitIdle(queues_.front()->handle), "vkQueueWaitIdle")
               : Check(calls_.DeviceWaitIdle(handle_), "vkDeviceWaitIdle");
  for (const auto& queue : queues_) queue->Unlock();
  return status;
}

SharedQueue& Device::NextQueue(QueueUse use) {
  const size_t transfer_queues = queues_.size() - compute_queues_;
  if (use == QueueUse::kTransfer && transfer_queues != 0) {
    const size_t turn = next_transfer_queue_.fetch_add(1, std::memory_order_relaxed);
    return *queues_[compute_queues_ + turn % transfer_queues];
  }
  return *queues_[next_compute_queue_.fetch_add(1, std::memory_order_relaxed) % compute_queues_];
}

}  // namespace tenure::vulkan
