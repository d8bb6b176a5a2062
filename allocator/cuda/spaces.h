// The kinds of memory space that CUDA has.
//
//   MemorySpace::Device(cuda::kDeviceSpace, 0)   // "cuda:0"

#ifndef TENURE_ALLOCATOR_CUDA_SPACES_H_
#define TENURE_ALLOCATOR_CUDA_SPACES_H_

#include <string_view>

#include "tenure/allocator/space_kind.h"

namespace tenure::cuda {

// SpaceKind::driver() of all of them.
inline constexpr std::string_view kDriverName = "cuda";

inline constexpr SpaceKind::Declaration kSpaceDeclarations[] = {
    {"cuda", SpaceKind::Form::kOrdinal, kDriverName, 2},
    {"cuda-unified", SpaceKind::Form::kOrdinal, kDriverName, 13},
    {"cuda-pinned", SpaceKind::Form::kOrdinal, kDriverName, 3},
};
inline constexpr SpaceKind kDeviceSpace(kSpaceDeclarations[0]);
inline constexpr SpaceKind kUnifiedSpace(kSpaceDeclarations[1]);
inline constexpr SpaceKind kPinnedSpace(kSpaceDeclarations[2]);

}  // namespace tenure::cuda

#endif  // TENURE_ALLOCATOR_CUDA_SPACES_H_
