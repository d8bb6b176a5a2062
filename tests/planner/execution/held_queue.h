// HeldQueue: a queue whose work runs only when the test says so, one piece at a time, so that a
// test chooses how the work of several queues interleaves. A wait that is missing then lets work
// run too early, every time.
//
//   auto a = std::make_shared<HeldQueue>(), b = std::make_shared<HeldQueue>();
//   ... launch work on both ...
//   while (b->RunOne()) {}        // b as far as it gets without a
//   Drain({a, b}, random);        // the rest, in any order that the waits allow
//
// Thread safety: single-threaded, but for the fences. Ownership: owns the work until it has run.

#ifndef TENURE_TESTS_PLANNER_EXECUTION_HELD_QUEUE_H_
#define TENURE_TESTS_PLANNER_EXECUTION_HELD_QUEUE_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/allocator/queue.h"

namespace tenure {

class HeldQueue final : public Queue {
 public:
  void Enqueue(std::function<void()> work) { pieces_.push_back({.work = std::move(work)}); }

  // Runs the next piece. False if there is none, or if it waits for a fence that is not reached.
  bool RunOne() {
    if (pieces_.empty() || !pieces_.front().after.IsReached()) return false;
    Piece piece = std::move(pieces_.front());
    pieces_.pop_front();
    if (piece.work) piece.work();
    if (piece.value != 0) timeline_->Signal(piece.value);
    return true;
  }
  // Runs what can be run without other queues.
  void RunAll() {
    while (RunOne()) {
    }
  }
  bool empty() const { return pieces_.empty(); }

  // From now on it can't wait for any fence, or can't record one.
  void RefuseWaits() { refuses_waits_ = true; }
  void RefuseRecords() { refuses_records_ = true; }
  int synchronized() const { return synchronized_; }  // how many times

  std::string_view driver() const override { return "held"; }
  uint64_t native_handle() const override { return 0; }
  absl::StatusOr<Fence> Record() override {
    if (refuses_records_) return absl::UnavailableError("no fence can be recorded, in a test");
    pieces_.push_back({.value = ++recorded_});
    return Fence(timeline_, recorded_);
  }
  bool CanWaitFor(const Fence& fence) const override {
    return !refuses_waits_ || fence.IsReached();
  }
  bool HasRecorded(const Fence& fence) const override { return fence.timeline() == timeline_; }
  using Queue::WaitFor;
  absl::Status WaitFor(absl::Span<const Fence> fences) override {
    for (const Fence& fence : fences) {
      if (!CanWaitFor(fence)) return absl::FailedPreconditionError("can't wait, in a test");
      pieces_.push_back({.after = fence});
    }
    return absl::OkStatus();
  }
  absl::Status Synchronize() override {
    ++synchronized_;
    RunAll();
    return pieces_.empty() ? absl::OkStatus() : absl::DeadlineExceededError("held work, in a test");
  }

 private:
  struct Piece {
    Fence after = {};
    std::function<void()> work = {};
    uint64_t value = 0;  // signalled when the queue gets here; 0: none
  };
  std::deque<Piece> pieces_;
  const std::shared_ptr<HostTimeline> timeline_ = std::make_shared<HostTimeline>();
  uint64_t recorded_ = 0;
  bool refuses_waits_ = false;
  bool refuses_records_ = false;
  int synchronized_ = 0;
};

// Runs everything, a piece of a random queue at a time. Some runs prefer one queue for long.
inline void Drain(const std::vector<std::shared_ptr<HeldQueue>>& queues, std::mt19937_64& random) {
  const uint64_t stay = 1 + random() % 8;
  size_t pick = 0;
  const auto over = [&] {
    for (const auto& queue : queues) {
      if (!queue->empty()) return false;
    }
    return true;
  };
  // What a queue waits for may be done by a thread: fills that wait for a use.
  const absl::Time deadline = absl::Now() + absl::Seconds(60);
  for (uint64_t idle = 0; !over();) {
    if (random() % stay == 0) pick = random() % queues.size();
    if (queues[pick]->RunOne()) {
      idle = 0;
      continue;
    }
    pick = random() % queues.size();
    if (++idle < 32 * queues.size()) continue;
    ASSERT_LT(absl::Now(), deadline) << "the queues wait for each other, or for nothing";
    absl::SleepFor(absl::Microseconds(50));
  }
}

}  // namespace tenure

#endif  // TENURE_TESTS_PLANNER_EXECUTION_HELD_QUEUE_H_
