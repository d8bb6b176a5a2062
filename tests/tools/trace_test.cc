#include "tenure/tools/trace/trace.h"

#include <unistd.h>
#include <zlib.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gtest/gtest.h"
#include "tenure/tools/trace/text_file.h"

namespace tenure {
namespace {

// A base, an alias of it with strides, an output; every test of bad input changes one thing of it.
constexpr char kGood[] = R"({
 "format": "tensor-trace-1", "name": "small", "source": "hand", "note": "by hand", "extra": [1, {"ops": [2.5]}],
 "buffers": [
  {"id": 0, "bytes": 96, "dtype": "float32", "shape": [4, 6], "kind": "weight", "alias_of": null, "offset_bytes": 0},
  {"id": 1, "bytes": 56, "dtype": "float32", "shape": [2, 3], "kind": "weight", "alias_of": 0, "offset_bytes": 40,
   "strides": [9, 2], "who": {"id": 7, "bytes": -1}},
  {"id": 2, "bytes": 2, "dtype": "bfloat16", "shape": [], "kind": "output", "alias_of": null, "offset_bytes": 0}],
 "ops": [{"name": "aten.sum", "reads": [1, 0], "writes": [2], "lane": [0]}, {"name": "none", "reads": [], "writes": []}]
})";

std::string Gzip(const std::string& text, int level = 6) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// kGood with `from` (which it has exactly once) replaced.
std::string With(const std::string& from, const std::string& to) {
  std::string text = kGood;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from << " is there twice";
  return text.replace(at, from.size(), to);
}

void ExpectFault(const std::string& content, const std::string& place_and_cause,
                 absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const absl::StatusOr<Trace> trace = ParseTrace(content, "file.json");
  ASSERT_FALSE(trace.ok()) << "taken without a word; expected: " << place_and_cause;
  const std::string message(trace.status().message());
  EXPECT_EQ(trace.status().code(), code) << message;
  EXPECT_TRUE(absl::StrContains(message, place_and_cause))
      << message << "\n  lacks: " << place_and_cause;
  EXPECT_TRUE(absl::StartsWith(message, "file.json: ")) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  EXPECT_LT(message.size(), 500u) << message;
}

TEST(TraceTest, ReadsWhatIsThere) {
  const absl::StatusOr<Trace> trace = ParseTrace(kGood, "x");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->name, "small");
  EXPECT_EQ(trace->note, "by hand");
  ASSERT_EQ(trace->buffers.size(), 3u);
  const TraceBuffer& alias = trace->buffers[1];
  EXPECT_EQ(alias.id, 1u);
  EXPECT_EQ(alias.bytes, 56u);
  EXPECT_EQ(alias.dtype, "float32");
  EXPECT_EQ(alias.shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(alias.kind, TraceKind::kWeight);
  EXPECT_EQ(alias.alias_of, 0u);
  EXPECT_EQ(alias.offset_bytes, 40u);
  ASSERT_TRUE(alias.strides.has_value());
  EXPECT_EQ(*alias.strides, (std::vector<uint64_t>{9, 2}));
  EXPECT_EQ(alias.strided_item_bytes(), 4u);
  EXPECT_EQ(trace->Base(1), 0u);
  EXPECT_EQ(trace->Base(2), 2u);
  EXPECT_FALSE(trace->buffers[0].alias_of.has_value());
  EXPECT_FALSE(trace->buffers[0].strides.has_value());
  EXPECT_EQ(trace->buffers[2].kind, TraceKind::kOutput);
  EXPECT_TRUE(trace->buffers[2].shape.empty());
  ASSERT_EQ(trace->ops.size(), 2u);
  EXPECT_EQ(trace->ops[0].name, "aten.sum");
  EXPECT_EQ(trace->ops[0].reads, (std::vector<uint32_t>{1, 0}));
  EXPECT_EQ(trace->ops[0].writes, (std::vector<uint32_t>{2}));
}

TEST(TraceTest, GzipIsToldByContent) {
  const std::string path = absl::StrCat(testing::TempDir(), "/plainly_named");
  for (const std::string& content :
       {std::string(kGood), Gzip(kGood), Gzip(kGood, 0), Gzip(kGood) + Gzip(" \n")}) {
    std::ofstream(path, std::ios::binary) << content;
    const absl::StatusOr<Trace> trace = ReadTrace(path);
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->buffers.size(), 3u);
  }
  unlink(path.c_str());
}

TEST(TraceTest, KeysMayComeInAnyOrder) {
  const absl::StatusOr<Trace> trace = ParseTrace(
      R"({"ops":[{"writes":[0],"reads":[],"name":"w"}],"stats":{"nested":[[[{}]]],"peak":1e9},
          "buffers":[{"offset_bytes":0,"alias_of":null,"kind":"output","shape":[],"dtype":"odd","bytes":1,"id":0,"strides":null}],
          "name":"n","note":null,"format":"tensor-trace-1"})",
      "x");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->ops[0].writes.size(), 1u);
}

TEST(TraceTest, FileFaults) {
  EXPECT_EQ(ReadTrace("/no/such/file.json.gz").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(absl::StrContains(ReadTrace("/no/such/file.json.gz").status().message(),
                                "/no/such/file.json.gz"));
  EXPECT_EQ(ReadTrace(testing::TempDir()).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(ReadTrace("").ok());
  EXPECT_FALSE(ReadTrace(std::string("a\0b", 3)).ok());
}

TEST(TraceTest, NotATrace) {
  ExpectFault("", "is empty");
  ExpectFault("   ", "not JSON: parse error at line 1");
  ExpectFault("[1, 2]", "the text is an array, not an object");
  ExpectFault("3", "the text is 3, not an object");
  ExpectFault("{}", "not a trace: there is no key \"format\"");
  ExpectFault(R"({"ops": 3, "name": []})", "not a trace: there is no key \"format\"");
  ExpectFault(R"({"buffers": [], "inner": {"format": "tensor-trace-1"}})",
              "there is no key \"format\"");
  ExpectFault(With("\"tensor-trace-1\"", "\"tensor-trace-2\""),
              "format is the string \"tensor-trace-2\"");
  ExpectFault(With("\"tensor-trace-1\"", "1"), "format is 1; it must be \"tensor-trace-1\"");
  ExpectFault(With("\"tensor-trace-1\"", "[\"tensor-trace-1\"]"), "format is an array");
  ExpectFault(std::string("\x89PNG\r\n\x1a\n", 8), "not JSON");
}

TEST(TraceTest, SyntaxFaultsNameLineAndColumn) {
  ExpectFault(With("\"id\": 2,", "\"id\": 2;"), "not JSON: parse error at line 7, column 11");
  ExpectFault(With("[4, 6]", "[4, NaN]"), "line 4");
  ExpectFault(With("96", "1e999"), "number overflow");
  ExpectFault(std::string(kGood) + "{}", "not JSON: parse error at line 9, column 2: syntax error");
  ExpectFault(With("\"small\"", "\"\xff\xfe\""), "not JSON");
  ExpectFault(With("\"small\"", "\"a\nb\""), "not JSON");
  ExpectFault(std::string(kGood).substr(0, 300), "not JSON");
}

TEST(TraceTest, NothingHidesBehindAZeroByte) {
  ExpectFault(std::string(kGood) + '\0' + "{}", "not JSON: there is a zero byte at byte ");
  ExpectFault(std::string("{}\0", 3), "not JSON: there is a zero byte at byte 2");
}

TEST(TraceTest, MissingAndRepeatedKeys) {
  ExpectFault(With("\"name\": \"small\", ", ""), "no key \"name\"");
  ExpectFault(With("\"ops\": [{", "\"opps\": [{"), "no key \"ops\"");
  ExpectFault(With("\"buffers\"", "\"bufers\""), "no key \"buffers\"");
  ExpectFault(With("\"bytes\": 96, ", ""), "buffers[0] has no key \"bytes\"");
  ExpectFault(With("\"alias_of\": 0, ", ""), "buffers[1] has no key \"alias_of\"");
  ExpectFault(With(", \"writes\": []", ""), "ops[1] has no key \"writes\"");
  ExpectFault(With("\"bytes\": 96", "\"bytes\": 96, \"bytes\": 96"),
              "buffers[0].bytes stands twice");
  ExpectFault(With("\"source\"", "\"name\""), "name stands twice");
}

TEST(TraceTest, WrongTypes) {
  ExpectFault(With("96", "-96"), "buffers[0].bytes is -96; must be a whole number");
  ExpectFault(With("96", "96.5"), "buffers[0].bytes is 96.5; must be a whole number");
  ExpectFault(With("96", "1e2"), "buffers[0].bytes is 1e2");
  ExpectFault(With("96", "18446744073709551616"), "buffers[0].bytes is 18446744073709551616");
  ExpectFault(With("96", "\"96\""), "buffers[0].bytes is the string \"96\"");
  ExpectFault(With("96", "null"), "buffers[0].bytes is null");
  ExpectFault(With("96", "[96]"), "buffers[0].bytes is an array");
  ExpectFault(With("96", "true"), "buffers[0].bytes is a truth value");
  ExpectFault(With("[4, 6]", "[4, -6]"), "buffers[0].shape[1] is -6");
  ExpectFault(With("[4, 6]", "24"), "buffers[0].shape is 24; must be an array");
  ExpectFault(With("[4, 6]", "[[4, 6]]"), "buffers[0].shape[0] is an array");
  ExpectFault(With("[9, 2]", "[9, -2]"), "buffers[1].strides[1] is -2");
  ExpectFault(With("[9, 2]", "{}"), "buffers[1].strides is an object");
  ExpectFault(With("40", "-1"), "buffers[1].offset_bytes is -1");
  ExpectFault(With("\"bfloat16\"", "16"), "buffers[2].dtype is 16; must be a string");
  ExpectFault(With("\"output\"", "\"exit\""),
              "buffers[2].kind is the string \"exit\"; must be \"weight\"");
  ExpectFault(With("\"output\"", "{\"a\": \"output\"}"), "buffers[2].kind is an object");
  ExpectFault(With("[1, 0]", "[1, -1]"), "ops[0].reads[1] is -1; must be the id of a buffer");
  ExpectFault(With("[1, 0]", "[1, 1.0]"), "ops[0].reads[1] is 1.0");
  ExpectFault(With("[1, 0]", "[1, 4294967296]"), "ops[0].reads[1] is 4294967296");
  ExpectFault(With("[1, 0]", "null"), "ops[0].reads is null");
  ExpectFault(With("\"aten.sum\"", "7"), "ops[0].name is 7");
  ExpectFault(With("{\"name\": \"none\", \"reads\": [], \"writes\": []}", "4"),
              "ops[1] is 4; must be an object");
}

TEST(TraceTest, IdsOutOfRange) {
  ExpectFault(With("\"id\": 2", "\"id\": 3"), "buffers[2].id is 3; ids must run from 0");
  ExpectFault(With("\"id\": 1", "\"id\": 0"), "buffers[1].id is 0");
  ExpectFault(With("[1, 0]", "[1, 3]"), "ops[0].reads[1] is 3; there are 3 buffers");
  ExpectFault(With("\"writes\": [2]", "\"writes\": [4294967294]"),
              "ops[0].writes[0] is 4294967294; there are 3");
  ExpectFault(With("\"alias_of\": 0", "\"alias_of\": 3"), "buffers[1].alias_of is 3; there are 3");
  ExpectFault(With("\"alias_of\": 0", "\"alias_of\": 4294967295"),
              "buffers[1].alias_of is 4294967295; must be the id");
  ExpectFault(With("\"alias_of\": 0", "\"alias_of\": 1"), "buffers[1].alias_of is 1, itself");
  ExpectFault(With("\"output\", \"alias_of\": null", "\"output\", \"alias_of\": 1"),
              "buffers[2].alias_of is 1, which is an alias of 0");
}

TEST(TraceTest, WindowsBeyondTheirBase) {
  ExpectFault(
      With("40", "41"),
      "buffers[1].offset_bytes is 41 and its window 56 bytes long: beyond the end of base 0");
  ExpectFault(With("40", "18446744073709551612"),
              "buffers[1].offset_bytes is 18446744073709551612");
  ExpectFault(With("56", "18446744073709551615"), "beyond the end of base 0, which has 96 bytes");
  ExpectFault(With("\"alias_of\": null, \"offset_bytes\": 0},\n  {\"id\": 1",
                   "\"alias_of\": null, \"offset_bytes\": 4},\n  {\"id\": 1"),
              "buffers[0].offset_bytes is 4; a base");
}

TEST(TraceTest, ElementsBeyondTheirWindow) {
  ExpectFault(With("[4, 6]", "[5, 6]"),
              "buffers[0].shape is [5,6]: spans 30 elements of float32, more than its 96 bytes");
  ExpectFault(With("[9, 2]", "[10, 2]"), "buffers[1].strides is [10,2]: spans 15 elements");
  ExpectFault(With("[9, 2]", "[9]"), "buffers[1].strides has 1 entries; the shape has 2");
  ExpectFault(With("[9, 2]", "[18446744073709551615, 2]"),
              "buffers[1].strides is [18446744073709551615,2]");
  ExpectFault(With("[9, 2]", "[18446744073709551610, 3]"), "more than 2^64 - 1 elements");
  ExpectFault(With("[4, 6]", "[4294967296, 4294967296]"), "more than 2^64 - 1 elements");
  ExpectFault(With("[4, 6]", "[4611686018427387905]"),
              "buffers[0].shape is [4611686018427387905]: spans");
  // More elements than can be counted, though all of them are the same one.
  ExpectFault(With("\"shape\": [2, 3]", "\"shape\": [4294967296, 4294967296]"),
              "buffers[1].strides");
  ExpectFault(With("\"bfloat16\", \"shape\": []", "\"mystery\", \"shape\": [17]"),
              "buffers[2].shape is [17]");
}

TEST(TraceTest, WhatIsOddButRight) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"[4, 6]", "[23]"},                          // a storage larger than its first tensor
           {"[4, 6]", "[0, 4294967296, 4294967296]"},   // empty
           {"[9, 2]", "[0, 0]"},                        // one element, repeated
           {"\"shape\": [2, 3]", "\"shape\": [0, 3]"},  // strided and empty
           {"\"bfloat16\", \"shape\": []",
            "\"mystery\", \"shape\": [16]"},  // unknown dtype: a bit is possible
           {"\"bfloat16\", \"shape\": []", "\"int4\", \"shape\": [3]"},
           {"\"kind\": \"output\"", "\"kind\": \"intermediate\""},
           {"\"ops\": [{", "\"ops\": [{\"unknown\": [[1], {\"reads\": 5}], "},
       }) {
    const absl::StatusOr<Trace> trace = ParseTrace(With(from, to), "x");
    EXPECT_TRUE(trace.ok()) << to << ": " << trace.status();
  }
  const absl::StatusOr<Trace> huge = ParseTrace(With("96", "18446744073709551615"), "x");
  ASSERT_TRUE(huge.ok()) << huge.status();
  EXPECT_EQ(huge->buffers[0].bytes, ~uint64_t{0});
}

TEST(TraceTest, NestingIsBounded) {
  ExpectFault(With("[1, {\"ops\": [2.5]}]", std::string(1000000, '[')),
              "nested deeper than 64 levels");
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
  ExpectFault(With("[1, {\"ops\": [2.5]}]", objects), "nested deeper than 64 levels");
}

TEST(TraceTest, LongNamesAreCutInMessages) {
  ExpectFault(With("\"output\"", "\"" + std::string(100000, 'x') + "\""),
              "buffers[2].kind is the string \"xxx");
  ExpectFault(With("\"small\"", "\"" + std::string(100000, 'x')), "not JSON");
  std::string shape = "[1";
  for (int i = 0; i < 10000; ++i) shape += ",7";
  ExpectFault(With("[4, 6]", shape + "]"), "buffers[0].shape is [1,7,7");
}

TEST(TraceTest, EveryTruncationIsAFault) {
  const std::string packed = Gzip(kGood);
  for (size_t n = 2; n < packed.size(); ++n) ExpectFault(packed.substr(0, n), "gzip: truncated");
  const std::string text = kGood;
  for (size_t n = 1; n < text.size(); ++n) ExpectFault(text.substr(0, n), "not JSON");
}

TEST(TraceTest, DamagedGzip) {
  const std::string packed = Gzip(kGood);
  ExpectFault(packed + "x", "gzip: 1 bytes of something else follow");
  ExpectFault(packed + std::string(100, '\0'), "gzip: 100 bytes of something else follow");
  std::string wrong_sum = packed;
  wrong_sum[packed.size() - 6] ^= 1;
  ExpectFault(wrong_sum, "gzip: damaged near compressed byte");
  // Whatever a flipped bit does, it is an answer and not a crash; the checksum finds what zlib
  // itself does not.
  for (size_t at = 10; at < packed.size(); ++at) {
    std::string flipped = packed;
    flipped[at] ^= 0x10;
    EXPECT_FALSE(ParseTrace(flipped, "x").ok()) << at;
  }
}

TEST(TraceTest, BombsAreBounded) {
  // 8 MiB of spaces in 8 KiB; in front of a good trace, so that only the bound can refuse it.
  const std::string bomb = Gzip(std::string(size_t{8} << 20, ' ') + kGood);
  ASSERT_LT(bomb.size(), 100000u);
  EXPECT_TRUE(ParseTrace(bomb, "x").ok());
  ReadOptions options;
  options.max_text_bytes = 1 << 20;
  const absl::Status status = ParseTrace(bomb, "bomb.gz", options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(),
                                "bomb.gz: the decompressed text is longer than 1048576 bytes"))
      << status;
  options.max_text_bytes = sizeof(kGood) - 1;
  EXPECT_TRUE(ParseTrace(kGood, "x", options).ok());
  EXPECT_TRUE(ParseTrace(Gzip(kGood), "x", options).ok());
  options.max_text_bytes -= 1;
  EXPECT_EQ(ParseTrace(kGood, "x", options).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ParseTrace(Gzip(kGood), "x", options).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(TraceTest, MutationsNeverCrash) {
  std::mt19937_64 random(7);
  const std::string text = kGood;
  const std::string alphabet = "{}[]\",:0123456789-.eEtrufalsn \\";
  int refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string mutated = text;
    for (uint64_t k = random() % 4 + 1; k > 0; --k) {
      const size_t at = random() % mutated.size();
      switch (random() % 3) {
        case 0:
          mutated[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          mutated.erase(at, random() % 20 + 1);
          break;
        default:
          mutated.insert(at, mutated.substr(random() % mutated.size(), random() % 30));
      }
    }
    const absl::StatusOr<Trace> trace = ParseTrace(mutated, "x");
    refused += trace.ok() ? 0 : 1;
    if (!trace.ok()) continue;
    for (const TraceBuffer& buffer : trace->buffers) {
      const TraceBuffer& base = trace->buffers[trace->Base(buffer.id)];
      ASSERT_LE(buffer.bytes, base.bytes);
      ASSERT_LE(buffer.offset_bytes, base.bytes - buffer.bytes);
    }
    FindUses(*trace);
  }
  EXPECT_GT(refused, 3000);
}

TEST(TraceTest, CoversWindow) {
  TraceBuffer b;
  b.bytes = 48;
  b.shape = {3, 4};
  EXPECT_TRUE(CoversWindow(b));
  const auto with = [&](std::vector<uint64_t> shape, std::vector<uint64_t> strides,
                        uint64_t bytes) {
    b.shape = std::move(shape);
    b.strides = std::move(strides);
    b.bytes = bytes;
    return CoversWindow(b);
  };
  EXPECT_TRUE(with({3, 4}, {1, 3}, 48));         // transposed
  EXPECT_TRUE(with({3, 1, 4}, {4, 99, 1}, 48));  // a stride that nothing uses
  EXPECT_TRUE(with({3, 5, 4}, {4, 0, 1}, 48));   // repeated
  EXPECT_FALSE(with({3, 4}, {5, 1}, 56));        // gaps between rows
  EXPECT_FALSE(with({3, 4}, {8, 2}, 92));        // between elements
  EXPECT_FALSE(with({3, 4}, {2, 1}, 32));        // rows share elements: dense, but not shown to be
  EXPECT_FALSE(with({3, 4}, {4, 1}, 50));        // two bytes left over
  EXPECT_TRUE(with({0, 4}, {4, 1}, 0));
  EXPECT_FALSE(with({0, 4}, {4, 1}, 8));
}

TEST(TraceTest, UsesOfBases) {
  const absl::StatusOr<Trace> trace = ReadTrace("tools/demo_schedules/odd_shapes.json.gz");
  ASSERT_TRUE(trace.ok()) << trace.status();
  const std::vector<TraceUse> uses = FindUses(*trace);
  ASSERT_EQ(uses.size(), trace->buffers.size());
  const auto written_by = [&](const std::string& name) -> const TraceUse& {
    for (const TraceOp& op : trace->ops) {
      if (op.name == name) return uses[trace->Base(op.writes.front())];
    }
    ADD_FAILURE() << name;
    return uses.front();
  };
  EXPECT_FALSE(written_by("start_ring").needs_zeros);
  EXPECT_FALSE(written_by("split").needs_zeros);  // two windows that together cover it
  EXPECT_TRUE(written_by("split_short").needs_zeros);
  EXPECT_TRUE(written_by("write_columns").needs_zeros);
  EXPECT_TRUE(written_by("slice_write").needs_zeros);
  EXPECT_FALSE(written_by("permute").needs_zeros);  // strided, but without gaps
  EXPECT_LT(written_by("start_ring").first_op, written_by("start_ring").last_op);
  int never = 0;
  for (const TraceBuffer& buffer : trace->buffers) {
    const TraceUse& use = uses[buffer.id];
    if (buffer.alias_of.has_value()) {
      EXPECT_EQ(use.first_op, TraceUse::kNever);
      continue;
    }
    never += use.first_op == TraceUse::kNever ? 1 : 0;
    for (uint32_t j = 0; j < trace->ops.size(); ++j) {
      for (const auto* ids : {&trace->ops[j].reads, &trace->ops[j].writes}) {
        for (const uint32_t id : *ids) {
          if (trace->Base(id) != buffer.id) continue;
          EXPECT_LE(use.first_op, j);
          EXPECT_GE(use.last_op, j);
        }
      }
    }
  }
  EXPECT_EQ(never, 2);
}

// Every base of one op has windows of its own, so they must not be looked for among all.
TEST(TraceTest, UsesOfAnOpWithManyWrites) {
  constexpr uint32_t kBases = 100000;
  Trace trace;
  TraceOp op;
  const auto add = [&trace](uint64_t bytes) -> TraceBuffer& {
    TraceBuffer& buffer = trace.buffers.emplace_back();
    buffer.id = static_cast<uint32_t>(trace.buffers.size() - 1);
    buffer.bytes = bytes;
    buffer.dtype = "uint8";
    buffer.shape = {bytes};
    return buffer;
  };
  for (uint32_t b = 0; b < kBases; ++b) add(8);
  for (uint32_t b = 0; b < kBases; ++b) {
    // The second half of every base, and the first half of those with an even number.
    for (uint64_t offset : {uint64_t{4}, uint64_t{0}}) {
      if (offset == 0 && b % 2 != 0) continue;
      TraceBuffer& window = add(4);
      window.alias_of = b;
      window.offset_bytes = offset;
      op.writes.push_back(window.id);
    }
  }
  trace.ops = {op};
  const std::vector<TraceUse> uses = FindUses(trace);
  for (uint32_t b = 0; b < kBases; ++b) {
    ASSERT_TRUE(uses[b].written);
    ASSERT_EQ(uses[b].needs_zeros, b % 2 != 0) << b;
  }
}

}  // namespace
}  // namespace tenure
