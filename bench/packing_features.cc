// Measures packing feature by feature: the cost of each, and how late a deadline is met.
//
//   bazel run -c opt //bench:packing_features -- [--mode=time|overrun|heights] [--feature=NAME]
//       [--effort=fast] [--deadline_ms=10] [--items=1000,10000,30000] [--runs=5]
//
//   time      a table of seconds, without a deadline, and of height / lower bound
//   overrun   a table of how long after the deadline Solve returned: median and worst of the runs
//   heights   a few hundred small problems with every feature: the height of each, to compare
//
// Every problem has short lives of at most a hundred moments. "one" uses the feature once, "all"
// uses it for every item if that makes sense. Solve itself validates the results.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {
namespace {

struct Feature {
  const char* name;
  HintPolicy hints;
  std::function<void(Problem&, std::mt19937_64&)> add;
};

Problem Plain(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  Problem problem;
  for (size_t i = 0; i < n; ++i) {
    const auto first = static_cast<Time>(random() % n);
    problem.items.push_back({.first = first,
                             .last = first + 1 + static_cast<Time>(random() % 100),
                             .size = 64 * (1 + random() % 1000),
                             .alignment = 64});
  }
  return problem;
}

uint32_t Size(const Problem& problem) { return static_cast<uint32_t>(problem.items.size()); }

void Hint(Problem& problem, const SolveOptions& options) {
  Problem other = problem;
  const absl::StatusOr<Packing> packing = Solve(other, options);
  if (!packing.ok() || !packing->has_offsets()) return;
  for (uint32_t i = 0; i < Size(problem); ++i) problem.items[i].hint = packing->offsets[i];
}

// Makes `width` chains of steps, with an edge from one to another now and then. Each item is used
// by some steps of one neighbourhood.
void Order(Problem& problem, std::mt19937_64& random, uint32_t width) {
  const uint32_t n = Size(problem);
  problem.order.steps = n;
  for (uint32_t s = 0; s + width < n; ++s) {
    problem.order.edges.push_back({s, s + width});
    if (width > 1 && random() % 4 == 0) {
      problem.order.edges.push_back({s, static_cast<uint32_t>(s + 1 + random() % width)});
    }
  }
  for (uint32_t i = 0; i < n; ++i) {
    const auto at = static_cast<uint32_t>(random() % n);
    for (uint32_t k = 0; k < 3; ++k) {
      const auto step = static_cast<uint32_t>(at + random() % (16 * width));
      problem.order.uses.push_back({i, std::min(step, n - 1)});
    }
  }
}

void GapsOfAll(Problem& problem, bool windows) {
  for (uint32_t i = 0; i < Size(problem); ++i) {
    const Item& item = problem.items[i];
    const Time length = item.last - item.first;
    if (length < 3) continue;
    Gap gap{.item = i, .first = item.first + length / 3, .last = item.last - length / 3};
    if (windows) gap.window_end = item.size / 2;
    problem.gaps.push_back(gap);
  }
}

void FixSome(Problem& problem, uint32_t stride) {
  Problem other = problem;
  const absl::StatusOr<Packing> packing = Solve(other, {.effort = Effort::kFast});
  for (uint32_t i = 0; i < Size(problem); i += stride) problem.items[i].fixed = packing->offsets[i];
}

const std::vector<Feature>& Features() {
  using Random = std::mt19937_64;
  static const std::vector<Feature> features = {
      {"plain", HintPolicy::kPrefer, [](Problem&, Random&) {}},
      {"hint-one", HintPolicy::kPrefer, [](Problem& p, Random&) { p.items[0].hint = 640; }},
      {"hints-any", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         for (Item& item : p.items) item.hint = 64 * (r() % 20000);
       }},
      {"hints-keep", HintPolicy::kKeep,
       [](Problem& p, Random&) {
         Hint(p, {.effort = Effort::kFast});
         for (size_t i = 0; i < p.items.size(); i += 10) p.items[i].size += 640;
       }},
      {"fixed-one", HintPolicy::kPrefer, [](Problem& p, Random&) { p.items[0].fixed = 64000; }},
      {"fixed-tenth", HintPolicy::kPrefer, [](Problem& p, Random&) { FixSome(p, 10); }},
      {"fixed-all", HintPolicy::kPrefer, [](Problem& p, Random&) { FixSome(p, 1); }},
      {"arenas-two", HintPolicy::kPrefer, [](Problem& p, Random&) { p.arenas.resize(2); }},
      {"arenas-bound", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         p.arenas.resize(4);
         for (uint32_t i = 0; i < Size(p); i += 2) {
           p.bindings.push_back({i, static_cast<uint32_t>(r() % 4)});
         }
       }},
      {"gap-one", HintPolicy::kPrefer,
       [](Problem& p, Random&) {
         p.items[0].last = p.items[0].first + 30;
         p.gaps = {{.item = 0, .first = p.items[0].first + 10, .last = p.items[0].first + 20}};
       }},
      {"gaps-all", HintPolicy::kPrefer, [](Problem& p, Random&) { GapsOfAll(p, false); }},
      {"windows-all", HintPolicy::kPrefer, [](Problem& p, Random&) { GapsOfAll(p, true); }},
      {"group-one", HintPolicy::kPrefer,
       [](Problem& p, Random&) {
         p.adjacent = {{{0, 1}}};
       }},
      {"groups-all", HintPolicy::kPrefer,
       [](Problem& p, Random&) {
         std::vector<uint32_t> by_time(p.items.size());
         for (uint32_t i = 0; i < Size(p); ++i) by_time[i] = i;
         std::sort(by_time.begin(), by_time.end(),
                   [&p](uint32_t a, uint32_t b) { return p.items[a].first < p.items[b].first; });
         for (uint32_t k = 0; k + 1 < Size(p); k += 2) {
           p.adjacent.push_back({{by_time[k], by_time[k + 1]}});
         }
       }},
      {"order-chain", HintPolicy::kPrefer, [](Problem& p, Random& r) { Order(p, r, 1); }},
      {"order-4", HintPolicy::kPrefer, [](Problem& p, Random& r) { Order(p, r, 4); }},
      {"order-64", HintPolicy::kPrefer, [](Problem& p, Random& r) { Order(p, r, 64); }},
      {"order-64-fixed", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         Order(p, r, 64);
         p.items[0].fixed = 64000;
       }},
      {"order-tenth-fixed", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         Order(p, r, Size(p) / 10);
         p.items[0].fixed = 64000;
       }},
      {"order-tenth", HintPolicy::kPrefer,
       [](Problem& p, Random& r) { Order(p, r, Size(p) / 10); }},
      {"order-many-edges", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         Order(p, r, 4);
         for (uint32_t s = 0; s < Size(p); ++s) {
           for (uint32_t k = 1; k <= 20 && s + 4 * k < Size(p); ++k) {
             p.order.edges.push_back({s, s + 4 * k});
           }
         }
       }},
      {"order-used-by-all", HintPolicy::kPrefer,
       [](Problem& p, Random& r) {
         Order(p, r, 4);
         for (uint32_t s = 0; s < Size(p); ++s) p.order.uses.push_back({0, s});
       }},
  };
  return features;
}

struct Options {
  std::string mode = "time", feature;
  Effort effort = Effort::kFast;
  double deadline_ms = 10;
  std::vector<size_t> items = {1000, 10000, 30000};
  int runs = 5;
};

void Row(const Feature& feature, const Options& options) {
  std::printf("| %s |", feature.name);
  for (size_t n : options.items) {
    std::mt19937_64 random(n);
    Problem problem = Plain(n, n);
    feature.add(problem, random);
    const bool late = options.mode == "overrun";
    double seconds = 0;
    std::vector<double> overruns;  // ms
    std::string note;
    for (int run = 0; run < (late ? options.runs : 1); ++run) {
      const absl::Time start = absl::Now();
      SolveOptions solve{.effort = options.effort, .hints = feature.hints};
      const absl::Duration time = absl::Milliseconds(options.deadline_ms);
      if (late) solve.deadline = start + time;
      const absl::StatusOr<Packing> packing = Solve(problem, solve);
      const absl::Duration took = absl::Now() - start;
      if (!packing.ok()) {
        std::fprintf(stderr, "%s: %s\n", feature.name, packing.status().ToString().c_str());
        return;
      }
      if (late) {
        overruns.push_back(absl::ToDoubleMilliseconds(took - time));
        if (!packing->has_offsets()) note = " (none)";
      } else {
        seconds = absl::ToDoubleSeconds(took);
        note = absl::StrCat(" (",
                            packing->has_offsets() ? static_cast<double>(packing->height) /
                                                         static_cast<double>(packing->lower_bound)
                                                   : 0.0,
                            ")");
      }
    }
    if (late) {
      std::sort(overruns.begin(), overruns.end());
      std::printf(" %+.1f, %+.1f ms%s |", overruns[overruns.size() / 2], overruns.back(),
                  note.c_str());
    } else {
      std::printf(" %.3f s%s |", seconds, note.c_str());
    }
    std::fflush(stdout);
  }
  std::printf("\n");
}

void Heights(const Options& options) {
  for (const Feature& feature : Features()) {
    if (!options.feature.empty() && options.feature != feature.name) continue;
    for (uint64_t seed = 0; seed < 12; ++seed) {
      for (size_t n : {20, 60, 200, 600}) {
        std::mt19937_64 random(seed);
        Problem problem = Plain(n, seed);
        feature.add(problem, random);
        const absl::StatusOr<Packing> packing =
            Solve(problem, {.effort = options.effort, .hints = feature.hints});
        std::printf("%s %zu %d %llu %llu\n", feature.name, n, static_cast<int>(seed),
                    static_cast<unsigned long long>(packing.ok() ? packing->height : 0),
                    static_cast<unsigned long long>(packing.ok() ? packing->lower_bound : 0));
      }
    }
  }
}

int Run(int argc, char** argv) {
  Options options;
  for (int k = 1; k < argc; ++k) {
    const std::vector<std::string> parts = absl::StrSplit(argv[k], absl::MaxSplits('=', 1));
    const std::string value = parts.size() > 1 ? parts[1] : "";
    bool good = true;
    if (parts[0] == "--mode") {
      options.mode = value;
    } else if (parts[0] == "--feature") {
      options.feature = value;
    } else if (parts[0] == "--effort") {
      const auto effort = ParseEffort(value);
      good = effort.has_value();
      if (good) options.effort = *effort;
    } else if (parts[0] == "--deadline_ms") {
      good = absl::SimpleAtod(value, &options.deadline_ms);
    } else if (parts[0] == "--runs") {
      good = absl::SimpleAtoi(value, &options.runs);
    } else if (parts[0] == "--items") {
      options.items.clear();
      for (std::string_view item : absl::StrSplit(value, ',')) {
        uint64_t n = 0;
        good = good && absl::SimpleAtoi(item, &n) && n > 0;
        options.items.push_back(n);
      }
    } else {
      good = false;
    }
    if (!good) {
      std::fprintf(stderr, "packing_features: what is %s? The head of the source says.\n", argv[k]);
      return 2;
    }
  }
  if (options.mode == "heights") {
    Heights(options);
    return 0;
  }
  std::printf("| feature |");
  for (size_t n : options.items) std::printf(" %zu items |", n);
  std::printf("\n|---|");
  for (size_t k = 0; k < options.items.size(); ++k) std::printf("---|");
  std::printf("\n");
  for (const Feature& feature : Features()) {
    if (options.feature.empty() || options.feature == feature.name) Row(feature, options);
  }
  return 0;
}

}  // namespace
}  // namespace tenure::packing

int main(int argc, char** argv) { return tenure::packing::Run(argc, argv); }
