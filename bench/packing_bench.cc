// Measures packing: every instance with every effort, rivals and generated problems, with the ratio
// to the lower bound.
//
//   bazel run -c opt //bench:packing_bench -- --instances=DIR [--benchmark_filter=...]
//
// Instances are the .csv and .json files of the folder (by default $TENURE_PACKING, else
// $TENURE_TRACES/packing, else ../shared/traces/packing beside the workspace). If there are none,
// only generated problems run. A name like A.1048576.csv also asks whether A fits into that many
// bytes.
//
//   fast, balanced, optimal/<instance>   how low it gets; optimal ends after two million nodes
//   capacity/<instance>                  whether it fits into the capacity in its name, optimal
//   tlsf, greedy-by-size/<instance>      the planners of other runtimes
//   fast/random-<lives>/<n>              random lives: short, up to a tenth of the schedule, any
//   read-csv/1000000                     the reader alone
//
// Counters: `ratio` is height / lower bound (of the live bytes); `height` and `bound` are these
// two; `items` is the number of items; `proven` is 1 if the height is proven minimal (0 also if
// there is no packing); `peak_bytes` is the most memory that a random problem and its packing take.
// The timed part includes validation. Rivals are validated once, outside of it.

#include <malloc.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/io/json.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/validator.h"

namespace tenure::packing {
namespace {

// A result that is not proven within this limit is reported as it is.
constexpr uint64_t kMostNodes = 2'000'000;
// Greedy by size is quadratic.
constexpr size_t kMostForGreedyBySize = 50'000;

using Shared = std::shared_ptr<const Problem>;

void Report(benchmark::State& state, const Problem& problem, const Packing& packing) {
  const auto height = static_cast<double>(packing.height);
  const auto bound = static_cast<double>(packing.lower_bound);
  state.counters["ratio"] = packing.lower_bound == 0 ? 1.0 : height / bound;
  state.counters["height"] = height;
  state.counters["bound"] = bound;
  state.counters["items"] = static_cast<double>(problem.items.size());
  state.counters["proven"] = packing.outcome == Outcome::kOptimal ? 1 : 0;
}

void BM_Solve(benchmark::State& state, const Shared& problem, const SolveOptions& options) {
  Packing packing;
  for (auto _ : state) {
    auto solved = Solve(*problem, options);
    if (!solved.ok()) return state.SkipWithError(solved.status().ToString().c_str());
    packing = *std::move(solved);
  }
  Report(state, *problem, packing);
}

enum class Rival { kTlsf, kGreedyBySize };

// The rivals' input is prepared outside the loop. They support no alignment beyond the grain.
void BM_Rival(benchmark::State& state, const Shared& problem, Rival rival) {
  const PlainInstance plain = MakePlain(*problem);
  std::vector<uint64_t> offsets;
  for (auto _ : state) {
    if (rival == Rival::kTlsf) {
      offsets.assign(plain.rectangles.size(), kNoOffset);
      TlsfInEventOrder(plain.rectangles, 0, offsets);
    } else {
      offsets = GreedyBySize(plain.rectangles);
    }
    benchmark::DoNotOptimize(offsets.data());
  }
  Packing packing;
  packing.offsets.assign(problem->items.size(), 0);
  for (size_t b = 0; b < offsets.size(); ++b) packing.offsets[plain.item_of[b]] = offsets[b];
  UpdateHeights(*problem, packing);
  packing.lower_bound = std::min(plain.peak, packing.height);
  packing.outcome = packing.height == packing.lower_bound ? Outcome::kOptimal : Outcome::kFeasible;
  if (absl::Status status = Validate(*problem, packing); !status.ok()) {
    return state.SkipWithError(status.ToString().c_str());
  }
  Report(state, *problem, packing);
}

// Returns a number of kB that the system keeps about this process; nothing if it does not.
std::optional<uint64_t> StatusBytes(std::string_view key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(key, 0) != 0) continue;
    return std::strtoull(line.c_str() + key.size(), nullptr, 10) * 1024;
  }
  return std::nullopt;
}

enum class Lives { kShort, kTenth, kAny };

Problem Generated(size_t n, Lives lives) {
  std::mt19937_64 random(n);
  Problem problem;
  problem.items.reserve(n);
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
    problem.items.push_back({.first = a,
                             .last = std::min(std::max(b, a + 1), 2 * moments),
                             .size = 1 + random() % 1000000});
  }
  return problem;
}

// The problem is made when the case runs and freed afterwards, so that only its memory is counted.
void BM_Random(benchmark::State& state, size_t n, Lives lives) {
  malloc_trim(0);
  // Asks the system to reset the highest resident size.
  const bool forgets =
      static_cast<bool>(std::ofstream("/proc/self/clear_refs") << "5" << std::flush);
  const std::optional<uint64_t> before = StatusBytes("VmRSS:");
  const Problem problem = Generated(n, lives);
  Packing packing;
  for (auto _ : state) {
    auto solved = Solve(problem, {.effort = Effort::kFast});
    if (!solved.ok()) return state.SkipWithError(solved.status().ToString().c_str());
    packing = *std::move(solved);
  }
  Report(state, problem, packing);
  const std::optional<uint64_t> peak = StatusBytes("VmHWM:");
  if (forgets && before && peak && *peak > *before) {
    state.counters["peak_bytes"] = static_cast<double>(*peak - *before);
  }
}

void BM_RandomRival(benchmark::State& state, size_t n, Lives lives, Rival rival) {
  BM_Rival(state, std::make_shared<const Problem>(Generated(n, lives)), rival);
}

void BM_ReadCsv(benchmark::State& state, size_t n) {
  const std::string text = FormatCsv(Generated(n, Lives::kShort)).value_or("");
  for (auto _ : state) {
    auto table = ParseCsv(text, "generated");
    if (!table.ok()) return state.SkipWithError(table.status().ToString().c_str());
    benchmark::DoNotOptimize(table->problem.items.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(text.size()));
}

template <typename... Args>
void Register(const std::string& name, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(), args...)
      ->Unit(benchmark::kMillisecond)
      ->MeasureProcessCPUTime()
      ->UseRealTime();
}

void RegisterRivals(const std::string& name, const Shared& problem) {
  Register(absl::StrCat("tlsf/", name), BM_Rival, problem, Rival::kTlsf);
  if (problem->items.size() > kMostForGreedyBySize) return;
  Register(absl::StrCat("greedy-by-size/", name), BM_Rival, problem, Rival::kGreedyBySize);
}

absl::StatusOr<Problem> ReadProblem(const std::string& path) {
  if (absl::EndsWith(path, ".csv")) {
    TENURE_ASSIGN_OR_RETURN(CsvTable table, ReadCsv(path));
    return std::move(table.problem);
  }
  TENURE_ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  return ParseProblemJson(text, path);
}

// Returns false, after a message, if a file is not a problem.
bool RegisterInstances(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string extension = entry.path().extension();
    if (extension == ".csv" || extension == ".json") files.push_back(entry.path());
  }
  if (error) {
    std::cerr << "packing_bench: " << folder.string() << ": " << error.message()
              << "; only generated problems run\n";
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    absl::StatusOr<Problem> read = ReadProblem(file.string());
    if (!read.ok()) {
      std::cerr << "packing_bench: " << read.status().message() << "\n";
      return false;
    }
    const auto problem = std::make_shared<const Problem>(*std::move(read));
    const std::string name = file.stem().string();
    for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
      SolveOptions options{.effort = effort};
      if (effort == Effort::kOptimal) options.max_nodes = kMostNodes;
      Register(absl::StrCat(EffortName(effort), "/", name), BM_Solve, problem, options);
    }
    SolveOptions fits{.effort = Effort::kOptimal};
    if (absl::SimpleAtoi(name.substr(name.rfind('.') + 1), &fits.capacity)) {
      fits.max_nodes = kMostNodes;
      Register(absl::StrCat("capacity/", name), BM_Solve, problem, fits);
    }
    if (IsPlain(*problem)) RegisterRivals(name, problem);
  }
  return true;
}

void RegisterGenerated() {
  for (size_t n = 1000; n <= 1000000; n *= 10) {
    for (const auto& [lives, kind] :
         {std::pair(Lives::kShort, "short"), std::pair(Lives::kTenth, "tenth"),
          std::pair(Lives::kAny, "any")}) {
      const std::string name = absl::StrCat("random-", kind, "/", n);
      Register(absl::StrCat("fast/", name), BM_Random, n, lives);
      Register(absl::StrCat("tlsf/", name), BM_RandomRival, n, lives, Rival::kTlsf);
    }
  }
  Register("read-csv/1000000", BM_ReadCsv, size_t{1000000});
}

std::filesystem::path DefaultFolder() {
  if (const char* folder = std::getenv("TENURE_PACKING")) return folder;
  if (const char* traces = std::getenv("TENURE_TRACES")) {
    return std::filesystem::path(traces) / "packing";
  }
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return std::filesystem::path(workspace != nullptr ? workspace : ".") / "../shared/traces/packing";
}

int Run(int argc, char** argv) {
  constexpr std::string_view kInstances = "--instances=";
  std::filesystem::path folder = DefaultFolder();
  std::vector<char*> args;
  for (int i = 0; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (absl::StartsWith(arg, kInstances)) {
      folder = std::string(arg.substr(kInstances.size()));
    } else {
      args.push_back(argv[i]);
    }
  }
  int count = static_cast<int>(args.size());
  benchmark::Initialize(&count, args.data());
  if (benchmark::ReportUnrecognizedArguments(count, args.data())) return 2;
  if (!RegisterInstances(folder)) return 1;
  RegisterGenerated();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace tenure::packing

int main(int argc, char** argv) { return tenure::packing::Run(argc, argv); }
