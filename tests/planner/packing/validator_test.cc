#include "tenure/planner/packing/validator.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "testing.h"

namespace tenure::packing {
namespace {

// A packing with the given offsets that claims nothing false about itself.
Packing At(const Problem& problem, std::vector<uint64_t> offsets,
           std::vector<uint32_t> arenas = {}) {
  Packing packing;
  packing.outcome = Outcome::kFeasible;
  packing.offsets = std::move(offsets);
  packing.arena_of = std::move(arenas);
  UpdateHeights(problem, packing);
  if (packing.height == 0) packing.outcome = Outcome::kOptimal;
  return packing;
}

std::string Verdict(const Problem& problem, const Packing& packing) {
  const absl::Status status = Validate(problem, packing);
  return status.ok() ? "ok" : std::string(status.message());
}

TEST(Validator, Overlaps) {
  Problem p;
  p.items = {{.first = 0, .last = 4, .size = 10},
             {.first = 3, .last = 6, .size = 10},
             {.first = 4, .last = 6, .size = 5}};
  EXPECT_EQ(Verdict(p, At(p, {0, 10, 0})), "ok");
  EXPECT_EQ(Verdict(p, At(p, {0, 9, 0})),
            "packing is wrong: items 0 and 1 overlap: item 0 [0, 10) and item 1 [9, 19) of arena 0 "
            "both hold byte 9 at time 3");
  EXPECT_NE(Verdict(p, At(p, {0, 10, 6})), "ok");
  p.items[1].size = 0;
  EXPECT_EQ(Verdict(p, At(p, {0, 5, 0})), "ok");
}

TEST(Validator, AlignmentAndFixed) {
  Problem p;
  p.items = {{.first = 0, .last = 1, .size = 3, .alignment = 4},
             {.first = 0, .last = 1, .size = 3, .fixed = 9}};
  EXPECT_EQ(Verdict(p, At(p, {4, 9})), "ok");
  EXPECT_NE(Verdict(p, At(p, {2, 9})), "ok");
  EXPECT_NE(Verdict(p, At(p, {4, 10})), "ok");
}

TEST(Validator, GapsAndWindows) {
  Problem p;
  p.items = {{.first = 0, .last = 10, .size = 10}, {.first = 3, .last = 5, .size = 6}};
  EXPECT_NE(Verdict(p, At(p, {0, 4})), "ok");
  p.gaps = {{.item = 0, .first = 3, .last = 5}};
  EXPECT_EQ(Verdict(p, At(p, {0, 4})), "ok");
  p.gaps[0].window_end = 4;
  EXPECT_EQ(Verdict(p, At(p, {0, 4})), "ok");
  EXPECT_NE(Verdict(p, At(p, {0, 3})), "ok");
  p.gaps[0].last = 4;
  EXPECT_NE(Verdict(p, At(p, {0, 4})), "ok");
}

TEST(Validator, ArenasBindingsAndCapacity) {
  Problem p;
  p.items = {{.first = 0, .last = 4, .size = 10}, {.first = 0, .last = 4, .size = 10}};
  p.arenas = {{.limit = 10}, {.limit = 12}};
  EXPECT_EQ(Verdict(p, At(p, {0, 2}, {0, 1})), "ok");
  EXPECT_NE(Verdict(p, At(p, {1, 0}, {0, 1})), "ok");
  EXPECT_NE(Verdict(p, At(p, {0, 0}, {0, 0})), "ok");
  EXPECT_NE(Verdict(p, At(p, {0, 0}, {0, 2})), "ok");
  p.bindings = {{.item = 0, .arena = 1}};
  EXPECT_NE(Verdict(p, At(p, {0, 2}, {0, 1})), "ok");
  EXPECT_EQ(Verdict(p, At(p, {2, 0}, {1, 0})), "ok");
  p.capacity = 21;
  EXPECT_NE(Verdict(p, At(p, {2, 0}, {1, 0})), "ok");
}

TEST(Validator, Adjacency) {
  Problem p;
  p.items = {{.first = 0, .last = 4, .size = 10}, {.first = 5, .last = 6, .size = 3}};
  p.adjacent = {{{1, 0}}};
  EXPECT_EQ(Verdict(p, At(p, {3, 0})), "ok");
  EXPECT_NE(Verdict(p, At(p, {4, 0})), "ok");
  EXPECT_NE(Verdict(p, At(p, {0, 10})), "ok");
}

TEST(Validator, PartialOrder) {
  Problem p;
  p.items.resize(3, {.first = 0, .last = 1, .size = 8});
  p.order.steps = 4;  // 0 before 1; 0 before 2; 2 before 3
  p.order.edges = {{0, 1}, {0, 2}, {2, 3}};
  p.order.uses = {{0, 0}, {1, 1}, {2, 3}};
  EXPECT_EQ(Verdict(p, At(p, {0, 0, 8})), "ok");
  EXPECT_NE(Verdict(p, At(p, {8, 0, 0})), "ok") << "steps 1 and 3 may run at the same time";
  p.order.uses.push_back({0, 2});
  EXPECT_NE(Verdict(p, At(p, {0, 0, 8})), "ok") << "item 0 is now used beside step 1";
}

TEST(Validator, WhatThePackingSaysOfItself) {
  Problem p;
  p.items = {{.first = 0, .last = 4, .size = 10}};
  Packing good = At(p, {2});
  EXPECT_EQ(Verdict(p, good), "ok");
  Packing bad = good;
  bad.height = 11;
  EXPECT_NE(Verdict(p, bad), "ok");
  bad = good;
  bad.outcome = Outcome::kOptimal;
  EXPECT_NE(Verdict(p, bad), "ok");
  bad = good;
  bad.lower_bound = 13;
  EXPECT_NE(Verdict(p, bad), "ok");
  bad = good;
  bad.outcome = Outcome::kNone;
  EXPECT_NE(Verdict(p, bad), "ok");
  bad = good;
  bad.offsets.clear();
  EXPECT_NE(Verdict(p, bad), "ok");
  bad = good;
  bad.offsets[0] = kNoOffset;
  EXPECT_NE(Verdict(p, bad), "ok");
  bad.offsets[0] = kNoOffset - 5;
  EXPECT_NE(Verdict(p, bad), "ok");
}

// The sweep agrees with looking at every pair, on good and on bad packings alike.
TEST(Validator, AgreesWithPairs) {
  int good = 0, wrong = 0;
  for (uint32_t seed = 0; seed < 3000; ++seed) {
    Features features{.items = 4, .gaps = seed % 2 == 0, .windows = true};
    features.order = seed % 2 == 1;
    const Problem p = RandomProblem(features, seed);
    std::vector<uint64_t> offsets;
    for (size_t i = 0; i < p.items.size(); ++i) {
      offsets.push_back((seed * 7 + i * (3 + seed % 5)) % 11);
    }
    bool expected = true;
    for (uint32_t a = 0; a < offsets.size(); ++a) {
      for (uint32_t b = 0; b < a; ++b) {
        expected = expected && MayShare(p, a, offsets[a], b, offsets[b]);
      }
    }
    const std::string verdict = Verdict(p, At(p, offsets));
    EXPECT_EQ(verdict == "ok", expected) << "seed " << seed << ": " << verdict;
    ++(expected ? good : wrong);
  }
  EXPECT_GT(good, 300);
  EXPECT_GT(wrong, 300);
}

// Every feature at once: a packing that is right, and the same with one thing changed.
TEST(Validator, AgreesWithEveryRule) {
  int good = 0, wrong = 0;
  for (uint32_t seed = 0; seed < 1200; ++seed) {
    Features features{.items = 5, .largest_size = 3, .alignment = true, .fixed = true};
    features.arenas = true;
    features.adjacency = true;
    features.order = seed % 3 == 0;
    features.gaps = features.windows = !features.order;
    const Problem p = RandomProblem(features, seed);
    const std::optional<BrutePacking> best = BruteForcePacking(p, 14);
    if (!best.has_value()) continue;
    std::mt19937 random(seed);
    for (int change = 0; change < 6; ++change) {
      BrutePacking packing = *best;
      const size_t i = random() % packing.offsets.size();
      if (change == 1) packing.offsets[i] += p.items[i].alignment;
      if (change == 2) packing.offsets[i] -= std::min(packing.offsets[i], p.items[i].alignment);
      if (change == 3) packing.offsets[i] = random() % 12;
      if (change == 4) packing.arenas[i] = static_cast<uint32_t>(random() % 3);
      if (change == 5) std::swap(packing.offsets[i], packing.offsets[0]);
      const bool expected = IsValid(p, packing.offsets, packing.arenas);
      const std::string verdict = Verdict(p, At(p, packing.offsets, packing.arenas));
      ASSERT_EQ(verdict == "ok", expected) << "seed " << seed << ", " << change << ": " << verdict;
      ++(expected ? good : wrong);
      // A capacity is kept to the byte.
      if (!expected) continue;
      Problem limited = p;
      Packing claimed = At(p, packing.offsets, packing.arenas);
      limited.capacity = claimed.height;
      EXPECT_EQ(Verdict(limited, claimed), "ok");
      if (claimed.height == 0) continue;
      --limited.capacity;
      EXPECT_NE(Verdict(limited, claimed), "ok");
    }
  }
  EXPECT_GT(good, 1000);
  EXPECT_GT(wrong, 1000);
}

// Items that lie on what is beneath them, in some places with a byte between: short lives and long
// ones, at all times and at few, in one arena and in three, and beyond 2^63.
TEST(Validator, ManyItems) {
  int good = 0, wrong = 0;
  for (uint32_t variant = 0; variant < 16; ++variant) {
    const bool far_times = (variant & 1) != 0, long_lives = (variant & 2) != 0;
    const uint32_t arenas = (variant & 4) != 0 ? 3 : 1;
    const uint64_t base = (variant & 8) != 0 ? uint64_t{1} << 63 : 0;
    std::mt19937 random(variant);
    constexpr uint32_t kMany = 1500;
    Problem p;
    p.arenas.resize(arenas);
    std::vector<uint64_t> offsets;
    std::vector<uint32_t> arena_of;
    const auto overlap = [&](uint32_t a, uint32_t b) {
      const Item &x = p.items[a], &y = p.items[b];
      return arena_of[a] == arena_of[b] && x.first < y.last && y.first < x.last &&
             offsets[a] < offsets[b] + y.size && offsets[b] < offsets[a] + x.size;
    };
    for (uint32_t i = 0; i < kMany; ++i) {
      const auto first = static_cast<Time>(random() % kMany);
      const auto length = static_cast<Time>(1 + random() % (long_lives ? kMany : 20));
      const Time scale = far_times ? Time{1} << 50 : 1;
      p.items.push_back({.first = (first - 700) * scale,
                         .last = (first - 700 + length) * scale,
                         .size = 1 + random() % 100});
      arena_of.push_back(static_cast<uint32_t>(random() % arenas));
      offsets.push_back(arena_of[i] == 0 ? base : 0);  // a sum of two would exceed 2^64
      for (uint32_t b = 0; b < i; ++b) {
        if (arena_of[b] == arena_of[i] && p.items[b].first < p.items[i].last &&
            p.items[i].first < p.items[b].last) {
          offsets[i] = std::max(offsets[i], offsets[b] + p.items[b].size);
        }
      }
      offsets[i] += random() % 8 == 0 ? 1 : 0;
    }
    ASSERT_EQ(Verdict(p, At(p, offsets, arena_of)), "ok") << variant;
    for (int change = 0; change < 40; ++change) {
      const auto i = static_cast<uint32_t>(random() % kMany);
      const uint64_t offset = offsets[i];
      offsets[i] += change % 2 == 0 ? 1 : -(offset > (arena_of[i] == 0 ? base : 0) ? 1 : 0);
      bool expected = true;
      for (uint32_t b = 0; b < kMany; ++b) expected = expected && (b == i || !overlap(i, b));
      const std::string verdict = Verdict(p, At(p, offsets, arena_of));
      EXPECT_EQ(verdict == "ok", expected) << variant << ", item " << i << ": " << verdict;
      ++(expected ? good : wrong);
      offsets[i] = offset;
    }
  }
  EXPECT_GT(good, 50);
  EXPECT_GT(wrong, 300);
}

}  // namespace
}  // namespace tenure::packing
