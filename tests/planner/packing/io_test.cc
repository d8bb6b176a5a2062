#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/io/json.h"
#include "testing.h"

namespace tenure::packing {
namespace {

struct Bad {
  const char* name;
  const char* text;
  const char* message;
};

class BadCsv : public testing::TestWithParam<Bad> {};

TEST_P(BadCsv, IsOneClearLine) {
  const auto table = ParseCsv(GetParam().text, "f.csv");
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(table.status().message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Csv, BadCsv,
    testing::Values(
        Bad{"Empty", "", "f.csv: line 1: no header line"},
        Bad{"NoSize", "id,lower,upper\n",
            "f.csv: line 1: no column 'size' in the header; needed are lower, upper (or end) and "
            "size"},
        Bad{"Twice", "lower,start,upper,size\n",
            "f.csv: line 1, column 2 (start): says the same as column 1 (lower)"},
        Bad{"Reversed", "id,lower,upper,size\na,0,1,1\n\nb,5,5,1\n",
            "f.csv: line 4, column 3 (upper): '5' ends the life before it begins (lower is 5); "
            "upper "
            "must be above lower"},
        Bad{"Negative", "id,lower,upper,size\na,0,1,-5\n",
            "f.csv: line 2, column 4 (size): '-5' is negative"},
        Bad{"Large", "id,lower,upper,size\na,0,1,99999999999999999999\n",
            "f.csv: line 2, column 4 (size): '99999999999999999999' does not fit into 64 bits"},
        Bad{"Word", "id,lower,upper,size\na,zero,1,5\n",
            "f.csv: line 2, column 2 (lower): 'zero' is not a whole number"},
        Bad{"NoNumber", "id,lower,upper,size\na,,1,5\n",
            "f.csv: line 2, column 2 (lower): '' is empty; a number is needed"},
        Bad{"Fields", "id,lower,upper,size\na,0,1\n",
            "f.csv: line 2: has 3 fields, the header has 4"},
        Bad{"Quote", "id,lower,upper,size\n\"a,0,1,2\n",
            "f.csv: line 2: a quote is not closed on this line"},
        Bad{"Alignment", "id,lower,upper,size,alignment\na,0,1,2,0\n",
            "f.csv: line 2, column 5 (alignment): '0' is no alignment; use 1 for none"},
        Bad{"Fixed", "id,lower,upper,size,alignment,offset\na,0,1,2,4,6\n",
            "f.csv: line 2, column 6 (offset): '6' is not a multiple of the alignment 4"},
        Bad{"Gap", "id,lower,upper,size,gaps\na,0,9,2,1-3 5\n",
            "f.csv: line 2, column 5 (gaps): '1-3 5' has a part '5' that is not first-last or "
            "first-last@begin:end"},
        Bad{"GapOutside", "id,lower,upper,size,gaps\na,0,9,2,1-10\n",
            "f.csv: line 2, column 5 (gaps): '1-10' has a part '1-10' that is empty or outside the "
            "life"},
        Bad{"NoOffset", "id,lower,upper,size,offset\na,0,1,2,18446744073709551615\n",
            "f.csv: line 2, column 5 (offset): '18446744073709551615' is no offset (2^64 - 1 "
            "stands for none); leave it empty for none"},
        Bad{"NoHint", "id,lower,upper,size,hint\na,0,1,2,18446744073709551615\n",
            "f.csv: line 2, column 5 (hint): '18446744073709551615' is no offset (2^64 - 1 "
            "stands for none); leave it empty for none"},
        Bad{"Arenas", "id,lower,upper,size,arena\na,0,1,2,4095\nb,0,1,2,4096\n",
            "f.csv: line 3, column 5 (arena): '4096' is beyond the largest arena number, 4095"},
        Bad{"OldMac", "id,lower,upper,size\ra,0,1,2\r",
            "f.csv: line 1: lines end with CR alone, as on old Macs; end them with LF or CRLF"},
        Bad{"Sum", "id,lower,upper,size\na,0,1,4611686018427387904\nb,0,1,1\n",
            "f.csv: item 1: the sizes of the items up to this one, rounded up to their alignment, "
            "exceed 2^62 bytes"}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Csv, ReadsColumnsInAnyOrderAndKeepsTheRest) {
  const auto table = ParseCsv(
      "\xEF\xBB\xBFsize,note,end,buffer,start,alignment,gaps,offset,hint\r\n"
      "10,\"a, \"\"b\"\"\",4,x,0,,,,7\r\n"
      "\r\n"
      "20,,8,\"y,1\",-3,4,\"-2--1 3-3@5:6\",8,-1\r\n",
      "f.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  const Problem& p = table->problem;
  ASSERT_EQ(p.items.size(), 2u);
  EXPECT_EQ(p.items[0], (Item{.first = 0, .last = 5, .size = 10, .hint = 7}));
  EXPECT_EQ(p.items[1], (Item{.first = -3, .last = 9, .size = 20, .alignment = 4, .fixed = 8}));
  ASSERT_EQ(p.gaps.size(), 2u);
  EXPECT_EQ(p.gaps[0], (Gap{.item = 1, .first = -2, .last = 0}));
  EXPECT_EQ(p.gaps[1], (Gap{.item = 1, .first = 3, .last = 4, .window_begin = 5, .window_end = 6}));
  EXPECT_EQ(table->Id(0), "x");
  EXPECT_EQ(table->Id(1), "y,1");
  Packing packing;
  packing.offsets = {28, 8};
  const auto text = FormatCsv(*table, packing);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text,
            "size,note,end,buffer,start,alignment,gaps,offset,hint\r\n"
            "10,\"a, \"\"b\"\"\",4,x,0,,,28,7\r\n"
            "20,,8,\"y,1\",-3,4,\"-2--1 3-3@5:6\",8,-1\r\n");
}

TEST(Csv, AppendsTheOffsetWhereThereIsNoSuchColumn) {
  const auto table = ParseCsv("id,lower,upper,size,extra\nb1,0,3,4,?\nb2,3,9,4,!", "f.csv");
  ASSERT_TRUE(table.ok()) << table.status();
  Packing packing;
  packing.offsets = {0, 12};
  EXPECT_EQ(*FormatCsv(*table, packing),
            "id,lower,upper,size,extra,offset\nb1,0,3,4,?,0\nb2,3,9,4,!,12\n");
  packing.arena_of = {0, 1};
  EXPECT_EQ(*FormatCsv(*table, packing),
            "id,lower,upper,size,extra,offset,arena\nb1,0,3,4,?,0,0\nb2,3,9,4,!,12,1\n");
  packing.offsets.pop_back();
  EXPECT_FALSE(FormatCsv(*table, packing).ok());
}

TEST(Csv, CarriedColumnsAreListedAndLookedAt) {
  const auto table =
      ParseCsv("id,Lower,lower,aligment,upper,size,note,hnit,gap,area,kind,ofset\n", "f");
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ(table->carried_columns, (std::vector<std::string>{"Lower", "aligment", "note", "hnit",
                                                              "gap", "area", "kind", "ofset"}));
  const auto meant = [](const CsvTable& of) {
    std::string text;
    for (const MeantColumn& doubt : MeantColumns(of)) {
      absl::StrAppend(&text, doubt.column, ":", doubt.meant, " ");
    }
    return text;
  };
  EXPECT_EQ(meant(*table), "aligment:alignment hnit:hint gap:gaps area:arena ofset:offset ");
  const auto both = ParseCsv("start,end,size,hint,hnit,ID,GAPS,algnmnt,alignm\n", "f");
  ASSERT_TRUE(both.ok()) << both.status();
  EXPECT_EQ(meant(*both), "ID:id GAPS:gaps algnmnt:alignment ");
}

// Each unknown column is compared with those that are there, so it must not be read again each time.
TEST(Csv, ManyColumnsAreCarriedAlong) {
  constexpr int kColumns = 30000;
  std::string header = "id,lower,upper,size", row = "0,0,1,4";
  for (int c = 0; c < kColumns; ++c) {
    absl::StrAppend(&header, ",c", c);
    row += ",1";
  }
  const auto table = ParseCsv(absl::StrCat(header, ",aligment\n", row, ",1\n"), "f");
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_EQ(table->carried_columns.size(), size_t{kColumns} + 1);
  const std::vector<MeantColumn> meant = MeantColumns(*table);
  ASSERT_EQ(meant.size(), 1u);
  EXPECT_EQ(meant[0].column, "aligment");
}

TEST(Csv, WritesWhatItReads) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Problem problem =
        RandomProblem({.alignment = true, .fixed = true, .gaps = true, .windows = true}, seed);
    // A gap that keeps no bytes has no window to be written.
    for (Gap& gap : problem.gaps) {
      if (gap.window_begin == gap.window_end) gap.window_begin = gap.window_end = 0;
    }
    const auto text = FormatCsv(problem);
    ASSERT_TRUE(text.ok());
    const auto table = ParseCsv(*text, "f.csv");
    ASSERT_TRUE(table.ok()) << table.status() << *text;
    EXPECT_EQ(table->problem, problem);
  }
}

TEST(Csv, RefusesWhatItCannotSay) {
  Problem problem = RandomProblem({.items = 3}, 1);
  problem.arenas.push_back({.limit = 5});
  EXPECT_FALSE(FormatCsv(problem).ok());
}

TEST(Csv, FilesThatAreNotThereAreNamed) {
  const auto table = ReadCsv("/nonexistent/a.csv");
  EXPECT_EQ(table.status().code(), absl::StatusCode::kNotFound);
  EXPECT_NE(table.status().message().find("/nonexistent/a.csv"), std::string::npos);
}

TEST(Json, WritesWhatItReads) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const Features features = seed % 2 == 0 ? Features{.alignment = true,
                                                       .fixed = true,
                                                       .gaps = true,
                                                       .windows = true,
                                                       .arenas = true,
                                                       .adjacency = true}
                                            : Features{.arenas = true, .order = true};
    Problem problem = RandomProblem(features, seed);
    for (Gap& gap : problem.gaps) {
      if (gap.window_begin == gap.window_end) gap.window_begin = gap.window_end = 0;
    }
    problem.capacity = seed % 3 == 0 ? 100 : kUnlimited;
    const auto read = ParseProblemJson(FormatProblemJson(problem), "f.json");
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, problem);
  }
}

TEST(Json, PackingsSurvive) {
  Packing packing;
  packing.outcome = Outcome::kFeasible;
  packing.deadline_hit = true;
  packing.offsets = {0, 8};
  packing.arena_of = {1, 0};
  packing.heights = {16, 8};
  packing.height = 24;
  packing.lower_bound = 20;
  const auto read = ParsePackingJson(FormatPackingJson(packing), "f.json");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->outcome, packing.outcome);
  EXPECT_TRUE(read->deadline_hit);
  EXPECT_EQ(read->offsets, packing.offsets);
  EXPECT_EQ(read->arena_of, packing.arena_of);
  EXPECT_EQ(read->heights, packing.heights);
  EXPECT_EQ(read->height, packing.height);
  EXPECT_EQ(read->lower_bound, packing.lower_bound);
}

TEST(Csv, IsAsTolerantAsOthers) {
  // Names of columns as MiniMalloc's converter takes them, blanks around fields, a sign, no end of
  // the last line, blank lines.
  const char* const kForms[] = {
      "id,lower,upper,size\na,0,5,8\nb,3,9,16\n",
      "buffer_id,start,end,size\na,0,4,8\nb,3,8,16",
      "upper,size,buffer,begin\r\n5,8,a,0\r\n9,16,b,3\r\n\r\n",
      "id , lower , upper , size\n a , 0 , 5 , +8 \n\nb,3,9,16\n\n\n",
      "id,lower,upper,size,alignment,gaps,offset,hint\na,0,5,8,1,,-1,\nb,3,9,16,1, ,-1,-1\n",
  };
  for (const char* form : kForms) {
    const auto table = ParseCsv(form, "f.csv");
    ASSERT_TRUE(table.ok()) << table.status() << "\n" << form;
    ASSERT_EQ(table->problem.items.size(), 2u) << form;
    EXPECT_EQ(table->problem.items[0], (Item{.first = 0, .last = 5, .size = 8})) << form;
    EXPECT_EQ(table->problem.items[1], (Item{.first = 3, .last = 9, .size = 16})) << form;
    EXPECT_EQ(table->Id(0), "a");
    EXPECT_EQ(table->Id(1), "b");
  }
}

// What follows a zero byte is text, too.
TEST(Json, NothingHidesBehindAZeroByte) {
  const std::string text = std::string("{\"items\": []}") + '\0' + "{\"items\": 7}";
  EXPECT_EQ(ParseProblemJson(text, "f.json").status(),
            absl::InvalidArgumentError("f.json: not JSON: there is a zero byte at byte 13"));
  const std::string packing = std::string("{\"status\": \"none\"}") + '\0';
  EXPECT_FALSE(ParsePackingJson(packing, "f.json").ok());
  EXPECT_TRUE(ParsePackingJson(packing.substr(0, packing.size() - 1), "f.json").ok());
}

class BadJson : public testing::TestWithParam<Bad> {};

TEST_P(BadJson, IsOneClearLine) {
  const auto problem = ParseProblemJson(GetParam().text, "f.json");
  ASSERT_FALSE(problem.ok());
  EXPECT_EQ(problem.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(problem.status().message().substr(0, std::string(GetParam().message).size()),
            GetParam().message);
  EXPECT_EQ(problem.status().message().find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(
    Json, BadJson,
    testing::Values(
        Bad{"Empty", "", "f.json: not JSON: "},
        Bad{"Cut", "{\"items\": [{\"fi", "f.json: not JSON: "},
        Bad{"Array", "[1]", "f.json: the text is not a JSON object"},
        Bad{"NoItems", "{}", "f.json: items: is missing"},
        Bad{"Missing", "{\"items\": [{\"first\": 0, \"last\": 1}]}",
            "f.json: items[0].size: is missing"},
        Bad{"Negative", "{\"items\": [{\"first\": 0, \"last\": 1, \"size\": -1}]}",
            "f.json: items[0].size: is negative"},
        Bad{"Fraction", "{\"items\": [{\"first\": 0, \"last\": 1, \"size\": 1.5}]}",
            "f.json: items[0].size: is not a whole number"},
        Bad{"Reversed", "{\"items\": [{\"first\": 1, \"last\": 1, \"size\": 1}]}",
            "f.json: item 0: its life [1, 1) is empty"},
        Bad{"Typo", R"({"items": [{"first": 0, "last": 1, "size": 1, "algnment": 64}]})",
            "f.json: items[0].algnment: is not known; there are first, last, size, alignment, "
            "fixed, hint"},
        Bad{"TypoAtTheTop", R"({"items": [], "gapz\n": []})",
            "f.json: gapz : is not known; there are items, gaps, arenas, bindings, adjacent, "
            "order, capacity"},
        Bad{"TypoInAGap",
            R"({"items": [], "gaps": [{"item": 0, "first": 0, "last": 1, "windows": [0, 1]}]})",
            "f.json: gaps[0].windows: is not known; there are item, first, last, window"},
        Bad{"TypoInAnArena", R"({"items": [], "arenas": [{}, {"limits": 1}]})",
            "f.json: arenas[1].limits: is not known; there are limit"},
        Bad{"TypoInTheOrder", R"({"items": [], "order": {"steps": 1, "edge": []}})",
            "f.json: order.edge: is not known; there are steps, edges, uses"},
        Bad{"NoOffset",
            R"({"items": [{"first": 0, "last": 1, "size": 1, "fixed": 18446744073709551615}]})",
            "f.json: items[0].fixed: is 2^64 - 1, which stands for none; leave it out"},
        Bad{"NoLimit", R"({"items": [], "arenas": [{"limit": 18446744073709551615}]})",
            "f.json: arenas[0].limit: is 2^64 - 1, which stands for none; leave it out"},
        Bad{"NoCapacity", R"({"items": [], "capacity": 18446744073709551615})",
            "f.json: problem.capacity: is 2^64 - 1, which stands for none; leave it out"},
        Bad{"KeyTwice", R"({"items": [{"first": 0, "last": 1, "size": 1, "size": 2}]})",
            "f.json: the key size stands twice in one object"},
        Bad{"KeyTwiceAtTheTop", R"({"items": [], "arenas": [{"limit": 1}], "items": []})",
            "f.json: the key items stands twice in one object"},
        Bad{"TooManySteps", R"({"items": [], "order": {"steps": 4294967295}})",
            "f.json: partial order: 4294967295 steps; there can be at most 16777216"},
        Bad{"Pair", "{\"items\": [], \"bindings\": [[1]]}", "f.json: bindings[0]: is not a pair"},
        Bad{"Cycle", "{\"items\": [], \"order\": {\"steps\": 2, \"edges\": [[0,1],[1,0]]}}",
            "f.json: partial order: its edges form a cycle"}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace tenure::packing
