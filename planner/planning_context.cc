#include "tenure/planner/planning_context.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "tenure/base/checked.h"
#include "tenure/base/status_macros.h"
#include "tenure/planner/fingerprint.h"
#include "tenure/planner/own_memory.h"

namespace tenure {
namespace {

constexpr uint64_t kMaxAlignment = uint64_t{1} << 32;
constexpr uint64_t kMaxBytes = uint64_t{1} << 62;  // so that no sum of offsets can wrap

std::vector<ArenaMembers> ByArena(const std::vector<StorageGroup>& groups) {
  std::vector<ArenaMembers> result;  // in the order of first use, so that it is deterministic
  std::map<ArenaKey, size_t> place;
  for (uint32_t g = 0; g < groups.size(); ++g) {
    const ArenaKey key{groups[g].allocator, groups[g].queue};
    auto [it, fresh] = place.try_emplace(key, result.size());
    if (fresh) result.push_back({key, {}});
    result[it->second].groups.push_back(g);
  }
  return result;
}

// kTooLarge if the size or the alignment of the storage forbids placing it, else kPlanned.
// `counted_bytes` is the sum of all sizes and alignments so far.
PlanReason TooLarge(const Storage& storage, uint64_t plan_alignment, uint64_t& counted_bytes,
                    std::string& detail) {
  const uint64_t limit = storage.allocator().traits().max_allocation_bytes;
  const uint64_t alignment = std::max(plan_alignment, storage.alignment_bytes());
  uint64_t rounded = 0;
  if (!CheckedRoundUp(storage.size_bytes(), plan_alignment, &rounded) || rounded > limit) {
    detail = absl::StrCat("the largest allocation of ", storage.allocator().space().ToString(),
                          " is ", limit);
  } else if (alignment > kMaxAlignment) {
    detail = absl::StrCat("it asks for alignment ", alignment);
  } else if (rounded >= kMaxBytes - counted_bytes ||
             alignment >= kMaxBytes - counted_bytes - rounded) {
    detail = "all storages together need more than 2^62 bytes";
  } else {
    counted_bytes += rounded + alignment;
    return PlanReason::kPlanned;
  }
  return PlanReason::kTooLarge;
}

// Whether storages of this plan can lie in the own memory of an input or output.
bool CanLendMemory(const PlanOptions& options, const Storage& storage) {
  return options.mode == PlanMode::kArena &&
         (!storage.is_allocated() ||
          internal::PromisesAlignment(
              storage, 0, std::max(options.alignment_bytes, storage.alignment_bytes())));
}

// Decides which storages are placed: fills in not_planned, fills and unplanned_bytes, and sets the
// final reasons.
void Choose(const PlanOptions& options, Liveness& liveness, Plan& plan) {
  uint64_t counted_bytes = 0;
  for (uint32_t s = 0; s < liveness.storages.size(); ++s) {
    StorageLife& life = liveness.storages[s];
    if (life.reason == PlanReason::kPlanned) {
      life.reason =
          options.mode == PlanMode::kNone
              ? PlanReason::kModeNone
              : TooLarge(*life.storage, options.alignment_bytes, counted_bytes, life.detail);
    }
    if (life.reason == PlanReason::kPlanned && life.own_memory &&
        !CanLendMemory(options, *life.storage)) {
      life.reason = life.from_start ? PlanReason::kInput : PlanReason::kOutput;
    }
    if (life.reason != PlanReason::kPlanned) {
      plan.not_planned.push_back(
          {s, life.storage->name(), life.storage->size_bytes(), life.reason, life.detail});
      continue;
    }
    uint64_t rounded = 0;
    if (CheckedRoundUp(life.storage->size_bytes(), options.alignment_bytes, &rounded))
      plan.unplanned_bytes += rounded;
    if (life.needs_fill) plan.fills.push_back({life.first_step, s});
  }
}

absl::Status CheckOptions(const PlanOptions& options) {
  if (!IsPowerOfTwo(options.alignment_bytes) || options.alignment_bytes > kMaxAlignment) {
    return absl::InvalidArgumentError(absl::StrCat("alignment ", options.alignment_bytes,
                                                   " is not a power of two of at most 2^32"));
  }
  if (options.max_threads < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "max_threads is ", options.max_threads, "; it must be at least 1, for the calling thread"));
  }
  return absl::OkStatus();
}

}  // namespace

PlanningContext::PlanningContext(const Schedule& schedule, const PlanOptions& options)
    : options_(options), order_(schedule), packer_(schedule, options_, order_, grouping_.groups) {}

absl::StatusOr<std::unique_ptr<PlanningContext>> PlanningContext::Make(const Schedule& schedule,
                                                                       const PlanOptions& options) {
  TENURE_RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<PlanningContext> context =
      absl::WrapUnique(new PlanningContext(schedule, options));
  TENURE_ASSIGN_OR_RETURN(
      context->liveness_,
      AnalyzeLiveness(schedule, context->order_,
                      {.fill_zeroed = options.fill_zeroed,
                       .ignore_outside_handles = options.ignore_outside_handles}));

  Plan& plan = context->plan_;
  plan.name = schedule.name();
  plan.fingerprint = internal::Fingerprint(schedule, context->liveness_.owners);
  plan.mode = options.mode;
  plan.alignment_bytes = options.alignment_bytes;
  Choose(options, context->liveness_, plan);
  if (options.require_coverage) {
    if (const std::string uncovered = plan.Uncovered(); !uncovered.empty())
      return absl::FailedPreconditionError(
          absl::StrCat("the plan does not cover it all: ", uncovered));
  }
  context->grouping_ = GroupStorages(schedule, context->order_, context->liveness_,
                                     options.alignment_bytes, options.in_place);
  plan.in_place = context->grouping_.in_place;
  context->arenas_ = ByArena(context->grouping_.groups);
  return context;
}

}  // namespace tenure
