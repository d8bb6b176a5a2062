// SharedMemory: Vulkan memory that other APIs and other processes use too: pieces of memory with a
// buffer each, which go out and come in as file descriptors (VK_KHR_external_memory_fd, OPAQUE_FD).
//
// Vulkan wants whoever imports a piece to repeat how it was made. So every piece is made in the same
// way from its size: the buffer has whole units of 64 KiB, the memory is made for that buffer
// (dedicated), and it is always of the same type: the first one that serves the space. Unlike other
// memory of the space, a piece is therefore not taken from another type when the first is exhausted.
//
// Cost: the driver's; on an H200 60 us to export and 63 us to import. Thread safety: thread-safe.
// Ownership: shares the device; pieces are the caller's, to be destroyed here.
// Errors: Unimplemented (the device can't export or import), ResourceExhausted, InvalidArgument (a
// descriptor that is not of this card and size), and those of the driver.

#ifndef TENURE_ALLOCATOR_VULKAN_SHARED_MEMORY_H_
#define TENURE_ALLOCATOR_VULKAN_SHARED_MEMORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/external_memory.h"
#include "tenure/allocator/vulkan/device.h"
#include "tenure/allocator/vulkan/memory_source.h"

namespace tenure::vulkan {

class SharedMemory {
 public:
  struct Piece {
    VkBuffer buffer = VK_NULL_HANDLE;
    VkDeviceMemory memory = VK_NULL_HANDLE;
    uint32_t type = 0;
    uint64_t memory_bytes = 0;  // of the memory
    uint64_t buffer_bytes = 0;
    uint64_t taken_bytes = 0;  // of the heap: none of imported memory
    uint64_t address = 0;      // the device's
    void* host = nullptr;      // null: the host does not reach it
  };

  SharedMemory(std::shared_ptr<Device> device, MemoryChoice choice)
      : device_(std::move(device)), choice_(std::move(choice)) {}
  // Pieces that are never destroyed, because something still uses their bytes, keep the device.
  ~SharedMemory();

  const std::shared_ptr<Device>& device() const { return device_; }
  bool is_supported() const { return device_->info().external_memory_fd; }

  // The bytes that a piece of this size takes.
  static absl::StatusOr<uint64_t> RoundedBytes(uint64_t size_bytes);
  // `size_bytes` must be rounded.
  absl::StatusOr<Piece> Make(uint64_t size_bytes) const;
  // A new descriptor of a piece that was made here, not imported.
  absl::StatusOr<int> ExportFd(const Piece& piece) const;
  // Of a piece of this size that was made by another process, or by another VkDevice.
  absl::StatusOr<Piece> ImportFd(int fd, uint64_t size_bytes) const;
  // Of another API's, or of Vulkan's.
  absl::StatusOr<Piece> Import(const ExternalMemory& memory) const;
  void Destroy(const Piece& piece) const ABSL_LOCKS_EXCLUDED(mutex_);
  // The piece that has this buffer, made or imported here and not destroyed yet.
  std::optional<Piece> Find(uint64_t buffer) const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<Piece> MakeBuffer(uint64_t size_bytes, VkMemoryRequirements& needs) const;
  absl::Status Complete(Piece& piece) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Imports `fd` as `memory_bytes` of memory, or as many as the buffer needs if that is 0.
  absl::StatusOr<Piece> ImportInto(int fd, uint64_t buffer_bytes, uint64_t memory_bytes,
                                   bool dedicated) const;

  const std::shared_ptr<Device> device_;
  const MemoryChoice choice_;
  mutable absl::Mutex mutex_;
  mutable absl::flat_hash_map<uint64_t, Piece> pieces_ ABSL_GUARDED_BY(mutex_);  // by buffer
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_SHARED_MEMORY_H_
