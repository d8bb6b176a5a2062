// MemorySource: the slabs of a pool of Vulkan's memory. Each is a VkDeviceMemory with one VkBuffer
// over all of it, so that blocks need no objects of their own: a block is the buffer, an offset and
// a size, or an address.
//
// Which memory: ChooseMemory lists the types that serve a purpose, the best first.
//
//   purpose    wanted                                 also taken
//   kDevice    local to the device, not the host's    local to the device, also the host's
//     unified  local, mapped, cached, coherent
//   kUpload    mapped, coherent, not cached           cached; not coherent; local to the device
//   kReadback  mapped, cached, coherent               not coherent; not cached; local to the device
//
// A request's hints (memory_hints.h) choose among the mapped types that serve the purpose:
//
//   kReadOnly, kReadWrite, kReadMostly   cached
//   kWriteOnly, kStreaming               not cached
//   kDevicePreferred, kHostPreferred     local to the device, or not; both on unified devices
//   kCoherent                            coherent
//
// If no type has all of it, the mode is given up, then the hint. Memory that is not mapped only has
// kHostPreferred: memory of the host, which the device uses over the bus.
//
// The pool's ladder (pool/pooled_allocator.h), with what happens here on each of its steps "slab":
//
//   free block -> slab of the pool's choice -> slab of the missing size -> release free slabs, again
//      each slab: the first type -> out of memory or budget -> the next type -> ResourceExhausted
//
// Slabs that the host can use stay mapped. Memory that is not coherent is flushed and invalidated in
// whole atoms (nonCoherentAtomSize).
//
// Cost: 20 us for a slab of 64 KiB on an H200, 19 ms for 1 GiB. Thread safety: Acquire and Release
// as SlabSource; Flush and Invalidate are thread-safe. Ownership: shares the device.
// Errors: ResourceExhausted with the driver's text, and the driver's.

#ifndef TENURE_ALLOCATOR_VULKAN_MEMORY_SOURCE_H_
#define TENURE_ALLOCATOR_VULKAN_MEMORY_SOURCE_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/memory_hints.h"
#include "tenure/allocator/pool/slab_source.h"
#include "tenure/allocator/vulkan/device.h"

namespace tenure::vulkan {

enum class Purpose { kDevice, kUpload, kReadback };

struct MemoryChoice {
  std::vector<uint32_t> types;  // the best first; empty: there is none
  bool mapped = false;          // all of them are the host's too, and slabs are mapped
  bool coherent = true;         // all of them are
};
MemoryChoice ChooseMemory(const PhysicalDevice& device, Purpose purpose);

// What the hints make of the choice of a pool.
struct HintedChoice {
  MemoryChoice memory;  // no types: the pool's memory is to be used
  bool is_met = true;   // the hints have what they ask for, here or in the pool
};
HintedChoice ChooseHinted(const PhysicalDevice& device, Purpose purpose, const MemoryChoice& pool,
                          const MemoryHints& hints);

// A buffer of so many bytes, for everything that kernels and copies do with buffers, on all queues of
// the device.
VkBufferCreateInfo BufferInfo(const Device& device, uint64_t size_bytes, void* next = nullptr);

class MemorySource final : public SlabSource {
 public:
  MemorySource(std::shared_ptr<Device> device, MemoryChoice choice)
      : device_(std::move(device)), choice_(std::move(choice)) {}
  // Slabs that are never released, because something still uses their bytes, keep the device.
  ~MemorySource() override;

  const MemoryChoice& choice() const { return choice_; }
  uint64_t granularity_bytes() const override { return uint64_t{64} << 10; }
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes) override {
    return Acquire(size_bytes, choice_);
  }
  // Of other memory, of which the pool knows nothing.
  absl::StatusOr<Slab> Acquire(uint64_t size_bytes, const MemoryChoice& choice)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Release(const Slab& slab) override ABSL_LOCKS_EXCLUDED(mutex_);

  // For bytes of a slab's buffer: CoherenceCapability. They begin at an atom. Nothing is done where
  // the memory is coherent.
  absl::Status Flush(uint64_t buffer, uint64_t offset, uint64_t size_bytes) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Invalidate(uint64_t buffer, uint64_t offset, uint64_t size_bytes) const
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // The memory below a buffer.
  struct Memory {
    VkDeviceMemory handle = VK_NULL_HANDLE;
    uint32_t type = 0;
    uint64_t size_bytes = 0;
    bool coherent = true;
  };

  absl::StatusOr<Memory> AllocateFor(VkBuffer buffer, const MemoryChoice& choice) const;
  absl::Status Complete(VkBuffer buffer, const Memory& memory, bool mapped, Slab& slab) const;
  // The atoms that have these bytes; a null memory if there is nothing to do.
  VkMappedMemoryRange AtomsOf(uint64_t buffer, uint64_t offset, uint64_t size_bytes) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<Device> device_;
  const MemoryChoice choice_;  // of the pool's slabs
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<uint64_t, Memory> memories_ ABSL_GUARDED_BY(mutex_);  // by buffer
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_MEMORY_SOURCE_H_
