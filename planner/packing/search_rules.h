// The rules by which exact search prunes, and the conditions that end it.
//
// Why each rule is a switch: a rule that can't be turned off can't be shown to matter
// (bench/packing_rules.cc prints the effect of each). The search is sound and complete with every
// combination of rules.
//
// Thread safety: thread-compatible. Ownership: borrows the flags, which must outlive the search.
// Errors: none.

#ifndef TENURE_PLANNER_PACKING_SEARCH_RULES_H_
#define TENURE_PLANNER_PACKING_SEARCH_RULES_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace tenure::packing::exact {

struct Rules {
  // A branch ends if the lowest feasible offset of a section plus the bytes that the section still
  // has to take exceeds the capacity.
  bool section_floors = true;
  // The same test from every offset x up: the items that can only be placed above x must fit above
  // x.
  bool stacks = true;
  // If no other item can get below an item any more, that item is placed at its lowest offset
  // without branching. If an earlier choice excluded that offset, the branch ends.
  bool dominance = true;
  // An item that is not placed at its lowest offset must rest on an item that is placed later.
  // Without this rule it is only known to be placed higher.
  bool support = true;
  // Of items with equal life, size and alignment, the first in the order is placed lowest.
  bool siblings = true;
  // Items with equal life that are stacked directly on each other are stacked in the order.
  bool stack_order = true;
  // Parts of time that no open item crosses are searched separately.
  bool decomposition = true;
  // A section that leaves only one way to go on is filled at once, before the strategy chooses a
  // section.
  bool forced_first = true;
  // Several orders race with growing limits. Without this rule, the first order runs to the end.
  bool restarts = true;
  // Items that blocked earlier runs of an order come earlier in it, in every other round. Later,
  // most runs use the order that has come furthest, and most of those start with the sections'
  // failure counts of earlier runs.
  bool learning = true;
};

struct NamedRule {
  std::string_view name;
  bool Rules::*on;
};

// All rules, with their names.
inline constexpr NamedRule kNamedRules[] = {
    {"section-floors", &Rules::section_floors},
    {"stacks", &Rules::stacks},
    {"dominance", &Rules::dominance},
    {"support", &Rules::support},
    {"siblings", &Rules::siblings},
    {"stack-order", &Rules::stack_order},
    {"decomposition", &Rules::decomposition},
    {"forced-first", &Rules::forced_first},
    {"restarts", &Rules::restarts},
    {"learning", &Rules::learning},
};

// The outside conditions that end a search.
struct Stop {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  const std::atomic<bool>* cancel = nullptr;
  const std::function<bool()>* asked = nullptr;  // null or not empty; called from every thread

  // Returns the same conditions with a deadline that is earlier by `time`.
  Stop Before(std::chrono::nanoseconds time) const {
    Stop stop = *this;
    if (deadline.has_value()) stop.deadline = *deadline - time;
    return stop;
  }

  bool Now() const {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return true;
    if (asked != nullptr && (*asked)()) return true;
    return deadline.has_value() && std::chrono::steady_clock::now() >= *deadline;
  }
};

}  // namespace tenure::packing::exact

#endif  // TENURE_PLANNER_PACKING_SEARCH_RULES_H_
