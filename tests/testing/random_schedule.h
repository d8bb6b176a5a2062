// Random schedules that make sense, as numbers, so that the same one can be made with fresh buffers
// as often as needed, and executed for real, planned and not.
//
//   Spec spec = RandomSteps(random, {.dependencies = true});
//   Job job = MakeJob(spec, cpu);             // lazy buffers, nothing held but inputs and outputs
//   Results results = Execute(job, OneByOne(n), {});
//
// Each step reads all its windows, then writes to each a pattern derived from what it read, so that
// a byte that was not what it should be changes everything after it.

#ifndef TENURE_TESTS_TESTING_RANDOM_SCHEDULE_H_
#define TENURE_TESTS_TESTING_RANDOM_SCHEDULE_H_

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "tenure/planner/plan.h"
#include "tenure/planner/schedule.h"
#include "tenure/runtime/buffer.h"

namespace tenure {

struct SpecWindow {
  uint32_t storage = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct SpecStep {
  std::vector<SpecWindow> reads = {};
  std::vector<SpecWindow> writes = {};
  std::vector<uint32_t> after = {};
  uint32_t queue = 0;
  std::vector<InPlace> in_place = {};
};

struct SpecStorage {
  uint64_t size = 0;
  uint64_t alignment = 0;
  bool zeroed = false;
  bool input = false;
  bool output = false;
  bool donated = false;  // nobody looks at it afterwards
  OutputPlacement placement = OutputPlacement::kOwn;
};

struct Spec {
  OrderKind order = OrderKind::kTotal;
  std::vector<SpecStorage> storages;
  std::vector<SpecStep> steps;
};

struct SpecOptions {
  bool dependencies = false;
  uint32_t steps = 30;
  uint32_t queues = 2;
  uint64_t max_size = 600;
};

// Reads only what was written before (or is input, or zeros); with dependencies, steps that touch
// the same bytes are ordered.
Spec RandomSteps(std::mt19937_64& random, const SpecOptions& options);

struct Job {
  Schedule schedule;
  std::vector<Buffer> kept;  // inputs and outputs, by number of storage; others are null
};

Job MakeJob(const Spec& spec, Allocator& allocator);

// before -> after: what an executor must wait for.
using Edges = std::vector<std::pair<uint32_t, uint32_t>>;

// Total order: hazards between windows of one storage. Dependencies: `after`, and nothing else.
Edges EdgesOf(const Spec& spec);

// A random interleaving of starts (when a step zeroes and reads) and ends (when it writes) that
// waits for the edges: {step, is_end}.
std::vector<std::pair<uint32_t, bool>> Interleave(uint32_t steps, const Edges& edges,
                                                  std::mt19937_64& random);
// One step after the other.
std::vector<std::pair<uint32_t, bool>> OneByOne(uint32_t steps);

struct Results {
  std::vector<uint64_t> read;             // by each step
  std::vector<std::vector<uint8_t>> end;  // contents of inputs and outputs
  friend bool operator==(const Results&, const Results&) = default;
};

// What a step computes: a number from what it reads, and then what it writes from that number.
uint64_t DoReads(uint32_t number, const Step& step);
void DoWrites(const Step& step, uint64_t value);

// What inputs and outputs hold.
std::vector<std::vector<uint8_t>> ContentsOfKept(const Job& job);

// `fills`: storages (whole) to zero before a step.
Results Execute(const Job& job, const std::vector<std::pair<uint32_t, bool>>& events,
                const std::vector<std::pair<uint32_t, Buffer>>& fills);

}  // namespace tenure

#endif  // TENURE_TESTS_TESTING_RANDOM_SCHEDULE_H_
