#include "tenure/allocator/event.h"

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace tenure {
namespace {

using Kind = Event::Kind;

std::vector<Event> Examples() {
  return {{.kind = Kind::kAllocate,
           .time_ns = 5,
           .thread = 1,
           .space = MemorySpace::Disk("/tmp/a,b"),
           .allocation = AllocationId(7),
           .storage = StorageId(3),
           .size_bytes = ~uint64_t{0},
           .alignment_bytes = 64,
           .zeroed = true,
           .imported = true,
           .name = "a,b \"c\"\r\nd"},
          {.kind = Kind::kCopy,
           .status = absl::StatusCode::kDataLoss,
           .time_ns = 6,
           .thread = 2,
           .space = MemorySpace::Cpu(),
           .allocation = AllocationId(7),
           .storage = StorageId(3),
           .source_allocation = AllocationId(8),
           .source_storage = StorageId(4),
           .size_bytes = 10,
           .offset_bytes = 20,
           .source_offset_bytes = 30},
          {.kind = Kind::kPlan, .time_ns = 7, .thread = 1, .size_bytes = 9, .name = "\"quoted\""}};
}

TEST(Event, CsvIsReadBackAsItWasWritten) {
  std::ostringstream out;
  WriteCsv(Examples(), out);
  std::istringstream in(out.str());
  std::vector<uint64_t> lines;
  auto read = ReadCsv(in, &lines);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, Examples());
  EXPECT_EQ(lines, (std::vector<uint64_t>{2, 4, 5}));  // the first name spreads over two lines
}

TEST(Event, EveryKindHasANameThatCanBeReadBack) {
  for (int i = 0; i <= static_cast<int>(Kind::kPlan); ++i) {
    const Event event{.kind = static_cast<Kind>(i)};
    std::istringstream in(absl::StrCat(EventCsvHeader(), "\n", ToCsv(event), "\n"));
    auto read = ReadCsv(in);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, std::vector<Event>{event}) << EventKindName(event.kind);
  }
}

TEST(Event, LogsOfOtherSystemsLineEndsAndEmptyLinesAreRead) {
  std::istringstream in(absl::StrCat(EventCsvHeader(), "\r\n\r\nfree,OK,1,1,cpu,7,3,0,0,1,1,0,0,0,",
                                     "0,\"x\"\r\n\nfree,OK,1,1,cpu,7,3,0,0,1,1,0,0,0,0,"));
  auto read = ReadCsv(in);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->size(), 2u);
}

TEST(Event, NamesThatAreNotTextStayValid) {
  const Event event{
      .kind = Kind::kPlan,
      .thread = 1,
      .name = std::string("a\0b\xff\xc3\xa9\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80", 15)};
  std::ostringstream csv, json, empty;
  WriteCsv({event}, csv);
  std::istringstream in(csv.str());
  auto read = ReadCsv(in);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(absl::StartsWith((*read)[0].name,
                               "a\xef\xbf\xbd"
                               "b\xff"));
  WriteJson({event}, json);
  std::string replaced;
  for (int i = 0; i < 9; ++i) replaced += "\xef\xbf\xbd";
  EXPECT_TRUE(absl::StrContains(
      json.str(), absl::StrCat("\"name\": \"a\\u0000b\xef\xbf\xbd\xc3\xa9", replaced, "\"}")))
      << json.str();
  WriteJson({}, empty);
  EXPECT_EQ(empty.str(), "[\n]\n");
}

TEST(Event, BrokenLogsNameTheLine) {
  const std::string header = absl::StrCat(EventCsvHeader(), "\n");
  const std::string good = "allocate,OK,1,1,cpu,7,3,0,0,4096,64,0,0,1,0,x\n";
  struct Case {
    std::string text, line, why;
  };
  for (const Case& c :
       {Case{"", "line 1", "begins with"}, Case{"size,offset\n", "line 1", "begins with"},
        Case{header + good + "allocate,OK,1\n", "line 3", "3 fields"},
        Case{header + "walk,OK,1,1,cpu,7,3,0,0,4096,64,0,0,1,0,x\n", "line 2", "'walk'"},
        Case{header + "free,GOOD,1,1,cpu,7,3,0,0,4096,64,0,0,1,0,x\n", "line 2", "'GOOD'"},
        Case{header + "free,OK,1,1,moon,7,3,0,0,4096,64,0,0,1,0,x\n", "line 2", "moon"},
        Case{header + "free,OK,-1,1,cpu,7,3,0,0,4096,64,0,0,1,0,x\n", "line 2", "'-1'"},
        Case{header + "free,OK,1,1,cpu,7,3,0,0,18446744073709551616,64,0,0,1,0,x\n", "line 2",
             "18446744073709551616"},
        Case{header + "free,OK,1,4294967296,cpu,7,3,0,0,1,64,0,0,1,0,x\n", "line 2", "4294967295"},
        Case{header + "free,OK,1,1,cpu,7,3,0,0,4096,64,0,0,2,0,x\n", "line 2", "'2'"},
        Case{header + good + "free,OK,1,1,cpu,7,3,0,0,4,64,0,0,0,0,\"x\n", "line 3", "quote"},
        Case{header + "free,OK,1,1,cpu,7,3,0,0,4,64,0,0,0,0,\"x\"y\n", "line 2", "quote"},
        Case{header + "free,OK,1,1,cpu,7,3,0,0,4,64,0,0,0,0,x\"y\n", "line 2", "quote"},
        Case{header + good + good + std::string("fr\0ee", 5), "line 4", "zero byte"}}) {
    std::istringstream in(c.text);
    auto read = ReadCsv(in);
    ASSERT_TRUE(absl::IsInvalidArgument(read.status())) << c.text;
    EXPECT_TRUE(absl::StrContains(read.status().message(), c.line)) << read.status();
    EXPECT_TRUE(absl::StrContains(read.status().message(), c.why)) << read.status();
  }
}

}  // namespace
}  // namespace tenure
