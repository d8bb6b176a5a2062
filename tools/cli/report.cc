#include "tenure/tools/cli/report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "nlohmann/json.hpp"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/tools/render/render.h"

namespace tenure::cli {
namespace {

// GreedyBySize is quadratic: beyond this it would take longer than what it is compared with.
constexpr size_t kMostForGreedyBySize = 20000;

std::map<std::string, uint64_t> ReasonCounts(const Plan& plan) {
  std::map<std::string, uint64_t> counts;
  for (const NotPlanned& n : plan.not_planned) ++counts[std::string(PlanReasonName(n.reason))];
  return counts;
}

std::string Ratio(uint64_t bytes, uint64_t bound) {
  if (bound == 0) return "-";
  return absl::StrFormat("%.3f", static_cast<double>(bytes) / static_cast<double>(bound));
}

}  // namespace

int Fail(std::string_view command, const absl::Status& status, int code) {
  std::fprintf(stderr, "tenure %.*s: %.*s\n", static_cast<int>(command.size()), command.data(),
               static_cast<int>(status.message().size()), status.message().data());
  return code;
}

int Print(std::string_view command, std::string_view text, int code) {
  const size_t put = std::fwrite(text.data(), 1, text.size(), stdout);
  if (put == text.size() && std::fflush(stdout) == 0) return code;
  return Fail(command,
              absl::DataLossError(absl::StrCat("writing to stdout: ", std::strerror(errno))));
}

void PlanFlags::AddTo(FlagSet& flags) {
  flags.Add("trace", "FILE", "the recorded schedule: tensor-trace-1, plain JSON or .gz", &trace,
            FlagSet::kRequired);
  flags.Add("space", "SPACE", "memory space of every buffer: cpu, null, cuda:0, ...", &space);
  flags.Add("planner", "",
            "arena: pack into one arena; remap: reuse whole storages of equal size; none: no reuse",
            &planner, FlagSet::kOptional, {"arena", "remap", "none"});
  flags.Add("alignment", "BYTES", "of every placement, a power of two", &alignment);
  flags.Add("effort", "", "how hard to pack", &effort, FlagSet::kOptional,
            {"fast", "balanced", "optimal"});
  flags.Add("deadline", "TIME", "planning ends by then with the best so far, for example 10s",
            &deadline);
  flags.Add("threads", "N", "the most threads that work is spread over", &threads);
}

absl::StatusOr<PlanOptions> PlanFlags::Options() const {
  PlanOptions options;
  absl::StatusOr<PlanMode> mode = ParsePlanMode(planner);
  if (!mode.ok()) return mode.status();
  options.mode = *mode;
  options.alignment_bytes = alignment.value;
  options.effort = packing::ParseEffort(effort).value_or(packing::Effort::kFast);
  options.max_threads = std::max(1, threads);
  options.fill_zeroed = true;
  if (deadline.has_value()) options.deadline = absl::Now() + *deadline;
  return options;
}

absl::StatusOr<std::unique_ptr<Allocator>> PlanningAllocator(const MemorySpace& space,
                                                             uint64_t max_allocation_bytes) {
  if (space.kind() == SpaceKind::kDisk) {
    return absl::InvalidArgumentError(
        absl::StrCat(space.ToString(), " is read-only; storages that ops write can't live there"));
  }
  SpaceTraits traits = NullAllocator::DefaultTraits();
  traits.max_allocation_bytes = max_allocation_bytes;
  return std::make_unique<NullAllocator>(traits, space);
}

absl::StatusOr<PlannedTrace> PlanTrace(const Trace& trace, Allocator& allocator,
                                       const PlanOptions& options) {
  absl::StatusOr<TraceJob> job = MakeTraceJob(trace, allocator);
  if (!job.ok()) return job.status();
  const absl::Time start = absl::Now();
  absl::StatusOr<Plan> plan = MakePlan(job->schedule, options);
  if (!plan.ok()) return plan.status();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  return PlannedTrace{*std::move(job), *std::move(plan), seconds};
}

Rivals PlanAsOthersDo(const Plan& plan) {
  Rivals rivals;
  std::map<std::pair<std::string, uint32_t>, packing::Problem> problems;
  for (const Placement& p : plan.placements) {
    const PlanArena& arena = plan.arenas[p.arena];
    problems[{arena.space.ToString(), arena.lane}].items.push_back(
        {.first = p.first_step, .last = packing::Time{p.last_step} + 1, .size = p.size_bytes});
  }
  bool greedy = true;
  for (const auto& [key, problem] : problems) {
    const packing::PlainInstance plain = packing::MakePlain(problem);
    std::vector<uint64_t> offsets(plain.blocks.size(), packing::kNoOffset);
    packing::TlsfInEventOrder(plain.blocks, 0, offsets);
    rivals.tlsf_bytes += packing::TopOf(plain.blocks, offsets) * plain.grain;
    greedy = greedy && problem.items.size() <= kMostForGreedyBySize;
    if (greedy) {
      rivals.greedy_by_size_bytes +=
          packing::TopOf(plain.blocks, packing::GreedyBySize(plain.blocks)) * plain.grain;
    }
  }
  if (!greedy) rivals.greedy_by_size_bytes = 0;
  return rivals;
}

void AddPlanTo(const PlannedTrace& planned, nlohmann::ordered_json& out) {
  const Plan& plan = planned.plan;
  const Rivals rivals = PlanAsOthersDo(plan);
  out["planner"] = PlanModeName(plan.mode);
  out["alignment"] = plan.alignment_bytes;
  out["ops"] = planned.job.trace->ops.size();
  out["storages"] = planned.job.storages;
  out["planned"] = plan.placements.size();
  out["not_planned"] = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : ReasonCounts(plan)) out["not_planned"][reason] = count;
  out["unplanned_bytes"] = plan.unplanned_bytes;
  out["arenas"] = nlohmann::ordered_json::array();
  for (const PlanArena& arena : plan.arenas) out["arenas"].push_back(arena.size_bytes);
  out["arena_bytes"] = plan.arena_bytes;
  out["lower_bound_bytes"] = plan.lower_bound_bytes;
  out["optimal"] = plan.optimal;
  out["deadline_hit"] = plan.deadline_hit;
  out["tlsf_bytes"] = rivals.tlsf_bytes;
  out["greedy_by_size_bytes"] = rivals.greedy_by_size_bytes;
  out["reuse_edges"] = plan.reuse_edges.size();
  out["fills"] = plan.fills.size();
  out["plan_seconds"] = planned.seconds;
}

std::string PlanText(const PlannedTrace& planned) {
  const Plan& plan = planned.plan;
  const Rivals rivals = PlanAsOthersDo(plan);
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : ReasonCounts(plan))
    reasons.push_back(absl::StrCat(count, " ", reason));
  std::string text =
      absl::StrFormat("%s: %d ops, %d storages; planned %d in %.2f ms", planned.job.trace->name,
                      planned.job.trace->ops.size(), planned.job.storages, plan.placements.size(),
                      planned.seconds * 1e3);
  if (!reasons.empty()) absl::StrAppend(&text, "; not planned: ", absl::StrJoin(reasons, ", "));
  text += "\n";
  auto line = [&text, &plan](std::string_view what, uint64_t bytes, std::string_view note) {
    absl::StrAppendFormat(&text, "  %-34s %14d  %10s  %6s  %s\n", what, bytes, HumanBytes(bytes),
                          Ratio(bytes, plan.lower_bound_bytes), note);
  };
  absl::StrAppendFormat(&text, "  %-34s %14s  %10s  %6s\n", "", "bytes", "", "ratio");
  line("every storage on its own", plan.unplanned_bytes, "");
  if (rivals.tlsf_bytes > 0) line("TLSF (as tinygrad, svod)", rivals.tlsf_bytes, "");
  if (rivals.greedy_by_size_bytes > 0)
    line("greedy by size (as TFLite)", rivals.greedy_by_size_bytes, "");
  line(absl::StrCat(
           "tenure, ", PlanModeName(plan.mode),
           plan.arenas.size() == 1 ? "" : absl::StrCat(", ", plan.arenas.size(), " arenas")),
       plan.arena_bytes,
       plan.optimal        ? "proven optimal"
       : plan.deadline_hit ? "cut short by the deadline"
                           : "");
  line("lower bound", plan.lower_bound_bytes, "");
  return text;
}

Progress::Progress(std::string what)
    : what_(std::move(what)),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(absl::Now()),
      shown_(start_) {}

Progress::~Progress() {
  if (any_) std::fputs("\r\033[K", stderr);
}

bool Progress::Due() {
  if (!terminal_) return false;
  const absl::Time now = absl::Now();
  if (now - start_ < absl::Milliseconds(500) || now - shown_ < absl::Milliseconds(100))
    return false;
  shown_ = now;
  return any_ = true;
}

void Progress::At(uint64_t done, uint64_t total) {
  if (Due())
    std::fprintf(stderr, "\r\033[K%s %3d%%", what_.c_str(),
                 static_cast<int>(total == 0 ? 100 : 100 * done / total));
}

void Progress::Say(const std::string& text) {
  if (Due()) std::fprintf(stderr, "\r\033[K%s %s", what_.c_str(), text.c_str());
}

}  // namespace tenure::cli
