#include "tenure/tools/replay/replay.h"

#include <cstring>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/decorator.h"
#include "tenure/allocator/decorators/limiting.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/event_log.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/runtime/buffer.h"
#include "tenure/tests/testing/far_allocator.h"
#include "tenure/tests/testing/status_matchers.h"

namespace tenure {
namespace {

using Kind = Event::Kind;

absl::StatusOr<ReplayProgram> ProgramOf(const std::vector<Event>& events) {
  std::stringstream csv;
  WriteCsv(events, csv);
  return ReplayProgram::Read(csv);
}

Event Allocate(uint64_t id, uint64_t size) {
  return {.kind = Kind::kAllocate, .allocation = AllocationId(id), .size_bytes = size};
}
Event Free(uint64_t id, uint64_t size) {
  return {.kind = Kind::kFree, .allocation = AllocationId(id), .size_bytes = size};
}
Event Move(Kind kind, uint64_t id, uint64_t offset, uint64_t size) {
  return {.kind = kind, .allocation = AllocationId(id), .size_bytes = size, .offset_bytes = offset};
}
Event Copy(uint64_t to, uint64_t from, uint64_t from_offset, uint64_t size) {
  Event event = Move(Kind::kCopy, to, 0, size);
  event.source_allocation = AllocationId(from);
  event.source_offset_bytes = from_offset;
  return event;
}

// Two allocations, everything done to them, one of them never freed.
std::vector<Event> Everything() {
  Event zeroed = Allocate(2, 200);
  zeroed.zeroed = true;
  zeroed.alignment_bytes = 4096;
  return {Allocate(1, 100),
          zeroed,
          Move(Kind::kCopyIn, 1, 0, 100),
          Move(Kind::kFill, 2, 3, 190),
          Copy(2, 1, 10, 90),
          Copy(1, 1, 1, 99),
          Move(Kind::kCopyOut, 2, 100, 100),
          Move(Kind::kCopyOut, 2, 100, 0),
          {.kind = Kind::kFill,
           .status = absl::StatusCode::kDataLoss,
           .allocation = AllocationId(1),
           .size_bytes = 1},
          {.kind = Kind::kPlan, .size_bytes = 7},
          Free(1, 100),
          Allocate(3, 1)};
}

TEST(ReplayProgram, HostileLogsNameTheLine) {
  const uint64_t most = ~uint64_t{0};
  Event odd = Allocate(2, 8);
  odd.alignment_bytes = 3;
  Event nameless = Allocate(0, 8);
  struct Case {
    std::vector<Event> events;
    std::string line, why;
  };
  for (const Case& c : {
           Case{{Free(1, 8)}, "line 2:", "not alive"},
           Case{{Allocate(1, 8), Free(1, 8), Free(1, 8)}, "line 4:", "not alive"},
           Case{{Allocate(1, 8), Free(1, 9)}, "line 3:", "its free says 9"},
           Case{{Allocate(1, 8), Allocate(1, 8)}, "line 3:", "twice"},
           Case{{Allocate(1, most), Allocate(2, 1)}, "line 3:", "2^64"},
           Case{{Allocate(1, 8), odd}, "line 3:", "power of two"},
           Case{{nameless}, "line 2:", "number"},
           Case{{Move(Kind::kCopyIn, 1, 0, 1)}, "line 2:", "not alive"},
           Case{{Allocate(1, 8), Move(Kind::kCopyIn, 1, 8, 1)}, "line 3:", "beyond"},
           Case{{Allocate(1, 8), Move(Kind::kCopyOut, 1, most, 2)}, "line 3:", "beyond"},
           Case{{Allocate(1, 8), Move(Kind::kFill, 1, 1, most)}, "line 3:", "beyond"},
           Case{{Allocate(1, 8), Copy(1, 2, 0, 1)}, "line 3:", "not alive"},
           Case{{Allocate(1, 8), Copy(1, 1, most, 8)}, "line 3:", "beyond"},
       }) {
    const absl::StatusOr<ReplayProgram> program = ProgramOf(c.events);
    EXPECT_CODE(InvalidArgument, program);
    EXPECT_TRUE(absl::StartsWith(program.status().message(), c.line)) << program.status();
    EXPECT_TRUE(absl::StrContains(program.status().message(), c.why)) << program.status();
  }
  EXPECT_CODE(NotFound, ReplayProgram::ReadFile("/no/such/log.csv"));
  EXPECT_CODE(InvalidArgument, ReplayProgram::ReadFile(std::string("log\0.csv", 8)));
}

TEST(Replay, RunsEverythingInEverySpace) {
  const absl::StatusOr<ReplayProgram> program = ProgramOf(Everything());
  ASSERT_OK(program);
  EXPECT_EQ(program->skipped_events(), 3u);
  EXPECT_EQ(program->leaked_count(), 2u);
  EXPECT_EQ(program->peak_bytes(), 300u);
  EXPECT_EQ(program->slots(), 2u);
  CpuAllocator cpu;
  FarAllocator far;
  NullAllocator null;
  CachingAllocator caching(std::make_unique<CpuAllocator>(), {});
  for (Allocator* allocator : {static_cast<Allocator*>(&cpu), static_cast<Allocator*>(&far),
                               static_cast<Allocator*>(&null), static_cast<Allocator*>(&caching)}) {
    const bool has_bytes = allocator != &null;
    const absl::StatusOr<ReplayReport> report = Replay(*program, *allocator, {});
    ASSERT_OK(report);
    EXPECT_EQ(report->Of(Kind::kAllocate).count, 3u);
    EXPECT_EQ(report->Of(Kind::kAllocate).bytes, 301u);
    EXPECT_EQ(report->Of(Kind::kFree).count, 1u);
    EXPECT_EQ(report->Of(Kind::kCopy).count, has_bytes ? 2u : 0u);
    EXPECT_EQ(report->Of(Kind::kFill).bytes, has_bytes ? 190u : 0u);
    EXPECT_EQ(report->left_out, has_bytes ? 0u : 5u);
    EXPECT_EQ(report->bytes_checked, has_bytes && allocator != &far);
    EXPECT_EQ(report->peak_in_use_bytes, 300u);
    EXPECT_GE(report->peak_reserved_bytes, 300u);
    EXPECT_EQ(allocator->Stats().in_use_count, 0u);
    EXPECT_OK(Replay(*program, *allocator, {.check = false}));
  }
}

TEST(Replay, WhatFailsNamesTheLineAndLeavesNothing) {
  const absl::StatusOr<ReplayProgram> program =
      ProgramOf({Allocate(1, 100), Allocate(2, 1000), Free(2, 1000), Free(1, 100)});
  ASSERT_OK(program);
  LimitingAllocator small(std::make_unique<CpuAllocator>(), 500);
  const absl::StatusOr<ReplayReport> report = Replay(*program, small, {});
  EXPECT_CODE(ResourceExhausted, report);
  EXPECT_TRUE(absl::StartsWith(report.status().message(), "line 3:")) << report.status();
  EXPECT_EQ(small.Stats().in_use_count, 0u);
}

TEST(Replay, MoreThanTheHostHasIsRefusedBeforeItIsTaken) {
  const absl::StatusOr<ReplayProgram> program =
      ProgramOf({Allocate(1, uint64_t{1} << 46), Move(Kind::kCopyIn, 1, 0, uint64_t{1} << 46)});
  ASSERT_OK(program);
  CpuAllocator cpu;
  EXPECT_CODE(ResourceExhausted, Replay(*program, cpu, {}));
  NullAllocator null;
  EXPECT_OK(Replay(*program, null, {}));
}

// Wrong in one way each.
enum class Fault { kOtherOwner, kNotZeroed, kLostCopy, kLostFill, kLeak };
class Wrong final : public Decorator {
 public:
  Wrong(std::unique_ptr<Allocator> upstream, Fault fault)
      : Decorator(std::move(upstream)), fault_(fault) {}
  absl::StatusOr<Allocation> Allocate(const AllocationRequest& request) override {
    absl::StatusOr<Allocation> made = upstream()->Allocate(request);
    if (fault_ == Fault::kNotZeroed) std::memset(made->host, 1, 1);
    if (fault_ == Fault::kOtherOwner && first_ != nullptr) std::memset(first_, 1, 1);
    first_ = made->host;
    return made;
  }
  void Deallocate(const Allocation& allocation, absl::Span<const Fence> users) override {
    if (fault_ == Fault::kLeak && !leaked_) {
      leaked_ = allocation;
    } else {
      upstream()->Deallocate(allocation, users);
    }
  }
  absl::StatusOr<Fence> CopyIn(const SubRegion& to, const void* from,
                               const CopyOptions& options) override {
    if (fault_ == Fault::kLostCopy) return Fence();
    return upstream()->CopyIn(to, from, options);
  }
  absl::StatusOr<Fence> Fill(const SubRegion& to, const FillPattern& pattern,
                             const CopyOptions& options) override {
    if (fault_ == Fault::kLostFill) return Fence();
    return upstream()->Fill(to, pattern, options);
  }
  ~Wrong() override {
    if (leaked_) upstream()->Deallocate(leaked_);
  }

 private:
  const Fault fault_;
  void* first_ = nullptr;
  Allocation leaked_;
};

TEST(Replay, AllocatorsThatAreWrongAreFoundOut) {
  const absl::StatusOr<ReplayProgram> program = ProgramOf(Everything());
  ASSERT_OK(program);
  struct Case {
    Fault fault;
    std::string why;
  };
  for (const Case& c : {Case{Fault::kOtherOwner, "line 4: the first bytes"},
                        Case{Fault::kNotZeroed, "line 3: an allocation that was to be zeroed"},
                        Case{Fault::kLostCopy, "line 4: the bytes are not there"},
                        Case{Fault::kLostFill, "line 5: the bytes are not there"},
                        Case{Fault::kLeak, "1 still in use"}}) {
    Wrong wrong(std::make_unique<CpuAllocator>(CpuAllocator::Options{.slab_bytes = 64}), c.fault);
    const absl::StatusOr<ReplayReport> report = Replay(*program, wrong, {});
    ASSERT_FALSE(report.ok()) << c.why;
    EXPECT_TRUE(absl::StrContains(report.status().message(), c.why)) << report.status();
  }
}

// What storages of a whole process do, logged by an observer, can be run again.
TEST(Replay, LogsOfTheProcessCanBeReplayed) {
  std::stringstream csv;
  {
    CpuAllocator cpu;
    EventLog log({.stream = &csv});
    const ScopedObserver watch(&log);
    const Buffer x = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(64), {.name = "x"});
    const Buffer arena =
        *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(128), {.immediate = true});
    const Buffer placed = *Buffer::Create(cpu, DType::kUInt8, Shape::Vector(64));
    ASSERT_OK(placed.storage()->Place(*arena.storage(), 64, true));
    ASSERT_OK(x.FillWith<uint8_t>(1));
    ASSERT_OK(placed.CopyFrom(x));
    ASSERT_EQ(log.Live().size(), 2u);
  }
  const absl::StatusOr<ReplayProgram> program = ReplayProgram::Read(csv);
  ASSERT_OK(program);
  EXPECT_EQ(program->leaked_count(), 0u);
  CpuAllocator cpu;
  const absl::StatusOr<ReplayReport> report = Replay(*program, cpu, {});
  ASSERT_OK(report);
  EXPECT_EQ(report->Of(Kind::kCopy).count, 1u);
  EXPECT_EQ(report->Of(Kind::kFree).count, 2u);
}

TEST(Replay, LogsOfManyThreadsCanBeReplayed) {
  std::stringstream csv;
  {
    RecordingAllocator recording(std::make_unique<CpuAllocator>(),
                                 {.log_events = 0, .stream = &csv});
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&recording] {
        for (uint64_t i = 1; i <= 200; ++i) {
          const absl::StatusOr<Allocation> made = recording.Allocate({.size_bytes = i});
          if (!made.ok()) continue;
          recording.Fill({&*made, 0, i}, {}, {}).IgnoreError();
          recording.Deallocate(*made);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const absl::StatusOr<ReplayProgram> program = ReplayProgram::Read(csv);
  ASSERT_OK(program);
  EXPECT_EQ(program->ops().size(), 2400u);
  CpuAllocator cpu;
  EXPECT_OK(Replay(*program, cpu, {}));
}

TEST(Replay, TotalsDoNotWrap) {
  std::vector<Event> events;
  for (uint64_t id = 1; id <= 4; ++id) {
    events.push_back(Allocate(id, uint64_t{1} << 62));
    events.push_back(Free(id, uint64_t{1} << 62));
  }
  absl::StatusOr<ReplayProgram> program = ProgramOf(events);
  ASSERT_OK(program);
  NullAllocator null;
  absl::StatusOr<ReplayReport> report = Replay(*program, null, {});
  ASSERT_OK(report);
  EXPECT_EQ(report->totals[static_cast<size_t>(Kind::kAllocate)].bytes, ~uint64_t{0});
}

}  // namespace
}  // namespace tenure
