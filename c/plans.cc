#include "absl/time/clock.h"
#include "tenure/c/schedules.h"
#include "tenure/planner/plan_json.h"
#include "tenure/planner/shortage.h"
#include "tenure/tools/render/plan_picture.h"
#include "tenure/tools/render/render.h"

using namespace tenure;     // NOLINT(google-build-using-namespace): these sources are a way into it
using namespace tenure::c;  // NOLINT(google-build-using-namespace)

absl::StatusOr<std::unique_ptr<tenure_plan>> tenure_plan::Of(Plan plan,
                                                             const tenure_schedule& schedule) {
  auto made = std::make_unique<tenure_plan>();
  made->plan = std::move(plan);
  // Plans number storages in the order of their first touch.
  absl::flat_hash_map<StorageId, uint32_t> numbers;
  for (const Step& step : schedule.schedule.steps()) {
    for (const std::vector<Buffer>* buffers : {&step.reads, &step.writes}) {
      for (const Buffer& buffer : *buffers) {
        numbers.try_emplace(buffer.storage_id(), static_cast<uint32_t>(numbers.size()));
      }
    }
  }
  made->keys.resize(numbers.size(), TENURE_UNLIMITED);
  made->placements.resize(numbers.size(), -1);
  made->not_planned.resize(numbers.size(), nullptr);
  std::vector<bool> whole(numbers.size(), false);
  for (const auto& [key, buffer] : schedule.by_key) {
    const auto found = numbers.find(buffer.storage_id());
    if (found == numbers.end()) continue;
    made->windows.emplace(key, Window{found->second, buffer.offset()});
    // The key of a storage is that of all its bytes; of several the smallest.
    const bool is_whole = buffer.size() == buffer.total_size();
    uint64_t& known = made->keys[found->second];
    if ((is_whole && !whole[found->second]) || (is_whole == whole[found->second] && key < known)) {
      known = key;
      whole[found->second] = is_whole;
    }
  }
  const Plan& kept = made->plan;
  for (size_t i = 0; i < kept.placements.size(); ++i) {
    const uint32_t storage = kept.placements[i].storage;
    if (storage >= numbers.size()) return absl::InternalError("the plan is of another schedule");
    made->placements[storage] = static_cast<int64_t>(i);
  }
  for (const NotPlanned& left_out : kept.not_planned) {
    if (left_out.storage < numbers.size()) made->not_planned[left_out.storage] = &left_out;
  }
  for (const PlanArena& arena : kept.arenas) made->spaces.push_back(arena.space.ToString());
  return made;
}

namespace {

absl::StatusOr<PlanOptions> OptionsOf(const tenure_plan_options* options) {
  TENURE_ASSIGN_OR_RETURN(const tenure_plan_options known,
                          Known(options, tenure_plan_options TENURE_PLAN_OPTIONS_INIT, "options"));
  PlanOptions made;
  TENURE_ASSIGN_OR_RETURN(made.mode, (EnumOf<PlanMode>(known.mode, TENURE_PLAN_ARENA, "mode")));
  TENURE_ASSIGN_OR_RETURN(made.effort,
                          (EnumOf<packing::Effort>(known.effort, TENURE_EFFORT_OPTIMAL, "effort")));
  made.max_threads = known.max_threads;
  made.in_place = known.in_place != 0;
  made.fill_zeroed = known.fill_zeroed != 0;
  made.alignment_bytes = known.alignment;
  made.capacity_bytes = known.capacity;
  made.max_nodes = known.max_nodes;
  made.deadline = DeadlineOf(known.timeout_seconds);
  return made;
}

absl::Status GivePlan(Plan plan, const tenure_schedule& schedule, tenure_plan** to) {
  TENURE_ASSIGN_OR_RETURN(std::unique_ptr<tenure_plan> made,
                          tenure_plan::Of(std::move(plan), schedule));
  *to = made.release();
  return absl::OkStatus();
}

absl::Status InRange(size_t index, size_t count, std::string_view what) {
  if (index < count) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat("there is no ", what, " ", index, ": the plan has ", count));
}

}  // namespace

tenure_status tenure_plan_make(const tenure_schedule* schedule, const tenure_plan_options* options,
                               tenure_plan** plan) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_ASSIGN_OR_RETURN(const PlanOptions known, OptionsOf(options));
    TENURE_ASSIGN_OR_RETURN(Plan made, MakePlan(schedule->schedule, known));
    return GivePlan(std::move(made), *schedule, plan);
  });
}

void tenure_plan_destroy(tenure_plan* plan) { delete plan; }

tenure_status tenure_plan_explain(const tenure_schedule* schedule,
                                  const tenure_plan_options* options, char** text) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(text, "text"));
    TENURE_ASSIGN_OR_RETURN(const PlanOptions known, OptionsOf(options));
    Shortage shortage;
    const absl::StatusOr<Plan> made = MakePlan(schedule->schedule, known, &shortage);
    if (made.ok()) {
      return GiveText(absl::StrCat("it fits: the arenas take ", made->arena_bytes, " bytes\n"),
                      text);
    }
    if (!shortage.happened()) return made.status();
    if (shortage.proven) {
      // Looks for a small set of storages that do not fit together, for two seconds at most, and no
      // longer than the caller permits.
      const absl::Time most = absl::Now() + absl::Seconds(2);
      TENURE_RETURN_IF_ERROR(FindConflict({.deadline = std::min(known.deadline, most)}, shortage));
    }
    return GiveText(ShortageText(shortage, schedule->schedule), text);
  });
}

tenure_status tenure_plan_get_info(const tenure_plan* plan, tenure_plan_info* info) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    const Plan& made = plan->plan;
    return Give(
        tenure_plan_info{sizeof(tenure_plan_info), made.arena_bytes, made.unplanned_bytes,
                         made.lower_bound_bytes, made.optimal ? 1 : 0, made.deadline_hit ? 1 : 0,
                         made.arenas.size(), made.placements.size(), made.fills.size(),
                         made.reuse_edges.size(), made.in_place.size()},
        info, "info");
  });
}

tenure_status tenure_plan_get_arena(const tenure_plan* plan, size_t index,
                                    tenure_arena_info* info) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(InRange(index, plan->plan.arenas.size(), "arena"));
    const PlanArena& arena = plan->plan.arenas[index];
    tenure_arena_info told = TENURE_ARENA_INFO_INIT;
    told.size = arena.size_bytes;
    told.alignment = arena.alignment_bytes;
    told.queue = arena.queue;
    if (arena.memory_of) {
      told.is_storage = 1;
      told.key = plan->keys[*arena.memory_of];
    }
    told.space = plan->spaces[index].c_str();
    return Give(told, info, "info");
  });
}

tenure_status tenure_plan_find(const tenure_plan* plan, uint64_t key, tenure_placement_info* info) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    const auto found = plan->windows.find(key);
    if (found == plan->windows.end()) {
      return absl::NotFoundError(absl::StrCat("no step of the schedule names the key ", key));
    }
    const tenure_plan::Window window = found->second;
    tenure_placement_info told = TENURE_PLACEMENT_INFO_INIT;
    told.reason = PlanReasonName(PlanReason::kPlanned).data();
    if (const int64_t number = plan->placements[window.storage]; number >= 0) {
      const Placement& placement = plan->plan.placements[static_cast<size_t>(number)];
      told.placed = 1;
      told.arena = placement.arena;
      told.offset = placement.offset_bytes + window.offset;
      told.size = placement.size_bytes;
      told.first_step = placement.first_step;
      told.last_step = placement.last_step;
    } else if (const NotPlanned* left_out = plan->not_planned[window.storage]) {
      told.size = left_out->size_bytes;
      told.reason = PlanReasonName(left_out->reason).data();
    }
    return Give(told, info, "info");
  });
}

tenure_status tenure_plan_get_fill(const tenure_plan* plan, size_t index, uint32_t* step,
                                   uint64_t* key) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(NotNull(step, "step"));
    TENURE_RETURN_IF_ERROR(NotNull(key, "key"));
    TENURE_RETURN_IF_ERROR(InRange(index, plan->plan.fills.size(), "fill"));
    *step = plan->plan.fills[index].step;
    *key = plan->keys[plan->plan.fills[index].storage];
    return absl::OkStatus();
  });
}

tenure_status tenure_plan_get_reuse_edge(const tenure_plan* plan, size_t index, uint32_t* before,
                                         uint32_t* after) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(NotNull(before, "before"));
    TENURE_RETURN_IF_ERROR(NotNull(after, "after"));
    TENURE_RETURN_IF_ERROR(InRange(index, plan->plan.reuse_edges.size(), "reuse edge"));
    *before = plan->plan.reuse_edges[index].before;
    *after = plan->plan.reuse_edges[index].after;
    return absl::OkStatus();
  });
}

tenure_status tenure_plan_get_in_place(const tenure_plan* plan, size_t index, uint32_t* step,
                                       uint64_t* input, uint64_t* output) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(NotNull(step, "step"));
    TENURE_RETURN_IF_ERROR(NotNull(input, "input"));
    TENURE_RETURN_IF_ERROR(NotNull(output, "output"));
    TENURE_RETURN_IF_ERROR(InRange(index, plan->plan.in_place.size(), "write in place"));
    const InPlaceWrite& write = plan->plan.in_place[index];
    *step = write.step;
    *input = plan->keys[write.input];
    *output = plan->keys[write.output];
    return absl::OkStatus();
  });
}

tenure_status tenure_plan_summary(const tenure_plan* plan, char** text) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    return GiveText(plan->plan.Summary(), text);
  });
}

tenure_status tenure_plan_json(const tenure_plan* plan, char** json) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    return GiveText(PlanToJson(plan->plan), json);
  });
}

tenure_status tenure_plan_html(const tenure_plan* plan, const tenure_schedule* schedule,
                               char** page) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_ASSIGN_OR_RETURN(const std::string html,
                            RenderHtml(PictureOfPlan(plan->plan, schedule->schedule)));
    return GiveText(html, page);
  });
}

tenure_status tenure_plan_load(const tenure_schedule* schedule, const char* json,
                               tenure_plan** plan) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(json, "json"));
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_ASSIGN_OR_RETURN(Plan loaded, LoadPlan(json, schedule->schedule));
    return GivePlan(std::move(loaded), *schedule, plan);
  });
}

// --- Placing

tenure_status tenure_place(const tenure_plan* plan, const tenure_schedule* schedule,
                           const tenure_buffer* arena, tenure_placed** placed) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(plan, "plan"));
    TENURE_RETURN_IF_ERROR(NotNull(schedule, "schedule"));
    TENURE_RETURN_IF_ERROR(NotNull(placed, "placed"));
    if (!schedule->planning_only.empty()) {
      return absl::UnavailableError(
          absl::StrCat("the schedule has storages in ", schedule->planning_only.begin()->first,
                       ", which this machine does not have: it can only be planned"));
    }
    PlaceOptions options;
    if (arena != nullptr) options.arena = arena->value;
    auto made = std::make_unique<tenure_placed>();
    TENURE_ASSIGN_OR_RETURN(made->placed, PlacePlan(plan->plan, schedule->schedule, options));
    *placed = made.release();
    return absl::OkStatus();
  });
}

tenure_status tenure_unplace(tenure_placed* placed) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(placed, "placed"));
    absl::Status status = UnplacePlan(placed->placed);
    if (!status.ok()) {
      // The rest can be tried again when nobody uses it any longer.
      std::erase_if(placed->placed.storages,
                    [](const StorageKeepAlive& storage) { return !storage->is_placed(); });
      return status;
    }
    delete placed;
    return absl::OkStatus();
  });
}

void tenure_placed_destroy(tenure_placed* placed) { delete placed; }

tenure_status tenure_placed_get_arena(const tenure_placed* placed, size_t index,
                                      tenure_buffer** buffer) {
  return Call([&]() -> absl::Status {
    TENURE_RETURN_IF_ERROR(NotNull(placed, "placed"));
    TENURE_RETURN_IF_ERROR(NotNull(buffer, "buffer"));
    TENURE_RETURN_IF_ERROR(InRange(index, placed->placed.arenas.size(), "arena"));
    return GiveBuffer(placed->placed.arenas[index], buffer);
  });
}
