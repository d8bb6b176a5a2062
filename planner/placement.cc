#include "tenure/planner/placement.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/step_order.h"
#include "tenure/planner/validate_plan.h"

namespace tenure {
namespace {

absl::StatusOr<Buffer> MakeArena(const Plan& plan, uint32_t number, Allocator& allocator,
                                 const PlaceOptions& options) {
  const PlanArena& arena = plan.arenas[number];
  return Buffer::Create(
      allocator, DType::kUInt8, Shape::Vector(arena.size_bytes),
      {.name = absl::StrCat("arena ", number, plan.name.empty() ? "" : " of ", plan.name),
       .alignment_bytes = arena.alignment_bytes,
       .immediate = true,
       .hints = {.sharing = options.sharing}});
}

absl::Status PlaceAll(const Plan& plan, const Liveness& liveness, const PlaceOptions& options,
                      PlacedPlan& placed) {
  auto no_such = [](auto... what) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan names ", what..., ", which the schedule or the plan does not have"));
  };
  placed.arenas.resize(plan.arenas.size());
  placed.storages.reserve(plan.placements.size());
  for (const Placement& p : plan.placements) {
    if (p.storage >= liveness.storages.size() || p.arena >= plan.arenas.size())
      return no_such("storage ", p.storage, " in arena ", p.arena);
    Storage& storage = *liveness.storages[p.storage].storage;
    Buffer& arena = placed.arenas[p.arena];
    if (arena.is_null()) {
      absl::StatusOr<Buffer> made = MakeArena(plan, p.arena, storage.allocator(), options);
      if (!made.ok()) return made.status();
      arena = *std::move(made);
    }
    absl::Status status = storage.Place(*arena.storage(), p.offset_bytes, p.exclusive);
    if (!status.ok()) return status;
    placed.storages.emplace_back(&storage);
  }
  for (const PlanFill& fill : plan.fills) {
    if (fill.storage >= liveness.storages.size()) return no_such("storage ", fill.storage);
    placed.fills.push_back(
        {fill.step, Buffer::OfStorage(*liveness.storages[fill.storage].storage)});
  }
  placed.reuse_edges = plan.reuse_edges;
  std::stable_sort(placed.fills.begin(), placed.fills.end(),
                   [](const PlacedFill& a, const PlacedFill& b) { return a.step < b.step; });
  return absl::OkStatus();
}

absl::StatusOr<PlacedPlan> PlaceAllOrNothing(const Plan& plan, const Liveness& liveness,
                                             const PlaceOptions& options = {}) {
  PlacedPlan placed;
  absl::Status status = PlaceAll(plan, liveness, options, placed);
  if (status.ok()) return placed;
  // What was placed a moment ago can be sealed or mapped by nobody but a racing thread: that one
  // keeps its bytes.
  UnplacePlan(std::move(placed)).IgnoreError();
  return status;
}

}  // namespace

absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule,
                                     const PlaceOptions& options) {
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness = AnalyzeLiveness(schedule, order, {.fill_zeroed = true});
  if (!liveness.ok()) return liveness.status();
  if (absl::Status status = internal::ValidateLoaded(plan, schedule, order, *liveness);
      !status.ok()) {
    return status;
  }
  return PlaceAllOrNothing(plan, *liveness, options);
}

absl::StatusOr<PlacedPlan> internal::PlaceUnchecked(const Plan& plan, const Schedule& schedule) {
  const StepOrder order(schedule);
  absl::StatusOr<Liveness> liveness = AnalyzeLiveness(schedule, order, {.fill_zeroed = true});
  if (!liveness.ok()) return liveness.status();
  return PlaceAllOrNothing(plan, *liveness);
}

absl::Status UnplacePlan(PlacedPlan placed) {
  const PlacedPlan over = std::move(placed);  // goes with this call, arenas and all
  absl::Status first;
  for (const StorageKeepAlive& storage : over.storages) first.Update(storage->Unplace());
  return first;
}

}  // namespace tenure
