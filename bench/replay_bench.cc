// A log of events, run again in several stacks of allocators.
//
//   bazel run -c opt //bench:replay_bench
//   TENURE_ALLOCATION_LOG=log.csv bazel run -c opt //bench:replay_bench   # a log of one's own
//
// Without a file, a small log is made: 2,000 allocations of 256 B to 64 KiB with 100 alive at a
// time, each filled, copied into and copied out of. Items are operations. What each operation takes
// and how much is reserved, `tenure replay` says; here the checks are off after a first run.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmark/benchmark.h"
#include "tenure/allocator/cpu/cpu_allocator.h"
#include "tenure/allocator/decorators/caching.h"
#include "tenure/allocator/decorators/recording.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/tools/replay/replay.h"

namespace tenure {
namespace {

void MakeLog(std::ostream& csv) {
  RecordingAllocator recording(std::make_unique<CpuAllocator>(), {.log_events = 0, .stream = &csv});
  std::mt19937_64 random(7);
  std::vector<Allocation> blocks(100);
  std::vector<uint8_t> host(uint64_t{64} << 10);
  for (int i = 0; i < 2000; ++i) {
    Allocation& block = blocks[random() % blocks.size()];
    recording.Deallocate(block);
    const uint64_t half = uint64_t{128} << (random() % 9);
    block = *recording.Allocate({.size_bytes = half + random() % half});
    const SubRegion all{&block, 0, block.size_bytes};
    recording.Fill(all, {}, {}).IgnoreError();
    recording.CopyIn(all, host.data(), {}).IgnoreError();
    recording.CopyOut(host.data(), all, {}).IgnoreError();
  }
  for (const Allocation& block : blocks) recording.Deallocate(block);
}

const ReplayProgram& Program() {
  static const ReplayProgram program = [] {
    const char* path = std::getenv("TENURE_ALLOCATION_LOG");
    std::stringstream csv;
    if (path == nullptr) MakeLog(csv);
    absl::StatusOr<ReplayProgram> read =
        path == nullptr ? ReplayProgram::Read(csv) : ReplayProgram::ReadFile(path);
    if (!read.ok()) {
      std::fprintf(stderr, "%s\n", read.status().ToString().c_str());
      std::exit(2);
    }
    return *std::move(read);
  }();
  return program;
}

void RunIn(benchmark::State& state, Allocator& allocator) {
  const ReplayProgram& program = Program();
  const absl::StatusOr<ReplayReport> checked = Replay(program, allocator, {});
  absl::Status status = checked.status();
  for (auto _ : state) {
    if (status.ok()) status = Replay(program, allocator, {.check = false}).status();
  }
  if (!status.ok()) {
    state.SkipWithError(status.ToString().c_str());
    return;
  }
  const auto operations = static_cast<int64_t>(program.ops().size() - checked->left_out);
  state.SetItemsProcessed(state.iterations() * operations);
  state.counters["peak_reserved_bytes"] = benchmark::Counter(
      static_cast<double>(checked->peak_reserved_bytes), {}, benchmark::Counter::kIs1024);
}

void BM_Null(benchmark::State& state) {
  NullAllocator null;
  RunIn(state, null);
}
BENCHMARK(BM_Null);

void BM_Cpu(benchmark::State& state) {
  CpuAllocator cpu;
  RunIn(state, cpu);
}
BENCHMARK(BM_Cpu);

void BM_Caching(benchmark::State& state) {
  CachingAllocator caching(std::make_unique<CpuAllocator>(), {});
  RunIn(state, caching);
}
BENCHMARK(BM_Caching);

void BM_Recording(benchmark::State& state) {
  RecordingAllocator recording(std::make_unique<CpuAllocator>(), {});
  RunIn(state, recording);
}
BENCHMARK(BM_Recording);

}  // namespace
}  // namespace tenure
