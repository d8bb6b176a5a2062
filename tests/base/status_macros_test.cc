#include "tenure/base/status_macros.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

// Shadowed names in nested uses are what this file must show to be absent, whatever the build says.
#pragma GCC diagnostic error "-Wshadow"

namespace tenure {
namespace {

absl::Status Refuse() { return absl::OutOfRangeError("too far"); }
absl::StatusOr<int> Half(int x) {
  if (x % 2 != 0) return absl::InvalidArgumentError("odd");
  return x / 2;
}

absl::Status StopAt(const absl::Status& status, int* reached) {
  TENURE_RETURN_IF_ERROR(status);
  *reached += 1;
  return absl::OkStatus();
}

TEST(StatusMacros, AnErrorReturnsAndOkGoesOn) {
  int reached = 0;
  EXPECT_TRUE(StopAt(absl::OkStatus(), &reached).ok());
  EXPECT_EQ(reached, 1);
  EXPECT_EQ(StopAt(Refuse(), &reached), Refuse());
  EXPECT_EQ(reached, 1);
}

absl::StatusOr<int> Quarter(int x) {
  TENURE_ASSIGN_OR_RETURN(const int half, Half(x));
  int quarter = 0;
  TENURE_ASSIGN_OR_RETURN(quarter, Half(half));
  return quarter;
}

TEST(StatusMacros, AValueIsDeclaredOrAssigned) {
  EXPECT_EQ(Quarter(12).value(), 3);
  EXPECT_EQ(Quarter(7).status().message(), "odd");
  EXPECT_EQ(Quarter(6).status().message(), "odd");
}

TEST(StatusMacros, ValuesThatCannotBeCopiedAreMoved) {
  const auto unwrap = [](absl::StatusOr<std::unique_ptr<int>> from) -> absl::StatusOr<int> {
    TENURE_ASSIGN_OR_RETURN(std::unique_ptr<int> value, std::move(from));
    return *value;
  };
  EXPECT_EQ(unwrap(std::make_unique<int>(5)).value(), 5);
  EXPECT_EQ(unwrap(Refuse()).status(), Refuse());
}

TEST(StatusMacros, TheExpressionIsEvaluatedOnce) {
  int calls = 0;
  const auto count = [&]() -> absl::StatusOr<int> { return ++calls; };
  const auto run = [&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(count().status());
    TENURE_ASSIGN_OR_RETURN(const int value, count());
    EXPECT_EQ(value, 2);
    return absl::OkStatus();
  };
  EXPECT_TRUE(run().ok());
  EXPECT_EQ(calls, 2);
}

TEST(StatusMacros, AnElseBelongsToTheCallersIf) {
  const auto run = [](bool check) -> absl::StatusOr<std::string> {
    if (check)
      TENURE_RETURN_IF_ERROR(Refuse());
    else
      return "not asked";
    return "not reached";
  };
  EXPECT_EQ(run(false).value(), "not asked");
  EXPECT_EQ(run(true).status(), Refuse());
}

TEST(StatusMacros, CommasInTheExpressionNeedNoParentheses) {
  const auto run = []() -> absl::StatusOr<size_t> {
    TENURE_RETURN_IF_ERROR(std::pair<int, absl::Status>(1, absl::OkStatus()).second);
    TENURE_ASSIGN_OR_RETURN(const auto map,
                            absl::StatusOr<std::map<int, int>>(std::map<int, int>{{1, 2}, {3, 4}}));
    return map.size();
  };
  EXPECT_EQ(run().value(), 2u);
}

// One macro within the expression of another, on one line or on several.
absl::StatusOr<int> Nested(int x) {
  // clang-format off
  TENURE_RETURN_IF_ERROR([&]() -> absl::Status { TENURE_RETURN_IF_ERROR(Half(x).status()); return absl::OkStatus(); }());
  // clang-format on
  TENURE_ASSIGN_OR_RETURN(const int result, [&]() -> absl::StatusOr<int> {
    TENURE_ASSIGN_OR_RETURN(const int half, Half(x));
    TENURE_RETURN_IF_ERROR(Half(half).status());
    return half;
  }());
  return result;
}

TEST(StatusMacros, UsesNest) {
  EXPECT_EQ(Nested(8).value(), 4);
  EXPECT_EQ(Nested(7).status().message(), "odd");
  EXPECT_EQ(Nested(6).status().message(), "odd");
}

}  // namespace
}  // namespace tenure
