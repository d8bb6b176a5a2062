// Compiled with CMake, where Abseil may be one that tenure did not bring.

#include <optional>
#include <string_view>
#include <type_traits>

#include "absl/strings/string_view.h"
#include "absl/types/optional.h"

static_assert(
    std::is_same_v<absl::string_view, std::string_view> &&
        std::is_same_v<absl::optional<int>, std::optional<int>>,
    "tenure needs an Abseil that was built as C++17 or newer: its string_view and optional "
    "must be the standard's");
