#include "tenure/tools/cli/report.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <thread>  // NOLINT(build/c++11)
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tenure/allocator/null/null_allocator.h"
#include "tenure/allocator/registry.h"
#include "tenure/base/annotate.h"
#include "tenure/base/files.h"
#include "tenure/base/json_value.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/baselines.h"
#include "tenure/planner/packing/plain.h"
#include "tenure/planner/plan_json.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/trace/text_file.h"

namespace tenure::cli {
namespace {

using internal_trace::OneLine;

std::map<std::string, uint64_t> ReasonCounts(const Plan& plan) {
  std::map<std::string, uint64_t> counts;
  for (const NotPlanned& n : plan.not_planned) ++counts[std::string(PlanReasonName(n.reason))];
  return counts;
}

std::string Ratio(uint64_t bytes, uint64_t bound) {
  if (bound == 0) return "-";
  return absl::StrFormat("%.3f", static_cast<double>(bytes) / static_cast<double>(bound));
}

// Counts the storages that stayed in their places, and those whose lives are unchanged.
void CountKept(const Plan& before, PlannedTrace& planned) {
  std::map<uint32_t, const Placement*> old;
  for (const Placement& p : before.placements) old[p.storage] = &p;
  planned.kept = 0;
  planned.alike = 0;
  for (const Placement& p : planned.plan.placements) {
    const auto at = old.find(p.storage);
    if (at == old.end()) continue;
    const Placement& was = *at->second;
    *planned.kept += was.arena == p.arena && was.offset_bytes == p.offset_bytes ? 1 : 0;
    planned.alike += was.first_step == p.first_step && was.last_step == p.last_step ? 1 : 0;
  }
}

// Returns an allocator for planning in `space`. It has the traits of the space if the space is
// available here, and no bytes.
absl::StatusOr<std::unique_ptr<Allocator>> PlanningAllocator(
    const MemorySpace& space, const std::optional<Bytes>& max_allocation) {
  if (space.kind() == kDiskSpace) {
    return absl::InvalidArgumentError(
        absl::StrCat(space.ToString(), " is read-only: what ops write can't live there"));
  }
  SpaceTraits traits = NullAllocator::DefaultTraits();
  if (absl::StatusOr<Allocator*> real = Registry::Default().Get(space); real.ok()) {
    traits = (*real)->traits();
  }
  if (max_allocation) {
    traits.max_allocation_bytes = std::min(traits.max_allocation_bytes, max_allocation->value);
  }
  return std::make_unique<NullAllocator>(traits, space);
}

}  // namespace

int DefaultThreads() {
  return static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 16u));
}

void PlanFlags::AddTo(FlagSet& set, FlagSet::Need trace_need) {
  set.Add("trace", "FILE",
          absl::StrCat("the recorded schedule: tensor-trace-1 as JSON, plain or .gz",
                       trace_need == FlagSet::kRequired ? "" : "; this or --input"),
          &trace, trace_need);
  set.Add("space", "SPACE", "where the buffers live, for example cpu, null or cuda:0", &space);
  set.Add("planner", "",
          "arena: pack buffers of all sizes into one arena; remap: reuse whole storages of equal "
          "size; none: no reuse",
          &planner, FlagSet::kOptional, {"arena", "remap", "none"});
  set.Add("alignment", "BYTES", "of every address, a power of two", &alignment);
  set.Add("effort", "",
          "how hard to pack. fast: greedy, enough for most models; balanced: a fixed amount of "
          "search; optimal: until proven or the deadline",
          &effort, FlagSet::kOptional, {"fast", "balanced", "optimal"});
  set.Add("deadline", "TIME",
          "end planning after this time with the best plan so far, for example 10s", &deadline);
  set.Add("threads", "N", "the most threads to use", &threads);
}

void PlanFlags::AddMaxAllocationTo(FlagSet& set) {
  set.Add("max-allocation", "BYTES", "the largest allocation of the space: larger arenas are split",
          &max_allocation);
}

void PlanFlags::AddPlanFileTo(FlagSet& set) {
  set.Add("plan", "FILE", "use this plan, written by 'tenure plan --output', instead of making one",
          &plan_file);
}

void PlanFlags::AddPlannerTo(FlagSet& set) {
  set.Add("capacity", "BYTES",
          "the memory that is available: if the plan needs more, explain why and end with status 3 "
          "(proven) "
          "or 4 (none was found)",
          &capacity);
  set.Add("explain", "TIME",
          "if the plan needs more: how long to search for buffers that cannot be packed together, "
          "a set "
          "in which every buffer is needed, within the deadline; 0s: show only the peak",
          &explain);
  set.Add("max-nodes", "N",
          "with --effort=optimal: end after so many nodes of search with the best plan so far",
          &max_nodes);
  set.Add(
      "order", "",
      "total: ops run one after the other. dependencies: ops that share no bytes, one of them "
      "writing, may run at the same time, and then their buffers never share any; for executors "
      "that do so ('tenure run' does not)",
      &order, FlagSet::kOptional, {"total", "dependencies"});
  set.Add(
      "outputs", "",
      "own: in memory of their own; reused: the same, but others may use it before an output is "
      "written; arena: in the arena. The last two are counted with the arenas",
      &outputs, FlagSet::kOptional, {"own", "reused", "arena"});
  set.Add(
      "keep", "PLAN",
      "plan again: buffers stay where this plan has them wherever that is possible; for the same "
      "ops with other sizes",
      &keep);
}

absl::Status PlanFlags::Check(const FlagSet& set) const {
  if (plan_file.empty()) return absl::OkStatus();
  for (std::string_view name : {"planner", "alignment", "effort", "deadline", "max-allocation"}) {
    if (!set.Given(name)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--", name, " is for making a plan, and --plan=", plan_file, " is one; leave one out"));
  }
  return absl::OkStatus();
}

absl::StatusOr<PlannedTrace> PlanTrace(const PlanFlags& flags, const std::atomic<bool>* cancel) {
  PlanOptions options;
  options.cancel = cancel;
  options.fill_zeroed = true;
  options.alignment_bytes = flags.alignment.value;
  options.max_threads = flags.threads;
  if (flags.deadline) options.deadline = absl::Now() + *flags.deadline;
  TENURE_ASSIGN_OR_RETURN(options.mode, ParsePlanMode(flags.planner));
  const std::optional<packing::Effort> effort = packing::ParseEffort(flags.effort);
  if (!effort) return absl::InvalidArgumentError(absl::StrCat("no effort: ", flags.effort));
  options.effort = *effort;
  if (flags.capacity) options.capacity_bytes = flags.capacity->value;
  if (flags.max_nodes) options.max_nodes = flags.max_nodes->value;
  Plan keep;
  if (!flags.keep.empty()) {
    TENURE_ASSIGN_OR_RETURN(std::string text, ReadFile(flags.keep));
    absl::StatusOr<Plan> read = PlanFromJson(text);
    if (!read.ok()) return Annotate(read.status(), flags.keep);
    keep = *std::move(read);
    options.keep = &keep;
  }

  TENURE_ASSIGN_OR_RETURN(Trace trace, ReadTrace(flags.trace));
  PlannedTrace planned;
  planned.trace = std::make_unique<const Trace>(std::move(trace));
  TENURE_ASSIGN_OR_RETURN(planned.allocator, PlanningAllocator(flags.space, flags.max_allocation));
  absl::StatusOr<TraceJob> job =
      MakeTraceJob(*planned.trace, *planned.allocator, {},
                   flags.order == "dependencies" ? OrderKind::kDependencies : OrderKind::kTotal,
                   flags.outputs == "reused"  ? OutputPlacement::kReused
                   : flags.outputs == "arena" ? OutputPlacement::kInArena
                                              : OutputPlacement::kOwn);
  if (!job.ok()) return Annotate(job.status(), flags.trace);
  planned.job = *std::move(job);

  std::string stored;
  if (!flags.plan_file.empty()) {
    TENURE_ASSIGN_OR_RETURN(stored, ReadFile(flags.plan_file));
  }
  const absl::Time start = absl::Now();
  absl::StatusOr<Plan> plan = flags.plan_file.empty()
                                  ? MakePlan(planned.job.schedule, options, &planned.shortage)
                                  : LoadPlan(stored, planned.job.schedule);
  planned.seconds = absl::ToDoubleSeconds(absl::Now() - start);
  planned.interrupted = cancel != nullptr && cancel->load(std::memory_order_relaxed);
  if (planned.shortage.happened()) {
    if (planned.shortage.proven) {
      const absl::Status found = FindConflict(
          ExplainOptions(flags.explain, options.deadline, options.cancel), planned.shortage);
      if (!found.ok()) return Annotate(found, flags.trace);
    }
    return planned;
  }
  if (!plan.ok()) {
    return Annotate(plan.status(), flags.plan_file.empty() ? flags.trace : flags.plan_file);
  }
  planned.plan = *std::move(plan);
  if (!flags.keep.empty()) CountKept(keep, planned);
  return planned;
}

Rivals PlanAsOthersDo(const Plan& plan) {
  Rivals rivals;
  std::map<std::pair<std::string, uint32_t>, packing::Problem> problems;
  for (const Placement& p : plan.placements) {
    const PlanArena& arena = plan.arenas[p.arena];
    problems[{arena.space.ToString(), arena.queue}].items.push_back(
        {.first = p.first_step, .last = packing::Time{p.last_step} + 1, .size = p.size_bytes});
  }
  bool greedy = true;
  for (const auto& [key, problem] : problems) {
    const packing::PlainInstance plain = packing::MakePlain(problem);
    std::vector<uint64_t> offsets(plain.rectangles.size(), packing::kNoOffset);
    packing::TlsfInEventOrder(plain.rectangles, 0, offsets);
    rivals.tlsf_bytes += packing::TopOf(plain.rectangles, offsets) * plain.grain;
    greedy = greedy && problem.items.size() <= kMostForGreedyBySize;
    if (greedy) {
      rivals.greedy_by_size_bytes +=
          packing::TopOf(plain.rectangles, packing::GreedyBySize(plain.rectangles)) * plain.grain;
    }
  }
  if (!greedy) rivals.greedy_by_size_bytes = 0;
  return rivals;
}

void AddPlanTo(const PlanFlags& flags, const PlannedTrace& planned, JsonValue& out) {
  const Plan& plan = planned.plan;
  const Rivals rivals = PlanAsOthersDo(plan);
  out["trace"] = planned.trace->name;
  out["file"] = flags.trace;
  out["space"] = flags.space.ToString();
  out["planner"] = PlanModeName(plan.mode);
  out["alignment"] = plan.alignment_bytes;
  out["ops"] = planned.trace->ops.size();
  out["storages"] = planned.job.storages;
  out["planned"] = plan.placements.size();
  out["not_planned"] = JsonValue::Object();
  for (const auto& [reason, count] : ReasonCounts(plan)) out["not_planned"][reason] = count;
  out["unplanned_bytes"] = plan.unplanned_bytes;
  out["arenas"] = JsonValue::Array();
  for (const PlanArena& arena : plan.arenas) out["arenas"].push_back(arena.size_bytes);
  out["arena_bytes"] = plan.arena_bytes;
  out["lower_bound_bytes"] = plan.lower_bound_bytes;
  out["gap_percent"] = plan.lower_bound_bytes == 0
                           ? 0.0
                           : 100 * static_cast<double>(plan.arena_bytes - plan.lower_bound_bytes) /
                                 static_cast<double>(plan.lower_bound_bytes);
  out["optimal"] = plan.optimal;
  out["deadline_hit"] = plan.deadline_hit;
  if (plan.deadline_hit && planned.interrupted) out["interrupted"] = true;
  out["tlsf_bytes"] = rivals.tlsf_bytes;
  out["greedy_by_size_bytes"] = rivals.greedy_by_size_bytes;
  out["reuse_edges"] = plan.reuse_edges.size();
  out["fills"] = plan.fills.size();
  out["plan_seconds"] = planned.seconds;
}

void AddPlanKeysTo(FlagSet& set) {
  constexpr std::pair<const char*, const char*> kKeys[] = {
      {"trace, file", "the schedule's name, and where it was read"},
      {"space, planner, alignment", "as given by the flags, or by the stored plan"},
      {"ops, storages", "how many the schedule has; aliases count with their storage"},
      {"planned", "storages that the plan places in arenas"},
      {"not_planned", "the number of storages that it does not place, by reason"},
      {"unplanned_bytes", "the bytes that the placed storages would take, each on its own"},
      {"arenas, arena_bytes", "bytes of each arena, and their sum"},
      {"lower_bound_bytes", "proven: no plan of this mode takes less"},
      {"gap_percent", "how far the arenas are above the lower bound"},
      {"optimal", "whether the arenas are as small as the lower bound"},
      {"deadline_hit", "whether the deadline or SIGINT cut it short"},
      {"interrupted", "true if SIGINT ended it, otherwise absent"},
      {"tlsf_bytes", "the bytes of a TLSF allocator that is called in the order of the ops"},
      {"greedy_by_size_bytes",
       "the bytes of placing the largest first; 0: not tried, because there are too many"},
      {"reuse_edges", "edges that an executor of concurrent steps has to add"},
      {"fills", "storages to be zeroed, right before their first step"},
      {"plan_seconds", "time to make the plan, or to load and validate it"},
  };
  for (const auto& [key, meaning] : kKeys) set.AddJsonKey(key, meaning);
}

std::string PlanText(const PlannedTrace& planned) {
  const Plan& plan = planned.plan;
  const Rivals rivals = PlanAsOthersDo(plan);
  std::vector<std::string> reasons;
  for (const auto& [reason, count] : ReasonCounts(plan))
    reasons.push_back(absl::StrCat(count, " ", reason));
  std::string text =
      absl::StrFormat("%s: %d ops, %d storages; planned %d in %.2f ms",
                      OneLine(planned.trace->name), planned.trace->ops.size(), planned.job.storages,
                      plan.placements.size(), planned.seconds * 1e3);
  if (!reasons.empty()) absl::StrAppend(&text, "; not planned: ", absl::StrJoin(reasons, ", "));
  text += "\n";
  auto line = [&text, &plan](std::string_view what, uint64_t bytes, std::string_view note) {
    absl::StrAppendFormat(&text, "  %-34s %14d  %10s  %6s%s%s\n", what, bytes, HumanBytes(bytes),
                          Ratio(bytes, plan.lower_bound_bytes), note.empty() ? "" : "  ", note);
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
       : plan.deadline_hit ? CutShortBy(planned.interrupted)
                           : "");
  line("lower bound", plan.lower_bound_bytes, "");
  return text;
}

}  // namespace tenure::cli
