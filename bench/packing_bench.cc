// Packing: every instance under every effort, rivals and generated problems, with the ratio to the
// lower bound.
//
//   bazel run -c opt //bench:packing_bench
//
// Instances are the .csv files in $TENURE_TRACES/packing (by default ../shared/traces/packing
// beside the workspace); without them only generated problems run. Counters: `ratio` is height /
// lower bound, `items` the number of items, `proven` 1 if the height is proven minimal. Validation
// is part of what is timed.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "benchmark/benchmark.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver.h"

namespace tenure::packing {
namespace {

using Shared = std::shared_ptr<const Problem>;

void Report(benchmark::State& state, uint64_t height, uint64_t lower_bound, size_t items,
            bool proven) {
  state.counters["ratio"] =
      lower_bound == 0 ? 1.0 : static_cast<double>(height) / static_cast<double>(lower_bound);
  state.counters["items"] = static_cast<double>(items);
  state.counters["proven"] = proven ? 1 : 0;
}

void BM_Solve(benchmark::State& state, const Shared& problem, const SolveOptions& options) {
  Packing packing;
  for (auto _ : state) {
    auto solved = Solve(*problem, options);
    if (!solved.ok()) return state.SkipWithError(solved.status().ToString().c_str());
    packing = *std::move(solved);
  }
  Report(state, packing.height, packing.lower_bound, problem->items.size(),
         packing.outcome == Outcome::kOptimal);
}

enum class Rival { kTlsf, kGreedyBySize };

// What the rivals are given is prepared outside the loop: they know no alignment beyond the grain.
void BM_Rival(benchmark::State& state, const Shared& problem, Rival rival) {
  const PlainInstance plain = MakePlain(*problem);
  std::vector<uint64_t> offsets;
  for (auto _ : state) {
    offsets.clear();
    if (rival == Rival::kTlsf) {
      TlsfInEventOrder(plain.blocks, 0, offsets);
    } else {
      offsets = GreedyBySize(plain.blocks);
    }
    benchmark::DoNotOptimize(offsets.data());
  }
  Report(state, TopOf(plain.blocks, offsets), plain.peak, problem->items.size(), false);
}

void BM_ReadCsv(benchmark::State& state, const std::string& text) {
  for (auto _ : state) {
    auto table = ParseCsv(text, "generated");
    if (!table.ok()) return state.SkipWithError(table.status().ToString().c_str());
    benchmark::DoNotOptimize(table->problem.items.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(text.size()));
}

enum class Lives { kShort, kTenth, kAny };

Shared Generated(size_t n, Lives lives) {
  std::mt19937_64 random(n);
  auto problem = std::make_shared<Problem>();
  problem->items.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const auto moments = static_cast<Time>(n);
    Time a = static_cast<Time>(random() % n), b = 0;
    switch (lives) {
      case Lives::kShort:
        b = a + 1 + static_cast<Time>(random() % 100);
        break;
      case Lives::kTenth:
        b = a + 1 + static_cast<Time>(random() % (n / 10));
        break;
      case Lives::kAny:
        b = static_cast<Time>(random() % n);
        break;
    }
    if (a > b) std::swap(a, b);
    problem->items.push_back({.first = a,
                              .last = std::min(std::max(b, a + 1), 2 * moments),
                              .size = 1 + random() % 1000000});
  }
  return problem;
}

std::filesystem::path Traces() {
  if (const char* traces = std::getenv("TENURE_TRACES")) return traces;
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return std::filesystem::path(workspace != nullptr ? workspace : ".") / "../shared/traces";
}

void RegisterSolve(const std::string& name, const Shared& problem, Effort effort) {
  SolveOptions options{.effort = effort};
  // What cannot be proven within this is reported as it is.
  if (effort == Effort::kOptimal) options.max_nodes = 2'000'000;
  benchmark::RegisterBenchmark(
      (std::string(EffortName(effort)) + "/" + name).c_str(),
      [problem, options](benchmark::State& s) { BM_Solve(s, problem, options); })
      ->Unit(benchmark::kMillisecond);
}

void RegisterRivals(const std::string& name, const Shared& problem) {
  benchmark::RegisterBenchmark(("tlsf/" + name).c_str(), [problem](benchmark::State& s) {
    BM_Rival(s, problem, Rival::kTlsf);
  })->Unit(benchmark::kMillisecond);
  if (problem->items.size() > 50000) return;  // quadratic
  benchmark::RegisterBenchmark(("greedy-by-size/" + name).c_str(), [problem](benchmark::State& s) {
    BM_Rival(s, problem, Rival::kGreedyBySize);
  })->Unit(benchmark::kMillisecond);
}

bool RegisterAll() {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(Traces() / "packing", error)) {
    if (entry.path().extension() == ".csv") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    const auto table = ReadCsv(file.string());
    if (!table.ok()) continue;
    const auto problem = std::make_shared<const Problem>(table->problem);
    const std::string name = file.stem().string();
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      RegisterSolve(name, problem, effort);
    }
    if (IsPlain(*problem)) RegisterRivals(name, problem);
  }
  for (size_t n : {1000u, 10000u, 100000u, 1000000u}) {
    for (const auto& [lives, kind] :
         {std::pair(Lives::kShort, "short"), std::pair(Lives::kTenth, "tenth"),
          std::pair(Lives::kAny, "any")}) {
      const std::string name = std::string("random-") + kind + "/" + std::to_string(n);
      const Shared problem = Generated(n, lives);
      RegisterSolve(name, problem, Effort::kFast);
      RegisterRivals(name, problem);
    }
  }
  std::string text = FormatCsv(*Generated(1000000, Lives::kShort)).value_or("");
  benchmark::RegisterBenchmark("read-csv/1000000", [text = std::move(text)](benchmark::State& s) {
    BM_ReadCsv(s, text);
  })->Unit(benchmark::kMillisecond);
  return true;
}

const bool kRegistered = RegisterAll();

}  // namespace
}  // namespace tenure::packing
