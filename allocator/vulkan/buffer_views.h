// Views of Vulkan's buffers for kernels: raw, structured and typed. Includes no Vulkan header; handles
// are 64-bit numbers.
//
//   raw         bytes                        a part of a VkBuffer (a storage buffer's binding)
//   structured  elements of so many bytes    the same, cut between elements
//   typed       texels of a format           a VkBufferView (a texel buffer's binding)
//
// Example, of the bytes of a Buffer that is allocated:
//   const Storage& storage = *buffer.storage();
//   const SubRegion region{&storage.root(), storage.root_offset() + buffer.offset(), buffer.size()};
//   TENURE_ASSIGN_OR_RETURN(std::vector<vulkan::BindingPart> parts,
//                           vulkan::BindInParts(storage.allocator(), region, /*element_bytes=*/12));
//   TENURE_ASSIGN_OR_RETURN(std::shared_ptr<const vulkan::TexelView> texels,
//                           vulkan::BindTyped(storage.allocator(), region,
//                                             vulkan::TexelFormat::kR32Float));
//
// A window that is larger than the device's maxStorageBufferRange can't be bound as a whole. Either
// the kernel takes it in parts (BindInParts), or it uses the address of the first byte, which has no
// such limit (SubRegion::device_address).
//
// Lifetime of typed views: the allocator keeps them. The same window with the same format gives the
// same view. A view ends when its allocation is freed, which waits for the fences of the recorded
// uses. TrimTexelViews ends views sooner: those that nobody holds. So hold the pointer until the
// work that uses the view is done.
//
// Cost: raw and structured views are arithmetic. A typed view takes a lock and a lookup, and the
// driver's call when it is new. Allocators without typed views pay one load when they free.
// Thread safety: thread-safe. Ownership: as above; views are never destroyed by the caller.
// Errors: InvalidArgument (a window that does not lie in its allocation, is empty, is not aligned as
// the device wants it, or has parts of elements), OutOfRange (larger than a limit of the device's),
// Unimplemented (a format that the device lacks; memory that is not Vulkan's), and the driver's.

#ifndef TENURE_ALLOCATOR_VULKAN_BUFFER_VIEWS_H_
#define TENURE_ALLOCATOR_VULKAN_BUFFER_VIEWS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tenure/allocator/allocation.h"
#include "tenure/allocator/allocator.h"

namespace tenure::vulkan {

// Formats of texels. Their numbers are those of VkFormat.
enum class TexelFormat : uint32_t {
  kR8Unorm = 9,
  kR8Snorm = 10,
  kR8Uint = 13,
  kR8Int = 14,
  kRg8Unorm = 16,
  kRg8Snorm = 17,
  kRg8Uint = 20,
  kRg8Int = 21,
  kRgba8Unorm = 37,
  kRgba8Snorm = 38,
  kRgba8Uint = 41,
  kRgba8Int = 42,
  kR16Unorm = 70,
  kR16Snorm = 71,
  kR16Uint = 74,
  kR16Int = 75,
  kR16Float = 76,
  kRg16Unorm = 77,
  kRg16Snorm = 78,
  kRg16Uint = 81,
  kRg16Int = 82,
  kRg16Float = 83,
  kRgba16Unorm = 91,
  kRgba16Snorm = 92,
  kRgba16Uint = 95,
  kRgba16Int = 96,
  kRgba16Float = 97,
  kR32Uint = 98,
  kR32Int = 99,
  kR32Float = 100,
  kRg32Uint = 101,
  kRg32Int = 102,
  kRg32Float = 103,
  kRgba32Uint = 107,
  kRgba32Int = 108,
  kRgba32Float = 109,
};
// The size of a texel; 0 if there is no such format.
uint64_t TexelBytes(TexelFormat format);

// What a descriptor of a storage buffer names.
struct BindingPart {
  uint64_t buffer = 0;  // VkBuffer
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t first_element = 0;  // of the window; bytes count as elements of raw views
};

// What a descriptor of a texel buffer names.
class TexelView {
 public:
  TexelView(uint64_t handle, TexelFormat format, uint64_t count)
      : handle_(handle), format_(format), count_(count) {}

  // VkBufferView; 0 once the allocation was freed.
  uint64_t handle() const { return handle_.load(std::memory_order_acquire); }
  TexelFormat format() const { return format_; }
  uint64_t count() const { return count_; }  // of texels

 private:
  friend class TexelViewCache;
  std::atomic<uint64_t> handle_;
  const TexelFormat format_;
  const uint64_t count_;
};

// These take any allocator whose bytes are of a Vulkan space, decorated or not.

// The window as one binding: raw with element_bytes 1, otherwise structured. OutOfRange if it is
// larger than the device binds.
absl::StatusOr<BindingPart> Bind(Allocator& allocator, const SubRegion& region,
                                 uint64_t element_bytes = 1);
// The window as bindings that each hold whole elements. Together they have all elements, in order.
absl::StatusOr<std::vector<BindingPart>> BindInParts(Allocator& allocator, const SubRegion& region,
                                                     uint64_t element_bytes = 1);
// The window as texels.
absl::StatusOr<std::shared_ptr<const TexelView>> BindTyped(Allocator& allocator,
                                                           const SubRegion& region,
                                                           TexelFormat format);
// Ends typed views that nobody holds, and returns their number.
uint64_t TrimTexelViews(Allocator& allocator);

// For authors of allocators: what the functions above ask of the allocator at the bottom.
class BufferViewCapability {
 public:
  static constexpr std::string_view kName = "vulkan buffer views";
  virtual ~BufferViewCapability() = default;
  virtual absl::StatusOr<std::vector<BindingPart>> Parts(const SubRegion& region,
                                                         uint64_t element_bytes) = 0;
  virtual absl::StatusOr<std::shared_ptr<const TexelView>> Typed(const SubRegion& region,
                                                                 TexelFormat format) = 0;
  virtual uint64_t TrimViews() = 0;
};

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_BUFFER_VIEWS_H_
