#include "tenure/allocator/vulkan/texel_view_cache.h"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"

namespace tenure::vulkan {
namespace {

VkFormat NumberOf(TexelFormat format) { return static_cast<VkFormat>(format); }

static_assert(VK_FORMAT_R8_UNORM == static_cast<int>(TexelFormat::kR8Unorm));
static_assert(VK_FORMAT_R8G8_SINT == static_cast<int>(TexelFormat::kRg8Int));
static_assert(VK_FORMAT_R8G8B8A8_SINT == static_cast<int>(TexelFormat::kRgba8Int));
static_assert(VK_FORMAT_R16_SFLOAT == static_cast<int>(TexelFormat::kR16Float));
static_assert(VK_FORMAT_R16G16_SFLOAT == static_cast<int>(TexelFormat::kRg16Float));
static_assert(VK_FORMAT_R16G16B16A16_SFLOAT == static_cast<int>(TexelFormat::kRgba16Float));
static_assert(VK_FORMAT_R32_SFLOAT == static_cast<int>(TexelFormat::kR32Float));
static_assert(VK_FORMAT_R32G32_SFLOAT == static_cast<int>(TexelFormat::kRg32Float));
static_assert(VK_FORMAT_R32G32B32A32_SFLOAT == static_cast<int>(TexelFormat::kRgba32Float));

// Refuses what is no window of a buffer of Vulkan's, or begins where the device can't bind it.
// `advice` says what else the caller can do.
absl::Status CheckWindow(const SubRegion& region, uint64_t alignment_bytes,
                         std::string_view advice) {
  const Allocation& allocation = *region.allocation;
  if (!WindowFits(region.offset_bytes, region.size_bytes, allocation.size_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a window of ", region.size_bytes, " bytes at ", region.offset_bytes,
                     " does not lie in its allocation of ", allocation.size_bytes, " bytes"));
  }
  if (region.size_bytes == 0 || allocation.native_handle == 0) {
    return absl::InvalidArgumentError("the window has no bytes, and kernels can't bind nothing");
  }
  const uint64_t offset = allocation.native_offset + region.offset_bytes;
  if (offset % std::max<uint64_t>(1, alignment_bytes) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the window begins at ", offset,
                                                   " of its VkBuffer, and the device binds at "
                                                   "multiples of ",
                                                   alignment_bytes, "; ", advice));
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t TexelBytes(TexelFormat format) {
  switch (format) {
    case TexelFormat::kR8Unorm:
    case TexelFormat::kR8Snorm:
    case TexelFormat::kR8Uint:
    case TexelFormat::kR8Int:
      return 1;
    case TexelFormat::kRg8Unorm:
    case TexelFormat::kRg8Snorm:
    case TexelFormat::kRg8Uint:
    case TexelFormat::kRg8Int:
    case TexelFormat::kR16Unorm:
    case TexelFormat::kR16Snorm:
    case TexelFormat::kR16Uint:
    case TexelFormat::kR16Int:
    case TexelFormat::kR16Float:
      return 2;
    case TexelFormat::kRgba8Unorm:
    case TexelFormat::kRgba8Snorm:
    case TexelFormat::kRgba8Uint:
    case TexelFormat::kRgba8Int:
    case TexelFormat::kRg16Unorm:
    case TexelFormat::kRg16Snorm:
    case TexelFormat::kRg16Uint:
    case TexelFormat::kRg16Int:
    case TexelFormat::kRg16Float:
    case TexelFormat::kR32Uint:
    case TexelFormat::kR32Int:
    case TexelFormat::kR32Float:
      return 4;
    case TexelFormat::kRgba16Unorm:
    case TexelFormat::kRgba16Snorm:
    case TexelFormat::kRgba16Uint:
    case TexelFormat::kRgba16Int:
    case TexelFormat::kRgba16Float:
    case TexelFormat::kRg32Uint:
    case TexelFormat::kRg32Int:
    case TexelFormat::kRg32Float:
      return 8;
    case TexelFormat::kRgba32Uint:
    case TexelFormat::kRgba32Int:
    case TexelFormat::kRgba32Float:
      return 16;
  }
  return 0;
}

absl::StatusOr<std::vector<BindingPart>> PartsOf(const Device& device, const SubRegion& region,
                                                 uint64_t element_bytes) {
  const uint64_t alignment =
      std::max<uint64_t>(1, device.physical().limits.minStorageBufferOffsetAlignment);
  const uint64_t most = device.info().max_binding_bytes;
  TENURE_RETURN_IF_ERROR(
      CheckWindow(region, alignment, "use its address, or begin the window elsewhere"));
  if (element_bytes == 0 || region.size_bytes % element_bytes != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a window of ", region.size_bytes,
                                                   " bytes has no whole number of elements of ",
                                                   element_bytes, " bytes"));
  }
  // Each part but the last has a size that keeps the next one aligned and elements whole.
  uint64_t step = region.size_bytes;
  if (step > most) {
    // Both are below 2^64, and so is the common multiple if it can be part of the window at all.
    uint64_t multiple = 0;
    if (!CheckedMul(element_bytes / std::gcd(element_bytes, alignment), alignment, &multiple) ||
        multiple > most) {
      return absl::OutOfRangeError(absl::StrCat(
          "a window of ", region.size_bytes, " bytes is larger than the device binds (", most,
          " bytes), and elements of ", element_bytes, " bytes can't be divided at multiples of ",
          alignment, " within that; use its address"));
    }
    step = most / multiple * multiple;
  }
  std::vector<BindingPart> parts;
  parts.reserve(region.size_bytes / step + 1);
  for (uint64_t done = 0; done < region.size_bytes;) {
    const uint64_t size = std::min(step, region.size_bytes - done);
    parts.push_back({.buffer = region.allocation->native_handle,
                     .offset_bytes = region.allocation->native_offset + region.offset_bytes + done,
                     .size_bytes = size,
                     .first_element = done / element_bytes});
    done += size;
  }
  return parts;
}

absl::Status TexelViewCache::CheckFormat(TexelFormat format) const {
  auto properties = Struct<VkFormatProperties2>(VK_STRUCTURE_TYPE_FORMAT_PROPERTIES_2);
  device_->instance().calls().GetPhysicalDeviceFormatProperties2(device_->physical().handle,
                                                                 NumberOf(format), &properties);
  // The VkBuffers of the pool may be used both ways, and Vulkan wants their views to support both.
  constexpr VkFormatFeatureFlags kNeeded =
      VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT | VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT;
  const VkFormatFeatureFlags has = properties.formatProperties.bufferFeatures;
  if ((has & kNeeded) == kNeeded) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("Vulkan device ", device_->ordinal(), " (", device_->info().name, ") has no ",
                   (has & VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT) == 0 ? "uniform" : "storage",
                   " texel buffers of VkFormat ", static_cast<uint32_t>(format),
                   "; use another format, or a structured view"));
}

absl::StatusOr<VkBufferView> TexelViewCache::Create(const Place& place) const {
  TENURE_RETURN_IF_ERROR(CheckFormat(place.format));
  auto info = Struct<VkBufferViewCreateInfo>(VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO);
  info.buffer = reinterpret_cast<VkBuffer>(place.buffer);
  info.format = NumberOf(place.format);
  info.offset = place.offset;
  info.range = place.size;
  VkBufferView view = VK_NULL_HANDLE;
  TENURE_RETURN_IF_ERROR(TENURE_VKD(*device_, CreateBufferView, &info, nullptr, &view));
  return view;
}

absl::StatusOr<std::shared_ptr<const TexelView>> TexelViewCache::Get(const SubRegion& region,
                                                                     TexelFormat format) {
  const uint64_t texel = TexelBytes(format);
  if (texel == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no texel format ", static_cast<uint32_t>(format), "; use one of TexelFormat's"));
  }
  const VkPhysicalDeviceLimits& limits = device_->physical().limits;
  TENURE_RETURN_IF_ERROR(CheckWindow(region, limits.minTexelBufferOffsetAlignment,
                                     "use a structured view, or begin the window elsewhere"));
  if (region.size_bytes % texel != 0) {
    return absl::InvalidArgumentError(absl::StrCat("a window of ", region.size_bytes,
                                                   " bytes has no whole number of texels of ",
                                                   texel, " bytes"));
  }
  const uint64_t count = region.size_bytes / texel;
  if (count > limits.maxTexelBufferElements) {
    return absl::OutOfRangeError(absl::StrCat(
        "a typed view of ", count, " texels is larger than the device's limit of ",
        limits.maxTexelBufferElements,
        " (maxTexelBufferElements); view parts of the window, or use a structured view"));
  }
  const Place place = {.buffer = region.allocation->native_handle,
                       .offset = region.allocation->native_offset + region.offset_bytes,
                       .size = region.size_bytes,
                       .format = format};
  absl::MutexLock lock(&mutex_);
  if (auto known = views_.find(place); known != views_.end()) return known->second;
  TENURE_ASSIGN_OR_RETURN(VkBufferView view, Create(place));
  auto made = std::make_shared<TexelView>(reinterpret_cast<uint64_t>(view), format, count);
  views_[place] = made;
  count_.store(views_.size(), std::memory_order_relaxed);
  return made;
}

TexelViewCache::Views::iterator TexelViewCache::Destroy(Views::iterator view) {
  const uint64_t handle = view->second->handle_.exchange(0, std::memory_order_acq_rel);
  device_->calls().DestroyBufferView(device_->handle(), reinterpret_cast<VkBufferView>(handle),
                                     nullptr);
  view = views_.erase(view);
  count_.store(views_.size(), std::memory_order_relaxed);
  return view;
}

void TexelViewCache::DestroyIn(const Allocation& allocation) {
  if (allocation.native_handle == 0) return;
  const uint64_t size = std::max(allocation.size_bytes, allocation.reserved_bytes);
  absl::MutexLock lock(&mutex_);
  auto view = views_.lower_bound({.buffer = allocation.native_handle,
                                  .offset = allocation.native_offset,
                                  .size = 0,
                                  .format = static_cast<TexelFormat>(0)});
  while (view != views_.end() && view->first.buffer == allocation.native_handle &&
         view->first.offset - allocation.native_offset < size) {
    view = Destroy(view);
  }
}

uint64_t TexelViewCache::Trim() {
  absl::MutexLock lock(&mutex_);
  uint64_t ended = 0;
  for (auto view = views_.begin(); view != views_.end();) {
    // Only this cache gives out copies, under the lock that is held here.
    if (view->second.use_count() > 1) {
      ++view;
      continue;
    }
    view = Destroy(view);
    ++ended;
  }
  return ended;
}

}  // namespace tenure::vulkan
