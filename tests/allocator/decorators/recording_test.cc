#include "tenure/allocator/decorators/recording.h"

#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
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
  const std::vector<RecordedEvent> log = recording.Log();
  ASSERT_EQ(log.size(), 7u);
  const Kind kinds[] = {Kind::kAllocate, Kind::kAllocateFailed, Kind::kCopyIn, Kind::kCopyOut,
                        Kind::kCopy,     Kind::kFill,           Kind::kFree};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(log[i].kind, kinds[i]) << i;
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
  EXPECT_FALSE(log[1].allocation);
  EXPECT_EQ(log[2].offset_bytes, 10u);
  EXPECT_EQ(log[2].size_bytes, 20u);
  EXPECT_EQ(log[6].name, "weights");
}

TEST(RecordingAllocator, TheLogIsBounded) {
  RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.log_events = 4});
  for (uint64_t i = 1; i <= 5; ++i) {
    recording.Deallocate(*recording.Allocate({.size_bytes = i}));
  }
  const std::vector<RecordedEvent> log = recording.Log();
  ASSERT_EQ(log.size(), 4u);
  EXPECT_EQ(log[0].size_bytes, 4u);
  EXPECT_EQ(log[3].size_bytes, 5u);
  EXPECT_EQ(recording.dropped_events(), 6u);
  RecordingAllocator without(std::make_unique<CpuAllocator>(), {.log_events = 0});
  without.Deallocate(*without.Allocate({.size_bytes = 1}));
  EXPECT_TRUE(without.Log().empty());
}

TEST(RecordingAllocator, StreamsWhatCanBeReadBack) {
  std::ostringstream out;
  std::vector<RecordedEvent> log;
  {
    RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.stream = &out});
    auto a = recording.Allocate({.size_bytes = 10, .name = "a,b \"c\"\nd"});
    auto b = recording.Allocate({.size_bytes = 20, .zeroed = true});
    recording.Deallocate(*a);
    recording.Deallocate(*b);
    log = recording.Log();
  }
  std::istringstream in(out.str());
  auto read = ReadCsv(in);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, log);
  std::ostringstream again;
  WriteCsv(*read, again);
  EXPECT_EQ(again.str(), out.str());
  std::ostringstream json;
  WriteJson(*read, json);
  EXPECT_NE(json.str().find("\"name\": \"a,b \\\"c\\\"\\u000ad\""), std::string::npos)
      << json.str();
  std::ostringstream empty;
  WriteJson({}, empty);
  EXPECT_EQ(empty.str(), "[\n]\n");
}

TEST(RecordingFormat, BadLogsNameTheLine) {
  const std::string header(RecordingCsvHeader());
  const std::string good = "allocate,1,1,7,3,4096,64,0,1,0,x\n";
  struct Case {
    std::string text;
    std::string line;
  };
  for (const Case& c : {Case{"", "line 1"}, Case{"size,offset\n", "line 1"},
                        Case{header + "\n" + good + "allocate,1\n", "line 3"},
                        Case{header + "\nfrobnicate,1,1,7,3,4096,64,0,1,0,x\n", "line 2"},
                        Case{header + "\nfree,-1,1,7,3,4096,64,0,1,0,x\n", "line 2"},
                        Case{header + "\nfree,1,1,7,3,18446744073709551616,64,0,1,0,x\n", "line 2"},
                        Case{header + "\nfree,1,1,7,3,4096,64,0,2,0,x\n", "line 2"},
                        Case{header + "\n" + good + "free,1,1,7,3,4,64,0,0,0,\"x\n", "line 3"}}) {
    std::istringstream in(c.text);
    auto read = ReadCsv(in);
    ASSERT_TRUE(absl::IsInvalidArgument(read.status())) << c.text;
    EXPECT_NE(read.status().message().find(c.line), std::string::npos) << read.status();
  }
  std::istringstream in(header + "\r\n" + good);
  EXPECT_EQ(ReadCsv(in)->size(), 1u);
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
  const auto stats = recording.StatsByName();
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
  EXPECT_EQ(recording.LiveAllocations().size(), 4u);
  for (const auto* made : {&b, &c, &d, &e}) recording.Deallocate(**made);
  for (const auto& s : recording.StatsByName()) EXPECT_EQ(s.live_bytes, 0u) << s.name;
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
  EXPECT_NE(report[1].find("'kv' of 123 bytes, storage 9"), std::string::npos) << report[1];
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
