#include "tenure/base/annotate.h"

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

TEST(Annotate, PutsThePlaceInFrontAndKeepsTheRest) {
  absl::Status status = absl::DataLossError("cut off");
  status.SetPayload("of.mine", absl::Cord("bytes"));
  const absl::Status annotated = Annotate(status, "weights.bin");
  EXPECT_EQ(annotated.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(annotated.message(), "weights.bin: cut off");
  EXPECT_EQ(annotated.GetPayload("of.mine"), absl::Cord("bytes"));
}

TEST(Annotate, OkStaysOk) { EXPECT_TRUE(Annotate(absl::OkStatus(), "weights.bin").ok()); }

}  // namespace
}  // namespace tenure
