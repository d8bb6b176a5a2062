// tenure render: address over time, as a picture.

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/packing/io/csv.h"
#include "tenure/planner/packing/io/file.h"
#include "tenure/planner/packing/solver.h"
#include "tenure/tools/cli/commands.h"
#include "tenure/tools/cli/report.h"
#include "tenure/tools/render/render.h"
#include "tenure/tools/render/trace_picture.h"

namespace tenure::cli {
namespace {

absl::StatusOr<Picture> TracePicture(const PlanFlags& flags) {
  absl::StatusOr<Trace> trace = ReadTrace(flags.trace);
  if (!trace.ok()) return trace.status();
  absl::StatusOr<MemorySpace> space = MemorySpace::Parse(flags.space);
  if (!space.ok()) return space.status();
  absl::StatusOr<std::unique_ptr<Allocator>> allocator =
      PlanningAllocator(*space, SpaceTraits::kUnlimited);
  if (!allocator.ok()) return allocator.status();
  absl::StatusOr<PlanOptions> options = flags.Options();
  if (!options.ok()) return options.status();
  absl::StatusOr<PlannedTrace> planned = PlanTrace(*trace, **allocator, *options);
  if (!planned.ok()) return planned.status();

  const Plan& plan = planned->plan;
  if (plan.arenas.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(flags.trace, ": nothing of it is planned, so there is nothing to draw"));
  }
  // The plan numbers storages by first touch.
  std::vector<uint32_t> base_of;
  std::vector<bool> seen(trace->buffers.size(), false);
  for (const TraceOp& op : trace->ops) {
    for (const std::vector<uint32_t>* side : {&op.reads, &op.writes}) {
      for (uint32_t id : *side) {
        const uint32_t base = trace->Base(id);
        if (seen[base]) continue;
        seen[base] = true;
        base_of.push_back(base);
      }
    }
  }
  std::vector<PictureArena> arenas;
  for (size_t i = 0; i < plan.arenas.size(); ++i) {
    PictureArena arena{.name = plan.arenas.size() == 1
                                   ? space->ToString()
                                   : absl::StrCat(space->ToString(), " arena ", i),
                       .height = plan.arenas[i].size_bytes};
    if (plan.arenas.size() == 1) arena.lower_bound = plan.lower_bound_bytes;
    arenas.push_back(std::move(arena));
  }
  std::vector<TracePlacement> placements;
  for (const Placement& p : plan.placements)
    placements.push_back({base_of[p.storage], p.arena, p.offset_bytes, p.size_bytes});
  return PictureOfTrace(*trace, std::move(arenas), placements);
}

absl::StatusOr<Picture> CsvPicture(const std::string& path, const std::string& effort,
                                   std::optional<absl::Duration> deadline, int threads) {
  absl::StatusOr<packing::CsvTable> table = packing::ReadCsv(path);
  if (!table.ok()) return table.status();
  packing::SolveOptions options;
  options.effort = *packing::ParseEffort(effort);
  options.max_threads = std::max(1, threads);
  if (deadline.has_value()) options.deadline = absl::Now() + *deadline;
  absl::StatusOr<packing::Packing> packing = packing::Solve(table->problem, options);
  if (!packing.ok()) return packing.status();
  if (!packing->has_offsets()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(path, ": no packing to draw (", packing::OutcomeName(packing->outcome), ")"));
  }
  Picture picture;
  picture.title = path.substr(path.find_last_of('/') + 1);
  picture.subtitle = absl::StrCat(table->problem.items.size(), " buffers, ",
                                  packing::OutcomeName(packing->outcome));
  picture.time_label = "time";
  for (size_t i = 0; i < packing->heights.size(); ++i) {
    PictureArena arena{.name = packing->heights.size() == 1 ? "" : absl::StrCat("arena ", i),
                       .height = packing->heights[i]};
    if (packing->heights.size() == 1) arena.lower_bound = packing->lower_bound;
    picture.arenas.push_back(std::move(arena));
  }
  for (size_t i = 0; i < table->problem.items.size(); ++i) {
    const packing::Item& item = table->problem.items[i];
    picture.items.push_back({.name = table->Id(i),
                             .group = "",
                             .detail = "",
                             .first = item.first,
                             .last = item.last,
                             .size = item.size,
                             .offset = packing->offsets[i],
                             .arena = packing->arena(i)});
  }
  return picture;
}

}  // namespace

int RenderCommand(Args args) {
  PlanFlags flags;
  std::string input, output;
  FlagSet set("render",
              "draws where buffers lie over time: address upwards, time to the right, one "
              "rectangle a buffer, with names, sizes and ops on hover, the "
              "peak, and the bytes that are wasted. Either of a recorded schedule (--trace) or of "
              "a packing problem (--input).");
  flags.AddTo(set);
  set.MakeOptional("trace");
  set.Add("input", "FILE", "a packing problem as CSV, as 'tenure pack' reads it", &input);
  set.Add("output", "FILE", "where the picture goes; .svg or .html (with zoom and search)", &output,
          FlagSet::kRequired);
  set.AddExample("tenure render --trace=resnet50_infer.json.gz --output=resnet50.html");
  set.AddExample("tenure render --input=A.1048576.csv --effort=optimal --output=A.svg");
  if (std::optional<int> code = set.Parse(args)) return *code;
  const bool html =
      absl::EndsWithIgnoreCase(output, ".html") || absl::EndsWithIgnoreCase(output, ".htm");
  if (!html && !absl::EndsWithIgnoreCase(output, ".svg")) {
    return Fail(
        "render",
        absl::InvalidArgumentError(absl::StrCat("--output=", output, ": end it in .svg or .html")),
        kUsage);
  }
  if (flags.trace.empty() == input.empty()) {
    return Fail("render", absl::InvalidArgumentError("give one of --trace=FILE and --input=FILE"),
                kUsage);
  }
  absl::StatusOr<Picture> picture =
      input.empty() ? TracePicture(flags)
                    : CsvPicture(input, flags.effort, flags.deadline, flags.threads);
  if (!picture.ok()) return Fail("render", picture.status());
  absl::StatusOr<std::string> drawn = html ? RenderHtml(*picture) : RenderSvg(*picture);
  if (!drawn.ok()) return Fail("render", drawn.status());
  if (absl::Status status = packing::WriteFile(output, *drawn); !status.ok())
    return Fail("render", status);
  return kDone;
}

}  // namespace tenure::cli
