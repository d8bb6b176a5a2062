#include "tenure/allocator/copy/host_queue.h"

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

std::shared_ptr<HostQueue> Make() {
  absl::StatusOr<std::shared_ptr<HostQueue>> queue = HostQueue::Create();
  EXPECT_OK(queue);
  return *std::move(queue);
}

TEST(HostQueueTest, RunsInOrder) {
  const std::shared_ptr<HostQueue> queue = Make();
  EXPECT_EQ(queue->driver(), "host");
  std::vector<int> ran;
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(queue->Enqueue([&ran, i] {
      ran.push_back(i);
      return absl::OkStatus();
    }));
  }
  ASSERT_OK(queue->Synchronize());
  ASSERT_EQ(ran.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
  EXPECT_CODE(InvalidArgument, queue->Enqueue(nullptr));
}

TEST(HostQueueTest, FencesAreThePointsWhereTheyWereRecorded) {
  const std::shared_ptr<HostQueue> queue = Make();
  EXPECT_TRUE(queue->Record()->IsReached());
  absl::Notification go;
  std::atomic<bool> destroyed{false};
  // A closure that takes its time to go.
  const auto go_slowly = [&destroyed](int* held) {
    absl::SleepFor(absl::Milliseconds(20));
    delete held;
    destroyed = true;
  };
  std::shared_ptr<int> held(new int(1), go_slowly);
  ASSERT_OK(queue->Enqueue([&go, held = std::move(held)] {
    go.WaitForNotification();
    return absl::OkStatus();
  }));
  const absl::StatusOr<Fence> done = queue->Record();
  ASSERT_OK(done);
  EXPECT_FALSE(done->IsReached());
  EXPECT_CODE(DeadlineExceeded, done->Wait(absl::ZeroDuration()));
  go.Notify();
  EXPECT_OK(done->Wait());
  EXPECT_TRUE(destroyed) << "the closure outlives its fence";
}

TEST(HostQueueTest, WaitsForFencesOfOthers) {
  const std::shared_ptr<HostQueue> queue = Make();
  auto gate = std::make_shared<HostTimeline>();
  std::atomic<bool> ran{false};
  EXPECT_TRUE(queue->CanWaitFor(Fence(gate, 1)));
  ASSERT_OK(queue->WaitFor(Fence(gate, 1)));
  const absl::StatusOr<Fence> waited = queue->Record();
  ASSERT_OK(queue->Enqueue([&ran] {
    ran = true;
    return absl::OkStatus();
  }));
  EXPECT_CODE(DeadlineExceeded, waited->Wait(absl::Milliseconds(5)));
  EXPECT_FALSE(ran);
  gate->Signal(1);
  ASSERT_OK(queue->Synchronize());
  EXPECT_TRUE(ran);
}

TEST(HostQueueTest, QueuesRunAtTheSameTimeAndWaitForEachOther) {
  const std::shared_ptr<HostQueue> a = Make(), b = Make();
  absl::Notification in_b;
  std::atomic<int> order{0};
  ASSERT_OK(a->Enqueue([&] {
    in_b.WaitForNotification();  // ends only if b runs meanwhile
    order = 1;
    return absl::OkStatus();
  }));
  ASSERT_OK(b->Enqueue([&] {
    in_b.Notify();
    return absl::OkStatus();
  }));
  ASSERT_OK(b->WaitFor(*a->Record()));
  ASSERT_OK(b->Enqueue([&] {
    order = order == 1 ? 2 : -1;
    return absl::OkStatus();
  }));
  ASSERT_OK(b->Synchronize());
  EXPECT_EQ(order, 2);
}

TEST(HostQueueTest, AfterAnErrorNothingRuns) {
  const std::shared_ptr<HostQueue> queue = Make();
  ASSERT_OK(queue->Enqueue([] { return absl::OkStatus(); }));
  const absl::StatusOr<Fence> before = queue->Record();
  ASSERT_OK(queue->Enqueue([] { return absl::DataLossError("what the work says, in a test"); }));
  bool ran = false;
  ASSERT_OK(queue->Enqueue([&ran] {
    ran = true;
    return absl::OkStatus();
  }));
  EXPECT_CODE(DataLoss, queue->Synchronize());
  EXPECT_CODE(DataLoss, queue->Record()->Wait());
  EXPECT_OK(before->Wait());
  EXPECT_FALSE(ran);
  // Who waits for it gets the error too, and the bytes are not in quarantine.
  const std::shared_ptr<HostQueue> other = Make();
  ASSERT_OK(other->WaitFor(*queue->Record()));
  EXPECT_CODE(DataLoss, other->Synchronize());
  EXPECT_TRUE(queue->Record()->IsReached());
  EXPECT_FALSE(queue->Record()->IsFailed());
}

TEST(HostQueueTest, ItsEndWaitsForItsWork) {
  std::atomic<int> ran{0};
  {
    const std::shared_ptr<HostQueue> queue = Make();
    for (int i = 0; i < 10; ++i) {
      ASSERT_OK(queue->Enqueue([&ran] {
        ++ran;
        return absl::OkStatus();
      }));
    }
  }
  EXPECT_EQ(ran, 10);
}

TEST(HostQueueTest, WorkMayBeItsLastOwner) {
  std::shared_ptr<HostQueue> queue = Make();
  absl::Notification go;
  ASSERT_OK(queue->Enqueue([queue, &go] {
    go.WaitForNotification();
    return absl::OkStatus();
  }));
  const absl::StatusOr<Fence> done = queue->Record();
  queue.reset();
  go.Notify();
  EXPECT_OK(done->Wait());
}

}  // namespace
}  // namespace tenure
