#include "tenure/planner/place_plan.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/liveness.h"
#include "tenure/planner/own_memory.h"
#include "tenure/planner/packing/alignment.h"
#include "tenure/planner/plan_check.h"
#include "tenure/planner/plan_validator.h"
#include "tenure/planner/step_order.h"

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

uint64_t OffsetInArena(uint64_t end, const PlanArena& arena) {
  return packing::AlignUp(end, arena.alignment_bytes);
}

// Keeps the storage unsealed while the plan is placed in its memory.
absl::Status HoldUnsealed(Storage& storage, PlacedPlan& placed) {
  TENURE_ASSIGN_OR_RETURN(WritableHold hold, WritableHold::Of(&storage));
  placed.holds.push_back(std::make_shared<const WritableHold>(std::move(hold)));
  return absl::OkStatus();
}

// Inputs and outputs that have bytes already are the arenas of what lies in their memory. Others get
// arenas like those of the plan.
absl::Status TakeOwnMemories(const Plan& plan, absl::Span<Storage* const> storages,
                             PlacedPlan& placed) {
  for (uint32_t a = 0; a < plan.arenas.size(); ++a) {
    const PlanArena& arena = plan.arenas[a];
    if (!arena.memory_of || *arena.memory_of >= storages.size()) continue;
    Storage& storage = *storages[*arena.memory_of];
    if (!storage.is_allocated()) continue;
    if (!internal::IsAligned(storage, 0, arena.alignment_bytes)) {
      return absl::FailedPreconditionError(absl::StrCat(
          "the memory of '", storage.name(), "' is not aligned to ", arena.alignment_bytes,
          ", as the plan needs it for what lies there; create the buffer with that "
          "BufferOptions::alignment_bytes"));
    }
    placed.arenas[a] = Buffer::OfStorage(storage);
    TENURE_RETURN_IF_ERROR(HoldUnsealed(storage, placed));
  }
  return absl::OkStatus();
}

// Makes windows of PlaceOptions::arena the arenas of its space.
absl::Status TakeGivenArena(const Plan& plan, absl::Span<Storage* const> storages,
                            const Buffer& given, PlacedPlan& placed) {
  const MemorySpace& space = given.allocator().space();
  const ArenaNeed need = ArenaOf(plan, space);
  const auto refuse = [&given](auto... why) {
    return absl::InvalidArgumentError(
        absl::StrCat("can't place into the given arena '", given.name(), "': ", why...));
  };
  if (std::find(storages.begin(), storages.end(), given.storage()) != storages.end())
    return refuse("it is a buffer of the schedule");
  if (given.size() < need.size_bytes)
    return refuse("it has ", given.size(), " bytes, and the plan needs ", need.size_bytes);
  if (need.size_bytes == 0 && !plan.arenas.empty())
    return refuse("it is of space ", space.ToString(), ", and no arena of the plan is");
  TENURE_RETURN_IF_ERROR(given.EnsureAllocated());
  if (given.storage()->root().read_only) return refuse("its memory is read-only");
  if (!internal::IsAligned(*given.storage(), given.offset(), need.alignment_bytes))
    return refuse("it is not aligned to ", need.alignment_bytes, ", as the plan needs it");
  TENURE_RETURN_IF_ERROR(HoldUnsealed(*given.storage(), placed));
  TENURE_ASSIGN_OR_RETURN(const Buffer bytes,
                          given.View(0, DType::kUInt8, Shape::Vector(given.size())));
  uint64_t end = 0;
  for (uint32_t a = 0; a < plan.arenas.size(); ++a) {
    const PlanArena& arena = plan.arenas[a];
    if (arena.memory_of || arena.space != space) continue;
    const uint64_t offset = OffsetInArena(end, arena);
    TENURE_ASSIGN_OR_RETURN(placed.arenas[a], bytes.View(offset, arena.size_bytes));
    end = offset + arena.size_bytes;
  }
  return absl::OkStatus();
}

// Bytes of an allocation. Something may be placed in those that are a window; all others have to be
// kept as they are.
struct KnownBytes {
  const Allocation* root = nullptr;
  uint64_t begin = 0;
  uint64_t end = 0;
  bool window = false;
  const Storage* storage = nullptr;
};

KnownBytes BytesOf(const Storage& storage, uint64_t offset, uint64_t size, bool window) {
  const uint64_t begin = storage.root_offset() + offset;
  return {&storage.root(), begin, begin + size, window, &storage};
}

// Refuses if an arena that was there before overlaps another one, or a storage that the schedule
// uses and that the plan places nowhere.
absl::Status CheckNothingIsOverwritten(const Plan& plan, absl::Span<Storage* const> storages,
                                       const PlacedPlan& placed) {
  if (placed.holds.empty()) return absl::OkStatus();  // all arenas are new
  std::vector<bool> elsewhere(storages.size(), true);
  for (const Placement& p : plan.placements) {
    if (p.storage < elsewhere.size()) elsewhere[p.storage] = false;
  }
  std::vector<KnownBytes> known;
  for (const Buffer& arena : placed.arenas) {
    if (arena.is_null()) continue;
    known.push_back(BytesOf(*arena.storage(), arena.offset(), arena.size(), true));
  }
  for (size_t s = 0; s < storages.size(); ++s) {
    const Storage& storage = *storages[s];
    if (elsewhere[s] && storage.is_allocated())
      known.push_back(BytesOf(storage, 0, storage.size_bytes(), false));
  }
  std::sort(known.begin(), known.end(), [](const KnownBytes& a, const KnownBytes& b) {
    return a.root != b.root ? std::less<>()(a.root, b.root) : a.begin < b.begin;
  });
  const KnownBytes* highest[2] = {nullptr, nullptr};  // of those so far: kept, windows
  for (const KnownBytes& bytes : known) {
    if (bytes.begin == bytes.end) continue;
    for (const KnownBytes* below : highest) {
      if (below == nullptr || below->root != bytes.root || below->end <= bytes.begin) continue;
      if (!below->window && !bytes.window) continue;
      const KnownBytes& kept = below->window ? bytes : *below;
      const KnownBytes& window = below->window ? *below : bytes;
      return absl::FailedPreconditionError(absl::StrCat(
          "can't place into the memory of '", window.storage->name(), "': '", kept.storage->name(),
          "', which the schedule uses and which must be kept, lies in these bytes too"));
    }
    const KnownBytes*& top = highest[bytes.window ? 1 : 0];
    if (top == nullptr || top->root != bytes.root || top->end < bytes.end) top = &bytes;
  }
  return absl::OkStatus();
}

// Placing is the last thing that it does, since other threads can use a placed storage at once.
// `storages` are those of the schedule, by number.
absl::StatusOr<PlacedPlan> PlaceAll(const Plan& plan, absl::Span<Storage* const> storages,
                                    const PlaceOptions& options) {
  auto no_such = [](auto... what) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan names ", what..., ", which the schedule or the plan does not have"));
  };
  PlacedPlan placed;
  placed.arenas.resize(plan.arenas.size());
  TENURE_RETURN_IF_ERROR(TakeOwnMemories(plan, storages, placed));
  if (!options.arena.is_null())
    TENURE_RETURN_IF_ERROR(TakeGivenArena(plan, storages, options.arena, placed));
  TENURE_RETURN_IF_ERROR(CheckNothingIsOverwritten(plan, storages, placed));
  placed.storages.reserve(plan.placements.size());
  placed.reuse_edges = plan.reuse_edges;
  for (const Placement& p : plan.placements) {
    if (p.storage >= storages.size() || p.arena >= plan.arenas.size())
      return no_such("storage ", p.storage, " in arena ", p.arena);
    Buffer& arena = placed.arenas[p.arena];
    if (arena.storage() == storages[p.storage]) continue;  // it is the arena
    placed.storages.emplace_back(storages[p.storage]);
    if (!arena.is_null()) continue;
    TENURE_ASSIGN_OR_RETURN(arena,
                            MakeArena(plan, p.arena, storages[p.storage]->allocator(), options));
  }
  for (const PlanFill& fill : plan.fills) {
    if (fill.storage >= storages.size()) return no_such("storage ", fill.storage);
    placed.fills.push_back({fill.step, Buffer::OfStorage(*storages[fill.storage])});
  }
  std::stable_sort(placed.fills.begin(), placed.fills.end(),
                   [](const PlacedFill& a, const PlacedFill& b) { return a.step < b.step; });

  std::vector<Storage::PlaceRequest> requests;
  requests.reserve(plan.placements.size());
  for (const Placement& p : plan.placements) {
    if (placed.arenas[p.arena].storage() == storages[p.storage]) continue;
    const Buffer& arena = placed.arenas[p.arena];
    // Other plans may be placed in a given arena too.
    const bool given = !plan.arenas[p.arena].memory_of && !options.arena.is_null() &&
                       arena.storage() == options.arena.storage();
    requests.push_back({.storage = storages[p.storage],
                        .arena = arena.storage(),
                        .offset_bytes = arena.offset() + p.offset_bytes,
                        .exclusive = p.exclusive && !given});
  }
  TENURE_RETURN_IF_ERROR(Storage::PlaceAll(requests));
  return placed;
}

std::vector<Storage*> StoragesOf(const Liveness& liveness) {
  std::vector<Storage*> storages;
  storages.reserve(liveness.storages.size());
  for (const StorageLife& life : liveness.storages) storages.push_back(life.storage);
  return storages;
}

std::vector<Storage*> StoragesOf(const internal::PlanCheck& check) {
  std::vector<Storage*> storages;
  storages.reserve(check.storages.size());
  for (const auto& checked : check.storages) storages.push_back(checked.storage);
  return storages;
}

}  // namespace

ArenaNeed ArenaOf(const Plan& plan, const MemorySpace& space) {
  ArenaNeed need;
  for (const PlanArena& arena : plan.arenas) {
    if (arena.memory_of || arena.space != space) continue;
    need.size_bytes = OffsetInArena(need.size_bytes, arena) + arena.size_bytes;
    need.alignment_bytes = std::max(need.alignment_bytes, arena.alignment_bytes);
  }
  return need;
}

absl::StatusOr<PlacedPlan> PlacePlan(const Plan& plan, const Schedule& schedule,
                                     const PlaceOptions& options) {
  if (const internal::PlanCheck* check = internal::FindCheck(plan, schedule); check != nullptr) {
    return PlaceAll(plan, StoragesOf(*check), options);
  }
  TENURE_ASSIGN_OR_RETURN(Liveness liveness, internal::ValidateFromScratch(plan, schedule));
  return PlaceAll(plan, StoragesOf(liveness), options);
}

absl::StatusOr<PlacedPlan> internal::PlaceUnchecked(const Plan& plan, const Schedule& schedule) {
  const StepOrder order(schedule);
  TENURE_ASSIGN_OR_RETURN(Liveness liveness,
                          AnalyzeLiveness(schedule, order, {.fill_zeroed = true}));
  return PlaceAll(plan, StoragesOf(liveness), {});
}

absl::Status UnplacePlan(PlacedPlan placed) {
  const PlacedPlan dropped = std::move(placed);  // frees the arenas at the end of this call
  absl::Status first;
  for (const StorageKeepAlive& storage : dropped.storages) first.Update(storage->Unplace());
  return first;
}

}  // namespace tenure
