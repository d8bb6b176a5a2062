// The names of spaces that README.md promises. They parse in every program, also where their driver
// is not linked or not written yet. They are names and nothing else: what the spaces can do is
// their drivers' business.

#ifndef TENURE_ALLOCATOR_RESERVED_SPACES_H_
#define TENURE_ALLOCATOR_RESERVED_SPACES_H_

#include "tenure/allocator/space_kind.h"

namespace tenure {

inline constexpr SpaceKind::Declaration kReservedSpaces[] = {
    {"cpu", SpaceKind::Form::kPlain, "host"},
    {"disk", SpaceKind::Form::kPath, "file"},
    {"null", SpaceKind::Form::kPlain, "null"},
    {"cuda", SpaceKind::Form::kOrdinal, "cuda"},
    {"cuda-unified", SpaceKind::Form::kOrdinal, "cuda"},
    {"cuda-pinned", SpaceKind::Form::kOrdinal, "cuda"},
    {"vulkan", SpaceKind::Form::kOrdinal, "vulkan"},
    {"vulkan-upload", SpaceKind::Form::kOrdinal, "vulkan"},
    {"vulkan-readback", SpaceKind::Form::kOrdinal, "vulkan"},
};

}  // namespace tenure

#endif  // TENURE_ALLOCATOR_RESERVED_SPACES_H_
