#include "tenure/planner/plan.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tenure {

std::string_view PlanModeName(PlanMode mode) {
  switch (mode) {
    case PlanMode::kNone:
      return "none";
    case PlanMode::kRemap:
      return "remap";
    case PlanMode::kArena:
      return "arena";
  }
  return "?";
}

namespace {

constexpr size_t kNamed = 3;

std::string Count(uint64_t number, std::string_view what) {
  return absl::StrCat(number, " ", what, number == 1 ? "" : "s");
}

// "2 storages of 128 bytes ('h0', 'h1')"
std::string LeftOutText(const PlanLeftOut& left) {
  std::string text =
      absl::StrCat(Count(left.storages, "storage"), " of ", Count(left.bytes, "byte"), " ('",
                   absl::StrJoin(left.first_names, "', '"), "'");
  if (left.storages > left.first_names.size())
    absl::StrAppend(&text, " and ", left.storages - left.first_names.size(), " more");
  return text + ")";
}

// What keeps a plan from placing a storage that it was meant to place, and what helps.
struct Obstacle {
  PlanReason reason;
  std::string_view why;
};
constexpr Obstacle kObstacles[] = {
    {PlanReason::kOutsideHandles,
     "because handles to them exist outside the schedule: drop these handles before planning, or "
     "call Schedule::MarkIntermediate"},
    {PlanReason::kZeroed,
     "because they must read as zeros at first: set PlanOptions::fill_zeroed, or order all their "
     "uses after the first one"},
    {PlanReason::kTooLarge, "because they are too large for an arena"},
};

}  // namespace

PlanLeftOut Plan::LeftOut(PlanReason reason) const {
  PlanLeftOut left;
  for (const NotPlanned& n : not_planned) {
    if (n.reason != reason) continue;
    ++left.storages;
    left.bytes += n.size_bytes;
    if (left.first_names.size() < kNamed) {
      left.first_names.push_back(n.name.empty() ? absl::StrCat("storage ", n.storage) : n.name);
    }
  }
  return left;
}

std::string Plan::Uncovered() const {
  std::string text;
  for (const Obstacle& obstacle : kObstacles) {
    const PlanLeftOut left = LeftOut(obstacle.reason);
    if (left.storages == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : "; ", LeftOutText(left),
                    left.storages == 1 ? " is" : " are", " not planned ", obstacle.why);
  }
  return text;
}

std::string Plan::Summary() const {
  std::string text = absl::StrCat("plan '", name, "': ", Count(placements.size(), "storage"),
                                  " of ", Count(unplanned_bytes, "byte"), " in ",
                                  Count(arenas.size(), "arena"), " of ", Count(arena_bytes, "byte"),
                                  optimal && !placements.empty() ? ", the least possible" : "");
  if (!optimal) absl::StrAppend(&text, "; at least ", lower_bound_bytes, " are needed");
  std::string left_out;
  for (int i = 0; i < kPlanReasonCount; ++i) {
    const PlanLeftOut left = LeftOut(static_cast<PlanReason>(i));
    if (left.storages == 0) continue;
    absl::StrAppend(&left_out, left_out.empty() ? "" : ", ", PlanReasonName(PlanReason(i)), ": ",
                    LeftOutText(left));
  }
  if (!left_out.empty()) absl::StrAppend(&text, "\n  not planned: ", left_out);
  if (const std::string uncovered = Uncovered(); !uncovered.empty())
    absl::StrAppend(&text, "\n  attention: ", uncovered);
  return text + "\n";
}

absl::StatusOr<PlanMode> ParsePlanMode(std::string_view name) {
  for (PlanMode mode : {PlanMode::kNone, PlanMode::kRemap, PlanMode::kArena}) {
    if (name == PlanModeName(mode)) return mode;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown planner '", name, "'; there are none, remap and arena"));
}

}  // namespace tenure
