// Flags of the subcommands. What the whole command makes of them is cli_test.py's.

#include "tenure/tools/cli/flags.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tenure/tools/cli/output.h"

namespace tenure::cli {
namespace {

TEST(ParseBytesTest, UnitsOf1024) {
  const std::vector<std::pair<std::string, uint64_t>> good = {{"0", 0},
                                                              {"4096", 4096},
                                                              {"64K", 65536},
                                                              {"64k", 65536},
                                                              {"64KB", 65536},
                                                              {"64KiB", 65536},
                                                              {"16MiB", 1 << 24},
                                                              {"2G", 1ull << 31},
                                                              {"1T", 1ull << 40},
                                                              {"7B", 7},
                                                              {"007", 7},
                                                              {"18446744073709551615", ~0ull},
                                                              {"16777215T", 16777215ull << 40}};
  for (const auto& [text, bytes] : good) {
    absl::StatusOr<uint64_t> parsed = ParseBytes(text);
    ASSERT_TRUE(parsed.ok()) << text << ": " << parsed.status();
    EXPECT_EQ(*parsed, bytes) << text;
  }
  for (const char* bad : {"", "K", "-1", "+1", "1.5G", "1 K", "1X", "1KK", "1iB", "0x10", "1e6",
                          "18446744073709551616", "16777216T", "99999999999999999999999T"}) {
    EXPECT_EQ(ParseBytes(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

struct Values {
  std::string file, mode = "a";
  bool json = false;
  int threads = 2;
  Bytes bytes{5};
  std::optional<Bytes> limit;
  std::optional<Count> nodes;
  absl::Duration explain = absl::Seconds(2);
  PowerOfTwo alignment{64};
  std::optional<absl::Duration> deadline;
  MemorySpace space;
};

FlagSet Flags(Values& values) {
  FlagSet set("test", "Does nothing, at such length that the sentence needs more than one line.");
  set.Add("file", "FILE", "what is read", &values.file, FlagSet::kRequired);
  set.Add("mode", "", "how", &values.mode, FlagSet::kOptional, {"a", "b"});
  set.Add("json", "", "for machines", &values.json);
  set.Add("threads", "N", "how many", &values.threads);
  set.Add("bytes", "BYTES", "how much", &values.bytes);
  set.Add("limit", "BYTES", "at most", &values.limit);
  set.Add("alignment", "BYTES", "of addresses", &values.alignment);
  set.Add("nodes", "N", "how many", &values.nodes);
  set.Add("explain", "TIME", "how long", &values.explain);
  set.Add("deadline", "TIME", "until when", &values.deadline);
  set.Add("space", "SPACE", "where", &values.space);
  set.AddExample("tenure test --file=x");
  return set;
}

TEST(FlagSetTest, ReadsEveryKindInBothForms) {
  Values values;
  FlagSet set = Flags(values);
  const std::vector<std::string> args = {
      "--file",         "a b",       "--mode=b",       "--json", "--threads=7",
      "--bytes=2K",     "--limit=0", "--alignment",    "1",      "--deadline=1m30s",
      "--space=cuda:3", "--nodes=0", "--explain=250ms"};
  EXPECT_EQ(set.Parse(args), std::nullopt);
  EXPECT_EQ(values.file, "a b");
  EXPECT_EQ(values.mode, "b");
  EXPECT_TRUE(values.json);
  EXPECT_EQ(values.threads, 7);
  EXPECT_EQ(values.bytes.value, 2048u);
  ASSERT_TRUE(values.limit.has_value());
  EXPECT_EQ(values.limit->value, 0u);
  EXPECT_EQ(values.alignment.value, 1u);
  EXPECT_EQ(values.deadline, absl::Seconds(90));
  ASSERT_TRUE(values.nodes.has_value());
  EXPECT_EQ(values.nodes->value, 0u);
  EXPECT_EQ(values.explain, absl::Milliseconds(250));
  EXPECT_EQ(values.space.ToString(), "cuda:3");
  EXPECT_TRUE(set.Given("mode"));
  EXPECT_FALSE(set.Given("nothing"));
}

TEST(FlagSetTest, DefaultsStayAndFalseIsFalse) {
  Values values;
  FlagSet set = Flags(values);
  const std::vector<std::string> args = {"--file==", "--json=false"};
  EXPECT_EQ(set.Parse(args), std::nullopt);
  EXPECT_EQ(values.file, "=");
  EXPECT_FALSE(values.json);
  EXPECT_EQ(values.threads, 2);
  EXPECT_FALSE(values.limit.has_value());
  EXPECT_FALSE(values.nodes.has_value());
  EXPECT_EQ(values.explain, absl::Seconds(2));
  EXPECT_FALSE(set.Given("mode"));
}

TEST(FlagSetTest, EveryMistakeIsOneLineAndStatus2) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{}, "--file=FILE is missing: what is read"},
      {{"--file=x", "y"}, "unexpected 'y'"},
      {{"--file=x", "-j"}, "unexpected '-j'"},
      {{"--file=x", "--"}, "unexpected '--'"},
      {{"--file"}, "a value is missing"},
      {{"--file="}, "a value is missing"},
      {{"--file", "--json"}, "a value is missing"},
      {{"--file=x", "--nope=1"}, "there is no --nope"},
      {{"--file=x", "--file=y"}, "--file is given twice"},
      {{"--file=x", "--mode=c"}, "--mode=c: choose one of a, b"},
      {{"--file=x", "--json=maybe"}, "say true or false"},
      {{"--file=x", "--threads=0"}, "whole number of 1 or more"},
      {{"--file=x", "--threads=99999999999"}, "whole number of 1 or more"},
      {{"--file=x", "--bytes=ten"}, "'ten' is no number of bytes"},
      {{"--file=x", "--limit=99999999T"}, "more than 2^64 - 1 bytes"},
      {{"--file=x", "--alignment=24"}, "no power of two"},
      {{"--file=x", "--alignment=0"}, "no power of two"},
      {{"--file=x", "--deadline=soon"}, "no length of time"},
      {{"--file=x", "--deadline=-1s"}, "no length of time"},
      {{"--file=x", "--nodes=-1"}, "no whole number below 2^64"},
      {{"--file=x", "--nodes=1K"}, "no whole number below 2^64"},
      {{"--file=x", "--nodes=18446744073709551616"}, "no whole number below 2^64"},
      {{"--file=x", "--explain=2"}, "no length of time"},
      {{"--file=x", "--space=moon"}, "memory space 'moon'"},
      {{"--file=x", "--two\nlines"}, "there is no --two lines"},
  };
  for (const auto& [args, message] : wrong) {
    Values values;
    FlagSet set = Flags(values);
    testing::internal::CaptureStderr();
    const std::optional<int> code = set.Parse(args);
    const std::string printed = testing::internal::GetCapturedStderr();
    EXPECT_EQ(code, kUsage) << message;
    EXPECT_TRUE(absl::StartsWith(printed, "tenure test: ")) << printed;
    EXPECT_TRUE(absl::StrContains(printed, message)) << printed;
    EXPECT_EQ(printed.find('\n'), printed.size() - 1) << printed;
  }
}

TEST(FlagSetTest, HelpNamesEverythingAndIsNarrow) {
  Values values;
  FlagSet set = Flags(values);
  set.AddParagraph("A paragraph.");
  set.AddJsonKey("key", "what it means");
  const std::string help = set.Help();
  for (const char* part :
       {"Usage: tenure test --file=FILE [", "--mode=a|b", "(default: a)", "(required)",
        "(default: 64)", "(default: 2s)", "(default: cpu)", "A paragraph.", "  key ",
        "tenure test --file=x", "Exit status: 0 done"}) {
    EXPECT_TRUE(absl::StrContains(help, part)) << part << " is not in\n" << help;
  }
  for (std::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(line.size(), 90u) << line;
}

}  // namespace
}  // namespace tenure::cli
