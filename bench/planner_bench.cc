// Measures the planning of every trace, beside the planners of other runtimes on the same items.
//
//   TENURE_TRACES=folder bazel run -c opt //bench:planner_bench
//
// The folder holds recorded schedules (*.json.gz). Without the variable, those of the repository
// are used.
//
//   MakePlan/<trace>/<way>     all of planning: liveness, packing, reuse edges, validation
//   Place/<trace>/<plan>       placing a plan and taking it out again: one just made, or one that
//                              must be checked again because it comes from elsewhere
//   Packing/<trace>/<way>      packing alone: fast, balanced, and beside them TLSF in event
//                              order and greedy by size
//   Scale/<shape>/<mode>       generated schedules of 100,000 steps
//
// `ratio` is the arenas' bytes divided by the lower bound; for packing alone that is the peak of
// the live bytes. The validator checks every result, outside the timed loop.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/validator.h"
#include "tenure/planner/planner.h"
#include "tenure/tools/trace/trace.h"
#include "tenure/tools/trace_run/trace_job.h"

namespace tenure {
namespace {

constexpr char kOwnTraces[] = "tools/demo_schedules";

NullAllocator& Device() {
  static NullAllocator* const device = new NullAllocator();
  return *device;
}

struct Input {
  std::string name;
  Trace trace;
  cli::TraceJob job;
  Schedule with_dependencies;
};

// Returns a plan's placements as a packing problem: lives and sizes of the placed storages.
packing::Problem ProblemOf(const Plan& plan) {
  packing::Problem problem;
  for (const Placement& p : plan.placements) {
    problem.items.push_back({.first = p.first_step,
                             .last = packing::Time{p.last_step} + 1,
                             .size = p.size_bytes,
                             .alignment = plan.alignment_bytes});
  }
  return problem;
}

void BenchPlan(benchmark::State& state, const Schedule& schedule, const PlanOptions& options) {
  absl::StatusOr<Plan> plan = absl::UnknownError("not run");
  for (auto _ : state) {
    plan = MakePlan(schedule, options);
    benchmark::DoNotOptimize(plan);
  }
  if (!plan.ok()) return state.SkipWithError(plan.status().ToString().c_str());
  state.counters["storages"] = static_cast<double>(plan->placements.size());
  state.counters["arena_bytes"] = static_cast<double>(plan->arena_bytes);
  state.counters["ratio"] =
      static_cast<double>(plan->arena_bytes) /
      static_cast<double>(plan->lower_bound_bytes == 0 ? 1 : plan->lower_bound_bytes);
}

// The source of a plan: MakePlan, whose check is remembered, or elsewhere.
enum class PlanFrom { kMakePlan, kElsewhere };

void BenchPlace(benchmark::State& state, const Schedule& schedule, PlanFrom from) {
  absl::StatusOr<Plan> plan = MakePlan(schedule);
  if (!plan.ok()) return state.SkipWithError(plan.status().ToString().c_str());
  if (from == PlanFrom::kElsewhere) plan->check = {};
  for (auto _ : state) {
    absl::StatusOr<PlacedPlan> placed = PlacePlan(*plan, schedule);
    absl::Status status = placed.ok() ? UnplacePlan(*std::move(placed)) : placed.status();
    if (!status.ok()) return state.SkipWithError(status.ToString().c_str());
  }
  state.counters["storages"] = static_cast<double>(plan->placements.size());
}

// The input's own schedule can't be used, because a second schedule also holds its handles.
void BenchPlaceTrace(benchmark::State& state, const Trace& trace, PlanFrom from) {
  absl::StatusOr<cli::TraceJob> job = cli::MakeTraceJob(trace, Device());
  if (!job.ok()) return state.SkipWithError(job.status().ToString().c_str());
  BenchPlace(state, job->schedule, from);
}

using Packer = std::vector<uint64_t> (*)(const packing::PlainInstance&);

// A rival: it maps rectangles to offsets.
void BenchPacker(benchmark::State& state, const packing::Problem& problem, Packer packer) {
  const packing::PlainInstance plain = packing::MakePlain(problem);
  std::vector<uint64_t> offsets;
  for (auto _ : state) {
    offsets = packer(plain);
    benchmark::DoNotOptimize(offsets.data());
  }
  packing::Packing packing;
  packing.outcome = packing::Outcome::kFeasible;
  packing.offsets.assign(problem.items.size(), 0);
  for (size_t b = 0; b < offsets.size(); ++b) packing.offsets[plain.item_of[b]] = offsets[b];
  packing::UpdateHeights(problem, packing);
  packing.lower_bound = plain.peak;
  if (packing.height == plain.peak) packing.outcome = packing::Outcome::kOptimal;
  if (absl::Status status = packing::Validate(problem, packing); !status.ok())
    return state.SkipWithError(status.ToString().c_str());
  state.counters["ratio"] = static_cast<double>(packing.height) / static_cast<double>(plain.peak);
}

void BenchSolver(benchmark::State& state, const packing::Problem& problem, packing::Effort effort) {
  packing::Packing packing;
  for (auto _ : state) {
    absl::StatusOr<packing::Packing> solved = packing::Solve(problem, {.effort = effort});
    if (!solved.ok()) return state.SkipWithError(solved.status().ToString().c_str());
    packing = *std::move(solved);
  }
  if (absl::Status status = packing::Validate(problem, packing); !status.ok())
    return state.SkipWithError(status.ToString().c_str());
  state.counters["ratio"] =
      static_cast<double>(packing.height) / static_cast<double>(packing.lower_bound);
}

std::vector<uint64_t> Tlsf(const packing::PlainInstance& plain) {
  std::vector<uint64_t> offsets(plain.rectangles.size(), packing::kNoOffset);
  packing::TlsfInEventOrder(plain.rectangles, 0, offsets);
  return offsets;
}

std::vector<uint64_t> BySize(const packing::PlainInstance& plain) {
  return packing::GreedyBySize(plain.rectangles);
}

// The same steps, ordered only by their accesses to the same bytes.
Schedule WithDependencies(const Schedule& total) {
  Schedule schedule(total.name(), OrderKind::kDependencies);
  std::vector<Step> steps = total.steps();
  for (size_t s = 0; s < steps.size(); ++s) {
    for (size_t before = 0; before < s; ++before) {
      bool conflict = false;
      for (const Buffer& write : steps[before].writes) {
        for (const Buffer& read : steps[s].reads) conflict |= write.Overlaps(read);
        for (const Buffer& other : steps[s].writes) conflict |= write.Overlaps(other);
      }
      for (const Buffer& read : steps[before].reads) {
        for (const Buffer& write : steps[s].writes) conflict |= read.Overlaps(write);
      }
      if (conflict) steps[s].after.push_back(static_cast<uint32_t>(before));
    }
  }
  for (Step& step : steps) {
    for (const Buffer& read : step.reads) {
      if (total.IsInput(read.storage_id())) schedule.MarkInput(read);
    }
    for (const Buffer& write : step.writes) {
      if (total.IsInput(write.storage_id())) schedule.MarkInput(write);
      if (total.IsOutput(write.storage_id())) schedule.MarkOutput(write);
    }
    schedule.AddStep(std::move(step)).value();
  }
  return schedule;
}

void RegisterTrace(Input& input) {
  const Schedule& schedule = input.job.schedule;
  // Both schedules of the input hold the buffers.
  PlanOptions options;
  options.ignore_outside_handles = true;
  for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap, PlanMode::kNone}) {
    options.mode = mode;
    benchmark::RegisterBenchmark(
        absl::StrCat("MakePlan/", input.name, "/", PlanModeName(mode)).c_str(), BenchPlan,
        std::cref(schedule), options)
        ->Unit(benchmark::kMicrosecond);
  }
  options.mode = PlanMode::kArena;
  PlanOptions balanced = options;
  balanced.effort = packing::Effort::kBalanced;
  benchmark::RegisterBenchmark(absl::StrCat("MakePlan/", input.name, "/arena-balanced").c_str(),
                               BenchPlan, std::cref(schedule), balanced)
      ->Unit(benchmark::kMicrosecond);
  input.with_dependencies = WithDependencies(schedule);
  benchmark::RegisterBenchmark(absl::StrCat("MakePlan/", input.name, "/dependencies").c_str(),
                               BenchPlan, std::cref(input.with_dependencies), options)
      ->Unit(benchmark::kMicrosecond);
  PlanOptions unsearched = options;
  unsearched.max_searched = 0;
  benchmark::RegisterBenchmark(
      absl::StrCat("MakePlan/", input.name, "/dependencies-unsearched").c_str(), BenchPlan,
      std::cref(input.with_dependencies), unsearched)
      ->Unit(benchmark::kMicrosecond);
  for (PlanFrom from : {PlanFrom::kMakePlan, PlanFrom::kElsewhere}) {
    benchmark::RegisterBenchmark(
        absl::StrCat("Place/", input.name, from == PlanFrom::kMakePlan ? "/made" : "/elsewhere")
            .c_str(),
        BenchPlaceTrace, std::cref(input.trace), from)
        ->Unit(benchmark::kMicrosecond);
  }
  absl::StatusOr<Plan> plan = MakePlan(schedule, options);
  if (!plan.ok()) return;
  auto* problem = new packing::Problem(ProblemOf(*plan));  // for the program's life
  for (packing::Effort effort : {packing::Effort::kFast, packing::Effort::kBalanced}) {
    benchmark::RegisterBenchmark(
        absl::StrCat("Packing/", input.name, "/", packing::EffortName(effort)).c_str(), BenchSolver,
        std::cref(*problem), effort)
        ->Unit(benchmark::kMicrosecond);
  }
  const std::pair<const char*, Packer> rivals[] = {{"tlsf", Tlsf}, {"greedy-by-size", BySize}};
  for (const auto& [name, packer] : rivals) {
    benchmark::RegisterBenchmark(absl::StrCat("Packing/", input.name, "/", name).c_str(),
                                 BenchPacker, std::cref(*problem), packer)
        ->Unit(benchmark::kMicrosecond);
  }
}

// --- generated schedules

enum class Shape100k {
  kChain,     // each step reads the output of the one before
  kBranches,  // eight chains side by side, joined now and then
  kWide,      // one step feeds 100,000 independent ones
  kOne,       // one storage that every step touches, and a short-lived one at each
};

Schedule MakeLarge(Shape100k shape, OrderKind order) {
  constexpr uint32_t kSteps = 100000;
  Schedule schedule("large", order);
  const bool dependencies = order == OrderKind::kDependencies;
  uint32_t random = 1;
  auto make = [&random] {
    random = random * 1664525 + 1013904223;
    return *Buffer::Create(Device(), DType::kUInt8, Shape::Vector(64 + (random >> 16)));
  };
  std::vector<Buffer> latest(shape == Shape100k::kBranches ? 8 : 1);
  std::vector<uint32_t> latest_step(latest.size(), 0);
  const Buffer one = make();
  for (uint32_t s = 0; s < kSteps; ++s) {
    Step step;
    const size_t lane = s % latest.size();
    const bool joins = latest.size() > 1 && s % 1000 >= 992;
    for (size_t from = joins ? 0 : lane; from < (joins ? latest.size() : lane + 1); ++from) {
      if (latest[from].is_null()) continue;
      if (shape != Shape100k::kOne) step.reads.push_back(latest[from]);
      if (dependencies) step.after.push_back(latest_step[from]);
    }
    step.writes.push_back(make());
    if (shape == Shape100k::kOne) {
      if (s > 0) step.reads.push_back(one);
      step.writes.push_back(one);
    }
    if (shape != Shape100k::kWide || s == 0) {
      latest[lane] = step.writes[0];
      latest_step[lane] = s;
    }
    schedule.AddStep(std::move(step)).value();
  }
  return schedule;
}

void BenchLarge(benchmark::State& state, Shape100k shape, OrderKind order, PlanMode mode) {
  const Schedule schedule = MakeLarge(shape, order);
  PlanOptions options;
  options.mode = mode;
  BenchPlan(state, schedule, options);
}

void BenchPlaceLarge(benchmark::State& state, Shape100k shape, PlanFrom from) {
  const Schedule schedule = MakeLarge(shape, OrderKind::kTotal);
  BenchPlace(state, schedule, from);
}

void RegisterLarge() {
  const std::pair<const char*, Shape100k> shapes[] = {{"chain", Shape100k::kChain},
                                                      {"branches", Shape100k::kBranches},
                                                      {"wide", Shape100k::kWide},
                                                      {"one", Shape100k::kOne}};
  for (const auto& [name, shape] : shapes) {
    for (PlanFrom from : {PlanFrom::kMakePlan, PlanFrom::kElsewhere}) {
      benchmark::RegisterBenchmark(absl::StrCat("Scale/", name, "/place-",
                                                from == PlanFrom::kMakePlan ? "made" : "elsewhere")
                                       .c_str(),
                                   BenchPlaceLarge, shape, from)
          ->Unit(benchmark::kMillisecond)
          ->Iterations(3);
    }
    for (OrderKind order : {OrderKind::kTotal, OrderKind::kDependencies}) {
      for (PlanMode mode : {PlanMode::kArena, PlanMode::kRemap, PlanMode::kNone}) {
        benchmark::RegisterBenchmark(
            absl::StrCat("Scale/", name, order == OrderKind::kTotal ? "" : "-dependencies", "/",
                         PlanModeName(mode))
                .c_str(),
            BenchLarge, shape, order, mode)
            ->Unit(benchmark::kMillisecond)
            ->Iterations(1);
      }
    }
  }
}

int Run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const char* folder = std::getenv("TENURE_TRACES");
  if (folder == nullptr) folder = kOwnTraces;
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().string().ends_with(".json.gz")) paths.push_back(entry.path().string());
  }
  if (error || paths.empty()) {
    std::cerr << "planner_bench: no *.json.gz in '" << folder << "'"
              << (error ? ": " + error.message() : "") << "; set TENURE_TRACES\n";
    return 1;
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::unique_ptr<Input>> inputs;
  for (const std::string& path : paths) {
    auto input = std::make_unique<Input>();
    input->name = std::filesystem::path(path).stem().stem().string();
    absl::StatusOr<Trace> trace = ReadTrace(path);
    if (trace.ok()) {
      input->trace = *std::move(trace);
      absl::StatusOr<cli::TraceJob> job = cli::MakeTraceJob(input->trace, Device());
      if (job.ok()) {
        input->job = *std::move(job);
        RegisterTrace(*input);
        inputs.push_back(std::move(input));
        continue;
      }
      trace = job.status();
    }
    std::cerr << "planner_bench: " << path << ": " << trace.status().message() << "\n";
    return 1;
  }
  RegisterLarge();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace tenure

int main(int argc, char** argv) { return tenure::Run(argc, argv); }
