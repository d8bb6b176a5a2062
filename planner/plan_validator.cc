#include "tenure/planner/plan_validator.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/byte_ranges.h"
#include "tenure/planner/fingerprint.h"
#include "tenure/planner/groups.h"
#include "tenure/planner/reuse_edges.h"
#include "tenure/planner/work_counts.h"

namespace tenure {
namespace {

template <typename... Why>
absl::Status Wrong(const Why&... why) {
  return absl::InternalError(absl::StrCat("the plan is wrong: ", why...));
}

class Validator {
 public:
  Validator(const Plan& plan, const Schedule& schedule, const StepOrder& order,
            const Liveness& liveness)
      : plan_(plan),
        schedule_(schedule),
        order_(order),
        liveness_(liveness),
        placement_of_(liveness.storages.size(), nullptr),
        in_place_of_(liveness.storages.size(), kNone) {}

  absl::Status Run() {
    absl::Status status = CheckHead();
    if (status.ok()) status = CheckPlacements();
    if (status.ok()) status = CheckNotPlanned();
    if (status.ok()) status = CheckFills();
    if (status.ok()) status = CheckInPlaceWrites();
    if (status.ok()) status = CheckArenas();
    if (status.ok()) status = CheckOverlaps();
    return status;
  }

 private:
  static constexpr uint32_t kNone = ~0u;

  std::string Named(uint32_t s) const {
    const std::string& name = liveness_.storages[s].storage->name();
    return name.empty() ? absl::StrCat("storage ", s)
                        : absl::StrCat("storage ", s, " ('", name, "')");
  }
  uint64_t AlignmentOf(const StorageLife& life) const {
    return std::max(plan_.alignment_bytes, life.storage->alignment_bytes());
  }

  absl::Status CheckHead() {
    if (!IsPowerOfTwo(plan_.alignment_bytes)) return Wrong("alignment ", plan_.alignment_bytes);
    if (plan_.mode == PlanMode::kNone && !plan_.placements.empty())
      return Wrong("its mode is none, but it places storages");
    return absl::OkStatus();
  }

  absl::Status CheckPlacement(const Placement& p) {
    if (p.storage >= liveness_.storages.size() || p.arena >= plan_.arenas.size()) {
      return Wrong("it places storage ", p.storage, " in arena ", p.arena, "; there are ",
                   liveness_.storages.size(), " and ", plan_.arenas.size());
    }
    const StorageLife& life = liveness_.storages[p.storage];
    const PlanArena& arena = plan_.arenas[p.arena];
    if (life.reason != PlanReason::kPlanned) {
      return absl::FailedPreconditionError(
          absl::StrCat("the plan places ", Named(p.storage),
                       ", which may not be planned now: ", PlanReasonName(life.reason),
                       life.detail.empty() ? "" : ", ", life.detail, "; plan again"));
    }
    if (p.first_step != life.first_step || p.last_step != life.last_step)
      return Wrong(Named(p.storage), " lives at other steps");
    uint64_t rounded = 0;
    if (!CheckedRoundUp(life.storage->size_bytes(), plan_.alignment_bytes, &rounded) ||
        p.size_bytes != rounded) {
      return Wrong(Named(p.storage), " got ", p.size_bytes, " bytes, not its size rounded up");
    }
    if (!WindowFits(p.offset_bytes, p.size_bytes, arena.size_bytes))
      return Wrong(Named(p.storage), " sticks out of its arena");
    if (p.offset_bytes % AlignmentOf(life) != 0) return Wrong(Named(p.storage), " is not aligned");
    if (plan_.mode == PlanMode::kRemap && p.size_bytes != arena.size_bytes)
      return Wrong(Named(p.storage), " does not fill its arena");
    if (arena.space != life.storage->allocator().space() || arena.queue != life.queue)
      return Wrong(Named(p.storage), " is in an arena of another space or queue");
    if (life.own_memory && !arena.memory_of)
      return Wrong(Named(p.storage), " is not in memory of its own");
    return arena.memory_of ? CheckInMemoryOf(p, *arena.memory_of) : absl::OkStatus();
  }

  // The arena is the own memory of storage `owner`, which may be smaller than the arena's rounded
  // size.
  absl::Status CheckInMemoryOf(const Placement& p, uint32_t owner) {
    if (owner >= liveness_.storages.size() || !liveness_.storages[owner].own_memory ||
        plan_.mode != PlanMode::kArena) {
      return Wrong("storage ", owner, " may not lend its memory, where ", Named(p.storage),
                   " lies");
    }
    if (p.storage == owner && p.offset_bytes != 0)
      return Wrong(Named(owner), " does not lie at the begin of its own memory");
    if (!WindowFits(p.offset_bytes, liveness_.storages[p.storage].storage->size_bytes(),
                    liveness_.storages[owner].storage->size_bytes())) {
      return Wrong(Named(p.storage), " sticks out of the memory of ", Named(owner));
    }
    if (liveness_.storages[owner].from_start && liveness_.storages[p.storage].to_end) {
      return Wrong(Named(p.storage), " is an output in the memory of ", Named(owner),
                   ", and the input of the next run would erase it");
    }
    return absl::OkStatus();
  }

  absl::Status CheckPlacements() {
    uint64_t bytes = 0;
    for (const Placement& p : plan_.placements) {
      TENURE_RETURN_IF_ERROR(CheckPlacement(p));
      if (std::exchange(placement_of_[p.storage], &p) != nullptr)
        return Wrong(Named(p.storage), " is placed twice");
      if (!CheckedAdd(bytes, p.size_bytes, &bytes)) return Wrong("the storages' sizes wrap");
    }
    if (bytes != plan_.unplanned_bytes)
      return Wrong("what it places takes ", bytes, " bytes, not ", plan_.unplanned_bytes);
    return absl::OkStatus();
  }

  absl::Status CheckNotPlanned() {
    std::vector<bool> listed(placement_of_.size(), false);
    for (const NotPlanned& n : plan_.not_planned) {
      if (n.storage >= listed.size() || listed[n.storage] || placement_of_[n.storage] != nullptr ||
          n.reason == PlanReason::kPlanned ||
          n.size_bytes != liveness_.storages[n.storage].storage->size_bytes()) {
        return Wrong("its list of what was not planned is wrong about storage ", n.storage);
      }
      listed[n.storage] = true;
    }
    for (uint32_t s = 0; s < listed.size(); ++s) {
      if (!listed[s] && placement_of_[s] == nullptr)
        return Wrong(Named(s), " is neither placed nor listed as not planned");
    }
    return absl::OkStatus();
  }

  absl::Status CheckFills() {
    std::vector<bool> filled(placement_of_.size(), false);
    for (const PlanFill& fill : plan_.fills) {
      if (fill.storage >= filled.size() || placement_of_[fill.storage] == nullptr ||
          filled[fill.storage] || !liveness_.storages[fill.storage].needs_fill ||
          fill.step != liveness_.storages[fill.storage].first_step) {
        return Wrong("it fills storage ", fill.storage, " at step ", fill.step);
      }
      filled[fill.storage] = true;
    }
    for (uint32_t s = 0; s < filled.size(); ++s) {
      if (placement_of_[s] != nullptr && liveness_.storages[s].needs_fill && !filled[s])
        return Wrong(Named(s), " is promised as zeros, but nothing fills it");
    }
    return absl::OkStatus();
  }

  absl::Status CheckInPlaceWrites() {
    std::vector<bool> replaced(placement_of_.size(), false);
    for (const InPlaceWrite& write : plan_.in_place) {
      if (absl::Status status = CheckInPlace(schedule_, order_, liveness_, write); !status.ok())
        return status;
      if (in_place_of_[write.output] != kNone || replaced[write.input])
        return Wrong("two in-place writes at step ", write.step, " use the same storage");
      const Placement* in = placement_of_[write.input];
      const Placement* out = placement_of_[write.output];
      if (in == nullptr || out == nullptr || in->arena != out->arena ||
          in->offset_bytes != out->offset_bytes) {
        return Wrong(Named(write.output),
                     " is written in place, but is not placed at the bytes of ",
                     Named(write.input));
      }
      in_place_of_[write.output] = write.input;
      replaced[write.input] = true;
    }
    return absl::OkStatus();
  }

  absl::Status CheckArenas() {
    const std::vector<PlanArena>& arenas = plan_.arenas;
    std::vector<uint64_t> size(arenas.size(), 0), alignment(arenas.size(), plan_.alignment_bytes);
    std::vector<Allocator*> allocator(arenas.size(), nullptr);
    for (const Placement& p : plan_.placements) {
      const StorageLife& life = liveness_.storages[p.storage];
      Allocator* const own = &life.storage->allocator();
      if (allocator[p.arena] != nullptr && allocator[p.arena] != own)
        return Wrong("arena ", p.arena, " mixes allocators");
      allocator[p.arena] = own;
      size[p.arena] = std::max(size[p.arena], p.offset_bytes + p.size_bytes);
      alignment[p.arena] = std::max(alignment[p.arena], AlignmentOf(life));
      if (life.own_memory && arenas[p.arena].memory_of != p.storage)
        return Wrong(Named(p.storage), " lies in the memory of another storage");
    }
    uint64_t bytes = 0;
    for (uint32_t a = 0; a < arenas.size(); ++a) {
      if (allocator[a] == nullptr) return Wrong("nothing lies in arena ", a);
      if (arenas[a].memory_of && (placement_of_[*arenas[a].memory_of] == nullptr ||
                                  placement_of_[*arenas[a].memory_of]->arena != a)) {
        return Wrong(Named(*arenas[a].memory_of), " does not lie in its own memory, arena ", a);
      }
      if (arenas[a].size_bytes != size[a] || arenas[a].alignment_bytes != alignment[a]) {
        return Wrong("arena ", a, " is of ", arenas[a].size_bytes, " bytes aligned to ",
                     arenas[a].alignment_bytes, "; what lies in it needs ", size[a], " and ",
                     alignment[a]);
      }
      if (size[a] > allocator[a]->traits().max_allocation_bytes) {
        return absl::FailedPreconditionError(
            absl::StrCat("arena ", a, " of ", size[a],
                         " bytes is larger than the largest "
                         "allocation of ",
                         arenas[a].space.ToString(), " (",
                         allocator[a]->traits().max_allocation_bytes, "); plan again"));
      }
      if (!CheckedAdd(bytes, size[a], &bytes)) return Wrong("the arenas' sizes wrap");
    }
    if (bytes != plan_.arena_bytes || plan_.lower_bound_bytes > bytes ||
        plan_.optimal != (plan_.lower_bound_bytes == bytes)) {
      return Wrong("its sums are not those of its arenas");
    }
    return absl::OkStatus();
  }

  // Goes through the placements in the order of their first steps. The latest storage at each byte
  // must be over before the next one begins. Being over before is transitive, so this is enough.
  // The list of steps is a legal order, so it is also necessary.
  absl::Status CheckOverlaps() {
    std::vector<const Placement*> by_time;
    by_time.reserve(plan_.placements.size());
    for (const Placement& p : plan_.placements) by_time.push_back(&p);
    auto earlier = [](const Placement* a, const Placement* b) {
      return std::tie(a->first_step, a->storage) < std::tie(b->first_step, b->storage);
    };
    if (!std::is_sorted(by_time.begin(), by_time.end(), earlier))
      std::sort(by_time.begin(), by_time.end(), earlier);
    std::vector<StepEnds> ends(order_.total() ? 0 : placement_of_.size());
    if (!order_.total()) {
      for (const Placement& p : plan_.placements)
        ends[p.storage] = EndsOf(order_, liveness_, {&p.storage, 1});
    }
    std::vector<Tenants> tenants(plan_.arenas.size());
    std::vector<bool> shared(placement_of_.size(), false);
    absl::Status status;
    for (const Placement* p : by_time) {
      const uint32_t s = p->storage;
      tenants[p->arena].Assign(
          p->offset_bytes, p->offset_bytes + p->size_bytes, s, [&](uint32_t t) {
            shared[s] = shared[t] = true;
            if (in_place_of_[s] == t) return;
            const bool apart = order_.total() ? placement_of_[t]->last_step < p->first_step
                                              : order_.Precede(ends[t], ends[s]);
            if (!apart && status.ok()) {
              status = Wrong(Named(t), " and ", Named(s), " share bytes of arena ", p->arena,
                             ", and the first is not over when the second begins at step ",
                             p->first_step);
            }
          });
      if (!status.ok()) return status;
    }
    for (const Placement& p : plan_.placements) {
      if (p.exclusive == shared[p.storage]) {
        return Wrong(Named(p.storage), p.exclusive ? " is called exclusive, but shares its bytes"
                                                   : " shares no bytes, but is not exclusive");
      }
    }
    return absl::OkStatus();
  }

  const Plan& plan_;
  const Schedule& schedule_;
  const StepOrder& order_;
  const Liveness& liveness_;
  std::vector<const Placement*> placement_of_;  // of each storage
  std::vector<uint32_t> in_place_of_;  // of each storage: the one it is written in place of
};

}  // namespace

namespace internal {

absl::Status ValidateMadePlan(const Plan& plan, const Schedule& schedule, const StepOrder& order,
                              const Liveness& liveness) {
  work_counts.validations.fetch_add(1, std::memory_order_relaxed);
  return Validator(plan, schedule, order, liveness).Run();
}

absl::StatusOr<Liveness> ValidateFromScratch(const Plan& plan, const Schedule& schedule) {
  const StepOrder order(schedule);
  // Zeroed storages may be planned here even if the options of the planner forbade it: a plan that
  // leaves one out is right too.
  TENURE_ASSIGN_OR_RETURN(Liveness liveness,
                          AnalyzeLiveness(schedule, order, {.fill_zeroed = true}));
  if (plan.fingerprint != Fingerprint(schedule, liveness.owners)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the plan '", plan.name, "' was made for another schedule than '",
                     schedule.name(), "' (fingerprints differ); plan again"));
  }
  TENURE_RETURN_IF_ERROR(ValidateMadePlan(plan, schedule, order, liveness));
  if (schedule.order() == OrderKind::kDependencies) {
    if (!plan.reuse_edges.empty()) return Wrong("with dependencies there are no reuse edges");
  } else if (ReuseEdges(plan, liveness) != plan.reuse_edges) {
    return Wrong("its reuse edges are not those of its placements");
  }
  return liveness;
}

}  // namespace internal
}  // namespace tenure
