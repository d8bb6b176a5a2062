// What exact search knows, rule by rule, and what may end it.
//
// Why switches: a rule that cannot be turned off cannot be shown to matter
// (bench/packing_rules.cc prints what each brings). Every combination is sound and complete.
//
// Thread safety: thread-compatible. Ownership: borrows the flags (must outlive the search). Errors:
// none.

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
  // A section whose lowest feasible offset plus what it still has to take exceeds the capacity ends
  // the branch.
  bool section_floors = true;
  // The same from every offset up: the items that can only lie above x must fit above x.
  bool stacks = true;
  // An item that nothing can get below any more lies at its lowest offset: it is placed without
  // branching, and the branch ends if it was said not to lie there.
  bool dominance = true;
  // An item that does not lie at its lowest offset lies on one that is still to come; otherwise it
  // is only known to lie higher.
  bool support = true;
  // Of items with equal life, size and alignment the first in the order is lowest.
  bool siblings = true;
  // Items with equal life that lie on each other do so in the order.
  bool stack_order = true;
  // Parts of time that no open item crosses are searched apart.
  bool decomposition = true;
  // Sections that leave one way are taken at once, before the choice of the strategy.
  bool forced_first = true;
  // Several orders race with growing limits; otherwise the first runs to the end.
  bool restarts = true;
  // Items that were in the way in earlier runs of an order come earlier in it, in every other
  // round; later, most runs are of the order that has come furthest, and most of those know which
  // sections failed.
  bool learning = true;
};

struct NamedRule {
  std::string_view name;
  bool Rules::*on;
};

// Every rule.
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

// Ends a search from outside.
struct Stop {
  std::optional<std::chrono::steady_clock::time_point> deadline;
  const std::atomic<bool>* cancel = nullptr;
  const std::function<bool()>* asked = nullptr;  // null or not empty; called from every thread

  // The same with a deadline that comes earlier.
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
