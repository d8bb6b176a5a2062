// The handles of schedules and plans. Internal to the C library.

#ifndef TENURE_C_SCHEDULES_H_
#define TENURE_C_SCHEDULES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "tenure/c/c_api.h"
#include "tenure/planner/planner.h"
#include "tenure/planner/schedule.h"

// Storages of spaces that this machine does not have are made with allocators without bytes, which
// must outlive them: so the members stand in this order.
struct tenure_schedule {
  explicit tenure_schedule(std::string name, tenure::OrderKind order)
      : schedule(std::move(name), order) {}

  absl::flat_hash_map<std::string, std::unique_ptr<tenure::Allocator>> planning_only;
  absl::flat_hash_map<uint64_t, tenure::Buffer> by_key;
  tenure::Schedule schedule;

  absl::StatusOr<tenure::Buffer> Find(uint64_t key) const;
  absl::Status Add(uint64_t key, const tenure::Buffer& buffer);
};

struct tenure_plan {
  struct Window {
    uint32_t storage = 0;
    uint64_t offset = 0;
  };

  tenure::Plan plan;
  absl::flat_hash_map<uint64_t, Window> windows;  // by key
  std::vector<uint64_t> keys;                     // of each storage, the first that steps name
  std::vector<int64_t> placements;                // of each storage; -1: it has none
  std::vector<const tenure::NotPlanned*> not_planned;
  std::vector<std::string> spaces;  // of the arenas

  // Of the plan and of the schedule that it is of.
  static absl::StatusOr<std::unique_ptr<tenure_plan>> Of(tenure::Plan plan,
                                                         const tenure_schedule& schedule);
};

struct tenure_placed {
  tenure::PlacedPlan placed;
};

#endif  // TENURE_C_SCHEDULES_H_
