// The version of tenure, as `tenure --version` prints it.
//
// The numbers follow semantic versioning. While the first one is 0, the second one grows with every
// change that breaks existing programs. CHANGELOG.md lists the changes. MODULE.bazel has the same
// version (a test compares all three).
//
// Example:
//   static_assert(kVersionMajor == 0 && kVersionMinor >= 2, "needs tenure 0.2");
//   std::cout << "built with tenure " << kVersion << "\n";
//
// Thread safety: constants.

#ifndef TENURE_BASE_VERSION_H_
#define TENURE_BASE_VERSION_H_

#include <string_view>

namespace tenure {

inline constexpr int kVersionMajor = 0;
inline constexpr int kVersionMinor = 2;
inline constexpr int kVersionPatch = 0;
inline constexpr std::string_view kVersion = "0.2.0";

}  // namespace tenure

#endif  // TENURE_BASE_VERSION_H_
