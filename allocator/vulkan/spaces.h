// The kinds of memory space that Vulkan has.
//
//   MemorySpace::Device(vulkan::kDeviceSpace, 0)   // "vulkan:0"

#ifndef TENURE_ALLOCATOR_VULKAN_SPACES_H_
#define TENURE_ALLOCATOR_VULKAN_SPACES_H_

#include <string_view>

#include "tenure/allocator/space_kind.h"

namespace tenure::vulkan {

// SpaceKind::driver() of all of them.
inline constexpr std::string_view kDriverName = "vulkan";

inline constexpr SpaceKind::Declaration kSpaceDeclarations[] = {
    {"vulkan", SpaceKind::Form::kOrdinal, kDriverName},
    {"vulkan-upload", SpaceKind::Form::kOrdinal, kDriverName},
    {"vulkan-readback", SpaceKind::Form::kOrdinal, kDriverName},
};
inline constexpr SpaceKind kDeviceSpace(kSpaceDeclarations[0]);
inline constexpr SpaceKind kUploadSpace(kSpaceDeclarations[1]);
inline constexpr SpaceKind kReadbackSpace(kSpaceDeclarations[2]);

}  // namespace tenure::vulkan

#endif  // TENURE_ALLOCATOR_VULKAN_SPACES_H_
