// Executions whose inputs and outputs are rebound between runs, and those whose inputs and outputs
// lend their memory.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/copy/host_queue.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/planner/execution/execution.h"
#include "tenure/planner/planner.h"
#include "tenure/tests/testing/status_matchers.h"
#include "tenure/tests/testing/test_buffers.h"

namespace tenure {
namespace {

constexpr uint64_t kRowBytes = 256;

// Each step adds 1: in -> x -> y -> out.
class RebindTest : public testing::Test {
 protected:
  void MakeExecution(InputUse use, OutputPlacement placement) {
    in_ = Make(cpu_, kRowBytes, {.name = "in"});
    out_ = Make(cpu_, kRowBytes, {.name = "out"});
    Schedule schedule("rebind");
    schedule.MarkInput(in_, use);
    schedule.MarkOutput(out_, placement);
    Buffer from = in_;
    for (int i = 0; i < 3; ++i) {
      Buffer to = i == 2 ? out_ : Make(cpu_, kRowBytes, {.name = "between"});
      ASSERT_OK(schedule.AddStep({.name = "add", .reads = {from}, .writes = {to}}));
      from = to;
    }
    from = Buffer();
    const Plan plan = MakePlan(schedule).value();
    placed_ = PlacePlan(plan, schedule).value();
    execution_ = std::make_unique<Execution>(
        Execution::Create(std::move(schedule), placed_, {HostQueue::Create().value()}).value());
  }
  absl::Status Run() {
    return execution_->Run([](const StepContext& at) {
      const auto* from = static_cast<const uint8_t*>(at.step.reads[0].HostPointer().value());
      auto* to = static_cast<uint8_t*>(at.step.writes[0].MutableHostPointer().value());
      return static_cast<HostQueue&>(at.queue).Enqueue([from, to] {
        for (uint64_t i = 0; i < kRowBytes; ++i) to[i] = static_cast<uint8_t>(from[i] + 1);
        return absl::OkStatus();
      });
    });
  }
  static int LastByte(const Buffer& buffer) {
    return static_cast<int>(buffer.Get<uint8_t>({static_cast<int64_t>(buffer.size()) - 1}).value());
  }

  CpuAllocator cpu_;
  Buffer in_, out_;
  PlacedPlan placed_;
  std::unique_ptr<Execution> execution_;
};

TEST_F(RebindTest, EachRunHasItsOwnInputAndOutput) {
  MakeExecution(InputUse::kKept, OutputPlacement::kOwn);
  const Buffer batch = Make(cpu_, 4 * kRowBytes);  // the outputs are windows of one buffer
  Buffer in = in_, out = out_;
  std::vector<Buffer> outs;
  for (uint8_t i = 0; i < 4; ++i) {
    const Buffer next_in = Make(cpu_, kRowBytes),
                 next_out = batch.View(i * kRowBytes, kRowBytes).value();
    ASSERT_OK(next_in.FillWith<uint8_t>(i * 10));
    ASSERT_OK(execution_->Rebind({{in, next_in}, {out, next_out}}));
    ASSERT_OK(Run());  // while the run before may be under way
    in = next_in;
    out = next_out;
    outs.push_back(out);
  }
  for (int i = 0; i < 4; ++i) EXPECT_EQ(LastByte(outs[static_cast<size_t>(i)]), i * 10 + 3);
  EXPECT_FALSE(out_.is_allocated());
}

TEST_F(RebindTest, InputAndOutputCanExchangePlaces) {
  MakeExecution(InputUse::kKept, OutputPlacement::kOwn);
  ASSERT_OK(in_.FillWith<uint8_t>(1));
  ASSERT_OK(Run());
  ASSERT_OK(execution_->Rebind({{in_, out_}, {out_, in_}}));
  ASSERT_OK(Run());
  EXPECT_EQ(LastByte(in_), 7);
  EXPECT_EQ(LastByte(out_), 4);
}

TEST_F(RebindTest, WhatThePlanHasPlacedOrLentIsNotRebound) {
  const Buffer other = Make(cpu_, kRowBytes);
  for (const OutputPlacement placement : {OutputPlacement::kReused, OutputPlacement::kInArena}) {
    MakeExecution(InputUse::kDonated, placement);
    EXPECT_CODE(FailedPrecondition, execution_->Rebind({{in_, other}}));
    EXPECT_CODE(FailedPrecondition, execution_->Rebind({{out_, other}}));
  }
  MakeExecution(InputUse::kKept, OutputPlacement::kOwn);
  EXPECT_CODE(FailedPrecondition, execution_->Rebind({{in_, placed_.arenas[0]}}));
  EXPECT_CODE(InvalidArgument, execution_->Rebind({{in_, Make(cpu_, kRowBytes / 2)}}));
  EXPECT_CODE(InvalidArgument, execution_->Rebind({{in_, other}, {out_, other}}));
  ASSERT_OK(other.Seal());
  EXPECT_CODE(FailedPrecondition, execution_->Rebind({{out_, other}}));
  EXPECT_OK(execution_->Rebind({{in_, other}}));
}

// The bytes are those of several storages in each run, and the runs follow each other at once.
TEST_F(RebindTest, RunsWithLentMemoryFollowEachOther) {
  for (const OutputPlacement placement : {OutputPlacement::kReused, OutputPlacement::kInArena}) {
    MakeExecution(InputUse::kDonated, placement);
    for (uint8_t i = 0; i < 8; ++i) {
      ASSERT_OK(in_.FillWith<uint8_t>(i));  // donated: written again for each run
      ASSERT_OK(Run());
      if (i % 2 == 0) {
        EXPECT_EQ(LastByte(out_), i + 3);
      }
    }
    EXPECT_EQ(LastByte(out_), 7 + 3);
    execution_.reset();
    placed_ = {};
  }
}

}  // namespace
}  // namespace tenure
