#include "tenure/tests/tools/kernel_cases.h"

#include <algorithm>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tenure/tools/trace/reference_kernel.h"

namespace tenure {
namespace {

using Memory = KernelUnderTest::Memory;

struct Strided {
  std::vector<uint64_t> shape, strides;
  uint64_t item_bytes;
};

std::string Text(const Strided& s) {
  return absl::StrCat("[", absl::StrJoin(s.shape, ","), "] by [", absl::StrJoin(s.strides, ","),
                      "], items of ", s.item_bytes);
}

Memory Numbers(size_t size, uint64_t seed) {
  Memory bytes(size);
  FillWords(absl::MakeSpan(bytes), seed);
  return bytes;
}

// The first difference rather than two dumps of memory.
testing::AssertionResult Same(const Memory& got, const Memory& expected) {
  if (got.size() != expected.size()) return testing::AssertionFailure() << "other sizes";
  const auto at = std::mismatch(got.begin(), got.end(), expected.begin());
  if (at.first == got.end()) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "byte " << (at.first - got.begin()) << " of " << got.size() << " is "
         << static_cast<int>(*at.first) << ", not " << static_cast<int>(*at.second);
}

void CheckWindow(KernelUnderTest& kernels, const Memory& data, uint64_t offset, uint64_t size,
                 uint64_t seed) {
  SCOPED_TRACE(absl::StrCat(size, " bytes at ", offset));
  uint64_t sum = seed;
  absl::Status status = kernels.AddDigest(data, offset, size, sum);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(sum, seed + Digest(absl::MakeConstSpan(data).subspan(offset, size), 2));

  Memory filled = data;
  Memory expected = data;
  status = kernels.Fill(filled, offset, size, seed);
  ASSERT_TRUE(status.ok()) << status;
  FillWords(absl::MakeSpan(expected).subspan(offset, size), seed, 2);
  EXPECT_TRUE(Same(filled, expected));
}

void CheckStridedWindow(KernelUnderTest& kernels, const Strided& s, uint64_t offset,
                        uint64_t spare) {
  SCOPED_TRACE(absl::StrCat(Text(s), " at ", offset));
  uint64_t span = 1;
  for (size_t d = 0; d < s.shape.size(); ++d) {
    span = s.shape[d] == 0 || span == 0 ? 0 : span + (s.shape[d] - 1) * s.strides[d];
  }
  const uint64_t size = span * s.item_bytes + spare;
  Memory filled = Numbers(offset + size + 9, 5);
  Memory expected = filled;
  const uint64_t seed = 12345 + offset;
  const absl::Status status =
      kernels.FillStrided(filled, offset, size, seed, s.shape, s.strides, s.item_bytes);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_TRUE(FillStrided(absl::MakeSpan(expected).subspan(offset, size), seed, s.shape, s.strides,
                          s.item_bytes)
                  .ok());
  EXPECT_TRUE(Same(filled, expected));
}

}  // namespace

void CheckEverySizeAndOffset(KernelUnderTest& kernels, uint64_t size_step) {
  const Memory data = Numbers(2000, 1);
  for (uint64_t offset = 0; offset < 17; ++offset) {
    for (uint64_t size = 0; size < 130; size += size_step) {
      CheckWindow(kernels, data, offset, size, size * 77);
      if (testing::Test::HasFailure()) return;
    }
    CheckWindow(kernels, data, offset, data.size() - offset, 3);  // to the very end
  }
}

void CheckLargeWindows(KernelUnderTest& kernels, uint64_t max_bytes, int count) {
  std::mt19937_64 random(7);
  const Memory data = Numbers(max_bytes, 2);
  for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
    const uint64_t offset = random() % 33;
    const uint64_t size = i == 0 ? max_bytes - offset : random() % (max_bytes - offset + 1);
    CheckWindow(kernels, data, offset, size, random());
  }
}

void CheckKnownStrides(KernelUnderTest& kernels) {
  const std::vector<Strided> known = {
      {{}, {}, 4},                                              // a scalar
      {{1, 1}, {100, 100}, 2},                                  // nothing to walk
      {{3, 0, 2}, {1, 1, 1}, 4},                                // no elements
      {{5}, {1}, 0},                                            // nor bytes
      {{2, 12, 19, 16}, {3648, 16, 192, 1}, 4},                 // heads of attention
      {{2, 40, 32}, {1280, 1, 40}, 2},                          // transposed
      {{1, 8, 1, 64}, {5242, 655, 64, 1}, 2},                   // a slot of a cache
      {{3, 5, 7, 2, 3}, {1000, 150, 17, 8, 1}, 1},              // five dimensions
      {{2, 2, 2, 2, 2, 2, 2}, {577, 1, 211, 5, 71, 19, 2}, 8},  // seven that can't be joined
      {{10}, {0}, 4},                                           // one place, ten times
      {{4, 10, 3}, {3, 0, 1}, 2},                               // repeated in the middle
      {{30, 5}, {1, 1}, 2},                                     // a sliding window
      {{2, 3, 9, 8, 3, 3}, {330, 110, 10, 1, 10, 1}, 4},        // im2col
      {{7, 4}, {2, 3}, 3},                                      // overlaps now and then
      {{4, 7}, {3, 2}, 8},                                      // the other way round
      {{6, 6}, {5, 5}, 5},                                      // equal strides
      {{9000, 3}, {1, 1}, 2},                                   // long, and shared all along
      {{3, 9000}, {1, 1}, 2},                                   // the other way round
      {{5, 37, 5, 34, 2, 5}, {2, 15, 17, 19, 0, 24}, 2},        // thousands of turns
  };
  for (const Strided& s : known) {
    for (const uint64_t offset : {0, 1, 2, 8, 13}) CheckStridedWindow(kernels, s, offset, 3);
    if (testing::Test::HasFailure()) return;
  }
}

void CheckRandomStrides(KernelUnderTest& kernels, int count) {
  std::mt19937_64 random(11);
  for (int i = 0; i < count && !testing::Test::HasFailure(); ++i) {
    Strided s;
    s.item_bytes = 1 + random() % 8;
    const size_t dimensions = random() % 7;
    for (size_t d = 0; d < dimensions; ++d) {
      s.shape.push_back(random() % 8 == 0 ? random() % 40 : 1 + random() % 5);
      s.strides.push_back(random() % 3 == 0 ? random() % 200 : random() % 20);
    }
    CheckStridedWindow(kernels, s, random() % 20, random() % 10);
  }
}

void CheckRefusedStrides(KernelUnderTest& kernels) {
  Memory memory(64);
  const std::vector<Strided> refused = {
      {{3, 3}, {1}, 4},                               // not a stride for each
      {{17}, {1}, 4},                                 // beyond the end
      {{2}, {~uint64_t{0}}, 4},                       // beyond all ends
      {{2}, {1}, 9},                                  // more than the kernel has for an element
      {{3, ~uint64_t{0} / 2}, {~uint64_t{0}, 3}, 1},  // wraps
  };
  const Memory before = memory;
  for (const Strided& s : refused) {
    const absl::Status status =
        kernels.FillStrided(memory, 0, 64, 1, s.shape, s.strides, s.item_bytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << Text(s) << ": " << status;
    const absl::Status host =
        FillStrided(absl::MakeSpan(memory), 1, s.shape, s.strides, s.item_bytes);
    EXPECT_EQ(status, host);
  }
  EXPECT_TRUE(Same(memory, before));
}

}  // namespace tenure
