// tenure render: draws a picture of address over time.

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tenure/base/files.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/output.h"
#include "tenure/tools/cli/packing_file.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/render/trace_picture.h"

namespace tenure::cli {
namespace {

absl::StatusOr<Picture> TracePicture(const PlanFlags& flags) {
  TENURE_ASSIGN_OR_RETURN(const PlannedTrace planned, PlanTrace(flags));
  const Trace& trace = *planned.trace;
  const Plan& plan = planned.plan;
  if (plan.arenas.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flags.trace, ": nothing of it is planned, so there is nothing to draw"));
  }
  // The plan numbers storages by first touch.
  std::vector<uint32_t> base_of;
  std::vector<bool> seen(trace.buffers.size(), false);
  for (const TraceOp& op : trace.ops) {
    for (const std::vector<uint32_t>* side : {&op.reads, &op.writes}) {
      for (uint32_t id : *side) {
        const uint32_t base = trace.Base(id);
        if (seen[base]) continue;
        seen[base] = true;
        base_of.push_back(base);
      }
    }
  }
  std::vector<PictureArena> arenas;
  for (size_t i = 0; i < plan.arenas.size(); ++i) {
    PictureArena arena{.name = flags.space.ToString(), .height = plan.arenas[i].size_bytes};
    if (plan.arenas.size() == 1) {
      arena.lower_bound = plan.lower_bound_bytes;
    } else {
      absl::StrAppend(&arena.name, " arena ", i);
    }
    arenas.push_back(std::move(arena));
  }
  std::vector<TracePlacement> placements;
  for (const Placement& p : plan.placements)
    placements.push_back({base_of[p.storage], p.arena, p.offset_bytes, p.size_bytes});
  return PictureOfTrace(trace, std::move(arenas), placements);
}

// Sets `code` if there is no packing to draw.
absl::StatusOr<Picture> ProblemPicture(const std::string& path, const PlanFlags& flags,
                                       ExitCode& code) {
  TENURE_ASSIGN_OR_RETURN(ProblemFile file, ProblemFile::Read(path));
  const packing::Problem& problem = file.problem();
  packing::SolveOptions options;
  options.effort = *packing::ParseEffort(flags.effort);
  options.max_threads = flags.threads;
  if (flags.deadline) options.deadline = absl::Now() + *flags.deadline;
  TENURE_ASSIGN_OR_RETURN(const packing::Packing packed, packing::Solve(problem, options));
  if (!packed.has_offsets()) {
    code = ExitCodeOf(packed.outcome);
    return absl::ResourceExhaustedError(absl::StrCat(path, ": there is no packing to draw (",
                                                     packing::OutcomeName(packed.outcome), ")"));
  }
  Picture picture;
  picture.title = path.substr(path.find_last_of('/') + 1);
  picture.subtitle =
      absl::StrCat(problem.items.size(), " buffers, ", packing::OutcomeName(packed.outcome));
  picture.time_label = "time";
  const size_t arenas = packed.heights.size();
  for (size_t i = 0; i < arenas; ++i) {
    PictureArena arena{.name = arenas == 1 ? "" : absl::StrCat("arena ", i),
                       .height = packed.heights[i]};
    if (arenas == 1) arena.lower_bound = packed.lower_bound;
    picture.arenas.push_back(std::move(arena));
  }
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const packing::Item& item = problem.items[i];
    picture.items.push_back({.name = file.Id(i),
                             .group = "",
                             .detail = "",
                             .first = item.first,
                             .last = item.last,
                             .size = item.size,
                             .offset = packed.offsets[i],
                             .arena = packed.arena(i)});
  }
  return picture;
}

}  // namespace

int RenderCommand(Args args) {
  PlanFlags flags;
  std::string input, output;
  FlagSet set(
      "render",
      "Draws where buffers lie over time: address upwards, time to the right, one "
      "rectangle a buffer, with names, sizes and ops on hover; the peak, and the bytes that "
      "are wasted. Draws the plan of a recorded schedule (--trace) or the packing of a "
      "problem (--input).");
  flags.AddTo(set, FlagSet::kOptional);
  flags.AddMaxAllocationTo(set);
  flags.AddPlanFileTo(set);
  set.Add("input", "FILE",
          "a packing problem, as 'tenure pack' reads it; offsets that it has are drawn", &input);
  set.Add("output", "FILE", "the picture; .html can be zoomed and searched, .svg goes anywhere",
          &output, FlagSet::kRequired);
  set.AddExample("tenure render --trace=resnet50_infer.json.gz --output=resnet50.html");
  set.AddExample("tenure render --trace=model.json.gz --plan=plan.json --output=plan.svg");
  set.AddExample(
      "tenure render --input=A.1048576.csv --effort=optimal --deadline=10s --output=A.svg");
  if (std::optional<int> code = set.Parse(args)) return *code;
  const bool html =
      absl::EndsWithIgnoreCase(output, ".html") || absl::EndsWithIgnoreCase(output, ".htm");
  if (!html && !absl::EndsWithIgnoreCase(output, ".svg")) {
    return FailUsage("render", absl::StrCat("--output=", output, ": end it in .svg or .html"));
  }
  if (flags.trace.empty() == input.empty()) {
    return FailUsage("render", "give one of --trace=FILE and --input=FILE");
  }
  if (absl::Status status = flags.Check(set); !status.ok()) {
    return FailUsage("render", status.message());
  }
  for (std::string_view name : {"space", "planner", "alignment", "max-allocation", "plan"}) {
    if (!input.empty() && set.Given(name)) {
      return FailUsage("render", absl::StrCat("--", name, " goes with --trace, not with --input"));
    }
  }

  ExitCode code = kFailed;
  absl::StatusOr<Picture> picture =
      input.empty() ? TracePicture(flags) : ProblemPicture(input, flags, code);
  if (!picture.ok()) {
    const int failed = Fail("render", picture.status());
    return code == kFailed ? failed : code;
  }
  absl::StatusOr<std::string> drawn = html ? RenderHtml(*picture) : RenderSvg(*picture);
  if (!drawn.ok()) return Fail("render", drawn.status());
  if (absl::Status status = WriteFile(output, *drawn); !status.ok()) {
    return Fail("render", status);
  }
  return kDone;
}

}  // namespace tenure::cli
