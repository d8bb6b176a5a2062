// tenure pack: the packing problem alone.

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/io/file.h"
#include "tenure/planner/packing/io/json.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

struct PackFlags {
  std::string input;
  std::optional<Bytes> capacity;
  std::string effort = "balanced";
  std::optional<absl::Duration> deadline;
  int threads = 2;
  std::string hints = "prefer";
  std::string output;
  bool json = false;
};

struct PackInput {
  std::optional<packing::CsvTable> table;  // of a CSV file
  packing::Problem problem;
};

absl::StatusOr<PackInput> ReadInput(const std::string& path) {
  PackInput input;
  if (absl::EndsWithIgnoreCase(path, ".json")) {
    absl::StatusOr<std::string> text = packing::ReadFile(path);
    if (!text.ok()) return text.status();
    absl::StatusOr<packing::Problem> problem = packing::ParseProblemJson(*text, path);
    if (!problem.ok()) return problem.status();
    input.problem = *std::move(problem);
  } else {
    absl::StatusOr<packing::CsvTable> table = packing::ReadCsv(path);
    if (!table.ok()) return table.status();
    input.table = *std::move(table);
  }
  return input;
}

absl::Status WriteOutput(const PackFlags& flags, const PackInput& input,
                         const packing::Packing& packing) {
  if (flags.output.empty() || !packing.has_offsets()) return absl::OkStatus();
  if (input.table.has_value() && !absl::EndsWithIgnoreCase(flags.output, ".json")) {
    return packing::WriteCsv(*input.table, packing, flags.output);
  }
  return packing::WriteFile(flags.output, packing::FormatPackingJson(packing) + "\n");
}

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
    return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
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
              "packs buffers with lifetimes into as little memory as possible, or says whether "
              "they fit into a capacity. Reads MiniMalloc's CSV: "
              "id,lower,upper,size in any order, a buffer lives in [lower, upper); optional "
              "columns alignment, gaps, offset (fixed), hint, and end "
              "(inclusive) in place of upper. Or the JSON of planner/packing/io/json.h, which can "
              "say more.");
  set.Add("input", "FILE", "the problem, .csv or .json", &flags.input, FlagSet::kRequired);
  set.Add("capacity", "BYTES", "ask whether it fits into this; without it, how low it gets",
          &flags.capacity);
  set.Add("effort", "",
          "fast: greedy, near-linear; balanced: a fixed budget of improvement; optimal: until "
          "proven or the deadline",
          &flags.effort, FlagSet::kOptional, {"fast", "balanced", "optimal"});
  set.Add("deadline", "TIME", "end by then with the best so far, for example 10s or 250ms",
          &flags.deadline);
  set.Add("threads", "N",
          "the most threads that the search uses; the answer is the same for any number",
          &flags.threads);
  set.Add("hints", "",
          "what the column 'hint' means: ignore it; prefer it where it costs no height; keep it "
          "(re-planning)",
          &flags.hints, FlagSet::kOptional, {"ignore", "prefer", "keep"});
  set.Add("output", "FILE", "write the input with an 'offset' column (.json: the packing as JSON)",
          &flags.output);
  set.Add("json", "", "one JSON object on stdout", &flags.json);
  set.AddNotes(
      "JSON: status (optimal: height equals a proven bound; feasible; infeasible: proven not to "
      "fit; none), deadline_hit, height (null without a "
      "packing),\nlower_bound (proven), items, seconds (of the solver alone), nodes, winner (what "
      "produced the packing).");
  set.AddExample("tenure pack --input=A.1048576.csv --effort=fast");
  set.AddExample(
      "tenure pack --input=A.1048576.csv --capacity=1MiB --effort=optimal --deadline=10s "
      "--output=packed.csv");
  if (std::optional<int> code = set.Parse(args)) return *code;

  const absl::Time entry = absl::Now();
  absl::StatusOr<PackInput> input = ReadInput(flags.input);
  if (!input.ok()) return Fail("pack", input.status());
  const packing::Problem& problem =
      input->table.has_value() ? input->table->problem : input->problem;
  packing::SolveOptions options;
  options.effort = *packing::ParseEffort(flags.effort);
  options.max_threads = std::max(1, flags.threads);
  options.hints = flags.hints == "ignore" ? packing::HintPolicy::kIgnore
                  : flags.hints == "keep" ? packing::HintPolicy::kKeep
                                          : packing::HintPolicy::kPrefer;
  if (flags.capacity.has_value()) options.capacity = flags.capacity->value;
  Progress progress("packing");
  options.progress = [&progress](uint64_t height, uint64_t bound) {
    progress.Say(absl::StrCat("best ", height, ", lower bound ", bound));
  };
  const absl::Time start = absl::Now();
  if (flags.deadline.has_value()) options.deadline = std::max(start, entry + *flags.deadline);
  absl::StatusOr<packing::Packing> packing = packing::Solve(problem, options);
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  if (!packing.ok()) return Fail("pack", packing.status());
  if (absl::Status status = WriteOutput(flags, *input, *packing); !status.ok())
    return Fail("pack", status);
  int code = kDone;
  if (packing->outcome == packing::Outcome::kInfeasible) code = kInfeasible;
  if (packing->outcome == packing::Outcome::kNone) code = kNoAnswer;
  return Print("pack", Report(flags, problem, *packing, seconds), code);
}

}  // namespace tenure::cli
