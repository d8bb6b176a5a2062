// tenure pack: solves a packing problem on its own.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tenure/base/json_value.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/explain.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/explanation.h"
#include "tenure/tools/cli/interrupt.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/packing_file.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/cli/search_rules.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

// How many entries the text shows; JSON has all of them.
constexpr size_t kMostHeights = 16;

struct PackFlags {
  std::string input;
  std::optional<Bytes> capacity;
  std::string effort = "balanced";
  std::optional<absl::Duration> deadline;
  std::optional<Count> max_nodes;
  int threads = DefaultThreads();
  std::string hints = "prefer";
  std::string rules;
  absl::Duration explain = kExplainTime;
  std::string output;
  bool compare = false;
  bool progress = false;
  bool json = false;

  void AddTo(FlagSet& set);
};

void PackFlags::AddTo(FlagSet& set) {
  set.Add("input", "FILE", "the problem, .csv or .json", &input, FlagSet::kRequired);
  set.Add("capacity", "BYTES",
          "find a packing within this many bytes; without it, find the lowest packing", &capacity);
  set.Add("effort", "",
          "fast: greedy, near-linear; balanced: a fixed amount of search; optimal: until proven or "
          "the deadline",
          &effort, FlagSet::kOptional, {"fast", "balanced", "optimal"});
  set.Add("deadline", "TIME",
          "end after this time with the best packing so far, for example 10s or 250ms", &deadline);
  set.Add("max-nodes", "N",
          "end after so many nodes of search with the best packing so far; unlike a deadline, this "
          "gives the "
          "same answer every time",
          &max_nodes);
  set.Add("threads", "N", "the most threads to use; the answer is the same for any number",
          &threads);
  set.Add("hints", "",
          "the column 'hint': ignore it; prefer it where that costs no height; keep it "
          "(re-planning)",
          &hints, FlagSet::kOptional, {"ignore", "prefer", "keep"});
  set.Add("rules", "LIST",
          absl::StrCat("rules of exact search to leave out, to measure their effect: "
                       "-dominance,-stacks; there are ",
                       RuleNames()),
          &rules);
  set.Add(
      "explain", "TIME",
      "if the buffers do not fit: how long to search for buffers that cannot be packed together, a "
      "set in which every buffer is needed, within the deadline; 0s: show only the peak",
      &explain);
  set.Add("compare", "", "also print how many bytes the planners of other runtimes would need",
          &compare);
  set.Add("output", "FILE",
          "write the input with an 'offset' column, or the packing as JSON if it ends in .json",
          &output);
  set.Add("progress", "",
          "print progress on stderr even if it is not a terminal: the time, and without "
          "--capacity the best height and the bound so far",
          &progress);
  set.Add("json", "", "print one JSON object instead of text", &json);
}

void AddKeysTo(FlagSet& set) {
  constexpr std::pair<const char*, const char*> kKeys[] = {
      {"input, effort, capacity", "as asked for"},
      {"status",
       "optimal: proven; feasible: a packing, perhaps not the lowest; infeasible: proven not to "
       "fit; none: neither found nor refuted"},
      {"deadline_hit", "whether the deadline or SIGINT cut it short"},
      {"interrupted", "true if SIGINT ended it, otherwise absent"},
      {"search_limit",
       "why there is no proof although nothing cut it short: the limit of the packer that ended "
       "the "
       "search; otherwise absent"},
      {"height, heights",
       "bytes that the packing takes, and the bytes of each arena; null and [] if there is none"},
      {"lower_bound", "proven: no packing takes less"},
      {"gap_percent", "how far the height is above the lower bound; null if there is no packing"},
      {"items", "how many buffers there are"},
      {"seconds", "time of the solver, without reading and writing files"},
      {"constructions, improvements", "greedy packings built; how often a lower packing was found"},
      {"nodes, backtracks, rounds", "work done by exact search"},
      {"winner", "the stage that found the packing"},
      {"hints_given, hints_honoured",
       "the number of buffers with a hint, and of those placed at it"},
      {"tlsf_height, greedy_by_size_height",
       "with --compare: the bytes of an allocator called in the order of time, and of placing the "
       "largest "
       "first; null if they lack a feature that the problem needs"},
      {"explanation",
       "if it does not fit: capacity, lower_bound, proven; peak: bytes, first, last, and the "
       "items that live then, largest first; conflict: items that cannot be packed together; "
       "irreducible: without any one of them the others can"},
  };
  for (const auto& [key, meaning] : kKeys) set.AddJsonKey(key, meaning);
}

struct HintCount {
  size_t given = 0, honoured = 0;
};
HintCount CountHints(const packing::Problem& problem, const packing::Packing& packing) {
  HintCount count;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    if (problem.items[i].hint == packing::kNoOffset) continue;
    ++count.given;
    count.honoured += packing.has_offsets() && packing.offsets[i] == problem.items[i].hint ? 1 : 0;
  }
  return count;
}

// The results of other runtimes' planners for the same buffers. They are empty if the planners lack
// a feature that the problem needs.
struct Others {
  std::optional<uint64_t> tlsf, greedy_by_size;
};
Others PackAsOthersDo(const packing::Problem& problem) {
  Others others;
  if (!packing::IsPlain(problem)) return others;
  const packing::PlainInstance plain = packing::MakePlain(problem);
  if (plain.mixed_alignment) return others;
  std::vector<uint64_t> offsets(plain.rectangles.size(), packing::kNoOffset);
  packing::TlsfInEventOrder(plain.rectangles, 0, offsets);
  others.tlsf = packing::TopOf(plain.rectangles, offsets);
  if (problem.items.size() <= kMostForGreedyBySize) {
    others.greedy_by_size =
        packing::TopOf(plain.rectangles, packing::GreedyBySize(plain.rectangles));
  }
  return others;
}

// The answer, and how it was found.
struct Packed {
  packing::Packing packing;
  double seconds = 0;
  bool interrupted = false;
  std::optional<packing::Explanation> why;
};

// Explains why there is no packing. `solve` are the options of the search.
std::optional<packing::Explanation> WhyNot(const PackFlags& flags, const packing::Problem& problem,
                                           const packing::Packing& packing,
                                           const packing::SolveOptions& solve) {
  if (packing.has_offsets()) return std::nullopt;
  packing::SolveOptions options = ExplainOptions(flags.explain, solve.deadline, solve.cancel);
  options.max_threads = flags.threads;
  if (flags.capacity) options.capacity = flags.capacity->value;
  if (packing.outcome == packing::Outcome::kInfeasible) {
    absl::StatusOr<packing::Explanation> why = packing::Explain(problem, options, /*proven=*/true);
    if (why.ok()) return *std::move(why);
  }
  return packing::ExplainPeak(problem, options);
}

JsonValue OrNull(const std::optional<uint64_t>& value) {
  return value ? JsonValue(*value) : JsonValue();
}

double GapPercent(const packing::Packing& packing) {
  if (packing.lower_bound == 0) return 0;
  return 100 * static_cast<double>(packing.height - packing.lower_bound) /
         static_cast<double>(packing.lower_bound);
}

std::string JsonReport(const PackFlags& flags, const ProblemFile& file, const Packed& packed) {
  const packing::Packing& packing = packed.packing;
  JsonValue out;
  out["input"] = flags.input;
  out["status"] = packing::OutcomeName(packing.outcome);
  out["deadline_hit"] = packing.deadline_hit;
  if (packing.deadline_hit && packed.interrupted) out["interrupted"] = true;
  if (!packing.search_limit.empty()) out["search_limit"] = packing.search_limit;
  const bool any = packing.has_offsets();
  out["height"] = OrNull(any ? std::optional<uint64_t>(packing.height) : std::nullopt);
  out["heights"] = packing.heights;
  out["lower_bound"] = packing.lower_bound;
  out["gap_percent"] = any ? JsonValue(GapPercent(packing)) : JsonValue();
  out["items"] = file.problem().items.size();
  out["seconds"] = packed.seconds;
  out["effort"] = flags.effort;
  if (flags.capacity.has_value()) out["capacity"] = flags.capacity->value;
  out["constructions"] = packing.statistics.constructions;
  out["improvements"] = packing.statistics.improvements;
  out["nodes"] = packing.statistics.nodes;
  out["backtracks"] = packing.statistics.backtracks;
  out["rounds"] = packing.statistics.rounds;
  out["winner"] = packing.statistics.winner;
  const HintCount hints = CountHints(file.problem(), packing);
  out["hints_given"] = hints.given;
  out["hints_honoured"] = hints.honoured;
  if (flags.compare) {
    const Others others = PackAsOthersDo(file.problem());
    out["tlsf_height"] = OrNull(others.tlsf);
    out["greedy_by_size_height"] = OrNull(others.greedy_by_size);
  }
  if (packed.why) out["explanation"] = ExplanationJson(file, *packed.why);
  return JsonLine(out);
}

std::string TextReport(const PackFlags& flags, const ProblemFile& file, const Packed& packed) {
  const packing::Packing& packing = packed.packing;
  const packing::Problem& problem = file.problem();
  std::string text =
      absl::StrFormat("%d items: %s", problem.items.size(), packing::OutcomeName(packing.outcome));
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
  absl::StrAppendFormat(&text, ", in %.3f ms%s%s\n", packed.seconds * 1e3,
                        packing.deadline_hit ? ", " : "",
                        packing.deadline_hit ? CutShortBy(packed.interrupted) : "");
  auto line = [&text](std::string_view what, const std::string& value) {
    absl::StrAppendFormat(&text, "  %-30s %s\n", what, value);
  };
  if (!packing.search_limit.empty()) line("not searched to the end", packing.search_limit);
  if (const size_t arenas = packing.heights.size(); arenas > 1) {
    const auto end =
        packing.heights.begin() + static_cast<ptrdiff_t>(std::min(arenas, kMostHeights));
    line("heights of the arenas",
         absl::StrCat(absl::StrJoin(packing.heights.begin(), end, ", "),
                      arenas > kMostHeights
                          ? absl::StrCat(", and ", arenas - kMostHeights, " more (--json: all)")
                          : ""));
  }
  if (const HintCount hints = CountHints(problem, packing); hints.given > 0) {
    line("hints honoured", absl::StrCat(hints.honoured, " of ", hints.given));
  }
  if (flags.compare) {
    const Others others = PackAsOthersDo(problem);
    auto height = [&packing](const std::optional<uint64_t>& bytes) {
      if (!bytes) return std::string("not tried");
      return absl::StrFormat("%d, %.6f of the lower bound", *bytes,
                             static_cast<double>(*bytes) /
                                 static_cast<double>(std::max<uint64_t>(packing.lower_bound, 1)));
    };
    line("TLSF (as tinygrad, svod)", height(others.tlsf));
    line("greedy by size (as TFLite)", height(others.greedy_by_size));
  }
  if (packing.statistics.nodes > 0) {
    line("nodes of search",
         absl::StrCat(packing.statistics.nodes, ", ", packing.statistics.rounds, " rounds"));
  }
  if (!packed.why) return text;
  return absl::StrCat(text,
                      packing::ExplanationText(problem, *packed.why,
                                               {.item = [&](uint32_t i) { return file.Id(i); }}));
}

}  // namespace

int PackCommand(Args args) {
  PackFlags flags;
  FlagSet set(
      "pack",
      "Packs buffers with known lifetimes into as little memory as possible or, with "
      "--capacity, tells whether they fit and, if they do not, why. Two buffers may share bytes if "
      "their lifetimes do not overlap.");
  set.AddParagraph(
      "The input is CSV as MiniMalloc reads it: id,lower,upper,size, in any order; a buffer lives "
      "in [lower, upper). Further columns may be alignment, gaps (times when it needs no or fewer "
      "bytes), offset (it is fixed there), hint (it would like to be there), arena, and end "
      "(inclusive) in place of upper; planner/packing/io/csv.h describes them, and io/json.h the "
      "JSON that can say more: limits of arenas, buffers next to each other, a partial order.");
  flags.AddTo(set);
  AddKeysTo(set);
  set.AddExample("tenure pack --input=A.1048576.csv --effort=fast --compare");
  set.AddExample("tenure pack --input=A.1048576.csv --capacity=1MiB --output=packed.csv");
  set.AddExample("tenure pack --input=A.1048576.csv --effort=optimal --deadline=10s --json");
  if (std::optional<int> code = set.Parse(args)) return *code;
  absl::StatusOr<packing::SearchRules> rules = ParseRules(flags.rules);
  if (!rules.ok()) return FailUsage("pack", rules.status().message());

  const absl::Time entry = absl::Now();
  absl::StatusOr<ProblemFile> file = ProblemFile::Read(flags.input);
  if (!file.ok()) return Fail("pack", file.status());
  for (const std::string& doubt : file->Doubts()) {
    Warn("pack", absl::StrCat(flags.input, ": ", doubt));
  }
  packing::SolveOptions options;
  options.effort = *packing::ParseEffort(flags.effort);
  options.max_threads = flags.threads;
  options.hints = flags.hints == "ignore" ? packing::HintPolicy::kIgnore
                  : flags.hints == "keep" ? packing::HintPolicy::kKeep
                                          : packing::HintPolicy::kPrefer;
  options.rules = *rules;
  if (flags.capacity) options.capacity = flags.capacity->value;
  if (flags.max_nodes) options.max_nodes = flags.max_nodes->value;
  Packed packed;
  {
    const Interrupt interrupt;
    options.cancel = interrupt.flag();
    Ticker ticker("pack", "packing", flags.progress);
    options.progress = [&ticker](uint64_t height, uint64_t bound) {
      ticker.Say(height > 0 ? absl::StrCat("best ", height, ", lower bound ", bound)
                            : absl::StrCat("nothing found, lower bound ", bound));
    };
    const absl::Time start = absl::Now();
    if (flags.deadline) options.deadline = std::max(start, entry + *flags.deadline);
    absl::StatusOr<packing::Packing> packing = packing::Solve(file->problem(), options);
    packed.seconds = absl::ToDoubleSeconds(absl::Now() - start);
    packed.interrupted = interrupt.happened();
    if (!packing.ok()) return Fail("pack", packing.status());
    packed.packing = *std::move(packing);
    packed.why = WhyNot(flags, file->problem(), packed.packing, options);
  }
  if (!flags.output.empty() && !packed.packing.has_offsets()) {
    Warn("pack", absl::StrCat("there is no packing, so ", flags.output, " was not written"));
  } else if (!flags.output.empty()) {
    if (absl::Status status = file->Write(packed.packing, flags.output); !status.ok()) {
      return Fail("pack", status);
    }
  }
  return Print("pack", (flags.json ? JsonReport : TextReport)(flags, *file, packed),
               ExitCodeOf(packed.packing.outcome));
}

}  // namespace tenure::cli
