// A libFuzzer target for the readers and the solver: whatever the bytes, no crash, no wrong
// packing, and no work without an end: libFuzzer's -timeout and the test's own tell of that.
//
//   FUZZ="--config=clang-asan-ubsan --copt=-fsanitize=fuzzer-no-link"
//   bazel run $FUZZ //tests/planner/packing:fuzzer -- -max_total_time=60 -timeout=60
//
// The first byte chooses: CSV, JSON, or a problem read off the bytes themselves. Solve validates
// what it returns and reports a packing that is wrong as Internal, which is what is looked for
// here.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/io/json.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/planner/packing/validator.h"

namespace {

using namespace tenure::packing;  // NOLINT: a program of its own

// Far more than any of these problems takes.
constexpr absl::Duration kLong = absl::Seconds(5);

class Bytes {
 public:
  Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  uint32_t Next() { return at_ < size_ ? data_[at_++] : 0; }
  uint32_t Below(uint32_t n) { return n == 0 ? 0 : Next() % n; }
  bool done() const { return at_ >= size_; }

 private:
  const uint8_t* data_;
  size_t size_, at_ = 0;
};

Problem Decode(Bytes bytes) {
  Problem problem;
  const uint32_t features = bytes.Next();
  const uint32_t n = bytes.Below(24);
  for (uint32_t i = 0; i < n; ++i) {
    Item item;
    item.first = bytes.Below(16);
    item.last = item.first + 1 + bytes.Below(16);
    item.size = bytes.Below(64);
    if ((features & 1) != 0) item.alignment = 1 + bytes.Below(8);
    if ((features & 2) != 0 && bytes.Below(4) == 0) item.fixed = bytes.Below(32) * item.alignment;
    if ((features & 4) != 0) item.hint = bytes.Next();
    problem.items.push_back(item);
  }
  if ((features & 64) != 0) problem.capacity = bytes.Next();
  if (n == 0) return problem;
  if ((features & 8) != 0) {
    problem.arenas.resize(1 + bytes.Below(3));
    for (Arena& arena : problem.arenas) arena.limit = bytes.Next() * 4;
    for (uint32_t k = bytes.Below(n); k > 0; --k) {
      problem.bindings.push_back(
          {bytes.Below(n), bytes.Below(static_cast<uint32_t>(problem.arenas.size()))});
    }
  }
  if ((features & 16) != 0) {
    AdjacencyGroup group;
    for (uint32_t k = bytes.Below(4); k > 0; --k) group.items.push_back(bytes.Below(n));
    problem.adjacent.push_back(group);
  }
  if ((features & 32) != 0) {
    problem.order.steps = 1 + bytes.Below(12);
    for (uint32_t k = bytes.Below(30); k > 0; --k) {
      problem.order.edges.push_back(
          {bytes.Below(problem.order.steps), bytes.Below(problem.order.steps)});
    }
    for (uint32_t k = bytes.Below(40); k > 0; --k) {
      problem.order.uses.push_back({bytes.Below(n), bytes.Below(problem.order.steps)});
    }
  } else {
    while (!bytes.done() && problem.gaps.size() < 20) {
      Gap gap;
      gap.item = bytes.Below(n);
      gap.first = bytes.Below(24);
      gap.last = gap.first + bytes.Below(6);
      gap.window_begin = bytes.Below(32);
      gap.window_end = gap.window_begin + bytes.Below(32);
      problem.gaps.push_back(gap);
    }
  }
  return problem;
}

void Expect(bool good, std::string_view what) {
  if (good) return;
  std::fprintf(stderr, "fuzz target: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

void Check(const Problem& problem) {
  if (!CheckProblem(problem).ok()) {
    Expect(!Solve(problem).ok(), "a malformed problem was solved");
    return;
  }
  // A packing of one effort is a proof against infeasibility by any other.
  bool packed = false, infeasible = false;
  for (Effort effort : {Effort::kFast, Effort::kBalanced, Effort::kOptimal}) {
    const HintPolicy hints = effort == Effort::kFast ? HintPolicy::kKeep : HintPolicy::kPrefer;
    const auto packing = Solve(
        problem,
        {.effort = effort, .deadline = absl::Now() + kLong, .hints = hints, .max_nodes = 2000});
    Expect(packing.ok(), packing.status().message());
    const absl::Status valid = Validate(problem, *packing);
    Expect(valid.ok(), valid.message());
    packed = packed || packing->has_offsets();
    infeasible = infeasible || packing->outcome == Outcome::kInfeasible;
    const auto read = ParsePackingJson(FormatPackingJson(*packing), "fuzz");
    Expect(read.ok() && Validate(problem, *read).ok(), "a packing that was written is not read");
  }
  Expect(!packed || !infeasible, "what was packed is called infeasible");
  const auto late = Solve(problem, {.deadline = absl::InfinitePast()});
  Expect(late.ok(), "no answer at the deadline");
  if (!infeasible) return;
  const auto why = Explain(
      problem, {.effort = Effort::kOptimal, .deadline = absl::Now() + kLong, .max_nodes = 500},
      true);
  Expect(why.ok() && !why->conflict.empty(), "what is infeasible is not explained");
  const auto part = Solve(Restrict(problem, why->conflict), {.effort = Effort::kFast});
  Expect(part.ok() && !part->has_offsets(), "a conflict was packed");
  Expect(!ExplanationText(problem, *why).empty() && !FormatExplanationJson(*why).empty(),
         "an explanation says nothing");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 0) {
    const auto table = ParseCsv(std::string(text), "fuzz");
    if (!table.ok()) return 0;
    // Large numbers of items would only be slow.
    if (table->problem.items.size() > 64 || table->problem.arenas.size() > 8) return 0;
    Check(table->problem);
    const auto packing = Solve(table->problem, {.effort = Effort::kFast});
    if (packing.ok() && packing->has_offsets()) {
      const auto written = FormatCsv(*table, *packing);
      Expect(written.ok(), "a packing was not written");
      const auto read = ParseCsv(*written, "fuzz");
      Expect(read.ok(), "a packing that was written is not read");
      for (size_t i = 0; i < packing->offsets.size(); ++i) {
        Expect(read->problem.items[i].fixed == packing->offsets[i], "an offset was lost");
        Expect(read->Id(i) == table->Id(i), "a name was lost");
      }
    }
    const auto plain = FormatCsv(table->problem);
    Expect(!plain.ok() || ParseCsv(*plain, "fuzz").ok(), "a problem that was written is not read");
  } else if (data[0] % 3 == 1) {
    const auto problem = ParseProblemJson(text, "fuzz");
    if (problem.ok() && problem->items.size() <= 64 && problem->order.steps <= 1000 &&
        problem->arenas.size() <= 8) {
      Check(*problem);
      const auto again = ParseProblemJson(FormatProblemJson(*problem), "fuzz");
      Expect(again.ok(), "a problem that was written is not read");
    }
    const auto packing = ParsePackingJson(text, "fuzz");
    // Whatever it says: judged, without a crash.
    if (packing.ok() && problem.ok()) (void)Validate(*problem, *packing);
    if (packing.ok()) (void)Validate(Decode(Bytes(data, size)), *packing);
  } else {
    Check(Decode(Bytes(data + 1, size - 1)));
  }
  return 0;
}
