// tenure pack: the packing problem alone.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "tenure/planner/packing/solver.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/packing_file.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

struct PackFlags {
  std::string input;
  std::optional<Bytes> capacity;
  std::string effort = "balanced";
  std::optional<absl::Duration> deadline;
  int threads = DefaultThreads();
  std::string hints = "prefer";
  std::string output;
  bool json = false;
};

std::string Report(const PackFlags& flags, const packing::Problem& problem,
                   const packing::Packing& packing, double seconds) {
  const std::string_view status = packing::OutcomeName(packing.outcome);
  if (flags.json) {
    nlohmann::ordered_json out;
    out["input"] = flags.input;
    out["status"] = status;
    out["deadline_hit"] = packing.deadline_hit;
    if (packing.has_offsets()) {
      out["height"] = packing.height;
    } else {
      out["height"] = nullptr;
    }
    out["lower_bound"] = packing.lower_bound;
    out["items"] = problem.items.size();
    out["seconds"] = seconds;
    out["effort"] = flags.effort;
    if (flags.capacity.has_value()) out["capacity"] = flags.capacity->value;
    if (packing.heights.size() > 1) out["heights"] = packing.heights;
    out["nodes"] = packing.statistics.nodes;
    out["winner"] = packing.statistics.winner;
    return JsonLine(out);
  }
  std::string text = absl::StrFormat("%d items: %s", problem.items.size(), status);
  if (packing.has_offsets()) {
    absl::StrAppendFormat(&text, ", height %d (%s)", packing.height, HumanBytes(packing.height));
    if (packing.lower_bound > 0) {
      absl::StrAppendFormat(
          &text, ", %.6f of the lower bound %d",
          static_cast<double>(packing.height) / static_cast<double>(packing.lower_bound),
          packing.lower_bound);
    }
  } else {
    absl::StrAppend(&text, ", lower bound ", packing.lower_bound);
  }
  absl::StrAppendFormat(&text, ", in %.3f ms%s\n", seconds * 1e3,
                        packing.deadline_hit ? ", cut short by the deadline" : "");
  return text;
}

}  // namespace

int PackCommand(Args args) {
  PackFlags flags;
  FlagSet set("pack",
              "Packs buffers with known lifetimes into as little memory as possible or, with "
              "--capacity, says whether they fit. Two buffers may share bytes if their lifetimes "
              "do not overlap.");
  set.AddParagraph(
      "The input is CSV as MiniMalloc reads it: id,lower,upper,size, in any order; a buffer lives "
      "in [lower, upper). Further columns may be alignment, gaps (times when it needs no or fewer "
      "bytes), offset (it is fixed there), hint (it would like to be there), arena, and end "
      "(inclusive) in place of upper; planner/packing/io/csv.h describes them, and io/json.h the "
      "JSON that can say more.");
  set.Add("input", "FILE", "the problem, .csv or .json", &flags.input, FlagSet::kRequired);
  set.Add("capacity", "BYTES", "ask whether it fits into this; without it: how low it gets",
          &flags.capacity);
  set.Add("effort", "",
          "fast: greedy, near-linear; balanced: a fixed amount of search; optimal: until proven or "
          "the deadline",
          &flags.effort, FlagSet::kOptional, {"fast", "balanced", "optimal"});
  set.Add("deadline", "TIME", "end by then with the best so far, for example 10s or 250ms",
          &flags.deadline);
  set.Add("threads", "N", "the most threads to use; the answer is the same for any number",
          &flags.threads);
  set.Add("hints", "",
          "the column 'hint': ignore it; prefer it where that costs no height; keep it "
          "(re-planning)",
          &flags.hints, FlagSet::kOptional, {"ignore", "prefer", "keep"});
  set.Add("output", "FILE",
          "write the input with an 'offset' column, or the packing as JSON if it ends in .json",
          &flags.output);
  set.Add("json", "", "print one JSON object instead of text", &flags.json);
  set.AddJsonKey("input, effort, capacity", "as asked for");
  set.AddJsonKey("status",
                 "optimal: proven; feasible: a packing, perhaps not the lowest; infeasible: proven "
                 "not to fit; none: neither found nor refuted");
  set.AddJsonKey("deadline_hit", "whether the deadline cut it short");
  set.AddJsonKey("height", "bytes that the packing takes; null if there is none");
  set.AddJsonKey("heights", "of each arena; only if there are several");
  set.AddJsonKey("lower_bound", "proven: no packing takes less");
  set.AddJsonKey("items", "how many buffers there are");
  set.AddJsonKey("seconds", "time of the solver, without reading and writing files");
  set.AddJsonKey("nodes, winner", "work done by the search; what found the packing");
  set.AddExample("tenure pack --input=A.1048576.csv --effort=fast");
  set.AddExample("tenure pack --input=A.1048576.csv --capacity=1MiB --output=packed.csv");
  set.AddExample("tenure pack --input=A.1048576.csv --effort=optimal --deadline=10s --json");
  if (std::optional<int> code = set.Parse(args)) return *code;

  const absl::Time entry = absl::Now();
  absl::StatusOr<ProblemFile> file = ProblemFile::Read(flags.input);
  if (!file.ok()) return Fail("pack", file.status());
  packing::SolveOptions options;
  options.effort = *packing::ParseEffort(flags.effort);
  options.max_threads = flags.threads;
  options.hints = flags.hints == "ignore" ? packing::HintPolicy::kIgnore
                  : flags.hints == "keep" ? packing::HintPolicy::kKeep
                                          : packing::HintPolicy::kPrefer;
  if (flags.capacity) options.capacity = flags.capacity->value;
  Progress progress("packing");
  options.progress = [&progress](uint64_t height, uint64_t bound) {
    progress.Say(absl::StrCat("best ", height, ", lower bound ", bound));
  };
  const absl::Time start = absl::Now();
  if (flags.deadline) options.deadline = std::max(start, entry + *flags.deadline);
  absl::StatusOr<packing::Packing> packing = packing::Solve(file->problem(), options);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  if (!packing.ok()) return Fail("pack", packing.status());
  if (!flags.output.empty() && packing->has_offsets()) {
    if (absl::Status status = file->Write(*packing, flags.output); !status.ok()) {
      return Fail("pack", status);
    }
  }
  return Print("pack", Report(flags, file->problem(), *packing, seconds),
               ExitCodeOf(packing->outcome));
}

}  // namespace tenure::cli
