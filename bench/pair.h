// MeasurePair: measures our code and a rival in turn on the same bytes.
//
// Why: as separate benchmarks, the two would meet different states of a shared machine, and their
// ratio would mean little. Here each iteration runs both, in an alternating order. Medians are
// reported, because a few interruptions do not change them.
//
// A row's time and bytes_per_second are ours, and the counters
//   rival      bytes (or items) per second of the rival
//   of_rival   rival's time / our time: 1.00 is as fast, 2.00 twice as fast
//   cpu        the same of CPU time of the calling thread: for single-threaded work on a machine
//              that is busy otherwise, the better figure
//
// Example:
//   MeasurePair(state, bytes, [&] { (void)buffer.CopyIn(p, bytes); },
//               [&] { memcpy(q, p, bytes); });
//
// Thread safety: one a thread. Use with ->UseManualTime().

#ifndef TENURE_BENCH_PAIR_H_
#define TENURE_BENCH_PAIR_H_

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/status/status.h"
#include "benchmark/benchmark.h"

namespace tenure::bench {

struct Clocks {
  double wall = 0;
  double cpu = 0;

  static double Read(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }
  static Clocks Now() { return {Read(CLOCK_MONOTONIC), Read(CLOCK_THREAD_CPUTIME_ID)}; }
};

// Returns the times of `times` calls of work.
template <typename Work>
Clocks TimeOf(uint64_t times, const Work& work) {
  const Clocks before = Clocks::Now();
  for (uint64_t i = 0; i < times; ++i) {
    work();
    benchmark::ClobberMemory();
  }
  const Clocks after = Clocks::Now();
  return {after.wall - before.wall, after.cpu - before.cpu};
}

// Reorders the values.
inline double Median(std::vector<double>& values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// `units` are the bytes or items that one call moves. `prepare_*` runs before each call, outside
// the timed part.
template <typename Ours, typename Rival, typename PrepareOurs, typename PrepareRival>
void MeasurePair(benchmark::State& state, uint64_t units, const Ours& ours, const Rival& rival,
                 const PrepareOurs& prepare_ours, const PrepareRival& prepare_rival,
                 uint64_t times) {
  std::vector<double> ours_wall, rival_wall, wall_ratio, cpu_ratio;
  bool ours_first = false;
  while (state.KeepRunningBatch(static_cast<int64_t>(times))) {
    Clocks a, b;
    for (const bool is_ours : {ours_first, !ours_first}) {
      if (is_ours) {
        prepare_ours();
        a = TimeOf(times, ours);
      } else {
        prepare_rival();
        b = TimeOf(times, rival);
      }
    }
    ours_first = !ours_first;
    state.SetIterationTime(a.wall);
    ours_wall.push_back(a.wall);
    rival_wall.push_back(b.wall);
    wall_ratio.push_back(b.wall / a.wall);
    if (a.cpu > 0) cpu_ratio.push_back(b.cpu / a.cpu);
  }
  const double all = static_cast<double>(units) * static_cast<double>(times);
  state.counters["bytes_per_second"] = all / Median(ours_wall);
  state.counters["rival"] = all / Median(rival_wall);
  state.counters["of_rival"] = Median(wall_ratio);
  state.counters["cpu"] = Median(cpu_ratio);
}

// Small work is repeated, so that reading the clocks does not affect the result.
template <typename Ours, typename Rival>
void MeasurePair(benchmark::State& state, uint64_t bytes, const Ours& ours, const Rival& rival) {
  const uint64_t times = std::max<uint64_t>(1, (uint64_t{1} << 20) / (bytes + 1024));
  ours();  // allocates lazy buffers and brings pages in
  rival();
  auto nothing = [] {};
  MeasurePair(state, bytes, ours, rival, nothing, nothing, times);
}

// Ends the program, because a benchmark of a failing call means nothing.
inline void Check(const absl::Status& status) {
  if (!status.ok()) [[unlikely]] {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::abort();
  }
}

}  // namespace tenure::bench

#endif  // TENURE_BENCH_PAIR_H_
