#include "tenure/planner/find_shortage.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tenure::internal {
namespace {

// An error message names at most this many of the storages that live at the peak.
constexpr size_t kNamed = 3;

}  // namespace

Shortage FindShortage(const PlanningContext& context, size_t arena, const CapacityFound& capacity,
                      uint64_t lower_bound_bytes, std::string search_limit) {
  const bool proven = lower_bound_bytes > capacity.at_most_bytes;
  const uint64_t capacity_bytes = proven ? capacity.at_most_bytes : capacity.left_bytes;
  const ArenaMembers& members = context.arenas()[arena];
  Shortage shortage{.space = members.key.first->space(),
                    .queue = members.key.second,
                    .capacity_bytes = capacity_bytes,
                    .lower_bound_bytes = lower_bound_bytes,
                    .proven = proven,
                    .search_limit = std::move(search_limit),
                    .problem = context.packer().Intervals(members.groups)};
  for (uint32_t g : members.groups) {
    Shortage::Item& item = shortage.items.emplace_back();
    item.storages = context.groups()[g].storages;
    for (uint32_t s : item.storages) {
      const std::string& name = context.liveness().storages[s].storage->name();
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
                   shortage.queue == 0 ? "" : absl::StrCat(", queue ", shortage.queue, ","),
                   " need at least ", shortage.lower_bound_bytes, " bytes");
  if (shortage.proven) {
    absl::StrAppend(&text, ", ", shortage.lower_bound_bytes - shortage.capacity_bytes,
                    " more than the capacity ", shortage.capacity_bytes);
  } else if (shortage.lower_bound_bytes > shortage.capacity_bytes) {
    absl::StrAppend(&text, ", and the other arenas of the space leave ", shortage.capacity_bytes,
                    " of the capacity; a higher effort or a later deadline may make those smaller");
  } else {
    absl::StrAppend(
        &text, ", and no plan within the capacity ", shortage.capacity_bytes, " was found; ",
        shortage.search_limit.empty() ? "a higher effort or a later deadline may find one"
                                      : shortage.search_limit);
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

}  // namespace tenure::internal
