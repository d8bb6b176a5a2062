#include "tenure/allocator/timeline/timeline.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace tenure {
namespace {

TEST(Fence, NoneIsReached) {
  EXPECT_TRUE(Fence().IsReached());
  EXPECT_FALSE(Fence().IsFailed());
  EXPECT_TRUE(Fence().Wait().ok());
  EXPECT_TRUE(Fence(std::make_shared<HostTimeline>(), 0).IsReached());
}

TEST(Fence, ReachedInOrderAndNeverBack) {
  auto timeline = std::make_shared<HostTimeline>();
  const Fence one(timeline, 1);
  const Fence three(timeline, 3);
  EXPECT_FALSE(one.IsReached());
  timeline->Signal(2);
  EXPECT_TRUE(one.IsReached());
  EXPECT_FALSE(three.IsReached());
  timeline->Signal(1);
  EXPECT_EQ(timeline->Reached(), 2u);
  timeline->Signal(9);
  EXPECT_TRUE(three.IsReached());
}

TEST(Fence, WaitEndsWithTheSignalTheDeadlineOrTheFailure) {
  auto timeline = std::make_shared<HostTimeline>();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Fence(timeline, 1).Wait(absl::Milliseconds(1))));
  EXPECT_TRUE(absl::IsDeadlineExceeded(Fence(timeline, 1).Wait(absl::ZeroDuration())));
  std::thread other([&] { timeline->Signal(1); });
  EXPECT_TRUE(Fence(timeline, 1).Wait().ok());
  other.join();
  std::thread failing([&] { timeline->Fail(absl::UnavailableError("gone")); });
  EXPECT_TRUE(absl::IsUnavailable(Fence(timeline, 2).Wait()));
  failing.join();
  EXPECT_TRUE(Fence(timeline, 2).IsFailed());
  EXPECT_FALSE(Fence(timeline, 1).IsFailed());
  EXPECT_TRUE(Fence(timeline, 1).Wait().ok());
  timeline->Fail(absl::InternalError("later"));
  EXPECT_TRUE(absl::IsUnavailable(timeline->Failure()));  // the first stays
}

TEST(HostTimeline, FailingWithoutAReasonIsStillAFailure) {
  HostTimeline timeline;
  timeline.Fail(absl::OkStatus());
  EXPECT_FALSE(timeline.Failure().ok());
}

}  // namespace
}  // namespace tenure
