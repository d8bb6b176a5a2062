// A stop at any moment proves nothing: the solver is stopped at the n-th time that it asks whether
// it has to end, for every n until it ends by itself.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "gtest/gtest.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/lower_bound.h"
#include "tenure/planner/packing/problem.h"
#include "tenure/planner/packing/solver.h"
#include "testing.h"

namespace tenure::packing {
namespace {

struct Case {
  const char* name;
  Problem problem;
  uint64_t optimum;  // the least height; kUnlimited where no packing exists at any height
};

// The puzzle beside a stretch of time whose items need more than their largest total, which only
// search can tell.
Problem WithRefutable(Problem problem, const Problem& refutable, Time after, uint64_t factor) {
  for (Item item : refutable.items) {
    item.first += after;
    item.last += after;
    item.size *= factor;
    item.alignment *= factor;
    problem.items.push_back(item);
  }
  return problem;
}

// The first random problem of some features that needs more bytes than its lower bound.
Problem AboveItsBound(const Features& features, uint64_t& optimum) {
  for (uint32_t seed = 0;; ++seed) {
    Problem problem = RandomProblem(features, seed);
    const std::optional<uint64_t> best = BruteForce(problem, 16);
    if (!best.has_value() || *best <= LowerBound(problem)) continue;
    optimum = *best;
    return problem;
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  cases.push_back({"large puzzle", Tight(1, 500, 1 << 20, 600), 1 << 20});
  cases.push_back({"small puzzle", Tight(2, 150, 4000, 150), 4000});
  Problem fixed = Tight(3, 60, 500, 60);
  fixed.items.push_back({.first = 70, .last = 71, .size = 40, .fixed = 460});
  cases.push_back({"puzzle and fixed", fixed, 500});
  uint64_t optimum = 0;
  const Problem plain = AboveItsBound({.items = 6, .alignment = true}, optimum);
  cases.push_back({"above its bound", plain, optimum});
  const uint64_t height = 400 * optimum;
  cases.push_back({"puzzle and above its bound",
                   WithRefutable(Tight(5, 300, height - 1, 300), plain, 400, 400), height});
  const Problem gaps = AboveItsBound({.items = 6, .fixed = true, .gaps = true}, optimum);
  cases.push_back({"gaps and fixed", gaps, optimum});
  const Problem adjacent = AboveItsBound({.items = 6, .adjacency = true}, optimum);
  cases.push_back({"adjacency", adjacent, optimum});
  const Problem order = AboveItsBound({.items = 6, .order = true}, optimum);
  cases.push_back({"order", order, optimum});
  Problem arenas = Tight(7, 50, 300, 50);
  for (uint32_t i = 0; i < 50; ++i) arenas.bindings.push_back({.item = i, .arena = i % 2});
  arenas.arenas.resize(2);
  cases.push_back({"arenas apart", arenas, 0});
  Problem contradiction = plain;
  for (int k = 0; k < 2; ++k) {
    contradiction.items.push_back({.first = 0, .last = 3, .size = 4, .fixed = 2});
  }
  cases.push_back({"fixed contradict", contradiction, kUnlimited});
  for (Case& c : cases) {
    if (c.optimum == 0) c.optimum = Solve(c.problem, {.effort = Effort::kOptimal})->height;
  }
  return cases;
}

// What an answer says must be true, however it came about.
void Check(const Case& c, uint64_t capacity, const Packing& packing) {
  EXPECT_LE(packing.lower_bound, c.optimum);
  EXPECT_TRUE(packing.outcome != Outcome::kInfeasible || capacity < c.optimum ||
              c.optimum == kUnlimited);
  EXPECT_TRUE(packing.outcome != Outcome::kOptimal || packing.height == c.optimum);
  EXPECT_TRUE(!packing.has_offsets() ||
              (packing.height >= c.optimum && packing.height <= capacity));
}

// Solves with a stop at the n-th look, for every n until the solver ends before it, and returns
// that n. Solvers of large problems look a thousand times; of the later looks only some are stops.
int StopEverywhere(const Case& c, SolveOptions options) {
#if defined(__SANITIZE_THREAD__)
  constexpr int kMost = 20;  // a hundred times slower, and looks at threads, not at answers
#else
  constexpr int kMost = 100;
#endif
  int n = 1;
  for (;; n += n < kMost ? 1 : n / 8) {
    std::atomic<int> looks = 0;
    options.stop = [&looks, n] { return ++looks >= n; };
    // Solve validates what it returns.
    const absl::StatusOr<Packing> packing = Solve(c.problem, options);
    EXPECT_TRUE(packing.ok()) << packing.status();
    if (!packing.ok()) return n;
    SCOPED_TRACE(testing::Message()
                 << c.name << ", effort " << EffortName(options.effort) << ", capacity "
                 << options.capacity << ", " << options.max_threads << " threads, look " << n);
    Check(c, options.capacity, *packing);
    if (testing::Test::HasFailure() || looks < n) return n;
  }
}

TEST(Stop, AtAnyMomentProvesNothing) {
  for (const Case& c : Cases()) {
    int most = 0;
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      for (int threads : {1, 2}) {
        const bool possible = c.optimum != kUnlimited;
        for (uint64_t capacity : {kUnlimited, possible ? c.optimum : kUnlimited,
                                  possible ? c.optimum - 1 : uint64_t{1000}}) {
          const SolveOptions options{
              .effort = effort, .max_threads = threads, .capacity = capacity, .max_nodes = 1000};
          most = std::max(most, StopEverywhere(c, options));
          if (HasFailure()) return;
        }
      }
    }
    EXPECT_GT(most, 1) << c.name << " never asks whether it has to end";
  }
}

// What a stop cuts short still is the best so far: there is a packing, whatever the moment.
TEST(Stop, LeavesAPackingOfAPlainProblem) {
  const Problem problem = Tight(2, 150, 4000, 150);
  for (int n = 1;; ++n) {
    std::atomic<int> looks = 0;
    const absl::StatusOr<Packing> packing = Solve(
        problem,
        {.effort = Effort::kOptimal, .stop = [&] { return ++looks >= n; }, .max_nodes = 5000});
    ASSERT_TRUE(packing.ok()) << packing.status();
    ASSERT_TRUE(packing->has_offsets()) << n;
    if (looks < n) {
      EXPECT_FALSE(packing->deadline_hit);
      break;
    }
  }
}

// An explanation that is cut short names a set that does not fit, or none.
TEST(Stop, ExplainsOnlyWhatIsProven) {
  uint64_t optimum = 0;
  const Problem problem = AboveItsBound({.items = 6, .alignment = true}, optimum);
  for (int n = 1;; ++n) {
    std::atomic<int> looks = 0;
    const absl::StatusOr<Explanation> why = Explain(problem, {.effort = Effort::kOptimal,
                                                              .stop = [&] { return ++looks >= n; },
                                                              .capacity = optimum - 1});
    if (why.ok()) {
      const std::optional<uint64_t> least = BruteForce(Restrict(problem, why->conflict), 16);
      ASSERT_TRUE(least.has_value());
      EXPECT_GE(*least, optimum) << n;
    } else {
      EXPECT_EQ(why.status().code(), absl::StatusCode::kFailedPrecondition) << why.status();
    }
    if (looks < n) {
      EXPECT_TRUE(why.ok() && why->irreducible);
      break;
    }
  }
  for (int n = 1; n < 4; ++n) {
    std::atomic<int> looks = 0;
    const absl::StatusOr<Explanation> fits = Explain(
        problem,
        {.effort = Effort::kOptimal, .stop = [&] { return ++looks >= n; }, .capacity = optimum});
    EXPECT_EQ(fits.status().code(), absl::StatusCode::kFailedPrecondition) << fits.status();
  }
}

}  // namespace
}  // namespace tenure::packing
