#include "tenure/allocator/decorators/recording.h"

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/fault_injecting.h"
#include "tenure/allocator/decorators/limiting.h"

namespace tenure {
namespace {

using Kind = Event::Kind;

TEST(RecordingAllocator, LogsWhatHappened) {
  RecordingAllocator recording(
      std::make_unique<LimitingAllocator>(std::make_unique<CpuAllocator>(), 1000), {});
  auto a = recording.Allocate({.size_bytes = 100,
                               .alignment_bytes = 128,
                               .zeroed = true,
                               .name = "weights",
                               .storage = StorageId(5)});
  ASSERT_TRUE(a.ok());
  EXPECT_FALSE(recording.Allocate({.size_bytes = 1001, .name = "too much"}).ok());
  char bytes[100] = {};
  ASSERT_TRUE(recording.CopyIn({&*a, 10, 20}, bytes, {}).ok());
  ASSERT_TRUE(recording.CopyOut(bytes, {&*a, 0, 100}, {}).ok());
  ASSERT_TRUE(recording.CopyWithin({&*a, 1, 2}, {&*a, 3, 2}, {}).ok());
  ASSERT_TRUE(recording.Fill({&*a, 0, 100}, {}, {}).ok());
  recording.Deallocate(*a);
  const std::vector<Event> log = recording.log().Latest();
  ASSERT_EQ(log.size(), 7u);
  const Kind kinds[] = {Kind::kAllocate, Kind::kAllocate, Kind::kCopyIn, Kind::kCopyOut,
                        Kind::kCopy,     Kind::kFill,     Kind::kFree};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(log[i].kind, kinds[i]) << i;
    EXPECT_EQ(log[i].ok(), i != 1) << i;
    EXPECT_EQ(log[i].space, MemorySpace::Cpu()) << i;
    if (i > 0) {
      EXPECT_GE(log[i].time_ns, log[i - 1].time_ns);
    }
    EXPECT_GT(log[i].thread, 0u);
  }
  EXPECT_EQ(log[0].allocation, a->id);
  EXPECT_EQ(log[0].storage, StorageId(5));
  EXPECT_EQ(log[0].size_bytes, 100u);
  EXPECT_EQ(log[0].alignment_bytes, 128u);
  EXPECT_TRUE(log[0].zeroed);
  EXPECT_EQ(log[0].name, "weights");
  EXPECT_EQ(log[1].name, "too much");
  EXPECT_EQ(log[1].status, absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(log[1].allocation);
  EXPECT_EQ(log[2].offset_bytes, 10u);
  EXPECT_EQ(log[2].size_bytes, 20u);
  EXPECT_EQ(log[4].source_allocation, a->id);
  EXPECT_EQ(log[4].source_offset_bytes, 3u);
  EXPECT_EQ(log[6].name, "weights");
}

TEST(RecordingAllocator, CopiesAreLoggedWithTheirOutcome) {
  RecordingAllocator recording(
      std::make_unique<FaultInjectingAllocator>(std::make_unique<CpuAllocator>(),
                                                FaultPlan{.every_nth_copy = 2}),
      {});
  auto a = recording.Allocate({.size_bytes = 8});
  ASSERT_TRUE(a.ok());
  char bytes[8] = {};
  EXPECT_TRUE(recording.CopyIn({&*a, 0, 8}, bytes, {}).ok());
  EXPECT_FALSE(recording.CopyOut(bytes, {&*a, 0, 8}, {}).ok());
  EXPECT_TRUE(recording.CopyWithin({&*a, 0, 4}, {&*a, 4, 4}, {}).ok());
  EXPECT_FALSE(recording.Fill({&*a, 0, 8}, {}, {}).ok());
  recording.Deallocate(*a);
  std::vector<std::pair<Kind, bool>> seen;
  for (const Event& event : recording.log().Latest()) seen.emplace_back(event.kind, event.ok());
  EXPECT_EQ(seen, (std::vector<std::pair<Kind, bool>>{{Kind::kAllocate, true},
                                                      {Kind::kCopyIn, true},
                                                      {Kind::kCopyOut, false},
                                                      {Kind::kCopy, true},
                                                      {Kind::kFill, false},
                                                      {Kind::kFree, true}}));
}

TEST(RecordingAllocator, TheLogIsBounded) {
  RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.log_events = 4});
  for (uint64_t i = 1; i <= 5; ++i) {
    recording.Deallocate(*recording.Allocate({.size_bytes = i}));
  }
  const std::vector<Event> log = recording.log().Latest();
  ASSERT_EQ(log.size(), 4u);
  EXPECT_EQ(log[0].size_bytes, 4u);
  EXPECT_EQ(log[3].size_bytes, 5u);
  EXPECT_EQ(recording.log().dropped_events(), 6u);
  RecordingAllocator without(std::make_unique<CpuAllocator>(), {.log_events = 0});
  without.Deallocate(*without.Allocate({.size_bytes = 1}));
  EXPECT_TRUE(without.log().Latest().empty());
}

TEST(RecordingAllocator, StreamsWhatCanBeReadBack) {
  std::ostringstream out;
  std::vector<Event> log;
  {
    RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.stream = &out});
    auto a = recording.Allocate({.size_bytes = 10, .name = "a,b \"c\"\nd"});
    auto b = recording.Allocate({.size_bytes = 20, .zeroed = true});
    recording.Deallocate(*a);
    recording.Deallocate(*b);
    log = recording.log().Latest();
  }
  std::istringstream in(out.str());
  auto read = ReadCsv(in);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, log);
}

TEST(RecordingAllocator, StatisticsByName) {
  RecordingAllocator recording(
      std::make_unique<LimitingAllocator>(std::make_unique<CpuAllocator>(), 1000),
      {.max_names = 2});
  auto a = recording.Allocate({.size_bytes = 100, .name = "act"});
  auto b = recording.Allocate({.size_bytes = 200, .name = "act"});
  recording.Deallocate(*a);
  auto c = recording.Allocate({.size_bytes = 50, .name = "w"});
  EXPECT_FALSE(recording.Allocate({.size_bytes = 5000, .name = "w"}).ok());
  auto d = recording.Allocate({.size_bytes = 7, .name = "third"});
  auto e = recording.Allocate({.size_bytes = 8, .name = "fourth"});
  const auto stats = recording.log().StatsByName();
  ASSERT_EQ(stats.size(), 3u);
  EXPECT_EQ(stats[0].name, "act");
  EXPECT_EQ(stats[0].allocations, 2u);
  EXPECT_EQ(stats[0].live_count, 1u);
  EXPECT_EQ(stats[0].live_bytes, 200u);
  EXPECT_EQ(stats[0].peak_bytes, 300u);
  EXPECT_EQ(stats[0].total_bytes, 300u);
  EXPECT_EQ(stats[1].name, "w");
  EXPECT_EQ(stats[1].failures, 1u);
  EXPECT_EQ(stats[2].name, "(other)");
  EXPECT_EQ(stats[2].live_bytes, 15u);
  EXPECT_EQ(recording.log().Live().size(), 4u);
  for (const auto* made : {&b, &c, &d, &e}) recording.Deallocate(**made);
  for (const auto& s : recording.log().StatsByName()) EXPECT_EQ(s.live_bytes, 0u) << s.name;
}

TEST(RecordingAllocator, LeaksAreNamedAtTheEnd) {
  std::vector<std::string> report;
  testing::internal::CaptureStderr();  // the upstream complains too
  {
    RecordingAllocator recording(
        std::make_unique<CpuAllocator>(),
        {.report = [&](std::string_view line) { report.emplace_back(line); }});
    auto kept = recording.Allocate({.size_bytes = 123, .name = "kv", .storage = StorageId(9)});
    recording.Deallocate(*recording.Allocate({.size_bytes = 5}));
    ASSERT_TRUE(kept.ok());
  }
  EXPECT_NE(testing::internal::GetCapturedStderr().find("123 bytes are out"), std::string::npos);
  ASSERT_EQ(report.size(), 2u);
  EXPECT_NE(report[0].find("1 allocations of 123 bytes"), std::string::npos) << report[0];
  EXPECT_NE(report[1].find("'kv' of 123 bytes in cpu, storage 9"), std::string::npos) << report[1];
}

TEST(RecordingAllocator, FreedTwiceIsReportedAndHarmless) {
  std::vector<std::string> report;
  RecordingAllocator recording(
      std::make_unique<CpuAllocator>(),
      {.report = [&](std::string_view line) { report.emplace_back(line); }});
  auto a = recording.Allocate({.size_bytes = 64});
  recording.Deallocate(*a);
  recording.Deallocate(*a);
  ASSERT_EQ(report.size(), 1u);
  EXPECT_NE(report[0].find("twice"), std::string::npos);
  EXPECT_EQ(recording.Stats().in_use_count, 0u);
}

}  // namespace
}  // namespace tenure
