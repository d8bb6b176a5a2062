#include "tenure/base/version.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

// tests/readme/version_test.py compares the string with MODULE.bazel and CHANGELOG.md.
TEST(Version, TheStringIsMadeOfTheNumbers) {
  EXPECT_EQ(kVersion, absl::StrCat(kVersionMajor, ".", kVersionMinor, ".", kVersionPatch));
}

}  // namespace
}  // namespace tenure
