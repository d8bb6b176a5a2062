#include "tenure/planner/packing/exact/key_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace tenure::packing::exact {
namespace {

TEST(KeyScanTest, AgreesWithLookingAtOneAfterTheOther) {
  std::mt19937 random(1);
  for (int round = 0; round < 4000; ++round) {
    const size_t n = random() % 20;
    const uint32_t spread = 1 + random() % (round % 2 == 0 ? 6 : 1000000000);
    std::vector<int32_t> keys(n), sizes(n);
    for (int32_t& key : keys) key = static_cast<int32_t>(random() % spread);
    for (int32_t& size : sizes) size = static_cast<int32_t>(random() % 100000000);
    const auto line = static_cast<int32_t>(random() % (spread + 1));
    KeyScan expected;
    LeastKeys least;
    for (size_t k = 0; k < n; ++k) {
      expected.least = std::min(expected.least, keys[k]);
      expected.above += keys[k] >= line ? sizes[k] : 0;
    }
    for (int32_t key : keys) {
      least.ways += key == expected.least ? 1 : 0;
      if (key != expected.least) least.next = std::min(least.next, key);
    }
    const KeyScan scan = ScanKeys(keys.data(), sizes.data(), n, line);
    EXPECT_EQ(scan.least, expected.least);
    EXPECT_EQ(scan.above, expected.above);
    if (n == 0) continue;
    const LeastKeys found = FindLeast(keys.data(), n, scan.least);
    EXPECT_EQ(found.ways, least.ways);
    EXPECT_EQ(found.next, least.next);
    ASSERT_LT(static_cast<size_t>(found.at), n);
    EXPECT_EQ(keys[static_cast<size_t>(found.at)], scan.least);
  }
}

}  // namespace
}  // namespace tenure::packing::exact
