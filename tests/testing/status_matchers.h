// Shorthands for tests of what returns a Status or StatusOr.

#ifndef TENURE_TESTS_TESTING_STATUS_MATCHERS_H_
#define TENURE_TESTS_TESTING_STATUS_MATCHERS_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace tenure {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

}  // namespace tenure

#define ASSERT_OK(expression)                               \
  do {                                                      \
    const absl::Status status_of_it = StatusOf(expression); \
    ASSERT_TRUE(status_of_it.ok()) << status_of_it;         \
  } while (false)
#define EXPECT_OK(expression)                               \
  do {                                                      \
    const absl::Status status_of_it = StatusOf(expression); \
    EXPECT_TRUE(status_of_it.ok()) << status_of_it;         \
  } while (false)
// `wanted`, a StatusCode without the k: EXPECT_CODE(OutOfRange, buffer.View(...))
#define EXPECT_CODE(wanted, expression)                                          \
  do {                                                                           \
    const absl::Status status_of_it = StatusOf(expression);                      \
    EXPECT_EQ(status_of_it.code(), absl::StatusCode::k##wanted) << status_of_it; \
    EXPECT_GE(status_of_it.message().size(), 20u) << "says too little";          \
  } while (false)

#endif  // TENURE_TESTS_TESTING_STATUS_MATCHERS_H_
