// Vulkan for embedding programs: its devices, and queues for their work. Includes no Vulkan header;
// handles are 64-bit numbers.
//
// Example:
//   TENURE_ASSIGN_OR_RETURN(uint32_t ordinal, vulkan::FindDevice("H200"));
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<vulkan::CommandQueue> queue,
//                           vulkan::CommandQueue::Create(ordinal));
//   TENURE_ASSIGN_OR_RETURN(Fence done, queue->Submit({commands}));  // a VkCommandBuffer
//   TENURE_RETURN_IF_ERROR(done.Wait());                                  // or Buffer::RecordUse
//
// libvulkan.so.1 is opened at run time, when a device is first asked for. A device is used if it has
// Vulkan 1.2 with timeline semaphores and buffer device addresses. The environment variable
// TENURE_VULKAN_VALIDATION=1 turns on the validation layer, whose messages go to stderr.
//
// A program that has a VkDevice already gives it to the library (Adopt):
//
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<vulkan::AdoptedDevice> device, vulkan::Adopt(handles));
//   MakeAllocator(MemorySpace::Device(kDeviceSpace, device->ordinal()), {.device = device})
//   CommandQueue::Create(*device)
//
// Thread safety: thread-safe. Ownership: a queue shares its device and its instance.
// Errors: Unavailable (no loader, no driver, no such device, or a device that lacks something, which
// the message names), and those of the driver.

#ifndef TENURE_ALLOCATOR_VULKAN_VULKAN_H_
#define TENURE_ALLOCATOR_VULKAN_VULKAN_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "tenure/allocator/queue.h"
#include "tenure/allocator/timeline/timeline.h"

namespace tenure::vulkan {

enum class DeviceType { kDiscrete, kIntegrated, kVirtual, kCpu, kOther };
std::string_view DeviceTypeName(DeviceType type);  // "discrete", ...

struct MemoryHeap {
  uint64_t size_bytes = 0;
  // What this process may use now, and what it uses, as the driver says (VK_EXT_memory_budget).
  // Otherwise four fifths of the heap, and 0.
  uint64_t budget_bytes = 0;
  uint64_t usage_bytes = 0;
  bool device_local = false;
};

struct DeviceInfo {
  uint32_t ordinal = 0;  // of vulkan:N; discrete devices come first, then integrated ones
  std::string name;
  std::string uuid;  // xxxxxxxx-xxxx-..., the same number as CUDA's GPU-... for the same card
  DeviceType type = DeviceType::kOther;
  std::string driver;        // its name and version, for display
  uint32_t api_version = 0;  // as VK_MAKE_API_VERSION
  std::string missing;       // what the device lacks; empty if it can be used
  std::vector<MemoryHeap> heaps;
  bool unified = false;  // host and device use the same memory, and `vulkan:N` is mapped
  uint64_t max_allocation_bytes = 0;
  uint64_t max_binding_bytes = 0;      // of a storage buffer; by address there is no limit
  uint64_t alignment_bytes = 0;        // of storage, uniform and texel buffers
  uint64_t coherence_atom_bytes = 0;   // of memory that is not coherent
  uint32_t max_allocation_count = 0;   // of slabs and other pieces of the driver's memory
  bool memory_budget = false;          // VK_EXT_memory_budget
  bool external_memory_host = false;   // ForeignMemoryCapability: host memory without a copy
  bool external_memory_fd = false;     // memory that is shared by file descriptors
  bool external_semaphore_fd = false;  // fences that are shared by file descriptors
};

// Lists all devices, in the order of their ordinals. Unavailable if there is no loader or no driver.
absl::StatusOr<std::vector<DeviceInfo>> Devices();

// The device that `selector` names: an index ("1"), a UUID or the beginning of one, or a part of a
// name that only one device has. NotFound lists the devices.
absl::StatusOr<uint32_t> FindDevice(std::string_view selector);

class Device;

// A device that the embedding program has made itself, for Adopt. Handles are the numbers of Vulkan's
// handles and pointers. Nothing of this is ever destroyed by the library. Adopt checks what Vulkan
// tells; the rest is the program's promise:
//   - the instance was created for Vulkan 1.2 or newer (VkApplicationInfo::apiVersion);
//   - the device was created with timelineSemaphore and bufferDeviceAddress, with `extensions`, and
//     with one or more queues of `queue_family`, of which `queue` is one;
//   - everything stays valid until `on_released` is called.
struct AdoptedHandles {
  void* get_instance_proc_addr = nullptr;  // PFN_vkGetInstanceProcAddr
  uint64_t instance = 0;                   // VkInstance
  uint64_t physical_device = 0;            // VkPhysicalDevice, of the instance
  uint64_t device = 0;                     // VkDevice, of the physical device
  uint64_t queue = 0;                      // VkQueue, of the device
  uint32_t queue_family = 0;               // it computes
  // Called around every use of the queue, from any thread; both or none. Between them nobody else may
  // use the queue. They must not call the library. Empty: the program uses the queue only while it
  // holds a CommandQueue::Lock, which calls them too.
  std::function<void()> lock_queue = {};
  std::function<void()> unlock_queue = {};
  // The device was created with these. The library uses VK_EXT_external_memory_host,
  // VK_KHR_external_memory_fd and VK_KHR_external_semaphore_fd if they are here.
  std::vector<std::string> extensions = {};
  // It was created with shaderInt64, shaderInt8 and storageBuffer8BitAccess. Without them, copies and
  // fills on the device take the driver's commands only.
  bool byte_kernels = false;
  // Called once, from any thread, when the library uses nothing of this any more: after the last
  // allocator, queue and fence of the device. Not called if Adopt fails, or if memory that was still
  // in use when its allocator ended is never given back.
  std::function<void()> on_released = {};
};

// What allocators (AllocatorOptions::device) and CommandQueues are made from. Thread-safe.
class AdoptedDevice {
 public:
  explicit AdoptedDevice(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  // N of its spaces "vulkan:N": the position among the instance's devices, discrete ones first.
  uint32_t ordinal() const { return info().ordinal; }
  const DeviceInfo& info() const;
  const std::shared_ptr<Device>& device() const { return device_; }  // for the library

 private:
  const std::shared_ptr<Device> device_;
};

// InvalidArgument: a handle is missing or does not fit the others. Unavailable: the device, or the
// loader, lacks something. The message names it.
absl::StatusOr<std::shared_ptr<AdoptedDevice>> Adopt(AdoptedHandles handles);

// An order of work on a device. Several CommandQueues may share one VkQueue, if the device has
// few; each still keeps its own order, and has a timeline semaphore of its own.
class CommandQueue : public Queue {
 public:
  static absl::StatusOr<std::shared_ptr<CommandQueue>> Create(uint32_t ordinal);
  static absl::StatusOr<std::shared_ptr<CommandQueue>> Create(const AdoptedDevice& device);

  std::string_view driver() const final { return "vulkan"; }

  using Queue::WaitFor;
  // Submits command buffers (VkCommandBuffer) of the program's, which run one after the other,
  // after all earlier work of this queue. They see its writes, and the host sees theirs once the
  // fence is reached. They must stay unchanged until then, and be of family().
  virtual absl::StatusOr<Fence> Submit(absl::Span<const uint64_t> command_buffers) = 0;

  // Handles for recording and for work of the program's own. native_handle() is the VkQueue: the
  // program must hold a Lock while it submits to it, and call Record() afterwards.
  virtual uint64_t device_handle() const = 0;           // VkDevice
  virtual uint64_t physical_device_handle() const = 0;  // VkPhysicalDevice
  virtual uint64_t instance_handle() const = 0;         // VkInstance
  virtual uint32_t family() const = 0;                  // of queues
  // A new descriptor of the timeline of this queue's fences, for another process (ImportTimeline),
  // which the caller closes. Unimplemented if the device can't share semaphores. CUDA on the same
  // card needs none: its streams wait for this queue's fences with WaitFor.
  virtual absl::StatusOr<int> ExportTimeline() = 0;
  // Nobody else submits to the VkQueue meanwhile. Call nothing of the library that uses this device
  // while you hold it, and hold one at a time: queues may share their VkQueue with others and with
  // the allocators, so such a call may wait for this lock forever.
  class Lock {
   public:
    explicit Lock(CommandQueue& queue) : queue_(queue) { queue_.LockQueue(); }
    ~Lock() { queue_.UnlockQueue(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

   private:
    CommandQueue& queue_;
  };

 protected:
  CommandQueue() = default;
  virtual void LockQueue() = 0;
  virtual void UnlockQueue() = 0;
};

// The timeline of a queue of another process's, from its descriptor, which stays the caller's. The
// fence of value N is Fence(timeline, N); queues of the device wait for it without the host.
// Unimplemented if the device can't share semaphores.
absl::StatusOr<std::shared_ptr<Timeline>> ImportTimeline(uint32_t ordinal, int fd);

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_VULKAN_H_
