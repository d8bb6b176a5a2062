#include "tenure/planner/shortage.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tenure/planner/groundwork.h"

namespace tenure {
namespace {

// Of what lives at the peak, so many are named in an error message.
constexpr size_t kNamed = 3;

}  // namespace

absl::Status FindConflict(const packing::SolveOptions& options, Shortage& shortage) {
  if (!shortage.happened()) {
    return absl::FailedPreconditionError("no shortage: the plan did not fail for its capacity");
  }
  if (!shortage.proven) {
    return absl::FailedPreconditionError(
        "it is not proven that the plan does not fit; try a higher effort or a later deadline");
  }
  packing::SolveOptions proof = options;
  proof.effort = packing::Effort::kOptimal;
  proof.capacity = shortage.capacity_bytes;
  absl::StatusOr<packing::Explanation> why = packing::Explain(shortage.problem, proof, true);
  if (!why.ok()) return why.status();
  shortage.why = *std::move(why);
  shortage.why.lower_bound = shortage.lower_bound_bytes;
  return absl::OkStatus();
}

std::string StepsText(const Schedule& schedule, packing::Time first, packing::Time last) {
  auto name = [&schedule](packing::Time step) -> std::string {
    const auto s = static_cast<size_t>(step);
    return s < schedule.steps().size() ? schedule.steps()[s].name : std::string();
  };
  if (last - first <= 1) return absl::StrCat(first, " (", name(first), ")");
  return absl::StrCat(first, " to ", last - 1, " (", name(first), " to ", name(last - 1), ")");
}

std::string ShortageText(const Shortage& shortage, const Schedule& schedule) {
  return absl::StrCat(
      "Arenas of ", shortage.space.ToString(),
      shortage.lane == 0 ? "" : absl::StrCat(", lane ", shortage.lane), ": ",
      packing::ExplanationText(shortage.problem, shortage.why,
                               {.item = [&shortage](uint32_t i) { return shortage.items[i].name; },
                                .moments =
                                    [&schedule](packing::Time first, packing::Time last) {
                                      return absl::StrCat(last - first <= 1 ? "step " : "steps ",
                                                          StepsText(schedule, first, last));
                                    }}));
}

namespace internal {

Shortage FindShortage(const Groundwork& work, size_t arena, uint64_t capacity_bytes,
                      uint64_t lower_bound_bytes) {
  const ArenaMembers& members = work.arenas()[arena];
  Shortage shortage{.space = members.key.first->space(),
                    .lane = members.key.second,
                    .capacity_bytes = capacity_bytes,
                    .lower_bound_bytes = lower_bound_bytes,
                    .proven = lower_bound_bytes > capacity_bytes,
                    .problem = work.packer().Intervals(members.groups)};
  for (uint32_t g : members.groups) {
    Shortage::Item& item = shortage.items.emplace_back();
    item.storages = work.groups()[g].storages;
    for (uint32_t s : item.storages) {
      const std::string& name = work.liveness().storages[s].storage->name();
      absl::StrAppend(&item.name, item.name.empty() ? "" : " and in place ",
                      name.empty() ? absl::StrCat("storage ", s) : name);
    }
  }
  shortage.why = packing::ExplainPeak(shortage.problem, {.capacity = capacity_bytes});
  shortage.why.lower_bound = lower_bound_bytes;
  return shortage;
}

absl::Status ShortageStatus(const Shortage& shortage, const Schedule& schedule) {
  std::string text =
      absl::StrCat("the arenas of ", shortage.space.ToString(),
                   shortage.lane == 0 ? "" : absl::StrCat(", lane ", shortage.lane, ","),
                   " need at least ", shortage.lower_bound_bytes, " bytes");
  if (shortage.proven) {
    absl::StrAppend(&text, ", ", shortage.lower_bound_bytes - shortage.capacity_bytes,
                    " more than the capacity ", shortage.capacity_bytes);
  } else {
    absl::StrAppend(&text, ", and no plan within the capacity ", shortage.capacity_bytes,
                    " was found; a higher effort or a later deadline may find one");
  }
  const packing::Explanation& why = shortage.why;
  absl::StrAppend(&text, "; most live at step ", StepsText(schedule, why.peak.first, why.peak.last),
                  ": ");
  const size_t named = std::min(kNamed, why.peak_items.size());
  for (size_t k = 0; k < named; ++k) {
    const uint32_t i = why.peak_items[k];
    absl::StrAppend(&text, k == 0 ? "" : ", ", shortage.items[i].name, " (",
                    shortage.problem.items[i].size, " bytes)");
  }
  if (why.peak_items.size() > named) {
    absl::StrAppend(&text, " and ", why.peak_items.size() - named, " more");
  }
  return shortage.proven ? absl::ResourceExhaustedError(text) : absl::DeadlineExceededError(text);
}

}  // namespace internal
}  // namespace tenure
