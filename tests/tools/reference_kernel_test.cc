#include "tenure/tools/trace/reference_kernel.h"

#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/tools/trace/trace.h"

namespace tenure {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint64_t kG = 0x9e3779b97f4a7c15u;

Bytes Numbers(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(size);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
  return bytes;
}

std::string Hex(absl::Span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t b : bytes) {
    text += "0123456789abcdef"[b >> 4];
    text += "0123456789abcdef"[b & 15];
  }
  return text;
}

// The definitions byte by byte, without words.
uint64_t SlowDigest(absl::Span<const uint8_t> bytes) {
  uint64_t sum = 0;
  for (size_t i = 0; i * 8 < bytes.size(); ++i) {
    uint64_t word = 0;
    for (size_t b = 0; b < 8 && i * 8 + b < bytes.size(); ++b)
      word |= uint64_t{bytes[i * 8 + b]} << (8 * b);
    sum += Mix(word + (i + 1) * kG);
  }
  return sum;
}

void SlowFill(absl::Span<uint8_t> bytes, uint64_t seed) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(Mix(seed + (i / 8 + 1) * kG) >> (8 * (i % 8)));
  }
}

void SlowFillStrided(absl::Span<uint8_t> bytes, uint64_t seed, const std::vector<uint64_t>& shape,
                     const std::vector<uint64_t>& strides, uint64_t item_bytes) {
  uint64_t count = 1;
  for (const uint64_t extent : shape) count *= extent;
  for (uint64_t e = 0; e < count; ++e) {
    uint64_t rest = e, at = 0;
    for (size_t d = shape.size(); d-- > 0; rest /= shape[d]) at += rest % shape[d] * strides[d];
    const uint64_t value = Mix(seed + (e + 1) * kG);
    for (uint64_t b = 0; b < item_bytes; ++b)
      bytes[at * item_bytes + b] = static_cast<uint8_t>(value >> (8 * b));
  }
}

// Numbers from the numpy program that defines the kernel.
TEST(ReferenceKernelTest, KnownAnswers) {
  EXPECT_EQ(Mix(0), 0u);
  EXPECT_EQ(Mix(1), 0x5692161d100b05e5u);
  EXPECT_EQ(Mix(0x123456789abcdefu), 0xb2c058e4ebb5112cu);
  EXPECT_EQ(Mix(~uint64_t{0}), 0xb4d055fcf2cbbd7bu);
  Bytes d;
  for (uint8_t b = 1; b <= 13; ++b) d.push_back(b);
  EXPECT_EQ(Digest(d), 0x38cee91f721b6b38u);
  EXPECT_EQ(Digest(absl::MakeConstSpan(d).first(8)), 0x02b9b24bd81caf32u);
  EXPECT_EQ(Digest({}), 0u);
  Bytes a(13);
  FillWords(absl::MakeSpan(a), 42);
  EXPECT_EQ(Hex(a), "956eeb2f2632d7bd03f166b233");
  Bytes b(40);
  ASSERT_TRUE(FillStrided(absl::MakeSpan(b), 7, {2, 3}, {11, 3}, 2).ok());
  EXPECT_EQ(Hex(b),
            "d70d000000001c6600000000022a0000000000000000cb2900000000da210000000011aa00000000");
  Bytes c(16);
  FillStart(absl::MakeSpan(c), 5);
  EXPECT_EQ(Hex(c), "164971987feef0594eb24935da7f44a5");
  const std::vector<absl::Span<const uint8_t>> reads = {d, absl::MakeConstSpan(d).subspan(4, 5)};
  EXPECT_EQ(DigestReads(3, reads), 0xb9a509972c87bfd4u);
  Bytes e(10), f(10);
  const std::vector<KernelWrite> writes = {
      {.bytes = absl::MakeSpan(e), .strided = false, .shape = {}, .strides = {}},
      {.bytes = absl::MakeSpan(f), .strided = false, .shape = {}, .strides = {}}};
  ASSERT_TRUE(RunReferenceOp(3, reads, writes).ok());
  EXPECT_EQ(Hex(e), "8c768a2077c2082edf49");
  EXPECT_EQ(Hex(f), "9bca787121aac390060f");
}

TEST(ReferenceKernelTest, EverySizeAndOffset) {
  const Bytes data = Numbers(800, 1);
  for (size_t offset = 0; offset < 9; ++offset) {
    for (size_t size = 0; size < 700; size += size < 300 ? 1 : 13) {
      const absl::Span<const uint8_t> window = absl::MakeConstSpan(data).subspan(offset, size);
      ASSERT_EQ(Digest(window), SlowDigest(window)) << offset << " " << size;
      Bytes filled = data, expected = data;
      FillWords(absl::MakeSpan(filled).subspan(offset, size), size * 77);
      SlowFill(absl::MakeSpan(expected).subspan(offset, size), size * 77);
      ASSERT_EQ(filled, expected) << offset << " " << size;  // also what lies around the window
    }
  }
}

TEST(ReferenceKernelTest, EveryPathGivesTheSame) {
  const std::vector<internal_kernel::Path> paths = internal_kernel::Paths();
  ASSERT_FALSE(paths.empty());
  EXPECT_STREQ(paths.front().name, "portable");
  const Bytes data = Numbers(8 * 300 + 3, 2);
  for (const internal_kernel::Path& path : paths) {
    for (uint64_t count = 0; count <= 299; ++count) {
      const uint64_t first = Mix(count) | 1;
      uint64_t sum = 0;
      Bytes expected = data, filled = data;
      for (uint64_t i = 0; i < count; ++i) {
        uint64_t word = 0;
        std::memcpy(&word, data.data() + 3 + i * 8, 8);
        sum += Mix(word + first + i * kG);
        const uint64_t value = Mix(first + i * 0x1234567u);
        std::memcpy(expected.data() + 3 + i * 8, &value, 8);
      }
      ASSERT_EQ(path.digest(data.data() + 3, count, first), sum) << path.name << " " << count;
      path.fill(filled.data() + 3, count, first, 0x1234567u);
      ASSERT_EQ(filled, expected) << path.name << " " << count;
    }
  }
}

TEST(ReferenceKernelTest, ThreadsDoNotChangeTheAnswer) {
  const size_t size = (size_t{9} << 20) + 5;  // enough for several threads, and a rest
  Bytes data = Numbers(size, 3);
  const uint64_t one = Digest(data, 1);
  EXPECT_EQ(one, SlowDigest(data));
  for (const int threads : {-1, 0, 2, 3, 7, 1000}) EXPECT_EQ(Digest(data, threads), one) << threads;
  Bytes expected(size);
  FillWords(absl::MakeSpan(expected), 9, 1);
  for (const int threads : {2, 3, 64}) {
    Bytes filled(size);
    FillWords(absl::MakeSpan(filled), 9, threads);
    EXPECT_TRUE(filled == expected) << threads;
  }
  const std::vector<uint64_t> shape = {40, 300, 40}, strides = {12001, 1, 300};
  std::fill(expected.begin(), expected.end(), 1);
  SlowFillStrided(absl::MakeSpan(expected), 5, shape, strides, 4);
  for (const int threads : {1, 2, 5}) {
    Bytes filled(size, 1);
    ASSERT_TRUE(FillStrided(absl::MakeSpan(filled), 5, shape, strides, 4, threads).ok());
    EXPECT_TRUE(filled == expected) << threads;
  }
}

TEST(ReferenceKernelTest, StridedLikeTheDefinition) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint64_t> shape, strides;
    for (uint64_t d = random() % 5; d > 0; --d) {
      shape.push_back(random() % 6 + (random() % 8 == 0 ? 0 : 1));
      strides.push_back(random() % (random() % 2 == 0 ? 4 : 40));  // many of them share elements
    }
    const uint64_t item_bytes = random() % 9;
    uint64_t span = 1;
    for (size_t d = 0; d < shape.size(); ++d) {
      if (shape[d] == 0) span = 0;
    }
    for (size_t d = 0; d < shape.size() && span != 0; ++d) span += (shape[d] - 1) * strides[d];
    Bytes expected(span * item_bytes + random() % 3, 0x5a);
    Bytes filled = expected;
    const uint64_t seed = random();
    SlowFillStrided(absl::MakeSpan(expected), seed, shape, strides, item_bytes);
    ASSERT_TRUE(FillStrided(absl::MakeSpan(filled), seed, shape, strides, item_bytes, 2).ok());
    ASSERT_EQ(Hex(filled), Hex(expected)) << "round " << round;
  }
}

TEST(ReferenceKernelTest, StridedRefusesWhatReachesBeyond) {
  Bytes window(100, 7);
  const absl::Span<uint8_t> span = absl::MakeSpan(window);
  const uint64_t huge = ~uint64_t{0};
  for (const absl::Status& status :
       {FillStrided(span, 1, {26}, {1}, 4), FillStrided(span, 1, {2, 2}, {24, 2}, 4),
        FillStrided(span, 1, {2}, {huge}, 1), FillStrided(span, 1, {2, 2}, {huge, huge}, 1),
        FillStrided(span, 1, {huge, huge}, {huge, huge}, 8), FillStrided(span, 1, {2, 2}, {1}, 1),
        FillStrided(span, 1, {2}, {huge / 4 + 1}, 4), FillStrided(span, 1, {2}, {1}, 16)}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
  EXPECT_EQ(window, Bytes(100, 7));
  EXPECT_TRUE(FillStrided(span, 1, {25}, {1}, 4).ok());
  EXPECT_TRUE(FillStrided(span, 1, {0, huge}, {huge, huge}, 4).ok());
  EXPECT_TRUE(FillStrided({}, 1, {0}, {1}, 4).ok());
  const std::vector<uint64_t> shape = {3}, strides = {2};
  Bytes wide(5 * 16);
  const std::vector<KernelWrite> writes = {
      {.bytes = absl::MakeSpan(wide), .strided = true, .shape = shape, .strides = strides}};
  const absl::Status status = RunReferenceOp(4, {}, writes);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("op 4, write 0: elements of 16 bytes"), std::string::npos)
      << status;
}

TEST(ReferenceKernelTest, ReadsComeBeforeWrites) {
  Bytes memory = Numbers(5000, 4);
  const Bytes before = memory;
  const absl::Span<uint8_t> all = absl::MakeSpan(memory);
  // In place and shifted: the second read overlaps the first write.
  const std::vector<absl::Span<const uint8_t>> reads = {all.subspan(0, 3000),
                                                        all.subspan(1000, 4000)};
  const std::vector<KernelWrite> writes = {
      {.bytes = all.subspan(7, 3000), .strided = false, .shape = {}, .strides = {}},
      {.bytes = all.subspan(2000, 2000), .strided = false, .shape = {}, .strides = {}}};
  uint64_t d = Mix(9);
  d = Mix(d + SlowDigest(absl::MakeConstSpan(before).subspan(0, 3000)));
  d = Mix(d + SlowDigest(absl::MakeConstSpan(before).subspan(1000, 4000)));
  Bytes expected = before;
  SlowFill(absl::MakeSpan(expected).subspan(7, 3000), d + 0xd1342543de82ef95u);
  SlowFill(absl::MakeSpan(expected).subspan(2000, 2000), d + 2 * 0xd1342543de82ef95u);
  ASSERT_TRUE(RunReferenceOp(8, reads, writes).ok());
  EXPECT_EQ(memory, expected);
}

// Runs a whole schedule, every storage apart, and gives the digests of what comes out.
std::map<std::string, std::string> RunApart(const Trace& trace, bool zero_what_needs_it) {
  const std::vector<TraceUse> uses = FindUses(trace);
  std::vector<Bytes> storages(trace.buffers.size());
  const auto starts = [](const TraceBuffer& b) {
    return b.kind == TraceKind::kWeight || b.kind == TraceKind::kInput;
  };
  for (const TraceBuffer& b : trace.buffers) {
    if (b.alias_of.has_value()) continue;
    const bool touched = uses[b.id].first_op != TraceUse::kNever;
    const bool zero = (uses[b.id].needs_zeros && zero_what_needs_it) || !touched;
    storages[b.id].assign(b.bytes, zero ? 0 : 0xdb);
    if (starts(b)) FillStart(absl::MakeSpan(storages[b.id]), b.id);
  }
  const auto window = [&](uint32_t id) {
    const TraceBuffer& b = trace.buffers[id];
    return absl::MakeSpan(storages[trace.Base(id)]).subspan(b.offset_bytes, b.bytes);
  };
  for (size_t j = 0; j < trace.ops.size(); ++j) {
    std::vector<absl::Span<const uint8_t>> reads;
    for (const uint32_t id : trace.ops[j].reads) reads.push_back(window(id));
    std::vector<KernelWrite> writes;
    for (const uint32_t id : trace.ops[j].writes) {
      const TraceBuffer& b = trace.buffers[id];
      KernelWrite& write = writes.emplace_back();
      write.bytes = window(id);
      write.strided = b.strides.has_value();
      if (write.strided) {
        write.shape = b.shape;
        write.strides = *b.strides;
      }
    }
    const absl::Status status = RunReferenceOp(j, reads, writes, 2);
    EXPECT_TRUE(status.ok()) << status;
  }
  std::map<std::string, std::string> digests;
  for (const TraceBuffer& b : trace.buffers) {
    if (b.alias_of.has_value()) continue;
    if (b.kind != TraceKind::kOutput && !(starts(b) && uses[b.id].written)) continue;
    char text[17];
    std::snprintf(text, sizeof(text), "%016llx",
                  static_cast<unsigned long long>(Digest(storages[b.id])));
    digests[std::to_string(b.id)] = text;
  }
  return digests;
}

class DemoScheduleTest : public testing::TestWithParam<const char*> {};

TEST_P(DemoScheduleTest, DigestsAreTheExpectedOnes) {
  const std::string path = std::string("tools/demo_schedules/") + GetParam();
  const absl::StatusOr<Trace> trace = ReadTrace(path + ".json.gz");
  ASSERT_TRUE(trace.ok()) << trace.status();
  std::ifstream file(path + ".digests.json");
  const nlohmann::json expected = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  ASSERT_FALSE(expected.is_discarded());
  EXPECT_EQ(expected["name"], trace->name);
  const auto digests = expected["digests"].get<std::map<std::string, std::string>>();
  ASSERT_FALSE(digests.empty());
  EXPECT_EQ(RunApart(*trace, true), digests);
  uint64_t total = 0;
  for (const TraceBuffer& b : trace->buffers) total += b.alias_of.has_value() ? 0 : b.bytes;
  EXPECT_LT(total, uint64_t{64} << 20);
}

INSTANTIATE_TEST_SUITE_P(All, DemoScheduleTest,
                         testing::Values("tiny_transformer", "tiny_convnet_train", "odd_shapes"));

// Without this the zeros that odd_shapes asks for would prove nothing.
TEST(DemoScheduleZeros, DirtShowsWhereZerosAreNeeded) {
  const absl::StatusOr<Trace> trace = ReadTrace("tools/demo_schedules/odd_shapes.json.gz");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_NE(RunApart(*trace, true), RunApart(*trace, false));
}

}  // namespace
}  // namespace tenure
