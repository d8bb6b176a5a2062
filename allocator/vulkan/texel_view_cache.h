// TexelViewCache: the typed views (VkBufferView) of one allocator's memory, and the checks of all
// kinds of views (buffer_views.h).
//
//   region + format -> [ known? ] -> the same view
//                 none -> [ checks, vkCreateBufferView ] -> kept until the allocation is freed
//
// A view is known by its place: VkBuffer, offset, size and format. It stays valid for as long as the
// VkBuffer lives, whichever allocation has these bytes. So a view may stay when bytes are reused
// while the device still works on them, and ends when the block that holds its first byte is freed.
//
// Cost: buffer_views.h. Thread safety: thread-safe. Ownership: shares the device, and owns the
// VkBufferViews. Those of allocations that are never freed are never destroyed.
// Errors: buffer_views.h.

#ifndef TENURE_ALLOCATOR_VULKAN_TEXEL_VIEW_CACHE_H_
#define TENURE_ALLOCATOR_VULKAN_TEXEL_VIEW_CACHE_H_

#include <atomic>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/vulkan/buffer_views.h"
#include "tenure/allocator/vulkan/device.h"

namespace tenure::vulkan {

class TexelViewCache {
 public:
  explicit TexelViewCache(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  absl::StatusOr<std::shared_ptr<const TexelView>> Get(const SubRegion& region, TexelFormat format)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Call it before the bytes may be used for anything else. Ends the views that begin in them.
  void OnFreed(const Allocation& allocation) {
    if (count_.load(std::memory_order_relaxed) != 0) [[unlikely]]
      DestroyIn(allocation);
  }
  // Ends views that nobody holds, and returns their number.
  uint64_t Trim() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Place {
    uint64_t buffer = 0;
    uint64_t offset = 0;
    uint64_t size = 0;
    TexelFormat format = TexelFormat::kR8Unorm;
    auto operator<=>(const Place&) const = default;
  };
  using Views = std::map<Place, std::shared_ptr<TexelView>>;

  absl::StatusOr<VkBufferView> Create(const Place& place) const;
  absl::Status CheckFormat(TexelFormat format) const;
  Views::iterator Destroy(Views::iterator view) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DestroyIn(const Allocation& allocation) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<Device> device_;
  std::atomic<uint64_t> count_{0};  // of views_
  absl::Mutex mutex_;
  Views views_ ABSL_GUARDED_BY(mutex_);
};

// BindInParts, for the device's limits.
absl::StatusOr<std::vector<BindingPart>> PartsOf(const Device& device, const SubRegion& region,
                                                 uint64_t element_bytes);

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_TEXEL_VIEW_CACHE_H_
