#include "tenure/allocator/vulkan/buffer_views.h"

#include "absl/strings/str_cat.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

absl::StatusOr<BufferViewCapability*> ViewsOf(Allocator& allocator) {
  auto* views = allocator.root().Capability<BufferViewCapability>();
  if (views != nullptr) return views;
  return absl::UnimplementedError(
      absl::StrCat("memory of ", allocator.space().ToString(),
                   " has no views of Vulkan's; allocate in 'vulkan:N', 'vulkan-upload:N' or "
                   "'vulkan-readback:N'"));
}

// What the allocators below make of the region. Without an allocation there is none.
absl::StatusOr<SubRegion> RootRegionOf(Allocator& allocator, const SubRegion& region) {
  if (region.allocation == nullptr) {
    return absl::InvalidArgumentError("the window is of no allocation; allocate the buffer first");
  }
  return allocator.RootRegion(region);
}

}  // namespace

absl::StatusOr<BindingPart> Bind(Allocator& allocator, const SubRegion& region,
                                 uint64_t element_bytes) {
  TENURE_ASSIGN_OR_RETURN(const std::vector<BindingPart> parts,
                          BindInParts(allocator, region, element_bytes));
  if (parts.size() == 1) return parts.front();
  return absl::OutOfRangeError(
      absl::StrCat("a window of ", region.size_bytes, " bytes is larger than the device binds (",
                   allocator.traits().max_binding_bytes,
                   " bytes); bind it in parts (BindInParts), or use its address"));
}

absl::StatusOr<std::vector<BindingPart>> BindInParts(Allocator& allocator, const SubRegion& region,
                                                     uint64_t element_bytes) {
  TENURE_ASSIGN_OR_RETURN(BufferViewCapability* const views, ViewsOf(allocator));
  TENURE_ASSIGN_OR_RETURN(const SubRegion root, RootRegionOf(allocator, region));
  return views->Parts(root, element_bytes);
}

absl::StatusOr<std::shared_ptr<const TexelView>> BindTyped(Allocator& allocator,
                                                           const SubRegion& region,
                                                           TexelFormat format) {
  TENURE_ASSIGN_OR_RETURN(BufferViewCapability* const views, ViewsOf(allocator));
  TENURE_ASSIGN_OR_RETURN(const SubRegion root, RootRegionOf(allocator, region));
  return views->Typed(root, format);
}

uint64_t TrimTexelViews(Allocator& allocator) {
  auto* views = allocator.root().Capability<BufferViewCapability>();
  return views == nullptr ? 0 : views->TrimViews();
}

}  // namespace tenure::vulkan
